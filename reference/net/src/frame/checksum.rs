//! Transport checksums that a sender on this host left to its network card.
//!
//! Between two ends of a veth there is no card: the frame arrives with the sum of the pseudo header where the checksum
//! belongs. A bridge that encrypts the packet has to finish it, since nobody behind it can.

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Computes the checksum of the TCP segment or UDP datagram in a frame, Ethernet or bare IP, and puts it in its place.
/// Says whether there was one: not in fragments, in other protocols or in frames that end too early.
pub(crate) fn complete(frame: &mut [u8], ethernet: bool) -> bool {
    let transport = if ethernet { Transport::find(frame) } else { Transport::behind_ip(frame) };
    transport.is_some_and(|transport| transport.fill_in(frame))
}

/// As [`complete`] for Ethernet, but only when the checksum is the plain sum of the pseudo header, which is how an open one looks.
///
/// A finished checksum has this value once in 65,536 times, and then completing it changes nothing.
pub(crate) fn complete_if_open(frame: &mut [u8]) -> bool {
    let Some(transport) = Transport::find(frame) else { return false };
    let Some(&[high, low]) = frame.get(transport.field..transport.field + 2) else { return false };
    u16::from_be_bytes([high, low]) == fold(transport.pseudo) && transport.fill_in(frame)
}

/// Adds up several stretches of octets, each but the last of even length, and a number, as RFC 1071 does; 0xffff over
/// octets that hold their own checksum says that it is right.
pub(super) fn folded(parts: &[&[u8]], more: u64) -> u16 {
    fold(parts.iter().map(|part| sum(part)).sum::<u64>() + more)
}

/// Where a segment lies in its frame.
struct Transport {
    start: usize,
    end: usize,
    field: usize,
    protocol: u8,
    pseudo: u64,
}

impl Transport {
    fn find(frame: &[u8]) -> Option<Self> {
        let mut at = 12;
        let mut ethertype = pair(frame, at)?;
        // At most two VLAN tags: 802.1Q inside 802.1ad.
        for _ in 0..2 {
            if matches!(ethertype, 0x8100 | 0x88a8) {
                at += 4;
                ethertype = pair(frame, at)?;
            }
        }
        let ip = at + 2;
        match ethertype {
            0x0800 => Self::behind_v4(frame, ip),
            0x86dd => Self::behind_v6(frame, ip),
            _ => None,
        }
    }

    fn behind_ip(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Self::behind_v4(packet, 0),
            6 => Self::behind_v6(packet, 0),
            _ => None,
        }
    }

    fn behind_v4(frame: &[u8], ip: usize) -> Option<Self> {
        let header = usize::from(frame.get(ip)? & 0x0f) * 4;
        let total = usize::from(pair(frame, ip + 2)?);
        // More fragments, or an offset: the checksum covers octets that are not here.
        if pair(frame, ip + 6)? & 0x3fff != 0 {
            return None;
        }
        Self::new(frame, *frame.get(ip + 9)?, ip + header, ip + total, sum(frame.get(ip + 12..ip + 20)?))
    }

    fn behind_v6(frame: &[u8], ip: usize) -> Option<Self> {
        let end = ip + 40 + usize::from(pair(frame, ip + 4)?);
        let addresses = sum(frame.get(ip + 8..ip + 40)?);
        let mut next = *frame.get(ip + 6)?;
        let mut at = ip + 40;
        // Hop-by-hop, routing and destination options may stand between; a chain of them ends within a few.
        for _ in 0..8 {
            if !matches!(next, 0 | 43 | 60) {
                break;
            }
            next = *frame.get(at)?;
            at += (usize::from(*frame.get(at + 1)?) + 1) * 8;
        }
        Self::new(frame, next, at, end, addresses)
    }

    fn new(frame: &[u8], protocol: u8, start: usize, end: usize, addresses: u64) -> Option<Self> {
        let (field, header) = match protocol {
            TCP => (16, 20),
            UDP => (6, 8),
            _ => return None,
        };
        let len = end.checked_sub(start)?;
        if len < header || end > frame.len() {
            return None;
        }
        let pseudo = addresses + u64::from(protocol) + len as u64;
        Some(Self { start, end, field: start + field, protocol, pseudo })
    }

    fn fill_in(&self, frame: &mut [u8]) -> bool {
        let Some(field) = frame.get_mut(self.field..self.field + 2) else { return false };
        field.fill(0);
        let Some(segment) = frame.get(self.start..self.end) else { return false };
        let checksum = match !fold(self.pseudo + sum(segment)) {
            // Zero means that there is none.
            0 if self.protocol == UDP => 0xffff,
            other => other,
        };
        let Some(field) = frame.get_mut(self.field..self.field + 2) else { return false };
        field.copy_from_slice(&checksum.to_be_bytes());
        true
    }
}

fn pair(frame: &[u8], at: usize) -> Option<u16> {
    frame.get(at..at + 2).and_then(|octets| octets.try_into().ok()).map(u16::from_be_bytes)
}

