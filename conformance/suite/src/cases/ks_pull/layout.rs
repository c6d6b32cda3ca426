//! SA and KD payloads octet by octet, so that a case can say which field of a malformed one is wrong.

use hallmark_wire::isakmp::{Attributes, PayloadType};

/// An SA payload of GDOI as it stands on the wire.
pub(super) struct SaLayout {
    /// DOI.
    pub(super) doi: u32,
    /// Situation.
    pub(super) situation: u32,
    /// SA Attribute Next Payload.
    pub(super) first: u16,
    /// RESERVED2.
    pub(super) reserved2: u16,
    /// SAK, GAP and SATs.
    pub(super) inner: Vec<Inner>,
    /// Where the chain of inner payloads breaks, if it does.
    pub(super) broken: Option<String>,
}

/// A payload inside an SA payload.
pub(super) struct Inner {
    /// Its type, as the field before it announces.
    pub(super) kind: u16,
    /// What it announces.
    pub(super) next: u8,
    /// RESERVED.
    pub(super) reserved: u8,
    /// Its octets after the generic header.
    pub(super) body: Vec<u8>,
}

impl SaLayout {
    /// Reads the body of an SA payload; `None` if it is shorter than its fixed part.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut layout = Self {
            doi: u32_at(body, 0)?,
            situation: u32_at(body, 4)?,
            first: u16_at(body, 8)?,
            reserved2: u16_at(body, 10)?,
            inner: Vec::new(),
            broken: None,
        };
        let (mut kind, mut at) = (layout.first, 12);
        while kind != 0 {
            let header = body.get(at..at + 4);
            let length = u16_at(body, at + 2).map(usize::from);
            let (Some(header), Some(length)) = (header, length) else {
                layout.broken = Some(format!("payload {kind} is announced at offset {at}, but nothing is left"));
                return Some(layout);
            };
            let Some(content) = body.get(at + 4..at + length).filter(|_| length >= 4) else {
                layout.broken = Some(format!("payload {kind} at offset {at} claims {length} octets"));
                return Some(layout);
            };
            let (next, reserved) = (header.first().copied().unwrap_or(0), header.get(1).copied().unwrap_or(0));
            layout.inner.push(Inner { kind, next, reserved, body: content.to_vec() });
            kind = u16::from(next);
            at += length;
        }
        if at != body.len() {
            layout.broken = Some(format!("{} octets follow the last inner payload", body.len() - at));
        }
        Some(layout)
    }

    /// Gives the types of the inner payloads in order.
    pub(super) fn kinds(&self) -> Vec<u16> {
        self.inner.iter().map(|inner| inner.kind).collect()
    }

    /// Gives the body of the SAK.
    pub(super) fn sak(&self) -> Option<&[u8]> {
        let sak = u16::from(PayloadType::SA_KEK.0);
        self.inner.iter().find(|inner| inner.kind == sak).map(|inner| inner.body.as_slice())
    }
}

/// A SAK as it stands on the wire.
pub(super) struct SakLayout {
    /// IP protocol of PUSH messages.
    pub(super) protocol: u8,
    /// The KEK SPI.
    pub(super) spi: Vec<u8>,
    /// RESERVED2, four octets.
    pub(super) reserved2: Vec<u8>,
    /// The attributes, if they parse to the end.
    pub(super) attributes: Result<Attributes, String>,
}

impl SakLayout {
    /// Reads the body of a SAK by the figure of RFC 6407 §5.3; `None` if it ends too early.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        // Protocol, then type, port and length-prefixed data of source and destination.
        let source = usize::from(*body.get(4)?);
        let destination = usize::from(*body.get(8 + source)?);
        let spi = 9 + source + destination;
        let attributes = Attributes::decode(body.get(spi + 20..)?);
        Some(Self {
            protocol: *body.first()?,
            spi: body.get(spi..spi + 16)?.to_vec(),
            reserved2: body.get(spi + 16..spi + 20)?.to_vec(),
            attributes: attributes.map_err(|error| error.to_string()),
        })
    }
}

/// A KD payload as it stands on the wire.
pub(super) struct KdLayout {
    /// Number of Key Packets.
    pub(super) count: u16,
    /// RESERVED2.
    pub(super) reserved2: u16,
    /// The packets that are there.
    pub(super) packets: Vec<Packet>,
    /// Where the packets break, if they do.
    pub(super) broken: Option<String>,
}

/// A key packet.
pub(super) struct Packet {
    /// KD Type.
    pub(super) kd_type: u8,
    /// RESERVED.
    pub(super) reserved: u8,
    /// The SPI.
    pub(super) spi: Vec<u8>,
    /// The keys, if they parse to the end.
    pub(super) attributes: Result<Attributes, String>,
}

impl Packet {
    /// Counts the attributes of a class.
    pub(super) fn count(&self, class: u16) -> usize {
        self.attributes.as_ref().map_or(0, |attributes| attributes.all(class).count())
    }

    /// Gives the octets of the first attribute of a class.
    pub(super) fn key(&self, class: u16) -> &[u8] {
        self.attributes.as_ref().ok().and_then(|attributes| attributes.octets(class)).unwrap_or_default()
    }
}

impl KdLayout {
    /// Reads the body of a KD payload; `None` if it is shorter than its fixed part.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (count, reserved2) = (u16_at(body, 0)?, u16_at(body, 2)?);
        let mut layout = Self { count, reserved2, packets: Vec::new(), broken: None };
        let mut at = 4;
        while at < body.len() {
            let length = u16_at(body, at + 2).map_or(0, usize::from);
            let packet = body.get(at..at + length).filter(|_| length >= 5);
            let size = packet.and_then(|packet| packet.get(4)).map_or(0, |size| usize::from(*size));
            let (Some(packet), Some(spi)) = (packet, packet.and_then(|packet| packet.get(5..5 + size))) else {
                layout.broken = Some(format!("the key packet at offset {at} claims {length} octets"));
                return Some(layout);
            };
            let attributes = Attributes::decode(packet.get(5 + size..).unwrap_or_default());
            layout.packets.push(Packet {
                kd_type: packet.first().copied().unwrap_or(0),
                reserved: packet.get(1).copied().unwrap_or(0),
                spi: spi.to_vec(),
                attributes: attributes.map_err(|error| error.to_string()),
            });
            at += length;
        }
        Some(layout)
    }

    /// Gives the packets of a type.
    pub(super) fn of(&self, kd_type: u8) -> impl Iterator<Item = &Packet> {
        self.packets.iter().filter(move |packet| packet.kd_type == kd_type)
    }
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}
