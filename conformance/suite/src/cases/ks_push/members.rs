//! Who stays a member, who goes, and what the others then get.

use hallmark_wire::gdoi::{gap_attr, kd_type, lkh_key, tek_attr};

use super::kit::{SOON, member, pushes_for, quick};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::KsScene;
use crate::setup::{GROUP, KsSetup, ip_identity};

pub(crate) const CASES: &[Case] = &[
    case! {
        "REKEY-008", "gdoi.push", Should, Ks,
        title: "one missed rekey with all its copies does not end a membership",
        purpose: "A minute without network must not throw a branch out of the group.",
        requirements: ["REKEY-008", "GDOI-ACK-031"],
        sources: ["getvpn.md §3.2"],
        catches: ["gm_removed_on_retransmit"],
        cost: 180,
        run: one_miss_is_forgiven,
    },
    case! {
        "REKEY-009", "gdoi.push", Should, Ks,
        title: "three missed rekeys in a row end a membership",
        purpose: "A server that never forgets sends copies to the dead for ever, and the living wait behind them.",
        requirements: ["REKEY-009"],
        sources: ["getvpn.md §3.2"],
        catches: ["ks_never_removes"],
        cost: 420,
        run: three_misses_remove,
    },
    case! {
        "REKEY-010", "gdoi.push", Should, Ks,
        title: "a member that was removed for silence is welcome again",
        purpose: "Whoever comes back from an outage registers; nothing but that may be needed.",
        requirements: ["REKEY-010"],
        sources: ["getvpn.md §3.2"],
        catches: ["ks_removed_stays_out"],
        cost: 480,
        run: removed_member_returns,
    },
    case! {
        "PUSHK-012", "gdoi.push", Must, Ks,
        title: "excluding a member changes the KEK first and the TEKs under the new KEK",
        purpose: "New TEKs under a KEK that the excluded member holds are new TEKs for the excluded member.",
        requirements: ["GDOI-PUSH-062", "GDOI-PUSH-063"],
        sources: ["RFC 6407 §7.4.1"],
        catches: ["ks_removal_in_one_push", "ks_removal_keeps_kek"],
        needs: [Console],
        cost: 20,
        run: exclusion_in_two_steps,
    },
    case! {
        "LKHK-101", "gdoi.lkh", Must, Ks,
        title: "the update of a key hierarchy serves everyone but the excluded member",
        purpose: "That is what the hierarchy is for: one rekey that all the others can open and the excluded one cannot.",
        requirements: ["GDOI-LKH-017", "GDOI-LKH-005", "GDOI-LKH-012", "GDOI-LKH-014", "GDOI-LKH-015"],
        sources: ["RFC 6407 §5.6.3", "RFC 2627 §5.4"],
        catches: ["ks_lkh_removed_kept", "ks_lkh_download_in_push", "ks_lkh_handle_kept"],
        needs: [Console],
        cost: 30,
        run: hierarchy_excludes,
    },
    case! {
        "POLICY-015", "gdoi.lifetime", Should, Ks,
        title: "an operator's rekey shortens the lives of the replaced TEKs",
        purpose: "A policy change that leaves the old keys an hour to live is a policy change in an hour.",
        requirements: ["POLICY-015"],
        sources: ["getvpn.md §3.9"],
        catches: ["ks_old_teks_not_shortened"],
        needs: [Console],
        cost: 10,
        run: old_teks_are_shortened,
    },
    case! {
        "POLICY-024", "gdoi.push", Should, Ks,
        title: "replacing at once deletes the old TEKs with the same rekey",
        purpose: "The operator asked for now, for a reason such as a stolen device.",
        requirements: ["POLICY-017"],
        sources: ["getvpn.md §3.9"],
        catches: ["ks_replace_now_keeps_old"],
        needs: [Console],
        cost: 10,
        run: replace_now_deletes,
    },
    case! {
        "REKEY-037", "gdoi.seq", Must, Ks,
        title: "the sequence number goes on through a long life of one KEK",
        purpose: "A server that takes over (or restores a snapshot) without the counter repeats numbers, and every member ignores it.",
        requirements: ["GDOI-PUSH-017", "GDOI-PUSH-021"],
        sources: ["RFC 6407 §5.7", "getvpn.md §3.7"],
        catches: ["ks_seq_restart_on_failover"],
        cost: 420,
        run: sequence_goes_on,
    },
    case! {
        "RSA-006", "gdoi.signature", Must, Ks,
        title: "a server with a signing key rekeys",
        purpose: "Without its key pair a server registers members and then falls silent; the group lives from registration to registration.",
        requirements: ["GDOI-PUSH-034", "RSA-006"],
        sources: ["getvpn.md §2.10"],
        catches: ["no_rsa_key"],
        cost: 130,
        run: rekeys_at_all,
    },
];

