//! What the cases about replay share: groups with a protection against it, and packets with a stamp or a number of the
//! case's choice.

use hallmark_core::{Duration, Pseudotime, UnixTime};
use hallmark_probe::Fault;
use hallmark_probe::data::{Clear, EspSeen, Forge, Replay, Stamp, clock_showing, shifted};
use hallmark_probe::group::Tek;
use hallmark_probe::ks::KsScript;
use hallmark_probe::step::Step;
use hallmark_probe::world::Side;

use crate::cx::{Cx, Flow, Stop};
use crate::data::{DataScene, Rule};

/// What the clock of the group shows, in seconds, when a case begins: far from 0 and from every wall clock.
pub(super) const START_SECS: u64 = 600_000;
/// How far the stamps of a member may be off its group's clock, in seconds: the way of the message that set it, and of
/// the packet. getvpn.md §4.1 has no number; healthy members differ by milliseconds.
pub(super) const AGREES_SECS: f64 = 2.0;
/// Next header of an inner IPv4 packet.
pub(super) const NEXT_V4: u8 = 4;

/// Turns a fault of the tester into the end of the case.
pub(super) fn tester(fault: Fault) -> Stop {
    Stop::Inconclusive(fault.to_string())
}

/// Starts a member of a group with this protection, and lets it register.
pub(super) fn protected_by(cx: &mut Cx<'_>, replay: Replay) -> Flow<DataScene> {
    DataScene::with(cx, |_| {}, |script| script.group.replay = replay)
}

/// Gives the time-based protection with a window of so many seconds, by a clock that starts now.
pub(super) fn time(cx: &Cx<'_>, window_secs: u16) -> Replay {
    Replay::Time { window_secs, clock: clock_showing(START_SECS, cx.world.now()) }
}

/// Gives the clock of the group as its key server tells it.
pub(super) fn clock(scene: &DataScene) -> Flow<Pseudotime> {
    match scene.scene.ks.script.group.replay {
        Replay::Time { clock, .. } => Ok(clock),
        _ => Err(Stop::Inconclusive("the group has no clock".to_owned())),
    }
}

/// Sets the window or the clock that the key server tells from now on.
pub(super) fn retell(scene: &mut DataScene, window: Option<u16>, by_millis: i64) {
    if let Replay::Time { window_secs, clock } = &mut scene.scene.ks.script.group.replay {
        *window_secs = window.unwrap_or(*window_secs);
        *clock = shifted(*clock, by_millis);
    }
}

/// Numbers an inner packet, so that no two are the same.
pub(super) fn inbound(ident: u16) -> Vec<u8> {
    DataScene::inbound().ident(ident).octets()
}

/// Seals a packet whose stamp is so many milliseconds ahead of the group's clock, or behind it.
pub(super) fn stamped(cx: &mut Cx<'_>, scene: &mut DataScene, inner: &[u8], ahead_millis: i64) -> Flow<Vec<u8>> {
    let ticks = shifted(clock(scene)?, ahead_millis).at(cx.world.now());
    let forge = Forge::new().stamp(Stamp::Time { ticks }, NEXT_V4);
    Ok(forged(cx, scene, inner, &forge)?.octets())
}

/// Seals a packet as the case asks for.
pub(super) fn forged(cx: &mut Cx<'_>, scene: &mut DataScene, inner: &[u8], forge: &Forge) -> Flow<Clear> {
    scene.peer()?.forge(cx.world, inner, forge).map_err(tester)
}

/// Seals a packet with this sequence number.
pub(super) fn numbered(cx: &mut Cx<'_>, scene: &mut DataScene, inner: &[u8], seq: u32) -> Flow<Vec<u8>> {
    Ok(forged(cx, scene, inner, &Forge::new().seq(seq))?.octets())
}

/// Gives the stamp of a wall clock that is so many milliseconds ahead of the tester's.
pub(super) fn wall_stamp(cx: &Cx<'_>, ahead_millis: i64) -> Stamp {
    Stamp::d3p(UnixTime(cx.world.wall().0.saturating_add(ahead_millis.saturating_mul(1_000_000))))
}

/// Gives how many seconds the stamp of a packet that left is ahead of a clock; `None` when it has none.
pub(super) fn ahead(seen: &EspSeen, clock: Pseudotime) -> Option<f64> {
    let Some(Stamp::Time { ticks }) = seen.stamp else { return None };
    Some((ticks as f64 - clock.at(seen.at) as f64) / Pseudotime::TICKS_PER_SEC as f64)
}

/// Sends a packet from the LAN and judges that its stamp agrees with the clock of the group.
pub(super) fn expect_agreement(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule, what: &str) -> Flow<bool> {
    let seen = scene.expect_esp(cx, rule, what, &DataScene::outbound())?;
    let offset = ahead(&seen, clock(scene)?);
    let observed = offset.map_or_else(
        || format!("{what}: a packet without a stamp"),
        |offset| format!("{what}: {offset:+.2} s off the clock of the group"),
    );
    let agrees = offset.is_some_and(|offset| offset.abs() <= AGREES_SECS);
    Ok(rule.judge(cx, agrees, "a stamp within 2 s of the clock of the group", observed))
}

/// Lets an ESP packet arrive and tells whether exactly one packet left the LAN.
pub(super) fn came(cx: &mut Cx<'_>, scene: &mut DataScene, esp: &[u8]) -> Flow<bool> {
    Ok(scene.wan_to_lan(cx, esp)?.packets(Side::Lan).len() == 1)
}

/// Lets the key server answer nothing: no phase 1, no PULL.
pub(super) fn silence_server(scene: &mut DataScene) {
    for step in [Step::Main2, Step::Aggressive2, Step::Pull2, Step::Pull4] {
        scene.scene.ks.reply(step, hallmark_probe::Reply::Silent);
    }
}

/// Lets so much time pass while the key server does its work.
pub(super) fn pass_time(cx: &mut Cx<'_>, scene: &mut DataScene, secs: f64) {
    let millis = (secs.max(0.0) * 1_000.0) as u64;
    scene.scene.ks.serve_for(cx.world, Duration::from_millis(millis));
}

/// Sets how long the first TEK of a script lives.
pub(super) fn tek_lives(script: &mut KsScript, secs: u32) {
    if let Some(tek) = script.group.teks.first_mut() {
        *tek = tek.clone().lifetime(secs);
    }
}

/// Makes a fresh TEK for the traffic of the one in use that lives so long.
pub(super) fn successor(scene: &mut DataScene, secs: u32) -> Flow<Tek> {
    let tek = scene.tek()?;
    Ok(tek.successor(scene.scene.ks.rng()).lifetime(secs))
}
