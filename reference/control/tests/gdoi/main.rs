//! Key servers and group members against each other, in virtual time.

#![expect(unreachable_pub, reason = "one test binary in several files")]

mod acks;
mod compat;
mod data;
mod keys;
mod registration;
mod rekey;
mod switches;
mod world;
