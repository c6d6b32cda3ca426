//! Who may join which group.

use hallmark_core::Duration;
use hallmark_probe::certs::{Authority, fqdn};
use hallmark_probe::gm::ProbeGm;
use hallmark_probe::step::Step;
use hallmark_probe::suite::{Auth, Suite};
use hallmark_probe::world::Party;
use hallmark_wire::isakmp::PayloadType;

use super::kit::{WINDOW, complete, open, sent, served, survives, words};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::KsScene;
use crate::setup::{Credentials, GROUP, Group, KsSetup, Peer, ip_identity};

pub(crate) const CASES: &[Case] = &[
    case! {
        "PULLK-080", "gdoi.pull", Must, Ks,
        title: "a peer that is not on the list of the group gets no policy",
        purpose: "Authentication says who it is; only the list says that it may have the keys.",
        requirements: ["GDOI-PULL-027", "GDOI-NEG-014", "GDOI-P1-013", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.4", "RFC 6407 §7.2.6"],
        catches: ["ks_authorization_unchecked"],
        needs: [Setup],
        cost: 15,
        run: unlisted,
    },
    case! {
        "PULLK-081", "gdoi.pull", Must, Ks,
        title: "authorization goes by the phase 1 identity, not by the address",
        purpose: "Addresses can be borrowed; who takes an authorized member's address must not get its keys.",
        requirements: ["GDOI-P1-014", "GDOI-NEG-052"],
        sources: ["RFC 6407 §3.1"],
        catches: ["ks_authorizes_by_address"],
        needs: [Setup],
        cost: 30,
        run: by_identity,
    },
    case! {
        "PULLK-082", "gdoi.pull", Must, Ks,
        title: "authorization is per group",
        purpose: "A member of one group that asks for another gets nothing, and keeps what it has.",
        requirements: ["GDOI-P1-015", "GDOI-PULL-027", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.4"],
        catches: ["ks_authorization_unchecked"],
        needs: [Setup],
        cost: 15,
        run: per_group,
    },
    case! {
        "PULLK-083", "gdoi.pull", Should, Ks,
        title: "a withdrawn authorization counts from the next PULL on",
        purpose: "The phase 1 SA of an excluded member may live for a day; its next request must already be refused.",
        requirements: ["GDOI-NEG-016", "GDOI-PULL-027", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.1"],
        catches: ["ks_authorization_unchecked"],
        needs: [Console],
        cost: 15,
        run: withdrawn,
    },
    case! {
        "PULLK-084", "gdoi.pull", Should, Ks,
        title: "an authorization that is withdrawn between messages 1 and 3 stops the keys",
        purpose: "Keys leave with message 4: that is when the authorization has to hold.",
        requirements: ["GDOI-NEG-017", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.4"],
        catches: ["ks_authorization_cached"],
        needs: [Console],
        cost: 15,
        run: withdrawn_in_between,
    },
    case! {
        "REG-008", "gdoi.pull", Must, Ks,
        title: "a valid certificate with an unlisted identity gets no policy",
        purpose: "The company's authority certifies every router; only some of them belong to the group.",
        requirements: ["REG-008", "GDOI-PULL-027"],
        sources: ["RFC 6407 §3.4"],
        catches: ["ks_authorization_unchecked"],
        needs: [Setup],
        cost: 20,
        run: unlisted_certificate,
    },
];

/// Judges that a member with a phase 1 SA gets no policy of a group.
fn gets_nothing(cx: &mut Cx<'_>, member: &mut ProbeGm, check: &str, rules: &[&str], what: &str) -> Flow {
    sent(member.send_pull1(cx.world))?;
    let seen = member.collect(cx.world, WINDOW);
    let disclosed = served(&seen) || seen.iter().any(|seen| seen.body(PayloadType::SA).is_some());
    cx.grave_silence(check, rules, !disclosed, "no policy", format!("{what}: {}", words(&seen)));
    Ok(())
}

/// Judges that a member registers.
fn gets_keys(cx: &mut Cx<'_>, member: &mut ProbeGm, check: &str, rules: &[&str], what: &str) {
    let result = member.pull(cx.world);
    let observed = result.as_ref().map_or_else(|fault| format!("{what}: {fault}"), |_| format!("{what}: registered"));
    cx.check(check, rules, result.is_ok(), "the keys of the group", observed);
}

fn unlisted(cx: &mut Cx<'_>) -> Flow {
    let mut setup = KsSetup::standard(cx.world);
    setup.group().members = [0, 11].map(|n| ip_identity(cx.tester(n).ip())).to_vec();
    let scene = KsScene::start(cx, setup)?;
    let (mut listed, _) = scene.register(cx, 0)?;
    let mut stranger = scene.phase1(cx, 1)?;
    const RULES: &[&str] = &["GDOI-PULL-027", "GDOI-NEG-014", "GDOI-P1-013"];
    gets_nothing(cx, &mut stranger, "pull.unlisted-refused", RULES, "an identity that is not listed")?;
    survives(cx, &scene, &mut listed, "a refused stranger")?;
    scene.finish(cx)
}

fn by_identity(cx: &mut Cx<'_>) -> Flow {
    const GOOD: &str = "gm1.hallmark.example";
    const OTHER: &str = "gm2.hallmark.example";
    let mut setup = KsSetup::standard(cx.world);
    let mut peer = Peer::standard("0.0.0.0/0");
    peer.identities = [GOOD, OTHER].map(|name| format!("fqdn:{name}")).to_vec();
    setup.peers = vec![peer];
    // The list also names an address, for those who look at the wrong thing.
    setup.group().members = vec![format!("fqdn:{GOOD}"), ip_identity(cx.tester(2).ip())];
    let scene = KsScene::start(cx, setup)?;
    let named = |cx: &mut Cx<'_>, n: u8, name: &str| -> Flow<ProbeGm> {
        let mut member = scene.member(cx, n);
        member.script.credentials.identity = Some(fqdn(name));
        let established = member.phase1(cx.world).map(drop);
        established.map_err(|fault| Stop::Inconclusive(format!("phase 1 as {name}: {fault}")))?;
        cx.alive_before("phase 1 completed");
        Ok(member)
    };
    const RULES: &[&str] = &["GDOI-P1-014"];
    // Then the two exchange their addresses.
    for (n, name, what) in [
        (0, GOOD, "listed identity"),
        (1, OTHER, "other identity"),
        (2, OTHER, "other identity from a listed address"),
        (1, GOOD, "listed identity from the other address"),
        (0, OTHER, "other identity from the first address"),
    ] {
        let mut member = named(cx, n, name)?;
        if name == GOOD {
            gets_keys(cx, &mut member, "pull.identity-admits", RULES, what);
        } else {
            gets_nothing(cx, &mut member, "pull.identity-refuses", RULES, what)?;
        }
    }
    // Under an SA of the other identity, but sent from the listed address: the identity of phase 1 still counts.
    let mut member = named(cx, 1, OTHER)?;
    member.script.tester = Party::Tester(2);
    member.script.me = cx.tester(2);
    const MOVED: &[&str] = &["GDOI-P1-014", "GDOI-NEG-052"];
    gets_nothing(cx, &mut member, "pull.identity-stays", MOVED, "a request from a listed address under another SA")?;
    let mut witness = scene.member(cx, 11);
    witness.script.credentials.identity = Some(fqdn(GOOD));
    scene.finish_with(cx, &mut witness)
}

fn per_group(cx: &mut Cx<'_>) -> Flow {
    const OTHER_GROUP: u32 = 4_321;
    let mut setup = KsSetup::standard(cx.world);
    let other = Group { id: OTHER_GROUP, members: vec![ip_identity(cx.tester(5).ip())], ..setup.group().clone() };
    setup.groups.push(other);
    let scene = KsScene::start(cx, setup)?;
    let (mut member, _) = scene.register(cx, 0)?;
    member.script.group = OTHER_GROUP;
    const RULES: &[&str] = &["GDOI-P1-015", "GDOI-PULL-027"];
    gets_nothing(cx, &mut member, "pull.other-group-refused", RULES, "a member of one group asks for another")?;
    member.script.group = GROUP;
    survives(cx, &scene, &mut member, "a request for another group")?;
    let mut owner = scene.phase1(cx, 5)?;
    owner.script.group = OTHER_GROUP;
    gets_keys(cx, &mut owner, "pull.other-group-served", &["GDOI-P1-015"], "the member of the other group");
    scene.finish(cx)
}

fn revoke(cx: &mut Cx<'_>, n: u8) -> Flow {
    let identity = ip_identity(cx.tester(n).ip());
    let request = format!(r#"{{"cmd":"revoke","group":{GROUP},"identity":"{identity}"}}"#);
    cx.world.command(0, &request)?;
    Ok(())
}

fn withdrawn(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (mut member, _) = scene.register(cx, 0)?;
    let (mut other, _) = scene.register(cx, 1)?;
    drop(complete(cx, &mut member)?);
    revoke(cx, 0)?;
    const RULES: &[&str] = &["GDOI-NEG-016", "GDOI-PULL-027"];
    gets_nothing(cx, &mut member, "pull.withdrawn-refused", RULES, "the authorization was withdrawn")?;
    survives(cx, &scene, &mut other, "another member's authorization")?;
    scene.finish(cx)
}

fn withdrawn_in_between(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (mut member, _) = scene.register(cx, 0)?;
    let (mut other, _) = scene.register(cx, 1)?;
    open(cx, &mut member)?;
    revoke(cx, 0)?;
    sent(member.send_pull3(cx.world))?;
    let seen = member.collect(cx.world, WINDOW);
    let keys = seen.iter().any(|seen| seen.step == Step::Pull4 && !seen.repeat);
    const RULES: &[&str] = &["GDOI-NEG-017"];
    cx.grave_silence("pull.withdrawn-before-keys", RULES, !keys, "no message 4", words(&seen));
    survives(cx, &scene, &mut other, "another member's authorization")?;
    scene.finish(cx)
}

fn unlisted_certificate(cx: &mut Cx<'_>) -> Flow {
    let broken =
        |error: hallmark_crypto::cert::CertError| Stop::Inconclusive(format!("the tester's authority: {error}"));
    const GOOD: &str = "gm1.hallmark.example";
    const OTHER: &str = "gm2.hallmark.example";
    let suite = Suite { auth: Auth::Rsa, ..Suite::default() };
    let mut authority = Authority::trusted(cx.world).map_err(broken)?;
    let mut setup = KsSetup::standard(cx.world);
    let (certificate, private_key) = authority.subject(Auth::Rsa, setup.listen.ip()).map_err(broken)?;
    let trust_anchors = vec![authority.pem().map_err(broken)?];
    setup.phase1.credentials = Some(Credentials { certificate, private_key, trust_anchors, crls: Vec::new() });
    setup.phase1.proposals = vec![suite.name()];
    let mut peer = Peer::standard("0.0.0.0/0");
    peer.identities = [GOOD, OTHER].map(|name| format!("fqdn:{name}")).to_vec();
    setup.peers = vec![peer];
    setup.group().members = vec![format!("fqdn:{GOOD}")];
    let scene = KsScene::start(cx, setup)?;
    let key = hallmark_probe::certs::tester_key(Auth::Rsa);
    let key = cx.have(key, "the tester has no RSA key")?;
    let mut certified = |cx: &mut Cx<'_>, n: u8, name: &str| -> Flow<ProbeGm> {
        let spec = authority.spec(&format!("CN={name}"), 300 + u64::from(n)).with_dns(name);
        let mut credentials = authority.credentials(&spec, key.clone()).map_err(broken)?;
        credentials.identity = Some(fqdn(name));
        let mut member = scene.member(cx, n);
        member.script.suites = vec![suite];
        member.script.credentials = credentials;
        member.script.patience = Duration::from_secs(20);
        Ok(member)
    };
    const RULES: &[&str] = &["REG-008", "GDOI-PULL-027"];
    for (n, name, listed) in [(0, GOOD, true), (1, OTHER, false)] {
        let mut member = certified(cx, n, name)?;
        let established = member.phase1(cx.world).map(drop);
        established.map_err(|fault| Stop::Inconclusive(format!("phase 1 as {name}: {fault}")))?;
        cx.alive_before("phase 1 with certificates completed");
        if listed {
            gets_keys(cx, &mut member, "pull.listed-certificate", RULES, "listed identity");
        } else {
            gets_nothing(cx, &mut member, "pull.unlisted-certificate", RULES, "valid certificate, unlisted identity")?;
        }
    }
    let mut witness = certified(cx, 11, GOOD)?;
    scene.finish_with(cx, &mut witness)
}
