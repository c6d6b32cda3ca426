//! GROUPKEY-PULL with a key server under test.

mod kit;
mod layout;

pub(crate) mod authorize;
pub(crate) mod exchange;
pub(crate) mod hierarchy;
pub(crate) mod keys;
pub(crate) mod members;
pub(crate) mod policy;
pub(crate) mod proof;
pub(crate) mod repeats;
pub(crate) mod request;
pub(crate) mod secrets;
pub(crate) mod sequence;
pub(crate) mod sids;
pub(crate) mod size;
