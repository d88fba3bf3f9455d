//! Split virtqueues.

mod areas;
mod layout;
mod table;
