//! The four messages: what they carry, how they are hashed and encrypted, and how several exchanges live side by side.

use std::collections::BTreeSet;

use hallmark_probe::gm::{NAT_T_PORT, ProbeGm};
use hallmark_probe::step::{Fault, Step};
use hallmark_wire::isakmp::{ExchangeType, Flags, Header, PayloadType, vendor_id};

use super::kit::{complete, open, pull, sent};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::KsScene;
use crate::setup::KsSetup;

pub(crate) const CASES: &[Case] = &[
    case! {
        "REG-001", "gdoi.pull", Must, Ks,
        title: "a member registers",
        purpose: "The way into the group: four messages bring policy with KEK and TEK, their keys and the sequence number.",
        requirements: ["REG-001", "GDOI-PULL-033", "GDOI-PL-005", "GDOI-ALG-007", "GDOI-P1-005", "GDOI-P1-017"],
        sources: ["RFC 6407 §3.2", "RFC 6407 §3.4"],
        catches: ["ks_m4_kek_missing", "ks_seq_missing"],
        run: registers,
    },
    case! {
        "PULLK-001", "gdoi.pull", Must, Ks,
        title: "messages 2 and 4 carry the right header",
        purpose: "Cookies and message id tell the member which SA and exchange an answer belongs to; the E flag says that policy and keys are protected.",
        requirements: [
            "GDOI-PULL-005", "GDOI-PULL-006", "GDOI-PULL-007", "GDOI-PULL-008", "GDOI-PULL-011", "GDOI-P1-008",
            "GDOI-P1-018",
        ],
        sources: ["RFC 6407 §3.2.1"],
        catches: ["ks_commit_flag_set", "ike_emits_minor_version"],
        run: headers,
    },
    case! {
        "PULLK-002", "gdoi.pull", Must, Ks,
        title: "messages 2 and 4 carry their payloads in order",
        purpose: "Members walk the chain by position and Next Payload; another order is another message.",
        requirements: ["GDOI-PULL-002", "GDOI-PULL-004", "GDOI-PL-002", "GDOI-PL-003", "GDOI-PL-008"],
        sources: ["RFC 6407 §3.2", "RFC 6407 §5"],
        catches: ["ks_m4_kd_before_seq"],
        run: chains,
    },
    case! {
        "PULLK-003", "gdoi.pull", Must, Ks,
        title: "HASH(2) and HASH(4) cover what they must",
        purpose: "The hashes bind policy and keys to both nonces; with another formula no other vendor's member accepts them.",
        requirements: ["GDOI-PULL-014", "GDOI-PULL-017", "GDOI-PULL-019", "GDOI-PL-077"],
        sources: ["RFC 6407 §3.2"],
        catches: ["ks_hash2_without_ni", "ks_hash4_nonces_swapped", "ks_hash_truncated"],
        run: hashes,
    },
    case! {
        "PULLK-004", "gdoi.pull", Must, Ks,
        title: "each message starts from the last block of the one before",
        purpose: "The IV chain runs across both directions; a server that starts anew cannot be read.",
        requirements: ["GDOI-PULL-007", "GDOI-PULL-021", "GDOI-PULL-022"],
        sources: ["RFC 6407 §3.2", "RFC 2409 App. B"],
        catches: ["ks_iv_not_chained"],
        run: iv_chain,
    },
    case! {
        "PULLK-005", "gdoi.pull", Must, Ks,
        title: "every exchange has a fresh nonce of 8 to 128 octets",
        purpose: "A nonce that comes again lets recorded messages 3 be replayed.",
        requirements: ["GDOI-PULL-024", "GDOI-PL-072", "GDOI-SEC-001"],
        sources: ["RFC 6407 §3.2", "RFC 6407 §5.8"],
        catches: ["ks_nonce_reused", "ks_nonce_short"],
        run: nonces,
    },
    case! {
        "PULLK-006", "gdoi.pull", Must, Ks,
        title: "several PULLs share one phase 1 SA, also interleaved",
        purpose: "A member may ask again or for another group before the first exchange is over; each has its own nonces, IV and state.",
        requirements: ["GDOI-P1-009", "GDOI-P1-010", "GDOI-PULL-023"],
        sources: ["RFC 6407 §3", "RFC 6407 §7.2.4"],
        catches: ["ks_one_pull_at_a_time"],
        run: interleaved,
    },
    case! {
        "PULLK-007", "gdoi.pull", Must, Ks,
        title: "padding is not hashed, whatever the length of a message",
        purpose: "A server that hashes the padding, or adds some where none is needed, fails with every other message size.",
        requirements: ["GDOI-PULL-019", "GDOI-PL-072"],
        sources: ["RFC 6407 §3.2", "RFC 2409 App. B"],
        catches: ["ks_hash_covers_padding"],
        run: alignments,
    },
    case! {
        "PULLK-008", "gdoi.nat", Must, Ks,
        title: "a member behind a NAT registers on port 4500",
        purpose: "Where addresses are translated, port 848 gets no answer back in; phase 1 moves to 4500 and the PULL goes with it.",
        requirements: ["GDOI-P1-007", "GDOI-P1-008", "IKE-NAT-006"],
        sources: ["RFC 6407 §2.2", "RFC 3947 §4"],
        catches: ["ike_marker_missing"],
        needs: [Setup],
        cost: 20,
        run: on_port_4500,
    },
];

