//! Message 3: proofs that must not be taken, and requests for sender ids that make no sense.

use hallmark_probe::edit;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::gdoi::gap_attr;
use hallmark_wire::isakmp::{Attribute, Attributes, PayloadType};

use super::kit::{
    Judged, WINDOW, Wrong, complete, counter_mode, open, pull, refuse_proofs, sent, served, survives, words,
};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;
use crate::setup::KsSetup;

pub(crate) const CASES: &[Case] = &[
    case! {
        "PULLK-050", "gdoi.pull", Must, Ks,
        title: "message 3 with a wrong HASH(3) gets no keys",
        purpose: "HASH(3) is the proof that the member is alive and holds the SA; without it anyone who replays a message 1 gets an answer with keys.",
        requirements: ["GDOI-PULL-031", "GDOI-NEG-034", "GDOI-NEG-035", "GDOI-NEG-037", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.2", "RFC 6407 §3.4"],
        catches: ["ks_hash3_unchecked", "ks_hash3_leading_zero", "ks_hash3_skips_gap"],
        needs: [Setup],
        cost: 40,
        run: wrong_proofs,
    },
    case! {
        "PULLK-051", "gdoi.pull", Should, Ks,
        title: "the right message 3 after a wrong one is answered or the exchange is dead",
        purpose: "A forged message 3 may cost the exchange at most; it must leave nothing behind.",
        requirements: ["GDOI-NEG-036", "GDOI-NEG-035", "GDOI-PULL-069"],
        sources: ["RFC 6407 §7.2.4"],
        catches: ["ks_hash3_unchecked", "ks_bad_hash_drops_phase1"],
        needs: [Setup],
        cost: 15,
        run: right_after_wrong,
    },
    case! {
        "PULLK-052", "gdoi.pull", Must, Ks,
        title: "an unknown attribute in the GAP of message 3 aborts",
        purpose: "The member asks for something that the server does not know; going on would promise it.",
        requirements: ["GDOI-PL-039", "GDOI-NEG-041", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.4"],
        catches: ["ks_unknown_gap_ignored"],
        needs: [Setup],
        cost: 20,
        run: unknown_gap_attributes,
    },
    case! {
        "PULLK-053", "gdoi.pull", Should, Ks,
        title: "a malformed GAP in message 3 aborts",
        purpose: "A request in another form, given twice or cut off is no request that two vendors read alike.",
        requirements: ["GDOI-NEG-042", "GDOI-NEG-043", "GDOI-NEG-044", "GDOI-NEG-048", "GDOI-PULL-069"],
        sources: ["RFC 2408 §3.3", "RFC 6407 §5.4"],
        catches: ["ks_gap_form_ignored"],
        needs: [Setup],
        cost: 40,
        run: malformed_gaps,
    },
    case! {
        "PULLK-054", "gdoi.robustness", Should, Ks,
        title: "odd but well-formed requests in message 3 do no harm",
        purpose: "Members of several vendors ask for none, ask where there is nothing to ask for, or send delays of their own.",
        requirements: ["GDOI-NEG-045", "GDOI-NEG-047", "GDOI-NEG-049", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.5", "RFC 6407 §5.4.1"],
        catches: ["ks_zero_request_kills", "ks_member_delay_adopted"],
        needs: [Setup],
        cost: 20,
        run: odd_requests,
    },
];

/// Starts a server whose group uses a counter mode, and registers a member that asks for two sender ids.
fn counting_scene(cx: &mut Cx<'_>) -> Flow<(KsScene, hallmark_probe::ProbeGm)> {
    let mut setup = KsSetup::standard(cx.world);
    counter_mode(&mut setup, 8);
    let scene = KsScene::start(cx, setup)?;
    let (mut member, _) = scene.register(cx, 0)?;
    member.script.sender_ids = Some(2);
    Ok((scene, member))
}

fn wrong_proofs(cx: &mut Cx<'_>) -> Flow {
    let (scene, mut member) = counting_scene(cx)?;
    refuse_proofs(
        cx,
        &scene,
        &mut member,
        ("pull.hash3-checked", &["GDOI-PULL-031"]),
        vec![
            ("first bit of HASH(3) flipped", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::HASH, 0, 7))),
            ("HASH(3) one octet short", Tamper::sealed(|m| edit::body(m, PayloadType::HASH, shorter))),
        ],
    )?;
    refuse_proofs(
        cx,
        &scene,
        &mut member,
        ("pull.hash3-formula", &["GDOI-NEG-034"]),
        vec![("HASH(3) in Quick Mode form", Tamper::hashed(|input| input.prepend(vec![0])))],
    )?;
    refuse_proofs(
        cx,
        &scene,
        &mut member,
        ("pull.hash3-nonce", &["GDOI-NEG-035"]),
        vec![
            ("HASH(3) over another Nr", Tamper::hashed(|input| input.set("nr_b", vec![0x5a; 16]))),
            ("HASH(3) without Nr", Tamper::hashed(|input| input.remove("nr_b"))),
            ("HASH(3) with the nonces exchanged", Tamper::hashed(|input| input.swap("ni_b", "nr_b"))),
        ],
    )?;
    refuse_proofs(
        cx,
        &scene,
        &mut member,
        ("pull.hash3-covers-gap", &["GDOI-NEG-037"]),
        vec![
            ("GAP outside HASH(3)", Tamper::hashed(|input| input.remove("rest"))),
            ("GAP changed behind HASH(3)", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::GAP, 3, 2))),
        ],
    )?;
    scene.finish(cx)
}

