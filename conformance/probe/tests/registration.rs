//! Phase 1 and PULL, both ends the tester's own.

mod duet;

use duet::{Side, address, duet};
use hallmark_core::Duration;
use hallmark_crypto::gdoi::AckLength;
use hallmark_crypto::{CipherAlg, HashAlg};
use hallmark_probe::certs::Authority;
use hallmark_probe::fragment::{IpPieces, ike_fragments};
use hallmark_probe::group::{lkh_path, lkh_update};
use hallmark_probe::ks::AckStyle;
use hallmark_probe::tamper::octets;
use hallmark_probe::world::{KeyRecord, Party, World};
use hallmark_probe::{
    Auth, Fault, Kek, ProbeGm, ProbeKs, PushSpec, Reply, SidPlan, Step, Suite, Tamper, Tek, alive, edit, gm,
};
use hallmark_wire::isakmp::PayloadType;

const MINUTE: Duration = Duration::from_secs(60);

fn serve(world: &mut Side, prepare: impl FnOnce(&mut ProbeKs)) -> ProbeKs {
    let mut ks = ProbeKs::new(world, 0);
    prepare(&mut ks);
    ks.serve_for(world, MINUTE);
    ks
}

/// Runs a registration that the key server makes wrong, and gives how it ended for the group member.
fn with_ks(prepare: impl FnOnce(&mut ProbeKs) + Send) -> Result<(), Fault> {
    let gm = |world: &mut Side| ProbeGm::new(world, 0).register(world).map(|_| ());
    duet(gm, |world| serve(world, prepare).log.entries.len()).0
}

/// Runs a registration that the group member makes wrong.
fn with_gm(prepare: impl FnOnce(&mut ProbeGm) + Send) -> Result<(), Fault> {
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        prepare(&mut gm);
        gm.register(world).map(|_| ())
    };
    duet(gm, |world| serve(world, |_| {}).log.entries.len()).0
}

#[test]
fn a_registration_gives_both_ends_the_same_keys() {
    let (left, right) = duet(
        |world| {
            let mut gm = ProbeGm::new(world, 0);
            let registration = gm.register(world).unwrap();
            assert_eq!(registration.seq, Some(0));
            assert_eq!(gm.keks.len(), 1);
            let kek = registration.kek.unwrap();
            assert_eq!(kek.ack, Some(1));
            assert!(world.keys.iter().any(|key| matches!(key, KeyRecord::Tek { .. })));
            (kek.spi, kek.key.expose().to_vec(), registration.teks)
        },
        |world| {
            let ks = serve(world, |_| {});
            assert_eq!(ks.members.len(), 1);
            assert_eq!(ks.members[0].address, address(0, 0));
            let kek = ks.script.group.kek.unwrap();
            assert!(world.keys.iter().any(|key| matches!(key, KeyRecord::Ike { .. })));
            (kek.spi, kek.key.expose().to_vec(), ks.script.group.teks)
        },
    );
    assert_eq!(left, right);
    assert_eq!(left.2[0].algorithm_key.len(), 16);
}

#[test]
fn every_kind_of_suite_registers() {
    for name in [
        "aes128-sha1-modp1024-psk",
        "3des-md5-modp768-psk",
        "aes256-sha1-ecp256-psk",
        "aes192-sha512-ecp384-psk",
        "aes256-sha384-ecp256-psk",
        "aes128-sha256-ecp256-rsa",
        "aes128-sha1-ecp256-ecdsa256",
        "aes256-sha256-ecp384-ecdsa384",
        "aes256-sha512-ecp521-ecdsa521",
    ] {
        let suite = Suite::from_name(name).unwrap();
        assert_eq!(suite.name(), name);
        let gm = move |world: &mut Side| {
            let mut gm = ProbeGm::new(world, 0);
            gm.script.suites = vec![suite];
            if suite.auth != Auth::Psk {
                let mut authority = Authority::trusted(world).unwrap();
                gm.script.credentials = authority.tester(suite.auth, gm.script.me.ip()).unwrap();
            }
            gm.register(world).map(|_| gm.sa.unwrap().suite)
        };
        let ks = move |world: &mut Side| {
            let credentials = (suite.auth != Auth::Psk)
                .then(|| Authority::trusted(world).unwrap().tester(suite.auth, address(1, 0).ip()).unwrap());
            let ks = serve(world, |ks| {
                ks.script.suites = vec![Suite::default(), suite];
                ks.script.credentials = credentials.unwrap_or_default();
            });
            ks.log.last(Step::Main5).map(|seen| seen.authentic)
        };
        let (result, proof) = duet(gm, ks);
        assert_eq!(result.map(|suite| suite.name()), Ok(name.to_owned()));
        assert_eq!(proof, Some(Some(true)), "{name}");
    }
}

