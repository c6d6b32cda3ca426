//! A UDP datagram with both of its ends.

use std::fmt;
use std::net::SocketAddr;

/// Holds one UDP payload with the addresses that it travels between.
///
/// The same type serves both directions: for a received datagram `dst` is the local address that it was sent to
/// (the multicast group for multicast), for a datagram to be sent `src` is the local address to send from.
#[derive(Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Where it comes from.
    pub src: SocketAddr,
    /// Where it goes to.
    pub dst: SocketAddr,
    /// The UDP payload.
    pub payload: Vec<u8>,
}

impl Datagram {
    /// Puts a payload between two addresses.
    #[must_use]
    pub const fn new(src: SocketAddr, dst: SocketAddr, payload: Vec<u8>) -> Self {
        Self { src, dst, payload }
    }

    /// Makes an answer: same two ends, opposite direction.
    #[must_use]
    pub const fn reply(&self, payload: Vec<u8>) -> Self {
        Self { src: self.dst, dst: self.src, payload }
    }
}

impl fmt::Debug for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} ({} octets)", self.src, self.dst, self.payload.len())
    }
}
