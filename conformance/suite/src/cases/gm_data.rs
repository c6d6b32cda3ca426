//! Traffic through a group member under test.

mod esp;
pub(crate) mod failclose;
pub(crate) mod headers;
pub(crate) mod malformed;
pub(crate) mod multicast;
pub(crate) mod opening;
pub(crate) mod policy;
pub(crate) mod protect;
pub(crate) mod transforms;
