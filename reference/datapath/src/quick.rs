//! The quick way of a packet: what nearly all packets of a busy member go through, in as few instructions as we could
//! find.
//!
//! A short look ([`glance`]) tells whether a packet is nothing special and its flow known. Such packets are decided on,
//! dressed and sealed ([`send`]), or opened and verified ([`receive`]), with everything that an SA has in common for its
//! packets worked out once for the burst. All others are left to the long way (`encrypt`, `decrypt`, `verify`), which is
//! complete by itself. The quick way never decides anything that the long way would decide differently, refuses only
//! what finds no number, no room or a wrong ICV, reports nothing itself and knows no defects.

pub(crate) mod glance;
pub(crate) mod receive;
pub(crate) mod send;
