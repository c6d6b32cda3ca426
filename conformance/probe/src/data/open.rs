//! What the subject sent: opened with the keys of the scripted key server and looked at from all sides.
//!
//! Nothing here is shared with the subject but the transforms themselves: headers, trailer and stamps are read by the
//! rules of the RFCs, and each breach is a [`Finding`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hallmark_core::Instant;
use hallmark_crypto::Secret;
use hallmark_crypto::esp::{EspKey, Transform};
use hallmark_wire::ip::{self, Ipv4Packet, Ipv6Packet};

use super::Stamp;
use super::seal::keyed;
use crate::group::Tek;
use crate::step::Fault;

/// One rule that a packet breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The requirement.
    pub requirement: &'static str,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.what, self.requirement)
    }
}

/// The outer header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outer {
    /// 4 or 6.
    pub version: u8,
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// TTL or hop limit.
    pub hops: u8,
    /// Identification (IPv4).
    pub ident: u16,
    /// DF (IPv4).
    pub dont_fragment: bool,
    /// Flow label (IPv6).
    pub flow_label: u32,
    /// Octets of options or extension headers.
    pub options_len: usize,
    /// Whether the header checksum is right (always for IPv6).
    pub checksum_is_right: bool,
    /// Octets behind what the header says is the end.
    pub trailing: usize,
}

/// An ESP packet that was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EspSeen {
    /// When it came.
    pub at: Instant,
    /// As it came.
    pub packet: Vec<u8>,
    /// The outer header.
    pub outer: Outer,
    /// SPI.
    pub spi: u32,
    /// Which key it was opened with, as the opener numbers them: SAs with one key have one number.
    pub key: usize,
    /// Sequence number.
    pub seq: u32,
    /// IV.
    pub iv: Vec<u8>,
    /// Octets of the ESP packet, from SPI to ICV.
    pub esp_len: usize,
    /// The transform of its SA.
    pub transform: Transform,
    /// The padding.
    pub pad: Vec<u8>,
    /// Next Header.
    pub next_header: u8,
    /// The stamp in front of the inner packet, if there is one.
    pub stamp: Option<Stamp>,
    /// The inner packet.
    pub inner: Vec<u8>,
    /// Octets between the inner packet and the padding; all of a dummy packet.
    pub tfc: usize,
    /// Whether it came in transport mode: then the inner packet is the one that was protected, put together again.
    pub transport: bool,
}

/// Next header of a dummy packet, which holds nothing and may come at any time (RFC 4303 §2.6).
const DUMMY: u8 = 59;

/// The keys of one TEK.
struct Keyed {
    spi: u32,
    /// The position of the first TEK that has the same key, with its salt.
    number: usize,
    /// The key as it was handed out.
    octets: Secret,
    transform: Transform,
    key: EspKey,
    /// Sequence numbers have 64 bits. No case lets a subject send so much that the high half moves.
    extended: bool,
    transport: bool,
}

/// The keys of the TEKs that the scripted key server has handed out.
#[derive(Default)]
pub struct Opener {
    keys: Vec<Keyed>,
}

impl Opener {
    /// Adds the keys of an ESP TEK; one that is there already is passed over.
    ///
    /// # Errors
    /// When the TEK is no ESP or its keys do not fit its transform.
    pub fn add(&mut self, tek: &Tek) -> Result<(), Fault> {
        if !self.knows(tek.spi) {
            let (transform, key) = keyed(tek)?;
            // GMAC may have its key in either place.
            let octets = if tek.algorithm_key.is_empty() { &tek.integrity_key } else { &tek.algorithm_key };
            let octets = Secret::from(octets.as_slice());
            let number = self.keys.iter().position(|known| known.octets == octets).unwrap_or(self.keys.len());
            self.keys.push(Keyed {
                spi: tek.spi,
                number,
                octets,
                transform,
                key,
                extended: tek.has_extended_sequence(),
                transport: tek.is_transport(),
            });
        }
        Ok(())
    }

    /// Tells whether an SPI is one of the group's.
    #[must_use]
    pub fn knows(&self, spi: u32) -> bool {
        self.keys.iter().any(|known| known.spi == spi)
    }

    /// Reads the SPI of an ESP packet; `None` for what is no ESP, or a later fragment.
    #[must_use]
    pub fn spi_of(packet: &[u8]) -> Option<u32> {
        let (_, payload) = split(packet).ok()?;
        payload.first_chunk::<4>().map(|spi| u32::from_be_bytes(*spi))
    }

