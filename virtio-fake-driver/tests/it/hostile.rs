//! The hostile kit: what it attacks, what good devices do, and what it finds.

mod devices;
mod ids;
mod planted;
mod queues;
