//! Messages 1 and 3: what a group member sends.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_core::Duration;
use hallmark_probe::ks::Reply;
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_wire::gdoi::{Gap, gap_attr};
use hallmark_wire::isakmp::{ExchangeType, IdType, PayloadType};

use super::kit::{Bench, brisk, is_new, kinds, pulls, tek_life};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::setup::GROUP;

pub(crate) const CASES: &[Case] = &[
    case! {
        "REG-002", "gdoi.pull", Must, Gm,
        title: "a member registers with its first server and then takes a PUSH",
        purpose: "The happy path: phase 1, four messages, keys in use. Nothing else can be judged where this fails.",
        requirements: ["REG-002", "GDOI-PULL-056", "GDOI-P1-001", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.2", "RFC 6407 §3.3"],
        catches: ["gm_hash3_leading_zero", "gm_id_is_own_address"],
        cost: 15,
        run: happy_path,
    },
    case! {
        "PULLG-001", "gdoi.pull", Must, Gm,
        title: "messages 1 and 3 have the header and the payloads of GROUPKEY-PULL",
        purpose: "Key servers take these messages apart by position; an extra flag or another order is refused by some \
                  and misread by others.",
        requirements: [
            "GDOI-PULL-001", "GDOI-PULL-003", "GDOI-PULL-005", "GDOI-PULL-006", "GDOI-PULL-007", "GDOI-PULL-008",
            "GDOI-PULL-012", "GDOI-P1-008", "GDOI-P1-018", "GDOI-PL-002", "GDOI-PL-003", "GDOI-PL-077", "GDOI-PULL-069",
        ],
        sources: ["RFC 6407 §3.2", "RFC 6407 §3.2.1"],
        catches: ["gm_commit_flag_set"],
        cost: 10,
        run: form,
    },
    case! {
        "PULLG-002", "gdoi.pull", Must, Gm,
        title: "message 1 names the group by four octets in network order",
        purpose: "A member that sends its own address, adds protocol and port as IPsec does, or counts in the order of \
                  its processor is told that the group does not exist.",
        requirements: ["GDOI-PULL-070", "GDOI-PL-001", "GDOI-PL-004", "GDOI-PL-005", "GDOI-PL-006", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.1"],
        catches: ["gm_id_is_own_address", "gm_id_octets_nonzero", "gm_group_id_little_endian"],
        cost: 10,
        run: group_identifier,
    },
    case! {
        "PULLG-003", "gdoi.pull", Must, Gm,
        title: "the nonce of message 1 has 8 to 128 octets",
        purpose: "A short nonce makes HASH(2) and HASH(4) of an old registration worth trying again.",
        requirements: ["GDOI-PL-072", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.8"],
        catches: ["gm_nonce_short"],
        cost: 10,
        run: nonce_length,
    },
    case! {
        "PULLG-004", "gdoi.pull", Must, Gm,
        title: "HASH(1) and HASH(3) are keyed and composed as RFC 6407 says",
        purpose: "HASH(3) of Quick Mode begins with a zero octet, that of GDOI does not: code that shares the two \
                  registers with nobody but itself.",
        requirements: [
            "GDOI-PULL-013", "GDOI-PULL-015", "GDOI-PULL-019", "GDOI-PULL-021", "GDOI-PULL-022", "GDOI-P1-017",
            "GDOI-PULL-069",
        ],
        sources: ["RFC 6407 §3.2", "RFC 2409 App. B"],
        catches: ["gm_hash3_leading_zero"],
        cost: 10,
        run: hashes,
    },
    case! {
        "PULLG-005", "gdoi.pull", Must, Gm,
        title: "HASH(3) covers the GAP payload",
        purpose: "What a member asks for in message 3 is worth only what its HASH covers.",
        requirements: ["GDOI-PULL-016", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.2"],
        catches: ["gm_gap_unhashed"],
        needs: [Setup],
        cost: 10,
        run: gap_hashed,
    },
    case! {
        "SIDG-001", "gdoi.sid", Must, Gm,
        title: "a member asks for as many sender ids as it needs",
        purpose: "Two encryption engines with one sender id use the same IVs under the same key, which gives the \
                  plaintext away.",
        requirements: ["GDOI-SID-004", "GDOI-PL-044", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.5", "RFC 6407 §5.4.2"],
        catches: ["gm_sender_id_request_missing"],
        needs: [Setup],
        cost: 10,
        run: sender_ids,
    },
    case! {
        "PULLG-006", "gdoi.pull", Must, Gm,
        title: "every registration has a message id and a nonce of its own",
        purpose: "The message id chooses the IV and the nonce keeps old answers out; used twice, a recorded answer \
                  fits again.",
        requirements: ["GDOI-PULL-009", "GDOI-PULL-010", "GDOI-PULL-023", "GDOI-PULL-024", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.2", "RFC 2409 §5.5"],
        catches: ["gm_message_id_reused", "gm_nonce_reused"],
        needs: [Setup],
        cost: 240,
        run: fresh_values,
    },
    case! {
        "PULLG-007", "gdoi.pull", Should, Gm,
        title: "message 1 is sent again, octet for octet, when no answer comes",
        purpose: "UDP loses datagrams. A member that gives up or begins anew at the first loss loads the key server \
                  with phase 1 after each of them.",
        requirements: ["GDOI-PULL-065", "GDOI-PULL-069"],
        sources: ["RFC 2408 §5.1"],
        catches: ["gm_never_retransmits", "gm_retransmit_changes"],
        cost: 60,
        run: |cx| repeats(cx, Step::Pull2, Step::Pull1),
    },
    case! {
        "PULLG-008", "gdoi.pull", Should, Gm,
        title: "message 3 is sent again, octet for octet, when no answer comes",
        purpose: "The key server keeps message 4 for exactly this: it answers a copy of message 3 with the same keys.",
        requirements: ["GDOI-PULL-065", "GDOI-PULL-069"],
        sources: ["RFC 2408 §5.1"],
        catches: ["gm_never_retransmits"],
        cost: 60,
        run: |cx| repeats(cx, Step::Pull4, Step::Pull3),
    },
    case! {
        "PULLG-009", "gdoi.pull", Should, Gm,
        title: "an unanswered registration is given up, and the next one begins anew",
        purpose: "The server may have lost the exchange or its whole memory: a member that repeats one message for \
                  ever never gets in again.",
        requirements: ["GDOI-PULL-068", "GDOI-PULL-069"],
        sources: ["RFC 2408 §5.1"],
        catches: ["gm_pull_never_given_up"],
        cost: 250,
        run: given_up,
    },
];

/// Waits for message 1 and for what follows message 2, if it follows.
fn first_pull(cx: &mut Cx<'_>, bench: &mut Bench) -> Flow<(Seen, Option<Seen>)> {
    let deadline = cx.in_secs(120);
    let ks = bench.ks();
    ks.serve(cx.world, &mut |log| log.entries.iter().any(|seen| seen.header.exchange == ExchangeType::PULL), deadline);
    let first = pulls(ks).next().cloned();
    let first = cx.have(first, "no message of exchange 32 came within 120 s")?;
    cx.alive_before("phase 1 completed and a message of exchange 32 came");
    let deadline = cx.in_secs(10);
    bench.ks().serve(cx.world, &mut |log| log.count(Step::Pull3) > 0, deadline);
    Ok((first, bench.ks().log.of(Step::Pull3).next().cloned()))
}

/// Ends a case whose subject may be unable to register because of what the case is about.
fn finish(cx: &mut Cx<'_>, mut bench: Bench) -> Flow {
    if bench.ks().log.registrations > 0 {
        return bench.finish(cx);
    }
    // It registers with nobody who goes by the rules; that it goes on trying is its life.
    let before = bench.ks().log.entries.len();
    bench.ks().serve_for(cx.world, Duration::from_secs(60));
    if bench.ks().log.entries.len() > before {
        cx.alive_after("the member went on trying to register");
    }
    Ok(())
}

fn happy_path(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let (first, _) = first_pull(cx, &mut bench)?;
    let registered = bench.ks().log.registrations > 0 || bench.registers_within(cx, 60);
    let observed = if registered { "it registered" } else { "message 3 with a HASH that verifies never came" };
    cx.check("pull.registers", &["REG-002", "GDOI-P1-001"], registered, "a registration within 60 s", observed);
    let port = first.datagram.dst.port();
    let wanted = cx.tester(0).port();
    cx.check("pull.server-port", &["REG-002"], port == wanted, "the port of the configured server", port);
    if registered {
        let acked = bench.takes_push(cx)?;
        let observed = if acked { "acknowledged" } else { "no acknowledgement" };
        cx.check(
            "pull.push-after",
            &["GDOI-PULL-056"],
            acked,
            "a PUSH under the delivered KEK is acknowledged",
            observed,
        );
    }
    finish(cx, bench)
}

fn form(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let (first, third) = first_pull(cx, &mut bench)?;
    let cookies = bench.ks().sa().map(hallmark_probe::Sa::spi);
    let ends = bench.ks().log.entries.first().map(|seen| (seen.datagram.src, seen.datagram.dst));
    let same = ends == Some((first.datagram.src, first.datagram.dst));
    let observed = format!("{} to {}", first.datagram.src, first.datagram.dst);
    cx.check(
        "pull.same-ports",
        &["GDOI-P1-008"],
        same,
        "addresses and ports of phase 1, as no NAT was found",
        observed,
    );
    let m1 = [PayloadType::HASH, PayloadType::NONCE, PayloadType::ID];
    judge_form(cx, "message 1", &first, cookies, &["GDOI-PULL-001"], kinds(&first) == m1);
    if let Some(third) = third {
        let m3 = kinds(&third);
        let fits = matches!(m3.as_slice(), [PayloadType::HASH] | [PayloadType::HASH, PayloadType::GAP]);
        judge_form(cx, "message 3", &third, cookies, &["GDOI-PULL-003"], fits);
        let same = third.header.message_id == first.header.message_id;
        cx.check(
            "pull.message-id-kept",
            &["GDOI-PULL-012"],
            same,
            "the message id of message 1",
            third.header.message_id,
        );
    }
    finish(cx, bench)
}

fn judge_form(cx: &mut Cx<'_>, what: &str, seen: &Seen, cookies: Option<[u8; 16]>, order: &[&str], fits: bool) {
    let header = &seen.header;
    let names: Vec<String> = seen.kinds().iter().map(ToString::to_string).collect();
    cx.check(
        "pull.payloads",
        order,
        fits,
        "the payloads of RFC 6407 in order",
        format!("{what}: {}", names.join(", ")),
    );
    let exchange = format!("{what}: {}", header.exchange);
    cx.check("pull.exchange", &["GDOI-PULL-005"], header.exchange == ExchangeType::PULL, "exchange 32", exchange);
    let version = format!("{what}: {:02x}", header.version);
    cx.check("pull.version", &["GDOI-P1-018"], header.version == 0x10, "10", version);
    let encrypted = header.flags.0 & 1 == 1;
    let flags = format!("{what}: {:02x}", header.flags.0);
    cx.check("pull.encrypted", &["GDOI-PULL-007"], encrypted, "the E flag", &flags);
    cx.check("pull.flags", &["GDOI-PULL-008"], header.flags.0 == 1, "01", flags);
    let same = cookies.is_none_or(|cookies| header.cookies() == cookies);
    let observed = format!("{what}: {}", if same { "the same" } else { "others" });
    cx.check("pull.cookies", &["GDOI-PULL-006"], same, "the cookies of phase 1", observed);
    let reserved = seen.payloads.iter().all(|payload| payload.whole.get(1) == Some(&0));
    let observed = format!("{what}: {}", if reserved { "all 0" } else { "not 0" });
    cx.check("pull.reserved", &["GDOI-PL-003"], reserved, "RESERVED octets 0", observed);
    let parses = seen.flaw.is_none();
    let observed = format!("{what}: {}", seen.flaw.as_deref().unwrap_or("yes"));
    cx.check("pull.lengths", &["GDOI-PL-002"], parses, "payload lengths that fill the message", observed);
    let hash = seen.body(PayloadType::HASH).map_or(0, <[u8]>::len);
    cx.check("pull.hash-length", &["GDOI-PL-077"], hash == 32, "32 octets of HASH", format!("{what}: {hash}"));
}

fn group_identifier(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let (first, _) = first_pull(cx, &mut bench)?;
    let id = cx.have(first.identification(), "message 1 has no ID payload")?;
    cx.check("pull.id-type", &["GDOI-PULL-070", "GDOI-PL-005"], id.id_type == IdType::KEY_ID, "ID_KEY_ID", &id);
    let octets = format!("protocol {}, port {}", id.protocol, id.port);
    cx.check("pull.id-octets", &["GDOI-PL-004"], id.protocol == 0 && id.port == 0, "three zero octets", octets);
    let len = id.data.len();
    cx.check("pull.id-length", &["GDOI-PL-006"], len == 4, "4 octets", len);
    let wanted = GROUP.to_be_bytes();
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    cx.check("pull.id-order", &["GDOI-PL-001"], id.data == wanted, &hex(&wanted), hex(&id.data));
    finish(cx, bench)
}

fn nonce_length(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let (first, _) = first_pull(cx, &mut bench)?;
    let len = first.nonce().map_or(0, <[u8]>::len);
    cx.check("pull.nonce-length", &["GDOI-PL-072"], (8..=128).contains(&len), "8 to 128 octets", len);
    finish(cx, bench)
}

fn hashes(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let (first, third) = first_pull(cx, &mut bench)?;
    let opened = first.flaw.clone().unwrap_or_else(|| "it does".to_owned());
    let rules = ["GDOI-PULL-021", "GDOI-P1-017"];
    cx.check("pull.m1-opens", &rules, first.flaw.is_none(), "message 1 decrypts to payloads", opened);
    let verifies = first.authentic == Some(true);
    let observed = if verifies { "it does" } else { "it does not" };
    cx.check("pull.hash1", &["GDOI-PULL-013", "GDOI-PULL-019"], verifies, "HASH(1) verifies", observed);
    let third = cx.have(third, "message 3 never came")?;
    let opened = third.flaw.clone().unwrap_or_else(|| "it does".to_owned());
    cx.check("pull.m3-opens", &["GDOI-PULL-022"], third.flaw.is_none(), "message 3 decrypts to payloads", opened);
    let verifies = third.authentic == Some(true);
    let observed = if verifies { "it does" } else { "it does not" };
    cx.check("pull.hash3", &["GDOI-PULL-015", "GDOI-PULL-019"], verifies, "HASH(3) verifies", observed);
    finish(cx, bench)
}

/// Starts a member that needs two sender ids, in a group with a counter mode, and gives its message 3.
fn asking(cx: &mut Cx<'_>) -> Flow<(Bench, Seen)> {
    let mut bench = Bench::with(cx, |setup| setup.sender_ids = 2, |_| {})?;
    let gcm = hallmark_probe::Tek::gcm(bench.ks().rng());
    let group = &mut bench.ks().script.group;
    (group.teks, group.sids) = (vec![gcm], Some(hallmark_probe::SidPlan::default()));
    let (_, third) = first_pull(cx, &mut bench)?;
    let third = cx.have(third, "message 3 never came")?;
    Ok((bench, third))
}

fn gap_hashed(cx: &mut Cx<'_>) -> Flow {
    let (bench, third) = asking(cx)?;
    cx.require(third.count(PayloadType::GAP) == 1, "message 3 has no GAP payload that could be covered")?;
    let verifies = third.authentic == Some(true);
    let observed = if verifies { "it does" } else { "it does not" };
    cx.check("pull.hash3-covers-gap", &["GDOI-PULL-016"], verifies, "HASH(3) verifies over GAP", observed);
    finish(cx, bench)
}

fn sender_ids(cx: &mut Cx<'_>) -> Flow {
    let (bench, third) = asking(cx)?;
    let gap = third.body(PayloadType::GAP).and_then(|body| Gap::decode(body).ok());
    let asked = gap.as_ref().and_then(|gap| gap.attributes.uint(gap_attr::SENDER_ID_REQUEST));
    let observed = asked.map_or_else(|| "no request".to_owned(), |count| format!("a request for {count}"));
    // One is what a member gets that does not ask; two engines need two.
    cx.check("pull.sender-id-request", &["GDOI-SID-004"], asked == Some(2), "a request for 2", observed);
    let delays = |gap: &Gap| gap.attributes.iter().any(|attribute| attribute.class != gap_attr::SENDER_ID_REQUEST);
    let only = !gap.as_ref().is_some_and(delays);
    let observed = if only { "nothing else" } else { "attributes of a key server" };
    cx.check("pull.gap-content", &["GDOI-PL-044"], only, "nothing else in GAP", observed);
    finish(cx, bench)
}

fn fresh_values(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::with(cx, brisk, |script| tek_life(script, 60))?;
    bench.register(cx)?;
    // Its keys live for a minute, so it comes again every half minute.
    for _ in 0..7 {
        if !bench.registers_within(cx, 60) {
            break;
        }
    }
    let ks = bench.ks();
    let mut under: BTreeMap<([u8; 16], u32), BTreeSet<Vec<u8>>> = BTreeMap::new();
    for seen in pulls(ks) {
        under.entry((seen.header.cookies(), seen.header.message_id)).or_default().insert(seen.datagram.payload.clone());
    }
    let exchanges = under.len();
    // An exchange has one message 1 and one message 3; more than two belong to two exchanges.
    let reused = under.values().filter(|messages| messages.len() > 2).count();
    let zero = under.keys().any(|(_, message_id)| *message_id == 0);
    let ids: Vec<u32> = under.keys().map(|(_, message_id)| *message_id).collect();
    let nonces: Vec<Vec<u8>> = ks
        .log
        .of(Step::Pull1)
        .filter(|seen| is_new(seen))
        .filter_map(|seen| seen.nonce().map(<[u8]>::to_vec))
        .collect();
    let rule = ["GDOI-PULL-009", "GDOI-PULL-023"];
    let observed = format!("{reused} used again among {exchanges}");
    cx.check("pull.message-id-fresh", &rule, reused == 0, "a message id for each exchange", observed);
    cx.check("pull.message-id-nonzero", &["GDOI-PULL-009"], !zero, "no message id 0", if zero { "0" } else { "none" });
    let counts = ids.windows(2).any(|pair| matches!(pair, [a, b] if a.abs_diff(*b) <= 1));
    let observed = if counts { "neighbours" } else { "far apart" };
    cx.check("pull.message-id-unpredictable", &["GDOI-PULL-010"], !counts, "no neighbouring message ids", observed);
    let distinct: BTreeSet<&Vec<u8>> = nonces.iter().collect();
    let observed = format!("{} different ones in {}", distinct.len(), nonces.len());
    cx.check(
        "pull.nonce-fresh",
        &["GDOI-PULL-024"],
        distinct.len() == nonces.len(),
        "a nonce for each exchange",
        observed,
    );
    if reused == 0 {
        cx.require(nonces.len() > 3, "too few registrations to compare")?;
    }
    bench.finish(cx)
}

/// Ignores the first two requests of a kind and looks at what comes next.
fn repeats(cx: &mut Cx<'_>, answer: Step, request: Step) -> Flow {
    let mut bench = Bench::standard(cx)?;
    bench.ks().reply(answer, Reply::IgnoreFirst(2));
    let deadline = cx.in_secs(120);
    bench.ks().serve(cx.world, &mut |log| log.count(request) > 0, deadline);
    let first = bench.ks().log.of(request).next().cloned();
    let first = cx.have(first, format!("{request} did not come"))?;
    cx.alive_before(&format!("{request} came"));
    bench.ks().serve_for(cx.world, Duration::from_secs(40));
    let same = |seen: &&Seen| {
        (seen.header.cookies(), seen.header.message_id) == (first.header.cookies(), first.header.message_id)
            && (request == Step::Pull3 || seen.step == Step::Pull1 || seen.authentic != Some(true))
    };
    let later: Vec<bool> = pulls(bench.ks())
        .filter(|seen| seen.at > first.at)
        .filter(same)
        .map(|seen| seen.datagram.payload == first.datagram.payload)
        .collect();
    let copies = later.iter().filter(|copy| **copy).count();
    let observed = format!("{copies} within 40 s");
    let rule = ["GDOI-PULL-065"];
    cx.check("pull.retransmits", &rule, copies > 0, "a copy within 40 s", observed);
    let changed = later.len() - copies;
    let observed = format!("{changed} that differ");
    cx.check("pull.retransmission-identical", &rule, changed == 0, "copies octet for octet", observed);
    bench.finish(cx)
}

fn given_up(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    bench.ks().reply(Step::Pull2, Reply::Silent);
    let first = bench.request(cx)?;
    let copies_of = |bench: &mut Bench| {
        bench.ks().log.of(Step::Pull1).filter(|seen| seen.datagram.payload == first.datagram.payload).count()
    };
    let deadline = cx.in_secs(180);
    let anew =
        bench.ks().serve(cx.world, &mut |log| log.of(Step::Pull1).filter(|seen| is_new(seen)).count() > 1, deadline);
    let copies = copies_of(&mut bench);
    let observed = format!("{copies} copies, {}", if anew { "then a new request" } else { "no new request" });
    let rule = ["GDOI-PULL-068"];
    cx.check("pull.given-up", &rule, anew && copies <= 20, "a few copies, then a new request within 180 s", observed);
    if let Some(next) = bench.ks().log.of(Step::Pull1).filter(|seen| is_new(seen)).nth(1) {
        let fresh = next.nonce() != first.nonce();
        let observed = if fresh { "another" } else { "the same" };
        cx.check("pull.new-request-fresh", &rule, fresh, "another nonce", observed);
    }
    bench.finish(cx)
}
