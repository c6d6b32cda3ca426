//! What strangers can send to a key server, and what it may cost.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hallmark_core::{Datagram, Duration};
use hallmark_probe::edit;
use hallmark_probe::gm::ProbeGm;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::{Tamper, octets};
use hallmark_wire::ip;
use hallmark_wire::isakmp::{Attribute, ExchangeType, Header, PayloadType, Transform};
use hallmark_wire::raw::Field;

use super::kit::{
    WINDOW, compose, garbage, lead_to, refuse_offers, sa_lives, sent, settle, still_answers, survived, words,
};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;

pub(crate) const CASES: &[Case] = &[
    case! {
        "ROBK-001", "gdoi.robustness", Should, Ks,
        title: "a flood of first messages from forged addresses keeps no member out",
        purpose: "Message 1 costs an attacker nothing. The table of half-open exchanges has to be bounded, and the \
                  newest must find room in it.",
        requirements: ["IKE-DOS-001", "IKE-DOS-003", "IKE-CKY-012"],
        sources: ["RFC 6407 §7.1.5"],
        catches: ["ike_half_open_never_evicted"],
        needs: [RawIp],
        cost: 90,
        run: half_open_flood,
    },
    case! {
        "ROBK-002", "gdoi.robustness", Should, Ks,
        title: "a half-open exchange is forgotten after 60 s at most",
        purpose: "State that nobody will ever finish must not stay.",
        requirements: ["IKE-LIFE-007"],
        sources: ["RFC 2408 §5.1"],
        catches: ["ike_half_open_forever"],
        cost: 80,
        run: half_open_lifetime,
    },
    case! {
        "ROBK-003", "gdoi.robustness", Should, Ks,
        title: "encrypted garbage under a working SA leaves no trace",
        purpose: "Everyone on the path knows the cookies. Garbage must cost one decryption and change nothing, or one \
                  packet a minute keeps a member from ever registering again.",
        requirements: ["IKE-DOS-004"],
        sources: ["RFC 2409 §10"],
        catches: ["ike_iv_advanced_by_garbage"],
        run: garbage_flood,
    },
    case! {
        "ROBK-004", "gdoi.robustness", Must, Ks,
        title: "malformed offers are refused and survived",
        purpose: "The offer is the deepest structure that a stranger can send: lengths in lengths in lengths. A server \
                  that stops on one of them is off the air for the whole group.",
        requirements: ["IKE-SA-009", "IKE-SA-022", "IKE-DOS-007"],
        sources: ["RFC 2408 §5.5", "RFC 2408 §5.6"],
        catches: ["ike_deaf_after_malformed"],
        cost: 60,
        run: malformed_offers,
    },
    case! {
        "ROBK-005", "gdoi.robustness", Should, Ks,
        title: "messages with thousands of payloads and oversized offers are survived",
        purpose: "Work has to be bounded by what a server is willing to do, not by what fits into 64 kB.",
        requirements: ["IKE-DOS-005", "IKE-DOS-006", "IKE-SA-024", "IKE-PAY-006"],
        sources: ["RFC 2409 §5", "RFC 2408 §3.16"],
        catches: ["ike_deaf_after_many_payloads"],
        run: oversized,
    },
    case! {
        "ROBK-006", "gdoi.robustness", Should, Ks,
        title: "every octet of message 1 may be wrong",
        purpose: "Parsers fail where nobody looked. Each octet is set to its extremes once; whatever is answered, the \
                  server must still be there.",
        requirements: ["IKE-DOS-007"],
        sources: ["RFC 2408 §5.1"],
        catches: ["ike_deaf_after_zero_length", "ike_deaf_after_malformed"],
        cost: 60,
        run: every_octet,
    },
    case! {
        "ROBK-007", "gdoi.robustness", Should, Ks,
        title: "nothing is answered to port 0",
        purpose: "Nobody listens there; who sends from it wants the answer to go somewhere else.",
        requirements: ["IKE-DOS-008"],
        sources: ["RFC 768"],
        catches: ["ike_answers_source_port_zero"],
        needs: [RawIp, VirtualTime],
        run: port_zero,
    },
    case! {
        "ROBK-008", "gdoi.robustness", Should, Ks,
        title: "the answer to message 1 is no larger than it has to be",
        purpose: "The source of message 1 may be forged; the server must not turn one packet into many.",
        requirements: ["IKE-DOS-013"],
        sources: ["RFC 6407 §7.1.5"],
        catches: ["ike_amplifies"],
        cost: 15,
        run: amplification,
    },
];

/// Octets out for each octet in that are tolerated before the source is proven: vendor ids may make message 2 larger
/// than message 1, but a reflector is not worth attacking with below this.
const AMPLIFICATION: f64 = 3.0;

