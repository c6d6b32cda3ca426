//! The tester as another member: what it seals opens again, and what is forged is seen to be so.

mod duet;

use duet::{Side, duet};
use hallmark_core::{Duration, Instant, Rng};
use hallmark_probe::Tek;
use hallmark_probe::data::{
    Clear, EspSeen, Finding, Forge, Ledger, Opener, Part, Replay, Sender, Stamp, clock_showing, differences,
};
use hallmark_probe::world::World;

/// Numbers of the registries: transform, key bits, integrity algorithm.
const TRANSFORMS: [(u8, Option<u16>, Option<u16>); 10] = [
    (11, None, Some(2)),
    (3, None, Some(1)),
    (12, Some(128), Some(2)),
    (12, Some(192), Some(5)),
    (12, Some(256), Some(7)),
    (18, Some(128), None),
    (19, Some(192), None),
    (20, Some(128), None),
    (20, Some(256), None),
    (23, Some(128), None),
];

fn alone<T: Send>(case: impl FnOnce(&mut Side) -> T + Send) -> T {
    duet(case, |_| ()).0
}

fn tek(seed: u64, (transform, bits, auth): (u8, Option<u16>, Option<u16>)) -> Tek {
    Tek::esp(&mut Rng::from_u64(seed), transform, bits, auth, 3_600)
}

fn opener(tek: &Tek) -> Opener {
    let mut opener = Opener::default();
    opener.add(tek).expect("an ESP TEK");
    opener
}

fn inner() -> Clear {
    Clear::udp("10.2.0.20:7000".parse().unwrap(), "10.1.0.10:7001".parse().unwrap(), b"payload").dscp(46).ecn(2)
}

fn inner6() -> Clear {
    let (src, dst) = ("[2001:db8:2::14]:7000".parse().unwrap(), "[2001:db8:1::a]:7001".parse().unwrap());
    Clear::udp(src, dst, b"payload").flow_label(0x12345)
}

fn rules(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.requirement).collect()
}

fn seen(opener: &Opener, packet: &Clear) -> EspSeen {
    opener.open(Instant::ZERO, &packet.octets()).expect("opens")
}

#[test]
fn every_transform_opens_again_and_breaks_no_rule() {
    alone(|world| {
        for (seed, numbers) in (1..).zip(TRANSFORMS) {
            let tek = tek(seed, numbers);
            let (opener, mut ledger) = (opener(&tek), Ledger::default());
            let mut sender = Sender::new(&tek).expect("an ESP TEK").with_sender_id(12, 0x345);
            for packet in [inner(), inner6(), inner().sized(1_400)] {
                let sent = packet.octets();
                let esp = sender.seal(world, &sent).expect("seals");
                let seen = opener.open(Instant::ZERO, &esp).expect("opens");
                assert_eq!(differences(&sent, &seen.inner), Vec::<String>::new(), "{}", tek.transform_name());
                assert_eq!(seen.findings(), [], "{}", tek.transform_name());
                assert_eq!(ledger.follow(&seen), []);
                assert_eq!(seen.outer.traffic_class, seen.inner_traffic_class());
                if seen.transform.is_counter_mode() {
                    assert_eq!(seen.iv[..2], [0x34, 0x50]);
                }
            }
        }
    });
}

#[test]
fn a_weak_transform_without_integrity_is_no_sender() {
    let none = tek(1, (11, None, None));
    assert!(Sender::new(&none).is_err());
    assert!(Sender::new(&Tek::ah(&mut Rng::from_u64(1), 5, 5, 3_600)).is_err());
}