fn command(cx: &mut Cx<'_>, request: &str) -> Flow {
    let answer = cx.world.command(0, request)?;
    let ok = answer.contains("\"ok\":true") || answer.contains("\"ok\": true");
    if ok { Ok(()) } else { Err(Stop::Inconclusive(format!("the console refused {request}: {answer}"))) }
}

fn one_miss_is_forgiven(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let mut gm = member(cx, &scene, 0)?;
    let _ = scene.push(cx, &mut gm, SOON)?;
    gm.script.auto_ack = false;
    let first = scene.push(cx, &mut gm, SOON)?;
    let deadline = cx.in_secs(SOON);
    let second = gm.await_push(cx.world, deadline);
    cx.check(
        "push.one-miss-forgiven",
        &["REKEY-008", "GDOI-ACK-031"],
        second.is_some(),
        "the next rekey comes too",
        second.map_or_else(
            || "no further rekey".to_owned(),
            |push| format!("rekey {:?} after {:?}", push.seq, first.seq),
        ),
    );
    scene.finish(cx)
}

/// Lets a member that falls silent after its first acknowledgement watch for so long, beside one that does not, and
/// gives how many rekeys reached each after that. (A member that has never acknowledged may be one that cannot, and is
/// not to be taken for gone: RFC 8263 §6.)
fn silent_beside_good(cx: &mut Cx<'_>, scene: &KsScene, secs: u64) -> Flow<(hallmark_probe::ProbeGm, usize, usize)> {
    let mut good = member(cx, scene, 0)?;
    let mut silent = member(cx, scene, 1)?;
    let _ = scene.push(cx, &mut good, SOON)?;
    let _ = scene.push(cx, &mut silent, 5)?;
    silent.script.auto_ack = false;
    let for_good = pushes_for(cx, &mut good, secs).len();
    let for_silent = pushes_for(cx, &mut silent, 0).len();
    Ok((silent, for_good, for_silent))
}

fn three_misses_remove(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let (_, good, silent) = silent_beside_good(cx, &scene, 400)?;
    cx.require(good >= 5, format!("only {good} rekeys came while the case watched"))?;
    cx.check(
        "push.three-misses-remove",
        &["REKEY-009"],
        silent == 3,
        "three rekeys, then none",
        format!("{silent} of {good} rekeys reached the silent member"),
    );
    scene.finish(cx)
}

fn removed_member_returns(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let (mut silent, good, missed) = silent_beside_good(cx, &scene, 400)?;
    cx.require(good > missed, "the silent member was not removed")?;
    let again = silent.register(cx.world);
    let observed = again.as_ref().map_or_else(ToString::to_string, |_| "registered".to_owned());
    let back = again.is_ok();
    silent.script.auto_ack = true;
    let deadline = cx.in_secs(SOON);
    let push = if back { silent.await_push(cx.world, deadline) } else { None };
    cx.check(
        "push.removed-member-returns",
        &["REKEY-010"],
        push.is_some(),
        "it registers and gets the next rekey",
        if back && push.is_none() { "registered, but no rekey came".to_owned() } else { observed },
    );
    scene.finish(cx)
}

/// What became of a group whose third member was excluded.
struct Excluded {
    scene: KsScene,
    members: [hallmark_probe::ProbeGm; 3],
    /// Nodes of the hierarchy that the first member held before, with their handles.
    nodes: Vec<(u16, u32)>,
    /// The rekeys that the first member saw.
    seen: Vec<hallmark_probe::gm::Push>,
}

