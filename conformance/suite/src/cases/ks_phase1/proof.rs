//! Message 5: who the member says it is, and how it proves that it is.

use hallmark_probe::Sa;
use hallmark_probe::edit;
use hallmark_probe::edit::attributes;
use hallmark_probe::gm::ProbeGm;
use hallmark_probe::step::Step;
use hallmark_probe::suite::class;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::isakmp::{IdType, PayloadType, vendor_id};

use super::kit::{
    Trial, WINDOW, afresh, completes, hears, lead_to, messages_refused, pull_served, refuse_messages, sent, words,
};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;
use crate::setup::{KsSetup, Peer, ip_identity};

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKER-054", "gdoi.phase1", Must, Ks,
        title: "message 5 without an ID aborts",
        purpose: "The identity decides what a member may get; without one the server would have to make it up.",
        requirements: ["IKE-MM-017"],
        sources: ["RFC 2407 §4.2.1"],
        catches: ["ike_missing_id_accepted"],
        run: |cx| messages_refused(cx, &Trial::new("phase1.id-missing", &["IKE-MM-017"], Step::Main5), vec![
            ("no ID", Tamper::content(|m| edit::remove(m, PayloadType::ID))),
        ]),
    },
    case! {
        "IKER-055", "gdoi.phase1", Must, Ks,
        title: "an ID with protocol and port 0/0 or 17/500 is served as it stands, another one aborts",
        purpose: "Deployed members send both forms, and the HASH covers the octets as they were sent; everything else \
                  restricts the SA to traffic that phase 1 does not carry.",
        requirements: ["IKE-MM-018", "IKE-MM-032"],
        sources: ["RFC 2407 §4.6.2", "RFC 2409 §5"],
        catches: ["ike_id_port_not_checked"],
        run: id_ports,
    },
    case! {
        "IKER-056", "gdoi.phase1", Must, Ks,
        title: "an ID of an unknown type, or one that does not fit its type, is discarded",
        purpose: "Whoever cannot be named cannot be authorized.",
        requirements: ["IKE-MM-020"],
        sources: ["RFC 2408 §5.8", "RFC 2407 §4.6.2.1"],
        catches: ["ike_unknown_id_type_accepted"],
        run: |cx| {
            let typed = |kind: u8, data: &'static [u8]| {
                Tamper::content(move |m| edit::identification(m, |id| {
                    id.id_type = IdType(kind);
                    id.data = data.to_vec();
                }))
            };
            messages_refused(cx, &Trial::new("phase1.id-type-refused", &["IKE-MM-020"], Step::Main5), vec![
                ("type 200", typed(200, &[10, 0, 0, 1])),
                ("type 0", typed(0, &[10, 0, 0, 1])),
                ("an IPv4 address of 3 octets", typed(1, &[10, 0, 0])),
            ])
        },
    },
    case! {
        "IKER-057", "gdoi.phase1", Must, Ks,
        title: "a wrong HASH or key lets nobody in",
        purpose: "This is the one place where a pre-shared key protects the group. After a failed proof there must be \
                  no SA, no policy and no key.",
        requirements: ["IKE-MM-006", "IKE-MM-024", "IKE-MM-025", "IKE-MM-036"],
        sources: ["RFC 2408 §5.11", "RFC 2409 §5.4"],
        catches: ["ike_hash_not_verified"],
        cost: 60,
        run: wrong_proofs,
    },
    case! {
        "IKER-058", "gdoi.phase1", Must, Ks,
        title: "a HASH of another length, or another kind of proof, is refused",
        purpose: "A comparison that stops where the received value stops accepts one octet, guessed in 256 tries.",
        requirements: ["IKE-MM-027", "IKE-MM-030"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_hash_prefix_accepted"],
        cost: 60,
        run: hash_forms,
    },
    case! {
        "IKER-059", "gdoi.phase1", Must, Ks,
        title: "each address has its own pre-shared key",
        purpose: "In main mode the address chooses the key. A server that takes one key for all lets each member \
                  register as any other.",
        requirements: ["IKE-MM-021"],
        sources: ["RFC 2409 §5.4"],
        catches: ["ike_psk_of_first_peer"],
        needs: [Setup, ManyAddresses],
        run: key_by_address,
    },
    case! {
        "IKER-060", "gdoi.phase1", Should, Ks,
        title: "only listed identities are served",
        purpose: "A shared group key opens the door to everyone who has it; the list of identities is what keeps a \
                  removed member out.",
        requirements: ["IKE-MM-023"],
        sources: ["RFC 6407 §3.1"],
        catches: ["ike_identity_not_authorized"],
        needs: [Setup],
        run: listed_identities,
    },
    case! {
        "IKER-061", "gdoi.phase1", Must, Ks,
        title: "the HASH covers the offer as it was sent",
        purpose: "A server that hashes its own writing of the SA authenticates only members that write as it does: \
                  with a second transform or another order of attributes they fail with a wrong HASH.",
        requirements: ["IKE-MM-031"],
        sources: ["RFC 2409 §3.2"],
        catches: ["ike_hashes_own_answer"],
        run: offer_hashed_verbatim,
    },
];

