//! From captured frames to UDP datagrams: strips links, joins IP fragments, opens UDP.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use hallmark_core::Datagram;
use hallmark_wire::DecodeError;
use hallmark_wire::capture::{CapturedPacket, ip_payload};
use hallmark_wire::ip::{self, Ipv4Packet, Ipv6Packet, UdpHeader, protocol};

/// Sets of fragments that are open at once; the oldest gives way.
const OPEN_SETS: usize = 1024;
/// Octets that one packet can have.
const PACKET_MAX: usize = 65_535;

/// Says what a captured frame turned out to be.
pub(crate) enum Ingested {
    /// A whole UDP datagram.
    Datagram(Received),
    /// A piece of an IP packet that is not complete yet.
    Piece,
    /// A UDP packet that contradicts itself or was cut off by the capture.
    Broken(DecodeError),
    /// Anything else.
    Other,
}

/// Holds a datagram and how it came together.
pub(crate) struct Received {
    pub(crate) datagram: Datagram,
    /// Frames that held the pieces before the last one.
    pub(crate) pieces: Vec<usize>,
    pub(crate) remarks: Vec<String>,
}

/// Keeps the pieces of IP packets.
#[derive(Default)]
pub(crate) struct Ingest {
    sets: BTreeMap<SetKey, Set>,
}

type SetKey = (IpAddr, IpAddr, u32);

#[derive(Default)]
struct Set {
    /// Frame number and octets of each piece by its offset.
    pieces: BTreeMap<usize, (usize, Vec<u8>)>,
    /// Length of the whole, known from the last piece.
    total: Option<usize>,
    opened: usize,
}

/// One packet or piece of one, whatever its IP version.
struct Packet<'a> {
    src: IpAddr,
    dst: IpAddr,
    payload: &'a [u8],
    /// Identification, offset and whether more follow.
    piece: Option<(u32, usize, bool)>,
    header_checksum_wrong: bool,
}

impl Ingest {
    /// Takes the next frame of the capture.
    pub(crate) fn take(&mut self, number: usize, frame: &CapturedPacket) -> Ingested {
        let Some(octets) = ip_payload(frame.link_type, &frame.octets) else { return Ingested::Other };
        let packet = match open(octets) {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ingested::Other,
            Err(error) => return Ingested::Broken(error),
        };
        let (segment, pieces) = match packet.piece {
            None => (packet.payload.to_vec(), Vec::new()),
            Some(piece) => match self.join(number, &packet, piece) {
                Some(joined) => joined,
                None => return Ingested::Piece,
            },
        };
        match datagram(packet.src, packet.dst, &segment) {
            Ok((datagram, mut remarks)) => {
                if packet.header_checksum_wrong {
                    remarks.push("the IP header checksum is wrong".to_owned());
                }
                if !pieces.is_empty() {
                    remarks.push(format!("joined from IP fragments, {} octets", segment.len()));
                }
                Ingested::Datagram(Received { datagram, pieces, remarks })
            }
            Err(error) => Ingested::Broken(error),
        }
    }

    fn join(
        &mut self,
        number: usize,
        packet: &Packet<'_>,
        (ident, offset, more): (u32, usize, bool),
    ) -> Option<(Vec<u8>, Vec<usize>)> {
        let end = offset.saturating_add(packet.payload.len());
        if end > PACKET_MAX {
            return None;
        }
        let key = (packet.src, packet.dst, ident);
        if self.sets.len() >= OPEN_SETS && !self.sets.contains_key(&key) {
            let oldest = self.sets.iter().min_by_key(|(_, set)| set.opened).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.sets.remove(&oldest);
            }
        }
        let set = self.sets.entry(key).or_insert_with(|| Set { opened: number, ..Set::default() });
        // The first copy of a piece stays, as in the stacks that will have read it.
        set.pieces.entry(offset).or_insert_with(|| (number, packet.payload.to_vec()));
        if !more {
            set.total = Some(end);
        }
        let whole = set.whole()?;
        let pieces = set.pieces.values().map(|(frame, _)| *frame).filter(|frame| *frame != number).collect();
        self.sets.remove(&key);
        Some((whole, pieces))
    }
}

impl Set {
    /// Gives the whole payload when no octet is missing.
    fn whole(&self) -> Option<Vec<u8>> {
        let total = self.total?;
        let mut whole = Vec::new();
        for (offset, (_, octets)) in &self.pieces {
            if *offset > whole.len() {
                return None;
            }
            let known = whole.len().saturating_sub(*offset);
            whole.extend_from_slice(octets.get(known..).unwrap_or_default());
        }
        (whole.len() >= total).then(|| {
            whole.truncate(total);
            whole
        })
    }
}