#[test]
fn aggressive_mode_works_with_message_3_encrypted_and_in_clear() {
    for clear in [false, true] {
        let gm = |world: &mut Side| {
            let mut gm = ProbeGm::new(world, 0);
            if clear {
                gm.tamper(Step::Aggressive3, Tamper::none().in_clear());
            }
            gm.aggressive(world)?;
            gm.pull(world).map(|registration| registration.teks.len())
        };
        assert_eq!(duet(gm, |world| serve(world, |_| {}).log.registrations), (Ok(1), 1), "clear: {clear}");
    }
}

#[test]
fn a_wrong_key_is_noticed_by_both_ends() {
    let broken = with_ks(|ks| ks.script.credentials.psk = b"another".to_vec()).unwrap_err();
    assert!(broken.refused_at(Step::Main6), "{broken}");
    let (seen, _) = duet(
        |world| {
            let mut gm = ProbeGm::new(world, 0);
            gm.script.credentials.psk = b"another".to_vec();
            gm.phase1(world).unwrap_err()
        },
        |world| {
            let ks = serve(world, |_| {});
            assert_ne!(ks.log.last(Step::Main5).unwrap().authentic, Some(true));
        },
    );
    assert!(seen.is_refusal());
}

type Prepare<P> = fn(&mut P);

const HASH: PayloadType = PayloadType::HASH;

#[test]
fn each_stage_of_a_group_members_message_can_be_broken() {
    let table: [(&str, Prepare<ProbeGm>, Step); 14] = [
        ("sealed HASH_I", |gm| set(gm, Step::Main5, Tamper::sealed(|m| edit::flip_bit(m, HASH, 0, 0))), Step::Main6),
        ("input of HASH_I", |gm| set(gm, Step::Main5, Tamper::hashed(|i| i.swap("cky_i", "cky_r"))), Step::Main6),
        ("key of message 5", |gm| set(gm, Step::Main5, Tamper::none().encrypt_with_key(vec![7; 16])), Step::Main6),
        ("wire of message 5", |gm| set(gm, Step::Main5, Tamper::wire(|d| octets::flip_bit(d, 60, 3))), Step::Main6),
        ("sealed HASH(1)", |gm| set(gm, Step::Pull1, Tamper::sealed(|m| edit::flip_bit(m, HASH, 0, 0))), Step::Pull2),
        ("no HASH(1)", |gm| set(gm, Step::Pull1, Tamper::content(|m| edit::remove(m, HASH))), Step::Pull2),
        ("in clear", |gm| set(gm, Step::Pull1, Tamper::none().in_clear()), Step::Pull2),
        (
            "length of the nonce",
            |gm| set(gm, Step::Pull1, Tamper::content(|m| edit::add_length(m, PayloadType::NONCE, 9))),
            Step::Pull2,
        ),
        ("other IV", |gm| set(gm, Step::Pull1, Tamper::none().encrypt_with_iv(vec![9; 16])), Step::Pull2),
        ("Quick Mode HASH(3)", |gm| set(gm, Step::Pull3, Tamper::hashed(|i| i.prepend(vec![0]))), Step::Pull4),
        ("other Nr", |gm| set(gm, Step::Pull3, Tamper::hashed(|i| i.set("nr_b", vec![1; 16]))), Step::Pull4),
        ("header length", |gm| set(gm, Step::Pull3, Tamper::wire(|d| octets::set_length(d, 27))), Step::Pull4),
        ("message id", |gm| set(gm, Step::Pull3, Tamper::wire(|d| octets::set_message_id(d, 1))), Step::Pull4),
        ("cookies", |gm| set(gm, Step::Pull1, Tamper::wire(|d| octets::swap_cookies(d))), Step::Pull2),
    ];
    for (name, prepare, awaited) in table {
        let fault = with_gm(prepare).expect_err(name);
        assert!(fault.refused_at(awaited), "{name}: {fault}");
    }
}

fn set(gm: &mut ProbeGm, step: Step, tamper: Tamper) {
    gm.tamper(step, tamper);
}

fn spoil(ks: &mut ProbeKs, step: Step, tamper: Tamper) {
    ks.tamper(step, tamper);
}

