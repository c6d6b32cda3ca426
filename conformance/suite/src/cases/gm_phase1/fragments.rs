//! IKE fragmentation: message 6 in pieces, and a member's own large messages.

use hallmark_core::{Datagram, Duration};
use hallmark_probe::certs::Authority;
use hallmark_probe::fragment::{ike_fragment, ike_fragments};
use hallmark_probe::ks::{KsScript, Reply};
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_probe::suite::Suite;
use hallmark_probe::tamper::octets;
use hallmark_wire::isakmp::{Fragment, Header, NotifyType, PayloadType, vendor_id};

use super::kit::{
    WINDOW, cookies, has_sa, informationals, needs, numbers, observe, reach, registers, sent, start, words,
};
use crate::Case;
use crate::cases::phase1::{self, followed, issued, three};
use crate::cx::{Cx, Flow, Stop};
use crate::scene::GmScene;
use crate::setup::GmSetup;

pub(crate) const CASES: &[Case] = &[
    case! {
        "IFRAGG-001", "gdoi.fragmentation", Should, Gm,
        title: "message 6 in fragments is understood, in any order",
        purpose: "Certificates do not fit into one datagram, and fragments overtake each other.",
        requirements: ["IKE-FRAG-003"],
        sources: ["MS-IKEE §3.3"],
        catches: ["ike_fragment_order_matters"],
        cost: 20,
        run: any_order,
    },
    case! {
        "IFRAGG-002", "gdoi.fragmentation", Must, Gm,
        title: "a member fragments only towards a server that has announced it",
        purpose: "A server that does not know the payload sees a message 5 that it cannot read, and the member never registers.",
        requirements: ["IKE-FRAG-002"],
        sources: ["MS-IKEE §3.3"],
        catches: ["ike_fragments_without_vendor_id"],
        needs: [Setup],
        cost: 10,
        run: only_when_announced,
    },
    case! {
        "IFRAGG-003", "gdoi.fragmentation", Must, Gm,
        title: "a fragment that is not alone in its message or has no place in the order is dropped",
        purpose: "Fragments are not authenticated; what does not fit exactly was not sent by the server.",
        requirements: ["IKE-FRAG-004"],
        sources: ["MS-IKEE §2.2.3.1"],
        catches: ["ike_fragment_zero_accepted"],
        cost: 20,
        run: malformed,
    },
    case! {
        "IFRAGG-004", "gdoi.fragmentation", Must, Gm,
        title: "a set that contradicts itself is discarded, and a clean one is understood afterwards",
        purpose: "With two ends there are two messages in one set, and the attacker chooses which is read.",
        requirements: ["IKE-FRAG-005"],
        sources: ["MS-IKEE §3.3"],
        catches: ["ike_two_last_fragments_accepted"],
        cost: 20,
        run: contradictions,
    },
    case! {
        "IFRAGG-005", "gdoi.fragmentation", Must, Gm,
        title: "an incomplete set is forgotten",
        purpose: "What is kept for ever is completed by a stranger one day, and fills the memory until then.",
        requirements: ["IKE-FRAG-008"],
        sources: ["MS-IKEE §3.3"],
        catches: ["ike_fragments_kept"],
        cost: 130,
        run: forgotten,
    },
    case! {
        "IFRAGG-006", "gdoi.fragmentation", Should, Gm,
        title: "the message inside of fragments must belong to the same exchange",
        purpose: "Otherwise fragments carry a message past the checks of its header.",
        requirements: ["IKE-FRAG-009"],
        sources: ["MS-IKEE §3.3"],
        catches: ["ike_fragment_inner_unchecked"],
        run: |cx| refused(cx, "fragment.inner-cookies-checked", &["IKE-FRAG-009"], |message| {
            let mut inner = message.to_vec();
            octets::set_responder_cookie(&mut inner, [4; 8]);
            let mut pieces = three(&inner);
            let cookie = Header::decode(message).map_or([0; 8], |header| header.responder_cookie);
            pieces.iter_mut().for_each(|piece| octets::set_responder_cookie(piece, cookie));
            pieces
        }),
    },
    case! {
        "IFRAGG-007", "gdoi.fragmentation", Should, Gm,
        title: "fragments inside of fragments are refused",
        purpose: "Each level costs the member more than it costs the sender.",
        requirements: ["IKE-FRAG-010"],
        sources: ["MS-IKEE §3.3"],
        catches: ["ike_nested_fragments_accepted"],
        run: |cx| refused(cx, "fragment.nested-refused", &["IKE-FRAG-010"], |message| {
            let once = ike_fragments(message, 1, message.len());
            once.iter().flat_map(|piece| ike_fragments(piece, 2, piece.len())).collect()
        }),
    },
    case! {
        "IFRAGG-008", "gdoi.fragmentation", Should, Gm,
        title: "a forged fragment does not keep the whole message out",
        purpose: "Fragments are not authenticated. If a forged one counted more than the message itself, one datagram of a stranger \
                  would end every registration.",
        requirements: ["IKE-FRAG-011", "IKE-FRAG-007"],
        sources: ["MS-IKEE §3.3"],
        catches: ["ike_fragment_poisons"],
        cost: 20,
        run: forged,
    },
];

