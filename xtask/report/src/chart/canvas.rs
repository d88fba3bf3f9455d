//! What all charts draw on and with.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Text and axes.
pub(super) const INK: RGBColor = RGBColor(51, 51, 51);
/// Lines that guide the eye.
pub(super) const GRID: RGBColor = RGBColor(221, 221, 221);
/// The width of a chart.
pub(super) const WIDTH: u32 = 1240;
/// The height of text.
pub(super) const TEXT: u32 = 34;

/// A picture, or a part of it, with pixels as coordinates.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Returns the SVG that `draw` draws.
pub(super) fn svg(height: u32, draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
    draw(&area)?;
    area.present()?;
    drop(area);
    Ok(svg)
}

/// Writes `text` so that `at` is in the middle of its height, and at its left or right end.
pub(super) fn write(area: &Area<'_>, text: &str, at: (i32, i32), end: HPos) -> Result<()> {
    let style = ("sans-serif", TEXT).into_font().color(&INK).pos(Pos::new(end, VPos::Center));
    area.draw_text(text, &style, at)?;
    Ok(())
}

/// Draws the range in which a value varied, along one of the axes.
pub(super) fn whisker(area: &Area<'_>, from: (i32, i32), to: (i32, i32), colour: RGBColor) -> Result<()> {
    area.draw(&PathElement::new([from, to], colour.stroke_width(2)))?;
    let (across_x, across_y) = if from.0 == to.0 { (8, 0) } else { (0, 8) };
    for (x, y) in [from, to] {
        let ends = [(x - across_x, y - across_y), (x + across_x, y + across_y)];
        area.draw(&PathElement::new(ends, colour.stroke_width(2)))?;
    }
    Ok(())
}
