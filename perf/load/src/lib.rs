//! What the command `hallmark-perf` and the benchmarks of criterion measure with.

mod bare;
pub mod bench;
