//! Large TCP segments, as hosts on the other end of a veth hand them over when their offloads are on (virtio-net header
//! of PACKET_VNET_HDR): cut into the packets that a wire would have carried, and put together again on the way back.
//!
//! Most of what a packet costs here is its way through the kernel. A host that hands over 64 KB at once pays it once;
//! the data plane in between still sees, protects and judges every packet of its own.

use super::checksum;

/// Octets of the virtio-net header in front of every frame.
pub(super) const HEADER: usize = 10;
/// Longest IP packet that one large segment may have.
const LONGEST: usize = 65_535;
/// Pieces of the longest large segment that is put together.
pub(super) const PIECES: usize = 64;

const ETHERNET: usize = 14;
const NEEDS_CHECKSUM: u8 = 1;
const TCP_V4: u8 = 1;
const TCP_V6: u8 = 4;
/// Congestion is told in a bit beside the kind.
const ECN: u8 = 0x80;
const FIN_PSH: u8 = 0x09;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const CWR: u8 = 0x80;

/// A large TCP segment that is cut piece by piece.
#[derive(Debug)]
pub(super) struct Large {
    frame: Vec<u8>,
    /// Octets of Ethernet, IP and TCP header.
    headers: usize,
    size: usize,
    next: usize,
    piece: Vec<u8>,
}

impl Large {
    /// Makes a place for large segments.
    pub(super) const fn new() -> Self {
        Self { frame: Vec::new(), headers: 0, size: 0, next: 0, piece: Vec::new() }
    }

    /// Takes a frame whose virtio-net header says that it stands for several; `false` when it does not, or is none that
    /// can be cut.
    pub(super) fn take(&mut self, header: &[u8], frame: &[u8]) -> bool {
        let kind = header.get(1).map_or(0, |kind| kind & !ECN);
        let size = pair_ne(header, 4).map_or(0, usize::from);
        let Some(tcp) = Tcp::find(frame).filter(|_| matches!(kind, TCP_V4 | TCP_V6) && size > 0) else { return false };
        self.frame.clear();
        self.frame.extend_from_slice(frame.get(..tcp.end).unwrap_or_default());
        (self.headers, self.size, self.next) = (tcp.payload, size, 0);
        true
    }

    /// Gives the next piece, complete with lengths, numbers and checksums.
    pub(super) fn cut(&mut self) -> Option<&mut [u8]> {
        let payload = self.frame.get(self.headers..)?;
        let from = self.next * self.size;
        let part = payload.get(from..payload.len().min(from + self.size)).filter(|part| !part.is_empty())?;
        let last = from + part.len() == payload.len();
        self.piece.clear();
        self.piece.extend_from_slice(self.frame.get(..self.headers)?);
        self.piece.extend_from_slice(part);
        let tcp = Tcp::find(&self.frame)?;
        tcp.set_length(&mut self.piece, part.len());
        if tcp.v4 {
            // Every piece is a packet of its own.
            let ident = pair(&self.piece, ETHERNET + 4)?.wrapping_add(self.next as u16);
            put(&mut self.piece, ETHERNET + 4, ident);
        }
        let number = word(&self.piece, tcp.start + 4)?.wrapping_add(from as u32);
        self.piece.get_mut(tcp.start + 4..tcp.start + 8)?.copy_from_slice(&number.to_be_bytes());
        let flags = self.piece.get_mut(tcp.start + 13)?;
        if !last {
            *flags &= !FIN_PSH;
        }
        if self.next > 0 {
            *flags &= !CWR;
        }
        tcp.set_ip_checksum(&mut self.piece);
        checksum::complete(&mut self.piece, true);
        self.next += 1;
        Some(&mut self.piece)
    }
}

/// Headers of several TCP segments of one flow that follow each other, as one large segment.
#[derive(Debug)]
pub(super) struct Joined {
    /// The virtio-net header.
    pub(super) virtio: [u8; HEADER],
    /// Ethernet, IP and TCP header of the whole.
    pub(super) headers: Vec<u8>,
    /// Octets of headers in front of the payload of each piece.
    pub(super) skip: usize,
    /// How many frames it stands for.
    pub(super) count: usize,
}

