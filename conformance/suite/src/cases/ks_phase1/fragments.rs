//! The vendor extension that cuts IKE messages into fragments (payload 132).

use hallmark_core::Duration;
use hallmark_probe::certs::Authority;
use hallmark_probe::fragment::{ike_fragment, ike_fragments};
use hallmark_probe::gm::ProbeGm;
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_probe::suite::Suite;
use hallmark_probe::tamper::octets;
use hallmark_wire::isakmp::{Fragment, Header, PayloadType, vendor_id};

use super::kit::{WINDOW, afresh, compose, go_on, lead_to, needs_fragments, sa_lives, sent, words};
use crate::Case;
use crate::cases::phase1::{self, followed, issued, three};
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;
use crate::setup::{self, KsSetup};

pub(crate) const CASES: &[Case] = &[
    case! {
        "IFRAGK-001", "gdoi.fragmentation", Should, Ks,
        title: "fragments are put together in whatever order they come",
        purpose: "Packets overtake each other; a member whose certificate does not fit one packet registers through \
                  fragments or not at all.",
        requirements: ["IKE-FRAG-001", "IKE-FRAG-003", "IKE-FRAG-005"],
        sources: ["MS-IKEE §3.3"],
        catches: ["ike_fragment_order_matters"],
        run: any_order,
    },
    case! {
        "IFRAGK-002", "gdoi.fragmentation", Should, Ks,
        title: "no fragments for a member that did not announce them",
        purpose: "The payload is a private one; a member without the extension drops it, and message 6 with it.",
        requirements: ["IKE-FRAG-002"],
        sources: ["MS-IKEE §2.2.3.1"],
        catches: ["ike_fragments_without_vendor_id"],
        needs: [Setup],
        run: only_when_announced,
    },
    case! {
        "IFRAGK-003", "gdoi.fragmentation", Must, Ks,
        title: "malformed fragments and fragments of unknown exchanges are dropped",
        purpose: "Fragments come in clear from anyone. One that is not exactly a fragment must not become part of a \
                  message.",
        requirements: ["IKE-FRAG-004", "IKE-FRAG-006"],
        sources: ["MS-IKEE §2.2.3.1"],
        catches: ["ike_fragment_zero_accepted"],
        run: malformed,
    },
    case! {
        "IFRAGK-004", "gdoi.fragmentation", Must, Ks,
        title: "a set that contradicts itself is discarded",
        purpose: "With two ends the receiver chooses where the message stops, and an attacker chooses for it.",
        requirements: ["IKE-FRAG-005"],
        sources: ["MS-IKEE §3.3"],
        catches: ["ike_two_last_fragments_accepted"],
        run: contradictions,
    },
    case! {
        "IFRAGK-005", "gdoi.fragmentation", Must, Ks,
        title: "an incomplete set is forgotten after 90 s at most",
        purpose: "What is kept for ever fills the memory, and lets an old fragment complete a new message.",
        requirements: ["IKE-FRAG-008"],
        sources: ["MS-IKEE §3.3"],
        catches: ["ike_fragments_kept"],
        cost: 120,
        run: forgotten,
    },
    case! {
        "IFRAGK-006", "gdoi.fragmentation", Should, Ks,
        title: "the message inside belongs to the exchange outside",
        purpose: "Limits are counted for the exchange in the outer header; a message with other cookies inside would \
                  go around all of them.",
        requirements: ["IKE-FRAG-009"],
        sources: ["MS-IKEE §3.3"],
        catches: ["ike_fragment_inner_unchecked"],
        run: other_cookies_inside,
    },
    case! {
        "IFRAGK-007", "gdoi.fragmentation", Should, Ks,
        title: "fragments inside of fragments are refused",
        purpose: "Each level would have limits of its own, and a receiver that follows them can be made to follow them \
                  for ever.",
        requirements: ["IKE-FRAG-010"],
        sources: ["MS-IKEE §3.3"],
        catches: ["ike_nested_fragments_accepted"],
        run: nested,
    },
    case! {
        "IFRAGK-008", "gdoi.fragmentation", Should, Ks,
        title: "a forged fragment costs one retransmission at most",
        purpose: "Anyone who sees the cookies can send one; the member's whole message must win against it.",
        requirements: ["IKE-FRAG-007", "IKE-FRAG-011"],
        sources: ["MS-IKEE §3.3"],
        catches: ["ike_fragment_poisons"],
        run: forged,
    },
];

