//! The tester's own scripted key server and group member.

pub mod world;
