//! The acknowledgement of RFC 8263.

use hallmark_core::Duration;
use hallmark_probe::ks::{AckSeen, AckStyle, KsScript, PushSpec, deletion};
use hallmark_probe::step::Step;
use hallmark_probe::world::Party;
use hallmark_wire::gdoi::Selector;
use hallmark_wire::isakmp::{ExchangeType, IdType, PayloadType};

use super::kit::{Bench, Rule, acks_at, kek_of};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::ACK_WINDOW;

pub(crate) const CASES: &[Case] = &[
    case! {
        "REKEY-013", "gdoi.ack", Must, Gm,
        title: "an accepted PUSH is acknowledged within 5 s",
        purpose: "A server waits that long before it sends again; later acknowledgements count as missed.",
        requirements: ["REKEY-013", "GDOI-ACK-003", "GDOI-ACK-021"],
        sources: ["RFC 8263 §4", "RFC 8263 §6"],
        catches: ["gm_ack_missing", "gm_ack_late"],
        cost: 60,
        run: in_time,
    },
    case! {
        "RSA-012", "gdoi.ack", Must, Gm,
        title: "the HASH of an acknowledgement verifies",
        purpose: "An acknowledgement that does not verify is none: the server repeats, and then removes the member.",
        requirements: ["RSA-012", "GDOI-ACK-017", "GDOI-ACK-018"],
        sources: ["RFC 8263 §3.2"],
        catches: ["gm_ack_sha512_as_sha256"],
        cost: 20,
        run: hash,
    },
    case! {
        "RSA-013", "gdoi.ack", Must, Gm,
        title: "nothing is acknowledged that was not asked for",
        purpose: "Servers that do not know the message take it for an attack.",
        requirements: ["RSA-013", "GDOI-ACK-005"],
        sources: ["RFC 8263 §5", "RFC 8263 §7.2"],
        catches: ["gm_ack_unrequested"],
        cost: 30,
        run: unrequested,
    },
    case! {
        "ACKG-001", "gdoi.ack", Must, Gm,
        title: "the header of an acknowledgement carries the cookies of the PUSH, exchange 35, no flags and no message id",
        purpose: "The server finds KEK and rekey by this header alone.",
        requirements: ["GDOI-ACK-008", "GDOI-ACK-009", "GDOI-ACK-010"],
        sources: ["RFC 8263 §3.1"],
        catches: ["gm_ack_flags_set", "gm_ack_message_id_set"],
        cost: 15,
        run: header,
    },
    case! {
        "ACKG-002", "gdoi.ack", Must, Gm,
        title: "an acknowledgement is HASH, SEQ, ID, with the number of the PUSH and the address of the member",
        purpose: "Number and identity are what the server writes down.",
        requirements: ["GDOI-ACK-011", "GDOI-ACK-012", "GDOI-ACK-013", "GDOI-ACK-014", "GDOI-ACK-015"],
        sources: ["RFC 8263 §3", "RFC 8263 §3.3", "RFC 8263 §3.4"],
        catches: ["gm_ack_wrong_seq", "gm_ack_identity_wrong", "gm_ack_id_port_set"],
        cost: 15,
        run: payloads,
    },
    case! {
        "ACKG-003", "gdoi.ack", Must, Gm,
        title: "an acknowledgement goes back the way the PUSH came",
        purpose: "Cooperating servers and rekey ports other than 848 depend on it.",
        requirements: ["GDOI-ACK-016"],
        sources: ["RFC 8263 §3"],
        catches: ["gm_ack_source_port", "gm_ack_to_registration_port"],
        cost: 20,
        run: way_back,
    },
    case! {
        "ACKG-004", "gdoi.ack", Must, Gm,
        title: "the acknowledgement of a KEK change is keyed with the old KEK",
        purpose: "The server checks it with the key that protected the PUSH; it cannot know whether the new one arrived.",
        requirements: ["GDOI-ACK-019", "GDOI-ACK-008"],
        sources: ["RFC 8263 §2.1", "RFC 8263 §2.3"],
        catches: ["gm_ack_new_kek"],
        cost: 15,
        run: kek_change,
    },
    case! {
        "ACKG-005", "gdoi.ack", Must, Gm,
        title: "every type of acknowledgement that is asked for is given",
        purpose: "A server that hardens its group to SHA-512 must not lose its members for it.",
        requirements: ["GDOI-ACK-003", "GDOI-ACK-017", "GDOI-PL-077"],
        sources: ["RFC 8263 §2", "RFC 8263 §4"],
        catches: ["gm_ack_sha512_as_sha256"],
        needs: [Setup],
        cost: 20,
        run: sha512,
    },
    case! {
        "ACKG-006", "gdoi.ack", Must, Gm,
        title: "a member that does not know the type of acknowledgement carries on without",
        purpose: "The extension was made so that old members can stay in the group.",
        requirements: ["GDOI-ACK-004"],
        sources: ["RFC 8263 §4"],
        catches: ["gm_unknown_ack_type_refused"],
        cost: 30,
        run: unknown_type,
    },
    case! {
        "ACKG-007", "gdoi.ack", Must, Gm,
        title: "the latest SAK decides whether rekeys are acknowledged",
        purpose: "A server switches acknowledgements on and off with the KEK; a member that remembers the first answer \
                  is taken for dead.",
        requirements: ["GDOI-ACK-005"],
        sources: ["RFC 8263 §7.2"],
        catches: ["gm_ack_unrequested"],
        cost: 40,
        run: latest_sak,
    },
    case! {
        "ACKG-008", "gdoi.ack", Must, Gm,
        title: "a PUSH that deletes its own KEK is acknowledged",
        purpose: "It is the last that the server hears before the member comes back.",
        requirements: ["GDOI-ACK-007", "GDOI-ACK-003"],
        sources: ["RFC 8263 §4"],
        catches: ["gm_ack_not_for_delete"],
        cost: 130,
        run: last_words,
    },
    case! {
        "ACKG-009", "gdoi.ack", Must, Gm,
        title: "each accepted PUSH is acknowledged once, a refused one never",
        purpose: "Acknowledgements are counted; more than one for each rekey multiplies in a large group.",
        requirements: ["GDOI-ACK-003", "GDOI-ACK-006"],
        sources: ["RFC 8263 §4", "RFC 8263 §7.2"],
        catches: ["gm_ack_twice", "gm_ack_after_bad_sig"],
        cost: 30,
        run: once,
    },
    case! {
        "ACKG-010", "gdoi.ack", Should, Gm,
        title: "a member does not answer acknowledgements",
        purpose: "They are for servers; a member that answers them can be made to talk to itself.",
        requirements: ["GDOI-NEG-194"],
        sources: ["RFC 8263 §3"],
        catches: ["gm_answers_acks"],
        cost: 15,
        run: reflected,
    },
    case! {
        "REKEY-020", "gdoi.push", Must, Gm,
        title: "a PUSH from another server of the group is accepted and acknowledged to it",
        purpose: "Cooperating servers take over from each other; members registered with one are rekeyed by another.",
        requirements: ["REKEY-020", "GDOI-ACK-016"],
        sources: ["getvpn §2.1", "RFC 8263 §3"],
        catches: ["gm_ack_to_registration_port", "gm_push_source_pinned"],
        needs: [ManyAddresses],
        cost: 20,
        run: other_server,
    },
    case! {
        "REKEY-014", "gdoi.ack", Must, Gm,
        title: "the encrypted acknowledgement is under the newest KEK",
        purpose: "In the vendor's own form the acknowledgement proves that the new key arrived.",
        requirements: ["REKEY-014"],
        sources: ["getvpn §3.2", "getvpn §3.4"],
        catches: ["gm_encrypted_ack_old_kek"],
        needs: [Setup],
        cost: 20,
        run: encrypted_under_new_kek,
    },
    case! {
        "ACKG-011", "gdoi.ack", Should, Gm,
        title: "in the encrypted form a retransmission is acknowledged again",
        purpose: "The server repeats because the acknowledgement was lost; a member that stays silent is removed after \
                  three rekeys.",
        requirements: ["REKEY-015"],
        sources: ["getvpn §6 P37"],
        catches: ["retransmit_not_reacked"],
        needs: [Setup],
        cost: 30,
        run: encrypted_again,
    },
];

