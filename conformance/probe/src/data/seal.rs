//! ESP as another member of the group sends it, right or wrong.

use hallmark_core::UnixTime;
use hallmark_crypto::esp::{Backend, Cipher, EspKey, Mac, Transform};
use hallmark_wire::ip;

use super::{Clear, Replay, Stamp, Upper};
use crate::group::Tek;
use crate::step::Fault;
use crate::world::World;

/// Another member: it has the keys of a TEK and counts its packets.
///
/// Its next sequence number, IV counter, sender id and stamp are public: a case may set any of them.
pub struct Sender {
    /// SPI.
    pub spi: u32,
    /// Sequence number of the next packet.
    pub seq: u32,
    /// Sender id and its bits, for counter modes: they stand in the leftmost bits of each IV.
    pub sender_id: (u16, u32),
    /// How its packets are stamped.
    pub replay: Replay,
    /// The high half of its sequence numbers, for an SA with 64-bit numbers; `None` for one with 32.
    pub seq_high: Option<u32>,
    /// How far its wall clock is ahead of the tester's, in seconds.
    pub wall_ahead_secs: i64,
    counter: u64,
    transform: Transform,
    key: EspKey,
    transport: bool,
}

impl Sender {
    /// Makes a member with the keys of an ESP TEK: sequence number 1, sender id 200 of 8 bits, no stamps.
    ///
    /// # Errors
    /// When the TEK is no ESP or its keys do not fit its transform.
    pub fn new(tek: &Tek) -> Result<Self, Fault> {
        let (transform, key) = keyed(tek)?;
        Ok(Self {
            spi: tek.spi,
            seq: 1,
            sender_id: (8, 200),
            replay: Replay::None,
            seq_high: tek.has_extended_sequence().then_some(0),
            wall_ahead_secs: 0,
            counter: 0,
            transform,
            key,
            transport: tek.is_transport(),
        })
    }

    /// Stamps packets as the group's policy says.
    #[must_use]
    pub const fn stamping(mut self, replay: Replay) -> Self {
        self.replay = replay;
        self
    }

    /// Sets the sender id of counter modes.
    #[must_use]
    pub const fn with_sender_id(mut self, bits: u16, id: u32) -> Self {
        self.sender_id = (bits, id);
        self
    }

    /// Gives the transform.
    #[must_use]
    pub const fn transform(&self) -> Transform {
        self.transform
    }

    /// Seals a packet as every member does: both addresses and the traffic class are copied, the sequence number goes
    /// up.
    ///
    /// # Errors
    /// When `inner` is no IP packet.
    pub fn seal(&mut self, world: &mut dyn World, inner: &[u8]) -> Result<Vec<u8>, Fault> {
        Ok(self.forge(world, inner, &Forge::new())?.octets())
    }

