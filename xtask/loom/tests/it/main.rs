//! Models of what a device and its driver do at the same time.

mod fetches;
mod kicks;
mod lifecycle;
mod order;
mod shared;
mod support;
mod used;
