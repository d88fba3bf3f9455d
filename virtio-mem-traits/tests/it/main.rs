//! What the public interface of `virtio-mem-traits` promises.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]
#![allow(clippy::std_instead_of_alloc, reason = "tests have the standard library")]

mod access;
mod area;
mod area_in_pieces;
mod area_reports;
mod conformance;
mod copies;
mod device_range;
mod driver_mem;
mod driver_range;
mod dump;
mod heap;
mod iovec;
mod memories;
mod region;
mod region_cache;
mod threads;
mod words;
