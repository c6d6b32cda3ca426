//! What passes before a member has registered, and after its keys have run out (getvpn §5.6).

use std::net::SocketAddr;

use hallmark_core::Duration;
use hallmark_probe::data::{Clear, Tcp};
use hallmark_probe::group::Flow as Entry;
use hallmark_probe::world::Side;
use hallmark_probe::{KsScript, Reply, Step};

use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::data::{Control, DataScene, LAN_HOST, Rule, WAN_HOST, with_flows};

pub(crate) const CASES: &[Case] = &[
    case! {
        "FC-001", "data.failclose", Should, Gm,
        title: "a member that fails open forwards in clear before it has registered",
        purpose: "This is the default of most products: the site works while keys are not there yet, and everybody on \
                  the way can read along.",
        requirements: ["FC-001"],
        sources: ["getvpn §5.6"],
        catches: ["dp_fail_open_drops"],
        needs: [Datapath],
        cost: 30,
        run: fails_open,
    },
    case! {
        "FC-002", "data.failclose", Must, Gm,
        title: "a member that fails closed forwards nothing before it has registered",
        purpose: "Whoever asks for it wants no packet in clear, not even in the seconds after a restart.",
        requirements: ["FC-002"],
        sources: ["getvpn §5.6"],
        catches: ["failopen_leak", "dp_fail_close_inbound_open"],
        needs: [Datapath],
        cost: 60,
        run: fails_closed,
    },
    case! {
        "FC-003", "data.failclose", Must, Gm,
        title: "the exceptions of a closed member pass, the rest does not",
        purpose: "Without its exceptions a closed member locks its operator out; with wrong ones it leaks.",
        requirements: ["FC-003"],
        sources: ["getvpn §5.6"],
        catches: ["dp_fail_close_no_exceptions", "failopen_leak"],
        needs: [Datapath],
        cost: 60,
        run: exceptions,
    },
    case! {
        "FC-004", "data.failclose", Must, Gm,
        title: "the local deny list alone does not open a closed member",
        purpose: "Local denies are made for the time after registration. Before it, what passes must stand in the \
                  exceptions as well.",
        requirements: ["FC-004"],
        sources: ["getvpn §5.6"],
        catches: ["deny_in_failclose_only_local"],
        needs: [Datapath],
        cost: 60,
        run: local_deny_is_not_enough,
    },
    case! {
        "FC-005", "data.failclose", Must, Gm,
        title: "a closed member registers",
        purpose: "A member that shuts its own key management out never opens.",
        requirements: ["FC-005", "ESP-097"],
        sources: ["getvpn §5.6", "RFC 4301 §5.2"],
        catches: ["dp_own_control_dropped"],
        needs: [Datapath, VirtualTime],
        cost: 60,
        run: registers_while_closed,
    },
    case! {
        "FC-006", "data.failclose", Must, Gm,
        title: "after registration the exceptions of the closed state are gone",
        purpose: "The group's policy is the only one from then on: an exception that stays is a leak nobody looks for.",
        requirements: ["FC-006"],
        sources: ["getvpn §5.6"],
        catches: ["dp_fail_close_kept"],
        needs: [Datapath],
        cost: 30,
        run: exceptions_end,
    },
    case! {
        "FC-007", "data.failclose", Must, Gm,
        title: "when the keys have run out the policy stays: the permitted is dropped, the denied passes",
        purpose: "A key server that is away for an hour must not turn a protected network into an open one.",
        requirements: ["FC-007", "DP-020"],
        sources: ["getvpn §5.6"],
        catches: ["expired_sa_leak", "dp_registered_forgotten", "dp_old_sa_past_end"],
        needs: [Datapath],
        cost: 400,
        run: keys_run_out,
    },
    case! {
        "FC-008", "data.failclose", Must, Gm,
        title: "a member that is to close again does so when its keys have run out",
        purpose: "Operators who ask for it want the exceptions and nothing else to pass while there is no key.",
        requirements: ["FC-008"],
        sources: ["getvpn §5.6"],
        catches: ["dp_revert_ignored"],
        needs: [Datapath],
        cost: 400,
        run: closes_again,
    },
];

/// Seconds that the keys live where they are to run out.
const SHORT: u32 = 300;

fn tcp(src: SocketAddr, dst: SocketAddr) -> Clear {
    Clear::tcp(src, dst, Tcp::ACK, b"segment")
}

/// Makes a segment from the LAN to a port.
fn to_port(port: u16) -> Clear {
    tcp(SocketAddr::new(LAN_HOST, 40_001), SocketAddr::new(WAN_HOST, port))
}

/// Makes the segment that answers it.
fn from_port(port: u16) -> Clear {
    tcp(SocketAddr::new(WAN_HOST, port), SocketAddr::new(LAN_HOST, 40_001))
}

