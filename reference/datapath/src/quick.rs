//! The quick way of a packet: what nearly all packets of a busy member go through, in as few instructions as we could
//! find.
//!
//! A burst is first looked at as a whole ([`glance`]), so that the entries of its flows come near while the next packet
//! is read. Packets that are nothing special and whose flow is known are then decided on, dressed and sealed
//! ([`send`]), or opened and verified ([`receive`]), with everything that an SA has in common for its packets worked out
//! once for the burst. All others are left to the long way (`encrypt`, `decrypt`, `verify`), which is complete by
//! itself: the quick way never decides anything that the long way would decide differently, drops nothing, reports
//! nothing and knows no defects.

pub(crate) mod glance;
pub(crate) mod receive;
pub(crate) mod send;
