//! Everything that depends on the size of a packet: cutting, segment sizes, ICMP errors, path MTU.

use hallmark_core::Instant;
use hallmark_datapath::config::{FragmentWhere, PmtuConfig};
use hallmark_datapath::fragment::{Cut, Parts, Reassembler, Taken, is_tiny, split};
use hallmark_datapath::header::Header;
use hallmark_datapath::icmp::{IcmpErrors, Problem};
use hallmark_datapath::pmtu::{Fit, PathMtus, Size, TooBig, decide};
use hallmark_datapath::{Batch, Behaviour, FlowKey, Packet, Pool, Reason, mss};
use hallmark_wire::ip::{Checksum, checksum, parse_too_big};

use crate::input::Input;

/// Cuts and joins a packet, limits its segment size, makes ICMP errors about it and reads it as one.
pub fn fuzz_data_size(data: &[u8]) {
    let mut input = Input::new(data);
    let size = usize::from(input.u16());
    let ip = input.rest();
    let Some(header) = Header::parse(ip) else {
        assert_eq!(FlowKey::parse(ip), Err(Reason::Malformed));
        assert!(!mss::clamp(&mut ip.to_vec(), 1000, &Behaviour::conforming()));
        return;
    };
    assert!(header.len <= ip.len() && header.payload_at <= header.len);
    let _ = is_tiny(&header);
    sized(&header, size as u16);
    cut_and_joined(ip, &header, size);
    clamped(ip, size as u16);
    answered(ip, size as u16);
    learned(ip, &header);
}

fn sized(header: &Header, path_mtu: u16) {
    let transform = "aes128-gcm16".parse().expect("a transform");
    let fit = Fit::protected(transform, header.version4, path_mtu, 12, &Behaviour::conforming());
    let verdict = decide(header, fit, FragmentWhere::Before, false, &Behaviour::conforming());
    assert_eq!(verdict.size == Size::Fits, header.len <= fit.inner_max);
    if let Size::CutBefore(size) = verdict.size {
        assert!(header.version4 && !header.dont_fragment && verdict.tell.is_none());
        assert!(20 + size + 12 + transform.overhead(size + 12) <= usize::from(path_mtu));
    }
    assert!(header.version4 || verdict.tell.is_none_or(|mtu| mtu >= 1280));
}

fn cut_and_joined(ip: &[u8], header: &Header, size: usize) {
    let mut packet = Packet::with_capacity(65_535);
    if !packet.set(&[], ip) {
        return;
    }
    let (mut pool, mut out) = (Pool::new(200, 2048), Batch::new());
    let count = split(&packet, Cut { size, ident: None }, &Behaviour::conforming(), &mut pool, &mut out);
    assert_eq!(out.packets.len(), count.map_or(0, usize::from));
    if count.is_err() {
        let parts = Parts::of(ip, Cut { size, ident: None }, &Behaviour::conforming());
        assert!(parts.map_or(true, |parts| parts.len() > 200 || size > 2048));
        return;
    }
    for piece in &out.packets {
        let cut = Header::parse(piece.ip()).expect("a piece is a packet");
        assert_eq!(cut.len, piece.len());
        assert!(piece.len() <= size && (!cut.version4 || checksum(&piece.ip()[..cut.payload_at]) == 0));
    }
    if header.piece.is_some() || out.packets.len() < 2 || header.len == header.payload_at || out.packets.len() > 128 {
        return;
    }
    // What was cut here is joined again, if it is taken for ESP of ours.
    let mut reassembler = Reassembler::new(Default::default(), 1);
    let mut other = Batch::new();
    let pieces = std::mem::take(&mut out.packets);
    let count = pieces.len();
    for (n, piece) in pieces.into_iter().enumerate() {
        let taken = reassembler.take(Instant::ZERO, piece, &Behaviour::conforming(), |_| true, &mut pool, &mut other);
        match taken {
            Taken::Complete(packet) => {
                assert_eq!(n + 1, count);
                assert_eq!(packet.ip()[header.payload_at.min(40)..], ip[header.payload_at.min(40)..header.len]);
                return;
            }
            Taken::Held => assert!(n + 1 < count),
            // Not ESP, or marked in a way that no fragment may be.
            Taken::Released(_) => return,
            Taken::Dropped(reason) => panic!("an own piece is refused: {reason}"),
        }
    }
}

fn clamped(ip: &[u8], max: u16) {
    let mut packet = ip.to_vec();
    if !mss::clamp(&mut packet, max, &Behaviour::conforming()) {
        assert_eq!(packet, ip);
        return;
    }
    let key = FlowKey::parse(ip).expect("only packets are changed");
    assert_eq!(key.protocol, 6);
    let changed: Vec<usize> = (0..ip.len()).filter(|at| packet[*at] != ip[*at]).collect();
    assert!((1..=4).contains(&changed.len()), "{changed:?}");
    // The sum over the segment is what it was, so a right one stays right.
    let sum = |packet: &[u8]| {
        let header = Header::parse(packet).expect("it was a packet");
        let mut sum = Checksum::default();
        sum.add(&packet[header.payload_at..header.len]);
        sum.finish()
    };
    let (before, after) = (sum(ip), sum(&packet));
    assert!(before == after || before.wrapping_add(1) <= 1 && after.wrapping_add(1) <= 1, "{before:#x} {after:#x}");
}

fn answered(ip: &[u8], mtu: u16) {
    let mut packet = Packet::with_capacity(65_535);
    let mut out = Packet::with_capacity(1500);
    if !packet.set(&[2; 14], ip) {
        return;
    }
    let mut errors = IcmpErrors::new(10);
    let from = Some("192.0.2.1".parse().expect("an address"));
    for problem in [Problem::TooBig { mtu }, Problem::TimeExceeded] {
        let written = errors.write(Instant::ZERO, problem, &packet, from, &Behaviour::conforming(), &mut out);
        if written.is_err() {
            continue;
        }
        let header = Header::parse(out.ip()).expect("an error is a packet");
        assert_eq!(header.len, out.len());
        assert!(out.len() <= if header.version4 { 576 } else { 1280 });
        if let Problem::TooBig { mtu } = problem {
            let short = ip.len() < 28;
            match parse_too_big(out.ip()) {
                Ok(told) => assert_eq!(told.mtu, u32::from(mtu)),
                Err(error) => assert!(short || !header.version4, "{error:?}"),
            }
        }
        // An error is never answered with an error.
        let again = errors.write(Instant::ZERO, problem, &clone(&out), from, &Behaviour::conforming(), &mut out);
        assert!(again.is_err());
    }
}

fn clone(packet: &Packet) -> Packet {
    let mut copy = Packet::with_capacity(1500);
    assert!(copy.set(packet.link(), packet.ip()));
    copy
}

fn learned(ip: &[u8], header: &Header) {
    let Some(report) = TooBig::parse(ip, header) else { return };
    let mut table = PathMtus::new(PmtuConfig { entries: 4, ..Default::default() }, 1);
    let learned = table.learn(Instant::ZERO, &report, 1500, |_| Some(u64::MAX), &Behaviour::conforming());
    assert!(learned.consume);
    if let Some((before, after)) = learned.lowered {
        let floor = if report.dst.is_ipv4() { 576 } else { 1280 };
        assert!(before == 1500 && (floor..1500).contains(&after));
    }
}
