//! Messages that do not fit one frame.

use std::cell::RefCell;
use std::rc::Rc;

use hallmark_core::{Datagram, Duration};
use hallmark_probe::fragment::{IpPieces, ike_fragments};
use hallmark_probe::gm::ProbeGm;
use hallmark_probe::step::{Fault, Step};
use hallmark_probe::tamper::Tamper;
use hallmark_probe::world::Unavailable;
use hallmark_wire::isakmp::{PayloadType, vendor_id};

use super::kit::{pull, sent};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::KsScene;
use crate::setup::KsSetup;

pub(crate) const CASES: &[Case] = &[
    case! {
        "FRAG-009", "gdoi.fragmentation", Must, Ks,
        title: "a policy larger than a frame arrives whole",
        purpose: "A hundred access list entries make a message 2 of several kilobytes; it must come in fragments that the member can put together, or not at all.",
        requirements: ["FRAG-009", "IKE-FRAG-002", "GDOI-PULL-035"],
        sources: ["RFC 791 §3.2", "RFC 6407 §5.5"],
        catches: ["ks_policy_truncated", "ike_fragments_without_vendor_id"],
        needs: [Setup],
        cost: 20,
        run: large_policy,
    },
    case! {
        "FRAG-013", "gdoi.fragmentation", Must, Ks,
        title: "requests that come in fragments are served",
        purpose: "Members behind tunnels send their messages in pieces, and the pieces need not arrive in order.",
        requirements: ["FRAG-013", "IKE-FRAG-003"],
        sources: ["RFC 791 §3.2"],
        catches: ["ike_fragment_order_matters"],
        cost: 30,
        run: fragmented_requests,
    },
    case! {
        "POLICY-013", "gdoi.robustness", Should, Ks,
        title: "more access list entries than supported are refused or left out cleanly",
        purpose: "An operator who adds the hundred-and-first entry must get an error or a working group, never half an entry.",
        requirements: ["POLICY-013"],
        sources: ["RFC 6407 §5.5"],
        catches: ["ks_policy_truncated"],
        needs: [Setup],
        cost: 20,
        run: many_entries,
    },
];

/// Entries that a policy of every product can have.
const ENTRIES: usize = 100;

fn large_policy(cx: &mut Cx<'_>) -> Flow {
    let mut setup = KsSetup::standard(cx.world);
    let tek = setup.tek().clone().with_aces(ENTRIES);
    *setup.tek() = tek;
    let scene = KsScene::start(cx, setup)?;
    for (what, fragmentation) in [("a member that takes no IKE fragments", false), ("a member that takes them", true)] {
        let mut member = scene.member(cx, u8::from(fragmentation));
        if fragmentation {
            member.script.vendor_ids.push(vendor_id::FRAGMENTATION.to_vec());
        }
        let established = member.phase1(cx.world).map(drop);
        established.map_err(|fault| Stop::Inconclusive(format!("phase 1 before the probe: {fault}")))?;
        cx.alive_before("phase 1 completed");
        let pulled = pull(cx, &mut member);
        let size = pulled.m2.as_ref().map_or(0, |m2| m2.datagram.payload.len());
        let sats = pulled.result.as_ref().map_or(0, |registration| registration.policy.teks().count());
        let observed = format!("{what}: {sats} SATs in a message 2 of {size} octets; {}", pulled.words());
        const RULES: &[&str] = &["FRAG-009", "GDOI-PULL-035"];
        cx.check("pull.large-policy", RULES, sats == ENTRIES, "100 SATs and their keys", observed);
        if !fragmentation {
            // A server may cut only what it sends again: message 2 of a PULL that does not go on.
            sent(member.send_pull1(cx.world))?;
            drop(member.collect(cx.world, Duration::from_secs(6)));
            member.resend(cx.world, Step::Pull1);
            drop(member.collect(cx.world, Duration::from_secs(2)));
            let pieces = member
                .log
                .iter()
                .filter(|seen| seen.header.next == PayloadType::FRAGMENT || seen.fragments > 0)
                .count();
            let observed = format!("{pieces} IKE fragments");
            cx.check("pull.no-unasked-fragments", &["IKE-FRAG-002"], pieces == 0, "no IKE fragments", observed);
        }
    }
    scene.finish(cx)
}

fn fragmented_requests(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.register(cx, 0)?);
    ip_fragments(cx, &scene)?;
    ike_pieces(cx, &scene)?;
    scene.finish(cx)
}

/// Sends message 1 and 3 of a PULL in IP fragments, in order and reversed.
fn ip_fragments(cx: &mut Cx<'_>, scene: &KsScene) -> Flow {
    let mut member = scene.phase1(cx, 1)?;
    member.script.nonce_len = 128;
    for (what, reversed) in [("IP fragments in order", false), ("IP fragments, last one first", true)] {
        match by_ip(cx, &mut member, reversed) {
            Ok(result) => {
                let observed =
                    result.map_or_else(|fault| format!("{what}: {fault}"), |()| format!("{what}: completed"));
                let done = observed.ends_with("completed");
                cx.check("pull.ip-fragments", &["FRAG-013"], done, "the PULL completes", observed);
            }
            // What follows does not need raw packets.
            Err(Unavailable::NotHere(why)) => cx.world.note(&format!("no IP fragments here: {why}")),
            Err(Unavailable::Failed(why)) => return Err(Stop::Inconclusive(why)),
        }
    }
    Ok(())
}

