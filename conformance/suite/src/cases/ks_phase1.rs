//! Phase 1 with a key server as responder.

mod kit;

pub(crate) mod aggressive;
pub(crate) mod answers;
pub(crate) mod certificates;
pub(crate) mod contact;
pub(crate) mod cookies;
pub(crate) mod dpd;
pub(crate) mod exchange;
pub(crate) mod fragments;
pub(crate) mod informational;
pub(crate) mod nat;
pub(crate) mod offer;
pub(crate) mod proof;
pub(crate) mod repeats;
pub(crate) mod robust;
pub(crate) mod suites;
