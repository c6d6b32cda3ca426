//! Messages in pieces: IKE fragments (payload 132) and IP fragments, in any order and with any fault.

use std::collections::BTreeMap;

use hallmark_core::{Datagram, Duration, Instant};
use hallmark_wire::ip;
use hallmark_wire::isakmp::{Flags, Fragment, Header, PayloadType, payload_octets};

use crate::gm::NAT_T_PORT;
use crate::seen::Seen;
use crate::step::Step;
use crate::world::{Unavailable, World};

/// Cuts an ISAKMP message into IKE fragments that carry at most `data_len` octets each. The outer header is a copy of
/// the message's with Next Payload 132, without the E flag and with its own Length.
#[must_use]
pub fn ike_fragments(message: &[u8], id: u16, data_len: usize) -> Vec<Vec<u8>> {
    let chunks: Vec<&[u8]> = message.chunks(data_len.max(1)).collect();
    let last = chunks.len();
    let piece = |(number, data): (usize, &&[u8])| {
        let flags = if number == last { Fragment::LAST } else { 0 };
        let number = u8::try_from(number).unwrap_or(u8::MAX);
        ike_fragment(message, &Fragment { id, number, flags, data: data.to_vec() })
    };
    (1..).zip(chunks.iter()).map(piece).collect()
}

/// Puts one IKE fragment into a datagram payload.
#[must_use]
pub fn ike_fragment(message: &[u8], fragment: &Fragment) -> Vec<u8> {
    let body = payload_octets(PayloadType::NONE, &fragment.encode_body());
    let Ok(mut header) = Header::decode(message) else { return body };
    header.next = PayloadType::FRAGMENT;
    header.flags = Flags(header.flags.0 & !Flags::ENCRYPTION.0);
    header.length = u32::try_from(Header::LEN + body.len()).unwrap_or(u32::MAX);
    [header.encode().as_slice(), &body].concat()
}

/// Collects IKE fragments; the tester's own, simple and tolerant.
#[derive(Clone, Debug, Default)]
pub(crate) struct IkeReassembly {
    /// By cookie pair and fragment id.
    sets: BTreeMap<([u8; 16], u16), FragmentSet>,
}

#[derive(Clone, Debug, Default)]
struct FragmentSet {
    pieces: BTreeMap<u8, Vec<u8>>,
    last: Option<u8>,
}

impl IkeReassembly {
    /// Reads a datagram: a keepalive, a message, or the whole message where this is the last of its fragments.
    pub(crate) fn read(&mut self, at: Instant, mut datagram: Datagram) -> Seen {
        if datagram.payload == [0xff] {
            return Seen { step: Step::Keepalive, ..Seen::new(at, datagram, false) };
        }
        let marker = is_marked(&datagram);
        let seen = Seen::new(at, datagram.clone(), marker);
        if seen.header.next != PayloadType::FRAGMENT {
            return seen;
        }
        let Some((whole, fragments)) = self.take(&seen) else { return seen };
        datagram.payload = if marker { [&[0; 4], whole.as_slice()].concat() } else { whole };
        Seen { fragments, ..Seen::new(at, datagram, marker) }
    }

    /// Takes one fragment; gives the whole message and its number of fragments when the set is complete.
    fn take(&mut self, seen: &Seen) -> Option<(Vec<u8>, usize)> {
        let fragment = Fragment::decode(seen.body(PayloadType::FRAGMENT)?).ok()?;
        let key = (seen.header.cookies(), fragment.id);
        // A peer that floods the tester with incomplete sets only loses its own.
        if self.sets.len() > 64 {
            self.sets.clear();
        }
        let set = self.sets.entry(key).or_default();
        if fragment.is_last() {
            set.last = Some(fragment.number);
        }
        set.pieces.entry(fragment.number).or_insert(fragment.data);
        let count = set.last?;
        let whole: Option<Vec<&Vec<u8>>> = (1..=count).map(|number| set.pieces.get(&number)).collect();
        let whole: Vec<u8> = whole?.into_iter().flatten().copied().collect();
        self.sets.remove(&key);
        Some((whole, usize::from(count)))
    }
}

