//! A key server or group member as a process: configuration, sockets, status and logs.
//!
//! The machines of `hallmark_control` decide everything; this crate gives them a clock, ports and a configuration, and
//! carries what they say to the wire, to the log and to the operator. The loop in [`process`] has no decision of its
//! own: it hands in what arrived or what is due, takes out what is to be sent and told, and sleeps until the next
//! timeout.
//!
//! * [`config`] reads `ks.toml` and `gm.toml`, for the process and for every other place that starts a node.
//! * [`member`] joins the control plane and the data plane of a group member, [`plane`] is what lies between the two.
//! * [`bridge`] runs the data plane in threads between two real ports.
//! * [`command`] is the console: one JSON object in, one JSON object out.
//! * [`process`] runs a node; [`client`] talks to the console of a running one.
//! * [`log`] writes events as lines, and never more of them than the rate limit allows.

pub mod bridge;
pub mod client;
pub mod command;
pub mod config;
mod console;
mod hosted;
pub mod log;
pub mod member;
pub mod plane;
pub mod process;
mod told;

pub use hosted::Hosted;
pub use member::Member;
pub use process::{NodeError, RunOptions, run_gm, run_ks};
pub use told::Told;