/// Starts a member against a server that knows fragments, and holds message 6 back. Gives it as it would have been sent.
fn fragmenting(cx: &mut Cx<'_>) -> Flow<(GmScene, Seen, Vec<u8>)> {
    let announced = [vendor_id::FRAGMENTATION.as_slice(), &0xc000_0000_u32.to_be_bytes()].concat();
    let mut scene = start(cx, |_| {}, |script| script.vendor_ids.push(announced))?;
    scene.ks.reply(Step::Main6, Reply::Silent);
    let request = reach(cx, &mut scene.ks, Step::Main5)?;
    needs(cx, &scene, &vendor_id::FRAGMENTATION, "gm.ike-fragmentation")?;
    let built = scene.ks.built(Step::Main6, request.header.initiator_cookie);
    let (_, message) = cx.have(built, format!("message 5 cannot be answered: {:?}", request.flaw))?;
    Ok((scene, request, message))
}

/// Sends pieces in order; tells whether the member went on with a PULL, and what came.
fn went_on<'p>(
    cx: &mut Cx<'_>,
    scene: &mut GmScene,
    request: &Seen,
    pieces: impl IntoIterator<Item = &'p Vec<u8>>,
) -> (bool, String) {
    let before = scene.ks.log.entries.len();
    for piece in pieces {
        cx.world.send(Datagram::new(request.datagram.dst, request.datagram.src, piece.clone()));
    }
    scene.ks.serve_for(cx.world, WINDOW);
    let came: Vec<Seen> = scene.ks.log.entries.iter().skip(before).cloned().collect();
    (came.iter().any(|seen| seen.step == Step::Pull1 && cookies(seen) == cookies(request)), words(&came))
}

fn any_order(cx: &mut Cx<'_>) -> Flow {
    for (what, order) in [("in order", [0, 1, 2]), ("backwards", [2, 1, 0]), ("the middle last", [0, 2, 1])] {
        let (mut scene, request, message) = fragmenting(cx)?;
        let pieces = three(&message);
        let (served, came) = went_on(cx, &mut scene, &request, order.iter().filter_map(|at| pieces.get(*at)));
        cx.check("fragment.any-order", &["IKE-FRAG-003"], served, "a PULL", format!("{what}: {came}"));
        registers(cx, &["IKE-FRAG-003"], what, &mut scene)?;
    }
    Ok(())
}

