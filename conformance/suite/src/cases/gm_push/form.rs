//! The form of a PUSH: header, encryption, payload chain. What is wrong here is not even looked at.

use hallmark_core::{Datagram, Duration};
use hallmark_probe::edit;
use hallmark_probe::ks::{PushSpec, deletion};
use hallmark_probe::step::Step;
use hallmark_probe::tamper::{Tamper, octets};
use hallmark_wire::isakmp::PayloadType;

use super::kit::{Bench, Rule, kek_of};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::ACK_WINDOW;

pub(crate) const CASES: &[Case] = &[
    case! {
        "PUSHG-001", "gdoi.push", Must, Gm,
        title: "a PUSH with unknown cookies is dropped",
        purpose: "The cookies are the name of the KEK; a member that tries its only KEK on everything can be kept busy \
                  by anyone.",
        requirements: ["GDOI-PUSH-035", "GDOI-NEG-131", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4.4", "RFC 6407 §7.3.5"],
        catches: ["gm_cookies_ignored"],
        cost: 15,
        run: unknown_cookies,
    },
    case! {
        "PUSHG-002", "gdoi.push", Should, Gm,
        title: "all 16 octets of the cookies count",
        purpose: "Comparing half of the cookies, or comparing them as text that ends at a zero octet, confuses one KEK \
                  with another.",
        requirements: ["GDOI-NEG-132", "GDOI-PUSH-035", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4.4"],
        catches: ["gm_cookie_prefix_match"],
        cost: 15,
        run: partial_cookies,
    },
    case! {
        "PUSHG-003", "gdoi.push", Should, Gm,
        title: "a PUSH whose flags are not exactly E is dropped",
        purpose: "The flags octet of a PUSH is fixed; other bits mean that sender and receiver mean different things.",
        requirements: ["GDOI-NEG-133", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4.2"],
        catches: ["gm_push_flags_ignored"],
        cost: 20,
        run: |cx| refused(cx, Rule::new("push.flags-refused", &["GDOI-NEG-133"]), vec![
            ("flags 00 over an encrypted body", Tamper::wire(|o| octets::set_flags(o, 0x00))),
            ("flags 03", Tamper::wire(|o| octets::set_flags(o, 0x03))),
            ("flags 03, signed so", Tamper::content(|m| m.flags = 0x03)),
            ("flags 05", Tamper::wire(|o| octets::set_flags(o, 0x05))),
            ("flags 05, signed so", Tamper::content(|m| m.flags = 0x05)),
            ("flags 81", Tamper::wire(|o| octets::set_flags(o, 0x81))),
        ]),
    },
    case! {
        "PUSHG-004", "gdoi.push", Should, Gm,
        title: "a PUSH in clear is dropped, however well it is signed",
        purpose: "Who could take keys in clear could be fed keys by everyone who sees them.",
        requirements: ["GDOI-PUSH-059", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4.2"],
        catches: ["gm_push_clear_accepted"],
        cost: 15,
        run: |cx| refused(cx, Rule::grave("push.clear-refused", &["GDOI-PUSH-059"]), vec![
            ("in clear", Tamper::none().in_clear()),
            ("in clear, signed so", Tamper::content(|m| m.flags = 0).in_clear()),
        ]),
    },
    case! {
        "PUSHG-005", "gdoi.push", Should, Gm,
        title: "a PUSH with a message id is dropped",
        purpose: "The message id of a PUSH is 0; anything else belongs to another exchange.",
        requirements: ["GDOI-NEG-134", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4.2"],
        catches: ["gm_push_message_id_ignored"],
        cost: 15,
        run: |cx| refused(cx, Rule::new("push.message-id-refused", &["GDOI-NEG-134"]), vec![
            ("message id 1", Tamper::content(|m| m.message_id = 1)),
            ("message id 80000000", Tamper::content(|m| m.message_id = 0x8000_0000)),
        ]),
    },
    case! {
        "PUSHG-006", "gdoi.push", Should, Gm,
        title: "KEK cookies under another exchange type are dropped",
        purpose: "The exchange type says what a message is; a member that goes by the cookies alone takes \
                  acknowledgements and requests for rekeys.",
        requirements: ["GDOI-NEG-135", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4.2"],
        catches: ["gm_exchange_type_ignored"],
        cost: 20,
        run: |cx| refused(cx, Rule::new("push.exchange-type-refused", &["GDOI-NEG-135"]), vec![
            ("exchange 32", Tamper::content(|m| m.exchange = 32)),
            ("exchange 34", Tamper::content(|m| m.exchange = 34)),
            ("exchange 35", Tamper::content(|m| m.exchange = 35)),
            ("exchange 5", Tamper::content(|m| m.exchange = 5)),
        ]),
    },
    case! {
        "PUSHG-007", "gdoi.push", Should, Gm,
        title: "a PUSH whose Length is not its size, or whose body is no whole blocks, is dropped",
        purpose: "A member that trusts either number decrypts what is not there.",
        requirements: ["GDOI-NEG-136", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 2408 §5.1", "RFC 6407 §4.2"],
        catches: ["ike_length_not_checked"],
        cost: 20,
        run: |cx| refused(cx, Rule::new("push.length-refused", &["GDOI-NEG-136"]), vec![
            ("Length 16 short", Tamper::wire(|o| lengthen(o, -16))),
            ("Length 16 long", Tamper::wire(|o| lengthen(o, 16))),
            ("16 octets behind the end", Tamper::wire(|o| octets::resize(o, o.len() + 16))),
            ("one octet cut off", Tamper::wire(|o| octets::resize_and_fix(o, o.len() - 1))),
            ("one octet added", Tamper::wire(|o| octets::resize_and_fix(o, o.len() + 1))),
            ("no body", Tamper::wire(|o| octets::resize_and_fix(o, 28))),
        ]),
    },
    case! {
        "PUSHG-008", "gdoi.push", Must, Gm,
        title: "bodies that are noise harm nobody",
        purpose: "Cookies are seen by everyone on the path, so anyone can send a member garbage under them.",
        requirements: ["GDOI-NEG-137", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4.4"],
        catches: ["gm_zero_length_loops"],
        cost: 20,
        run: noise,
    },
    case! {
        "PUSHG-009", "gdoi.push", Should, Gm,
        title: "a PUSH that was encrypted from another IV is dropped",
        purpose: "The IV of the KEK is fixed: another one garbles the first block, where the sequence number stands.",
        requirements: ["GDOI-NEG-138", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.6.2.1"],
        catches: ["gm_no_sig_check"],
        cost: 15,
        run: other_iv,
    },
    case! {
        "PUSHG-010", "gdoi.push", Should, Gm,
        title: "a PUSH without SEQ in front is dropped",
        purpose: "Without a sequence number there is no protection against replay.",
        requirements: ["GDOI-NEG-139", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4"],
        catches: ["gm_seq_anywhere"],
        cost: 20,
        run: |cx| refused(cx, Rule::new("push.seq-first", &["GDOI-NEG-139"]), vec![
            ("no SEQ", Tamper::content(|m| edit::remove(m, PayloadType::SEQ))),
            ("SEQ behind SA", Tamper::content(|m| edit::swap(m, PayloadType::SEQ, PayloadType::SA))),
            ("SEQ behind KD", Tamper::content(|m| edit::swap(m, PayloadType::SEQ, PayloadType::KEY_DOWNLOAD))),
        ]),
    },
    case! {
        "PUSHG-011", "gdoi.push", Should, Gm,
        title: "a SEQ payload that is not 8 octets long drops the PUSH",
        purpose: "Sequence numbers have 4 octets; reading another width gives another number.",
        requirements: ["GDOI-NEG-140", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.7"],
        catches: ["gm_seq_length_ignored"],
        cost: 20,
        run: |cx| refused(cx, Rule::new("push.seq-length", &["GDOI-NEG-140"]), vec![
            ("SEQ of 4 octets", Tamper::content(|m| edit::body(m, PayloadType::SEQ, Vec::clear))),
            ("SEQ of 7 octets", Tamper::content(|m| edit::body(m, PayloadType::SEQ, |b| b.truncate(3)))),
            ("SEQ of 9 octets", Tamper::content(|m| edit::body(m, PayloadType::SEQ, |b| b.push(0)))),
            ("SEQ of 12 octets", Tamper::content(|m| edit::body(m, PayloadType::SEQ, |b| b.extend([0; 4])))),
        ]),
    },
    case! {
        "PUSHG-012", "gdoi.push", Should, Gm,
        title: "a PUSH without SIG is dropped",
        purpose: "Every member holds the KEK; only the signature tells the key server from the members.",
        requirements: ["GDOI-NEG-146", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4"],
        catches: ["gm_unsigned_accepted"],
        cost: 15,
        run: |cx| refused(cx, Rule::grave("push.unsigned-refused", &["GDOI-NEG-146"]), vec![
            ("no SIG", Tamper::sealed(|m| edit::remove(m, PayloadType::SIG))),
            ("a HASH in place of SIG", Tamper::sealed(|m| edit::retype(m, PayloadType::SIG, PayloadType::HASH))),
        ]),
    },
    case! {
        "PUSHG-013", "gdoi.push", Should, Gm,
        title: "nothing may follow the signature",
        purpose: "What follows the signature is not covered by it: any member could append a Delete to a real PUSH.",
        requirements: ["GDOI-NEG-147", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4"],
        catches: ["gm_payload_after_sig_accepted"],
        cost: 20,
        run: behind_signature,
    },
    case! {
        "PUSHG-014", "gdoi.push", Must, Gm,
        title: "a PUSH of SEQ and SIG alone changes nothing",
        purpose: "It is authentic and says nothing; a member must neither crash nor take it for a deletion.",
        requirements: ["GDOI-NEG-161"],
        sources: ["RFC 6407 §4", "RFC 6407 §5.9"],
        catches: ["gm_empty_push_deletes"],
        cost: 20,
        run: nothing_in_it,
    },
    case! {
        "SEC-007", "gdoi.push", Must, Gm,
        title: "a policy without keys and keys without a policy are refused",
        purpose: "SA and KD only mean something together; half an update leaves the group with two policies.",
        requirements: ["SEC-007", "GDOI-NEG-162", "GDOI-PUSH-060", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4", "getvpn §9.14"],
        catches: ["gm_sa_without_kd_accepted"],
        cost: 15,
        run: |cx| contents_refused(cx, Rule::new("push.sa-with-kd", &["SEC-007", "GDOI-NEG-162", "GDOI-PUSH-060"]), vec![
            ("SA without KD", Tamper::content(|m| edit::remove(m, PayloadType::KEY_DOWNLOAD))),
            ("KD without SA", Tamper::content(|m| edit::remove(m, PayloadType::SA))),
        ]),
    },
    case! {
        "PUSHG-016", "gdoi.robustness", Must, Gm,
        title: "payload lengths of 0 to 3 harm nobody, even under a valid signature",
        purpose: "A length of 0 loops a careless parser for ever: one broken key server would stop every member.",
        requirements: ["GDOI-NEG-181", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 2408 §5.3"],
        catches: ["gm_zero_length_loops"],
        cost: 30,
        run: tiny_lengths,
    },
    case! {
        "PUSHG-017", "gdoi.push", Should, Gm,
        title: "payload types that do not belong into a PUSH refuse it",
        purpose: "A member that steps over what it does not know installs what it did not understand.",
        requirements: ["GDOI-NEG-182", "GDOI-PUSH-058"],
        sources: ["RFC 2408 §5.3"],
        catches: ["gm_unknown_payload_skipped"],
        cost: 20,
        run: |cx| contents_refused(cx, Rule::new("push.unknown-payload-refused", &["GDOI-NEG-182"]), vec![
            ("payload 127 in front of SIG", Tamper::content(|m| before_signature(m, PayloadType(127)))),
            ("payload 24 in front of SIG", Tamper::content(|m| before_signature(m, PayloadType(24)))),
            ("payload 200 behind SEQ", Tamper::content(|m| {
                edit::insert_after(m, PayloadType::SEQ, PayloadType(200), vec![0; 8]);
            })),
        ]),
    },
    case! {
        "PUSHG-018", "gdoi.push", Should, Gm,
        title: "a Delete behind SA and KD is refused or carried out, not lost",
        purpose: "A Delete belongs in front. Acknowledging it without deleting leaves keys alive that the server thinks \
                  are gone.",
        requirements: ["GDOI-NEG-179"],
        sources: ["RFC 6407 §5.9"],
        catches: ["gm_late_delete_lost"],
        cost: 30,
        run: late_delete,
    },
    case! {
        "PUSHG-019", "gdoi.push", Should, Gm,
        title: "a bad PUSH gets no answer of any kind",
        purpose: "Answers to what anyone can send make the member a reflector and tell an attacker what it knows.",
        requirements: ["GDOI-PUSH-058"],
        sources: ["RFC 6407 §4"],
        catches: ["gm_answers_bad_push"],
        cost: 30,
        run: no_answer,
    },
    case! {
        "PUSHG-020", "gdoi.robustness", Must, Gm,
        title: "PUSHes with unknown cookies do not make the member register",
        purpose: "They are not authenticated: a member that registers for each of them can be made to storm its key \
                  server from anywhere.",
        requirements: ["GDOI-PUSH-035", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4.4", "getvpn §6 P38"],
        catches: ["recovery_storm"],
        cost: 30,
        run: no_storm,
    },
];

fn refused(cx: &mut Cx<'_>, rule: Rule, wrong: Vec<super::kit::Wrong>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    bench.refuse_each(cx, &rule, wrong)?;
    bench.finish(cx)
}

fn contents_refused(cx: &mut Cx<'_>, rule: Rule, wrong: Vec<super::kit::Wrong>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    for (what, tamper) in wrong {
        let spec = bench.rekey().tamper(tamper);
        bench.refuse_content(cx, &rule, what, spec)?;
    }
    bench.finish(cx)
}

fn unknown_cookies(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.unknown-cookies-dropped", &["GDOI-PUSH-035", "GDOI-NEG-131"]);
    let mut bench = Bench::standard(cx)?;
    for what in ["random cookies", "more random cookies"] {
        let mut other = bench.kek(cx)?;
        other.spi = cx.world.rng().octets();
        let spec = bench.rekey().under(other);
        bench.refuse(cx, &RULE, what, spec)?;
    }
    let mut zero = bench.kek(cx)?;
    zero.spi = [0; 16];
    let spec = bench.rekey().under(zero);
    bench.refuse(cx, &RULE, "cookies of zeros", spec)?;
    bench.finish(cx)
}

fn partial_cookies(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.whole-cookies-compared", &["GDOI-NEG-132", "GDOI-PUSH-035"]);
    // A zero octet in the middle tells a comparison of texts from one of octets.
    let mut bench = Bench::with(cx, |script| kek_of(script, |kek| kek.spi[5] = 0))?;
    for (what, from) in
        [("second half differs", 8), ("what follows a zero octet differs", 6), ("last octet differs", 15)]
    {
        let mut other = bench.kek(cx)?;
        for octet in other.spi.iter_mut().skip(from) {
            *octet ^= 0x5a;
        }
        let spec = bench.rekey().under(other);
        bench.refuse(cx, &RULE, what, spec)?;
    }
    let mut first = bench.kek(cx)?;
    first.spi[0] ^= 1;
    let spec = bench.rekey().under(first);
    bench.refuse(cx, &RULE, "first octet differs", spec)?;
    bench.finish(cx)
}

/// Sends bodies of random octets under the right cookies, and one PUSH under another key.
fn noise(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("push.noise-dropped", &["GDOI-NEG-137"]);
    let mut bench = Bench::standard(cx)?;
    let key = cx.world.rng().vec(16);
    let spec = bench.rekey().tamper(Tamper::none().encrypt_with_key(key));
    bench.refuse(cx, &RULE, "encrypted under another key", spec)?;
    let spec = bench.rekey().commit(false);
    let model = bench.scene.ks.build_push(cx.world, &spec).ok().and_then(|push| push.datagrams.into_iter().next());
    let model = cx.have(model, "the tester cannot build a PUSH")?;
    for round in 0..300_usize {
        let mut payload = model.payload.clone();
        let body = cx.world.rng().vec(16 * (1 + round % 20));
        payload.truncate(28);
        payload.extend(body);
        octets::fix_length(&mut payload);
        cx.world.send(Datagram::new(model.src, model.dst, payload));
        if round % 20 == 19 {
            // Lets a subject behind a real socket empty its queue.
            bench.scene.ks.serve_for(cx.world, Duration::from_millis(200));
        }
    }
    let valid = bench.rekey();
    let alive = bench.acked(cx, valid)?.is_some();
    let observed = if alive { "acknowledged" } else { "no acknowledgement" };
    cx.grave("push.alive-after-noise", &["GDOI-NEG-137"], alive, "a valid PUSH is acknowledged", observed);
    bench.finish(cx)
}

fn other_iv(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("push.other-iv-refused", &["GDOI-NEG-138"]);
    let mut bench = Bench::standard(cx)?;
    let iv = bench.kek(cx)?.iv;
    let mut nearly = iv.clone();
    // Octets 4 to 7 of the first block are the sequence number itself: this one still parses.
    if let Some(octet) = nearly.get_mut(5) {
        *octet ^= 0x01;
    }
    bench.refuse_each(
        cx,
        &RULE,
        vec![
            ("an IV of zeros", Tamper::none().encrypt_with_iv(vec![0; iv.len()])),
            ("an IV that changes the sequence number", Tamper::none().encrypt_with_iv(nearly)),
        ],
    )?;
    bench.finish(cx)
}

fn behind_signature(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("push.nothing-behind-signature", &["GDOI-NEG-147"]);
    let mut bench = Bench::standard(cx)?;
    let forged = deletion(0, vec![vec![0; 16]]).encode_body();
    bench.refuse_each(
        cx,
        &RULE,
        vec![
            (
                "a Delete appended behind SIG",
                Tamper::sealed(move |m| edit::push(m, PayloadType::DELETE, forged.clone())),
            ),
            ("a nonce behind SIG, signed so", Tamper::content(|m| edit::push(m, PayloadType::NONCE, vec![0; 16]))),
            ("KD behind SIG", Tamper::content(|m| edit::move_last(m, PayloadType::KEY_DOWNLOAD))),
            ("a second SIG", Tamper::sealed(|m| edit::duplicate(m, PayloadType::SIG))),
        ],
    )?;
    bench.finish(cx)
}

fn nothing_in_it(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let push = bench.scene.push(cx, PushSpec::new())?;
    let acked = bench.scene.ack(cx, &push).is_some();
    cx.world.note(if acked { "it was acknowledged" } else { "it was not acknowledged" });
    let valid = bench.rekey();
    let alive = bench.acked(cx, valid)?.is_some();
    let observed = if alive { "acknowledged" } else { "no acknowledgement" };
    cx.grave("push.empty-changes-nothing", &["GDOI-NEG-161"], alive, "the next valid PUSH is acknowledged", observed);
    let again = bench.registers_again(cx, Duration::from_secs(20)).is_some();
    let observed = if again { "the member registered again" } else { "no registration" };
    cx.silence("push.empty-deletes-nothing", &["GDOI-NEG-161"], !again, "no registration", observed);
    bench.finish(cx)
}

fn tiny_lengths(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("push.tiny-length-harmless", &["GDOI-NEG-181"]);
    let mut bench = Bench::standard(cx)?;
    for length in 0..4_u16 {
        for (name, kind) in [("SEQ", PayloadType::SEQ), ("SA", PayloadType::SA), ("KD", PayloadType::KEY_DOWNLOAD)] {
            let spec = bench.rekey().tamper(Tamper::content(move |m| edit::set_length(m, kind, length)));
            bench.refuse(cx, &RULE, &format!("{name} of length {length}"), spec)?;
        }
        let spec = bench.rekey().tamper(Tamper::sealed(move |m| edit::set_length(m, PayloadType::SIG, length)));
        bench.refuse(cx, &RULE, &format!("SIG of length {length}"), spec)?;
        let spec = PushSpec::delete(deletion(1, vec![vec![0, 0, 1, 0]]));
        let spec = spec.tamper(Tamper::content(move |m| edit::set_length(m, PayloadType::DELETE, length)));
        bench.refuse(cx, &RULE, &format!("Delete of length {length}"), spec)?;
    }
    bench.finish(cx)
}

fn late_delete(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let kek = bench.kek(cx)?;
    let delete = deletion(0, vec![kek.spi.to_vec()]).encode_body();
    let tamper = Tamper::content(move |m| {
        edit::insert_before(m, PayloadType::SIG, PayloadType::DELETE, delete.clone());
    });
    let spec = bench.rekey().tamper(tamper).commit(true);
    let push = bench.scene.push(cx, spec)?;
    let acked = bench.scene.ack(cx, &push).is_some();
    let valid = bench.rekey();
    let lives = bench.acked(cx, valid)?.is_some();
    let (ok, observed) = match (acked, lives) {
        (true, true) => (false, "acknowledged, but the KEK that it deletes is still in use"),
        (true, false) => (true, "acknowledged and carried out"),
        (false, true) => (true, "refused"),
        (false, false) => (true, "not acknowledged, and the KEK is gone"),
    };
    cx.check("push.late-delete-consistent", &["GDOI-NEG-179"], ok, "refused, or carried out", observed);
    if lives { bench.finish(cx) } else { bench.scene.finish_by_registration(cx) }
}

fn no_answer(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let seq = bench.last() + 50;
    let mut stranger = bench.kek(cx)?;
    stranger.spi = cx.world.rng().octets();
    let wrong = [
        ("unknown cookies", bench.rekey().under(stranger).seq(seq)),
        ("flags 03", bench.rekey().tamper(Tamper::content(|m| m.flags = 3)).seq(seq)),
        ("a body that is cut", bench.rekey().tamper(Tamper::wire(|o| octets::resize_and_fix(o, 60))).seq(seq)),
        (
            "a wrong signature",
            bench.rekey().tamper(Tamper::sealed(|m| edit::flip_bit(m, PayloadType::SIG, 9, 1))).seq(seq),
        ),
        ("an old number", bench.rekey().seq(0)),
    ];
    for (what, spec) in wrong {
        bench.scene.push(cx, spec.commit(false))?;
        let heard = bench.scene.ks.expect_silence(cx.world, ACK_WINDOW);
        let names: Vec<String> = heard.iter().map(|seen| seen.step.to_string()).collect();
        let observed = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        let observed = format!("{what}: {observed}");
        cx.silence("push.bad-gets-no-answer", &["GDOI-PUSH-058"], heard.is_empty(), "nothing", observed);
    }
    bench.finish(cx)
}

fn no_storm(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let begun = |bench: &Bench| bench.scene.ks.log.count(Step::Main1) + bench.scene.ks.log.count(Step::Pull1);
    let before = begun(&bench);
    for _ in 0..40 {
        let mut stranger = bench.kek(cx)?;
        stranger.spi = cx.world.rng().octets();
        let spec = bench.rekey().under(stranger).commit(false);
        bench.scene.push(cx, spec)?;
        bench.scene.ks.serve_for(cx.world, Duration::from_millis(500));
    }
    let observed = format!("{} registrations began", begun(&bench) - before);
    let quiet = begun(&bench) == before;
    let requirements = ["GDOI-PUSH-035", "GDOI-PUSH-058"];
    cx.grave_silence("push.no-registration-storm", &requirements, quiet, "no registration", observed);
    bench.finish(cx)
}

fn before_signature(message: &mut hallmark_wire::raw::RawMessage, kind: PayloadType) {
    edit::insert_before(message, PayloadType::SIG, kind, vec![0; 8]);
}

/// Makes the Length differ from the size.
fn lengthen(datagram: &mut [u8], by: i32) {
    let len = u32::try_from(datagram.len()).unwrap_or(u32::MAX);
    octets::set_length(datagram, len.saturating_add_signed(by));
}