/// Registers three members of a group and excludes the third.
fn excluded(cx: &mut Cx<'_>, setup: KsSetup) -> Flow<Excluded> {
    let scene = KsScene::start(cx, setup)?;
    let mut first = member(cx, &scene, 0)?;
    let second = member(cx, &scene, 1)?;
    let third = member(cx, &scene, 2)?;
    let array = first.registration.as_ref().and_then(|registration| registration.lkh.as_ref());
    let nodes = array.iter().flat_map(|array| array.keys.iter().map(|key| (key.id, key.handle))).collect();
    let identity = ip_identity(third.script.me.ip());
    command(cx, &format!("{{\"cmd\":\"revoke\",\"group\":{GROUP},\"identity\":\"{identity}\"}}"))?;
    command(cx, &format!("{{\"cmd\":\"remove-member\",\"group\":{GROUP},\"identity\":\"{identity}\"}}"))?;
    let seen = pushes_for(cx, &mut first, 8);
    Ok(Excluded { scene, members: [first, second, third], nodes, seen })
}

fn exclusion_in_two_steps(cx: &mut Cx<'_>) -> Flow {
    let mut setup = KsSetup::standard(cx.world);
    setup.group().lkh = true;
    let Excluded { scene, seen, .. } = excluded(cx, setup)?;
    let first = cx.have(seen.first(), "no rekey followed the exclusion")?;
    let sats = first.sa.as_ref().map_or(0, |sa| sa.teks().count());
    let sak = first.sa.as_ref().and_then(|sa| sa.kek()).map(|sak| sak.spi);
    cx.check(
        "push.exclusion-changes-kek-first",
        &["GDOI-PUSH-062"],
        sats == 0 && sak.is_some(),
        "a SAK and no SAT in the first rekey",
        format!("{sats} SATs, {}", if sak.is_some() { "a SAK" } else { "no SAK" }),
    );
    let second = seen.get(1);
    cx.check(
        "push.teks-under-new-kek",
        &["GDOI-PUSH-063"],
        second.is_some_and(|push| Some(push.kek_spi) == sak && !push.teks.is_empty()),
        "new TEKs under the new KEK",
        second.map_or_else(
            || "no second rekey".to_owned(),
            |push| format!("{} TEKs, {} KEK", push.teks.len(), if Some(push.kek_spi) == sak { "new" } else { "old" }),
        ),
    );
    scene.finish(cx)
}

fn hierarchy_excludes(cx: &mut Cx<'_>) -> Flow {
    let mut setup = KsSetup::standard(cx.world);
    setup.group().lkh = true;
    let Excluded { scene, members: [first, mut second, mut third], nodes, seen } = excluded(cx, setup)?;
    let _ = pushes_for(cx, &mut second, 0);
    let stranger = pushes_for(cx, &mut third, 0);
    let new = seen.first().and_then(|push| push.sa.as_ref()?.kek().map(|sak| sak.spi));
    let new = cx.have(new, "no rekey with a SAK followed the exclusion")?;
    let download = seen
        .iter()
        .flat_map(|push| push.kd.iter())
        .flat_map(|kd| &kd.packets)
        .any(|packet| packet.kd_type == kd_type::LKH && packet.attributes.get(lkh_key::DOWNLOAD).is_some());
    cx.check(
        "push.no-download-array",
        &["GDOI-LKH-005"],
        !download,
        "no LKH_DOWNLOAD_ARRAY",
        if download { "one" } else { "none" },
    );
    let others = [&first, &second].iter().filter(|gm| gm.kek(&new).is_some()).count();
    cx.check(
        "push.update-serves-the-others",
        &["GDOI-LKH-014", "GDOI-LKH-015", "GDOI-LKH-017"],
        others == 2,
        "both other members recover the new KEK",
        format!("{others} of 2"),
    );
    // The excluded member is sent nothing any more; it gets the datagram as anyone on the wire does.
    let opened = seen.first().is_some_and(|push| third.overhear(push).kek.is_some());
    cx.check(
        "push.update-excludes",
        &["GDOI-LKH-017"],
        !opened && stranger.iter().all(|push| push.kek.is_none()),
        "no array that the excluded member can unwrap",
        if opened { "it recovers the new KEK" } else { "it recovers nothing" },
    );
    let renewed: Vec<(u16, u32)> =
        seen.iter().flat_map(|push| push.lkh_keys.iter().map(|key| (key.id, key.handle))).collect();
    cx.check(
        "push.handles-differ",
        &["GDOI-LKH-012"],
        !renewed.is_empty() && renewed.iter().all(|node| !nodes.contains(node)),
        "a new handle for each renewed node",
        format!(
            "{} of {} renewed nodes keep their handle",
            renewed.iter().filter(|node| nodes.contains(node)).count(),
            renewed.len()
        ),
    );
    scene.finish(cx)
}

