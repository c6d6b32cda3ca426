//! What a verdict rests on: the event log, captures with comments, keys and ladders.
//!
//! * [`log`]: the append-only, hash-chained event log of a run, and its reader.
//! * [`case`]: frames, remarks and keys of one attempt at a case, and the files they become.
//! * [`keys`]: key records, and the `keys.json` that opens a capture again.
//! * [`ladder`]: who sent what to whom, as text.
//! * [`wireshark`]: a profile folder and a copy of the capture that Wireshark can decrypt.
//! * [`folder`]: the folder of a run.

pub mod case;
pub mod folder;
pub mod keys;
pub mod ladder;
pub mod log;
pub mod time;
pub mod wireshark;

pub use case::{CaseEvidence, Frame, KeyPolicy, Step, Way};
pub use folder::{Manifest, RunFolder};
pub use keys::{KeyRecord, Secrets};
pub use log::{EventLog, LogError, LoggedEvent, ReadLog, Sink};