fn only_when_announced(cx: &mut Cx<'_>) -> Flow {
    let name = "aes128-sha256-modp2048-rsa";
    let suite = cx.have(Suite::from_name(name), "the suite has no such name")?;
    let mut authority = issued(Authority::trusted(cx.world))?;
    let mut setup = GmSetup::standard(cx.world);
    setup.phase1.proposals = vec![name.to_owned()];
    setup.phase1.credentials = Some(phase1::credentials(cx, &mut authority, suite.auth)?);
    let mut script = KsScript::new(cx.world, 0);
    script.suites = vec![suite];
    script.credentials = issued(authority.tester(suite.auth, cx.tester(0).ip()))?;
    let mut scene = GmScene::start(cx, setup, script)?;
    // Message 5 carries a certificate and fits no 576 octets; copies of it are where some members begin to fragment.
    scene.ks.reply(Step::Main6, Reply::IgnoreFirst(2));
    let outcome = observe(cx, &mut scene)?.map_or_else(|fault| fault.to_string(), |()| "registered".to_owned());
    let fragment = |seen: &&Seen| seen.header.next == PayloadType::FRAGMENT || seen.fragments > 0;
    let count = scene.ks.log.entries.iter().filter(fragment).count();
    cx.check(
        "fragment.only-when-announced",
        &["IKE-FRAG-002"],
        count == 0,
        "no fragment",
        format!("{count} fragments, {outcome}"),
    );
    Ok(())
}

fn malformed(cx: &mut Cx<'_>) -> Flow {
    type Bend = fn(&[u8], &Fragment) -> Vec<u8>;
    let bends: [(&str, Bend); 3] = [
        ("followed by another payload", followed),
        ("number 0", |message, fragment| ike_fragment(message, &Fragment { number: 0, ..fragment.clone() })),
        ("length beyond the datagram", |message, fragment| {
            let mut octets = ike_fragment(message, fragment);
            octets::put(&mut octets, Header::LEN + 2, &[0xff, 0xff]);
            octets
        }),
    ];
    for (what, bend) in bends {
        let (mut scene, request, message) = fragmenting(cx)?;
        let third = message.len().div_ceil(3);
        let mut pieces = three(&message);
        let data = message.get(third..2 * third).unwrap_or_default().to_vec();
        if let Some(middle) = pieces.get_mut(1) {
            *middle = bend(&message, &Fragment { id: 1, number: 2, flags: 0, data });
        }
        let (served, came) = went_on(cx, &mut scene, &request, &pieces);
        cx.silence("fragment.malformed-dropped", &["IKE-FRAG-004"], !served, "no PULL", format!("{what}: {came}"));
        if !served {
            registers(cx, &["IKE-FRAG-004"], what, &mut scene)?;
        }
    }
    Ok(())
}

fn contradictions(cx: &mut Cx<'_>) -> Flow {
    for (what, flags) in [("two ends", Fragment::LAST), ("a number beyond the end", 0)] {
        let (mut scene, request, message) = fragmenting(cx)?;
        let pieces = three(&message);
        let fourth = ike_fragment(&message, &Fragment { id: 1, number: 4, flags, data: vec![0; 16] });
        // The contradiction is complete before the rest arrives, so only a receiver that overlooks it goes on.
        let (first, second) = if flags == 0 { (pieces.get(2), Some(&fourth)) } else { (Some(&fourth), pieces.get(2)) };
        let sent = [first, second, pieces.first(), pieces.get(1)].into_iter().flatten();
        let (served, came) = went_on(cx, &mut scene, &request, sent);
        cx.silence(
            "fragment.contradiction-discarded",
            &["IKE-FRAG-005"],
            !served,
            "no PULL",
            format!("{what}: {came}"),
        );
        if served {
            continue;
        }
        let clean = ike_fragments(&message, 2, message.len().div_ceil(3));
        let (served, came) = went_on(cx, &mut scene, &request, &clean);
        let observed = format!("a clean set after {what}: {came}");
        cx.check("fragment.clean-set-served", &["IKE-FRAG-005"], served, "a PULL", observed);
        registers(cx, &["IKE-FRAG-005"], what, &mut scene)?;
    }
    Ok(())
}

