//! Requirements, cases, verdict rules, waivers and the filter language.
//!
//! * [`requirement`]: the testable sentences of the spec sheets, embedded in the binary.
//! * [`case`]: what a case of the suite says about itself.
//! * [`check`]: what a case found out, check by check, with the controls around it.
//! * [`verdict`]: how findings become one word, and which invariants no verdict may break.
//! * [`result`]: a judged case as every report and reader sees it.
//! * [`filter`]: the language that selects cases, the same in every place where cases are selected.
//! * [`listing`], [`explain`]: the catalogue as text.
//! * [`waiver`], [`ics`], [`shard`], [`exit`]: expected failures, what a device supports, splitting a run, exit codes.
//!
//! Nothing here reads a file or a clock: texts and dates are arguments.

pub mod case;
pub mod check;
pub mod exit;
pub mod explain;
pub mod filter;
pub mod ics;
pub mod listing;
pub mod requirement;
pub mod result;
pub mod shard;
pub mod suggest;
pub mod verdict;
pub mod waiver;

pub use case::{CaseInfo, Level, Need, Subject};
pub use check::{
    Check, CheckKind, CheckResult, Confidence, Control, Measurement, NotApplicable, Outcome, Trouble, TroubleKind,
};
pub use exit::{ExitCode, RunState};
pub use filter::{Context, Filter, FilterError};
pub use ics::Ics;
pub use requirement::{Coverage, Requirement, Requirements, Scope};
pub use result::{Attempt, CaseResult, Summary};
pub use shard::Shard;
pub use verdict::{Decision, Overlay, Verdict, decide, settle};
pub use waiver::{Waiver, Waivers};