    /// Opens a packet that came.
    ///
    /// # Errors
    /// Says why it cannot be opened: it is no ESP, a fragment, of another SPI, or not authentic.
    pub fn open(&self, at: Instant, packet: &[u8]) -> Result<EspSeen, String> {
        let (outer, payload) = split(packet)?;
        let Some([s0, s1, s2, s3, n0, n1, n2, n3]) = payload.first_chunk::<8>() else {
            return Err(format!("ESP of {} octets", payload.len()));
        };
        let (spi, seq) = (u32::from_be_bytes([*s0, *s1, *s2, *s3]), u32::from_be_bytes([*n0, *n1, *n2, *n3]));
        let known = self.keys.iter().find(|known| known.spi == spi);
        let known = known.ok_or_else(|| format!("ESP under SPI {spi:08x}, which is not the group's"))?;
        let Keyed { number, transform, key, transport, .. } = known;
        let mut esp = payload.to_vec();
        let iv = esp.get(8..transform.header_len()).unwrap_or_default().to_vec();
        let plain = key
            .open(&mut esp, known.extended.then_some(0))
            .map_err(|error| format!("ESP under SPI {spi:08x}: {error}"))?
            .to_vec();
        let (body, trailer) = plain.split_last_chunk::<2>().ok_or("ESP without a trailer")?;
        let (pad_len, next_header) = (usize::from(trailer[0]), trailer[1]);
        let content_len = body.len().checked_sub(pad_len).ok_or("ESP whose Pad Length exceeds it")?;
        let (content, pad) = body.split_at(content_len);
        let (stamp, inner_next, rest) = match Stamp::read(next_header, content) {
            Some((stamp, inner_next, rest)) => (Some(stamp), inner_next, rest),
            None => (None, next_header, content),
        };
        let mut seen = EspSeen {
            at,
            packet: packet.to_vec(),
            outer,
            spi,
            key: *number,
            seq,
            iv,
            esp_len: payload.len(),
            transform: *transform,
            pad: pad.to_vec(),
            next_header,
            stamp,
            inner: Vec::new(),
            tfc: 0,
            transport: *transport,
        };
        if *transport && inner_next != DUMMY {
            let head = packet.get(..packet.len() - seen.outer.trailing - payload.len()).unwrap_or_default();
            seen.inner = whole(head, inner_next, rest);
            return Ok(seen);
        }
        let inner_len = match inner_next {
            4 | 41 => inner_length(rest).ok_or("ESP whose inner packet does not decode")?,
            DUMMY => 0,
            other => return Err(format!("ESP with next header {other}: no tunnel")),
        };
        let (inner, tfc) = rest.split_at_checked(inner_len).ok_or("ESP whose inner packet is cut short")?;
        (seen.inner, seen.tfc) = (inner.to_vec(), tfc.len());
        Ok(seen)
    }
}

impl EspSeen {
    /// Tells whether it is a dummy packet, which holds nothing.
    #[must_use]
    pub const fn is_dummy(&self) -> bool {
        self.next_header == DUMMY
    }

    /// Names every rule that this packet breaks by itself, whatever the configuration of the member is.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut rule = |requirement: &'static str, broken: bool, what: &dyn Fn() -> String| {
            if broken {
                found.push(Finding { requirement, what: what() });
            }
        };
        let inner_version = ip::version(&self.inner).unwrap_or(0);
        rule("ESP-006", self.spi == 0, &|| "the SPI is 0".to_owned());
        let unaligned = (self.esp_len - self.transform.icv_len().min(self.esp_len)) % 4;
        rule("ESP-007", unaligned != 0, &|| format!("{unaligned} octets beyond a multiple of 4"));
        let counted = self.pad.iter().zip(1..=255u8).all(|(have, want)| *have == want);
        rule("ESP-008", !counted, &|| format!("padding {:?}", self.pad));
        rule("ESP-015", self.tfc > 0 && !self.is_dummy(), &|| format!("{} octets of TFC padding", self.tfc));
        let announced = match self.stamp {
            Some(_) => inner_version,
            None if self.next_header == 41 => 6,
            None => 4,
        };
        let mixed = inner_version != announced || inner_version != self.outer.version;
        rule("ESP-041", mixed && !self.is_dummy() && !self.transport, &|| {
            format!("IPv{inner_version} with next header {} in IPv{}", self.next_header, self.outer.version)
        });
        if let Ok(inner) = ip::route(&self.inner) {
            rule("ESP-038", inner.dst != self.outer.dst, &|| {
                format!("outer destination {}, inner {}", self.outer.dst, inner.dst)
            });
            rule("ESP-039", inner.src != self.outer.src, &|| {
                format!("outer source {}, inner {}", self.outer.src, inner.src)
            });
        }
        rule("ESP-045", self.outer.options_len > 0, &|| {
            format!("{} octets of options or extension headers outside", self.outer.options_len)
        });
        rule("ESP-053", self.outer.version == 6 && self.outer.flow_label != 0 && self.copies_flow_label(), &|| {
            format!("flow label {:05x} copied", self.outer.flow_label)
        });
        rule("ESP-044", !self.outer.checksum_is_right, &|| "the outer header checksum is wrong".to_owned());
        rule("ESP-044", self.outer.trailing > 0, &|| format!("{} octets behind the packet", self.outer.trailing));
        found
    }

    /// Gives DSCP and ECN of the inner packet.
    #[must_use]
    pub fn inner_traffic_class(&self) -> u8 {
        match (ip::version(&self.inner), self.inner.get(..2)) {
            (Some(6), Some(&[a, b])) => a << 4 | b >> 4,
            (_, Some(&[_, b])) => b,
            _ => 0,
        }
    }

    fn copies_flow_label(&self) -> bool {
        Ipv6Packet::decode(&self.inner).is_ok_and(|inner| inner.header.flow_label == self.outer.flow_label)
    }
}

