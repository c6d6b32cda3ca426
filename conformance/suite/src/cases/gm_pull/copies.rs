//! Messages that do not fit the exchange: copies, strangers, and what comes without protection.

use hallmark_core::{Datagram, Duration};
use hallmark_probe::ks::Reply;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::isakmp::{Delete, Notify, NotifyType, PayloadType};

use super::kit::{Bench, Rule, pulls};
use crate::Case;
use crate::cx::{Cx, Flow};

pub(crate) const CASES: &[Case] = &[
    case! {
        "PULLG-050", "gdoi.replay", Should, Gm,
        title: "copies of messages 2 and 4 harm nothing",
        purpose: "Networks copy datagrams, and servers repeat message 2 on a timer. The copy meets a member that is \
                  one step further.",
        requirements: ["GDOI-NEG-127", "GDOI-NEG-126", "GDOI-PULL-069"],
        sources: ["RFC 2408 §5.1"],
        catches: ["gm_m2_copy_aborts"],
        cost: 30,
        run: copied_answers,
    },
    case! {
        "PULLG-051", "gdoi.pull", Must, Gm,
        title: "messages of exchange 32 that nobody asked for change nothing",
        purpose: "A member asks and a server answers. What comes without a question is old, forged or for someone \
                  else.",
        requirements: [
            "GDOI-PULL-042", "GDOI-PULL-043", "GDOI-NEG-125", "GDOI-NEG-128", "GDOI-NEG-129", "GDOI-PULL-069",
        ],
        sources: ["RFC 6407 §7.2.4"],
        catches: ["gm_unsolicited_pull_kills"],
        cost: 40,
        run: unsolicited,
    },
    case! {
        "PULLG-052", "gdoi.informational", Must, Gm,
        title: "unprotected Informationals do not end a registration",
        purpose: "Anyone can send them. A member that believes them can be kept out of the group with one datagram \
                  a minute.",
        requirements: ["GDOI-NEG-130", "GDOI-PULL-069"],
        sources: ["RFC 2409 §5.7"],
        catches: ["ike_clear_delete_accepted"],
        cost: 60,
        run: clear_informational,
    },
    case! {
        "PULLG-053", "gdoi.pull", Must, Gm,
        title: "a policy that comes in clear is not taken",
        purpose: "PULL runs under phase 1. A member that takes a message without the E flag takes policy from \
                  whoever makes the server's look like one.",
        requirements: ["GDOI-P1-001", "GDOI-PULL-007", "GDOI-PULL-069"],
        sources: ["RFC 6407 §2"],
        catches: ["gm_clear_pull_taken"],
        cost: 100,
        run: clear_policy,
    },
];

fn copied_answers(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    bench.ks().reply(Step::Pull2, Reply::Repeat(2));
    bench.ks().reply(Step::Pull4, Reply::Repeat(2));
    let first = bench.request(cx)?;
    bench.ks().serve_for(cx.world, Duration::from_secs(10));
    let message_id = first.header.message_id;
    let thirds: Vec<_> = pulls(bench.ks())
        .filter(|seen| seen.header.message_id == message_id && seen.datagram.payload != first.datagram.payload)
        .map(|seen| seen.datagram.payload.clone())
        .collect();
    let one = thirds.windows(2).all(|pair| matches!(pair, [a, b] if a == b));
    let observed = if one { "copies of one message" } else { "different messages" };
    cx.check("pull.copy-answered-alike", &["GDOI-NEG-127"], one, "the same message 3 or silence", observed);
    let acked = !bench.ks().members.is_empty() && bench.takes_push(cx)?;
    let observed = if acked { "acknowledged" } else { "no acknowledgement" };
    let rule = ["GDOI-NEG-127", "GDOI-NEG-126"];
    cx.check("pull.copies-harmless", &rule, acked, "keys that work after the first exchange", observed);
    bench.finish(cx)
}

