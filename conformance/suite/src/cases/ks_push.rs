//! GROUPKEY-PUSH of a key server.

pub(crate) mod copies;
pub(crate) mod form;
mod kit;
pub(crate) mod sequence;
