use hallmark_core::Duration;
use hallmark_wire::ip::{Ipv4Header, Ipv6Header, too_big_packet};

use super::*;
use crate::fragment::{Cut, Parts};

const OWN: u32 = 0x1000_b004;

fn conforming() -> Behaviour {
    Behaviour::conforming()
}

fn clear_v4(len: usize, dont_fragment: bool) -> Vec<u8> {
    let mut header = Ipv4Header::new([10, 1, 1, 10].into(), [10, 2, 2, 20].into(), 17);
    header.dont_fragment = dont_fragment;
    header.packet(&vec![7; len - 20])
}

fn clear_v6(len: usize) -> Vec<u8> {
    Ipv6Header::new("2001:db8:1::10".parse().unwrap(), "2001:db8:2::20".parse().unwrap(), 17).packet(&vec![7; len - 40])
}

fn gcm() -> Transform {
    transform("AES-GCM ICV16")
}

fn transform(name: &str) -> Transform {
    let words = match name {
        "AES-GCM ICV16" => "aes128-gcm16",
        "AES-GCM ICV12" => "aes128-gcm12",
        "AES-GCM ICV8" => "aes128-gcm8",
        "AES-GMAC ICV16" => "aes128-gmac",
        "AES-CBC + SHA1-96" => "aes128-cbc+hmac-sha1",
        "AES-CBC + SHA2-256-128" => "aes128-cbc+hmac-sha256",
        "AES-CBC + SHA2-384-192" => "aes128-cbc+hmac-sha384",
        "AES-CBC + SHA2-512-256" => "aes128-cbc+hmac-sha512",
        "3DES-CBC + SHA1-96" => "3des+hmac-sha1",
        "NULL + SHA1-96" => "null+hmac-sha1",
        "NULL + SHA2-256-128" => "null+hmac-sha256",
        other => panic!("the vectors have a new transform: {other}"),
    };
    words.parse().unwrap()
}

fn verdict(ip: &[u8], fit: Fit, behaviour: &Behaviour) -> Verdict {
    decide(&Header::parse(ip).unwrap(), fit, FragmentWhere::Before, false, behaviour)
}

const fn says(size: Size, tell: Option<u16>) -> Verdict {
    Verdict { size, tell }
}

#[test]
fn every_row_of_the_path_mtu_vectors_is_decided_as_it_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/vectors/esp.json");
    let vectors: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let rows = vectors["pmtu"].as_array().unwrap();
    assert_eq!(rows.len(), 33);
    for row in rows {
        let transform = transform(row["transform"].as_str().unwrap());
        let path_mtu = row["path_mtu"].as_u64().unwrap() as u16;
        let packet = clear_v4(row["inner_len"].as_u64().unwrap() as usize, row["df"] == 1);
        let fit = Fit::protected(transform, true, path_mtu, 0, &conforming());
        let verdict = verdict(&packet, fit, &conforming());
        match row["action"].as_str().unwrap() {
            "drop and send ICMP type 3 code 4 to the inner source" => {
                assert_eq!(verdict, says(Size::Refuse, Some(row["next_hop_mtu"].as_u64().unwrap() as u16)), "{row}");
            }
            "fragment plaintext, then encrypt each" => {
                let Size::CutBefore(size) = verdict.size else { panic!("{row}: {verdict:?}") };
                assert_eq!(verdict.tell, None);
                let cut = Cut { size, ident: None };
                let lengths: Vec<usize> = Parts::of(&packet, cut, &conforming())
                    .unwrap()
                    .map(|part| part.header().len() + part.payload().len())
                    .collect();
                let esp: Vec<usize> = lengths.iter().map(|len| 20 + len + transform.overhead(*len)).collect();
                assert_eq!(serde_json::json!(lengths), row["inner_fragment_lengths"], "{row}");
                assert_eq!(serde_json::json!(esp), row["esp_packet_lengths"], "{row}");
            }
            "encrypt and send" => assert_eq!(verdict, says(Size::Fits, None), "{row}"),
            other => panic!("the vectors have a new action: {other}"),
        }
    }
}