/// Makes a member that announces fragments, waiting before message 5; it repeats nothing by itself.
fn fragmenting(cx: &mut Cx<'_>, scene: &KsScene) -> Flow<ProbeGm> {
    let mut member = scene.member(cx, 1);
    let capability = [vendor_id::FRAGMENTATION.as_slice(), &0xc000_0000_u32.to_be_bytes()].concat();
    member.script.vendor_ids.push(capability);
    member.script.resend.clear();
    lead_to(cx, &mut member, Step::Main5)?;
    needs_fragments(&member)?;
    Ok(member)
}

fn scene(cx: &mut Cx<'_>) -> Flow<KsScene> {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    Ok(scene)
}

fn send_all<'a>(cx: &mut Cx<'_>, member: &mut ProbeGm, pieces: impl IntoIterator<Item = &'a Vec<u8>>) {
    for piece in pieces {
        member.send_raw(cx.world, piece.clone());
    }
}

/// Gives what came, and whether message 6 is among it.
fn answered(cx: &mut Cx<'_>, member: &mut ProbeGm) -> (bool, String) {
    let seen = member.collect(cx.world, WINDOW);
    let served = |seen: &Seen| seen.step == Step::Main6 && !seen.repeat;
    (seen.iter().any(served), words(&seen))
}

fn any_order(cx: &mut Cx<'_>) -> Flow {
    let scene = scene(cx)?;
    let orders: [(&str, &[usize]); 4] = [
        ("in order", &[0, 1, 2]),
        ("the last one first", &[2, 0, 1]),
        ("backwards", &[2, 1, 0]),
        ("one of them twice", &[0, 1, 1, 2]),
    ];
    for (what, order) in orders {
        let mut member = fragmenting(cx, &scene)?;
        let message = compose(cx, &mut member, Step::Main5)?;
        let pieces = three(&message);
        send_all(cx, &mut member, order.iter().filter_map(|index| pieces.get(*index)));
        let (served, came) = answered(cx, &mut member);
        let requirements: &[&str] = if order.len() > 3 { &["IKE-FRAG-005"] } else { &["IKE-FRAG-001", "IKE-FRAG-003"] };
        cx.check("fragment.reassembled", requirements, served, "message 6", format!("{what}: {came}"));
    }
    scene.finish(cx)
}

fn only_when_announced(cx: &mut Cx<'_>) -> Flow {
    let name = "aes128-sha256-modp2048-rsa";
    let suite = cx.have(Suite::from_name(name), "the suite has no such name")?;
    let mut authority = issued(Authority::trusted(cx.world))?;
    let mut setup = KsSetup::standard(cx.world);
    setup.phase1.proposals = vec![name.to_owned(), setup::PROPOSAL.to_owned()];
    setup.phase1.credentials = Some(phase1::credentials(cx, &mut authority, suite.auth)?);
    let scene = KsScene::start(cx, setup)?;
    let mut member = scene.member(cx, 1);
    member.script.suites = vec![suite];
    member.script.credentials = issued(authority.tester(suite.auth, cx.tester(1).ip()))?;
    lead_to(cx, &mut member, Step::Main5)?;
    cx.alive_before("main mode came to message 5");
    sent(member.send_main5(cx.world))?;
    let result = member.receive_main6(cx.world);
    // Message 6 carries a certificate and fits no 576 octets.
    member.resend(cx.world, Step::Main5);
    member.collect(cx.world, WINDOW);
    let fragments =
        member.log.iter().filter(|seen| seen.header.next == PayloadType::FRAGMENT || seen.fragments > 0).count();
    let outcome = result.as_ref().map_or_else(ToString::to_string, |_| "established".to_owned());
    cx.check(
        "fragment.only-when-announced",
        &["IKE-FRAG-002"],
        fragments == 0,
        "no fragment",
        format!("{fragments} fragments, {outcome}"),
    );
    cx.require(result.is_ok() || fragments > 0, format!("phase 1 with certificates: {outcome}"))?;
    scene.finish(cx)
}