fn forgotten(cx: &mut Cx<'_>) -> Flow {
    let (mut scene, request, message) = fragmenting(cx)?;
    // Under the SA, because an exchange does not live that long.
    let (served, came) = went_on(cx, &mut scene, &request, &three(&message));
    cx.require(served, format!("message 6 in fragments is not understood at all: {came}"))?;
    needs(cx, &scene, &vendor_id::DPD[..14], "gm.dpd")?;
    if scene.ks.sa().is_none() {
        return Err(Stop::NotSupported("gm.keeps-phase-1".to_owned(), "false".to_owned()));
    }
    let query = sent(scene.ks.compose_r_u_there(1))?;
    let pieces = three(&query);
    went_on(cx, &mut scene, &request, &pieces);
    let acked = |ks: &hallmark_probe::ProbeKs| numbers(ks.log.entries.iter(), NotifyType::R_U_THERE_ACK);
    cx.require(acked(&scene.ks).contains(&1), "a query in fragments is not understood")?;
    let pieces = three(&sent(scene.ks.compose_r_u_there(2))?);
    went_on(cx, &mut scene, &request, pieces.iter().take(2));
    scene.ks.serve_for(cx.world, Duration::from_secs(92));
    went_on(cx, &mut scene, &request, pieces.get(2));
    let taken = acked(&scene.ks).contains(&2);
    cx.silence("fragment.set-forgotten", &["IKE-FRAG-008"], !taken, "no R-U-THERE-ACK", format!("answered: {taken}"));
    let there = has_sa(cx, &mut scene.ks, 3)?;
    cx.require(there, "a whole query is not answered")?;
    informationals(cx, &mut scene.ks, WINDOW);
    scene.finish(cx)
}

/// Sends message 6 in an enveloping that must not be opened.
fn refused(cx: &mut Cx<'_>, check: &str, requirements: &[&str], envelop: fn(&[u8]) -> Vec<Vec<u8>>) -> Flow {
    let (mut scene, request, message) = fragmenting(cx)?;
    let (served, came) = went_on(cx, &mut scene, &request, &envelop(&message));
    cx.silence(check, requirements, !served, "no PULL", came);
    if served {
        return Ok(());
    }
    registers(cx, requirements, "after these fragments", &mut scene)
}

fn forged(cx: &mut Cx<'_>) -> Flow {
    type Forge = fn(&[u8]) -> Vec<Vec<u8>>;
    let forgeries: [(&str, Forge); 3] = [
        ("one forged fragment", |message| {
            vec![ike_fragment(message, &Fragment { id: 9, number: 1, flags: 0, data: vec![0xee; 40] })]
        }),
        ("a whole set of garbage", |message| {
            vec![ike_fragment(message, &Fragment { id: 9, number: 1, flags: Fragment::LAST, data: vec![0xee; 80] })]
        }),
        ("255 fragments", |message| {
            let piece = |number| ike_fragment(message, &Fragment { id: 9, number, flags: 0, data: vec![0xee; 200] });
            (1..=255).map(piece).collect()
        }),
    ];
    for (what, forge) in forgeries {
        let (mut scene, request, message) = fragmenting(cx)?;
        let forged = forge(&message);
        let (_, came) = went_on(cx, &mut scene, &request, &forged);
        let (mut served, _) = went_on(cx, &mut scene, &request, [&message]);
        if !served {
            // One copy of the message may be lost to the forgery; the second must not be.
            served = went_on(cx, &mut scene, &request, [&message]).0;
        }
        let requirements = ["IKE-FRAG-011", "IKE-FRAG-007"];
        cx.check(
            "fragment.whole-message-wins",
            &requirements,
            served,
            "a PULL after message 6",
            format!("{what}: {came}"),
        );
        if served {
            registers(cx, &requirements, what, &mut scene)?;
        }
    }
    Ok(())
}
