//! How much work each operation makes at most.
