//! Limiting the TCP segment size, so that protected segments fit without being cut (esp.md §12).

use hallmark_wire::ip::protocol;

use crate::behaviour::{Behaviour, Defect};
use crate::header::Header;

/// TCP header octets without options.
const TCP_LEN: usize = 20;
const SYN: u8 = 0x02;

/// Gives the segment size that fits an inner packet of so many octets: 40 or 60 octets less (ESP-087).
#[must_use]
pub fn fitting(inner_max: usize, version4: bool) -> u16 {
    let headers = if version4 { 20 + TCP_LEN } else { 40 + TCP_LEN };
    u16::try_from(inner_max.saturating_sub(headers)).unwrap_or(u16::MAX)
}

/// Lowers the segment size that a SYN announces to `max` and corrects its checksum; tells whether it did.
///
/// Nothing is inserted where no size is announced, nothing is raised, and a packet whose options cannot be read is left
/// alone.
pub fn clamp(ip: &mut [u8], max: u16, behaviour: &Behaviour) -> bool {
    let Some(at) = announced_at(ip, behaviour) else {
        return behaviour.has(Defect::MssInserted) && insert(ip, max);
    };
    let Some(field) = ip.get(at.value..).and_then(|rest| rest.first_chunk::<2>()) else { return false };
    let old = u16::from_be_bytes(*field);
    // REQ ESP-087
    if old == max || old < max && !behaviour.has(Defect::MssRaised) {
        return false;
    }
    let Some(sum) = ip.get(at.checksum..).and_then(|rest| rest.first_chunk::<2>()) else { return false };
    let sum = u16::from_be_bytes(*sum);
    let odd = (at.value - at.segment) % 2 == 1;
    write(ip, at.value, max);
    if !behaviour.has(Defect::MssChecksumBroken) {
        write(ip, at.checksum, adjusted(sum, old, max, odd));
    }
    true
}

/// Where things are in a packet.
struct Places {
    segment: usize,
    checksum: usize,
    value: usize,
}

/// Finds the announced segment size in a SYN.
fn announced_at(ip: &[u8], behaviour: &Behaviour) -> Option<Places> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const SEGMENT_SIZE: u8 = 2;
    let header = Header::parse(ip)?;
    if header.protocol != protocol::TCP || header.is_later_piece() {
        return None;
    }
    let segment = ip.get(header.payload_at..header.len)?;
    let fixed = segment.first_chunk::<TCP_LEN>()?;
    if fixed[13] & SYN == 0 && !behaviour.has(Defect::MssOnNonSyn) {
        return None;
    }
    let mut options = segment.get(TCP_LEN..usize::from(fixed[12] >> 4) * 4)?;
    loop {
        let at = segment.len().min(usize::from(fixed[12] >> 4) * 4) - options.len();
        match options {
            [] | [END, ..] | [_] => return None,
            [NO_OPERATION, rest @ ..] => options = rest,
            [SEGMENT_SIZE, 4, _, _, ..] => {
                let segment = header.payload_at;
                return Some(Places { segment, checksum: segment + 16, value: segment + at + 2 });
            }
            [_, size, ..] => options = options.get(usize::from(*size).max(2)..)?,
        }
    }
}

/// Tells whether the options of a segment hold one that claims a length of 0: what only a defect asks.
pub(crate) fn has_option_of_length_0(ip: &[u8]) -> bool {
    let Some(mut options) = options_at(ip).and_then(|options| ip.get(options)) else { return false };
    loop {
        match options {
            [1, rest @ ..] => options = rest,
            [kind, 0, ..] if *kind > 1 => return true,
            [kind, size, ..] if *kind > 1 => options = options.get(usize::from(*size)..).unwrap_or_default(),
            _ => return false,
        }
    }
}

/// Writes an option over four octets of padding in a SYN that announces no size: what only a defect does.
fn insert(ip: &mut [u8], max: u16) -> bool {
    let Some(options) = options_at(ip) else { return false };
    let segment = options.start - TCP_LEN;
    let is_syn = ip.get(segment + 13).is_some_and(|flags| flags & SYN != 0);
    let padding = ip.get(options.clone()).filter(|_| is_syn).and_then(|options| options.first_chunk::<4>());
    let Some(sum) = ip.get(segment + 16..).and_then(|rest| rest.first_chunk::<2>()) else { return false };
    if padding != Some(&[1; 4]) {
        return false;
    }
    let sum = adjusted(u16::from_be_bytes(*sum), 0x0101, 0x0204, false);
    write(ip, segment + 16, adjusted(sum, 0x0101, max, false));
    write(ip, options.start, 0x0204);
    write(ip, options.start + 2, max);
    true
}