/// Says how many of the frames at the front are one large segment, and which. One frame alone is never one.
pub(super) fn join(frames: &[&[u8]]) -> Option<Joined> {
    let first = *frames.first()?;
    let head = Tcp::find(first).filter(|tcp| tcp.may_begin(first))?;
    let size = head.end - head.payload;
    let mut number = word(first, head.start + 4)?;
    let mut total = size;
    let mut count = 1;
    let mut flags = *first.get(head.start + 13)?;
    for frame in frames.iter().take(PIECES).skip(1) {
        if flags & PSH != 0 {
            break;
        }
        let Some(tcp) = Tcp::find(frame) else { break };
        let len = tcp.end - tcp.payload;
        number = number.wrapping_add(size as u32);
        let longest = tcp.payload - ETHERNET + total + len;
        if len > size || longest > LONGEST || !head.continues(first, &tcp, frame, number) {
            break;
        }
        total += len;
        count += 1;
        flags |= frame.get(tcp.start + 13)?;
        if len < size {
            break;
        }
    }
    if count < 2 {
        return None;
    }
    let mut headers = first.get(..head.payload)?.to_vec();
    head.set_length(&mut headers, total);
    *headers.get_mut(head.start + 13)? = flags;
    head.set_ip_checksum(&mut headers);
    // Whoever takes the segment apart finishes the checksum: here it is the sum of the pseudo header.
    let pseudo = head.pseudo_sum(&headers, head.payload - head.start + total);
    put(&mut headers, head.start + 16, pseudo);
    let mut virtio = [0; HEADER];
    virtio[0] = NEEDS_CHECKSUM;
    virtio[1] = if head.v4 { TCP_V4 } else { TCP_V6 };
    for (at, value) in [(2, head.payload), (4, size), (6, head.start), (8, 16)] {
        virtio[at..at + 2].copy_from_slice(&u16::try_from(value).ok()?.to_ne_bytes());
    }
    Some(Joined { virtio, headers, skip: head.payload, count })
}

/// Where a TCP segment lies in an Ethernet frame without VLAN tag, IP options or extension headers.
struct Tcp {
    v4: bool,
    start: usize,
    payload: usize,
    end: usize,
}

impl Tcp {
    fn find(frame: &[u8]) -> Option<Self> {
        let v4 = match pair(frame, 12)? {
            0x0800 if *frame.get(ETHERNET)? == 0x45 && pair(frame, ETHERNET + 6)? & 0x3fff == 0 => true,
            0x86dd => false,
            _ => return None,
        };
        let (start, end, protocol) = if v4 {
            (ETHERNET + 20, ETHERNET + usize::from(pair(frame, ETHERNET + 2)?), *frame.get(ETHERNET + 9)?)
        } else {
            (ETHERNET + 40, ETHERNET + 40 + usize::from(pair(frame, ETHERNET + 4)?), *frame.get(ETHERNET + 6)?)
        };
        let payload = start + usize::from(frame.get(start + 12)? >> 4) * 4;
        (protocol == 6 && payload >= start + 20 && payload <= end && end <= frame.len()).then_some(Self {
            v4,
            start,
            payload,
            end,
        })
    }

    /// A segment with data and nothing to tell but an acknowledgement, and whose checksum is right: joining would hide
    /// that it is not.
    fn may_begin(&self, frame: &[u8]) -> bool {
        let plain = frame.get(self.start + 13).is_some_and(|flags| flags & !PSH == ACK);
        plain && self.payload < self.end && self.end == frame.len() && self.checksum_is_right(frame)
    }

