use std::path::PathBuf;
use std::process::Command;

use hallmark_core::{Datagram, UnixTime};
use proptest::prelude::*;

use super::*;
use crate::ip::{parse_udp, udp_packet};

fn packet(len: usize) -> Vec<u8> {
    let datagram = Datagram::new("10.0.0.2:848".parse().unwrap(), "10.0.0.1:848".parse().unwrap(), vec![0x5a; len]);
    udp_packet(&datagram, 1, false)
}

/// A classic capture with one raw IP frame at 3 units behind second 7.
fn pcap(big_endian: bool, nanos: bool) -> Vec<u8> {
    let u32 = |v: u32| if big_endian { v.to_be_bytes() } else { v.to_le_bytes() };
    let mut file = Vec::new();
    file.extend(u32(if nanos { 0xa1b2_3c4d } else { 0xa1b2_c3d4 }));
    file.extend(if big_endian { [0, 2, 0, 4] } else { [2, 0, 4, 0] });
    file.extend([u32(0), u32(0), u32(65_535), u32(101)].concat());
    file.extend([u32(7), u32(3), u32(33), u32(40)].concat());
    file.extend(packet(5));
    file
}

#[test]
fn classic_captures_are_read_in_both_byte_orders_and_resolutions() {
    for big_endian in [false, true] {
        for nanos in [false, true] {
            let packets = read(&pcap(big_endian, nanos)).unwrap();
            assert_eq!(packets.len(), 1);
            let expected = UnixTime(7_000_000_000 + if nanos { 3 } else { 3_000 });
            assert_eq!((packets[0].at, packets[0].link_type, packets[0].original_len), (expected, 101, 40));
            assert_eq!(packets[0].octets, packet(5));
        }
    }
}

#[test]
fn what_was_written_is_read_back() {
    let mut writer = PcapngWriter::new(Vec::new()).unwrap();
    let wan = writer.add_interface("wan", link_type::RAW).unwrap();
    let lan = writer.add_interface("lan", link_type::ETHERNET).unwrap();
    writer.secrets(secrets_kind::TLS_KEY_LOG, b"abcde").unwrap();
    let at = UnixTime(1_800_000_000_123_456_789);
    for len in 0..9 {
        writer.packet(wan, at, &packet(len), Some(&"é".repeat(len))).unwrap();
    }
    writer.packet(lan, UnixTime(-5), &[1, 2, 3], None).unwrap();
    assert!(writer.packet(2, at, &[1], None).is_err());
    let capture = read_capture(&writer.into_inner()).unwrap();
    assert_eq!(capture.broken_tail, None);
    assert_eq!(capture.interfaces[0].name.as_deref(), Some("wan"));
    assert_eq!(capture.interfaces[1].link_type, link_type::ETHERNET);
    assert_eq!(capture.secrets, vec![(secrets_kind::TLS_KEY_LOG, b"abcde".to_vec())]);
    for (len, captured) in capture.packets[..9].iter().enumerate() {
        assert_eq!((captured.at, &captured.octets), (at, &packet(len)));
        assert_eq!(captured.comment.as_deref(), Some("é".repeat(len).as_str()));
    }
    assert_eq!((capture.packets[9].at, capture.packets[9].interface), (UnixTime(0), 1));
}

#[test]
fn a_comment_that_is_too_long_is_cut_between_characters() {
    let mut writer = PcapngWriter::new(Vec::new()).unwrap();
    writer.add_interface("a", link_type::RAW).unwrap();
    writer.packet(0, UnixTime(0), &packet(1), Some(&"é".repeat(40_000))).unwrap();
    let packets = read(&writer.into_inner()).unwrap();
    assert_eq!(packets[0].comment.as_deref(), Some("é".repeat(32_767).as_str()));
}

/// Builds blocks by hand, in either byte order, as other writers do.
struct Blocks {
    octets: Vec<u8>,
    big_endian: bool,
}

impl Blocks {
    fn new(big_endian: bool) -> Self {
        let mut blocks = Self { octets: Vec::new(), big_endian };
        let body = [&blocks.u32(pcapng::BYTE_ORDER_MAGIC)[..], &blocks.u16(1), &blocks.u16(0), &[0xff; 8]].concat();
        blocks.block(pcapng::SECTION_HEADER, &body);
        blocks
    }

    fn u16(&self, v: u16) -> [u8; 2] {
        if self.big_endian { v.to_be_bytes() } else { v.to_le_bytes() }
    }

    fn u32(&self, v: u32) -> [u8; 4] {
        if self.big_endian { v.to_be_bytes() } else { v.to_le_bytes() }
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let len = self.u32(body.len() as u32 + 12);
        let kind = self.u32(kind);
        self.octets.extend([&kind[..], &len, body, &len].concat());
    }