#[test]
fn what_fits_is_what_the_overhead_vectors_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/vectors/esp.json");
    let vectors: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut rows = 0;
    for row in vectors["overhead"].as_array().unwrap() {
        let transform = transform(row["transform"].as_str().unwrap());
        let version4 = row["ip_version"] == 4;
        for (mtu, expected) in row["per_mtu"].as_object().unwrap() {
            let (mtu, stamp) = mtu.strip_suffix("+d3p").map_or((mtu.as_str(), 0), |mtu| (mtu, 12));
            let fit = Fit::protected(transform, version4, mtu.parse().unwrap(), stamp, &conforming());
            assert_eq!(fit.inner_max as u64, expected["max_inner"].as_u64().unwrap(), "{row} {mtu}");
            let mss = crate::mss::fitting(fit.inner_max, version4);
            assert_eq!(u64::from(mss), expected["tcp_mss"].as_u64().unwrap(), "{row} {mtu}");
            rows += 1;
        }
    }
    assert_eq!(rows, 22 * 12);
}

#[test]
fn the_edge_is_exact_and_the_operator_may_override_df() {
    let fit = Fit::protected(gcm(), true, 1500, 0, &conforming());
    assert_eq!(fit.inner_max, 1446);
    assert_eq!(verdict(&clear_v4(1446, true), fit, &conforming()), says(Size::Fits, None));
    assert_eq!(verdict(&clear_v4(1447, true), fit, &conforming()), says(Size::Refuse, Some(1446)));
    assert_eq!(verdict(&clear_v4(1447, false), fit, &conforming()), says(Size::CutBefore(1446), None));
    let header = Header::parse(&clear_v4(1447, true)).unwrap();
    let over = decide(&header, fit, FragmentWhere::Before, true, &conforming());
    assert_eq!(over, says(Size::CutBefore(1446), None));
    let after = decide(&header, fit, FragmentWhere::After, true, &conforming());
    assert_eq!(after, says(Size::CutAfter(1500), None));
    // Packets in clear can only be cut as they are.
    let after = decide(&header, Fit::clear(1400), FragmentWhere::After, true, &conforming());
    assert_eq!(after, says(Size::CutBefore(1400), None));
    assert_eq!(verdict(&clear_v4(1447, false), Fit::clear(27), &conforming()), says(Size::Refuse, None));
}

#[test]
fn ipv6_packets_are_never_cut_and_nobody_is_asked_for_less_than_1280() {
    let fit = Fit::protected(gcm(), false, 1500, 0, &conforming());
    assert_eq!(verdict(&clear_v6(1426), fit, &conforming()), says(Size::Fits, None));
    assert_eq!(verdict(&clear_v6(1427), fit, &conforming()), says(Size::Refuse, Some(1426)));
    let narrow = Fit::protected(gcm(), false, 1280, 0, &conforming());
    assert_eq!(narrow.inner_max, 1206);
    assert_eq!(verdict(&clear_v6(1206), narrow, &conforming()), says(Size::Fits, None));
    assert_eq!(verdict(&clear_v6(1207), narrow, &conforming()), says(Size::CutAfter(1280), None));
    assert_eq!(verdict(&clear_v6(1280), narrow, &conforming()), says(Size::CutAfter(1280), None));
    assert_eq!(verdict(&clear_v6(1281), narrow, &conforming()), says(Size::Refuse, Some(1280)));
    assert_eq!(verdict(&clear_v6(1300), Fit::clear(1290), &conforming()), says(Size::Refuse, Some(1290)));
    assert_eq!(verdict(&clear_v6(1270), Fit::clear(1200), &conforming()), says(Size::Refuse, Some(1280)));
}