const SSH: [&str; 2] = ["deny tcp any any eq 22", "deny tcp any eq 22 any"];

/// The control of a closed member that lets SSH pass.
fn ssh_passes() -> Control {
    Control::InClear { out: to_port(22), back: from_port(22) }
}

fn fails_open(cx: &mut Cx<'_>) -> Flow {
    // No text demands it: a product that closes by default is only told of.
    const OPEN: Rule = Rule::advisory("failclose.open-before-registration", &["FC-001"]);
    let mut scene = DataScene::unregistered(cx, |_| {}, |_| {})?;
    scene.await_attempt(cx)?;
    scene.expect_clear(cx, &OPEN, "UDP from the LAN", Side::Lan, &DataScene::outbound().octets())?;
    scene.expect_clear(cx, &OPEN, "UDP from the WAN", Side::Wan, &DataScene::inbound().octets())?;
    scene.finish(cx)
}

const CLOSED: Rule = Rule::grave("failclose.nothing-passes", &["FC-002"]);

fn fails_closed(cx: &mut Cx<'_>) -> Flow {
    let mut scene = DataScene::unregistered(cx, |setup| setup.data().fail_closed(&[]), |_| {})?;
    scene.await_attempt(cx)?;
    scene.control = Control::Registration;
    let out = [DataScene::outbound().octets(), to_port(22).octets(), Clear::echo(LAN_HOST, WAN_HOST, 1, 1, 8).octets()];
    scene.expect_nothing(cx, &CLOSED, "UDP, TCP and a ping from the LAN", Side::Lan, &out)?;
    let back = [DataScene::inbound().octets(), from_port(22).octets()];
    scene.expect_nothing(cx, &CLOSED, "UDP and TCP from the WAN", Side::Wan, &back)?;
    scene.register(cx)?;
    let protected = Rule::grave("failclose.protected-after-registration", &["FC-002"]);
    scene.expect_esp(cx, &protected, "UDP after registration", &DataScene::outbound())?;
    scene.finish(cx)
}

fn exceptions(cx: &mut Cx<'_>) -> Flow {
    const PASSES: Rule = Rule::new("failclose.exceptions-pass", &["FC-003"]);
    const REST: Rule = Rule::grave("failclose.rest-is-dropped", &["FC-003"]);
    let mut scene = DataScene::unregistered(cx, |setup| setup.data().fail_closed(&SSH), |_| {})?;
    scene.await_attempt(cx)?;
    scene.expect_clear(cx, &PASSES, "SSH from the LAN", Side::Lan, &to_port(22).octets())?;
    scene.expect_clear(cx, &PASSES, "SSH from the WAN", Side::Wan, &from_port(22).octets())?;
    scene.control = ssh_passes();
    scene.expect_nothing(cx, &REST, "HTTP from the LAN", Side::Lan, &[to_port(80).octets()])?;
    scene.expect_nothing(cx, &REST, "HTTP from the WAN", Side::Wan, &[from_port(80).octets()])?;
    scene.control = Control::Protected;
    scene.finish(cx)
}

fn local_deny_is_not_enough(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::grave("failclose.local-deny-is-not-enough", &["FC-004"]);
    const BOTH: Rule = Rule::new("failclose.denied-in-both-passes", &["FC-004"]);
    let bgp_and_ssh = || {
        let local = ["deny tcp any any eq 179", "deny tcp any eq 179 any", SSH[0], SSH[1]];
        local.map(str::to_owned).to_vec()
    };
    let mut scene = DataScene::unregistered(
        cx,
        |setup| {
            setup.data().local_deny = bgp_and_ssh();
            setup.data().fail_closed(&SSH);
        },
        |_| {},
    )?;
    scene.await_attempt(cx)?;
    scene.expect_clear(cx, &BOTH, "SSH, denied locally and excepted", Side::Lan, &to_port(22).octets())?;
    scene.control = ssh_passes();
    scene.expect_nothing(cx, &DROPPED, "BGP, denied locally only", Side::Lan, &[to_port(179).octets()])?;
    scene.control = Control::Protected;
    scene.register(cx)?;
    scene.expect_clear(cx, &BOTH, "BGP after registration", Side::Lan, &to_port(179).octets())?;
    scene.finish(cx)
}