/// Follows the numbers of one sender from packet to packet: sequence numbers for each SPI, IVs for each key.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    last: BTreeMap<u32, u32>,
    ivs: BTreeSet<(usize, Vec<u8>)>,
}

impl Ledger {
    /// Takes a packet in and names the rules that it breaks with regard to those before it. The first packet under an
    /// SPI must have number 1, so a ledger begins with the SA. All packets have to be of one opener.
    pub fn follow(&mut self, seen: &EspSeen) -> Vec<Finding> {
        let mut found = Vec::new();
        match self.last.insert(seen.spi, seen.seq) {
            None if seen.seq != 1 => found
                .push(Finding { requirement: "ESP-002", what: format!("the first packet has number {}", seen.seq) }),
            Some(before) if seen.seq != before.wrapping_add(1) => {
                found.push(Finding { requirement: "ESP-003", what: format!("number {} after {before}", seen.seq) });
            }
            _ => {}
        }
        if !seen.iv.is_empty() && !self.ivs.insert((seen.key, seen.iv.clone())) {
            found.push(Finding { requirement: "ESP-023", what: format!("the IV {:02x?} a second time", seen.iv) });
        }
        found
    }

    /// Gives the last number seen under an SPI.
    #[must_use]
    pub fn last(&self, spi: u32) -> Option<u32> {
        self.last.get(&spi).copied()
    }
}

/// Takes the outer header off an unfragmented ESP packet.
fn split(packet: &[u8]) -> Result<(Outer, &[u8]), String> {
    let other = |protocol: u8| format!("IP protocol {protocol} in clear, {} octets", packet.len());
    match ip::version(packet) {
        Some(4) => {
            let seen = Ipv4Packet::decode(packet).map_err(|error| error.to_string())?;
            let header = &seen.header;
            if header.protocol != ip::protocol::ESP {
                return Err(other(header.protocol));
            }
            if header.is_fragment() {
                return Err(format!("an ESP fragment at {}", header.fragment_offset));
            }
            let outer = Outer {
                version: 4,
                src: header.src.into(),
                dst: header.dst.into(),
                traffic_class: header.traffic_class,
                hops: header.ttl,
                ident: header.ident,
                dont_fragment: header.dont_fragment,
                flow_label: 0,
                options_len: header.options.len(),
                checksum_is_right: seen.checksum_is_right(),
                trailing: seen.trailing.len(),
            };
            Ok((outer, seen.payload))
        }
        Some(6) => {
            let seen = Ipv6Packet::decode(packet).map_err(|error| error.to_string())?;
            if seen.protocol != ip::protocol::ESP {
                return Err(other(seen.protocol));
            }
            if let Some(fragment) = seen.fragment {
                return Err(format!("an ESP fragment at {}", fragment.offset));
            }
            let outer = Outer {
                version: 6,
                src: seen.header.src.into(),
                dst: seen.header.dst.into(),
                traffic_class: seen.header.traffic_class,
                hops: seen.header.hop_limit,
                ident: 0,
                dont_fragment: true,
                flow_label: seen.header.flow_label,
                options_len: seen.extensions.len(),
                checksum_is_right: true,
                trailing: seen.trailing.len(),
            };
            Ok((outer, seen.payload))
        }
        version => Err(format!("IP version {version:?}")),
    }
}

/// Puts a packet together that was protected in transport mode: its own header in front of what it carries.
fn whole(head: &[u8], protocol: u8, upper: &[u8]) -> Vec<u8> {
    let mut packet = [head, upper].concat();
    let len = u16::try_from(packet.len()).unwrap_or(u16::MAX);
    let mut put = |at: usize, octets: &[u8]| {
        if let Some(place) = packet.get_mut(at..at + octets.len()) {
            place.copy_from_slice(octets);
        }
    };
    if ip::version(head) == Some(4) {
        put(2, &len.to_be_bytes());
        put(9, &[protocol]);
        put(10, &[0, 0]);
        let sum = ip::checksum(packet.get(..head.len()).unwrap_or_default());
        if let Some(place) = packet.get_mut(10..12) {
            place.copy_from_slice(&sum.to_be_bytes());
        }
    } else {
        put(4, &len.saturating_sub(40).to_be_bytes());
        put(6, &[protocol]);
    }
    packet
}

/// Reads how long a packet says that it is.
fn inner_length(packet: &[u8]) -> Option<usize> {
    let word = |at: usize| packet.get(at..at + 2).map(|two| usize::from(u16::from_be_bytes([two[0], two[1]])));
    match ip::version(packet)? {
        4 => word(2).filter(|len| *len >= 20),
        6 => Some(word(4)? + 40),
        _ => None,
    }
}