fn answer(ks: &mut ProbeKs, step: Step, reply: Reply) {
    ks.reply(step, reply);
}

#[test]
fn each_stage_of_a_key_servers_message_can_be_broken() {
    let table: [(&str, Prepare<ProbeKs>, Step); 8] = [
        ("sealed HASH_R", |ks| spoil(ks, Step::Main6, Tamper::sealed(|m| edit::flip_bit(m, HASH, 0, 0))), Step::Main6),
        ("in clear", |ks| spoil(ks, Step::Pull2, Tamper::none().in_clear()), Step::Pull2),
        ("sealed HASH(2)", |ks| spoil(ks, Step::Pull2, Tamper::sealed(|m| edit::flip_bit(m, HASH, 0, 0))), Step::Pull2),
        (
            "no nonce",
            |ks| spoil(ks, Step::Pull2, Tamper::content(|m| edit::remove(m, PayloadType::NONCE))),
            Step::Pull2,
        ),
        (
            "a SAK that names a length of 2",
            |ks| {
                spoil(
                    ks,
                    Step::Pull2,
                    Tamper::content(|m| edit::sa_inner(m, PayloadType::SA_KEK, 0, |sak| sak[4] = 255)),
                )
            },
            Step::Pull2,
        ),
        ("nonces of HASH(4)", |ks| spoil(ks, Step::Pull4, Tamper::hashed(|i| i.swap("ni_b", "nr_b"))), Step::Pull4),
        (
            "no KD",
            |ks| spoil(ks, Step::Pull4, Tamper::content(|m| edit::remove(m, PayloadType::KEY_DOWNLOAD))),
            Step::Pull4,
        ),
        (
            "KE",
            |ks| spoil(ks, Step::Main4, Tamper::content(|m| edit::set_body(m, PayloadType::KE, vec![1; 256]))),
            Step::Main6,
        ),
    ];
    for (name, prepare, step) in table {
        let fault = with_ks(prepare).expect_err(name);
        assert_eq!(fault.step(), Some(step), "{name}: {fault}");
        assert!(name == "KE" || matches!(fault, Fault::Broken { .. }), "{name}: {fault}");
    }
}

#[test]
fn authentic_content_may_be_anything() {
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.tamper(Step::Pull1, Tamper::content(|m| edit::push(m, PayloadType::VENDOR_ID, vec![1, 2, 3])));
        let registration = gm.register(world).unwrap();
        let attribute = registration.policy.kek().unwrap().attributes.uint(127);
        (attribute, registration.seq, registration.kd.packets.len(), registration.kek_flaw)
    };
    let ks = |world: &mut Side| {
        let ks = serve(world, |ks| {
            spoil(
                ks,
                Step::Pull2,
                Tamper::content(|m| edit::sak(m, |sak| edit::attributes::add(&mut sak.attributes, 127, 9))),
            );
            spoil(
                ks,
                Step::Pull4,
                Tamper::content(|m| {
                    edit::sequence(m, 77);
                    edit::kd(m, |kd| kd.packets.truncate(1));
                }),
            );
        });
        ks.log.last(Step::Pull1).map(|seen| seen.kinds())
    };
    let (got, kinds) = duet(gm, ks);
    assert_eq!(got, (Some(9), Some(77), 1, None));
    let expected = [PayloadType::HASH, PayloadType::NONCE, PayloadType::ID, PayloadType::VENDOR_ID];
    assert_eq!(kinds, Some(expected.to_vec()));
}

#[test]
fn a_right_message_after_a_wrong_one_still_fits_the_iv_chain() {
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.phase1(world).unwrap();
        gm.send_pull1(world).unwrap();
        gm.receive_pull2(world).unwrap();
        gm.tamper(Step::Pull3, Tamper::hashed(|i| i.prepend(vec![0])));
        gm.send_pull3(world).unwrap();
        assert!(gm.receive_pull4(world).unwrap_err().refused_at(Step::Pull4));
        gm.untamper();
        gm.send_pull3(world).unwrap();
        gm.receive_pull4(world).map(|registration| registration.teks.len())
    };
    assert_eq!(duet(gm, |world| serve(world, |_| {}).log.registrations), (Ok(1), 1));
}

