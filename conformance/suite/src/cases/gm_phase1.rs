//! Cases that judge a group member through phase 1, which it begins.

mod kit;

pub(crate) mod answers;
pub(crate) mod certificates;
pub(crate) mod dpd;
pub(crate) mod fragments;
pub(crate) mod informational;
pub(crate) mod lifetime;
pub(crate) mod nat;
pub(crate) mod offer;
pub(crate) mod proof;
pub(crate) mod repeats;
pub(crate) mod servers;
pub(crate) mod shares;
pub(crate) mod suites;