    /// Seals a packet with what the case wants otherwise, and gives it with its outer header, which can be changed too.
    ///
    /// # Errors
    /// When `inner` is no IP packet (unless the next header is forced), or cannot be encrypted as asked.
    pub fn forge(&mut self, world: &mut dyn World, inner: &[u8], forge: &Forge) -> Result<Clear, Fault> {
        let stamp = match self.replay {
            Replay::None | Replay::Counter { .. } => None,
            Replay::Time { clock, .. } => Some(Stamp::Time { ticks: clock.at(world.now()) }),
            Replay::D3p { .. } => {
                let ahead = self.wall_ahead_secs.saturating_mul(1_000_000_000);
                Some(Stamp::d3p(UnixTime(world.wall().0.saturating_add(ahead))))
            }
        };
        let version = ip::version(inner);
        let (body, inner_next) = match (self.transport, version) {
            (true, _) => upper(inner)?,
            (false, Some(6)) => (inner, 41),
            (false, _) => (inner, 4),
        };
        let prefix = match (&forge.prefix, stamp) {
            (Some(octets), _) => octets.clone(),
            (None, Some(stamp)) => stamp.octets(inner_next),
            (None, None) => Vec::new(),
        };
        let regular = stamp.map_or(inner_next, Stamp::next_header);
        let next_header = forge.next_header.unwrap_or(regular);
        let payload = [prefix.as_slice(), body, &forge.tfc].concat();
        let iv = forge.iv.clone().unwrap_or_else(|| self.next_iv(world));
        let spi = forge.spi.unwrap_or(self.spi);
        let seq = forge.seq.unwrap_or(self.seq);
        let mut esp = [&spi.to_be_bytes()[..], &seq.to_be_bytes(), &iv, &payload].concat();
        let pad = forge.pad.clone().unwrap_or_else(|| {
            let least = self.transform.pad_len(payload.len());
            (1..=255).take(least + forge.pad_more).collect()
        });
        let claimed = forge.pad_length.unwrap_or_else(|| u8::try_from(pad.len()).unwrap_or(u8::MAX));
        esp.extend(pad);
        esp.extend([claimed, next_header]);
        let body = 8 + iv.len()..esp.len();
        esp.resize(esp.len() + self.transform.icv_len(), 0);
        self.key.seal(&mut esp, forge.esn_high.or(self.seq_high)).map_err(Fault::tester)?;
        for (part, bit) in &forge.flips {
            let range = match part {
                Part::Header => 0..8,
                Part::Iv => 8..body.start,
                Part::Ciphertext => body.clone(),
                Part::Icv => body.end..esp.len(),
            };
            let octets = esp.get_mut(range).filter(|octets| !octets.is_empty());
            let octets = octets.ok_or_else(|| Fault::tester(format!("the packet has no {part:?}")))?;
            let at = bit / 8 % octets.len();
            if let Some(octet) = octets.get_mut(at) {
                *octet ^= 0x80 >> (bit % 8);
            }
        }
        esp.truncate(forge.cut.unwrap_or(usize::MAX));
        if forge.seq.is_none() {
            self.seq = self.seq.wrapping_add(1);
        }
        let packet = outer(inner, esp, forge)?;
        match (self.transport, ip::Ipv4Packet::decode(inner)) {
            // The header is the packet's own.
            (true, Ok(own)) => Ok(Clear { ident: own.header.ident, options: own.header.options, ..packet }),
            _ => Ok(packet),
        }
    }

    /// Draws the IV of the next packet: a count behind the sender id for counter modes, random otherwise.
    fn next_iv(&mut self, world: &mut dyn World) -> Vec<u8> {
        if !self.transform.is_counter_mode() {
            return world.rng().vec(self.transform.iv_len());
        }
        self.counter += 1;
        let (bits, id) = self.sender_id;
        let id = u64::from(id).checked_shl(64_u32.saturating_sub(u32::from(bits))).unwrap_or(0);
        (id | self.counter).to_be_bytes().to_vec()
    }
}

/// What is to be otherwise in an ESP packet. What is not said stays right; the ICV is made over what was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Forge {
    spi: Option<u32>,
    seq: Option<u32>,
    esn_high: Option<u32>,
    iv: Option<Vec<u8>>,
    prefix: Option<Vec<u8>>,
    tfc: Vec<u8>,
    pad: Option<Vec<u8>>,
    pad_more: usize,
    pad_length: Option<u8>,
    next_header: Option<u8>,
    addresses: Option<(std::net::IpAddr, std::net::IpAddr)>,
    flips: Vec<(Part, usize)>,
    cut: Option<usize>,
}

/// A part of an ESP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// SPI and sequence number.
    Header,
    /// The IV.
    Iv,
    /// What is encrypted: payload, padding, Pad Length and Next Header.
    Ciphertext,
    /// The ICV.
    Icv,
}

impl Forge {
    /// Forges nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses another SPI, with the same keys.
    #[must_use]
    pub const fn spi(mut self, spi: u32) -> Self {
        self.spi = Some(spi);
        self
    }

    /// Uses this sequence number; the member's own count stays.
    #[must_use]
    pub const fn seq(mut self, seq: u32) -> Self {
        self.seq = Some(seq);
        self
    }

    /// Authenticates as if the sequence number had these high 32 bits.
    #[must_use]
    pub const fn esn_high(mut self, high: u32) -> Self {
        self.esn_high = Some(high);
        self
    }

    /// Uses this IV, of whatever length.
    #[must_use]
    pub fn iv(mut self, iv: &[u8]) -> Self {
        self.iv = Some(iv.to_vec());
        self
    }

    /// Puts these octets in front of the inner packet instead of the stamp; none for no stamp. The next header stays
    /// what it would be with the stamp: see [`Forge::next_header`].
    #[must_use]
    pub fn stamp_octets(mut self, octets: &[u8]) -> Self {
        self.prefix = Some(octets.to_vec());
        self
    }

