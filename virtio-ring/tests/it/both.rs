//! What is the same for both formats.

mod display;
mod event;
mod features;
mod notification;
