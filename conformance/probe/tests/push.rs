//! PUSH and its acknowledgement, both ends the tester's own.

mod duet;

use duet::{Side, duet};
use hallmark_core::Duration;
use hallmark_crypto::{CipherAlg, HashAlg};
use hallmark_probe::gm::{Push, SigReading};
use hallmark_probe::ks::deletion;
use hallmark_probe::tamper::{SignedHeader, octets, rsa_block};
use hallmark_probe::world::{Party, World};
use hallmark_probe::{Flow, Kek, ProbeGm, ProbeKs, PushSpec, Step, Tamper, Tek, edit, keys};
use hallmark_wire::gdoi::Selector;
use hallmark_wire::isakmp::PayloadType;

const MINUTE: Duration = Duration::from_secs(60);

/// Registers, lets the key server send, and gives every PUSH as the group member read it.
fn pushes<T: Send>(script: impl FnOnce(&mut ProbeKs, &mut Side) -> T + Send) -> (Vec<Seen>, T) {
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.script.auto_ack = true;
        gm.register(world).unwrap();
        let deadline = world.now() + MINUTE;
        let mut seen = Vec::new();
        while let Some(push) = gm.await_push(world, deadline) {
            seen.push(Seen::of(&push));
        }
        seen
    };
    let ks = |world: &mut Side| {
        let mut ks = ProbeKs::new(world, 0);
        ks.await_registration(world, MINUTE).unwrap();
        let result = script(&mut ks, world);
        ks.serve_for(world, MINUTE);
        result
    };
    duet(gm, ks)
}

/// What of a PUSH can leave its thread.
#[derive(Debug)]
struct Seen {
    seq: Option<u32>,
    last_seq: u32,
    sig: SigReading,
    acceptable: bool,
    kinds: Vec<PayloadType>,
    findings: Vec<String>,
    teks: usize,
    kek: Option<[u8; 16]>,
    spi: [u8; 16],
}

impl Seen {
    fn of(push: &Push) -> Self {
        Self {
            seq: push.seq,
            last_seq: push.last_seq,
            sig: push.sig,
            acceptable: push.is_acceptable(),
            kinds: push.kinds.clone(),
            findings: push.findings.iter().map(|finding| finding.requirement.to_owned()).collect(),
            teks: push.teks.len(),
            kek: push.kek.as_ref().map(|kek| kek.spi),
            spi: push.kek_spi,
        }
    }
}

fn deadline(world: &Side) -> hallmark_core::Instant {
    world.now() + Duration::from_secs(5)
}

#[test]
fn a_valid_push_keeps_every_rule_and_is_acknowledged() {
    let (seen, ack) = pushes(|ks, world| {
        let push = ks.push_fresh_tek(world).unwrap();
        let until = deadline(world);
        let ack = ks.await_ack(world, &push, until).unwrap();
        (
            ack.seq,
            ack.identity.and_then(|id| id.ip()),
            ack.seen.header.flags.0,
            ks.script.group.teks[0].spi == push.spis[0],
        )
    });
    assert_eq!(seen.len(), 1);
    assert!(seen[0].findings.is_empty(), "{:?}", seen[0]);
    assert_eq!((seen[0].seq, seen[0].sig, seen[0].teks), (Some(1), SigReading::Standard, 1));
    let expected = [PayloadType::SEQ, PayloadType::SA, PayloadType::KEY_DOWNLOAD, PayloadType::SIG];
    assert_eq!(seen[0].kinds, expected);
    assert_eq!(ack, (Some(1), Some("192.0.2.10".parse().unwrap()), 0, true));
}

#[test]
fn a_new_kek_starts_again_at_one_and_the_old_count_goes_on_until_then() {
    let (seen, spis) = pushes(|ks, world| {
        ks.push_fresh_tek(world).unwrap();
        let kek = ks.fresh_kek().unwrap();
        let old = ks.script.group.kek.clone().unwrap().spi;
        let new = kek.spi;
        ks.push(world, PushSpec::kek(kek)).unwrap();
        let push = ks.push_fresh_tek(world).unwrap();
        let until = deadline(world);
        assert!(ks.await_ack(world, &push, until).is_some());
        assert_eq!(ks.old_keks().len(), 1);
        (old, new)
    });
    let seqs: Vec<_> = seen.iter().map(|push| (push.seq, push.spi, push.kek)).collect();
    let (old, new) = spis;
    assert_eq!(seqs, [(Some(1), old, None), (Some(2), old, Some(new)), (Some(1), new, None)]);
    assert!(seen.iter().all(|push| push.acceptable && push.findings.is_empty()), "{seen:?}");
}