    /// Puts this stamp in front of the inner packet and announces it.
    #[must_use]
    pub fn stamp(self, stamp: Stamp, inner_next_header: u8) -> Self {
        self.stamp_octets(&stamp.octets(inner_next_header)).next_header(stamp.next_header())
    }

    /// Adds octets behind the inner packet that are no padding (traffic flow confidentiality).
    #[must_use]
    pub fn tfc(mut self, octets: &[u8]) -> Self {
        self.tfc = octets.to_vec();
        self
    }

    /// Pads with exactly these octets, whatever the alignment.
    #[must_use]
    pub fn pad(mut self, octets: &[u8]) -> Self {
        self.pad = Some(octets.to_vec());
        self
    }

    /// Pads with so many octets more than needed (a multiple of the alignment keeps the packet legal).
    #[must_use]
    pub const fn pad_more(mut self, octets: usize) -> Self {
        self.pad_more = octets;
        self
    }

    /// Claims this Pad Length.
    #[must_use]
    pub const fn pad_length(mut self, claimed: u8) -> Self {
        self.pad_length = Some(claimed);
        self
    }

    /// Claims this Next Header.
    #[must_use]
    pub const fn next_header(mut self, next_header: u8) -> Self {
        self.next_header = Some(next_header);
        self
    }

    /// Uses these outer addresses: needed where what is inside is no IP packet.
    #[must_use]
    pub const fn outer(mut self, src: std::net::IpAddr, dst: std::net::IpAddr) -> Self {
        self.addresses = Some((src, dst));
        self
    }

    /// Flips a bit of a part after it was sealed; bits count from the first octet's highest.
    #[must_use]
    pub fn flip(mut self, part: Part, bit: usize) -> Self {
        self.flips.push((part, bit));
        self
    }

    /// Cuts the ESP packet to so many octets; the outer length fits what is left.
    #[must_use]
    pub const fn cut(mut self, octets: usize) -> Self {
        self.cut = Some(octets);
        self
    }
}

/// Gives what a packet carries and its protocol, for transport mode; extension headers stay outside.
fn upper(inner: &[u8]) -> Result<(&[u8], u8), Fault> {
    match ip::version(inner) {
        Some(4) => ip::Ipv4Packet::decode(inner).map(|seen| (seen.payload, seen.header.protocol)),
        _ => ip::Ipv6Packet::decode(inner).map(|seen| (seen.payload, seen.protocol)),
    }
    .map_err(Fault::tester)
}

/// Makes the outer header as every member does.
fn outer(inner: &[u8], esp: Vec<u8>, forge: &Forge) -> Result<Clear, Fault> {
    let route = ip::route(inner);
    let (src, dst) = match (forge.addresses, &route) {
        (Some(addresses), _) => addresses,
        (None, Ok(route)) => (route.src, route.dst),
        (None, Err(error)) => return Err(Fault::tester(format!("the inner packet: {error}"))),
    };
    let traffic_class = match ip::version(inner) {
        Some(4) => inner.get(1).copied().unwrap_or(0),
        Some(6) => inner.get(..2).map_or(0, |two| two[0] << 4 | two[1] >> 4),
        _ => 0,
    };
    let hops = route.as_ref().map_or(64, |route| route.hops);
    let dont_fragment = route.as_ref().is_ok_and(|route| route.dont_fragment) && src.is_ipv4();
    let packet = Clear::other(src, dst, ip::protocol::ESP, Vec::new());
    let upper = Upper::Other { protocol: ip::protocol::ESP, payload: esp };
    Ok(Clear { traffic_class, hops, dont_fragment, upper, ..packet })
}

/// Makes the transform and the keys of a TEK ready. The portable backend is always used, whatever the subject runs on.
pub(super) fn keyed(tek: &Tek) -> Result<(Transform, EspKey), Fault> {
    let name = tek.transform_name();
    let (cipher, mac) = name.split_once('+').unwrap_or((&name, ""));
    let cipher = Cipher::from_name(cipher).ok_or_else(|| Fault::tester(format!("no ESP transform: `{name}`")))?;
    let transform = Transform { cipher, mac: Mac::from_name(mac) };
    let key = EspKey::new(transform, &tek.algorithm_key, &tek.integrity_key, Backend::Portable);
    Ok((transform, key.map_err(Fault::tester)?))
}
