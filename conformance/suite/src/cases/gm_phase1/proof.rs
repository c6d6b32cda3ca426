//! Message 6: the server's identity and its proof. Nothing of the group is asked for before it has verified.

use hallmark_probe::certs::fqdn;
use hallmark_probe::edit;
use hallmark_probe::ks::Reply;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::{Tamper, octets};
use hallmark_wire::isakmp::{ExchangeType, IdType, Identification, Notify, NotifyType, PayloadType};

use super::kit::{
    Trial, WINDOW, answers_accepted, answers_refused, answers_refused_by, cookies, garbage, judge_silence, observe,
    reach, recover, registers, start, words,
};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::GmScene;

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKEI-040", "gdoi.phase1", Must, Gm,
        title: "a wrong HASH_R is not followed by a PULL",
        purpose: "HASH_R is all that tells the key server from whoever sits between. A member that goes on regardless asks a stranger \
                  for its keys, and gets the stranger's.",
        requirements: ["IKE-MM-025", "IKE-MM-026", "IKE-MM-030"],
        sources: ["RFC 2408 §5.11", "RFC 2409 §5"],
        catches: ["ike_hash_not_verified"],
        cost: 40,
        run: |cx| {
            let trial = Trial::new("phase1.wrong-hash-r-refused", &["IKE-MM-025", "IKE-MM-026"], Step::Main6).grave();
            answers_refused(cx, &trial, vec![
                ("one bit flipped", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::HASH, 31, 0))),
                ("all zero", Tamper::sealed(|m| edit::set_body(m, PayloadType::HASH, vec![0; 32]))),
                ("over another identity", Tamper::hashed(|input| input.set("id_b", vec![1, 0, 0, 0, 10, 9, 8, 7]))),
                ("over another offer", Tamper::hashed(|input| input.set("sai_b", vec![0; 40]))),
            ])?;
            let trial = Trial::new("phase1.proof-of-the-method", &["IKE-MM-030"], Step::Main6).grave();
            answers_refused(cx, &trial, vec![
                ("a SIG where a HASH was agreed on", Tamper::sealed(|m| edit::retype(m, PayloadType::HASH, PayloadType::SIG))),
            ])
        },
    },
    case! {
        "IKEI-041", "gdoi.phase1", Should, Gm,
        title: "a HASH_R of another length is refused",
        purpose: "Whoever compares only what was sent accepts a HASH of one octet once in 256 tries, and an empty one at once.",
        requirements: ["IKE-MM-027"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_hash_prefix_accepted"],
        cost: 30,
        run: |cx| {
            let cut = |len: usize| Tamper::sealed(move |m| edit::body(m, PayloadType::HASH, |body| body.resize(len, 0)));
            let trial = Trial::new("phase1.hash-r-length", &["IKE-MM-027"], Step::Main6).grave();
            answers_refused(cx, &trial, vec![
                ("the first 16 octets", cut(16)),
                ("the first octet", cut(1)),
                ("one octet too many", cut(33)),
            ])
        },
    },
    case! {
        "IKEI-042", "gdoi.phase1", Must, Gm,
        title: "the member's own HASH_I does not prove who the server is",
        purpose: "Someone who knows no key at all can send back what he was sent.",
        requirements: ["IKE-MM-028"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_reflected_hash_accepted"],
        run: reflected_proof,
    },
    case! {
        "IKEI-043", "gdoi.phase1", Must, Gm,
        title: "a message 6 in clear is refused",
        purpose: "Whether a message was protected must not be the sender's choice.",
        requirements: ["IKE-HDR-010"],
        sources: ["RFC 2409 §5", "RFC 2408 §5.2"],
        catches: ["ike_accepts_clear_authentication"],
        run: |cx| {
            let trial = Trial::new("phase1.clear-message-6-refused", &["IKE-HDR-010"], Step::Main6);
            answers_refused(cx, &trial, vec![("ID and HASH_R in clear", Tamper::none().in_clear())])
        },
    },
    case! {
        "IKEI-044", "gdoi.phase1", Must, Gm,
        title: "a message 6 without ID is refused",
        purpose: "Without a name there is nothing to look up in the list of key servers.",
        requirements: ["IKE-MM-017"],
        sources: ["RFC 2407 §4.2.1"],
        catches: ["ike_missing_id_accepted"],
        run: |cx| {
            let trial = Trial::new("phase1.message-6-without-id-refused", &["IKE-MM-017"], Step::Main6);
            answers_refused(cx, &trial, vec![("no ID", Tamper::content(|m| edit::remove(m, PayloadType::ID)))])
        },
    },
    case! {
        "IKEI-045", "gdoi.phase1", Must, Gm,
        title: "protocol and port of the server's ID are 0/0 or 17/500",
        purpose: "Other values say that the identity is good for something else only.",
        requirements: ["IKE-MM-018", "IKE-MM-032"],
        sources: ["RFC 2407 §4.6.2"],
        catches: ["ike_id_port_not_checked"],
        cost: 20,
        run: |cx| {
            let ports = |protocol: u8, port: u16| Tamper::content(move |m| {
                edit::identification(m, |id| (id.protocol, id.port) = (protocol, port));
            });
            answers_accepted(cx, "phase1.usual-id-port-taken", &["IKE-MM-032"], vec![("17/500", Step::Main6, ports(17, 500))])?;
            let trial = Trial::new("phase1.strange-id-port-refused", &["IKE-MM-018"], Step::Main6);
            answers_refused(cx, &trial, vec![("6/22", ports(6, 22)), ("17/53", ports(17, 53))])
        },
    },
    case! {
        "IKEI-046", "gdoi.phase1", Must, Gm,
        title: "an ID of an unknown type is refused",
        purpose: "What cannot be read cannot be on the list of key servers.",
        requirements: ["IKE-MM-020"],
        sources: ["RFC 2408 §5.8"],
        catches: ["ike_unknown_id_type_accepted"],
        run: |cx| {
            let trial = Trial::new("phase1.unknown-id-type-refused", &["IKE-MM-020"], Step::Main6);
            let unknown = |m: &mut hallmark_wire::raw::RawMessage| edit::identification(m, |id| id.id_type = IdType(200));
            answers_refused(cx, &trial, vec![("type 200", Tamper::content(unknown))])
        },
    },
    case! {
        "IKEI-047", "gdoi.phase1", Must, Gm,
        title: "a server that authenticates under an identity that is not on the list gets no PULL",
        purpose: "Every member of a group with one shared key could otherwise play the key server for all others.",
        requirements: ["IKE-MM-022", "GDOI-P1-011", "GDOI-P1-012"],
        sources: ["RFC 6407 §3.1", "RFC 6407 §7.2.6"],
        catches: ["ike_identity_not_authorized"],
        needs: [Setup],
        cost: 20,
        run: unlisted,
    },
    case! {
        "IKEI-048", "gdoi.phase1", Must, Gm,
        title: "a partial block of ciphertext is dropped and leaves the exchange alone",
        purpose: "It costs an attacker one datagram; it must not cost the member its registration.",
        requirements: ["IKE-HDR-017"],
        sources: ["RFC 2409 App. B"],
        catches: ["ike_partial_block_kills"],
        run: |cx| {
            let trial = Trial::new("phase1.partial-block-dropped", &["IKE-HDR-017"], Step::Main6)
                .keeps("phase1.exchange-survives-partial-block", &["IKE-HDR-017"]);
            let cut = Tamper::wire(|o| {
                let len = o.len().saturating_sub(1);
                octets::resize_and_fix(o, len);
            });
            answers_refused(cx, &trial, vec![("one octet cut off", cut)])
        },
    },
    case! {
        "IKEI-049", "gdoi.phase1", Should, Gm,
        title: "garbage under the right cookies does not disturb the decryption of message 6",
        purpose: "The cookies are public. If garbage moved the IV, one datagram of anyone would end every registration.",
        requirements: ["IKE-MM-033"],
        sources: ["RFC 2409 §10"],
        catches: ["ike_iv_advanced_by_garbage"],
        run: garbage_before_proof,
    },
    case! {
        "IKEI-050", "gdoi.phase1", Should, Gm,
        title: "padding of a whole block or of other octets than zero does no harm",
        purpose: "Some servers always add a block, some pad with what is at hand.",
        requirements: ["IKE-PAY-009"],
        sources: ["RFC 2409 App. B"],
        catches: ["ike_extra_padding_refused"],
        cost: 10,
        run: |cx| answers_accepted(cx, "phase1.generous-padding-taken", &["IKE-PAY-009"], vec![
            ("a block of zeros", Step::Main6, Tamper::none().pad_with(vec![0; 16])),
            ("three octets ff", Step::Main6, Tamper::none().pad_with(vec![0xff; 3])),
        ]),
    },
    case! {
        "IKEI-051", "gdoi.phase1", Should, Gm,
        title: "a notification beside a good HASH_R does not undo it",
        purpose: "In message 6 a notification is not covered by HASH_R: anyone who can bend ciphertext can put one there.",
        requirements: ["IKE-MM-034"],
        sources: ["RFC 2407 §4.6.3"],
        catches: ["ike_chained_notify_aborts"],
        run: |cx| {
            let chained = |m: &mut hallmark_wire::raw::RawMessage| {
                let kind = NotifyType(14);
                let notify = Notify { doi: 2, protocol: 1, spi: Vec::new(), kind, data: Vec::new() };
                edit::push(m, PayloadType::NOTIFY, notify.encode_body());
            };
            answers_accepted(cx, "phase1.chained-notify-ignored", &["IKE-MM-034"], vec![
                ("NO-PROPOSAL-CHOSEN in message 6", Step::Main6, Tamper::content(chained)),
            ])
        },
    },
    case! {
        "IKEI-052", "gdoi.phase1", Must, Gm,
        title: "in aggressive mode, too, nothing follows a wrong HASH_R",
        purpose: "The proof comes earlier there, and must be looked at all the same.",
        requirements: ["IKE-AM-002", "IKE-AM-007"],
        sources: ["RFC 2409 §5.4"],
        catches: ["ike_hash_not_verified"],
        needs: [Setup],
        cost: 20,
        run: aggressive,
    },
    case! {
        "IKEI-053", "gdoi.phase1", Should, Gm,
        title: "message 6 before message 4 is ignored",
        purpose: "Packets overtake each other, and strangers send what they like; the exchange must wait for what is due.",
        requirements: ["IKE-MM-013"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_out_of_order_kills"],
        run: early_proof,
    },
];

fn reflected_proof(cx: &mut Cx<'_>) -> Flow {
    let trial = Trial::new("phase1.reflected-proof-refused", &["IKE-MM-028"], Step::Main6).grave();
    for (what, whole) in [("ID and HASH_I as message 6", true), ("HASH_I under the server's ID", false)] {
        let mut scene = GmScene::standard(cx)?;
        scene.ks.reply(Step::Main6, Reply::Silent);
        let request = reach(cx, &mut scene.ks, Step::Main5)?;
        let id = request.body(PayloadType::ID).unwrap_or_default().to_vec();
        let hash = request.body(PayloadType::HASH).unwrap_or_default().to_vec();
        cx.require(!hash.is_empty(), "message 5 holds no HASH_I")?;
        // Message 6 is built anew, with what the member said itself.
        scene.ks.tamper(
            Step::Main6,
            Tamper::sealed(move |m| {
                if whole {
                    edit::set_body(m, PayloadType::ID, id.clone());
                }
                edit::set_body(m, PayloadType::HASH, hash.clone());
            }),
        );
        scene.ks.answer_all();
        scene.ks.send_again(cx.world, Step::Main6);
        scene.ks.serve_for(cx.world, WINDOW);
        if !judge_silence(cx, &trial, what, &scene, &request) {
            recover(cx, &trial, what, &mut scene, &request)?;
        }
    }
    Ok(())
}

fn unlisted(cx: &mut Cx<'_>) -> Flow {
    let requirements = ["IKE-MM-022", "GDOI-P1-011", "GDOI-P1-012"];
    let trial = Trial::new("phase1.unlisted-server-refused", &requirements, Step::Main6).grave();
    let other = cx.tester(3).ip();
    let strangers = [("a host name", fqdn("stranger.example")), ("another address", Identification::from_ip(other))];
    for (what, identity) in strangers {
        let listed = "fqdn:ks.hallmark.example".to_owned();
        let mut scene = start(
            cx,
            |setup| setup.servers.iter_mut().for_each(|server| server.identities = vec![listed.clone()]),
            |script| script.credentials.identity = Some(identity),
        )?;
        let request = reach(cx, &mut scene.ks, Step::Main5)?;
        scene.ks.serve_for(cx.world, WINDOW);
        if judge_silence(cx, &trial, what, &scene, &request) {
            continue;
        }
        scene.ks.script.credentials.identity = Some(fqdn("ks.hallmark.example"));
        scene.ks.forget_sas();
        registers(cx, trial.requirements, what, &mut scene)?;
    }
    Ok(())
}

fn garbage_before_proof(cx: &mut Cx<'_>) -> Flow {
    let mut scene = GmScene::standard(cx)?;
    scene.ks.reply(Step::Main6, Reply::Silent);
    let request = reach(cx, &mut scene.ks, Step::Main5)?;
    let to = request.from();
    scene.ks.send_raw(cx.world, to, garbage(cookies(&request), ExchangeType::MAIN, 0, 64));
    scene.ks.serve_for(cx.world, WINDOW);
    let trial = Trial::new("phase1.garbage-ignored", &["IKE-MM-033"], Step::Main6)
        .keeps("phase1.exchange-survives-garbage", &["IKE-MM-033"]);
    if judge_silence(cx, &trial, "garbage", &scene, &request) {
        return Ok(());
    }
    recover(cx, &trial, "garbage before message 6", &mut scene, &request)
}

fn aggressive(cx: &mut Cx<'_>) -> Flow {
    let make = |cx: &mut Cx<'_>| start(cx, |setup| setup.phase1.aggressive = true, |_| {});
    let mut scene = make(cx)?;
    let result = observe(cx, &mut scene)?;
    if scene.ks.log.count(Step::Aggressive1) == 0 {
        return Err(crate::cx::Stop::NotSupported("gm.aggressive".to_owned(), "false".to_owned()));
    }
    let observed = result.map_or_else(|fault| fault.to_string(), |()| "registered".to_owned());
    cx.check(
        "phase1.aggressive-completes",
        &["IKE-AM-002"],
        observed == "registered",
        "the registration completes",
        observed,
    );
    let trial = Trial::new("phase1.aggressive-hash-r-refused", &["IKE-AM-007"], Step::Aggressive2).grave();
    let wrong = vec![("one bit flipped", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::HASH, 31, 0)))];
    answers_refused_by(cx, &trial, wrong, &mut |cx| make(cx))
}

fn early_proof(cx: &mut Cx<'_>) -> Flow {
    let mut scene = GmScene::standard(cx)?;
    scene.ks.reply(Step::Main4, Reply::Silent);
    let request = reach(cx, &mut scene.ks, Step::Main3)?;
    scene.ks.send_raw(cx.world, request.from(), garbage(cookies(&request), ExchangeType::MAIN, 0, 80));
    scene.ks.serve_for(cx.world, WINDOW);
    let since: Vec<_> = scene.ks.log.since(request.at).skip(1).cloned().collect();
    let trial = Trial::new("phase1.early-message-6-ignored", &["IKE-MM-013"], Step::Main4)
        .keeps("phase1.exchange-survives-early-message", &["IKE-MM-013"]);
    if judge_silence(cx, &trial, &words(&since), &scene, &request) {
        return Ok(());
    }
    recover(cx, &trial, "message 6 before message 4", &mut scene, &request)
}