fn registers_while_closed(cx: &mut Cx<'_>) -> Flow {
    const OWN: Rule = Rule::new("failclose.own-control-passes", &["FC-005", "ESP-097"]);
    let mut scene = DataScene::unregistered(cx, |setup| setup.data().fail_closed(&[]), |_| {})?;
    scene.await_attempt(cx)?;
    let (own, server) = (cx.subject(), cx.tester(0));
    let out = Clear::udp(own, server, &[0x55; 100]).octets();
    let back = Clear::udp(server, own, &[0x56; 100]).octets();
    scene.expect_clear(cx, &OWN, "a datagram of its own to the key server", Side::Lan, &out)?;
    scene.expect_clear(cx, &OWN, "a datagram of the key server to it", Side::Wan, &back)?;
    let registered = scene.register(cx);
    let observed = match &registered {
        Ok(()) => "it registered".to_owned(),
        Err(Stop::Inconclusive(why)) => {
            // It tries, as was seen; it speaks against a member only that registers while it is open.
            DataScene::standard(cx)?;
            why.clone()
        }
        Err(_) => return registered,
    };
    if !OWN.judge(cx, registered.is_ok(), "it registers", observed) {
        return Err(Stop::Judged);
    }
    scene.finish(cx)
}

fn exceptions_end(cx: &mut Cx<'_>) -> Flow {
    const PROTECTED: Rule = Rule::grave("failclose.exceptions-end", &["FC-006"]);
    let mut scene = DataScene::with(cx, |setup| setup.data().fail_closed(&SSH), |_| {})?;
    scene.expect_esp(cx, &PROTECTED, "SSH after registration", &to_port(22))?;
    let clear = [from_port(22).octets()];
    scene.expect_nothing(cx, &PROTECTED, "SSH in clear from the WAN after registration", Side::Wan, &clear)?;
    scene.finish(cx)
}

/// Hands out short-lived keys for everything but pings.
fn short_keys(script: &mut KsScript) {
    with_flows(script, vec![Entry::any().protocol(1).deny(), Entry::any()]);
    script.group.teks = script.group.teks.iter().map(|tek| tek.clone().lifetime(SHORT)).collect();
}

fn ping() -> Clear {
    Clear::echo(LAN_HOST, WAN_HOST, 7, 1, 56)
}

/// Lets the keys run out while the key server says nothing.
fn run_out(cx: &mut Cx<'_>, scene: &mut DataScene) {
    scene.scene.ks.reply(Step::Main2, Reply::Silent);
    scene.scene.ks.reply(Step::Pull2, Reply::Silent);
    scene.scene.ks.serve_for(cx.world, Duration::from_secs(u64::from(SHORT) + 15));
}

fn keys_run_out(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::grave("failclose.permit-dropped-without-keys", &["FC-007", "DP-020"]);
    const PASSES: Rule = Rule::new("failclose.deny-passes-without-keys", &["FC-007"]);
    let mut scene = DataScene::with(cx, |_| {}, short_keys)?;
    scene.expect_esp(cx, &DROPPED, "UDP while there are keys", &DataScene::outbound())?;
    // Sealed now, to be sent when the key has ended.
    let old = scene.seal(cx, &DataScene::inbound().octets())?;
    run_out(cx, &mut scene);
    scene.expect_clear(cx, &PASSES, "a ping from the LAN", Side::Lan, &ping().octets())?;
    scene.control = Control::InClear { out: ping(), back: ping().between(WAN_HOST, LAN_HOST) };
    let packets = [DataScene::outbound().octets(), to_port(80).octets()];
    scene.expect_nothing(cx, &DROPPED, "UDP and TCP from the LAN", Side::Lan, &packets)?;
    let clear = [DataScene::inbound().octets()];
    scene.expect_nothing(cx, &DROPPED, "UDP in clear from the WAN", Side::Wan, &clear)?;
    let ended = Rule::new("failclose.ended-key-not-accepted", &["FC-007", "DP-020"]);
    scene.expect_nothing(cx, &ended, "ESP of the ended SA", Side::Wan, &[old])?;
    scene.control = Control::Protected;
    scene.register(cx)?;
    scene.finish(cx)
}

fn closes_again(cx: &mut Cx<'_>) -> Flow {
    const PASSES: Rule = Rule::new("failclose.exceptions-pass-again", &["FC-008"]);
    const DROPPED: Rule = Rule::new("failclose.closed-again", &["FC-008"]);
    let closed = |setup: &mut crate::setup::GmSetup| {
        setup.data().fail_closed(&SSH);
        setup.data().fail_close_revert = true;
    };
    let mut scene = DataScene::with(cx, closed, short_keys)?;
    let before = Rule::new("failclose.policy-rules-before", &["FC-008"]);
    scene.expect_clear(cx, &before, "a ping while there are keys", Side::Lan, &ping().octets())?;
    run_out(cx, &mut scene);
    scene.expect_clear(cx, &PASSES, "SSH from the LAN", Side::Lan, &to_port(22).octets())?;
    scene.control = ssh_passes();
    let packets = [ping().octets(), DataScene::outbound().octets()];
    scene.expect_nothing(cx, &DROPPED, "a ping and UDP from the LAN", Side::Lan, &packets)?;
    scene.control = Control::Protected;
    scene.register(cx)?;
    scene.finish(cx)
}
