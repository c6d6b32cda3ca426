//! Multicast rekeys.

use hallmark_probe::world::Party;

use super::kit::{SOON, listen, pushes_for, quick};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;

pub(crate) const CASES: &[Case] = &[
    case! {
        "MCAST-001", "gdoi.multicast", Must, Ks,
        title: "a multicast rekey goes to the group address of the SAK, once for everyone",
        purpose: "Members have joined that one address; a copy per member gives up what multicast is for.",
        requirements: ["MCAST-001", "GDOI-PUSH-006"],
        sources: ["getvpn.md §3.3", "RFC 6407 §5.3"],
        catches: ["ks_push_wrong_source"],
        needs: [Multicast],
        cost: 110,
        run: to_the_group,
    },
    case! {
        "MCAST-002", "gdoi.multicast", Should, Ks,
        title: "a multicast rekey is always sent again as configured",
        purpose: "Nobody acknowledges, so the copies are the only cure for a lost datagram.",
        requirements: ["MCAST-002"],
        sources: ["getvpn.md §3.3"],
        catches: ["ks_mcast_no_copies"],
        needs: [Multicast],
        cost: 110,
        run: always_copies,
    },
    case! {
        "MCAST-003", "gdoi.multicast", Should, Ks,
        title: "silence removes nobody from a multicast group",
        purpose: "Members of a multicast group have nothing to say; a server that counts their silence empties the group.",
        requirements: ["MCAST-003"],
        sources: ["getvpn.md §3.3"],
        catches: ["ks_mcast_removes_silent"],
        needs: [Multicast, Console],
        cost: 420,
        run: silence_is_no_reason,
    },
];

/// Starts a multicast group whose members are not asked for acknowledgements.
fn multicast(cx: &mut Cx<'_>) -> Flow<KsScene> {
    let mut setup = quick(cx);
    // Without an addend for copies the rekey is due 20 s before the TEK of 120 s expires.
    setup.kek().multicast = Some(cx.multicast());
    setup.group().ack = "none".to_owned();
    cx.world.join(Party::Tester(0), cx.multicast())?;
    KsScene::start(cx, setup)
}

fn to_the_group(cx: &mut Cx<'_>) -> Flow {
    let scene = multicast(cx)?;
    let (mut gm, _) = scene.register(cx, 0)?;
    let push = scene.push(cx, &mut gm, SOON)?;
    let (src, dst) = (push.datagram.src, push.datagram.dst);
    cx.check(
        "push.to-the-group",
        &["MCAST-001", "GDOI-PUSH-006"],
        dst == cx.multicast() && src.ip() == cx.subject().ip() && src.port() == cx.subject().port(),
        "from the server to the group address",
        format!("{src} to {dst}"),
    );
    scene.finish(cx)
}

fn always_copies(cx: &mut Cx<'_>) -> Flow {
    let scene = multicast(cx)?;
    let (mut gm, _) = scene.register(cx, 0)?;
    let _ = scene.push(cx, &mut gm, SOON)?;
    listen(cx, &mut gm, 25);
    let datagrams: Vec<_> = gm.push_datagrams().collect();
    let same = datagrams.windows(2).all(|pair| pair[0].octets() == pair[1].octets());
    cx.check(
        "push.multicast-copies",
        &["MCAST-002"],
        datagrams.len() == 3 && same,
        "three identical datagrams",
        format!("{} datagrams{}", datagrams.len(), if same { "" } else { ", not identical" }),
    );
    scene.finish(cx)
}

fn silence_is_no_reason(cx: &mut Cx<'_>) -> Flow {
    let scene = multicast(cx)?;
    let (mut gm, _) = scene.register(cx, 0)?;
    let seen = pushes_for(cx, &mut gm, 480).len();
    cx.require(seen >= 4, format!("only {seen} rekeys came"))?;
    let status = cx.world.command(0, "{\"cmd\":\"status\"}")?;
    let listed = status.contains(&gm.script.me.ip().to_string());
    cx.check(
        "push.multicast-keeps-silent",
        &["MCAST-003"],
        listed,
        "still a member after four rekeys",
        if listed { "still a member" } else { "removed" },
    );
    scene.finish(cx)
}
