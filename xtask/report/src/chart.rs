//! Charts as SVG, in which text is text and nothing is loaded from elsewhere.
//!
//! They are drawn at twice the size at which they are shown, because plotters places things on whole pixels. The style
//! of the page replaces the colours of text and grid where the reader likes it dark.

mod axis;
mod canvas;
mod lines;
mod marker;
mod rows;

pub use lines::{Lines, Point, Series};
pub use rows::{Bar, Row, Rows};