fn registers(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 0)?;
    let pulled = pull(cx, &mut member);
    let done = pulled.result.is_ok();
    const RULES: &[&str] = &["REG-001", "GDOI-PL-005", "GDOI-P1-005", "GDOI-P1-017"];
    cx.check("pull.registers", RULES, done, "the four messages complete", pulled.words());
    if let Ok(registration) = &pulled.result {
        let kek = registration.kek.is_some();
        let flaw = registration.kek_flaw.clone().unwrap_or_else(|| "no SAK".to_owned());
        let observed = if kek { "a KEK with its key".to_owned() } else { flaw };
        cx.check("pull.brings-kek", &["REG-001"], kek, "a KEK with its key", observed);
        let teks = registration.teks.iter().filter(|tek| tek.protocol_id == 1).count();
        const ESP: &[&str] = &["REG-001", "GDOI-ALG-007"];
        cx.check("pull.brings-tek", ESP, teks > 0, "at least one ESP SA", format!("{teks} ESP SAs"));
        let keyed = registration.teks.iter().all(|tek| !(tek.algorithm_key.is_empty() && tek.integrity_key.is_empty()));
        const KD: &[&str] = &["REG-001", "GDOI-PULL-033"];
        cx.check(
            "pull.brings-keys",
            KD,
            keyed,
            "keys for every SA",
            format!("{} key packets", registration.kd.packets.len()),
        );
        let seq = registration.seq;
        cx.check("pull.brings-seq", &["REG-001"], seq.is_some(), "a SEQ payload", format!("SEQ {seq:?}"));
    }
    scene.finish(cx)
}

fn headers(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 0)?;
    let pulled = pull(cx, &mut member);
    let sa = cx.have(member.sa.clone(), "there is no phase 1 SA")?;
    let message_id = member.last_sent(Step::Pull1).and_then(|sent| Header::decode(&sent.octets).ok());
    let message_id = cx.have(message_id, "the tester sent no message 1")?.message_id;
    let m2 = cx.have(pulled.m2, "no message 2 came")?;
    let (subject, tester) = (member.script.ks, member.script.me);
    for seen in [Some(m2), pulled.m4].into_iter().flatten() {
        let (name, header) = (seen.step, seen.header);
        let say = |what: String| format!("{name}: {what}");
        let right = header.exchange == ExchangeType::PULL;
        cx.check("pull.exchange-type", &["GDOI-PULL-005"], right, "32", say(header.exchange.0.to_string()));
        let cookies = (header.initiator_cookie, header.responder_cookie);
        let right = cookies == sa.cookies();
        cx.check("pull.cookies", &["GDOI-PULL-006"], right, "the cookies of phase 1", say(format!("{cookies:02x?}")));
        let flags = header.flags;
        let encrypted = flags.contains(Flags::ENCRYPTION);
        cx.check("pull.encrypted", &["GDOI-PULL-007"], encrypted, "flag E", say(format!("flags {:02x}", flags.0)));
        let bare = flags.0 == Flags::ENCRYPTION.0;
        cx.check("pull.no-other-flag", &["GDOI-PULL-008"], bare, "flags 01", say(format!("flags {:02x}", flags.0)));
        let same = header.message_id == message_id;
        cx.check(
            "pull.message-id",
            &["GDOI-PULL-011"],
            same,
            "that of message 1",
            say(format!("{:08x}", header.message_id)),
        );
        let version = header.version;
        cx.check("pull.version", &["GDOI-P1-018"], version == 0x10, "10", say(format!("{version:02x}")));
        let straight = (seen.datagram.src, seen.datagram.dst) == (subject, tester);
        let ends = format!("from {} to {}", seen.datagram.src, seen.datagram.dst);
        cx.check("pull.same-path", &["GDOI-P1-008"], straight, "the addresses and ports of phase 1", say(ends));
    }
    scene.finish(cx)
}