fn start(cx: &mut Cx<'_>) -> Flow<KsScene> {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    Ok(scene)
}

fn half_open_flood(cx: &mut Cx<'_>) -> Flow {
    const SOURCES: u32 = 1_500;
    let scene = start(cx)?;
    let mut member = scene.member(cx, 1);
    let message = compose(cx, &mut member, Step::Main1)?;
    for n in 0..SOURCES {
        let [_, _, high, low] = n.to_be_bytes();
        let forged = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 18 + (high & 1), high, low)), 848);
        let mut octets = message.clone();
        octets::set_initiator_cookie(&mut octets, (0x7e57_0000_0000_0000 | u64::from(n)).to_be_bytes());
        let datagram = Datagram::new(forged, cx.subject(), octets);
        let ident = u16::try_from(n & 0xffff).unwrap_or(0);
        cx.world.send_ip(ip::udp_packet(&datagram, ident, false))?;
        if n % 100 == 0 {
            let pause = cx.world.now() + Duration::from_millis(20);
            cx.world.rest(pause);
        }
    }
    let before = cx.world.now();
    let mut bystander = scene.member(cx, 2);
    let result = bystander.phase1(cx.world);
    let took = cx.world.now().saturating_since(before);
    let outcome = result.as_ref().map_or_else(ToString::to_string, |_| "established".to_owned());
    cx.measure("phase 1 after the flood", took.as_secs_f64(), "s");
    cx.check(
        "robust.flood-keeps-nobody-out",
        &["IKE-DOS-001"],
        result.is_ok(),
        "a member establishes phase 1",
        &outcome,
    );
    let quick = result.is_ok() && took <= Duration::from_secs(7);
    cx.check(
        "robust.flood-slows-nobody-down",
        &["IKE-CKY-012"],
        quick,
        "within 2 s and the tolerance",
        format!("{outcome} after {took:?}"),
    );
    key_exchange_flood(cx, &scene)?;
    // Half-open exchanges end by themselves; then the control is about the server and not about its table.
    let over = cx.in_secs(65);
    cx.world.rest(over);
    scene.finish(cx)
}

/// One end asks for as many key exchanges as it can and finishes none; another end must be served as before.
fn key_exchange_flood(cx: &mut Cx<'_>, scene: &KsScene) -> Flow {
    for _ in 0..80 {
        let mut member = scene.member(cx, 3);
        // A server that no longer answers this end has set its limit.
        if lead_to(cx, &mut member, Step::Main3).is_err() {
            break;
        }
        sent(member.send_main3(cx.world))?;
    }
    let before = cx.world.now();
    let mut bystander = scene.member(cx, 4);
    let result = bystander.phase1(cx.world);
    let took = cx.world.now().saturating_since(before);
    let outcome = result.as_ref().map_or_else(ToString::to_string, |_| "established".to_owned());
    let quick = result.is_ok() && took <= Duration::from_secs(7);
    let observed = format!("{outcome} after {took:?}");
    cx.check("robust.key-exchanges-limited", &["IKE-DOS-003"], quick, "another member establishes phase 1", observed);
    Ok(())
}

fn half_open_lifetime(cx: &mut Cx<'_>) -> Flow {
    let scene = start(cx)?;
    let mut member = scene.member(cx, 1);
    lead_to(cx, &mut member, Step::Main3)?;
    let over = cx.in_secs(68);
    while member.receive(cx.world, over).is_some() {}
    member.script.resend.clear();
    sent(member.send_main3(cx.world))?;
    let seen = member.collect(cx.world, WINDOW);
    let served = seen.iter().any(|seen| seen.step == Step::Main4);
    cx.silence(
        "robust.half-open-forgotten",
        &["IKE-LIFE-007"],
        !served,
        "no message 4",
        format!("message 3 after 68 s: {}", words(&seen)),
    );
    still_answers(cx, &scene, &mut member, &["IKE-LIFE-007"])?;
    scene.finish(cx)
}

fn garbage_flood(cx: &mut Cx<'_>) -> Flow {
    let scene = start(cx)?;
    let mut member = scene.member(cx, 1);
    sent(member.phase1(cx.world))?;
    cx.alive_before("phase 1 completed");
    settle(cx, &mut member);
    let cookies = member.half_cookies();
    for n in 1..=150_u32 {
        member.send_raw(cx.world, garbage(cookies, ExchangeType::INFORMATIONAL, n, 48));
        member.send_raw(cx.world, garbage(cookies, ExchangeType::PULL, 0x1_0000 + n, 80));
        member.send_raw(cx.world, garbage(cookies, ExchangeType::MAIN, 0, 16 + 16 * usize::from(n % 4 == 0)));
    }
    let seen = member.collect(cx.world, Duration::from_secs(2));
    let served = seen.iter().filter(|seen| seen.authentic == Some(true)).count();
    cx.silence("robust.garbage-not-served", &["IKE-DOS-004"], served == 0, "no answer under the SA", served);
    sa_lives(cx, &mut member, "robust.garbage-moves-nothing", &["IKE-DOS-004"], true, "after 450 messages of garbage");
    scene.finish(cx)
}