    fn interface(&mut self, link_type: u16, snap_len: u32, options: &[(u16, Vec<u8>)]) {
        let mut body = [&self.u16(link_type)[..], &[0, 0], &self.u32(snap_len)].concat();
        for (code, value) in options {
            body.extend(self.u16(*code));
            body.extend(self.u16(value.len() as u16));
            body.extend(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        if !options.is_empty() {
            body.extend([0; 4]);
        }
        self.block(pcapng::INTERFACE_DESCRIPTION, &body);
    }

    fn enhanced(&mut self, interface: u32, ticks: u64, frame: &[u8]) {
        let mut body = Vec::new();
        for word in [interface, (ticks >> 32) as u32, ticks as u32, frame.len() as u32, frame.len() as u32] {
            body.extend(self.u32(word));
        }
        body.extend(frame);
        body.resize(body.len().next_multiple_of(4), 0);
        self.block(pcapng::ENHANCED_PACKET, &body);
    }
}

#[test]
fn time_follows_the_resolution_and_offset_of_the_interface() {
    for big_endian in [false, true] {
        let mut blocks = Blocks::new(big_endian);
        let offset = if big_endian { 100i64.to_be_bytes() } else { 100i64.to_le_bytes() };
        blocks.interface(101, 0, &[]);
        blocks.interface(101, 0, &[(9, vec![3])]);
        blocks.interface(101, 0, &[(9, vec![0x80 | 10]), (14, offset.to_vec())]);
        blocks.interface(101, 0, &[(9, vec![127])]);
        blocks.enhanced(0, 1_500_000, &packet(1));
        blocks.enhanced(1, 1_500, &packet(2));
        blocks.enhanced(2, 1_536, &packet(3));
        blocks.enhanced(3, u64::MAX, &packet(4));
        let times: Vec<i64> = read(&blocks.octets).unwrap().iter().map(|p| p.at.0).collect();
        assert_eq!(times, [1_500_000_000, 1_500_000_000, 101_500_000_000, 0]);
    }
}

#[test]
fn simple_packets_are_cut_by_the_snap_length_and_sections_start_afresh() {
    let mut blocks = Blocks::new(true);
    blocks.interface(101, 30, &[]);
    let frame = packet(10);
    let body = [&blocks.u32(frame.len() as u32)[..], &frame[..30], &[0, 0]].concat();
    blocks.block(3, &body);
    blocks.block(0xbad, &[1, 2, 3, 4]);
    let mut second = Blocks::new(false);
    second.interface(1, 0, &[]);
    second.enhanced(0, 5, &[7; 60]);
    blocks.octets.extend(second.octets);
    let packets = read(&blocks.octets).unwrap();
    assert_eq!((packets[0].octets.len(), packets[0].original_len), (30, 38));
    assert_eq!((packets[1].interface, packets[1].link_type, packets[1].at), (1, 1, UnixTime(5_000)));
}

#[test]
fn a_broken_tail_keeps_what_came_before_it() {
    let with = |count: usize| {
        let mut writer = PcapngWriter::new(Vec::new()).unwrap();
        writer.add_interface("a", link_type::RAW).unwrap();
        for i in 0..count {
            writer.packet(0, UnixTime(1), &packet(i), None).unwrap();
        }
        writer.into_inner()
    };
    let (header, first, file) = (with(0).len(), with(1).len(), with(2));
    for len in header..file.len() {
        let capture = read_capture(&file[..len]).unwrap();
        assert_eq!(capture.packets.len(), usize::from(len >= first), "{len} octets");
        let whole = len == header || len == first;
        assert_eq!(capture.broken_tail.is_none(), whole, "{len} octets");
        assert_eq!(read(&file[..len]).is_ok(), whole);
    }
}

#[test]
fn contradictions_have_codes() {
    let code = |file: &[u8]| read(file).unwrap_err().code.as_str();
    assert_eq!(code(b"GIF89a not a capture"), "capture.magic");
    assert_eq!(code(b"\x0a"), "capture.truncated");
    let mut blocks = Blocks::new(true);
    blocks.enhanced(0, 0, &[1; 4]);
    assert_eq!(code(&blocks.octets), "capture.interface");
    let mut blocks = Blocks::new(true);
    let last = blocks.octets.len() - 1;
    blocks.octets[last] ^= 4;
    assert_eq!(code(&blocks.octets), "capture.block-length");
    let mut blocks = Blocks::new(true);
    blocks.octets[8] = 0;
    assert_eq!(code(&blocks.octets), "capture.byte-order");
}

#[test]
fn ip_is_found_behind_every_link_header() {
    let ip = packet(3);
    let behind = |link: u16, before: &[u8]| {
        let frame = [before, &ip].concat();
        ip_payload(link, &frame).map(<[u8]>::to_vec)
    };
    let ethernet = [&[0u8; 12][..], &[8, 0]].concat();
    let tagged = [&[0u8; 12][..], &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 8, 0]].concat();
    let arp = [&[0u8; 12][..], &[8, 6]].concat();
    assert_eq!(behind(link_type::ETHERNET, &ethernet), Some(ip.clone()));
    assert_eq!(behind(link_type::ETHERNET, &tagged), Some(ip.clone()));
    assert_eq!(behind(link_type::ETHERNET, &arp), None);
    assert_eq!(behind(link_type::RAW, &[]), Some(ip.clone()));
    assert_eq!(behind(link_type::IPV4, &[]), Some(ip.clone()));
    assert_eq!(behind(link_type::LINUX_SLL, &[&[0u8; 14][..], &[8, 0]].concat()), Some(ip.clone()));
    assert_eq!(behind(link_type::LINUX_SLL2, &[&[8u8, 0][..], &[0; 18]].concat()), Some(ip.clone()));
    assert_eq!(behind(link_type::NULL, &[2, 0, 0, 0]), Some(ip.clone()));
    assert_eq!(behind(9_999, &[]), None);
    assert_eq!(ip_payload(link_type::ETHERNET, &[0; 13]), None);
}

#[test]
fn a_foreign_capture_opens_down_to_its_datagrams() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/captures/pull-aggressive/capture.pcap");
    let Ok(file) = std::fs::read(&path) else {
        panic!("{} is missing", path.display());
    };
    let packets = read(&file).unwrap();
    let lens: Vec<usize> = packets
        .iter()
        .filter_map(|p| parse_udp(ip_payload(p.link_type, &p.octets)?).ok())
        .map(|d| d.payload.len())
        .collect();
    assert_eq!(lens[..4], [244, 268, 52, 84]);
}

