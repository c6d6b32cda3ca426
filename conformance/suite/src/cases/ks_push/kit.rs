//! What the cases of this folder share: groups that rekey soon, and members that listen.

use hallmark_core::Duration;
use hallmark_probe::gm::{ProbeGm, Push};

use crate::cx::{Cx, Flow};
use crate::scene::KsScene;
use crate::setup::KsSetup;

/// Seconds within which a group of [`quick`] rekeys after a registration, with room for tolerance.
pub(super) const SOON: u64 = 110;

/// Makes a group whose TEK lives 120 s and is replaced about 75 s after it was made: lead is the floor of 20 s, two
/// copies at 10 s and 5 s (getvpn.md §3.5). The KEK outlives the case.
pub(super) fn quick(cx: &Cx<'_>) -> KsSetup {
    let mut setup = KsSetup::standard(cx.world);
    setup.tek().lifetime_secs = 120;
    setup.group().tek_lead_floor_secs = 20;
    setup
}

/// Makes the KEK of a quick group live 240 s, replaced about 175 s after it was made.
pub(super) fn quick_kek(setup: &mut KsSetup) {
    setup.kek().lifetime_secs = 240;
    setup.kek().lead_floor_secs = 40;
}

/// Registers a member that acknowledges whatever it can.
pub(super) fn member(cx: &mut Cx<'_>, scene: &KsScene, n: u8) -> Flow<ProbeGm> {
    let (mut member, _) = scene.register(cx, n)?;
    member.script.auto_ack = true;
    Ok(member)
}

/// Waits for so many different PUSH messages of a member that acknowledges them.
pub(super) fn pushes(cx: &mut Cx<'_>, scene: &KsScene, member: &mut ProbeGm, count: usize) -> Flow<Vec<Push>> {
    (0..count).map(|_| scene.push(cx, member, SOON)).collect()
}

/// Takes every PUSH that arrives for so long, identical copies once.
pub(super) fn pushes_for(cx: &mut Cx<'_>, member: &mut ProbeGm, secs: u64) -> Vec<Push> {
    let deadline = cx.in_secs(secs);
    std::iter::from_fn(|| member.await_push(cx.world, deadline)).collect()
}

/// Lets a member listen for so long without acknowledging.
pub(super) fn listen(cx: &mut Cx<'_>, member: &mut ProbeGm, secs: u64) {
    member.collect(cx.world, Duration::from_secs(secs));
}

/// Writes SPIs and sequence numbers in the order of arrival.
pub(super) fn sequence_words(pushes: &[Push]) -> String {
    let words: Vec<String> = pushes
        .iter()
        .map(|push| {
            let seq = push.seq.map_or("?".to_owned(), |seq| seq.to_string());
            format!("{}:{seq}", hex::encode(&push.kek_spi[..2]))
        })
        .collect();
    words.join(" ")
}