#[test]
fn a_key_server_can_make_up_for_a_wrong_answer() {
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.phase1(world).unwrap();
        gm.send_pull1(world).unwrap();
        assert!(matches!(gm.receive_pull2(world), Err(Fault::Broken { .. })));
        gm.receive_pull2(world).unwrap();
        gm.send_pull3(world).unwrap();
        gm.receive_pull4(world).map(|registration| registration.message_id == gm.registration.unwrap().message_id)
    };
    let ks = |world: &mut Side| {
        let mut ks = ProbeKs::new(world, 0);
        spoil(&mut ks, Step::Pull2, Tamper::sealed(|m| edit::flip_bit(m, HASH, 3, 3)));
        let deadline = world.now() + MINUTE;
        ks.await_step(world, Step::Pull1, deadline).unwrap();
        world.rest(world.now() + Duration::from_secs(1));
        ks.untamper();
        assert!(ks.send_again(world, Step::Pull2));
        ks.await_registration(world, MINUTE).is_ok()
    };
    assert_eq!(duet(gm, ks), (Ok(true), true));
}

#[test]
fn answers_can_be_withheld_repeated_delayed_and_sent_from_elsewhere() {
    assert!(with_ks(|ks| answer(ks, Step::Pull2, Reply::Silent)).unwrap_err().refused_at(Step::Pull2));
    assert_eq!(with_ks(|ks| answer(ks, Step::Main4, Reply::IgnoreFirst(1))), Ok(()));
    let slow = with_ks(|ks| answer(ks, Step::Pull4, Reply::Delay(Duration::from_secs(12)))).unwrap_err();
    assert!(slow.refused_at(Step::Pull4));
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.register(world).unwrap();
        gm.collect(world, Duration::from_secs(1));
        let copies: Vec<bool> = gm.seen(Step::Pull4).map(|seen| seen.repeat).collect();
        let other = gm.seen(Step::Pull2).all(|seen| seen.from() == address(1, 3));
        (copies, other)
    };
    let ks = |world: &mut Side| {
        let ks = serve(world, |ks| {
            ks.reply(Step::Pull4, Reply::Repeat(2)).reply(Step::Pull2, Reply::From(address(1, 3)));
        });
        ks.sent.iter().filter(|sent| sent.step == Step::Pull4).count()
    };
    assert_eq!(duet(gm, ks), ((vec![false, true, true], true), 3));
}

#[test]
fn a_lost_answer_is_repaired_by_sending_again() {
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.register(world).unwrap();
        gm.sent.len()
    };
    let ks = |world: &mut Side| {
        let ks = serve(world, |ks| {
            for step in [Step::Main2, Step::Main4, Step::Main6, Step::Pull2, Step::Pull4] {
                ks.reply(step, Reply::IgnoreFirst(1));
            }
        });
        (ks.log.entries.iter().filter(|seen| seen.repeat).count(), ks.members.len())
    };
    assert_eq!(duet(gm, ks), (5, (5, 1)));
}

#[test]
fn the_conversation_can_move_to_the_nat_traversal_port() {
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.send_main1(world).unwrap();
        gm.receive_main2(world).unwrap();
        gm.send_main3(world).unwrap();
        gm.receive_main4(world).unwrap();
        gm.float(world).unwrap();
        gm.send_main5(world).unwrap();
        let answer = gm.receive_main6(world).unwrap();
        gm.pull(world).unwrap();
        (answer.marker, gm.seen(Step::Pull4).all(|seen| seen.marker && seen.from().port() == gm::NAT_T_PORT))
    };
    let ks = |world: &mut Side| {
        let ks = serve(world, |_| {});
        ks.log.last(Step::Main3).map(|seen| seen.count(PayloadType::NAT_D))
    };
    assert_eq!(duet(gm, ks), ((true, true), Some(2)));
}

#[test]
fn both_ends_read_ike_fragments_and_ip_fragments() {
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.phase1(world).unwrap();
        gm.tamper(Step::Pull1, Tamper::wire(|d| d.clear()));
        gm.send_pull1(world).unwrap();
        gm.untamper();
        gm.script.fixed.message_id = Some(7);
        // Sent whole first, to have it; then the answer comes to the fragments only.
        gm.send_pull1(world).unwrap();
        let whole = gm.last_sent(Step::Pull1).unwrap().octets.clone();
        gm.receive_pull2(world).unwrap();
        let mut pieces = ike_fragments(&whole, 1, 40);
        assert_eq!(pieces.len(), 3);
        pieces.reverse();
        for piece in pieces {
            gm.send_raw(world, piece);
        }
        let again = gm.collect(world, Duration::from_secs(1));
        let datagram = hallmark_core::Datagram::new(gm.script.me, gm.script.ks, whole);
        let mut cut = IpPieces::cut(&datagram, 99, 60);
        assert!(cut.packets().len() > 2);
        cut.reverse().duplicate(0);
        cut.send(world, Duration::from_millis(200)).unwrap();
        let third = gm.collect(world, Duration::from_secs(1));
        (again.len(), third.len())
    };
    let ks = |world: &mut Side| {
        let ks = serve(world, |_| {});
        ks.log.of(Step::Pull1).map(|seen| (seen.fragments, seen.repeat)).collect::<Vec<_>>()
    };
    assert_eq!(duet(gm, ks), ((1, 1), vec![(0, false), (3, true), (0, true)]));
}

