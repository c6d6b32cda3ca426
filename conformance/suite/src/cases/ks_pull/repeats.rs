//! Messages that come twice, late, out of order or from another exchange.

use hallmark_core::Duration;
use hallmark_probe::gm::ProbeGm;
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::{Tamper, octets};
use hallmark_wire::gdoi::gap_attr;
use hallmark_wire::isakmp::{Attribute, Attributes, ExchangeType, Header, PayloadType};

use super::kit::{WINDOW, complete, counter_mode, open, sent, served, survives, words};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;
use crate::setup::KsSetup;

pub(crate) const CASES: &[Case] = &[
    case! {
        "PULLK-060", "gdoi.pull", Should, Ks,
        title: "a lost message 2 comes again, octet for octet",
        purpose: "Message 2 can be lost; another one in its place has another nonce, and the member's proof no longer fits.",
        requirements: ["GDOI-PULL-044", "GDOI-PULL-066"],
        sources: ["RFC 2408 §5.1"],
        catches: ["ks_m2_changes_on_repeat", "ks_m2_not_retransmitted"],
        cost: 20,
        run: lost_message_2,
    },
    case! {
        "PULLK-061", "gdoi.pull", Must, Ks,
        title: "a repeated message 3 gets the same message 4 or silence",
        purpose: "Message 4 can be lost; serving the repetition anew uses up sender ids and makes members twice.",
        requirements: ["GDOI-PULL-045", "GDOI-NEG-039"],
        sources: ["RFC 6407 §7.2.5", "RFC 6407 §3.5"],
        catches: ["ks_repeated_m3_served_anew"],
        needs: [Setup],
        cost: 15,
        run: repeated_message_3,
    },
    case! {
        "PULLK-062", "gdoi.pull", Must, Ks,
        title: "another message 3 after message 4 is not served",
        purpose: "An exchange is over when message 4 is out; a member that wants more starts a new one.",
        requirements: ["GDOI-NEG-040"],
        sources: ["RFC 6407 §7.2.4"],
        catches: ["ks_second_m3_served"],
        needs: [Setup],
        cost: 15,
        run: second_message_3,
    },
    case! {
        "PULLK-063", "gdoi.pull", Should, Ks,
        title: "message 4 is not sent again without being asked for",
        purpose: "It is the last message: only the member knows whether it arrived, and asks with message 3.",
        requirements: ["GDOI-PULL-067", "GDOI-PULL-069"],
        sources: ["RFC 2408 §5.1"],
        catches: ["ks_m4_repeated"],
        cost: 60,
        run: message_4_once,
    },
    case! {
        "REPLAY-006", "gdoi.replay", Must, Ks,
        title: "recorded PULL messages lead nowhere",
        purpose: "Someone who repeats what went by must not become a member, use up sender ids or get policy under another SA.",
        requirements: ["REPLAY-006", "GDOI-PULL-040", "GDOI-PULL-046", "GDOI-PULL-047", "GDOI-NEG-033"],
        sources: ["RFC 6407 §7.2.5", "RFC 6407 §3.2"],
        catches: ["ks_repeated_m3_served_anew", "ks_hash1_unchecked"],
        needs: [Setup],
        cost: 60,
        run: replays,
    },
    case! {
        "PULLK-064", "gdoi.pull", Must, Ks,
        title: "messages that fit no exchange are dropped",
        purpose: "The message id selects an exchange and its state; what fits none must not be worked on.",
        requirements: [
            "GDOI-PULL-043", "GDOI-PULL-048", "GDOI-NEG-038", "GDOI-NEG-050", "GDOI-NEG-051", "GDOI-PULL-069",
        ],
        sources: ["RFC 6407 §7.2.4"],
        catches: ["ks_hash3_unchecked"],
        cost: 40,
        run: out_of_state,
    },
];