/// Says whether an acknowledgement came, in words for the report.
fn words(ack: Option<&AckSeen>) -> &'static str {
    if ack.is_some() { "acknowledged" } else { "no acknowledgement" }
}

fn in_time(cx: &mut Cx<'_>) -> Flow {
    const REQUIREMENTS: &[&str] = &["REKEY-013", "GDOI-ACK-003"];
    let mut bench = Bench::fresh(cx, |_| {}, |_| {})?;
    let mut slowest: f64 = 0.0;
    for round in 1..=10 {
        let spec = bench.rekey();
        let push = bench.scene.push(cx, spec)?;
        // Longer than is allowed, to tell late from never.
        let deadline = cx.in_secs(12);
        let ack = bench.scene.ks.await_ack(cx.world, &push, deadline);
        let observed = format!("PUSH {round}: {}", words(ack.as_ref()));
        if !cx.check("ack.comes", REQUIREMENTS, ack.is_some(), "an acknowledgement", observed) {
            return Err(Stop::Judged);
        }
        if let Some(ack) = ack {
            slowest = slowest.max(ack.seen.at.saturating_since(push.at).as_secs_f64());
        }
    }
    cx.measure("slowest acknowledgement", slowest, "s");
    // 5 s, and the tolerance of every timing.
    let observed = format!("the slowest of 10 took {slowest:.2} s");
    cx.check("ack.in-time", &["REKEY-013", "GDOI-ACK-021"], slowest <= 5.5, "5 s at most", observed);
    bench.finish(cx)
}

