//! The tester's own scripted key server and group member.

pub mod edit;
pub mod fragment;
pub mod gm;
pub mod group;
pub mod keys;
pub mod ks;
mod sa;
mod seal;
pub mod seen;
pub mod step;
pub mod suite;
pub mod tamper;
pub mod world;

pub use gm::{GmScript, ProbeGm};
pub use group::{Flow, GroupPolicy, Kek, SidPlan, Tek};
pub use ks::{KsScript, ProbeKs, PushSpec, Reply};
pub use sa::{Credentials, Fixed, Sa};
pub use seen::{Payload, Seen};
pub use step::{Fault, Step};
pub use suite::{Auth, Suite};
pub use tamper::Tamper;
