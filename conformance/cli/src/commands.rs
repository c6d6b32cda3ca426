//! The commands, one module each.

pub(crate) mod catalogue;
pub(crate) mod diff;
pub(crate) mod dissect;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod list;
pub(crate) mod node;
pub(crate) mod prove;
pub(crate) mod report;
pub(crate) mod rerun;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod setup;
pub(crate) mod status;
pub(crate) mod waiver;