/// Judges the HASH of the acknowledgements of a TEK rekey and of a KEK rekey.
fn judge_hash(cx: &mut Cx<'_>, bench: &mut Bench, requirements: &[&str]) -> Flow {
    let kek = bench.next_kek()?;
    let specs = [("a TEK rekey", bench.rekey()), ("a KEK rekey", PushSpec::kek(kek))];
    for (what, spec) in specs {
        let push = bench.scene.push(cx, spec)?;
        bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
        let acks: Vec<&AckSeen> = bench.scene.ks.log.acks.iter().filter(|ack| ack.seen.at >= push.at).collect();
        let reading = acks.iter().find_map(|ack| ack.reading);
        let observed = match (acks.is_empty(), reading) {
            (true, _) => format!("{what}: no acknowledgement"),
            (false, None) => format!("{what}: it verifies in no reading of the key length"),
            (false, Some(reading)) => format!("{what}: it verifies with the reading {reading:?}"),
        };
        cx.check("ack.hash-verifies", requirements, reading.is_some(), "a HASH that verifies", observed);
    }
    Ok(())
}

fn hash(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::fresh(cx, |_| {}, |script| kek_of(script, |kek| kek.ack = Some(3)))?;
    judge_hash(cx, &mut bench, &["RSA-012", "GDOI-ACK-017", "GDOI-ACK-018"])?;
    let mut bench = Bench::fresh(cx, |_| {}, |_| {})?;
    judge_hash(cx, &mut bench, &["RSA-012", "GDOI-ACK-017", "GDOI-ACK-018"])?;
    bench.finish(cx)
}

fn sha512(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("ack.type-honoured", &["GDOI-ACK-003", "GDOI-ACK-017"]);
    let mut bench = Bench::fresh(cx, |_| {}, |script| kek_of(script, |kek| kek.ack = Some(3)))?;
    let spec = bench.rekey();
    let ack = bench.accept(cx, &RULE, "KEK with HMAC-SHA-512", spec)?;
    let long = ack.seen.body(PayloadType::HASH).map_or(0, <[u8]>::len);
    let observed = format!("{long} octets");
    cx.check("ack.hash-length", &["GDOI-ACK-017", "GDOI-PL-077"], long == 64, "64 octets", observed);
    let mut kek = bench.next_kek()?;
    kek.ack = Some(1);
    // Which of the two SAKs the change itself is acknowledged by can be read either way.
    bench.scene.push(cx, PushSpec::kek(kek))?;
    bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
    let spec = bench.rekey();
    bench.accept(cx, &RULE, "after a change to HMAC-SHA-256", spec)?;
    bench.finish(cx)
}

/// Waits for whatever acknowledges a PUSH, right or wrong, and gives its octets.
fn raw_ack(cx: &mut Cx<'_>, bench: &mut Bench) -> Flow<AckSeen> {
    let spec = bench.rekey();
    let push = bench.scene.push(cx, spec)?;
    bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
    let seen = bench.scene.ks.log.acks.iter().find(|ack| ack.seen.at >= push.at).cloned();
    cx.have(seen, "nothing of exchange type 35 came")
}