/// Tells whether a received datagram carries the non-ESP marker.
fn is_marked(datagram: &Datagram) -> bool {
    let nat_t = datagram.dst.port() == NAT_T_PORT || datagram.src.port() == NAT_T_PORT;
    nat_t && datagram.payload.starts_with(&[0; 4])
}

/// A datagram as IP fragments, to be sent in any order.
///
/// ```ignore
/// let mut pieces = IpPieces::cut(&datagram, ident, 576);
/// pieces.reverse().duplicate(0);
/// pieces.send(world, Duration::ZERO)?;
/// ```
#[derive(Clone, Debug)]
pub struct IpPieces {
    whole: Vec<u8>,
    pieces: Vec<Vec<u8>>,
}

impl IpPieces {
    /// Cuts an IPv4 or IPv6 datagram so that every packet fits into `mtu` octets.
    #[must_use]
    pub fn cut(datagram: &Datagram, ident: u16, mtu: usize) -> Self {
        let whole = ip::udp_packet(datagram, ident, false);
        let pieces = if datagram.src.is_ipv4() {
            ip::fragment_ipv4(&whole, mtu)
        } else {
            ip::fragment_ipv6(&whole, mtu, u32::from(ident))
        };
        Self { whole, pieces }
    }

    /// Cuts an IPv4 datagram at these offsets into its UDP segment (each rounded down to a multiple of 8).
    #[must_use]
    pub fn cut_at(datagram: &Datagram, ident: u16, cuts: &[usize]) -> Self {
        let whole = ip::udp_packet(datagram, ident, false);
        let pieces = ip::split_ipv4(&whole, cuts);
        Self { whole, pieces }
    }

    /// Cuts an IPv4 datagram into a first fragment of 8 octets (the UDP header alone) and the rest.
    #[must_use]
    pub fn tiny_first(datagram: &Datagram, ident: u16) -> Self {
        Self::cut_at(datagram, ident, &[8])
    }

    /// Gives the packets in the order in which they will be sent.
    #[must_use]
    pub fn packets(&self) -> &[Vec<u8>] {
        &self.pieces
    }

    /// Turns the order round.
    pub fn reverse(&mut self) -> &mut Self {
        self.pieces.reverse();
        self
    }

    /// Puts a second copy of a piece behind it.
    pub fn duplicate(&mut self, index: usize) -> &mut Self {
        if let Some(piece) = self.pieces.get(index).cloned() {
            self.pieces.insert(index + 1, piece);
        }
        self
    }

    /// Sends every piece twice.
    pub fn duplicate_all(&mut self) -> &mut Self {
        self.pieces = self.pieces.iter().flat_map(|piece| [piece.clone(), piece.clone()]).collect();
        self
    }

    /// Exchanges two pieces.
    pub fn swap(&mut self, a: usize, b: usize) -> &mut Self {
        if a < self.pieces.len() && b < self.pieces.len() {
            self.pieces.swap(a, b);
        }
        self
    }

    /// Leaves a piece out.
    pub fn drop_piece(&mut self, index: usize) -> &mut Self {
        if index < self.pieces.len() {
            self.pieces.remove(index);
        }
        self
    }

    /// Adds an IPv4 fragment that covers the octets `from..to` of the UDP segment again, with every octet inverted: an
    /// overlap with other content. `at` says where in the order.
    pub fn overlap(&mut self, at: usize, from: usize, to: usize) -> &mut Self {
        let mut other = self.whole.clone();
        other.iter_mut().skip(20).for_each(|octet| *octet = !*octet);
        let index = usize::from(from >= 8);
        if let Some(piece) = ip::split_ipv4(&other, &[from, to]).get(index) {
            self.pieces.insert(at.min(self.pieces.len()), piece.clone());
        }
        self
    }

    /// Sends the pieces in order, with a pause before each but the first. What arrives for the tester meanwhile stays
    /// queued.
    ///
    /// # Errors
    /// Where the world cannot send raw packets.
    pub fn send(&self, world: &mut dyn World, pause: Duration) -> Result<(), Unavailable> {
        for (index, piece) in self.pieces.iter().enumerate() {
            if index > 0 && !pause.is_zero() {
                let until = world.now() + pause;
                world.rest(until);
            }
            world.send_ip(piece.clone())?;
        }
        Ok(())
    }
}