fn malformed_offers(cx: &mut Cx<'_>) -> Flow {
    let scene = start(cx)?;
    let attributes = |octets: &'static [u8]| {
        Tamper::content(move |m| {
            edit::sa_tree(m, |_, proposals| {
                let transform = proposals.first_mut().and_then(|p| p.children_mut()).and_then(|t| t.first_mut());
                if let Some(transform) = transform {
                    let mut body = transform.body_octets();
                    body.extend(octets);
                    transform.body = hallmark_wire::raw::RawBody::Octets(body);
                }
            });
        })
    };
    let proposal_length = |length: u16| {
        Tamper::content(move |m| {
            edit::sa_tree(m, |_, proposals| {
                if let Some(proposal) = proposals.first_mut() {
                    proposal.length = Field::Force(length);
                }
            });
        })
    };
    let transform_length = |length: u16| {
        Tamper::content(move |m| {
            edit::sa_tree(m, |_, proposals| {
                let transform = proposals.first_mut().and_then(|p| p.children_mut()).and_then(|t| t.first_mut());
                if let Some(transform) = transform {
                    transform.length = Field::Force(length);
                }
            });
        })
    };
    refuse_offers(
        cx,
        &scene,
        "robust.attribute-overrun-refused",
        &["IKE-SA-022", "IKE-DOS-007"],
        vec![
            ("an attribute longer than its transform", attributes(&[0x00, 0x0c, 0xff, 0xff])),
            ("half an attribute", attributes(&[0x80, 0x0e])),
            ("one octet of an attribute", attributes(&[0x80])),
        ],
    )?;
    refuse_offers(
        cx,
        &scene,
        "robust.nested-lengths-refused",
        &["IKE-SA-009", "IKE-DOS-007"],
        vec![
            ("proposal length 0", proposal_length(0)),
            ("proposal length 7", proposal_length(7)),
            ("proposal length ffff", proposal_length(0xffff)),
            ("transform length 0", transform_length(0)),
            ("transform length 7", transform_length(7)),
            ("transform length ffff", transform_length(0xffff)),
            ("SPI size 255", Tamper::content(|m| edit::body(m, PayloadType::SA, |body| put(body, 14, 255)))),
            (
                "next payload of the transform 2",
                Tamper::content(|m| edit::body(m, PayloadType::SA, |body| put(body, 16, 2))),
            ),
        ],
    )?;
    scene.finish(cx)
}

fn put(body: &mut [u8], at: usize, value: u8) {
    if let Some(octet) = body.get_mut(at) {
        *octet = value;
    }
}

fn oversized(cx: &mut Cx<'_>) -> Flow {
    let scene = start(cx)?;
    let many = |count: usize| {
        Tamper::content(move |m| (0..count).for_each(|_| edit::push(m, PayloadType::VENDOR_ID, vec![0xcd])))
    };
    let offers: Vec<(&str, &[&str], Tamper)> = vec![
        ("10000 vendor ids", &["IKE-DOS-006"], many(10_000)),
        ("1000 vendor ids", &["IKE-DOS-006"], many(1_000)),
        (
            "a payload of private type 200",
            &["IKE-PAY-006"],
            Tamper::content(|m| edit::push(m, PayloadType(200), vec![1; 40])),
        ),
        (
            "255 transforms",
            &["IKE-SA-024", "IKE-DOS-005"],
            Tamper::content(|m| {
                edit::sa(m, |sa| {
                    for proposal in &mut sa.proposals {
                        let Some(last) = proposal.transforms.pop() else { continue };
                        let unknown = (0..254).map(|number| Transform { number, id: 99, ..last.clone() });
                        proposal.transforms = unknown.collect();
                        proposal.transforms.push(Transform { number: 255, ..last });
                    }
                })
            }),
        ),
        (
            "255 transforms of 255 octets",
            &["IKE-SA-024", "IKE-DOS-005"],
            Tamper::content(|m| {
                edit::sa(m, |sa| {
                    for proposal in &mut sa.proposals {
                        let Some(mut last) = proposal.transforms.pop() else { continue };
                        last.attributes.0.push(Attribute::variable(20_000, vec![1; 195]));
                        proposal.transforms = (0..=254).map(|number| Transform { number, ..last.clone() }).collect();
                    }
                })
            }),
        ),
    ];
    for (what, requirements, tamper) in offers {
        let mut member = scene.member(cx, 1);
        member.tamper(Step::Main1, tamper);
        let before = cx.world.now();
        sent(member.send_main1(cx.world))?;
        let seen = member.collect(cx.world, WINDOW);
        cx.world.note(&format!("{what}: {}", words(&seen)));
        member.untamper();
        // Served, refused or dropped: all are right, as long as the next member does not wait.
        let next = member.send_main1(cx.world).and_then(|()| member.receive_main2(cx.world));
        match next {
            Ok(seen) => {
                let took = seen.at.saturating_since(before + WINDOW);
                let quick = took <= Duration::from_secs(6);
                cx.check(
                    "robust.oversized-survived",
                    requirements,
                    quick,
                    "the next message is answered at once",
                    format!("{what}: {took:?}"),
                );
            }
            Err(fault) => survived(cx, &scene, requirements, &format!("{what}: {fault}"))?,
        }
    }
    scene.finish(cx)
}