/// A second decoder, of other authors, agrees about what was written.
#[test]
#[expect(clippy::print_stdout, reason = "a skipped check says so")]
fn tshark_and_capinfos_agree_with_the_writer() {
    let mut writer = PcapngWriter::new(Vec::new()).unwrap();
    writer.add_interface("tester", link_type::RAW).unwrap();
    writer.add_interface("subject", link_type::RAW).unwrap();
    writer.secrets(secrets_kind::TLS_KEY_LOG, b"# none\n").unwrap();
    for i in 0..5u32 {
        let at = UnixTime(1_800_000_000_000_000_000 + i64::from(i));
        writer.packet(i % 2, at, &packet(30 + i as usize), Some(&format!("step {i}"))).unwrap();
    }
    let path = std::env::temp_dir().join(format!("hallmark-wire-{}.pcapng", std::process::id()));
    std::fs::write(&path, writer.into_inner()).unwrap();
    let fields = ["frame.time_epoch", "frame.interface_name", "ip.checksum.status", "udp.length", "frame.comment"];
    let mut tshark = Command::new("tshark");
    tshark.args(["-r", path.to_str().unwrap(), "-o", "ip.check_checksum:TRUE", "-T", "fields"]);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let shown = tshark.output();
    let info = Command::new("capinfos").args(["-c", "-F", path.to_str().unwrap()]).output();
    std::fs::remove_file(&path).unwrap();
    let (Ok(shown), Ok(info)) = (shown, info) else {
        assert!(
            std::env::var_os("HALLMARK_NOTHING_SKIPPED").is_none(),
            "tshark is not installed, and nothing may be skipped"
        );
        println!("skipped: tshark or capinfos is not installed");
        return;
    };
    let text = String::from_utf8(shown.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{}", String::from_utf8_lossy(&shown.stderr));
    assert_eq!(lines[3], "1800000000.000000003\tsubject\t1\t41\tstep 3");
    assert!(String::from_utf8(info.stdout).unwrap().contains('5'));
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_fail_hard(mut octets in proptest::collection::vec(any::<u8>(), 0..300), kind in 0u8..4, flips in proptest::collection::vec((0usize..400, any::<u8>()), 0..4)) {
        let _ = read_capture(&octets);
        // Nearly right files reach further inside.
        let mut file = match kind {
            0 => pcap(true, false),
            1 => pcap(false, true),
            _ => {
                let mut blocks = Blocks::new(kind == 2);
                blocks.interface(101, 0, &[(9, vec![6])]);
                blocks.enhanced(0, 5, &packet(9));
                blocks.octets
            }
        };
        file.append(&mut octets);
        for (at, value) in flips {
            let len = file.len();
            file[at % len] ^= value;
        }
        let _ = read_capture(&file);
    }
}