    /// Whether a frame goes on exactly where the ones before it end.
    fn continues(&self, first: &[u8], tcp: &Self, frame: &[u8], number: u32) -> bool {
        let same = |from: usize, to: usize| first.get(from..to) == frame.get(from..to);
        let ip = if self.v4 {
            // Everything but length, identification and checksum.
            same(ETHERNET, ETHERNET + 2) && same(ETHERNET + 6, ETHERNET + 10) && same(ETHERNET + 12, self.start)
        } else {
            same(ETHERNET, ETHERNET + 4) && same(ETHERNET + 6, self.start)
        };
        self.v4 == tcp.v4
            && self.payload == tcp.payload
            && same(0, ETHERNET)
            && ip
            && same(self.start, self.start + 4)
            && same(self.start + 8, self.start + 13)
            && same(self.start + 14, self.start + 16)
            && same(self.start + 18, self.payload)
            && word(frame, self.start + 4) == Some(number)
            && tcp.may_begin(frame)
    }

    fn checksum_is_right(&self, frame: &[u8]) -> bool {
        let Some(segment) = frame.get(self.start..self.end) else { return false };
        let addresses = if self.v4 { ETHERNET + 12 } else { ETHERNET + 8 };
        let Some(addresses) = frame.get(addresses..self.start) else { return false };
        checksum::folded(&[addresses, segment], 6 + segment.len() as u64) == 0xffff
    }

    fn pseudo_sum(&self, headers: &[u8], len: usize) -> u16 {
        let addresses = if self.v4 { ETHERNET + 12 } else { ETHERNET + 8 };
        checksum::folded(&[headers.get(addresses..self.start).unwrap_or_default()], 6 + len as u64)
    }

    fn set_length(&self, frame: &mut [u8], payload: usize) {
        let tcp = self.payload - self.start + payload;
        if self.v4 {
            put(frame, ETHERNET + 2, (20 + tcp) as u16);
        } else {
            put(frame, ETHERNET + 4, tcp as u16);
        }
    }

    fn set_ip_checksum(&self, frame: &mut [u8]) {
        if self.v4 {
            put(frame, ETHERNET + 10, 0);
            let sum = checksum::folded(&[frame.get(ETHERNET..ETHERNET + 20).unwrap_or_default()], 0);
            put(frame, ETHERNET + 10, !sum);
        }
    }
}

fn pair(frame: &[u8], at: usize) -> Option<u16> {
    frame.get(at..at + 2).and_then(|octets| octets.try_into().ok()).map(u16::from_be_bytes)
}

fn pair_ne(frame: &[u8], at: usize) -> Option<u16> {
    frame.get(at..at + 2).and_then(|octets| octets.try_into().ok()).map(u16::from_ne_bytes)
}

fn word(frame: &[u8], at: usize) -> Option<u32> {
    frame.get(at..at + 4).and_then(|octets| octets.try_into().ok()).map(u32::from_be_bytes)
}