fn id_ports(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let pair = |protocol: u8, port: u16| {
        Tamper::content(move |m| edit::identification(m, |id| (id.protocol, id.port) = (protocol, port)))
    };
    let mut member = scene.member(cx, 1);
    // With NAT traversal the port has to be 0.
    member.script.vendor_ids.retain(|id| id.as_slice() != vendor_id::NAT_T_RFC3947);
    member.tamper(Step::Main5, pair(17, 500));
    completes(cx, &mut member, "phase1.id-17-500-served", &["IKE-MM-018", "IKE-MM-032"], "protocol 17, port 500");
    refuse_messages(
        cx,
        &scene,
        &Trial::new("phase1.id-port-refused", &["IKE-MM-018"], Step::Main5),
        vec![("protocol 6, port 22", pair(6, 22)), ("protocol 17, port 53", pair(17, 53))],
    )?;
    scene.finish(cx)
}

fn wrong_proofs(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let flip = |octet: usize, bit: u8| Tamper::sealed(move |m| edit::flip_bit(m, PayloadType::HASH, octet, bit));
    let wrong: Vec<(&str, Tamper, Option<&str>)> = vec![
        ("first bit of HASH_I flipped", flip(0, 7), None),
        ("last bit of HASH_I flipped", flip(31, 0), None),
        ("HASH_I zero", Tamper::sealed(|m| edit::set_body(m, PayloadType::HASH, vec![0; 32])), None),
        ("another pre-shared key", Tamper::none(), Some("not the key of this group")),
    ];
    for (what, tamper, psk) in wrong {
        let mut member = scene.member(cx, 1);
        let right = member.script.credentials.psk.clone();
        if let Some(psk) = psk {
            member.script.credentials.psk = psk.as_bytes().to_vec();
        }
        lead_to(cx, &mut member, Step::Main5)?;
        member.tamper(Step::Main5, tamper);
        sent(member.send_main5(cx.world))?;
        let seen = member.collect(cx.world, WINDOW);
        let served = seen.iter().any(|seen| seen.step == Step::Main6);
        let requirement = if psk.is_some() { "IKE-MM-024" } else { "IKE-MM-025" };
        let observed = format!("{what}: {}", words(&seen));
        cx.grave_silence("phase1.wrong-proof-refused", &["IKE-MM-006", requirement], !served, "no message 6", observed);
        // What the tester would use if the server had believed it.
        member.sa = member.half_open_sa().cloned().map(|sa: Sa| after_message_5(sa, &member));
        let (served, came) = pull_served(cx, &mut member)?;
        let observed = format!("{what}: {came}");
        cx.grave_silence("phase1.no-sa-after-failure", &["IKE-MM-036"], !served, "no message 2 of PULL", observed);
        member.script.credentials.psk = right;
        afresh(cx, &scene, &mut member, &["IKE-MM-025"])?;
    }
    scene.finish(cx)
}

/// Gives the SA as it would stand if message 5 had been the last message: its last block starts every later IV.
fn after_message_5(mut sa: Sa, member: &ProbeGm) -> Sa {
    if let Some(sent) = member.last_sent(Step::Main5) {
        let start = sent.octets.len().saturating_sub(sa.suite.cipher.block_len());
        sa.last_block = sent.octets.get(start..).unwrap_or_default().to_vec();
    }
    sa
}

fn hash_forms(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let resize = |len: usize| Tamper::sealed(move |m| edit::body(m, PayloadType::HASH, |body| body.resize(len, 0)));
    let check = "phase1.hash-length";
    refuse_messages(
        cx,
        &scene,
        &Trial::new(check, &["IKE-MM-027"], Step::Main5).grave(),
        vec![("no octet of HASH_I", resize(0)), ("the first octet of HASH_I", resize(1))],
    )?;
    refuse_messages(
        cx,
        &scene,
        &Trial::new(check, &["IKE-MM-027"], Step::Main5),
        vec![
            ("the first 16 octets of HASH_I", resize(16)),
            ("HASH_I without its last octet", resize(31)),
            ("HASH_I and one octet more", resize(33)),
        ],
    )?;
    let trial = Trial::new("phase1.proof-of-the-method", &["IKE-MM-030"], Step::Main5).grave();
    refuse_messages(
        cx,
        &scene,
        &trial,
        vec![("HASH_I in a SIG payload", Tamper::sealed(|m| edit::retype(m, PayloadType::HASH, PayloadType::SIG)))],
    )?;
    scene.finish(cx)
}