fn lost_message_2(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (mut member, _) = scene.register(cx, 0)?;
    let message_id = open(cx, &mut member)?;
    let of_exchange = |seen: &Seen| seen.step == Step::Pull2 && seen.header.message_id == message_id;
    let first = cx.have(member.seen(Step::Pull2).find(|seen| of_exchange(seen)).cloned(), "no message 2 came")?;
    // The server may run a timer of its own or wait for the member's: the member's comes after 6 s.
    let mut copies = member.collect(cx.world, Duration::from_secs(6));
    for _ in 0..2 {
        member.resend(cx.world, Step::Pull1);
        copies.extend(member.collect(cx.world, Duration::from_secs(2)));
    }
    let pull = |seen: &&Seen| seen.header.exchange == ExchangeType::PULL && seen.header.message_id == message_id;
    let copies: Vec<Vec<u8>> = copies.iter().filter(pull).map(|seen| seen.datagram.payload.clone()).collect();
    let same = copies.iter().all(|copy| *copy == first.datagram.payload);
    let observed = format!("{} copies, {}", copies.len(), if same { "all the same" } else { "not all the same" });
    cx.check("pull.m2-repeated", &["GDOI-PULL-066"], !copies.is_empty(), "message 2 comes again", &observed);
    cx.check("pull.m2-identical", &["GDOI-PULL-044", "GDOI-PULL-066"], same, "octet for octet the same", &observed);
    // The member goes on with what it has: the exchange has to be alive still.
    sent(member.send_pull3(cx.world))?;
    let ended = member.receive_pull4(cx.world);
    let observed = ended.as_ref().map_or_else(ToString::to_string, |_| "completed".to_owned());
    cx.check("pull.goes-on-after-repeat", &["GDOI-PULL-044"], ended.is_ok(), "message 4", observed);
    scene.finish(cx)
}

/// Starts a server whose group hands out sender ids, and registers a member: the ids count what the server did.
fn counting(cx: &mut Cx<'_>) -> Flow<(KsScene, ProbeGm, u64)> {
    let mut setup = KsSetup::standard(cx.world);
    counter_mode(&mut setup, 16);
    let scene = KsScene::start(cx, setup)?;
    let (member, registration) = scene.register(cx, 0)?;
    let sid = cx.have(registration.sids.last().copied(), "message 4 brought no sender id")?;
    Ok((scene, member, sid))
}

/// Judges that no sender id was used since the one given: the next PULL brings the next one.
fn none_used(cx: &mut Cx<'_>, member: &mut ProbeGm, check: &str, rules: &[&str], last: u64) -> Flow<u64> {
    member.untamper();
    let next = complete(cx, member)?.sids.first().copied();
    let observed = format!("{last}, then {next:?}");
    cx.check(check, rules, next == Some(last + 1), "the next sender id", observed);
    Ok(next.unwrap_or(last))
}

fn repeated_message_3(cx: &mut Cx<'_>) -> Flow {
    let (scene, mut member, last) = counting(cx)?;
    const RULES: &[&str] = &["GDOI-PULL-045", "GDOI-NEG-039"];
    for round in ["first", "second"] {
        member.resend(cx.world, Step::Pull3);
        let seen = member.collect(cx.world, WINDOW);
        let observed = format!("{round} repetition: {}", words(&seen));
        cx.check("pull.m3-repeat", RULES, !served(&seen), "the same message 4 or silence", observed);
    }
    none_used(cx, &mut member, "pull.m3-repeat-uses-none", RULES, last)?;
    scene.finish(cx)
}

fn second_message_3(cx: &mut Cx<'_>) -> Flow {
    let (scene, mut member, last) = counting(cx)?;
    // The same exchange, a proof that verifies, but asking for more.
    let message_id = member.registration.as_ref().map(|registration| registration.message_id);
    let message_id = cx.have(message_id, "no PULL completed")?;
    let nonces = member.pull_nonces(message_id).map(|(ni, nr)| (ni.to_vec(), nr.unwrap_or_default().to_vec()));
    let (ni, nr) = cx.have(nonces, "the tester forgot its nonces")?;
    let gap = Attributes(vec![Attribute::basic(gap_attr::SENDER_ID_REQUEST, 3)]).encode();
    // Under the IV that followed message 2 (a repetition) and under the one that followed message 4.
    let second = Tamper::none();
    let with = [("ni_b", ni.as_slice()), ("nr_b", nr.as_slice())];
    sent(member.send_pull_message(cx.world, message_id, &with, vec![(PayloadType::GAP, gap.clone())], &second))?;
    let after4 = member.collect(cx.world, WINDOW);
    let m2 = member.registration.as_ref().map(|registration| registration.message2.body_octets().to_vec());
    let block = m2.map(|body| body.get(body.len().saturating_sub(16)..).unwrap_or_default().to_vec());
    let iv = cx.have(block, "no message 2 was kept")?;
    let under2 = Tamper::none().encrypt_with_iv(iv);
    sent(member.send_pull_message(cx.world, message_id, &with, vec![(PayloadType::GAP, gap)], &under2))?;
    let after2 = member.collect(cx.world, WINDOW);
    let refused = !served(&after4) && !served(&after2);
    let observed = format!("{}; {}", words(&after4), words(&after2));
    cx.silence("pull.second-m3-refused", &["GDOI-NEG-040"], refused, "no further message 4", observed);
    none_used(cx, &mut member, "pull.second-m3-uses-none", &["GDOI-NEG-040"], last)?;
    scene.finish(cx)
}