#[test]
fn each_forgery_is_what_it_says_and_stays_authentic() {
    alone(|world| {
        let tek = tek(7, (20, Some(128), None));
        let (opener, mut sender) = (opener(&tek), Sender::new(&tek).expect("an ESP TEK"));
        let octets = inner().octets();
        let mut forge = |forge: Forge| sender.forge(world, &octets, &forge).expect("forges");
        let more = seen(&opener, &forge(Forge::new().pad_more(252)));
        assert_eq!((more.pad.len(), more.findings()), (252 + more.pad.len() % 4, vec![]));
        let odd = seen(&opener, &forge(Forge::new().pad(&[9; 3])));
        assert_eq!(rules(&odd.findings()), ["ESP-008"]);
        assert_eq!(rules(&seen(&opener, &forge(Forge::new().tfc(&[0; 8]))).findings()), ["ESP-015"]);
        assert_eq!(rules(&seen(&opener, &forge(Forge::new().next_header(41))).findings()), ["ESP-041"]);
        assert!(seen(&opener, &forge(Forge::new().next_header(59))).is_dummy());
        let stranger = "10.9.9.9".parse().unwrap();
        let outer = forge(Forge::new()).between(stranger, inner().dst).options(&[1; 4]);
        assert_eq!(rules(&seen(&opener, &outer).findings()), ["ESP-039", "ESP-045"]);
        let numbered = seen(&opener, &forge(Forge::new().seq(77).iv(&[5; 8])));
        assert_eq!((numbered.seq, numbered.iv.as_slice()), (77, &[5; 8][..]));
        for (broken, why) in [
            (Forge::new().pad_length(200), "Pad Length"),
            (Forge::new().spi(1), "SPI 00000001"),
            (Forge::new().esn_high(0), "integrity"),
            (Forge::new().cut(7), "ESP of 7"),
            (Forge::new().next_header(6), "next header 6"),
        ] {
            let packet = forge(broken.clone()).octets();
            let refused = opener.open(Instant::ZERO, &packet).expect_err("does not open");
            assert!(refused.contains(why), "{broken:?}: {refused}");
        }
        for part in [Part::Header, Part::Iv, Part::Ciphertext, Part::Icv] {
            // The highest bit of the SPI would make it another SA.
            let packet = forge(Forge::new().flip(part, 63)).octets();
            let refused = opener.open(Instant::ZERO, &packet).expect_err("does not open");
            assert!(refused.contains("integrity"), "{part:?}: {refused}");
        }
        let clear = opener.open(Instant::ZERO, &inner().octets()).expect_err("is no ESP");
        assert!(clear.contains("17 in clear"), "{clear}");
    });
}

#[test]
fn stamps_follow_the_clocks_and_are_read_again() {
    alone(|world| {
        let tek = tek(3, (12, Some(128), Some(5)));
        let opener = opener(&tek);
        let clock = clock_showing(600_000, world.now());
        world.rest(world.now() + Duration::from_millis(2_500));
        let policy = Replay::Time { window_secs: 4, clock };
        let mut sender = Sender::new(&tek).expect("an ESP TEK").stamping(policy);
        let stamped = opener.open(Instant::ZERO, &sender.seal(world, &inner6().octets()).expect("seals"));
        let stamped = stamped.expect("opens");
        assert_eq!((stamped.stamp, stamped.findings()), (Some(Stamp::Time { ticks: 60_000_250 }), vec![]));
        sender.replay = Replay::D3p { window_ms: 1_000 };
        let stamped = opener.open(Instant::ZERO, &sender.seal(world, &inner().octets()).expect("seals"));
        assert_eq!(stamped.expect("opens").stamp, Some(Stamp::d3p(world.wall())));
        let bare = sender.forge(world, &inner().octets(), &Forge::new().stamp_octets(&[]).next_header(4));
        assert_eq!(seen(&opener, &bare.expect("forges")).stamp, None);
    });
}

#[test]
fn a_ledger_sees_a_late_start_a_gap_and_a_repeated_iv() {
    alone(|world| {
        let tek = tek(5, (20, Some(128), None));
        let (opener, mut sender) = (opener(&tek), Sender::new(&tek).expect("an ESP TEK"));
        let mut ledger = Ledger::default();
        let mut follow = |forge: &Forge| {
            let packet = sender.forge(world, &inner().octets(), forge).expect("forges");
            rules(&ledger.follow(&seen(&opener, &packet))).join(" ")
        };
        assert_eq!(follow(&Forge::new().seq(2)), "ESP-002");
        assert_eq!(follow(&Forge::new().seq(3)), "");
        assert_eq!(follow(&Forge::new().seq(5).iv(&[1; 8])), "ESP-003");
        assert_eq!(follow(&Forge::new().seq(6).iv(&[1; 8])), "ESP-023");
    });
}

#[test]
fn a_ledger_sees_a_repeated_iv_under_another_spi_with_the_same_key() {
    alone(|world| {
        let first = tek(5, (20, Some(128), None));
        let second = Tek { spi: first.spi + 1, ..first.clone() };
        let third = Tek { spi: first.spi + 2, ..tek(6, (20, Some(128), None)) };
        let mut opener = opener(&first);
        opener.add(&second).and_then(|()| opener.add(&third)).expect("ESP TEKs");
        let mut ledger = Ledger::default();
        for (tek, wrong) in [(&first, ""), (&second, "ESP-023"), (&third, "")] {
            let mut sender = Sender::new(tek).expect("an ESP TEK");
            let packet = sender.forge(world, &inner().octets(), &Forge::new().iv(&[1; 8])).expect("forges");
            assert_eq!(rules(&ledger.follow(&seen(&opener, &packet))).join(" "), wrong);
        }
    });
}
