//! Traffic through a group member under test.

pub(crate) mod failclose;
pub(crate) mod policy;