fn chains(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 0)?;
    let pulled = pull(cx, &mut member);
    let m2 = cx.have(pulled.m2.clone(), "no message 2 came")?;
    let wanted = [PayloadType::HASH, PayloadType::NONCE, PayloadType::SA];
    let read = m2.flaw.is_none();
    const FRAME: &[&str] = &["GDOI-PL-002", "GDOI-PL-003"];
    let flaw = m2.flaw.clone().unwrap_or_else(|| "they do".to_owned());
    cx.check("pull.m2-parses", FRAME, read, "lengths and reserved octets hold", flaw);
    // A vendor id or a notification behind the three is allowed.
    let right = m2.kinds().starts_with(&wanted);
    cx.check("pull.m2-order", &["GDOI-PULL-002"], right, "HASH, NONCE, SA", format!("{:?}", m2.kinds()));
    let next = m2.payloads.iter().find(|p| p.kind == PayloadType::SA).and_then(|p| p.whole.first().copied());
    let clean = !matches!(next, Some(15 | 16 | 22));
    cx.check("pull.sa-next-payload", &["GDOI-PL-008"], clean, "not 15, 16 or 22", format!("{next:?}"));
    match &pulled.m4 {
        Some(m4) => {
            let wanted = [PayloadType::HASH, PayloadType::SEQ, PayloadType::KEY_DOWNLOAD];
            let flaw = m4.flaw.clone().unwrap_or_else(|| "they do".to_owned());
            cx.check("pull.m4-parses", FRAME, m4.flaw.is_none(), "lengths and reserved octets hold", flaw);
            let right = m4.kinds().starts_with(&wanted);
            cx.check("pull.m4-order", &["GDOI-PULL-004"], right, "HASH, SEQ, KD", format!("{:?}", m4.kinds()));
        }
        None => {
            cx.check("pull.m4-order", &["GDOI-PULL-004"], false, "HASH, SEQ, KD", pulled.words());
        }
    }
    scene.finish(cx)
}

fn hashes(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 0)?;
    let pulled = pull(cx, &mut member);
    let len = member.script.suites.first().map_or(0, |suite| suite.hash.len());
    let m2 = cx.have(pulled.m2.clone(), "no message 2 came")?;
    for (seen, rule) in [(Some(m2), "GDOI-PULL-014"), (pulled.m4.clone(), "GDOI-PULL-017")] {
        let Some(seen) = seen else {
            // Without message 2 that verifies there is no message 4 to look at.
            if rule == "GDOI-PULL-017" && !matches!(&pulled.result, Err(fault) if fault.step() == Some(Step::Pull2)) {
                cx.check("pull.hash-verifies", &[rule], false, "a message 4 that verifies", pulled.words());
            }
            continue;
        };
        let name = seen.step;
        let found = seen.body(PayloadType::HASH).map_or(0, <[u8]>::len);
        cx.check(
            "pull.hash-length",
            &["GDOI-PL-077"],
            found == len,
            "as long as the prf",
            format!("{name}: {found} octets"),
        );
        let verifies = seen.authentic == Some(true);
        let observed = if verifies { "verifies" } else { "does not verify" };
        cx.check(
            "pull.hash-verifies",
            &[rule, "GDOI-PULL-019"],
            verifies,
            "the HASH verifies",
            format!("{name}: it {observed}"),
        );
    }
    scene.finish(cx)
}

fn iv_chain(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 0)?;
    for round in ["the first PULL", "the second PULL"] {
        let pulled = pull(cx, &mut member);
        const RULES: &[&str] = &["GDOI-PULL-007", "GDOI-PULL-021", "GDOI-PULL-022"];
        const EXPECTED: &str = "it decrypts to a payload chain";
        for seen in [&pulled.m2, &pulled.m4].into_iter().flatten() {
            let read = seen.flaw.is_none() && !seen.payloads.is_empty();
            let observed = seen.flaw.clone().unwrap_or_else(|| "it does".to_owned());
            cx.check("pull.iv-chained", RULES, read, EXPECTED, format!("{} of {round}: {observed}", seen.step));
        }
        if pulled.m4.is_none() {
            cx.check("pull.iv-chained", RULES, false, EXPECTED, format!("message 4 of {round}: {}", pulled.words()));
        }
    }
    scene.finish(cx)
}

fn nonces(cx: &mut Cx<'_>) -> Flow {
    const PULLS: usize = 24;
    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 0)?;
    let mut values = BTreeSet::new();
    let mut lengths = BTreeSet::new();
    for _ in 0..PULLS {
        open(cx, &mut member)?;
        let message2 = member.seen(Step::Pull2).last();
        let nonce = message2.and_then(|seen| seen.nonce()).map(<[u8]>::to_vec);
        let nonce = cx.have(nonce, "message 2 has no nonce")?;
        lengths.insert(nonce.len());
        values.insert(nonce);
        sent(member.send_pull3(cx.world))?;
        if let Err(fault) = member.receive_pull4(cx.world) {
            cx.world.note(&format!("message 4: {fault}"));
        }
    }
    let fits = lengths.iter().all(|len| (8..=128).contains(len));
    cx.check("pull.nonce-length", &["GDOI-PL-072"], fits, "8 to 128 octets", format!("{lengths:?} octets"));
    let fresh = values.len() == PULLS;
    const RULES: &[&str] = &["GDOI-PULL-024", "GDOI-SEC-001"];
    cx.check("pull.nonce-fresh", RULES, fresh, "no value twice", format!("{} values in {PULLS} PULLs", values.len()));
    scene.finish(cx)
}