fn header(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::fresh(cx, |_| {}, |_| {})?;
    let kek = bench.kek(cx)?;
    let ack = raw_ack(cx, &mut bench)?;
    let header = ack.seen.header;
    let ok = header.cookies() == kek.spi;
    cx.check("ack.cookies", &["GDOI-ACK-008"], ok, "the cookies of the PUSH", if ok { "they are" } else { "others" });
    let ok = header.next == PayloadType::HASH
        && header.version == 0x10
        && header.exchange == ExchangeType::PUSH_ACK
        && header.flags.0 == 0;
    let observed = format!(
        "next payload {}, version {:02x}, exchange {}, flags {:02x}",
        header.next.0, header.version, header.exchange.0, header.flags.0
    );
    cx.check("ack.header", &["GDOI-ACK-009"], ok, "next payload 8, version 10, exchange 35, flags 00", observed);
    let observed = format!("{:08x}", header.message_id);
    cx.check("ack.message-id", &["GDOI-ACK-010"], header.message_id == 0, "message id 0", observed);
    finish_unjudged(cx, bench)
}

/// Ends a case whose acknowledgements may be wrong in a way that only it judges.
fn finish_unjudged(cx: &mut Cx<'_>, mut bench: Bench) -> Flow {
    let before = bench.scene.ks.log.count(Step::Ack);
    let spec = bench.rekey();
    bench.scene.push(cx, spec)?;
    bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
    if bench.scene.ks.log.count(Step::Ack) > before {
        cx.alive_after("a further valid PUSH was answered by an acknowledgement");
    } else {
        cx.dead_after("a further valid PUSH was not acknowledged");
    }
    Ok(())
}

fn payloads(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::fresh(cx, |_| {}, |script| kek_of(script, |kek| kek.seq = 40))?;
    let ack = raw_ack(cx, &mut bench)?;
    let kinds = ack.seen.kinds();
    let ok = kinds == [PayloadType::HASH, PayloadType::SEQ, PayloadType::ID];
    let observed = kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    cx.check("ack.payloads", &["GDOI-ACK-011"], ok, "HASH, SEQ, ID", observed);
    let observed = ack.seq.map_or_else(|| "none".to_owned(), |seq| seq.to_string());
    cx.check("ack.number", &["GDOI-ACK-012"], ack.seq == Some(41), "the number of the PUSH, 41", observed);
    let id = cx.have(ack.identity, "the acknowledgement has no readable ID")?;
    let known = [IdType::IPV4_ADDR, IdType::IPV6_ADDR, IdType::OID].contains(&id.id_type);
    cx.check("ack.identity-type", &["GDOI-ACK-013"], known, "type 1, 5 or 13", format!("type {}", id.id_type.0));
    let zero = id.protocol == 0 && id.port == 0;
    let observed = format!("protocol {}, port {}", id.protocol, id.port);
    cx.check("ack.identity-octets", &["GDOI-ACK-014"], zero, "protocol 0, port 0", observed);
    if let Some(ip) = id.ip() {
        let registered = bench.scene.ks.members.last().map(|member| member.address.ip());
        let ok = registered == Some(ip);
        let observed = if ok { "it is" } else { "another address" };
        cx.check("ack.identity-address", &["GDOI-ACK-015"], ok, "the address that registered", observed);
    }
    finish_unjudged(cx, bench)
}

