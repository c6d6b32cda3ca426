//! Several key servers, each with a key of its own.

use hallmark_core::Duration;
use hallmark_probe::ks::{KsScript, ProbeKs, Reply};
use hallmark_probe::step::Step;
use hallmark_probe::world::Role;

use crate::Case;
use crate::cx::{Cx, Flow};
use crate::setup::{GmSetup, Peer};

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKEI-070", "gdoi.phase1", Must, Gm,
        title: "a server with a wrong key gets no PULL, and the next one is tried",
        purpose: "A key that was mistyped on one server is an everyday fault. It must not let the member trust that server, nor keep it \
                  from the others.",
        requirements: ["IKE-MM-025", "IKE-MM-036", "REG-004"],
        sources: ["RFC 2409 §5.4"],
        catches: ["gm_no_failover"],
        needs: [Setup, ManyAddresses],
        cost: 90,
        run: wrong_key,
    },
    case! {
        "IKEI-071", "gdoi.phase1", Must, Gm,
        title: "each server is met with the key that belongs to it",
        purpose: "Servers of different sites have different keys. A member that uses the first one for all registers with one of them \
                  only, and nobody notices until that one fails.",
        requirements: ["IKE-KEY-001", "REG-004"],
        sources: ["RFC 2409 §5.4"],
        catches: ["ike_psk_of_first_peer"],
        needs: [Setup, ManyAddresses],
        cost: 90,
        run: own_keys,
    },
];

const SECOND_KEY: &[u8] = b"the key of the second server";

/// Starts a member with two servers, the second one under its own key.
fn two(cx: &mut Cx<'_>) -> Flow<(ProbeKs, ProbeKs)> {
    let mut setup = GmSetup::standard(cx.world);
    setup.servers.push(Peer { psk: SECOND_KEY.to_vec(), ..Peer::standard(cx.tester(1)) });
    let scripts = [0, 1].map(|n| KsScript::new(cx.world, n));
    let [first, mut second] = scripts;
    second.credentials.psk = SECOND_KEY.to_vec();
    let servers = (ProbeKs::with_script(cx.world, first), ProbeKs::with_script(cx.world, second));
    cx.world.start(0, Role::Gm, &setup.to_toml())?;
    Ok(servers)
}

/// Serves both in turn until the second one has been registered with.
fn serve_both(cx: &mut Cx<'_>, first: &mut ProbeKs, second: &mut ProbeKs, secs: u64) -> bool {
    let deadline = cx.in_secs(secs);
    while cx.world.now() < deadline && second.log.registrations == 0 {
        first.serve_for(cx.world, Duration::from_millis(500));
        second.serve_for(cx.world, Duration::from_millis(500));
    }
    second.log.registrations > 0
}

fn wrong_key(cx: &mut Cx<'_>) -> Flow {
    let (mut first, mut second) = two(cx)?;
    first.script.credentials.psk = b"mistyped".to_vec();
    let registered = serve_both(cx, &mut first, &mut second, 240);
    cx.require(first.log.count(Step::Main5) > 0, "the first server was not tried up to message 5")?;
    cx.alive_before("message 5 came to the first server");
    let pulls = first.log.count(Step::Pull1);
    cx.grave_silence(
        "phase1.wrong-key-no-pull",
        &["IKE-MM-025", "IKE-MM-036"],
        pulls == 0,
        "no PULL with the first server",
        pulls,
    );
    let observed =
        format!("{} messages 1 at the second server, registered: {registered}", second.log.count(Step::Main1));
    cx.check("registration.next-server", &["REG-004"], registered, "a registration with the second server", observed);
    if registered {
        cx.alive_after("the member registered with the second server");
    }
    Ok(())
}

fn own_keys(cx: &mut Cx<'_>) -> Flow {
    let (mut first, mut second) = two(cx)?;
    first.reply(Step::Main2, Reply::Silent);
    let registered = serve_both(cx, &mut first, &mut second, 240);
    cx.require(first.log.count(Step::Main1) > 0, "the first server was not tried")?;
    cx.alive_before("message 1 came to the first server");
    cx.require(second.log.count(Step::Main5) > 0, "the second server was not tried up to message 5")?;
    let authentic = second.log.of(Step::Main5).any(|seen| seen.authentic == Some(true));
    let observed = format!("message 5 at the second server verifies: {authentic}, registered: {registered}");
    cx.check(
        "phase1.key-of-the-server",
        &["IKE-KEY-001", "REG-004"],
        registered,
        "a registration under the second server's key",
        observed,
    );
    if registered {
        cx.alive_after("the member registered with the second server");
    }
    Ok(())
}