fn malformed(cx: &mut Cx<'_>) -> Flow {
    let scene = scene(cx)?;
    type Bend = fn(&[u8], &Fragment) -> Vec<u8>;
    let bends: [(&str, Bend); 5] = [
        ("followed by another payload", followed),
        ("number 0", |message, fragment| ike_fragment(message, &Fragment { number: 0, ..fragment.clone() })),
        ("next payload without payload", |message, fragment| {
            let mut octets = ike_fragment(message, fragment);
            octets::put(&mut octets, Header::LEN, &[PayloadType::VENDOR_ID.0]);
            octets
        }),
        ("one octet more than its length", |message, fragment| {
            let mut octets = ike_fragment(message, fragment);
            octets.push(0);
            octets::fix_length(&mut octets);
            octets
        }),
        ("length beyond the datagram", |message, fragment| {
            let mut octets = ike_fragment(message, fragment);
            octets::put(&mut octets, Header::LEN + 2, &[0xff, 0xff]);
            octets
        }),
    ];
    for (what, bend) in bends {
        let mut member = fragmenting(cx, &scene)?;
        let message = compose(cx, &mut member, Step::Main5)?;
        let third = message.len().div_ceil(3);
        let mut pieces = three(&message);
        let data = message.get(third..2 * third).unwrap_or_default().to_vec();
        if let Some(middle) = pieces.get_mut(1) {
            *middle = bend(&message, &Fragment { id: 1, number: 2, flags: 0, data });
        }
        send_all(cx, &mut member, &pieces);
        let (served, came) = answered(cx, &mut member);
        cx.silence("fragment.malformed-dropped", &["IKE-FRAG-004"], !served, "no message 6", format!("{what}: {came}"));
        if !served {
            send_all(cx, &mut member, &three(&message));
            let (served, _) = answered(cx, &mut member);
            if !served {
                afresh(cx, &scene, &mut member, &["IKE-FRAG-004"])?;
            }
        }
    }
    let mut member = fragmenting(cx, &scene)?;
    let mut message = compose(cx, &mut member, Step::Main5)?;
    octets::set_initiator_cookie(&mut message, [3; 8]);
    let start = member.log.len();
    send_all(cx, &mut member, &three(&message));
    member.collect(cx.world, WINDOW);
    let seen: Vec<Seen> = member.log.iter().skip(start).cloned().collect();
    let served = seen.iter().any(|seen| seen.error_notify().is_none() && !seen.repeat);
    cx.silence("fragment.unknown-exchange-dropped", &["IKE-FRAG-006"], !served, "no answer", words(&seen));
    let result = go_on(cx, &mut member, Step::Main5);
    if result.is_err() {
        afresh(cx, &scene, &mut member, &["IKE-FRAG-006"])?;
    }
    scene.finish(cx)
}

fn contradictions(cx: &mut Cx<'_>) -> Flow {
    let scene = scene(cx)?;
    for (what, flags) in [("two ends", Fragment::LAST), ("a number beyond the end", 0)] {
        let mut member = fragmenting(cx, &scene)?;
        let message = compose(cx, &mut member, Step::Main5)?;
        let pieces = three(&message);
        let fourth = ike_fragment(&message, &Fragment { id: 1, number: 4, flags, data: vec![0; 16] });
        // The contradiction is complete before the rest arrives, so only a receiver that overlooks it goes on.
        let (first, second) = if flags == 0 { (pieces.get(2), Some(&fourth)) } else { (Some(&fourth), pieces.get(2)) };
        send_all(cx, &mut member, [first, second, pieces.first(), pieces.get(1)].into_iter().flatten());
        let (served, came) = answered(cx, &mut member);
        cx.silence(
            "fragment.contradiction-discarded",
            &["IKE-FRAG-005"],
            !served,
            "no message 6",
            format!("{what}: {came}"),
        );
        if !served {
            let clean = ike_fragments(&message, 2, message.len().div_ceil(3));
            send_all(cx, &mut member, &clean);
            let (served, came) = answered(cx, &mut member);
            let observed = format!("a clean set after {what}: {came}");
            cx.check("fragment.clean-set-served", &["IKE-FRAG-005"], served, "message 6", observed);
        }
    }
    scene.finish(cx)
}

fn forgotten(cx: &mut Cx<'_>) -> Flow {
    let scene = scene(cx)?;
    let mut member = fragmenting(cx, &scene)?;
    sent(go_on(cx, &mut member, Step::Main5))?;
    // Under an SA, because a half-open exchange does not live that long.
    let message = compose(cx, &mut member, Step::Pull1)?;
    send_all(cx, &mut member, &three(&message));
    let seen = member.collect(cx.world, WINDOW);
    cx.require(seen.iter().any(|seen| seen.step == Step::Pull2), "a PULL message in fragments is not served at all")?;
    let message = compose(cx, &mut member, Step::Pull1)?;
    let pieces = three(&message);
    send_all(cx, &mut member, pieces.iter().take(2));
    let over = cx.world.now() + Duration::from_secs(95);
    while member.receive(cx.world, over).is_some() {}
    send_all(cx, &mut member, pieces.get(2));
    let seen = member.collect(cx.world, WINDOW);
    let served = seen.iter().any(|seen| seen.step == Step::Pull2 && seen.authentic == Some(true));
    cx.silence("fragment.set-forgotten", &["IKE-FRAG-008"], !served, "no message 2 of PULL", words(&seen));
    sa_lives(cx, &mut member, "fragment.sa-survives", &["IKE-FRAG-008"], false, "a whole PULL message");
    scene.finish(cx)
}

