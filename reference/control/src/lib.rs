//! The GDOI control plane, sans-I/O: phase 1, GROUPKEY-PULL and GROUPKEY-PUSH; key server and group member.
//!
//! Two machines make the crate: [`KeyServer`] and [`GroupMember`]. Both take datagrams, timeouts and commands, and
//! give datagrams, events and the time of the next timeout; they hold no socket, clock or thread.
//!
//! ```text
//!     handle_datagram(now, datagram)          poll_transmit() -> Datagram
//!     handle_timeout(now)             ──►     poll_event()    -> Event
//!     handle_command(now, command)            poll_timeout()  -> Instant
//! ```
//!
//! After each call, take transmits and events until both give `None`, then sleep until the timeout.
//!
//! The modules, from the outside in: [`config`] is what an operator decides, [`status`] and [`event`] are what an
//! operator sees, [`behaviour`] holds defects and legal variants that can be switched on, [`ike`] is phase 1,
//! [`sadb`] and
//! [`data`] are what a group member hands to its datapath.
//!
//! # What is a model
//!
//! Some formats of the vendor whose products this crate is compared with are not public. In their place stand
//! documented formats of our own, which no vendor device understands:
//!
//! * the version of a group member travels in a Vendor ID payload, [`vendor`];
//! * the encrypted rekey acknowledgement ([`config::AckPolicy::Cisco`]) is described in [`ack`];
//! * replay protection, pseudotime, direction and deny entries travel in the reference forms of
//!   [`hallmark_wire::gdoi::DataPolicy`] and [`hallmark_wire::gdoi::Bypass`];
//! * an SPI can tell its group in the way of [`config::data::group_tag`].

pub mod ack;
pub mod behaviour;
pub mod code;
pub mod config;
#[cfg(test)]
mod crafted;
pub mod data;
pub mod event;
pub mod group_member;
pub mod ike;
mod journal;
pub mod key_server;
pub mod lkh;
mod machine;
mod pull;
mod push;
pub mod sadb;
pub mod status;
mod timers;
pub mod vendor;

pub use config::{ConfigError, GmConfig, KsConfig};
pub use event::{Event, EventKind};
pub use group_member::{GmCommand, GroupMember};
pub use key_server::{CommandError, CommandReply, KeyServer, KsCommand};
pub use machine::Machine;
pub use status::{GmStatus, KsStatus};
