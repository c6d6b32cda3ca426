//! Reports made from results: JSON, JUnit, Markdown, CSV, TAP, CTRF and the console.
//!
//! [`results::RunResults`] is what a run comes to; everything else here is derived from it. [`files::write_all`] puts
//! the derived files into a run folder, [`diff::Diff`] compares two runs, [`prove::KillMatrix`] is the proof that the
//! suite catches what it claims to catch, [`schema`] serves the published JSON schemas.

pub mod console;
pub mod diff;
pub mod files;
pub mod formats;
pub mod junit;
pub mod markdown;
pub mod prove;
pub mod results;
pub mod schema;

pub use console::{Console, Look, Progress};
pub use diff::{Diff, Gate};
pub use files::write_all;
pub use junit::Dialect;
pub use prove::KillMatrix;
pub use results::{NotRun, RunInfo, RunResults};
