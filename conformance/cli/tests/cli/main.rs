//! The command from outside, as its users meet it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
mod run;
mod sockets;
mod tools;
