//! Cutting packets that do not fit, and joining what others have cut.
//!
//! [`split`](split()) cuts IPv4 packets before encryption, and ESP packets of either IP version after it. The
//! [`Reassembler`] stands in the way of ESP fragments that are addressed to the hosts behind this member: it joins those
//! of the own SAs and lets all others go on as they came. Facts: esp.md §11, §13.

mod reassembly;
mod slots;
mod split;
#[cfg(test)]
mod tests;

pub use reassembly::{Lost, Reassembler, Taken};
pub use split::{Cut, Part, Parts, split};

use hallmark_wire::ip::protocol;

use crate::header::Header;

/// Says whether a piece of a clear packet is too small to be honest (RFC 1858): a first piece that hides the TCP flags
/// from filters, or a piece at offset 8 that could overwrite them. Such pieces are dropped on both sides.
///
/// Pieces of ESP packets need no such rule: eight octets hold the SPI and the sequence number.
#[must_use]
pub fn is_tiny(header: &Header) -> bool {
    const TCP_FLAGS_END: usize = 16;
    header.protocol == protocol::TCP
        && header.piece.is_some_and(|piece| match piece.offset {
            0 => piece.more && header.len - header.payload_at < TCP_FLAGS_END,
            offset => offset < TCP_FLAGS_END,
        })
}