fn right_after_wrong(cx: &mut Cx<'_>) -> Flow {
    let (scene, mut member) = counting_scene(cx)?;
    let before = complete(cx, &mut member)?.sids;
    open(cx, &mut member)?;
    member.tamper(Step::Pull3, Tamper::hashed(|input| input.set("nr_b", vec![0x5a; 16])));
    sent(member.send_pull3(cx.world))?;
    let seen = member.collect(cx.world, WINDOW);
    cx.silence("pull.bad-proof-ignored", &["GDOI-NEG-035"], !served(&seen), "no message 4", words(&seen));
    member.untamper();
    sent(member.send_pull3(cx.world))?;
    let (used, observed, clean) = match member.receive_pull4(cx.world) {
        Ok(registration) => (registration.sids.len(), "answered".to_owned(), true),
        Err(fault) => (0, fault.to_string(), fault.refused_at(Step::Pull4)),
    };
    cx.check("pull.right-proof-after", &["GDOI-NEG-036"], clean, "message 4, or the exchange is dead", observed);
    survives(cx, &scene, &mut member, "a wrong message 3")?;
    // Two for the PULL that survived, and none for the bad proof: the next ones say how many were used.
    let after = complete(cx, &mut member)?.sids;
    let first = |sids: &[u64]| sids.first().copied().unwrap_or_default();
    let moved = first(&after).saturating_sub(first(&before));
    let wanted = 2 + 2 + used as u64;
    let observed = format!("{moved} sender ids later");
    cx.check("pull.bad-proof-uses-none", &["GDOI-NEG-035"], moved == wanted, &format!("{wanted} later"), observed);
    scene.finish(cx)
}