fn key_by_address(cx: &mut Cx<'_>) -> Flow {
    let mut setup = KsSetup::standard(cx.world);
    let keys: [(u8, &str); 2] = [(1, "the key of the first member"), (2, "the key of the second member")];
    for (index, (n, key)) in keys.into_iter().enumerate() {
        let mut peer = Peer::standard(cx.tester(n).ip());
        peer.psk = key.as_bytes().to_vec();
        setup.peers.insert(index, peer);
    }
    let scene = KsScene::start(cx, setup)?;
    hears(cx, &scene)?;
    for (n, own) in keys {
        let mut member = scene.member(cx, n);
        member.script.credentials.psk = own.as_bytes().to_vec();
        completes(cx, &mut member, "phase1.own-key-served", &["IKE-MM-021"], &format!("end {n} with its own key"));
        let other = keys.iter().find(|(m, _)| *m != n).map_or(own, |(_, key)| key);
        let mut member = scene.member(cx, n);
        member.script.credentials.psk = other.as_bytes().to_vec();
        lead_to(cx, &mut member, Step::Main5)?;
        sent(member.send_main5(cx.world))?;
        let seen = member.collect(cx.world, WINDOW);
        let served = seen.iter().any(|seen| seen.step == Step::Main6);
        let observed = format!("end {n} with the key of the other: {}", words(&seen));
        cx.grave_silence("phase1.other-key-refused", &["IKE-MM-021"], !served, "no message 6", observed);
    }
    scene.finish(cx)
}

fn listed_identities(cx: &mut Cx<'_>) -> Flow {
    let mut setup = KsSetup::standard(cx.world);
    let listed = "gm1.hallmark.example";
    if let Some(peer) = setup.peers.first_mut() {
        // The first and the last end of the tester prove that the server is alive.
        peer.identities =
            vec![format!("fqdn:{listed}"), ip_identity(cx.tester(0).ip()), ip_identity(cx.tester(11).ip())];
    }
    let scene = KsScene::start(cx, setup)?;
    drop(scene.phase1(cx, 0)?);
    let named = |cx: &mut Cx<'_>, name: &str| {
        let mut member = scene.member(cx, 1);
        member.script.credentials.identity = Some(hallmark_probe::certs::fqdn(name));
        member
    };
    let mut member = named(cx, listed);
    let registered = member.register(cx.world);
    let observed = registered.as_ref().map_or_else(ToString::to_string, |_| "registered".to_owned());
    cx.check("phase1.listed-identity-served", &["IKE-MM-023"], registered.is_ok(), "it registers", observed);
    for name in ["gm2.hallmark.example", "gm1.hallmark.example.org", ""] {
        let mut member = if name.is_empty() { scene.member(cx, 1) } else { named(cx, name) };
        let registered = member.register(cx.world);
        let ok = registered.as_ref().err().is_some_and(hallmark_probe::Fault::is_refusal);
        let who = if name.is_empty() { "its address" } else { name };
        let observed = registered.as_ref().map_or_else(ToString::to_string, |_| "registered".to_owned());
        cx.silence(
            "phase1.unlisted-identity-refused",
            &["IKE-MM-023"],
            ok,
            "no registration",
            format!("{who}: {observed}"),
        );
    }
    // In the same place the listed one is still served.
    let mut member = named(cx, listed);
    let listed = member.register(cx.world);
    cx.require(listed.is_ok(), "the listed identity no longer registers")?;
    scene.finish(cx)
}

fn offer_hashed_verbatim(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let offers: Vec<(&str, Tamper)> = vec![
        (
            "a transform that the server does not know in front",
            Tamper::content(|m| {
                edit::sa(m, |sa| {
                    for proposal in &mut sa.proposals {
                        let Some(mut unknown) = proposal.transforms.first().cloned() else { continue };
                        unknown.id = 77;
                        proposal.transforms.iter_mut().for_each(|transform| transform.number = 2);
                        proposal.transforms.insert(0, unknown);
                    }
                })
            }),
        ),
        (
            "attributes in another order",
            Tamper::content(|m| {
                edit::transform(m, 0, |a| {
                    // Life type and duration stay a pair.
                    a.0.sort_by_key(|attribute| match attribute.class {
                        class::LIFE_TYPE => 0,
                        class::LIFE_DURATION => 1,
                        other => 100 - other,
                    });
                })
            }),
        ),
        (
            "the life duration in short form",
            Tamper::content(|m| {
                edit::transform(m, 0, |a| {
                    attributes::set(a, class::LIFE_DURATION, 3_600);
                })
            }),
        ),
        (
            "an SPI in the proposal",
            Tamper::content(|m| {
                edit::sa(m, |sa| {
                    sa.proposals.iter_mut().for_each(|proposal| proposal.spi = vec![3; 8]);
                })
            }),
        ),
    ];
    for (what, tamper) in offers {
        let mut member = scene.member(cx, 1);
        member.tamper(Step::Main1, tamper);
        completes(cx, &mut member, "phase1.offer-hashed-as-sent", &["IKE-MM-031"], what);
    }
    scene.finish(cx)
}
