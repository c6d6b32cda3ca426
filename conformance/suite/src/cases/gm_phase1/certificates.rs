//! Signatures and certificates in place of a pre-shared key.

use hallmark_core::Rng;
use hallmark_crypto::HashAlg;
use hallmark_crypto::cert::issue_ca;
use hallmark_probe::Credentials;
use hallmark_probe::certs::{Authority, fqdn, tester_key};
use hallmark_probe::edit;
use hallmark_probe::keys;
use hallmark_probe::ks::KsScript;
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_probe::suite::{Auth, Suite};
use hallmark_probe::tamper::{Tamper, rsa_block};
use hallmark_wire::isakmp::{Certificate, CertificateRequest, Identification, PayloadType};

use super::kit::{Trial, WINDOW, Wrong, completes, judge_refusal, judge_silence, message, observe, reach, registers};
use crate::Case;
use crate::cases::phase1::{self, block, issued};
use crate::cx::{Cx, Flow};
use crate::scene::GmScene;
use crate::setup::{self, GmSetup};

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKEI-080", "gdoi.phase1", Must, Gm,
        title: "a member signs the bare HASH_I, sends the certificate that was asked for and asks for the server's",
        purpose: "In IKEv1 the signature is over the HASH itself. A DigestInfo around it, or a certificate left out, and no server of \
                  another make can authenticate the member.",
        requirements: ["IKE-AUTH-001", "IKE-AUTH-012", "IKE-AUTH-015", "IKE-AUTH-016", "IKE-KEY-002"],
        sources: ["RFC 2409 §5.1", "RFC 4945 §3.2"],
        catches: ["ike_signs_digest_info", "ike_certificate_never_sent", "ike_certreq_never_sent"],
        needs: [Setup],
        run: own_signature,
    },
    case! {
        "IKEI-081", "gdoi.phase1", Must, Gm,
        title: "ECDSA brings its own hash, and two numbers of fixed width",
        purpose: "The method decides the hash that is signed, whatever was negotiated for everything else; the signature is r and s \
                  side by side.",
        requirements: ["IKE-AUTH-004", "IKE-AUTH-005"],
        sources: ["RFC 4754 §7", "RFC 2409 §5.1"],
        catches: ["ike_ecdsa_negotiated_hash"],
        needs: [Setup],
        run: ecdsa,
    },
    case! {
        "IKEI-082", "gdoi.phase1", Should, Gm,
        title: "a server's signature over a DigestInfo is refused",
        purpose: "Two accepted forms are one more than anybody checks; this one is no IKEv1 signature.",
        requirements: ["IKE-AUTH-002"],
        sources: ["RFC 2409 §5.1"],
        catches: ["ike_digest_info_accepted"],
        needs: [Setup],
        run: |cx| refused(cx, &Trial::new("phase1.server-digest-info-refused", &["IKE-AUTH-002"], Step::Main6), vec![
            ("HASH_R in a DigestInfo", Tamper::none().sign_block(|hash, len| {
                block(len, &[rsa_block::digest_info(HashAlg::Sha256), hash].concat(), &[])
            })),
        ]),
    },
    case! {
        "IKEI-083", "gdoi.phase1", Should, Gm,
        title: "a server's signature block must be full of padding and end with the HASH",
        purpose: "A verifier that reads the block from the left and stops after the HASH takes signatures that anyone can make for \
                  keys with exponent 3.",
        requirements: ["IKE-AUTH-003"],
        sources: ["RFC 8017 §8.2.2"],
        catches: ["ike_lax_signature_padding"],
        needs: [Setup],
        cost: 20,
        run: |cx| refused(cx, &Trial::new("phase1.server-signature-padding", &["IKE-AUTH-003"], Step::Main6), vec![
            ("8 octets of padding and garbage behind the HASH", Tamper::none().sign_block(|hash, len| {
                let garbage = len.saturating_sub(hash.len() + 11);
                block(len, hash, &vec![0xaa; garbage])
            })),
            ("one octet of garbage behind the HASH", Tamper::none().sign_block(|hash, len| block(len, hash, &[0xaa]))),
        ]),
    },
    case! {
        "IKEI-084", "gdoi.phase1", Must, Gm,
        title: "a wrong signature of the server is not followed by a PULL",
        purpose: "A certificate is public; only the signature proves that the server owns it.",
        requirements: ["IKE-AUTH-007"],
        sources: ["RFC 2408 §5.12"],
        catches: ["ike_signature_not_verified"],
        needs: [Setup],
        cost: 30,
        run: |cx| {
            let other = cx.have(keys::load(keys::OTHER_RSA_2048_PEM), "a key of the tester does not load")?;
            refused(cx, &Trial::new("phase1.wrong-sig-r-refused", &["IKE-AUTH-007"], Step::Main6).grave(), vec![
                ("one bit flipped", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::SIG, 100, 3))),
                ("by another key", Tamper::none().sign_with(other)),
                ("no octet", Tamper::sealed(|m| edit::set_body(m, PayloadType::SIG, Vec::new()))),
                ("all zero", Tamper::sealed(|m| edit::set_body(m, PayloadType::SIG, vec![0; 256]))),
            ])
        },
    },
    case! {
        "IKEI-085", "gdoi.phase1", Must, Gm,
        title: "a server whose certificate does not lead to a trusted authority is refused",
        purpose: "Anyone can issue a certificate with the server's name; what counts is who signed it and whether it is its time.",
        requirements: ["IKE-AUTH-008", "IKE-AUTH-017"],
        sources: ["RFC 4945 §3.2.7", "RFC 5280 §6"],
        catches: ["ike_chain_not_validated"],
        needs: [Setup],
        cost: 70,
        run: wrong_chains,
    },
    case! {
        "IKEI-086", "gdoi.phase1", Must, Gm,
        title: "a server's identity that its certificate does not name is refused",
        purpose: "Without this binding every holder of any certificate, each member for instance, can play the key server.",
        requirements: ["IKE-AUTH-009"],
        sources: ["RFC 4945 §3.1"],
        catches: ["ike_certificate_identity_not_checked"],
        needs: [Setup],
        cost: 20,
        run: wrong_names,
    },
    case! {
        "IKEI-087", "gdoi.phase1", Must, Gm,
        title: "a certificate request without a name means any, and one of an unknown type does no harm",
        purpose: "Servers ask in many ways; a member that takes one of them as a refusal or an error does not get in.",
        requirements: ["IKE-AUTH-012", "IKE-AUTH-013", "IKE-AUTH-014"],
        sources: ["RFC 4945 §3.2.7", "RFC 4945 §3.2.8"],
        catches: ["ike_empty_certreq_ignored", "ike_unknown_certreq_fatal"],
        needs: [Setup],
        run: requests,
    },
];