fn message_4_once(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (mut member, registration) = scene.register(cx, 0)?;
    let seen = member.collect(cx.world, Duration::from_secs(45));
    let again = seen
        .iter()
        .filter(|seen| seen.header.exchange == ExchangeType::PULL && seen.header.message_id == registration.message_id);
    let count = again.count();
    cx.silence(
        "pull.m4-once",
        &["GDOI-PULL-067"],
        count == 0,
        "nothing more of this exchange",
        format!("{count} more messages"),
    );
    survives(cx, &scene, &mut member, "45 s after message 4")?;
    scene.finish(cx)
}

fn replays(cx: &mut Cx<'_>) -> Flow {
    let (scene, mut member, last) = counting(cx)?;
    const RULES: &[&str] = &["REPLAY-006", "GDOI-PULL-040"];
    // Both messages again, octet for octet, after the exchange is over.
    for step in [Step::Pull1, Step::Pull3, Step::Pull1] {
        member.resend(cx.world, step);
        let seen = member.collect(cx.world, WINDOW);
        let keys = seen.iter().any(|seen| seen.step == Step::Pull4 && !seen.repeat);
        let observed = format!("{step} again: {}", words(&seen));
        cx.check("replay.no-new-keys", RULES, !keys, "nothing, or what was sent before", observed);
        // A message 2 would have to come with a nonce of its own.
        let old = member.registration.as_ref().map(|registration| registration.nr_b.clone());
        let reused = seen.iter().any(|seen| !seen.repeat && seen.nonce().map(<[u8]>::to_vec) == old && old.is_some());
        cx.check("replay.new-nonce", &["GDOI-PULL-047"], !reused, "no old nonce in a new message", words(&seen));
    }
    let last = none_used(cx, &mut member, "replay.uses-none", RULES, last)?;

    // The message id of a finished exchange with another message 1.
    let used = member.registration.as_ref().map(|registration| registration.message_id);
    member.script.fixed.message_id = used;
    sent(member.send_pull1(cx.world))?;
    member.script.fixed.message_id = None;
    let seen = member.collect(cx.world, WINDOW);
    cx.silence("replay.message-id-used-up", &["GDOI-NEG-033"], !served(&seen), "no message 2", words(&seen));
    let last = none_used(cx, &mut member, "replay.message-id-uses-none", &["GDOI-NEG-033"], last)?;

    // The content of the old message 1, with its HASH, under the keys of a new phase 1 SA.
    let old = member.sa.clone();
    let old = cx.have(old, "there is no phase 1 SA")?;
    let id = member.last_sent(Step::Pull1).map(|sent| sent.octets.clone()).unwrap_or_default();
    let header = cx.have(Header::decode(&id).ok(), "the tester sent no message 1")?;
    let plain = old.cbc(header.message_id).ok().and_then(|cbc| cbc.decrypt(id.get(28..)?).ok());
    let plain = cx.have(plain, "the tester cannot open its own message")?;
    member.phase1(cx.world).map_err(|fault| crate::Stop::Inconclusive(format!("a second phase 1: {fault}")))?;
    let new = cx.have(member.sa.clone(), "there is no second phase 1 SA")?;
    let sealed = new.cbc(header.message_id).ok().map(|mut cbc| cbc.encrypt(plain));
    let sealed = cx.have(sealed, "the tester cannot seal the old message")?;
    let mut message = id.get(..28).unwrap_or_default().to_vec();
    octets::set_initiator_cookie(&mut message, new.initiator_cookie);
    octets::set_responder_cookie(&mut message, new.responder_cookie);
    message.extend(sealed);
    octets::fix_length(&mut message);
    member.send_raw(cx.world, message);
    let seen = member.collect(cx.world, WINDOW);
    cx.silence("replay.bound-to-phase1", &["GDOI-PULL-046"], !served(&seen), "no message 2", words(&seen));
    none_used(cx, &mut member, "replay.other-sa-uses-none", RULES, last)?;
    scene.finish(cx)
}