#[test]
fn every_defect_of_size_shows() {
    let (df, no_df, six) = (clear_v4(1500, true), clear_v4(1500, false), clear_v6(1500));
    let with = |defect, ip: &[u8]| {
        let behaviour = conforming().with_defect(defect);
        verdict(ip, Fit::protected(gcm(), ip[0] >> 4 == 4, 1500, 12, &behaviour), &behaviour)
    };
    assert_eq!(with(Defect::StampForgottenInSize, &df), says(Size::Refuse, Some(1446)));
    assert_eq!(with(Defect::EdgeOneTooEarly, &clear_v4(1434, true)), says(Size::Refuse, Some(1433)));
    assert_eq!(with(Defect::EdgeOneTooLate, &clear_v4(1435, true)), says(Size::Fits, None));
    assert_eq!(with(Defect::OversizeSent, &df), says(Size::Fits, None));
    assert_eq!(with(Defect::DfFragmented, &df), says(Size::CutBefore(1434), None));
    assert_eq!(with(Defect::DfZeroDropped, &no_df), says(Size::Refuse, None));
    assert_eq!(with(Defect::IcmpForDfZero, &no_df), says(Size::CutBefore(1434), Some(1434)));
    assert_eq!(with(Defect::FragmentBeforeIsAfter, &no_df), says(Size::CutAfter(1500), None));
    assert_eq!(with(Defect::FragmentsTooBig, &no_df), says(Size::CutBefore(1500), None));
    assert_eq!(with(Defect::IcmpMtuZero, &df), says(Size::Refuse, Some(0)));
    assert_eq!(with(Defect::IcmpMtuOfLink, &df), says(Size::Refuse, Some(1500)));
    assert_eq!(with(Defect::Ipv6Fragmented, &six), says(Size::CutBefore(1414), None));
    assert_eq!(with(Defect::Icmpv6Missing, &six), says(Size::Refuse, None));
    assert_eq!(with(Defect::Icmpv6BelowMinimum, &six), says(Size::Refuse, Some(1279)));
}

/// An ICMP error as a router in the core makes it about an ESP packet of ours.
fn report(version4: bool, spi: u32, sequence: u32, len: usize, mtu: u32) -> Vec<u8> {
    let mut payload = spi.to_be_bytes().to_vec();
    payload.extend_from_slice(&sequence.to_be_bytes());
    if version4 {
        payload.resize(len - 20, 0);
        let mut header = Ipv4Header::new([10, 1, 1, 10].into(), [10, 2, 2, 20].into(), 50);
        header.dont_fragment = true;
        too_big_packet([192, 0, 2, 1].into(), mtu, &header.packet(&payload)).unwrap()
    } else {
        payload.resize(len - 40, 0);
        let header = Ipv6Header::new("2001:db8:1::10".parse().unwrap(), "2001:db8:2::20".parse().unwrap(), 50);
        too_big_packet("2001:db8:ff::1".parse().unwrap(), mtu, &header.packet(&payload)).unwrap()
    }
}

fn parse(ip: &[u8]) -> Option<TooBig> {
    TooBig::parse(ip, &Header::parse(ip).unwrap())
}

const DST: u128 = 0x0a02_0214;
const DST6: u128 = 0x2001_0db8_0002_0000_0000_0000_0000_0020;

struct Bench {
    table: PathMtus,
    behaviour: Behaviour,
    now: Instant,
}

impl Bench {
    fn new(defects: &[Defect]) -> Self {
        let behaviour = defects.iter().fold(conforming(), |all, defect| all.with_defect(*defect));
        Self { table: PathMtus::new(PmtuConfig::default(), 5), behaviour, now: Instant::from_secs(1000) }
    }

    fn learn(&mut self, ip: &[u8]) -> Learned {
        let sent = |spi| (spi == OWN).then_some(1000);
        self.table.learn(self.now, &parse(ip).unwrap(), 1500, sent, &self.behaviour)
    }

    fn v4(&self) -> u16 {
        self.table.path_mtu(self.now, DST, true, 1500, &self.behaviour)
    }
}

const CONSUMED: Learned = Learned { lowered: None, consume: true };
const FORWARDED: Learned = Learned { lowered: None, consume: false };

#[test]
fn an_error_about_an_own_packet_lowers_the_path_mtu_of_its_destination() {
    let mut bench = Bench::new(&[]);
    let told = parse(&report(true, OWN, 9, 1496, 1400)).unwrap();
    assert_eq!((told.mtu, told.spi, told.sequence, told.len), (1400, OWN, 9, 1496));
    assert_eq!((told.src.to_string(), told.dst.to_string()), ("10.1.1.10".into(), "10.2.2.20".into()));
    assert_eq!(bench.v4(), 1500);
    let learned = bench.learn(&report(true, OWN, 9, 1496, 1400));
    assert_eq!(learned, Learned { lowered: Some((1500, 1400)), consume: true });
    assert_eq!(bench.v4(), 1400);
    assert_eq!(bench.table.path_mtu(bench.now, DST, true, 1300, &conforming()), 1300, "a link may be narrower");
    assert_eq!(bench.table.path_mtu(bench.now, DST + 1, true, 1500, &conforming()), 1500);
    assert_eq!(bench.table.path_mtu(bench.now, DST, false, 1500, &conforming()), 1500);
    let learned = bench.learn(&report(false, OWN, 9, 1496, 1400));
    assert_eq!(learned.lowered, Some((1500, 1400)));
    assert_eq!(bench.table.path_mtu(bench.now, DST6, false, 1500, &conforming()), 1400);
    let status = bench.table.status(bench.now, &conforming());
    assert_eq!(
        status.iter().map(|s| (s.dst.to_string(), s.mtu, s.remaining)).collect::<Vec<_>>(),
        [("10.2.2.20".to_owned(), 1400, 600.0), ("2001:db8:2::20".to_owned(), 1400, 600.0),]
    );
}

