//! Opens captures offline: decrypts, decodes and verifies every message of IKEv1 and GDOI.
//!
//! [`Dissection::of`] follows the conversations of a capture from their first message on. It learns suites, nonces and
//! public values from phase 1, takes the keys from [`Secrets`] (whatever is there; the rest is derived) and learns
//! KEKs, TEKs and signature keys from the key downloads that it decrypts. Each message becomes a [`Frame`] with what it
//! says and the [`Check`]s that were made of it.
//!
//! Deviations from the standards are never passed over: each has a name ([`Switch`]). A switch that the caller allows
//! is applied where it is needed and counted; one that he does not allow makes a failed check that names it. Either way
//! the message is read as far as it can be.
//!
//! * [`command`]: what `hallmark dissect` does, from a file to a text and an answer.
//! * [`compat`], [`check`], [`frame`], [`secrets`]: what goes in and what comes out.
//! * [`text`], [`json`]: the two outputs.

pub mod check;
pub mod command;
pub mod compat;
mod dissection;
mod encoding;
mod exchange;
pub mod frame;
mod ingest;
pub mod json;
mod keyring;
mod keys;
mod phase1;
mod policy;
mod push;
pub mod secrets;
mod sequence;
mod session;
pub mod text;

pub use check::{Check, Verdict};
pub use command::{DissectError, Format, Request, command};
pub use compat::{Compat, Switch};
pub use dissection::{Dissection, Options, Totals};
pub use frame::{Frame, Kind, Protection};
pub use secrets::Secrets;
