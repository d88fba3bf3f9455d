//! A report of what was measured, as it is saved: by `cargo xtask bench`, or by `cargo xtask interop --bench`.

#![expect(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "it runs where there is a terminal")]
#![expect(missing_debug_implementations, reason = "nobody debugs a program by its parts")]
#![expect(missing_docs, clippy::missing_errors_doc, reason = "it is for the programs beside it")]

pub mod about;
mod beginning;
mod case;
pub mod chart;
pub mod contender;
mod docs;
pub mod figure;
pub mod format;
pub mod frame;
mod kind;
pub mod machine;
mod name;
mod page;
mod report;
mod save;
pub mod spread;
pub mod synthetic;
mod tables;
pub mod target;
mod unit;

pub use beginning::Beginning;
pub use case::{Case, CaseId};
pub use kind::Kind;
pub use name::Name;
pub use report::Report;
pub use unit::Unit;
