//! Groups that are being switched over: members that open what they receive and do not protect yet, and members that
//! protect before the others.

use hallmark_probe::world::Side;

use super::marks::pass_time;
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::data::{Control, DataScene, Rule};

pub(crate) const CASES: &[Case] = &[
    case! {
        "DP-021", "data.policy", Must, Gm,
        title: "a passive member protects what it sends and takes what comes, protected or not",
        purpose: "Passive members prove that encryption works while the others still send in clear. One that drops clear \
                  traffic cuts the site off, one that sends it proves nothing.",
        requirements: ["DP-021"],
        sources: ["getvpn.md §5.5"],
        catches: ["dp_passive_drops_clear", "dp_passive_sends_clear"],
        needs: [Datapath, Setup],
        cost: 15,
        run: passive,
    },
    case! {
        "DP-022", "data.policy", Must, Gm,
        title: "a group that is to receive only sends in clear and takes what comes, protected or not",
        purpose: "That is how a running network is switched over without a night of outage: first everybody must be able to \
                  open, and only then may anybody protect.",
        requirements: ["DP-022"],
        sources: ["getvpn.md §5.5"],
        catches: ["dp_receive_only_encrypts", "dp_receive_only_drops_clear"],
        needs: [Datapath, Setup],
        cost: 15,
        run: receive_only,
    },
    case! {
        "DP-023", "data.policy", Must, Gm,
        title: "when the group goes back to both directions, members protect and demand protection",
        purpose: "A member that stays behind sends in clear for ever, and nobody looks any more.",
        requirements: ["DP-023", "DP-022"],
        sources: ["getvpn.md §5.5"],
        catches: ["dp_duplex_not_restored"],
        needs: [Datapath, Setup],
        cost: 25,
        run: back_to_both,
    },
    case! {
        "DIRG-001", "data.policy", Must, Gm,
        title: "a passive member protects although its group is to receive only",
        purpose: "The step between: some members are made passive on the device to prove that the group can be switched over.",
        requirements: ["DP-021"],
        sources: ["getvpn.md §5.5"],
        catches: ["dp_passive_sends_clear", "dp_passive_overruled"],
        needs: [Datapath, Setup],
        cost: 20,
        run: passive_in_receive_only,
    },
    case! {
        "DIRG-002", "data.policy", Must, Gm,
        title: "a rekey that tells to receive only is followed",
        purpose: "Taking a group back to clear is the way out when the switch-over fails; half a group in clear is worse \
                  than either.",
        requirements: ["DP-022"],
        sources: ["getvpn.md §5.5"],
        catches: ["dp_receive_only_encrypts", "dp_receive_only_drops_clear"],
        needs: [Datapath, Setup],
        cost: 20,
        run: told_by_rekey,
    },
];

fn in_clear() -> Control {
    Control::InClear { out: DataScene::outbound(), back: DataScene::inbound() }
}

/// Judges a member that takes everything, protected or not.
fn takes_both(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule) -> Flow {
    scene.expect_opened(cx, rule, "a protected packet from the WAN", &DataScene::inbound().ident(21))?;
    let clear = DataScene::inbound().ident(22).octets();
    scene.expect_clear(cx, rule, "a clear packet from the WAN", Side::Wan, &clear)?;
    Ok(())
}

/// Judges a member that sends in clear.
fn sends_clear(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule) -> Flow {
    let clear = DataScene::outbound().ident(23).octets();
    scene.expect_clear(cx, rule, "a packet from the LAN", Side::Lan, &clear)?;
    Ok(())
}

fn passive(cx: &mut Cx<'_>) -> Flow {
    const OUT: Rule = Rule::grave("direction.passive-protects", &["DP-021"]);
    const IN: Rule = Rule::new("direction.passive-takes-both", &["DP-021"]);
    let passive = |setup: &mut crate::setup::GmSetup| {
        if let Some(data) = &mut setup.data {
            data.passive = true;
        }
    };
    let mut scene = DataScene::with(cx, passive, |_| {})?;
    scene.expect_esp(cx, &OUT, "a packet from the LAN", &DataScene::outbound())?;
    takes_both(cx, &mut scene, &IN)?;
    scene.finish(cx)
}

const RECEIVE_ONLY: Rule = Rule::new("direction.receive-only", &["DP-022"]);
const BACK: Rule = Rule::new("direction.back-to-both", &["DP-023"]);

fn receive_only(cx: &mut Cx<'_>) -> Flow {
    let mut scene = DataScene::with(cx, |_| {}, |script| script.group.receive_only = true)?;
    sends_clear(cx, &mut scene, &RECEIVE_ONLY)?;
    takes_both(cx, &mut scene, &RECEIVE_ONLY)?;
    scene.control = in_clear();
    scene.finish(cx)
}

fn back_to_both(cx: &mut Cx<'_>) -> Flow {
    // Within how long is advice of the sheet; that it happens at all is not.
    const OUT: Rule = Rule::grave("direction.protects-again", &["DP-023"]);
    let mut scene = DataScene::with(cx, |_| {}, |script| script.group.receive_only = true)?;
    sends_clear(cx, &mut scene, &RECEIVE_ONLY)?;
    scene.scene.ks.script.group.receive_only = false;
    scene.rekey(cx)?;
    let at_once = scene.expect_esp(cx, &BACK, "a packet at once", &DataScene::outbound()).is_ok();
    pass_time(cx, &mut scene, 5.0);
    if !at_once {
        cx.world.note("not protected at once");
    }
    scene.expect_esp(cx, &OUT, "a packet 5 s after the rekey", &DataScene::outbound())?;
    let clear = DataScene::inbound().ident(30).octets();
    scene.expect_nothing(cx, &BACK, "a clear packet of the permit class", Side::Wan, &[clear])?;
    scene.finish(cx)
}

fn passive_in_receive_only(cx: &mut Cx<'_>) -> Flow {
    const OUT: Rule = Rule::new("direction.passive-overrides", &["DP-021"]);
    let passive = |setup: &mut crate::setup::GmSetup| {
        if let Some(data) = &mut setup.data {
            data.passive = true;
        }
    };
    let mut scene = DataScene::with(cx, passive, |script| script.group.receive_only = true)?;
    scene.expect_esp(cx, &OUT, "a packet from the LAN", &DataScene::outbound())?;
    takes_both(cx, &mut scene, &OUT)?;
    scene.finish(cx)
}

fn told_by_rekey(cx: &mut Cx<'_>) -> Flow {
    let mut scene = DataScene::standard(cx)?;
    scene.expect_esp(cx, &RECEIVE_ONLY, "a packet before", &DataScene::outbound().ident(23))?;
    scene.scene.ks.script.group.receive_only = true;
    scene.rekey(cx)?;
    sends_clear(cx, &mut scene, &RECEIVE_ONLY)?;
    takes_both(cx, &mut scene, &RECEIVE_ONLY)?;
    scene.control = in_clear();
    scene.finish(cx)
}