fn by_ip(cx: &mut Cx<'_>, member: &mut ProbeGm, reversed: bool) -> Result<Result<(), Fault>, Unavailable> {
    let first = match withheld(cx, member, Step::Pull1) {
        Ok(octets) => octets,
        Err(fault) => return Ok(Err(fault)),
    };
    send_in_pieces(cx, member, first, reversed)?;
    if let Err(fault) = member.receive_pull2(cx.world) {
        return Ok(Err(fault));
    }
    let third = match withheld(cx, member, Step::Pull3) {
        Ok(octets) => octets,
        Err(fault) => return Ok(Err(fault)),
    };
    send_in_pieces(cx, member, third, reversed)?;
    Ok(member.receive_pull4(cx.world).map(drop))
}

/// Builds a message without sending it: an empty datagram leaves in its place.
fn withheld(cx: &mut Cx<'_>, member: &mut ProbeGm, step: Step) -> Result<Vec<u8>, Fault> {
    let kept = Rc::new(RefCell::new(Vec::new()));
    let keep = Rc::clone(&kept);
    member.tamper(step, Tamper::wire(move |octets| *keep.borrow_mut() = std::mem::take(octets)));
    match step {
        Step::Pull1 => member.send_pull1(cx.world).map(drop)?,
        _ => member.send_pull3(cx.world)?,
    }
    member.untamper();
    Ok(kept.take())
}

fn send_in_pieces(cx: &mut Cx<'_>, member: &ProbeGm, octets: Vec<u8>, reversed: bool) -> Result<(), Unavailable> {
    let ident = u16::try_from(cx.world.rng().next_u32() & 0xffff).unwrap_or(1);
    // Two pieces: the first has to hold more than the UDP header.
    let middle = (8 + octets.len()) / 2 / 8 * 8;
    let datagram = Datagram::new(member.script.me, member.script.ks, octets);
    let mut pieces = IpPieces::cut_at(&datagram, ident, &[middle]);
    if reversed {
        pieces.reverse();
    }
    pieces.send(cx.world, Duration::ZERO)
}

/// Sends message 1 and 3 of a PULL in IKE fragments, if the server offered to take them.
fn ike_pieces(cx: &mut Cx<'_>, scene: &KsScene) -> Flow {
    let mut member = scene.member(cx, 2);
    member.script.vendor_ids.push(vendor_id::FRAGMENTATION.to_vec());
    member.script.nonce_len = 128;
    let established = member.phase1(cx.world).map(drop);
    established.map_err(|fault| Stop::Inconclusive(format!("phase 1 with fragmentation: {fault}")))?;
    let offered =
        member.seen(Step::Main2).any(|seen| seen.vendor_ids().iter().any(|id| vendor_id::offers_fragmentation(id)));
    if !offered {
        cx.world.note("the server does not offer IKE fragmentation");
        return Ok(());
    }
    for (id, what, reversed) in [(1, "IKE fragments in order", false), (2, "IKE fragments, last one first", true)] {
        let result = by_ike(cx, &mut member, id * 2, reversed);
        let observed =
            result.as_ref().map_or_else(|fault| format!("{what}: {fault}"), |()| format!("{what}: completed"));
        const RULES: &[&str] = &["FRAG-013", "IKE-FRAG-003"];
        cx.check("pull.ike-fragments", RULES, result.is_ok(), "the PULL completes", observed);
    }
    Ok(())
}

fn by_ike(cx: &mut Cx<'_>, member: &mut ProbeGm, id: u16, reversed: bool) -> Result<(), Fault> {
    const PIECE: usize = 100;
    for (step, id) in [(Step::Pull1, id), (Step::Pull3, id + 1)] {
        let mut pieces = ike_fragments(&withheld(cx, member, step)?, id, PIECE);
        if reversed {
            pieces.reverse();
        }
        for piece in pieces {
            member.send_raw(cx.world, piece);
        }
        match step {
            Step::Pull1 => drop(member.receive_pull2(cx.world)?),
            _ => drop(member.receive_pull4(cx.world)?),
        }
    }
    Ok(())
}

fn many_entries(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.register(cx, 0)?);
    for entries in [ENTRIES, ENTRIES + 1] {
        let mut setup = KsSetup::standard(cx.world);
        let tek = setup.tek().clone().with_aces(entries);
        *setup.tek() = tek;
        let scene = match KsScene::start(cx, setup) {
            Ok(scene) => scene,
            Err(Stop::Inconclusive(why)) if entries > ENTRIES => {
                let observed = format!("{entries} entries were refused: {why}");
                cx.check(
                    "policy.too-many-entries",
                    &["POLICY-013"],
                    true,
                    "refused, or served without garbage",
                    observed,
                );
                continue;
            }
            Err(stop) => return Err(stop),
        };
        let mut member = scene.member(cx, 1);
        let registered = member.register(cx.world);
        let sats = registered.as_ref().map_or(0, |registration| registration.policy.teks().count());
        // What does not decode, or has no key, makes the registration fail.
        let clean = registered.is_ok() && (sats == entries || (entries > ENTRIES && sats == ENTRIES));
        let observed = match registered {
            Ok(_) => format!("{sats} of {entries} entries"),
            Err(fault) => format!("{entries} entries: {fault}"),
        };
        cx.check("policy.too-many-entries", &["POLICY-013"], clean, "refused, or served without garbage", observed);
    }
    let scene = KsScene::standard(cx)?;
    scene.finish(cx)
}
