//! Reassembly beside a record of everything that went in.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_core::{Duration, Instant};
use hallmark_datapath::config::ReassemblyLimits;
use hallmark_datapath::fragment::{Reassembler, Taken};
use hallmark_datapath::header::Header;
use hallmark_datapath::{Batch, Behaviour, Packet, Pool};
use hallmark_wire::ip::{Ipv4Header, Ipv6Header, checksum};

use crate::input::Input;

const BUFFERS: usize = 300;
/// The SPI whose packets are joined.
const OWN: u32 = 0x1000_b004;

/// Takes fragments in, well formed and not. What comes out is made of what went in, and no buffer is lost.
pub fn fuzz_data_reassemble(data: &[u8]) {
    let mut input = Input::new(data);
    let limits = ReassemblyLimits {
        timeout: Duration::from_secs(5),
        per_pair: 1 + usize::from(input.u8() % 4),
        total_datagrams: 1 + usize::from(input.u8() % 8),
        total_octets: 1000 + 100 * usize::from(input.u8()),
    };
    let mut record = Record::default();
    let mut reassembler = Reassembler::new(limits, 1);
    let (mut pool, mut out) = (Pool::new(BUFFERS, 2048), Batch::new());
    let mut now = Instant::from_secs(1);
    while !input.is_empty() {
        let octets = match input.u8() {
            0..16 => {
                now += Duration::from_millis(u64::from(input.u16()));
                reassembler.expire(now, &Behaviour::conforming(), &mut pool);
                let due = reassembler.next_timeout(&Behaviour::conforming());
                assert!(due.is_none_or(|due| due > now), "what is due was not done");
                continue;
            }
            16..32 => input.counted().to_vec(),
            kind => fragment(kind, &mut input),
        };
        let Some(mut packet) = pool.take() else { break };
        if !packet.set(&[], &octets) {
            pool.give(packet);
            continue;
        }
        record.put(&octets);
        let own = |spi| spi == OWN;
        match reassembler.take(now, packet, &Behaviour::conforming(), own, &mut pool, &mut out) {
            Taken::Held | Taken::Dropped(_) => {}
            Taken::Complete(packet) => {
                record.check_whole(&packet, &octets);
                pool.give(packet);
            }
            Taken::Released(count) => {
                assert_eq!(count, out.packets.len());
                for packet in &out.packets {
                    assert!(record.seen.contains(packet.ip()), "what was let through is not what came in");
                }
                out.recycle(&mut pool);
            }
        }
        let status = reassembler.status();
        assert!(status.waiting <= limits.total_datagrams && status.octets <= limits.total_octets, "{status:?}");
        assert_eq!(pool.available() + status.held, BUFFERS, "a buffer is lost");
    }
    reassembler.expire(now + limits.timeout, &Behaviour::conforming(), &mut pool);
    let status = reassembler.status();
    assert_eq!((status.waiting, status.held, status.octets, pool.available()), (0, 0, 0, BUFFERS));
}

/// Makes a fragment of small numbers, so that fragments meet.
fn fragment(kind: u8, input: &mut Input<'_>) -> Vec<u8> {
    let place = input.u8();
    let (offset, ident, more) = (u16::from(place & 0x0f) * 8, u16::from(place >> 4 & 3), place & 0x40 != 0);
    let len = usize::from(input.u8() % 8) * 8 + if place & 0x80 == 0 { 0 } else { usize::from(input.u8() % 8) };
    let spi = if kind & 1 == 0 { OWN } else { 7 };
    let mut payload: Vec<u8> =
        spi.to_be_bytes().into_iter().chain(0..128).skip(usize::from(offset)).take(len).collect();
    if kind & 2 != 0 {
        payload.iter_mut().for_each(|octet| *octet ^= 0x55);
    }
    let host = kind >> 2 & 1;
    if kind & 8 == 0 {
        let mut header = Ipv4Header::new([10, 0, 0, host].into(), [10, 0, 1, 1].into(), 50);
        (header.ident, header.fragment_offset, header.more_fragments) = (ident, offset, more);
        header.traffic_class = kind >> 4 & 3;
        header.packet(&payload)
    } else {
        let src = [0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host)].into();
        let mut header = Ipv6Header::new(src, [0x2001, 0xdb8, 0, 0, 0, 0, 1, 1].into(), 44);
        header.traffic_class = kind >> 4 & 3;
        let [high, low] = (offset | u16::from(more)).to_be_bytes();
        let mut body = vec![50, 0, high, low, 0, 0, 0, ident as u8];
        body.extend(payload);
        header.packet(&body)
    }
}

/// The addresses, identification and, for IPv4, protocol of a fragment.
type Key = (Vec<u8>, u32, u8);

/// What went in.
#[derive(Default)]
struct Record {
    seen: BTreeSet<Vec<u8>>,
    /// The octets that were ever offered for each place of a packet.
    octets: BTreeMap<Key, BTreeSet<(usize, u8)>>,
    /// The ends that were ever offered.
    ends: BTreeSet<(Key, usize)>,
}

impl Record {
    fn put(&mut self, ip: &[u8]) {
        let Some(header) = Header::parse(ip) else { return };
        self.seen.insert(ip[..header.len].to_vec());
        self.seen.insert(ip.to_vec());
        let Some(piece) = header.piece else { return };
        let key = key(ip, &header, piece.ident);
        let end = piece.offset + header.len - header.payload_at;
        if !piece.more {
            self.ends.insert((key.clone(), end));
        }
        let offered = self.octets.entry(key).or_default();
        offered.extend((piece.offset..end).zip(ip[header.payload_at..header.len].iter().copied()));
    }

    /// Every octet of a joined packet was offered for its place, and its header is that of a whole packet.
    fn check_whole(&self, packet: &Packet, last: &[u8]) {
        let ip = packet.ip();
        let header = Header::parse(ip).expect("what is whole is a packet");
        let from = Header::parse(last).expect("only packets are joined");
        let Some(piece) = from.piece else {
            assert_eq!(ip, last, "a packet that was none of fragments is changed");
            return;
        };
        assert_eq!((header.piece, header.len), (None, ip.len()));
        assert!(!header.version4 || checksum(&ip[..header.payload_at]) == 0, "the header checksum is wrong");
        let key = key(last, &from, piece.ident);
        let payload = &ip[header.payload_at..];
        assert!(self.ends.contains(&(key.clone(), payload.len())), "nobody said that the packet ends there");
        let offered = &self.octets[&key];
        assert!(payload.iter().enumerate().all(|(at, octet)| offered.contains(&(at, *octet))));
        assert_eq!(payload.first_chunk(), Some(&OWN.to_be_bytes()), "a foreign packet was joined");
    }
}

fn key(ip: &[u8], header: &Header, ident: u32) -> Key {
    let (addresses, protocol) = if header.version4 { (&ip[12..20], header.protocol) } else { (&ip[8..40], 0) };
    (addresses.to_vec(), ident, protocol)
}