fn put(frame: &mut [u8], at: usize, value: u16) {
    if let Some(room) = frame.get_mut(at..at + 2) {
        room.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(v4: bool, number: u32, payload: &[u8], flags: u8) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        let tcp_len = 32 + payload.len();
        if v4 {
            frame.extend_from_slice(&[8, 0, 0x45, 0]);
            frame.extend_from_slice(&(20 + tcp_len as u16).to_be_bytes());
            frame.extend_from_slice(&[0x11, 0x22, 0x40, 0, 64, 6, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1]);
        } else {
            frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend_from_slice(&(tcp_len as u16).to_be_bytes());
            frame.extend_from_slice(&[6, 64]);
            frame.extend_from_slice(&[0x20; 32]);
        }
        frame.extend_from_slice(&[0x04, 0, 0x08, 0]);
        frame.extend_from_slice(&number.to_be_bytes());
        frame.extend_from_slice(&[0, 0, 0, 9, 0x80, flags, 1, 0, 0, 0, 0, 0]);
        frame.extend_from_slice(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
        frame.extend_from_slice(payload);
        let tcp = Tcp::find(&frame).expect("a segment");
        tcp.set_ip_checksum(&mut frame);
        assert!(checksum::complete(&mut frame, true));
        frame
    }

    fn virtio(v4: bool, size: u16) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[1] = if v4 { TCP_V4 } else { TCP_V6 };
        header[4..6].copy_from_slice(&size.to_ne_bytes());
        header
    }

    #[test]
    fn a_large_segment_is_cut_into_packets_with_right_numbers_flags_and_checksums() {
        for v4 in [true, false] {
            let payload: Vec<u8> = (0..2_500_u32).map(|n| n as u8).collect();
            let frame = segment(v4, 0xffff_fff0, &payload, ACK | PSH | CWR);
            let mut large = Large::new();
            assert!(large.take(&virtio(v4, 1_000), &frame));
            let mut seen = Vec::new();
            let mut numbers = Vec::new();
            let mut flags = Vec::new();
            while let Some(piece) = large.cut() {
                let tcp = Tcp::find(piece).expect("a segment");
                assert!(tcp.checksum_is_right(piece));
                numbers.push(word(piece, tcp.start + 4));
                flags.push(piece[tcp.start + 13]);
                if v4 {
                    assert_eq!(checksum::folded(&[&piece[ETHERNET..ETHERNET + 20]], 0), 0xffff);
                    assert_eq!(pair(piece, ETHERNET + 4), Some(0x1122 + numbers.len() as u16 - 1));
                }
                seen.extend_from_slice(&piece[tcp.payload..tcp.end]);
            }
            assert_eq!(seen, payload);
            assert_eq!(numbers, [Some(0xffff_fff0), Some(0x3d8), Some(0x7c0)]);
            assert_eq!(flags, [ACK | CWR, ACK, ACK | PSH]);
        }
    }

    #[test]
    fn what_is_cut_is_joined_to_what_it_was() {
        for v4 in [true, false] {
            let payload: Vec<u8> = (0..2_500_u32).map(|n| n as u8).collect();
            let frame = segment(v4, 7, &payload, ACK | PSH);
            let mut large = Large::new();
            assert!(large.take(&virtio(v4, 1_000), &frame));
            let mut pieces = Vec::new();
            while let Some(piece) = large.cut() {
                pieces.push(piece.to_vec());
            }
            let views: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let joined = join(&views).expect("one large segment");
            assert_eq!((joined.count, joined.skip), (3, ETHERNET + if v4 { 20 } else { 40 } + 32));
            assert_eq!(pair_ne(&joined.virtio, 4), Some(1_000));
            let mut whole = joined.headers.clone();
            for view in &views {
                whole.extend_from_slice(&view[joined.skip..]);
            }
            assert!(checksum::complete(&mut whole, true));
            assert_eq!(whole, frame);
        }
    }

    #[test]
    fn segments_that_do_not_follow_each_other_exactly_stay_apart() {
        let one = segment(true, 100, &[1; 50], ACK);
        let joins = |other: &[u8]| join(&[&one, other]).is_some();
        assert!(joins(&segment(true, 150, &[2; 50], ACK)));
        assert!(joins(&segment(true, 150, &[2; 20], ACK | PSH)));
        assert!(!joins(&segment(true, 151, &[2; 50], ACK)), "a gap");
        assert!(!joins(&segment(true, 150, &[2; 51], ACK)), "longer than the first");
        assert!(!joins(&segment(true, 150, &[2; 50], ACK | 1)), "FIN");
        assert!(!joins(&segment(true, 150, &[], ACK)), "no data");
        let mut broken = segment(true, 150, &[2; 50], ACK);
        *broken.last_mut().expect("octets") ^= 1;
        assert!(!joins(&broken), "a wrong checksum must not be hidden");
        let pushed = segment(true, 100, &[1; 50], ACK | PSH);
        assert!(join(&[&pushed, &segment(true, 150, &[2; 50], ACK)]).is_none(), "PSH ends a segment");
        assert!(join(&[&one]).is_none());
    }

    #[test]
    fn what_is_no_large_tcp_segment_is_left_alone() {
        let mut large = Large::new();
        let frame = segment(true, 1, &[0; 100], ACK);
        assert!(!large.take(&[0; HEADER], &frame), "no kind");
        assert!(!large.take(&virtio(true, 0), &frame), "no size");
        assert!(!large.take(&virtio(true, 10), frame.get(..30).expect("octets")), "cut off");
        assert!(!large.take(&[], &frame));
    }
}
