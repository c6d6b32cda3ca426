//! GROUPKEY-PUSH with a group member under test.

pub(crate) mod ack;
pub(crate) mod content;
pub(crate) mod delete;
pub(crate) mod form;
pub(crate) mod fragments;
mod kit;
pub(crate) mod lifetime;
pub(crate) mod lkh;
pub(crate) mod multicast;
pub(crate) mod seq;
pub(crate) mod sig;