fn unsolicited(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    bench.register(cx)?;
    bench.scene.still_takes_pushes(cx)?;
    let member = bench.ks().members.last().map(|member| (member.local, member.address));
    let (local, address) = cx.have(member, "nobody has registered")?;
    let last = |bench: &mut Bench, step: Step| bench.ks().sent.iter().rev().find(|sent| sent.step == step).cloned();
    let message2 = cx.have(last(&mut bench, Step::Pull2), "no message 2 was sent")?.octets;
    let message4 = cx.have(last(&mut bench, Step::Pull4), "no message 4 was sent")?.octets;
    let message1 = pulls(bench.ks()).next().map(|seen| seen.octets().to_vec());
    let message1 = cx.have(message1, "no message 1 came")?;
    let changed = |octets: &[u8], at: usize| {
        let mut octets = octets.to_vec();
        if let Some(octet) = octets.get_mut(at) {
            *octet ^= 0x55;
        }
        octets
    };
    let strangers = [
        ("message 4 under another message id", changed(&message4, 20)),
        ("message 2 of the finished exchange", message2.clone()),
        ("message 2 under another message id", changed(&message2, 21)),
        ("message 2 with another initiator cookie", changed(&message2, 0)),
        ("message 2 with another responder cookie", changed(&message2, 15)),
        ("the member's own message 1", message1.clone()),
        ("its message 1 under another message id", changed(&message1, 22)),
    ];
    let rules = ["GDOI-PULL-042", "GDOI-PULL-043", "GDOI-NEG-125", "GDOI-NEG-128", "GDOI-NEG-129"];
    for (what, octets) in strangers {
        let before = pulls(bench.ks()).count();
        cx.world.send(Datagram::new(local, address, octets));
        bench.ks().serve_for(cx.world, Duration::from_secs(3));
        let answered = pulls(bench.ks()).count() > before;
        let observed = format!("{what}: {}", if answered { "a message of exchange 32" } else { "nothing" });
        cx.silence("pull.unasked-unanswered", &rules, !answered, "no message of exchange 32", observed);
    }
    let acked = bench.takes_push(cx)?;
    let observed = if acked { "acknowledged" } else { "no acknowledgement" };
    cx.grave("pull.unasked-changes-nothing", &rules, acked, "the keys from before still work", observed);
    bench.finish(cx)
}

fn clear_informational(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    bench.ks().reply(Step::Pull2, Reply::Silent);
    let first = bench.request(cx)?;
    let spi = first.header.cookies().to_vec();
    let delete = Delete { doi: 2, protocol: 1, spi_size: 16, spis: vec![spi.clone()] };
    let notify = |kind| Notify { doi: 2, protocol: 1, spi: spi.clone(), kind: NotifyType(kind), data: Vec::new() };
    let payloads = [
        (PayloadType::DELETE, delete.encode_body()),
        (PayloadType::NOTIFY, notify(14).encode_body()),
        (PayloadType::NOTIFY, notify(18).encode_body()),
        (PayloadType::NOTIFY, notify(24).encode_body()),
    ];
    for payload in payloads {
        let sent = bench.ks().send_clear_informational(cx.world, vec![payload]);
        cx.require(sent.is_ok(), "the tester could not send the Informational")?;
    }
    bench.ks().serve_for(cx.world, Duration::from_secs(1));
    // The answer comes now: the exchange must still be there.
    bench.ks().answer_all();
    bench.ks().send_again(cx.world, Step::Pull2);
    let deadline = cx.in_secs(10);
    let goes_on = bench.ks().serve(
        cx.world,
        &mut |log| {
            let third = |seen: &&hallmark_probe::Seen| {
                seen.authentic == Some(true) && seen.header.message_id == first.header.message_id
            };
            log.of(Step::Pull3).any(|seen| third(&seen))
        },
        deadline,
    );
    let observed = if goes_on { "message 3 of the same exchange came" } else { "the exchange was over" };
    let rule = Rule::grave("pull.clear-informational-ignored", &["GDOI-NEG-130", "GDOI-PULL-069"]);
    rule.judge(cx, goes_on, "the exchange goes on", observed.to_owned());
    bench.finish(cx)
}

fn clear_policy(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let rule = Rule::grave("pull.clear-policy-refused", &["GDOI-P1-001", "GDOI-PULL-007"]);
    bench.refuse_policies(cx, &rule, vec![("message 2 in clear", Tamper::none().in_clear())])?;
    bench.finish(cx)
}
