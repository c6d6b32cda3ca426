//! Traffic through a group member under test.

pub(crate) mod attributes;
pub(crate) mod counter;
pub(crate) mod counters;
pub(crate) mod cutting;
pub(crate) mod d3p;
pub(crate) mod direction;
pub(crate) mod dummies;
mod esp;
pub(crate) mod failclose;
pub(crate) mod headers;
pub(crate) mod joining;
pub(crate) mod keys;
pub(crate) mod malformed;
mod marks;
pub(crate) mod mss;
pub(crate) mod multicast;
pub(crate) mod opening;
pub(crate) mod pathmtu;
mod pieces;
pub(crate) mod policy;
pub(crate) mod protect;
pub(crate) mod recovery;
pub(crate) mod rollover;
pub(crate) mod tbar;
pub(crate) mod transforms;
pub(crate) mod upgrade;