fn way_back(cx: &mut Cx<'_>) -> Flow {
    // Port 0 in the SAK leaves the source port of rekeys open.
    let any_port = Selector::from_ip(cx.tester(0).ip());
    let mut bench = Bench::fresh(cx, |_| {}, |script| kek_of(script, |kek| kek.src = Some(any_port)))?;
    let subject = cx.subject();
    let mut other = cx.tester(0);
    other.set_port(other.port().wrapping_add(1_000));
    cx.world.listen(other)?;
    for (what, from) in [("the GDOI port", cx.tester(0)), ("another port", other)] {
        let spec = bench.rekey().from(from);
        let push = bench.scene.push(cx, spec)?;
        bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
        let fresh = |ack: &&AckSeen| ack.seen.at >= push.at && ack.seq == Some(push.seq);
        let ack = cx.have(bench.scene.ks.log.acks.iter().find(fresh).cloned(), "no acknowledgement came")?;
        let (src, dst) = (ack.seen.datagram.src, ack.seen.datagram.dst);
        let ok = dst == from;
        let observed = format!(
            "from {what}: to port {} {}",
            dst.port(),
            if dst.ip() == from.ip() { "of the sender" } else { "of another" }
        );
        cx.check("ack.to-source-of-push", &["GDOI-ACK-016"], ok, "to where the PUSH came from", observed);
        let observed = format!("from {what}: port {}", src.port());
        cx.check(
            "ack.from-destination-of-push",
            &["GDOI-ACK-016"],
            src == subject,
            "from where the PUSH went to",
            observed,
        );
    }
    finish_unjudged(cx, bench)
}

fn kek_change(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("ack.keyed-with-old-kek", &["GDOI-ACK-019", "GDOI-ACK-008"]);
    let mut bench = Bench::standard(cx)?;
    let old = bench.kek(cx)?.spi;
    for round in 1..=2 {
        let before = bench.kek(cx)?.spi;
        let kek = bench.next_kek()?;
        let push = bench.scene.push(cx, PushSpec::kek(kek))?;
        bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
        let ack = bench.scene.ks.log.acks.iter().find(|ack| ack.seen.at >= push.at).cloned();
        let ok = ack.as_ref().is_some_and(|ack| ack.kek_spi == before && ack.is_valid());
        let observed = match &ack {
            None => format!("KEK change {round}: no acknowledgement"),
            Some(ack) if ack.kek_spi != before => format!("KEK change {round}: other cookies"),
            Some(ack) if !ack.is_valid() => format!("KEK change {round}: it does not verify with the old KEK"),
            Some(_) => format!("KEK change {round}: keyed with the old KEK"),
        };
        cx.check(RULE.id, RULE.requirements, ok, "cookies and key of the old KEK", observed);
    }
    cx.require(bench.kek(cx)?.spi != old, "the tester did not change the KEK")?;
    bench.finish(cx)
}

fn without_request(script: &mut KsScript) {
    kek_of(script, |kek| kek.ack = None);
}

/// Sends a PUSH that must not be acknowledged in any form, and judges that.
fn stays_silent(cx: &mut Cx<'_>, bench: &mut Bench, requirements: &[&str], what: &str, spec: PushSpec) -> Flow {
    let push = bench.scene.push(cx, spec)?;
    bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
    let standard = |ack: &&AckSeen| ack.seen.at >= push.at && ack.style == AckStyle::Standard;
    let came = bench.scene.ks.log.acks.iter().any(|ack| standard(&ack));
    let observed = format!("{what}: {}", if came { "acknowledged" } else { "no acknowledgement" });
    cx.silence("ack.only-on-request", requirements, !came, "no acknowledgement", observed);
    Ok(())
}

fn unrequested(cx: &mut Cx<'_>) -> Flow {
    const REQUIREMENTS: &[&str] = &["RSA-013", "GDOI-ACK-005"];
    const ASKED: Rule = Rule::new("ack.on-request", &["GDOI-ACK-005"]);
    let mut bench = Bench::fresh(cx, |_| {}, without_request)?;
    for what in ["first PUSH", "second PUSH"] {
        let spec = bench.rekey();
        stays_silent(cx, &mut bench, REQUIREMENTS, what, spec)?;
    }
    // That these were accepted is shown by the KEK that asks: it comes with the next number.
    let mut kek = bench.next_kek()?;
    kek.ack = Some(1);
    bench.accept(cx, &ASKED, "a KEK that asks for acknowledgements", PushSpec::kek(kek))?;
    bench.finish(cx)
}

fn unknown_type(cx: &mut Cx<'_>) -> Flow {
    const REQUIREMENTS: &[&str] = &["GDOI-ACK-004"];
    const ASKED: Rule = Rule::new("ack.on-request", REQUIREMENTS);
    let bench = Bench::optional(cx, |_| {}, |script| kek_of(script, |kek| kek.ack = Some(200)))?;
    let observed = if bench.is_some() { "registered" } else { "not registered" };
    cx.check("ack.unknown-type-registers", REQUIREMENTS, bench.is_some(), "the registration completes", observed);
    let Some(mut bench) = bench else {
        // It works otherwise: shown by the standard policy.
        return Bench::standard(cx)?.finish(cx);
    };
    let spec = bench.rekey();
    stays_silent(cx, &mut bench, REQUIREMENTS, "a PUSH under type 200", spec)?;
    let mut kek = bench.next_kek()?;
    kek.ack = Some(1);
    bench.accept(cx, &ASKED, "a KEK that asks for type 1", PushSpec::kek(kek))?;
    bench.finish(cx)
}