/// Opens an IP packet; nothing when it carries something else than UDP.
fn open(octets: &[u8]) -> Result<Option<Packet<'_>>, DecodeError> {
    match ip::version(octets) {
        Some(4) => {
            let claims_udp = octets.get(9) == Some(&protocol::UDP);
            match Ipv4Packet::decode(octets) {
                Ok(packet) if packet.header.protocol == protocol::UDP => {
                    let header_checksum_wrong = !packet.checksum_is_right();
                    let header = packet.header;
                    let piece = (u32::from(header.ident), usize::from(header.fragment_offset), header.more_fragments);
                    Ok(Some(Packet {
                        src: header.src.into(),
                        dst: header.dst.into(),
                        payload: packet.payload,
                        piece: (piece.1 != 0 || piece.2).then_some(piece),
                        header_checksum_wrong,
                    }))
                }
                Err(error) if claims_udp => Err(error),
                Ok(_) | Err(_) => Ok(None),
            }
        }
        Some(6) => {
            let claims_udp = matches!(octets.get(6), Some(&(protocol::UDP | protocol::FRAGMENT)));
            match Ipv6Packet::decode(octets) {
                Ok(packet) if packet.protocol == protocol::UDP => {
                    let piece = packet.fragment.map(|part| (part.ident, usize::from(part.offset), part.more));
                    Ok(Some(Packet {
                        src: packet.header.src.into(),
                        dst: packet.header.dst.into(),
                        payload: packet.payload,
                        piece: piece.filter(|(_, offset, more)| *offset != 0 || *more),
                        header_checksum_wrong: false,
                    }))
                }
                Err(error) if claims_udp => Err(error),
                Ok(_) | Err(_) => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// Opens a UDP segment. A wrong checksum is a remark only: a capture on the sending host sees packets before the
/// network card has filled it in.
fn datagram(src: IpAddr, dst: IpAddr, segment: &[u8]) -> Result<(Datagram, Vec<String>), DecodeError> {
    let error = match ip::parse_udp_segment(src, dst, segment) {
        Ok(datagram) => return Ok((datagram, Vec::new())),
        Err(error) => error,
    };
    let header = UdpHeader::decode(segment)?;
    match segment.get(UdpHeader::LEN..usize::from(header.length)) {
        Some(payload) if error.code.as_str() == "udp.checksum" => {
            let ends = (SocketAddr::new(src, header.src_port), SocketAddr::new(dst, header.dst_port));
            let remark = format!("the UDP checksum {:04x} is wrong", header.checksum);
            Ok((Datagram::new(ends.0, ends.1, payload.to_vec()), vec![remark]))
        }
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use hallmark_core::UnixTime;
    use hallmark_wire::capture::link_type;
    use hallmark_wire::ip::{fragment_ipv4, fragment_ipv6, udp_packet};

    use super::*;

    fn frame(octets: &[u8]) -> CapturedPacket {
        CapturedPacket {
            at: UnixTime::default(),
            interface: 0,
            link_type: link_type::RAW,
            octets: octets.to_vec(),
            original_len: octets.len() as u32,
            comment: None,
        }
    }

    fn sample(src: &str, dst: &str) -> Datagram {
        Datagram::new(src.parse().unwrap(), dst.parse().unwrap(), (0..3000_u32).map(|i| i as u8).collect())
    }

    #[test]
    fn fragments_join_in_any_order_with_copies_and_name_their_frames() {
        let v4 = sample("10.0.0.1:848", "10.0.0.2:848");
        let v6 = sample("[fd00::1]:848", "[fd00::2]:848");
        let cut4 = fragment_ipv4(&udp_packet(&v4, 7, false), 1000);
        let cut6 = fragment_ipv6(&udp_packet(&v6, 0, false), 1280, 9);
        for (expected, pieces) in [(v4, cut4), (v6, cut6)] {
            let mut ingest = Ingest::default();
            let mut order: Vec<&Vec<u8>> = pieces.iter().rev().collect();
            order.insert(1, pieces.last().unwrap());
            let mut results: Vec<Ingested> =
                order.iter().enumerate().map(|(index, piece)| ingest.take(index + 1, &frame(piece))).collect();
            let Some(Ingested::Datagram(received)) = results.pop() else { panic!("not joined") };
            assert_eq!(received.datagram, expected);
            assert_eq!(received.pieces.len(), pieces.len() - 1);
            assert!(results.iter().all(|result| matches!(result, Ingested::Piece)));
            assert!(ingest.sets.is_empty());
        }
    }

    #[test]
    fn a_wrong_checksum_is_a_remark_and_a_cut_packet_is_broken() {
        let whole = udp_packet(&sample("10.0.0.1:848", "10.0.0.2:848"), 7, false);
        let mut wrong = whole.clone();
        *wrong.last_mut().unwrap() ^= 1;
        let mut ingest = Ingest::default();
        let Ingested::Datagram(received) = ingest.take(1, &frame(&wrong)) else { panic!("refused") };
        assert!(received.remarks[0].contains("UDP checksum"), "{:?}", received.remarks);
        assert!(matches!(ingest.take(2, &frame(&whole[..200])), Ingested::Broken(error) if error.need == whole.len()));
        assert!(matches!(ingest.take(3, &frame(&[0x45, 0, 0])), Ingested::Other));
        assert!(matches!(ingest.take(4, &frame(&[])), Ingested::Other));
    }
}
