//! GROUPKEY-PUSH of a key server.

pub(crate) mod ack;
pub(crate) mod copies;
pub(crate) mod deletion;
pub(crate) mod form;
mod kit;
pub(crate) mod members;
pub(crate) mod multicast;
pub(crate) mod policy;
pub(crate) mod sequence;
pub(crate) mod timing;