const RSA: &str = "aes128-sha256-modp2048-rsa";
const SERVER_NAME: &str = "tester.hallmark.example";

/// Describes a member with a certificate and its server, ready to be started as often as needed.
#[derive(Clone)]
struct Certified {
    authority: Authority,
    setup: GmSetup,
    script: KsScript,
    right: Credentials,
}

impl Certified {
    fn new(cx: &mut Cx<'_>, name: &str) -> Flow<Self> {
        let suite = cx.have(Suite::from_name(name), "the suite has no such name")?;
        let mut authority = issued(Authority::trusted(cx.world))?;
        let mut setup = GmSetup::standard(cx.world);
        setup.phase1.proposals = vec![name.to_owned()];
        setup.allow_weak = if name.contains("sha1") { vec!["sha1".to_owned()] } else { Vec::new() };
        setup.phase1.credentials = Some(phase1::credentials(cx, &mut authority, suite.auth)?);
        let right = issued(authority.tester(suite.auth, cx.tester(0).ip()))?;
        let mut script = KsScript::new(cx.world, 0);
        script.suites = vec![suite];
        script.credentials = right.clone();
        Ok(Self { authority, setup, script, right })
    }

    /// Starts the member against a server with these credentials.
    fn start(&self, cx: &mut Cx<'_>, credentials: &Credentials) -> Flow<GmScene> {
        let script = KsScript { credentials: credentials.clone(), ..self.script.clone() };
        GmScene::start(cx, self.setup.clone(), script)
    }

    /// Judges a server with wrong credentials; with the right ones the member must register afterwards.
    fn judge(&self, cx: &mut Cx<'_>, trial: &Trial<'_>, what: &str, wrong: &Credentials) -> Flow {
        let mut scene = self.start(cx, wrong)?;
        let request = reach(cx, &mut scene.ks, Step::Main5)?;
        scene.ks.serve_for(cx.world, WINDOW);
        if judge_silence(cx, trial, what, &scene, &request) {
            return Ok(());
        }
        scene.ks.script.credentials = self.right.clone();
        scene.ks.forget_sas();
        registers(cx, trial.requirements, what, &mut scene)
    }
}