#[test]
fn informational_messages_reach_either_end() {
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.phase1(world).unwrap();
        let pong = gm.ping(world, 41, Duration::from_secs(2)).unwrap();
        let missing = {
            gm.tamper(Step::Informational, Tamper::hashed(|i| i.append(vec![0])));
            gm.ping(world, 42, Duration::from_secs(2)).unwrap_err()
        };
        gm.untamper();
        gm.collect(world, Duration::from_secs(5));
        gm.delete_sa(world).unwrap();
        (pong.authentic, missing.is_refusal(), gm.seen(Step::Informational).count())
    };
    let ks = |world: &mut Side| {
        let mut ks = ProbeKs::new(world, 0);
        ks.serve_for(world, Duration::from_secs(4));
        ks.send_r_u_there(world, 5).unwrap();
        ks.serve_for(world, MINUTE);
        (ks.log.deleted_sa(), ks.sa().is_none(), ks.log.count(Step::Informational))
    };
    assert_eq!(duet(gm, ks), ((Some(true), true, 2), (true, true, 4)));
}

#[test]
fn sender_ids_and_delays_travel_as_asked() {
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.script.sender_ids = Some(3);
        let first = gm.register(world).unwrap();
        gm.script.sender_ids = None;
        let second = gm.pull(world).unwrap();
        let gap = second.policy.gap().unwrap().attributes.uint(1);
        (first.sids, first.sid_bits, second.sids, gap, first.teks[0].is_counter_mode())
    };
    let ks = |world: &mut Side| {
        let ks = serve(world, |ks| {
            let tek = Tek::gcm(ks.rng());
            ks.script.group.teks = vec![tek];
            ks.script.group.sids = Some(SidPlan::default());
            ks.script.group = ks.script.group.clone().delays(30, 60);
        });
        ks.members.iter().map(|member| member.sids.clone()).collect::<Vec<_>>()
    };
    let (got, sids) = duet(gm, ks);
    assert_eq!(got, (vec![0, 1, 2], Some(8), vec![3], Some(30), true));
    assert_eq!(sids, vec![vec![0, 1, 2], vec![3]]);
}

#[test]
fn several_group_members_of_one_tester_do_not_disturb_each_other() {
    let gm = |world: &mut Side| {
        let mut first = ProbeGm::new(world, 0);
        let mut second = ProbeGm::new(world, 1);
        first.send_main1(world).unwrap();
        second.register(world).unwrap();
        first.receive_main2(world).unwrap();
        alive::key_server(world, 2).unwrap();
        alive::phase1_sa(world, &mut second).unwrap().teks.len()
    };
    let (teks, members) = duet(gm, |world| serve(world, |_| {}).members.len());
    assert_eq!((teks, members), (1, 3));
}

#[test]
fn open_pulls_are_kept_apart_by_their_message_ids() {
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.phase1(world).unwrap();
        let first = gm.send_pull1(world).unwrap();
        gm.receive_pull2(world).unwrap();
        let second = gm.send_pull1(world).unwrap();
        gm.receive_pull2(world).unwrap();
        assert_ne!(first, second);
        assert!(gm.select_pull(first));
        gm.send_pull3(world).unwrap();
        let registration = gm.receive_pull4(world).unwrap();
        assert!(!gm.select_pull(0));
        registration.message_id == first
    };
    assert_eq!(duet(gm, |world| serve(world, |_| {}).log.registrations), (true, 1));
}