fn latest_sak(cx: &mut Cx<'_>) -> Flow {
    const REQUIREMENTS: &[&str] = &["GDOI-ACK-005"];
    const ASKED: Rule = Rule::new("ack.on-request", REQUIREMENTS);
    let mut bench = Bench::standard(cx)?;
    let mut kek = bench.next_kek()?;
    kek.ack = None;
    // Of the PUSH that brings the change either reading is known; what follows it is clear.
    let push = bench.scene.push(cx, PushSpec::kek(kek))?;
    bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
    cx.world.note(if bench.was_acked(&push) {
        "the change itself was acknowledged"
    } else {
        "the change itself was not acknowledged"
    });
    let spec = bench.rekey();
    stays_silent(cx, &mut bench, REQUIREMENTS, "a PUSH under a KEK that does not ask", spec)?;
    let mut kek = bench.next_kek()?;
    kek.ack = Some(1);
    let push = bench.scene.push(cx, PushSpec::kek(kek))?;
    bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
    cx.world.note(if bench.was_acked(&push) {
        "the change back was acknowledged"
    } else {
        "the change back was not acknowledged"
    });
    let spec = bench.rekey();
    bench.accept(cx, &ASKED, "a PUSH under a KEK that asks", spec)?;
    bench.finish(cx)
}

fn last_words(cx: &mut Cx<'_>) -> Flow {
    const REQUIREMENTS: &[&str] = &["GDOI-ACK-007", "GDOI-ACK-003"];
    let mut bench = Bench::standard(cx)?;
    let spec = PushSpec::delete(deletion(1, vec![vec![0; 4]])).with_delete(deletion(0, vec![vec![0; 16]]));
    let deleted = bench.delete_kek(cx, spec, Duration::from_secs(120))?;
    let observed = if deleted.acked { "acknowledged" } else { "no acknowledgement" };
    cx.check("ack.of-deletion", REQUIREMENTS, deleted.acked, "an acknowledgement", observed);
    bench.finish_after(cx, deleted.registered.is_some())
}

fn once(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    for round in 1..=5 {
        let spec = bench.rekey();
        let push = bench.scene.push(cx, spec)?;
        bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
        let count = bench.acks_of(&push);
        let observed = format!("PUSH {round}: {count} acknowledgements");
        cx.check("ack.once", &["GDOI-ACK-003"], count == 1, "one acknowledgement", observed);
    }
    const RULE: Rule = Rule::grave("ack.not-for-refused", &["GDOI-ACK-006"]);
    let next = bench.last() + 5;
    let bad = hallmark_probe::Tamper::sealed(|m| hallmark_probe::edit::flip_bit(m, PayloadType::SIG, 30, 1));
    let spec = bench.rekey().seq(next).tamper(bad);
    bench.unacked(cx, &RULE, "a wrong signature", spec)?;
    let last = bench.last();
    let spec = bench.rekey().seq(last.saturating_sub(1));
    bench.unacked(cx, &RULE, "a lower number", spec)?;
    bench.finish(cx)
}

fn reflected(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let ack = cx.have(bench.scene.ks.log.acks.last().cloned(), "there is no acknowledgement to send back")?;
    let mut other = ack.seen.octets().to_vec();
    hallmark_probe::tamper::octets::flip_bit(&mut other, 40, 0);
    let subject = cx.subject();
    for (what, octets) in [("its own acknowledgement", ack.seen.octets().to_vec()), ("a forged one", other)] {
        bench.scene.ks.send_raw(cx.world, subject, octets);
        let heard = bench.scene.ks.expect_silence(cx.world, ACK_WINDOW);
        let names: Vec<String> = heard.iter().map(|seen| seen.step.to_string()).collect();
        let observed =
            if names.is_empty() { format!("{what}: nothing") } else { format!("{what}: {}", names.join(", ")) };
        cx.silence("ack.not-answered", &["GDOI-NEG-194"], heard.is_empty(), "nothing", observed);
    }
    bench.finish(cx)
}