/// Adds up octets as big-endian words of 16 bits (RFC 1071); folding comes later. Four octets at a time: the carry
/// between the two words comes back when the sum is folded.
fn sum(octets: &[u8]) -> u64 {
    let words = octets.chunks_exact(4);
    let rest = match *words.remainder() {
        [a] => u64::from(u16::from_be_bytes([a, 0])),
        [a, b] => u64::from(u16::from_be_bytes([a, b])),
        [a, b, c] => u64::from(u16::from_be_bytes([a, b])) + u64::from(u16::from_be_bytes([c, 0])),
        _ => 0,
    };
    words.filter_map(|word| word.try_into().ok()).fold(rest, |sum, word| sum + u64::from(u32::from_be_bytes(word)))
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A UDP datagram of DNS as a resolver sends it: 10.0.0.1:5353 to 10.0.0.2:53, checksum by the definition.
    fn udp_frame(payload: &[u8], tag: &[u8]) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        frame.extend_from_slice(tag);
        frame.extend_from_slice(&[8, 0, 0x45, 0]);
        let length = u16::try_from(payload.len()).unwrap() + 8;
        frame.extend_from_slice(&(length + 20).to_be_bytes());
        frame.extend_from_slice(&[0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        for word in [5353, 53, length, 0] {
            frame.extend_from_slice(&word.to_be_bytes());
        }
        frame.extend_from_slice(payload);
        frame
    }

    fn by_definition(frame: &[u8], ip: usize) -> u16 {
        let segment = &frame[ip + 20..];
        let mut octets = frame[ip + 12..ip + 20].to_vec();
        octets.extend_from_slice(&[0, frame[ip + 9]]);
        octets.extend_from_slice(&u16::try_from(segment.len()).unwrap().to_be_bytes());
        octets.extend_from_slice(segment);
        if octets.len() % 2 == 1 {
            octets.push(0);
        }
        let mut total = 0_u32;
        for word in octets.chunks(2) {
            total += u32::from(u16::from_be_bytes([word[0], word[1]]));
            total = (total & 0xffff) + (total >> 16);
        }
        u16::try_from(total).unwrap()
    }

    #[test]
    fn a_completed_checksum_makes_the_sum_of_the_packet_all_ones() {
        for length in 0..40_u8 {
            let payload: Vec<u8> = (0..length).map(|n| n.wrapping_mul(91)).collect();
            for tag in [&[][..], &[0x81, 0, 0, 7], &[0x88, 0xa8, 0, 9, 0x81, 0, 0, 7]] {
                let mut frame = udp_frame(&payload, tag);
                assert!(complete(&mut frame, true));
                assert_eq!(by_definition(&frame, 14 + tag.len()), 0xffff, "{length} octets");
                let mut bare = udp_frame(&payload, tag)[14 + tag.len()..].to_vec();
                assert!(complete(&mut bare, false));
                assert_eq!(bare, frame[14 + tag.len()..], "without a link header");
            }
        }
    }

    #[test]
    fn an_open_checksum_is_known_by_being_the_sum_of_the_pseudo_header() {
        let mut frame = udp_frame(b"open", &[]);
        let finished = {
            let mut copy = frame.clone();
            assert!(complete(&mut copy, true));
            copy
        };
        let pseudo = 0x0a00 + 1 + 0x0a00 + 2 + 17 + 12_u16;
        frame[40..42].copy_from_slice(&pseudo.to_be_bytes());
        assert!(complete_if_open(&mut frame));
        assert_eq!(frame, finished);
        // A finished one, a wrong one and a missing one stay as they are.
        for field in [[finished[40], finished[41]], [0xde, 0xad], [0, 0]] {
            let mut frame = finished.clone();
            frame[40..42].copy_from_slice(&field);
            let before = frame.clone();
            assert!(!complete_if_open(&mut frame));
            assert_eq!(frame, before);
        }
    }

    #[test]
    fn fragments_other_protocols_and_short_frames_are_left_alone() {
        let whole = udp_frame(b"fragment", &[]);
        for (at, value) in [(20, 0x20), (21, 1), (23, 50), (12, 9), (16, 0xff)] {
            let mut frame = whole.clone();
            frame[at] = value;
            let before = frame.clone();
            assert!(!complete(&mut frame, true), "octet {at}");
            assert_eq!(frame, before);
        }
        for cut in 0..whole.len() {
            assert!(!complete(&mut whole[..cut].to_vec(), true));
        }
    }

    #[test]
    fn padding_of_a_short_frame_is_not_part_of_the_sum() {
        let mut frame = udp_frame(b"pad", &[]);
        let mut padded = frame.clone();
        padded.extend_from_slice(&[0xee; 15]);
        assert!(complete(&mut frame, true) && complete(&mut padded, true));
        assert_eq!(frame[..], padded[..frame.len()]);
    }

    #[test]
    fn a_segment_behind_options_of_ipv6_is_found() {
        let mut frame = vec![0; 12];
        frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 8 + 21, 0, 64]);
        let addresses: Vec<u8> = (0..32).collect();
        frame.extend_from_slice(&addresses);
        frame.extend_from_slice(&[6, 0, 1, 4, 0, 0, 0, 0]);
        let segment: Vec<u8> = (100..121).collect();
        frame.extend_from_slice(&segment);
        assert!(complete(&mut frame, true));
        let mut covered = addresses;
        covered.extend_from_slice(&[0, 6, 0, 21]);
        covered.extend_from_slice(&frame[62..]);
        assert_eq!(fold(sum(&covered)), 0xffff);
    }
}