fn every_octet(cx: &mut Cx<'_>) -> Flow {
    let scene = start(cx)?;
    let mut member = scene.member(cx, 1);
    let message = compose(cx, &mut member, Step::Main1)?;
    let mut number = 0_u64;
    for at in Header::LEN..message.len() {
        for value in [0x00, 0xff, 0x80] {
            let mut octets = message.clone();
            // Each one is an exchange of its own, so that none is taken for a copy of another.
            number += 1;
            octets::set_initiator_cookie(&mut octets, (0x0bad_0000_0000_0000 | number).to_be_bytes());
            octets::put(&mut octets, at, &[value]);
            member.send_raw(cx.world, octets);
        }
        // A half-open table that is full of these must not be what is measured.
        if (at - Header::LEN) % 8 == 7 {
            check_alive(cx, &scene, &mut member, at)?;
        }
    }
    for cut in [Header::LEN, Header::LEN + 1, Header::LEN + 4, Header::LEN + 12, message.len() - 1] {
        let mut octets = message.clone();
        octets::resize_and_fix(&mut octets, cut);
        member.send_raw(cx.world, octets);
    }
    check_alive(cx, &scene, &mut member, message.len())?;
    scene.finish(cx)
}

fn check_alive(cx: &mut Cx<'_>, scene: &KsScene, member: &mut ProbeGm, at: usize) -> Flow {
    member.collect(cx.world, Duration::from_millis(500));
    let mut bystander = scene.member(cx, 2);
    match bystander.send_main1(cx.world).and_then(|()| bystander.receive_main2(cx.world)) {
        Ok(_) => {
            cx.grave(
                "robust.any-octet-survived",
                &["IKE-DOS-007"],
                true,
                "the server goes on",
                format!("up to octet {at}"),
            );
            Ok(())
        }
        Err(fault) => survived(cx, scene, &["IKE-DOS-007"], &format!("up to octet {at}: {fault}")),
    }
}

fn port_zero(cx: &mut Cx<'_>) -> Flow {
    let scene = start(cx)?;
    let mut member = scene.member(cx, 1);
    let message = compose(cx, &mut member, Step::Main1)?;
    let mut source = cx.tester(1);
    source.set_port(0);
    cx.world.send_ip(ip::udp_packet(&Datagram::new(source, cx.subject(), message), 77, false))?;
    let seen = member.collect(cx.world, WINDOW);
    cx.silence("robust.port-zero-silent", &["IKE-DOS-008"], seen.is_empty(), "nothing", words(&seen));
    still_answers(cx, &scene, &mut member, &["IKE-DOS-008"])?;
    scene.finish(cx)
}

fn amplification(cx: &mut Cx<'_>) -> Flow {
    let scene = start(cx)?;
    let mut member = scene.member(cx, 1);
    sent(member.send_main1(cx.world))?;
    let asked = member.last_sent(Step::Main1).map_or(0, |sent| sent.octets.len());
    let seen = member.collect(cx.world, Duration::from_secs(8));
    let answers: BTreeSet<&[u8]> = seen.iter().map(|seen| seen.octets()).collect();
    let told: usize = answers.iter().map(|octets| octets.len()).sum();
    let factor = told as f64 / asked.max(1) as f64;
    cx.require(!answers.is_empty(), "no message 2 came")?;
    cx.measure("octets out for each octet in", factor, "");
    let observed = format!("{asked} octets in, {told} octets out in {} datagrams", seen.len());
    cx.check(
        "robust.no-amplification",
        &["IKE-DOS-013"],
        factor <= AMPLIFICATION,
        "at most three times the octets",
        observed,
    );
    scene.finish(cx)
}
