//! GROUPKEY-PULL with a group member under test: what it asks, what it takes, and when it asks again.

pub(crate) mod answers;
pub(crate) mod attributes;
pub(crate) mod copies;
pub(crate) mod keys;
mod kit;
pub(crate) mod legal;
pub(crate) mod lengths;
pub(crate) mod lifetime;
pub(crate) mod request;
pub(crate) mod sequence;
pub(crate) mod servers;
