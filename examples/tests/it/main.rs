//! What the devices promise, as a driver sees it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]
#![allow(clippy::cast_possible_truncation, reason = "the numbers in tests are small")]
#![allow(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "tests have the standard library")]

mod blk_batches;
mod blk_cuts;
mod blk_features;
mod blk_file;
mod blk_hostile;
mod blk_medium;
mod blk_model;
mod blk_nonsense;
mod blk_reports;
mod blk_requests;
mod blk_uring;
mod disk;
mod hostile;
mod net;
mod rng;
mod serve;
mod storages;
mod vhost_user;
mod vsock;