/// Answers with each wrong message 6; none may be followed by a PULL.
fn refused(cx: &mut Cx<'_>, trial: &Trial<'_>, wrong: Vec<Wrong>) -> Flow {
    let certified = Certified::new(cx, RSA)?;
    for (what, tamper) in wrong {
        let mut scene = certified.start(cx, &certified.right)?;
        scene.ks.tamper(Step::Main6, tamper);
        judge_refusal(cx, trial, what, &mut scene)?;
    }
    Ok(())
}

fn own_signature(cx: &mut Cx<'_>) -> Flow {
    let certified = Certified::new(cx, RSA)?;
    let mut scene = certified.start(cx, &certified.right)?;
    drop(observe(cx, &mut scene)?);
    let fifth = message(cx, &scene.ks, Step::Main5)?;
    let own = issued(certified.authority.name())?;
    let asked: Vec<CertificateRequest> = fifth.certificate_requests();
    let named =
        asked.iter().any(|request| request.encoding == 4 && (request.authority == own || request.authority.is_empty()));
    let observed = format!("{} certificate requests", asked.len());
    cx.check(
        "phase1.certificate-requested",
        &["IKE-AUTH-015"],
        named,
        "a request in message 5 that the server can meet",
        observed,
    );
    let certificates = fifth.certificates();
    let sent_own = certificates.iter().any(|certificate| certificate.encoding == Certificate::X509_SIGNATURE);
    let observed = format!("{} certificates", certificates.len());
    let ok = cx.check(
        "phase1.certificate-sent",
        &["IKE-AUTH-012"],
        sent_own,
        "the certificate that was requested",
        observed,
    );
    let strangers = certificates
        .iter()
        .filter(|c| matches!(c.encoding, 7 | 8) || c.data == certified.authority.certificate)
        .count();
    cx.check("phase1.no-anchor-in-band", &["IKE-AUTH-016"], strangers == 0, "no CRL and no trust anchor", strangers);
    if ok {
        let observed = format!("SIG_I verifies: {:?}", fifth.authentic);
        let requirements = ["IKE-AUTH-001", "IKE-KEY-002"];
        cx.check(
            "phase1.signature-over-hash",
            &requirements,
            fifth.authentic == Some(true),
            "SIG_I over the bare HASH_I",
            observed,
        );
    }
    Ok(())
}

fn ecdsa(cx: &mut Cx<'_>) -> Flow {
    for (name, width) in [
        ("aes128-sha1-ecp256-ecdsa256", 64),
        ("aes256-sha256-ecp384-ecdsa384", 96),
        ("aes256-sha256-ecp521-ecdsa521", 132),
    ] {
        let certified = Certified::new(cx, name)?;
        let mut scene = certified.start(cx, &certified.right)?;
        completes(cx, "phase1.ecdsa-hash", &["IKE-AUTH-005"], name, &mut scene)?;
        let fifth: Option<&Seen> = scene.ks.log.of(Step::Main5).next();
        if let Some(len) = fifth.and_then(|seen| seen.body(PayloadType::SIG)).map(<[u8]>::len) {
            let observed = format!("{name}: {len} octets");
            cx.check("phase1.ecdsa-width", &["IKE-AUTH-004"], len == width, &format!("{width} octets"), observed);
        }
    }
    Ok(())
}