#[test]
fn the_vendor_acknowledgement_is_told_from_the_standard_one() {
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.register(world).unwrap();
        for form in [gm::AckForm::Vendor, gm::AckForm::Standard(AckLength::BaseKey)] {
            let deadline = world.now() + MINUTE;
            let push = gm.await_push(world, deadline).unwrap();
            gm.ack_as(world, &push, form).unwrap();
        }
        gm.collect(world, MINUTE);
    };
    let ks = |world: &mut Side| {
        let mut ks = ProbeKs::new(world, 0);
        let member = ks.await_registration(world, MINUTE).unwrap();
        assert_eq!(member.address, address(0, 0));
        let mut styles = Vec::new();
        for _ in 0..2 {
            let ack = alive::group_member(world, &mut ks, MINUTE).unwrap();
            styles.push((ack.style, ack.reading));
        }
        styles
    };
    let (_, styles) = duet(gm, ks);
    let expected = [(AckStyle::Vendor, Some(AckLength::PrfBlock)), (AckStyle::Standard, Some(AckLength::BaseKey))];
    assert_eq!(styles, expected);
}

#[test]
fn a_leaf_key_of_a_hierarchy_keys_the_acknowledgement() {
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.script.auto_ack = true;
        let registration = gm.register(world).unwrap();
        gm.collect(world, MINUTE);
        (registration.lkh.map(|array| array.keys.len()), gm.sent.iter().filter(|sent| sent.step == Step::Ack).count())
    };
    let ks = |world: &mut Side| {
        let mut ks = ProbeKs::new(world, 0);
        let mut kek = ks.script.group.kek.clone().unwrap();
        kek.ack = Some(2);
        ks.script.group.lkh = Some(lkh_path(ks.rng(), &kek, 3));
        ks.script.group.kek = Some(kek);
        ks.await_registration(world, MINUTE).unwrap();
        alive::group_member(world, &mut ks, MINUTE).unwrap().reading
    };
    assert_eq!(duet(gm, ks), ((Some(3), 1), Some(AckLength::PrfBlock)));
}

#[test]
fn update_arrays_lead_from_a_held_key_to_the_new_kek() {
    for cipher in [CipherAlg::Aes128, CipherAlg::Aes192, CipherAlg::TripleDes] {
        let gm = |world: &mut Side| {
            let mut gm = ProbeGm::new(world, 0);
            gm.script.auto_ack = true;
            gm.register(world).unwrap();
            gm.collect(world, MINUTE);
            gm.current_kek().map(|kek| kek.key.expose().to_vec())
        };
        let ks = |world: &mut Side| {
            let mut ks = ProbeKs::new(world, 0);
            let signing = ks.signing_key().unwrap();
            let kek = Kek::with(ks.rng(), cipher, HashAlg::Sha256, signing);
            ks.script.group.lkh = Some(lkh_path(ks.rng(), &kek, 3));
            ks.script.group.kek = Some(kek);
            ks.await_registration(world, MINUTE).unwrap();
            for held in [1, 0] {
                let new = ks.fresh_kek().unwrap();
                let path = ks.script.group.lkh.clone().unwrap();
                let (update, path) = lkh_update(ks.rng(), &path, held, &new).unwrap();
                ks.push(world, PushSpec::kek(new).with_lkh(vec![update])).unwrap();
                ks.script.group.lkh = Some(path);
            }
            let push = ks.push_fresh_tek(world).unwrap();
            let deadline = world.now() + MINUTE;
            assert!(ks.await_ack(world, &push, deadline).is_some(), "{cipher}");
            ks.script.group.kek.map(|kek| kek.key.expose().to_vec())
        };
        let (held, sent) = duet(gm, ks);
        assert_eq!(held, sent);
    }
}

#[test]
fn a_restarted_key_server_is_met_with_a_new_phase_1() {
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.send_main1(world).unwrap();
        gm.receive_main2(world).unwrap();
        world.rest(world.now() + Duration::from_secs(5));
        assert!(gm.resend(world, Step::Main1));
        gm.collect(world, Duration::from_secs(1)).iter().filter(|seen| seen.step == Step::Main2 && !seen.repeat).count()
    };
    let ks = |world: &mut Side| {
        let mut ks = ProbeKs::new(world, 0);
        ks.serve_for(world, Duration::from_secs(3));
        ks.forget_sas();
        ks.serve_for(world, MINUTE);
        ks.log.count(Step::Main1)
    };
    assert_eq!(duet(gm, ks), (1, 2));
}

#[test]
fn nobody_answers_when_nobody_is_there() {
    let gm = |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.script.ks = world.address(Party::Subject(5));
        let fault = gm.phase1(world).unwrap_err();
        (fault.refused_at(Step::Main2), gm.sent.len(), world.now().as_secs())
    };
    let ks = |world: &mut Side| ProbeKs::new(world, 0).expect_silence(world, MINUTE).len();
    assert_eq!(duet(gm, ks), ((true, 1, 10), 0));
}