fn old_teks_are_shortened(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (mut gm, registration) = scene.register(cx, 0)?;
    gm.script.auto_ack = true;
    let old = cx.have(registration.teks.first().map(|tek| tek.spi), "no TEK")?;
    command(cx, &format!("{{\"cmd\":\"rekey\",\"group\":{GROUP}}}"))?;
    let push = scene.push(cx, &mut gm, 5)?;
    let life = push.sa.iter().flat_map(|sa| sa.teks()).find_map(|tek| match &tek.body {
        hallmark_wire::gdoi::TekBody::Ipsec(body) if body.spi == old => body.attributes.uint(tek_attr::LIFE_DURATION),
        _ => None,
    });
    // Said as a deactivation delay of the group, or by the old SA once more with what is left of it.
    let delay = push.sa.as_ref().and_then(|sa| sa.gap()?.attributes.uint(gap_attr::DEACTIVATION_TIME_DELAY));
    // TEK_SLT = min(remaining, max(90 s, min(5 % of the lifetime, 3600 s))): 180 s for an hour.
    cx.check(
        "push.old-tek-shortened",
        &["POLICY-015"],
        life.or(delay).is_some_and(|left| left <= 195),
        "180 s left for the old TEK",
        life.or(delay).map_or_else(|| "the rekey does not speak of it".to_owned(), |left| format!("{left} s left")),
    );
    scene.finish(cx)
}

fn replace_now_deletes(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (mut gm, registration) = scene.register(cx, 0)?;
    gm.script.auto_ack = true;
    let old = cx.have(registration.teks.first().map(|tek| tek.spi), "no TEK")?;
    command(cx, &format!("{{\"cmd\":\"rekey-replace-now\",\"group\":{GROUP}}}"))?;
    let push = scene.push(cx, &mut gm, 5)?;
    let named = |spi: &Vec<u8>| *spi == old.to_be_bytes() || spi.iter().all(|octet| *octet == 0);
    let deleted = push.deletes.iter().filter(|delete| delete.protocol == 1).any(|delete| delete.spis.iter().any(named));
    cx.check(
        "push.replace-now-deletes",
        &["POLICY-017"],
        deleted && !push.teks.is_empty(),
        "a Delete of the old SPI beside the new TEK",
        format!("{} Deletes, {} new TEKs", push.deletes.len(), push.teks.len()),
    );
    scene.finish(cx)
}

fn sequence_goes_on(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let mut gm = member(cx, &scene, 0)?;
    let seen = pushes_for(cx, &mut gm, 400);
    cx.require(seen.len() >= 5, format!("only {} rekeys came", seen.len()))?;
    let numbers: Vec<u32> = seen.iter().filter_map(|push| push.seq).collect();
    cx.check(
        "push.sequence-goes-on",
        &["GDOI-PUSH-017", "GDOI-PUSH-021"],
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "one more each time",
        format!("{numbers:?}"),
    );
    scene.finish(cx)
}

fn rekeys_at_all(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let mut gm = member(cx, &scene, 0)?;
    let seen = pushes_for(cx, &mut gm, 130);
    cx.check(
        "push.rekeys-at-all",
        &["GDOI-PUSH-034", "RSA-006"],
        !seen.is_empty(),
        "a rekey before the TEK of 120 s expires",
        format!("{} rekeys", seen.len()),
    );
    scene.finish(cx)
}
