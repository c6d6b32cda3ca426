//! GROUPKEY-PUSH with a group member under test.

pub(crate) mod content;
pub(crate) mod form;
mod kit;
pub(crate) mod seq;
pub(crate) mod sig;