/// A message that fits no exchange: the rule, its name, the nonces that its HASH covers and its payloads.
type Stray<'a> = (&'a str, &'a str, &'a [(&'static str, &'a [u8])], Vec<(PayloadType, Vec<u8>)>);

fn out_of_state(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (mut member, _) = scene.register(cx, 0)?;
    let some = [("ni_b", [1_u8; 16].as_slice()), ("nr_b", [2_u8; 16].as_slice())];
    let gap = Attributes(vec![Attribute::basic(gap_attr::SENDER_ID_REQUEST, 1)]).encode();
    let sa = [2_u32.to_be_bytes(), 0_u32.to_be_bytes(), 0x10_0000_u32.to_be_bytes()].concat();
    let nonce = (PayloadType::NONCE, vec![0x33; 16]);
    let stray: Vec<Stray<'_>> = vec![
        ("GDOI-NEG-038", "message 3 without message 1", &some, Vec::new()),
        ("GDOI-NEG-038", "message 3 with GAP without message 1", &some, vec![(PayloadType::GAP, gap)]),
        ("GDOI-NEG-050", "a message 2", &some[..1], vec![nonce, (PayloadType::SA, sa)]),
        (
            "GDOI-NEG-050",
            "a message 4",
            &some,
            vec![(PayloadType::SEQ, vec![0; 4]), (PayloadType::KEY_DOWNLOAD, vec![0; 4])],
        ),
    ];
    for (rule, what, nonces, payloads) in stray {
        let message_id = cx.world.rng().next_u32() | 1;
        sent(member.send_pull_message(cx.world, message_id, nonces, payloads, &Tamper::none()))?;
        let seen = member.collect(cx.world, WINDOW);
        let rules = [rule, "GDOI-PULL-043"];
        cx.silence("pull.out-of-state", &rules, !served(&seen), "nothing", format!("{what}: {}", words(&seen)));
        survives(cx, &scene, &mut member, what)?;
    }
    for exchange in [33_u8, 34] {
        member.tamper(Step::Pull1, Tamper::wire(move |o| octets::set_exchange(o, exchange)));
        sent(member.send_pull1(cx.world))?;
        let seen = member.collect(cx.world, WINDOW);
        let silent = seen.iter().all(|seen| seen.repeat || seen.step == Step::Informational);
        cx.silence(
            "pull.other-exchange",
            &["GDOI-NEG-051"],
            silent,
            "nothing",
            format!("exchange {exchange}: {}", words(&seen)),
        );
        survives(cx, &scene, &mut member, "another exchange type")?;
    }
    // The proof of one exchange under the message id of another.
    let a = open(cx, &mut member)?;
    let nonces = member.pull_nonces(a).map(|(ni, nr)| (ni.to_vec(), nr.unwrap_or_default().to_vec()));
    let (ni, nr) = cx.have(nonces, "the tester forgot its nonces")?;
    let b = open(cx, &mut member)?;
    let foreign = [("ni_b", ni.as_slice()), ("nr_b", nr.as_slice())];
    sent(member.send_pull_message(cx.world, b, &foreign, Vec::new(), &Tamper::none()))?;
    let seen = member.collect(cx.world, WINDOW);
    let keys = seen.iter().any(|seen| seen.header.exchange == ExchangeType::PULL && !seen.repeat);
    const BOUND: &[&str] = &["GDOI-PULL-048", "GDOI-PULL-043"];
    cx.silence("pull.proof-of-other-exchange", BOUND, !keys, "no message 4", words(&seen));
    survives(cx, &scene, &mut member, "the proof of another exchange")?;
    scene.finish(cx)
}
