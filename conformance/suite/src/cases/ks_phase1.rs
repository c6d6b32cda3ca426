//! Phase 1 with a key server as responder.

mod kit;
pub(crate) mod offer;
