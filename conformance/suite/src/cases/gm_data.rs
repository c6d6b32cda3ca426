//! Traffic through a group member under test.

pub(crate) mod cutting;
mod esp;
pub(crate) mod failclose;
pub(crate) mod headers;
pub(crate) mod joining;
pub(crate) mod malformed;
pub(crate) mod mss;
pub(crate) mod multicast;
pub(crate) mod opening;
pub(crate) mod pathmtu;
mod pieces;
pub(crate) mod policy;
pub(crate) mod protect;
pub(crate) mod transforms;