/// Refuses message 3 with each of these bodies of the GAP payload.
fn refuse_gaps(
    cx: &mut Cx<'_>,
    scene: &KsScene,
    member: &mut hallmark_probe::ProbeGm,
    judged: Judged<'_>,
    bodies: Vec<(&'static str, Vec<u8>)>,
) -> Flow {
    let tampered = |(what, body): (&'static str, Vec<u8>)| -> Wrong {
        (what, Tamper::content(move |m| edit::set_body(m, PayloadType::GAP, body.clone())))
    };
    refuse_proofs(cx, scene, member, judged, bodies.into_iter().map(tampered).collect())
}

fn unknown_gap_attributes(cx: &mut Cx<'_>) -> Flow {
    let (scene, mut member) = counting_scene(cx)?;
    let with = |class: u16| {
        let request = Attribute::basic(gap_attr::SENDER_ID_REQUEST, 1);
        Attributes(vec![request, Attribute::basic(class, 1)]).encode()
    };
    const RULES: &[&str] = &["GDOI-PL-039", "GDOI-NEG-041"];
    refuse_gaps(
        cx,
        &scene,
        &mut member,
        ("pull.unknown-gap-attribute", RULES),
        vec![("GAP class 100", with(100)), ("GAP class 200", with(200)), ("GAP class 300", with(300))],
    )?;
    scene.finish(cx)
}

fn malformed_gaps(cx: &mut Cx<'_>) -> Flow {
    let (scene, mut member) = counting_scene(cx)?;
    refuse_gaps(
        cx,
        &scene,
        &mut member,
        ("pull.gap-truncated", &["GDOI-NEG-042"]),
        vec![
            ("GAP attribute of 2 octets", vec![0x80, 3]),
            ("GAP attribute longer than the payload", vec![0, 3, 0, 200, 0, 1]),
        ],
    )?;
    let long = Attributes(vec![Attribute::u32(gap_attr::SENDER_ID_REQUEST, 2)]).encode();
    let judged: Judged<'_> = ("pull.gap-request-form", &["GDOI-NEG-043"]);
    refuse_gaps(cx, &scene, &mut member, judged, vec![("SENDER_ID_REQUEST of 4 octets", long)])?;
    refuse_proofs(
        cx,
        &scene,
        &mut member,
        ("pull.two-gaps", &["GDOI-NEG-048"]),
        vec![("two GAP payloads", Tamper::content(|m| edit::duplicate(m, PayloadType::GAP)))],
    )?;
    // Given twice: refused, or one of the two numbers; never both together.
    open(cx, &mut member)?;
    let twice = Attribute::basic(gap_attr::SENDER_ID_REQUEST, 2);
    let body = Attributes(vec![twice.clone(), twice]).encode();
    member.tamper(Step::Pull3, Tamper::content(move |m| edit::set_body(m, PayloadType::GAP, body.clone())));
    sent(member.send_pull3(cx.world))?;
    let result = member.receive_pull4(cx.world);
    let right = result.as_ref().map_or(true, |registration| registration.sids.len() == 2);
    let observed =
        result.map_or_else(|fault| fault.to_string(), |registration| format!("{} sender ids", registration.sids.len()));
    cx.check("pull.gap-request-twice", &["GDOI-NEG-044"], right, "refused, or 2 sender ids", observed);
    survives(cx, &scene, &mut member, "SENDER_ID_REQUEST twice")?;
    scene.finish(cx)
}

fn odd_requests(cx: &mut Cx<'_>) -> Flow {
    let (scene, mut member) = counting_scene(cx)?;
    member.script.sender_ids = Some(0);
    let pulled = pull(cx, &mut member);
    let right = match &pulled.result {
        Ok(registration) => registration.sids.len() == 1,
        Err(fault) => fault.refused_at(Step::Pull4),
    };
    let observed = match &pulled.result {
        Ok(registration) => format!("{} sender ids", registration.sids.len()),
        Err(fault) => fault.to_string(),
    };
    cx.check("pull.zero-sender-ids", &["GDOI-NEG-045"], right, "one sender id, or refused", observed);
    member.script.sender_ids = Some(1);
    survives(cx, &scene, &mut member, "a request for no sender id")?;

    // The member's own wishes for delays are no policy of the group.
    let gap =
        |registration: &hallmark_probe::gm::Registration| registration.policy.gap().map(|gap| gap.attributes.clone());
    let before = gap(&complete(cx, &mut member)?);
    for class in [gap_attr::ACTIVATION_TIME_DELAY, gap_attr::DEACTIVATION_TIME_DELAY] {
        let body = Attributes(vec![Attribute::basic(class, 7)]).encode();
        member.tamper(Step::Pull3, Tamper::content(move |m| edit::set_body(m, PayloadType::GAP, body.clone())));
        let answered = pull(cx, &mut member).words();
        member.untamper();
        let after = gap(&complete(cx, &mut member)?);
        let observed = format!("class {class} ({answered}): {before:?}, then {after:?}");
        cx.grave(
            "pull.member-delay-ignored",
            &["GDOI-NEG-049"],
            before == after,
            "the policy of the group stays",
            observed,
        );
    }

    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 0)?;
    member.script.sender_ids = Some(4);
    let pulled = pull(cx, &mut member);
    let completed = pulled.result.is_ok();
    let observed = pulled.words();
    cx.check("pull.needless-request", &["GDOI-NEG-047"], completed, "the PULL completes", observed);
    scene.finish(cx)
}

fn shorter(octets: &mut Vec<u8>) {
    octets.pop();
}
