//! What is the same for both formats, in one source: compiled for each, and run with the queue that decides by itself.

mod bases;
mod config;
mod debug;
mod features;
mod fold;
mod foreign;
mod gather;
mod hostile;
mod in_order;
mod interleavings;
mod lifecycle;
mod order;
mod ownership;
mod reactions;
mod recorded;
mod replaced_memory;
mod saved;
mod serve;
mod tokens;
mod traffic;
mod unfetch;
