//! Binds cases to a world, schedules them, times them out and gives verdicts.
//!
//! A [`schedule::Plan`] says what to run; [`schedule::Worlds`] makes a fresh world for each attempt: the lab
//! ([`lab_world`]) or real sockets ([`socket_world`]). What a subject is made of is not known here: the tool that
//! joins reference and suite hands in [`subject::LabSubjects`] or a launcher of processes.

pub mod lab_world;
pub mod process;
pub mod prove;
pub mod schedule;
pub mod socket_world;
pub mod subject;
pub mod survey;
pub mod transcript;
pub mod watch;
pub mod wires;

pub use schedule::{Finished, Plan, Progress, RecordedWorld, Worlds, preflight, run};
pub use subject::{LabSubject, LabSubjects};
pub use transcript::{Entry, Transcript};
pub use watch::{Break, Watch};