fn wrong_chains(cx: &mut Cx<'_>) -> Flow {
    let mut certified = Certified::new(cx, RSA)?;
    let right = certified.right.clone();
    let address = cx.tester(0).ip();
    let key = cx.have(tester_key(Auth::Rsa), "a key of the tester does not load")?;
    let subject = format!("CN={SERVER_NAME}");
    let mut wrong: Vec<(&str, Credentials)> = Vec::new();
    for (what, same_name) in [("a stranger's authority", false), ("a stranger's authority of the same name", true)] {
        let mut stranger = issued(Authority::untrusted(cx.world, same_name))?;
        let mut credentials = issued(stranger.tester(Auth::Rsa, address))?;
        credentials.chain.push(stranger.certificate.clone());
        wrong.push((what, credentials));
    }
    let lonely = certified.authority.spec(&subject, 7).with_ip(address);
    let lonely = issued(issue_ca(&lonely, &key, &mut Rng::from_u64(7)))?;
    wrong.push(("signed by itself", Credentials { chain: vec![lonely], ..right.clone() }));
    let expired = certified.authority.expired_spec(&subject, 102).with_ip(address);
    wrong.push(("expired", issued(certified.authority.credentials(&expired, key.clone()))?));
    let future = certified.authority.future_spec(&subject, 103).with_ip(address);
    wrong.push(("not yet valid", issued(certified.authority.credentials(&future, key))?));
    wrong.push(("no certificate", Credentials { chain: Vec::new(), ..right.clone() }));
    let trial = Trial::new("phase1.untrusted-server-refused", &["IKE-AUTH-008"], Step::Main6).grave();
    for (what, credentials) in &wrong {
        certified.judge(cx, &trial, what, credentials)?;
    }
    // What cannot be read as a certificate must not be read as a trusted one, and must not take the member down.
    let own = right.chain.first().cloned().unwrap_or_default();
    let trial = Trial::new("phase1.malformed-certificate-survived", &["IKE-AUTH-017"], Step::Main6).grave();
    for (what, octets) in [
        ("DER that ends too early", own.get(..own.len() / 2).unwrap_or_default().to_vec()),
        ("a length of four octets", vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]),
        ("40 levels deep", [[0x30, 0x80].repeat(40), vec![0; 80]].concat()),
    ] {
        certified.judge(cx, &trial, what, &Credentials { chain: vec![octets], ..right.clone() })?;
    }
    Ok(())
}

fn wrong_names(cx: &mut Cx<'_>) -> Flow {
    let mut certified = Certified::new(cx, RSA)?;
    let other = "other.hallmark.example";
    // All of these are on the list, so that only the certificate stands in the way.
    for server in &mut certified.setup.servers {
        server.identities = vec![
            format!("fqdn:{SERVER_NAME}"),
            format!("fqdn:{other}"),
            setup::ip_identity(cx.tester(0).ip()),
            setup::ip_identity(cx.tester(2).ip()),
        ];
    }
    let right = certified.right.clone();
    let mut scene = certified.start(cx, &Credentials { identity: Some(fqdn(SERVER_NAME)), ..right.clone() })?;
    completes(
        cx,
        "phase1.server-name-in-certificate",
        &["IKE-AUTH-009"],
        "a host name in the certificate",
        &mut scene,
    )?;
    let trial = Trial::new("phase1.server-name-bound", &["IKE-AUTH-009"], Step::Main6).grave();
    let stranger = Credentials { identity: Some(fqdn(other)), ..right.clone() };
    certified.judge(cx, &trial, "a host name that is not in the certificate", &stranger)?;
    let address = Identification::from_ip(cx.tester(2).ip());
    let stranger = Credentials { identity: Some(address), ..right };
    certified.judge(cx, &trial, "an address that is not in the certificate", &stranger)
}

fn requests(cx: &mut Cx<'_>) -> Flow {
    let certified = Certified::new(cx, RSA)?;
    // Without names the tester asks for any authority.
    let any = Credentials { authorities: Vec::new(), ..certified.right.clone() };
    let unknown = CertificateRequest { encoding: 9, authority: vec![1, 2, 3] }.encode_body();
    let further = Tamper::content(move |m| edit::push(m, PayloadType::CERT_REQ, unknown.clone()));
    for (what, check, requirements, credentials, tamper) in [
        ("no name", "phase1.empty-request-means-any", ["IKE-AUTH-013", "IKE-AUTH-012"], any, Tamper::none()),
        (
            "a second request of type 9",
            "phase1.unknown-request-tolerated",
            ["IKE-AUTH-014", "IKE-AUTH-012"],
            certified.right.clone(),
            further,
        ),
    ] {
        let mut scene = certified.start(cx, &credentials)?;
        scene.ks.tamper(Step::Main4, tamper);
        let result = observe(cx, &mut scene)?;
        let certificates = scene.ks.log.of(Step::Main5).map(|seen| seen.certificates().len()).max().unwrap_or(0);
        let outcome = result.as_ref().map_or_else(ToString::to_string, |()| "registered".to_owned());
        let ok = result.is_ok() && certificates > 0;
        cx.check(
            check,
            &requirements,
            ok,
            "message 5 with a certificate",
            format!("{what}: {outcome}, {certificates} certificates"),
        );
    }
    Ok(())
}
