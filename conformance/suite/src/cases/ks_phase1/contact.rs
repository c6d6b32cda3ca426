//! INITIAL-CONTACT: what a member that has lost its state may make the server forget.

use hallmark_core::Duration;
use hallmark_probe::certs::fqdn;
use hallmark_probe::edit;
use hallmark_probe::gm::ProbeGm;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::isakmp::PayloadType;

use super::kit::{lead_to, sa_lives, sent};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;
use crate::setup::{KsSetup, ip_identity};

pub(crate) const CASES: &[Case] = &[
    case! {
        "INFOK-013", "gdoi.informational", Must, Ks,
        title: "first contact of one member leaves the others behind the same address alone",
        purpose: "Behind a NAT many members share one address. A server that forgets by address throws all of them out \
                  whenever one of them starts.",
        requirements: ["IKE-INF-015"],
        sources: ["RFC 3947 §6"],
        catches: ["ike_initial_contact_by_address"],
        needs: [Setup],
        run: shared_address,
    },
    case! {
        "INFOK-014", "gdoi.informational", Should, Ks,
        title: "first contact counts only after the proof beside it was verified",
        purpose: "Otherwise a failed login under the name of a member is enough to throw that member out.",
        requirements: ["IKE-INF-016"],
        sources: ["RFC 2407 §4.6.3"],
        catches: ["ike_initial_contact_early"],
        run: unproven,
    },
];

fn shared_address(cx: &mut Cx<'_>) -> Flow {
    let names = ["gm-a.hallmark.example", "gm-b.hallmark.example"];
    let mut setup = KsSetup::standard(cx.world);
    if let Some(peer) = setup.peers.first_mut() {
        peer.identities = names.iter().map(|name| format!("fqdn:{name}")).collect();
        peer.identities.push(ip_identity(cx.tester(11).ip()));
    }
    let scene = KsScene::start(cx, setup)?;
    let mut members: Vec<ProbeGm> = Vec::new();
    for (name, port) in names.into_iter().zip([40_001, 40_002]) {
        let mut member = scene.member(cx, 1);
        member.script.me.set_port(port);
        member.script.credentials.identity = Some(fqdn(name));
        member.script.initial_contact = true;
        cx.world.listen(member.script.me)?;
        sent(member.phase1(cx.world))?;
        cx.alive_before("phase 1 completed");
        members.push(member);
    }
    for (mut member, name) in members.into_iter().zip(["the first", "the second"]) {
        let what = format!("{name} member behind the address");
        sa_lives(cx, &mut member, "contact.by-identity-only", &["IKE-INF-015"], false, &what);
    }
    scene.finish(cx)
}

fn unproven(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 1)?;
    let before = member.pull(cx.world);
    cx.require(before.is_ok(), "no PULL under the SA before the probe")?;
    let mut forger = scene.member(cx, 1);
    lead_to(cx, &mut forger, Step::Main5)?;
    forger.tamper(Step::Main5, Tamper::sealed(|m| edit::flip_bit(m, PayloadType::HASH, 0, 0)));
    sent(forger.send_main5(cx.world))?;
    forger.collect(cx.world, Duration::from_secs(2));
    let what = "after INITIAL-CONTACT beside a wrong HASH";
    sa_lives(cx, &mut member, "contact.after-proof-only", &["IKE-INF-016"], true, what);
    scene.finish(cx)
}