#[test]
fn every_signature_is_read_for_what_it_is() {
    let (seen, _) = pushes(|ks, world| {
        let other = keys::load(keys::OTHER_RSA_2048_PEM).unwrap();
        let tampers = [
            Tamper::none().sign_header(SignedHeader::Wire),
            Tamper::none().sign_bare(),
            Tamper::none().sign_bare().sign_header(SignedHeader::Wire),
            Tamper::none().sign_hash(HashAlg::Sha1),
            Tamper::none().sign_with(other),
            Tamper::sealed(|m| edit::flip_bit(m, PayloadType::SIG, 5, 5)),
            Tamper::sealed(|m| edit::flip_bit(m, PayloadType::KEY_DOWNLOAD, 20, 0)),
            Tamper::sealed(|m| edit::remove(m, PayloadType::SIG)),
            Tamper::hashed(|input| input.remove("rekey")),
            Tamper::hashed(|input| input.remove("header")),
            Tamper::none().sign_block(|digest, len| rsa_block::short_padding(HashAlg::Sha256, digest, len)),
            Tamper::none().sign_block(|digest, len| rsa_block::type_two(HashAlg::Sha256, digest, len)),
            Tamper::none().sign_block(|digest, len| rsa_block::trailing(digest, 10, len)),
        ];
        for tamper in tampers {
            // Two flows make a message that needs padding, so that the two lengths differ.
            let tek = ks.fresh_tek().flows(Flow::many(2));
            ks.push(world, PushSpec::tek(tek).tamper(tamper)).unwrap();
        }
    });
    let readings: Vec<_> = seen.iter().map(|push| push.sig).collect();
    let mut expected = vec![
        SigReading::WireLength,
        SigReading::BareDigest,
        SigReading::BareDigestWireLength,
        SigReading::OtherHash,
        SigReading::Invalid,
        SigReading::Invalid,
        SigReading::Invalid,
        SigReading::Missing,
    ];
    expected.extend([SigReading::Invalid; 5]);
    assert_eq!(readings, expected);
    assert_eq!(seen[0].findings, ["GDOI-PUSH-012"]);
    assert_eq!(seen[1].findings, ["GDOI-PUSH-013"]);
    assert!(seen[4].findings.contains(&"GDOI-PUSH-011".to_owned()));
    assert!(seen.iter().all(|push| push.seq == Some(1)), "tampered messages must not move the counter");
}

#[test]
fn the_findings_name_the_rule_that_is_not_kept() {
    let (seen, _) = pushes(|ks, world| {
        let mut send = |spec: fn(Tek, &mut ProbeKs) -> PushSpec| {
            let tek = ks.fresh_tek();
            let spec = spec(tek, ks);
            ks.push(world, spec).unwrap();
        };
        send(|tek, _| PushSpec::tek(tek).tamper(Tamper::wire(|d| octets::set_flags(d, 3))));
        send(|tek, _| PushSpec::tek(tek).tamper(Tamper::wire(|d| octets::set_message_id(d, 9))));
        send(|tek, _| PushSpec::tek(tek).tamper(Tamper::wire(|d| octets::flip_bit(d, 3, 3))));
        send(|tek, _| PushSpec::tek(tek).tamper(Tamper::content(|m| edit::swap(m, PayloadType::SA, PayloadType::SEQ))));
        send(|tek, _| PushSpec::tek(tek).tamper(Tamper::none().pad_with(vec![1; 20])));
        send(|tek, _| PushSpec::tek(tek).tamper(Tamper::content(|m| edit::kd(m, |kd| kd.packets.clear()))));
        send(|tek, ks| {
            let kek = ks.fresh_kek().unwrap();
            let other = Tamper::content(|m| edit::packet(m, 2, |packet| packet.spi = vec![1; 16]));
            PushSpec::tek(tek).with_kek(kek).tamper(other)
        });
        send(|tek, ks| PushSpec::tek(tek).from(std::net::SocketAddr::new(ks.script.me.ip(), 9_999)).commit(false));
        send(|tek, _| PushSpec::tek(tek).tamper(Tamper::none().encrypt_with_key(vec![5; 16])));
        send(|_, _| PushSpec::new().commit(false));
    });
    let findings: Vec<_> = seen.iter().map(|push| push.findings.first().map(String::as_str)).collect();
    assert_eq!(
        findings,
        [
            Some("GDOI-PUSH-001"),
            Some("GDOI-PUSH-002"),
            Some("GDOI-PUSH-004"),
            Some("GDOI-PUSH-003"),
            Some("GDOI-PUSH-010"),
            Some("GDOI-PUSH-025"),
            Some("GDOI-PUSH-024"),
            Some("GDOI-PUSH-006"),
            Some("GDOI-PUSH-008"),
            Some("GDOI-PUSH-007"),
        ]
    );
}