fn other_cookies_inside(cx: &mut Cx<'_>) -> Flow {
    let scene = scene(cx)?;
    let check = "fragment.inner-cookies-checked";
    let enveloped = |message: &[u8], (initiator, responder): ([u8; 8], [u8; 8])| -> Vec<Vec<u8>> {
        let mut pieces = three(message);
        for piece in &mut pieces {
            octets::set_initiator_cookie(piece, initiator);
            octets::set_responder_cookie(piece, responder);
        }
        pieces
    };
    // A message of one exchange in fragments of another one of the same member.
    let mut inner = fragmenting(cx, &scene)?;
    let mut outer = fragmenting(cx, &scene)?;
    let message = compose(cx, &mut inner, Step::Main5)?;
    send_all(cx, &mut inner, &enveloped(&message, outer.half_cookies()));
    let (served, came) = answered(cx, &mut inner);
    cx.silence(check, &["IKE-FRAG-009"], !served, "no message 6", format!("of another exchange: {came}"));
    for member in [&mut inner, &mut outer] {
        if !served && go_on(cx, member, Step::Main5).is_err() {
            afresh(cx, &scene, member, &["IKE-FRAG-009"])?;
        }
    }
    // A message under cookies of nobody in fragments of the exchange that its contents belong to.
    let mut member = fragmenting(cx, &scene)?;
    let mut message = compose(cx, &mut member, Step::Main5)?;
    octets::set_responder_cookie(&mut message, [4; 8]);
    let cookies = member.half_cookies();
    send_all(cx, &mut member, &enveloped(&message, cookies));
    let (served, came) = answered(cx, &mut member);
    cx.silence(check, &["IKE-FRAG-009"], !served, "no message 6", format!("of no exchange: {came}"));
    if !served && go_on(cx, &mut member, Step::Main5).is_err() {
        afresh(cx, &scene, &mut member, &["IKE-FRAG-009"])?;
    }
    scene.finish(cx)
}

fn nested(cx: &mut Cx<'_>) -> Flow {
    let scene = scene(cx)?;
    let mut member = fragmenting(cx, &scene)?;
    let message = compose(cx, &mut member, Step::Main5)?;
    let once = ike_fragments(&message, 1, message.len());
    let twice: Vec<Vec<u8>> = once.iter().flat_map(|piece| ike_fragments(piece, 2, piece.len())).collect();
    send_all(cx, &mut member, &twice);
    let (served, came) = answered(cx, &mut member);
    cx.silence("fragment.nested-refused", &["IKE-FRAG-010"], !served, "no message 6", came);
    if !served && go_on(cx, &mut member, Step::Main5).is_err() {
        afresh(cx, &scene, &mut member, &["IKE-FRAG-010"])?;
    }
    scene.finish(cx)
}

fn forged(cx: &mut Cx<'_>) -> Flow {
    let scene = scene(cx)?;
    type Forge = fn(&[u8]) -> Vec<Vec<u8>>;
    let forgeries: [(&str, Forge); 3] = [
        ("one forged fragment", |message| {
            vec![ike_fragment(message, &Fragment { id: 9, number: 1, flags: 0, data: vec![0xee; 40] })]
        }),
        ("a whole set of garbage", |message| {
            let last = Fragment { id: 9, number: 1, flags: Fragment::LAST, data: vec![0xee; 80] };
            vec![ike_fragment(message, &last)]
        }),
        ("255 fragments", |message| {
            (1..=255)
                .map(|number| ike_fragment(message, &Fragment { id: 9, number, flags: 0, data: vec![0xee; 200] }))
                .collect()
        }),
    ];
    for (what, forge) in forgeries {
        let mut member = fragmenting(cx, &scene)?;
        let message = compose(cx, &mut member, Step::Main5)?;
        send_all(cx, &mut member, &forge(&message));
        // One copy of the message may be lost to the forgery; the second must not be.
        member.script.resend = vec![Duration::from_secs(3)];
        let result = go_on(cx, &mut member, Step::Main5);
        let outcome = result.as_ref().map_or_else(ToString::to_string, |()| "established".to_owned());
        cx.check(
            "fragment.whole-message-wins",
            &["IKE-FRAG-011", "IKE-FRAG-007"],
            result.is_ok(),
            "message 6",
            format!("{what}: {outcome}"),
        );
    }
    scene.finish(cx)
}