#[test]
fn errors_about_what_was_never_sent_are_not_believed() {
    let mut bench = Bench::new(&[]);
    for (spi, sequence) in [(OWN + 1, 9), (OWN, 0), (OWN, 1001)] {
        assert_eq!(bench.learn(&report(true, spi, sequence, 1496, 1400)), FORWARDED, "{spi:#x} {sequence}");
    }
    assert_eq!(bench.learn(&report(true, OWN, 1000, 1399, 1400)), CONSUMED, "it did fit");
    assert_eq!(bench.v4(), 1500);
    let good = report(true, OWN, 9, 1496, 1400);
    for (at, why) in [(22, "checksum"), (21, "code"), (20, "type"), (19, "not to the source")] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        if at != 22 {
            bad[22..24].fill(0);
            let sum = checksum(&bad[20..]);
            bad[22..24].copy_from_slice(&sum.to_be_bytes());
        }
        assert_eq!(parse(&bad), None, "{why}");
    }
    let resummed = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bad = good.clone();
        edit(&mut bad);
        let len = bad.len() as u16;
        bad[2..4].copy_from_slice(&len.to_be_bytes());
        bad[22..24].fill(0);
        let sum = checksum(&bad[20..]);
        bad[22..24].copy_from_slice(&sum.to_be_bytes());
        parse(&bad).is_some()
    };
    assert!(resummed(&|_| ()));
    assert!(resummed(&|bad| bad.truncate(28 + 28)), "eight octets are enough");
    assert!(!resummed(&|bad| bad.truncate(28 + 27)));
    assert!(!resummed(&|bad| bad[28 + 9] = 17), "about a packet that is not ESP");
    assert!(!resummed(&|bad| bad[28 + 7] = 1), "about a later piece");
    assert!(!resummed(&|bad| bad[28] = 0x44));
    let mut bad = report(false, OWN, 9, 1496, 1400);
    bad[47] ^= 1;
    assert_eq!(parse(&bad), None, "the checksum of ICMPv6 is checked as well");
}

#[test]
fn no_error_brings_the_path_mtu_below_the_floor_or_raises_it() {
    let mut bench = Bench::new(&[]);
    assert_eq!(bench.learn(&report(true, OWN, 9, 1496, 68)).lowered, Some((1500, 576)));
    assert_eq!(bench.v4(), 576);
    assert_eq!(bench.learn(&report(true, OWN, 9, 1496, 1400)), CONSUMED);
    assert_eq!(bench.v4(), 576);
    assert_eq!(bench.learn(&report(false, OWN, 9, 1496, 1279)), CONSUMED);
    assert_eq!(bench.table.path_mtu(bench.now, DST6, false, 1500, &conforming()), 1500);
    let mut bench = Bench::new(&[]);
    assert_eq!(bench.learn(&report(true, OWN, 9, 1496, 0)).lowered, Some((1500, 1492)), "an old router");
    assert_eq!(bench.learn(&report(true, OWN, 9, 1492, 0)).lowered, Some((1492, 1006)));
}

#[test]
fn what_was_learned_is_forgotten_after_ten_minutes_unless_it_is_told_again() {
    let mut bench = Bench::new(&[]);
    let is_empty = |bench: &mut Bench| {
        bench.table.begin(bench.now);
        bench.table.is_empty()
    };
    assert!(is_empty(&mut bench));
    bench.learn(&report(true, OWN, 9, 1496, 1400));
    bench.now += Duration::from_secs(599);
    assert!(bench.v4() == 1400 && !is_empty(&mut bench));
    bench.now += Duration::from_secs(1);
    assert!(bench.v4() == 1500 && is_empty(&mut bench));
    assert!(bench.table.status(bench.now, &conforming()).is_empty());
    bench.learn(&report(true, OWN, 9, 1496, 1400));
    bench.now += Duration::from_secs(400);
    assert_eq!(bench.learn(&report(true, OWN, 9, 1496, 1400)), CONSUMED);
    bench.now += Duration::from_secs(400);
    assert_eq!(bench.v4(), 1400);
}