/// Finds the options of a TCP segment that shows its header.
fn options_at(ip: &[u8]) -> Option<std::ops::Range<usize>> {
    let header = Header::parse(ip).filter(|header| header.protocol == protocol::TCP && !header.is_later_piece())?;
    let segment = ip.get(header.payload_at..header.len)?;
    let end = usize::from(segment.first_chunk::<TCP_LEN>()?[12] >> 4) * 4;
    (TCP_LEN..=segment.len()).contains(&end).then(|| header.payload_at + TCP_LEN..header.payload_at + end)
}

/// Corrects a checksum for a 16-bit field that changes (RFC 1624); a field at an odd place counts with its octets
/// exchanged.
fn adjusted(sum: u16, old: u16, new: u16, odd: bool) -> u16 {
    let (old, new) = if odd { (old.swap_bytes(), new.swap_bytes()) } else { (old, new) };
    let total = u32::from(!sum) + u32::from(!old) + u32::from(new);
    let total = (total & 0xffff) + (total >> 16);
    !((total & 0xffff) + (total >> 16)) as u16
}

fn write(ip: &mut [u8], at: usize, value: u16) {
    if let Some(field) = ip.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) {
        *field = value.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use hallmark_wire::ip::{Checksum, Ipv4Header, Ipv6Header};
    use proptest::prelude::*;

    use super::*;

    const CONFORMING: fn() -> Behaviour = Behaviour::conforming;

    fn tcp_sum(src: IpAddr, dst: IpAddr, segment: &[u8]) -> u16 {
        let mut sum = Checksum::default();
        for end in [src, dst] {
            match end {
                IpAddr::V4(end) => sum.add(&end.octets()),
                IpAddr::V6(end) => sum.add(&end.octets()),
            }
        }
        sum.add(&[0, 6]);
        sum.add(&(segment.len() as u16).to_be_bytes());
        sum.add(segment);
        sum.finish()
    }

    fn segment(src: IpAddr, dst: IpAddr, flags: u8, options: &[u8]) -> Vec<u8> {
        let mut segment = vec![0x30, 0x39, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, 0, flags, 0xff, 0xff, 0, 0, 0, 0];
        segment.extend_from_slice(options);
        segment.resize(segment.len().next_multiple_of(4), 0);
        segment[12] = ((segment.len() / 4) << 4) as u8;
        segment.extend_from_slice(b"early");
        let sum = tcp_sum(src, dst, &segment);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        segment
    }

    fn v4(flags: u8, options: &[u8]) -> Vec<u8> {
        let (src, dst) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        Ipv4Header::new(src.into(), dst.into(), 6).packet(&segment(src.into(), dst.into(), flags, options))
    }

    fn v6(flags: u8, options: &[u8]) -> Vec<u8> {
        let (src, dst) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let mut body = vec![6, 0, 1, 4, 0, 0, 0, 0];
        body.extend(segment(IpAddr::V6(src), IpAddr::V6(dst), flags, options));
        Ipv6Header::new(src, dst, 60).packet(&body)
    }

    fn sum_is_right(ip: &[u8]) -> bool {
        let header = Header::parse(ip).unwrap();
        let key = crate::FlowKey::parse(ip).unwrap();
        tcp_sum(key.src_addr(), key.dst_addr(), &ip[header.payload_at..]) == 0
    }

    #[test]
    fn a_syn_is_limited_and_keeps_a_right_checksum() {
        let mut packet = v4(0x02, &[2, 4, 0x05, 0xb4]);
        let before = packet.clone();
        assert!(clamp(&mut packet, 1406, &CONFORMING()));
        assert_eq!(packet[40..44], [2, 4, 0x05, 0x7e]);
        assert!(sum_is_right(&packet));
        let changed: Vec<usize> = (0..packet.len()).filter(|at| packet[*at] != before[*at]).collect();
        assert_eq!(changed, [37, 43]);
        let mut answer = v6(0x12, &[1, 3, 3, 7, 1, 2, 4, 0x23, 0x00]);
        assert!(clamp(&mut answer, 1366, &CONFORMING()), "a SYN-ACK, the size at an odd place");
        assert!(sum_is_right(&answer));
        assert_eq!(answer[40 + 8 + 20 + 7..][..2], 1366u16.to_be_bytes());
    }

    #[test]
    fn what_is_no_syn_or_announces_nothing_larger_stays_as_it_is() {
        for packet in [
            v4(0x10, &[2, 4, 0x05, 0xb4]),
            v4(0x02, &[2, 4, 0x05, 0x7e]),
            v4(0x02, &[2, 4, 0x00, 0x00]),
            v4(0x02, &[1, 1, 1, 0, 2, 4, 0x05, 0xb4]),
            v4(0x02, &[]),
            v4(0x02, &[3, 0, 2, 4]),
            v4(0x02, &[3, 60, 2, 4, 0x05, 0xb4]),
            v4(0x02, &[2, 3, 0x05, 0xb4]),
        ] {
            let mut same = packet.clone();
            assert!(!clamp(&mut same, 1406, &CONFORMING()), "{}", hex::encode(&packet));
            assert_eq!(same, packet);
        }
        let mut later = v4(0x02, &[2, 4, 0x05, 0xb4]);
        later[7] = 9;
        assert!(!clamp(&mut later, 1406, &CONFORMING()), "a later piece has no TCP header");
        let mut cut = v4(0x02, &[2, 4, 0x05, 0xb4]);
        cut[3] = 42;
        assert!(!clamp(&mut cut, 1406, &CONFORMING()), "the options end behind the packet");
    }

    #[test]
    fn the_fitting_size_is_that_of_the_table() {
        assert_eq!((fitting(1446, true), fitting(1426, false)), (1406, 1366));
        assert_eq!((fitting(30, true), fitting(70_000, true)), (0, 65_535));
    }

    #[test]
    fn every_defect_shows() {
        let run = |defect, packet: &[u8]| {
            let mut packet = packet.to_vec();
            (clamp(&mut packet, 1406, &CONFORMING().with_defect(defect)), sum_is_right(&packet), packet[43])
        };
        assert_eq!(run(Defect::MssOnNonSyn, &v4(0x10, &[2, 4, 0x05, 0xb4])), (true, true, 0x7e));
        assert_eq!(run(Defect::MssRaised, &v4(0x02, &[2, 4, 0x02, 0x00])), (true, true, 0x7e));
        assert_eq!(run(Defect::MssChecksumBroken, &v4(0x02, &[2, 4, 0x05, 0xb4])), (true, false, 0x7e));
        assert_eq!(run(Defect::MssInserted, &v4(0x02, &[1, 1, 1, 1])), (true, true, 0x7e));
        assert_eq!(run(Defect::MssInserted, &v4(0x10, &[1, 1, 1, 1])), (false, true, 1));
        assert!(has_option_of_length_0(&v4(0x02, &[1, 3, 0, 4])));
        assert!(!has_option_of_length_0(&v4(0x02, &[3, 3, 7, 1, 2, 4, 0, 0])));
    }

    proptest! {
        #[test]
        fn the_checksum_stays_right_for_every_size_and_place(
            old in any::<u16>(), max in any::<u16>(), before in 0usize..6, flags in any::<u8>(), six in any::<bool>(),
        ) {
            let mut options = vec![1; before];
            options.extend_from_slice(&[2, 4, (old >> 8) as u8, old as u8]);
            let mut packet = if six { v6(flags, &options) } else { v4(flags, &options) };
            let before = packet.clone();
            let clamped = clamp(&mut packet, max, &CONFORMING());
            prop_assert_eq!(clamped, flags & 2 != 0 && old > max);
            prop_assert!(sum_is_right(&packet));
            prop_assert_eq!(clamped, packet != before);
        }

        #[test]
        fn no_octets_make_it_panic(octets in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut packet = v4(0x02, &octets[..octets.len().min(40)]);
            clamp(&mut packet, 1000, &CONFORMING());
            let mut raw = octets;
            clamp(&mut raw, 1000, &CONFORMING());
        }
    }
}