fn interleaved(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 0)?;
    for round in 1..=3 {
        let pulled = pull(cx, &mut member);
        let observed = format!("PULL {round}: {}", pulled.words());
        cx.check(
            "pull.sequential",
            &["GDOI-PULL-023", "GDOI-P1-009"],
            pulled.result.is_ok(),
            "every PULL completes",
            observed,
        );
    }
    // M1a M1b M2a M2b M3b M3a.
    let a = open(cx, &mut member)?;
    let b = sent(member.send_pull1(cx.world))?;
    let second = member.receive_pull2(cx.world).map(drop);
    let ended = second.and_then(|()| {
        finish(cx, &mut member, b)?;
        finish(cx, &mut member, a)
    });
    let observed = ended.as_ref().map_or_else(ToString::to_string, |()| "both completed".to_owned());
    cx.check("pull.interleaved", &["GDOI-P1-010"], ended.is_ok(), "both exchanges complete", observed);
    scene.finish(cx)
}

fn finish(cx: &mut Cx<'_>, member: &mut ProbeGm, message_id: u32) -> Result<(), Fault> {
    member.select_pull(message_id);
    member.send_pull3(cx.world)?;
    member.receive_pull4(cx.world).map(drop)
}

fn on_port_4500(cx: &mut Cx<'_>) -> Flow {
    let mut setup = KsSetup::standard(cx.world);
    setup.nat_t_port = Some(NAT_T_PORT);
    let scene = KsScene::start(cx, setup)?;
    let member = scene.phase1(cx, 0)?;
    let offered =
        member.seen(Step::Main2).any(|seen| seen.vendor_ids().iter().any(|id| id == &vendor_id::NAT_T_RFC3947));
    if !offered {
        return Err(Stop::NotSupported("ks.nat-t".to_owned(), "false".to_owned()));
    }
    let mut member = scene.member(cx, 1);
    let result = moved(cx, &mut member);
    let observed = result.as_ref().map_or_else(ToString::to_string, |()| "registered".to_owned());
    const RULES: &[&str] = &["GDOI-P1-007", "GDOI-P1-008", "IKE-NAT-006"];
    let registered =
        cx.check("pull.on-port-4500", RULES, result.is_ok(), "phase 1 ends and the PULL runs on port 4500", observed);
    if registered {
        let answers: Vec<_> = member.seen(Step::Pull2).chain(member.seen(Step::Pull4)).collect();
        let right = |seen: &&hallmark_probe::Seen| {
            seen.marker && (seen.from(), seen.datagram.dst) == (member.script.ks, member.script.me)
        };
        let all = answers.len() == 2 && answers.iter().all(right);
        let ends: Vec<String> =
            answers.iter().map(|s| format!("{} to {}, marker {}", s.from(), s.datagram.dst, s.marker)).collect();
        cx.check("pull.answers-on-4500", &["IKE-NAT-006"], all, "from 4500 to 4500, with the marker", ends.join("; "));
    }
    scene.finish(cx)
}

/// Runs main mode on the usual port up to message 4, and all that follows on port 4500.
fn moved(cx: &mut Cx<'_>, member: &mut ProbeGm) -> Result<(), Fault> {
    member.send_main1(cx.world)?;
    member.receive_main2(cx.world)?;
    member.send_main3(cx.world)?;
    member.receive_main4(cx.world)?;
    member.float(cx.world).map_err(|why| Fault::Tester(why.to_string()))?;
    member.send_main5(cx.world)?;
    member.receive_main6(cx.world)?;
    member.pull(cx.world).map(drop)
}

fn alignments(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 0)?;
    drop(complete(cx, &mut member));
    for len in (8..=24).chain([64, 127, 128]) {
        member.script.nonce_len = len;
        let pulled = pull(cx, &mut member);
        let observed = format!("nonce of {len} octets: {}", pulled.words());
        const RULES: &[&str] = &["GDOI-PULL-019", "GDOI-PL-072"];
        cx.check("pull.every-alignment", RULES, pulled.result.is_ok(), "the PULL completes", observed);
        let padding = [&pulled.m2, &pulled.m4].into_iter().flatten().map(|seen| seen.padding.len()).max();
        cx.world.note(&format!("padding of up to {padding:?} octets"));
    }
    scene.finish(cx)
}