fn other_server(cx: &mut Cx<'_>) -> Flow {
    const REQUIREMENTS: &[&str] = &["REKEY-020", "GDOI-ACK-016"];
    let mut bench = Bench::standard(cx)?;
    let elsewhere = cx.world.address(Party::Tester(1));
    let spec = bench.rekey().from(elsewhere);
    bench.scene.push(cx, spec)?;
    let acks = acks_at(cx, 1, ACK_WINDOW).len();
    let observed = format!("{acks} acknowledgements at the other server");
    cx.check("push.other-server-accepted", REQUIREMENTS, acks > 0, "an acknowledgement to it", observed);
    bench.finish(cx)
}

/// Starts a member that acknowledges in the encrypted form when the SAK does not ask, and shows one such
/// acknowledgement. The form of real products is not public: one that the tester cannot open takes the case out.
fn encrypting(cx: &mut Cx<'_>) -> Flow<Bench> {
    let own = |setup: &mut crate::setup::GmSetup| setup.unrequested_acks = Some("cisco".to_owned());
    let mut bench = Bench::fresh(cx, own, without_request)?;
    let spec = bench.rekey();
    let acks = encrypted(cx, &mut bench, spec)?;
    if acks.iter().any(AckSeen::is_valid) {
        Ok(bench)
    } else {
        Err(Stop::NotSupported("gm.ack.encrypted".to_owned(), "unknown form".to_owned()))
    }
}

/// Sends a PUSH and gives the encrypted acknowledgements that come.
fn encrypted(cx: &mut Cx<'_>, bench: &mut Bench, spec: PushSpec) -> Flow<Vec<AckSeen>> {
    let push = bench.scene.push(cx, spec)?;
    bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
    let fits = |ack: &&AckSeen| ack.seen.at >= push.at && ack.style == AckStyle::Vendor;
    Ok(bench.scene.ks.log.acks.iter().filter(fits).cloned().collect())
}

/// Ends a case by a KEK that asks for acknowledgements of RFC 8263.
fn finish_by_asking(cx: &mut Cx<'_>, mut bench: Bench) -> Flow {
    let mut kek = bench.next_kek()?;
    kek.ack = Some(1);
    bench.scene.push(cx, PushSpec::kek(kek))?;
    bench.scene.ks.serve_for(cx.world, Duration::from_secs(1));
    bench.finish(cx)
}

fn encrypted_under_new_kek(cx: &mut Cx<'_>) -> Flow {
    let mut bench = encrypting(cx)?;
    let kek = bench.next_kek()?;
    let new = kek.spi;
    let acks = encrypted(cx, &mut bench, PushSpec::kek(kek))?;
    let ok = acks.iter().any(|ack| ack.is_valid() && ack.kek_spi == new);
    let observed = match acks.first() {
        None => "no acknowledgement",
        Some(_) if ok => "under the new KEK",
        Some(_) => "not under the new KEK",
    };
    cx.check("ack.encrypted-under-new-kek", &["REKEY-014"], ok, "an acknowledgement under the new KEK", observed);
    finish_by_asking(cx, bench)
}

fn encrypted_again(cx: &mut Cx<'_>) -> Flow {
    let mut bench = encrypting(cx)?;
    let spec = bench.rekey();
    let push = bench.scene.push(cx, spec)?;
    bench.scene.ks.serve_for(cx.world, Duration::from_secs(10));
    let count = |bench: &Bench| {
        let fits =
            |ack: &&AckSeen| ack.seen.at >= push.at && ack.style == AckStyle::Vendor && ack.seq == Some(push.seq);
        bench.scene.ks.log.acks.iter().filter(fits).count()
    };
    let first = count(&bench);
    cx.require(first > 0, "the PUSH was not acknowledged")?;
    bench.scene.ks.replay_push(cx.world, &push);
    bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
    let again = count(&bench) - first;
    let observed = format!("{again} further acknowledgements");
    cx.check("ack.encrypted-repeated", &["REKEY-015"], again > 0, "a further acknowledgement", observed);
    finish_by_asking(cx, bench)
}