#[test]
fn each_type_of_error_has_its_own_switch() {
    for (learn, learn_v6) in [(true, false), (false, true), (false, false)] {
        let mut bench = Bench::new(&[]);
        bench.table = PathMtus::new(PmtuConfig { learn, learn_v6, ..Default::default() }, 5);
        assert_eq!(bench.learn(&report(true, OWN, 9, 1496, 1400)).consume, learn);
        assert_eq!(bench.learn(&report(false, OWN, 9, 1496, 1400)).consume, learn_v6);
        assert_eq!(
            (bench.v4() == 1400, bench.table.status(bench.now, &conforming()).len()),
            (learn, usize::from(learn) + usize::from(learn_v6))
        );
    }
}

#[test]
fn the_table_is_bounded_and_the_newest_destinations_are_in_it() {
    let mut bench = Bench::new(&[]);
    bench.table = PathMtus::new(PmtuConfig { entries: 64, ..Default::default() }, 5);
    for at in 0..1000u32 {
        let mut report = parse(&report(true, OWN, 9, 1496, 1400)).unwrap();
        report.dst = std::net::Ipv4Addr::from(0x0a02_0000 + at).into();
        bench.table.learn(bench.now, &report, 1500, |_| Some(9), &conforming());
        bench.now += Duration::from_millis(1);
        assert_eq!(bench.table.path_mtu(bench.now, u128::from(0x0a02_0000 + at), true, 1500, &conforming()), 1400);
    }
    let status = bench.table.status(bench.now, &conforming());
    assert!(status.len() <= 64 && status.len() > 56, "{}", status.len());
}

#[test]
fn every_defect_of_learning_shows() {
    let learn = |defect, packet: &[u8]| {
        let mut bench = Bench::new(&[defect]);
        let learned = bench.learn(packet);
        (learned, bench.v4())
    };
    let good = report(true, OWN, 9, 1496, 1400);
    let lowered = |to, consume| Learned { lowered: Some((1500, to)), consume };
    assert_eq!(learn(Defect::PtbIgnored, &good), (CONSUMED, 1500));
    assert_eq!(learn(Defect::PtbForwardedToo, &good), (lowered(1400, false), 1400));
    assert_eq!(learn(Defect::PtbBelowFloor, &report(true, OWN, 9, 1496, 68)), (lowered(68, true), 68));
    assert_eq!(learn(Defect::PtbForeignSpi, &report(true, OWN + 1, 9, 1496, 1400)), (lowered(1400, true), 1400));
    assert_eq!(learn(Defect::PtbRaises, &report(true, OWN, 9, 1496, 9000)), (CONSUMED, 9000));
    let mut bench = Bench::new(&[Defect::PtbForAllDestinations]);
    bench.learn(&good);
    assert_eq!(bench.table.path_mtu(bench.now, 77, true, 1500, &bench.behaviour), 1400);
    let mut bench = Bench::new(&[Defect::PmtuNeverAges]);
    bench.learn(&good);
    bench.now += Duration::from_secs(100_000);
    assert_eq!(bench.v4(), 1400);
    let mut bench = Bench::new(&[Defect::PmtuIgnoredOnSend]);
    bench.learn(&good);
    assert_eq!((bench.v4(), bench.table.status(bench.now, &bench.behaviour).len()), (1500, 1));
}

#[test]
fn no_prefix_of_an_error_makes_it_panic() {
    for ip in [report(true, OWN, 9, 1496, 1400), report(false, OWN, 9, 1496, 1400)] {
        for len in 0..ip.len() {
            let mut cut = ip[..len].to_vec();
            if len >= 40 {
                let (at, less) = if ip[0] >> 4 == 4 { (2, 0) } else { (4, 40) };
                cut[at..at + 2].copy_from_slice(&((len - less) as u16).to_be_bytes());
            }
            if let Some(header) = Header::parse(&cut) {
                let _ = TooBig::parse(&cut, &header);
            }
        }
    }
}