#[test]
fn stale_numbers_and_gaps_are_measured_against_the_last_accepted_one() {
    let (seen, next) = pushes(|ks, world| {
        for seq in [1_000, 999, 1_000, 0, 1_001] {
            let tek = ks.fresh_tek();
            ks.push(world, PushSpec::tek(tek).seq(seq)).unwrap();
        }
        ks.push_fresh_tek(world).unwrap().seq
    });
    let read: Vec<_> = seen.iter().map(|push| (push.seq.unwrap(), push.last_seq, push.acceptable)).collect();
    assert_eq!(
        read,
        [
            (1_000, 0, true),
            (999, 1_000, false),
            (1_000, 1_000, false),
            (0, 1_000, false),
            (1_001, 1_000, true),
            (1_002, 1_001, true)
        ]
    );
    assert_eq!(next, 1_002);
}

#[test]
fn identical_copies_are_one_push_and_deletes_are_read() {
    let (seen, _) = pushes(|ks, world| {
        let clean = PushSpec::delete(deletion(1, vec![vec![0; 4]])).with_delete(deletion(0, vec![vec![0; 16]]));
        ks.push(world, clean.copies(2)).unwrap();
    });
    assert_eq!(seen.len(), 1);
    let expected = [PayloadType::SEQ, PayloadType::DELETE, PayloadType::DELETE, PayloadType::SIG];
    assert_eq!(seen[0].kinds, expected);
    assert!(seen[0].findings.is_empty(), "{:?}", seen[0]);
}

#[test]
fn a_forged_acknowledgement_is_not_a_valid_one() {
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.register(world).unwrap();
        let until = world.now() + MINUTE;
        let push = gm.await_push(world, until).unwrap();
        gm.tamper(Step::Ack, Tamper::sealed(|m| edit::flip_bit(m, PayloadType::HASH, 0, 0)));
        assert!(gm.ack(world, &push).unwrap());
        gm.tamper(Step::Ack, Tamper::sealed(|m| edit::sequence(m, 9)));
        gm.ack(world, &push).unwrap();
        gm.untamper();
    };
    let ks = |world: &mut Side| {
        let mut ks = ProbeKs::new(world, 0);
        ks.await_registration(world, MINUTE).unwrap();
        let push = ks.push_fresh_tek(world).unwrap();
        let until = world.now() + MINUTE;
        let valid = ks.await_ack(world, &push, until).is_some();
        (valid, ks.log.acks.iter().map(|ack| (ack.seq, ack.is_valid())).collect::<Vec<_>>())
    };
    assert_eq!(duet(gm, ks).1, (false, vec![(Some(1), false), (Some(9), false)]));
}

#[test]
fn a_multicast_kek_reaches_who_has_joined() {
    let gm = |world: &mut Side| {
        let group = world.address(Party::Group(1));
        world.join(Party::Tester(0), group).unwrap();
        let mut gm = ProbeGm::new(world, 0);
        gm.register(world).unwrap();
        let until = world.now() + MINUTE;
        let push = gm.await_push(world, until).unwrap();
        gm.ack(world, &push).unwrap();
        (push.datagram.dst == group, push.findings.len())
    };
    let ks = |world: &mut Side| {
        let group = world.address(Party::Group(1));
        let mut ks = ProbeKs::new(world, 0);
        if let Some(kek) = &mut ks.script.group.kek {
            kek.dst = Some(Selector::from_ip(group.ip()).with_port(group.port()));
        }
        ks.await_registration(world, MINUTE).unwrap();
        let push = ks.push_fresh_tek(world).unwrap();
        let until = deadline(world);
        ks.await_ack(world, &push, until).map(|ack| ack.seen.from().to_string())
    };
    assert_eq!(duet(gm, ks), ((true, 0), Some("192.0.2.10:848".to_owned())));
}

#[test]
fn every_kek_algorithm_and_signing_key_works() {
    let rekey = [
        (CipherAlg::TripleDes, HashAlg::Sha1, keys::REKEY_RSA_1024_PEM),
        (CipherAlg::Aes192, HashAlg::Sha512, keys::REKEY_RSA_3072_PEM),
        (CipherAlg::Aes256, HashAlg::Sha384, keys::REKEY_RSA_4096_PEM),
        (CipherAlg::Aes128, HashAlg::Sha256, keys::TESTER_P256_PEM),
        (CipherAlg::Aes128, HashAlg::Sha256, keys::TESTER_P384_PEM),
        (CipherAlg::Aes128, HashAlg::Sha256, keys::TESTER_P521_PEM),
    ];
    for (cipher, hash, pem) in rekey {
        let (seen, _) = pushes(|ks, world| {
            let signing = keys::load(pem).unwrap();
            let kek = Kek::with(ks.rng(), cipher, hash, signing);
            ks.push(world, PushSpec::kek(kek)).unwrap();
            let tek = ks.fresh_tek().flows(Flow::many(100));
            let push = ks.push(world, PushSpec::tek(tek)).unwrap();
            assert!(push.datagrams[0].payload.len() > 3_000);
        });
        assert!(seen.iter().all(|push| push.acceptable && push.findings.is_empty()), "{cipher} {seen:?}");
        assert_eq!(seen.len(), 2);
    }
}
