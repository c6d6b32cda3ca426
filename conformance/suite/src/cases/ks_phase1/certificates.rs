//! Signatures and certificates in place of a pre-shared key.

use hallmark_core::Rng;
use hallmark_crypto::HashAlg;
use hallmark_crypto::cert::{CertSpec, issue_ca, subject_der};
use hallmark_probe::Credentials;
use hallmark_probe::certs::{Authority, fqdn, tester_key};
use hallmark_probe::edit;
use hallmark_probe::gm::ProbeGm;
use hallmark_probe::keys;
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_probe::suite::{Auth, Suite};
use hallmark_probe::tamper::{Tamper, rsa_block};
use hallmark_wire::isakmp::{Certificate, CertificateRequest, IdType, Identification, PayloadType};

use super::kit::{Trial, afresh, completes, go_on, lead_to, refuse_messages_of, sent};
use crate::Case;
use crate::cases::phase1::{self, block, issued};
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;
use crate::setup::{self, KsSetup, ip_identity};

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKER-076", "gdoi.phase1", Must, Ks,
        title: "an RSA signature covers the bare HASH and comes with the certificate that was asked for",
        purpose: "In IKEv1 the signature is over the HASH itself. A DigestInfo around it, or a certificate left out, \
                  and no member of another make can authenticate the server.",
        requirements: ["IKE-AUTH-001", "IKE-AUTH-012", "IKE-AUTH-015", "IKE-AUTH-016", "IKE-KEY-002"],
        sources: ["RFC 2409 §5.1", "RFC 4945 §3.2"],
        catches: ["ike_signs_digest_info", "ike_certificate_never_sent", "ike_certreq_never_sent"],
        needs: [Setup],
        run: own_signature,
    },
    case! {
        "IKER-077", "gdoi.phase1", Must, Ks,
        title: "ECDSA brings its own hash, and two numbers of fixed width",
        purpose: "The method decides the hash that is signed, whatever was negotiated for everything else; the \
                  signature is r and s side by side. Servers that mix this up fail with some suites only.",
        requirements: ["IKE-AUTH-004", "IKE-AUTH-005"],
        sources: ["RFC 4754 §7", "RFC 2409 §5.1"],
        catches: ["ike_ecdsa_negotiated_hash"],
        needs: [Setup],
        run: ecdsa,
    },
    case! {
        "IKER-078", "gdoi.phase1", Should, Ks,
        title: "a signature over a DigestInfo is refused",
        purpose: "Two accepted forms are one more than anybody checks; this one is no IKEv1 signature.",
        requirements: ["IKE-AUTH-002"],
        sources: ["RFC 2409 §5.1"],
        catches: ["ike_digest_info_accepted"],
        needs: [Setup],
        run: |cx| forged_blocks(cx, "phase1.digest-info-refused", &["IKE-AUTH-002"], vec![
            ("HASH_I in a DigestInfo", Tamper::none().sign_block(|hash, len| {
                block(len, &[rsa_block::digest_info(HashAlg::Sha256), hash].concat(), &[])
            })),
        ]),
    },
    case! {
        "IKER-079", "gdoi.phase1", Should, Ks,
        title: "a signature block must be full of padding and end with the HASH",
        purpose: "A verifier that reads the block from the left and stops after the HASH takes signatures that anyone \
                  can make for keys with exponent 3.",
        requirements: ["IKE-AUTH-003"],
        sources: ["RFC 8017 §8.2.2"],
        catches: ["ike_lax_signature_padding"],
        needs: [Setup],
        run: |cx| forged_blocks(cx, "phase1.signature-padding", &["IKE-AUTH-003"], vec![
            ("8 octets of padding and garbage behind the HASH", Tamper::none().sign_block(|hash, len| {
                let garbage = len.saturating_sub(hash.len() + 11);
                block(len, hash, &vec![0xaa; garbage])
            })),
            ("one octet of garbage behind the HASH", Tamper::none().sign_block(|hash, len| block(len, hash, &[0xaa]))),
            ("a block of type 2", Tamper::none().sign_block(|hash, len| {
                let mut octets = vec![0, 2];
                octets.resize(len.saturating_sub(hash.len() + 1), 0x5a);
                octets.push(0);
                octets.extend(hash);
                octets
            })),
        ]),
    },
    case! {
        "IKER-080", "gdoi.phase1", Must, Ks,
        title: "a wrong signature lets nobody in",
        purpose: "A certificate is public; only the signature proves that the member owns it.",
        requirements: ["IKE-AUTH-006", "IKE-AUTH-007"],
        sources: ["RFC 2408 §5.12"],
        catches: ["ike_signature_not_verified"],
        needs: [Setup],
        run: wrong_signatures,
    },
    case! {
        "IKER-081", "gdoi.phase1", Must, Ks,
        title: "a certificate that does not lead to a trusted authority is refused",
        purpose: "Anyone can issue a certificate with the right name; what counts is who signed it and whether it is \
                  its time.",
        requirements: ["IKE-AUTH-008", "IKE-AUTH-017"],
        sources: ["RFC 4945 §3.2.7", "RFC 5280 §6"],
        catches: ["ike_chain_not_validated"],
        needs: [Setup],
        cost: 60,
        run: wrong_chains,
    },
    case! {
        "IKER-082", "gdoi.phase1", Must, Ks,
        title: "an identity that the certificate does not name is refused",
        purpose: "Without this binding every holder of any certificate can register under the name of any other \
                  member.",
        requirements: ["IKE-AUTH-009", "IKE-AUTH-010", "IKE-AUTH-011"],
        sources: ["RFC 4945 §3.1"],
        catches: ["ike_certificate_identity_not_checked"],
        needs: [Setup],
        run: wrong_names,
    },
    case! {
        "IKER-083", "gdoi.phase1", Must, Ks,
        title: "a certificate request without a name means any, and one of an unknown type does no harm",
        purpose: "Members ask in many ways; a server that takes one of them as a refusal or an error does not \
                  authenticate to them.",
        requirements: ["IKE-AUTH-012", "IKE-AUTH-013", "IKE-AUTH-014"],
        sources: ["RFC 4945 §3.2.7", "RFC 4945 §3.2.8"],
        catches: ["ike_empty_certreq_ignored", "ike_unknown_certreq_fatal"],
        needs: [Setup],
        run: requests,
    },
];

/// A key server that authenticates by signature, and the authority behind it.
struct Certified {
    scene: KsScene,
    authority: Authority,
    suite: Suite,
}

impl Certified {
    fn start(cx: &mut Cx<'_>, suite: &str, change: impl FnOnce(&mut Cx<'_>, &mut KsSetup)) -> Flow<Self> {
        let suite_value = cx.have(Suite::from_name(suite), "the suite has no such name")?;
        let mut authority = issued(Authority::trusted(cx.world))?;
        let mut setup = KsSetup::standard(cx.world);
        // The standard suite stays for the ends that only show that the server is alive.
        setup.phase1.proposals = vec![suite.to_owned(), setup::PROPOSAL.to_owned()];
        setup.phase1.credentials = Some(phase1::credentials(cx, &mut authority, suite_value.auth)?);
        change(cx, &mut setup);
        let scene = KsScene::start(cx, setup)?;
        Ok(Self { scene, authority, suite: suite_value })
    }

    fn rsa(cx: &mut Cx<'_>) -> Flow<Self> {
        Self::start(cx, "aes128-sha256-modp2048-rsa", |_, _| {})
    }

    /// Gives the credentials of the n-th end of the tester.
    fn credentials(&mut self, cx: &Cx<'_>, n: u8) -> Flow<Credentials> {
        issued(self.authority.tester(self.suite.auth, cx.tester(n).ip()))
    }

    /// Makes the n-th end of the tester a member with these credentials.
    fn member(&self, cx: &mut Cx<'_>, n: u8, credentials: &Credentials) -> ProbeGm {
        let mut member = self.scene.member(cx, n);
        member.script.suites = vec![self.suite];
        member.script.credentials = credentials.clone();
        member
    }

    /// Shows that the right credentials work: the control before the probe.
    fn control(&mut self, cx: &mut Cx<'_>) -> Flow<Credentials> {
        let credentials = self.credentials(cx, 1)?;
        let mut member = self.member(cx, 1, &credentials);
        let result = member.phase1(cx.world);
        cx.require(result.is_ok(), format!("phase 1 with certificates before the probe: {:?}", result.err()))?;
        cx.alive_before("phase 1 with certificates completed");
        Ok(credentials)
    }
}

fn own_signature(cx: &mut Cx<'_>) -> Flow {
    let mut certified = Certified::rsa(cx)?;
    let credentials = certified.credentials(cx, 1)?;
    let mut member = certified.member(cx, 1, &credentials);
    lead_to(cx, &mut member, Step::Main5)?;
    cx.alive_before("main mode with signatures was agreed on");
    let own = issued(certified.authority.name())?;
    let asked: Vec<CertificateRequest> = member.seen(Step::Main4).flat_map(Seen::certificate_requests).collect();
    let named =
        asked.iter().any(|request| request.encoding == 4 && (request.authority == own || request.authority.is_empty()));
    let observed = format!("{} certificate requests", asked.len());
    cx.check(
        "phase1.certificate-requested",
        &["IKE-AUTH-015"],
        named,
        "a request in message 4 that the member can meet",
        observed,
    );
    sent(member.send_main5(cx.world))?;
    let result = member.receive_main6(cx.world);
    let answer = member.seen(Step::Main6).next().cloned();
    let answer = cx.have(answer, "no message 6 came")?;
    let certificates = answer.certificates();
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
        let observed = result.as_ref().map_or_else(ToString::to_string, |_| "SIG_R verifies".to_owned());
        let requirements = ["IKE-AUTH-001", "IKE-KEY-002"];
        cx.check("phase1.signature-over-hash", &requirements, result.is_ok(), "SIG_R over the bare HASH_R", observed);
    }
    certified.scene.finish(cx)
}

fn ecdsa(cx: &mut Cx<'_>) -> Flow {
    for (suite, auth, width) in [
        ("aes128-sha1-ecp256-ecdsa256", Auth::Ecdsa256, 64),
        ("aes256-sha256-ecp384-ecdsa384", Auth::Ecdsa384, 96),
        ("aes256-sha256-ecp521-ecdsa521", Auth::Ecdsa521, 132),
    ] {
        let mut certified = Certified::start(cx, suite, |_, _| {})?;
        // The standard suite proves that this server works at all.
        drop(certified.scene.phase1(cx, 0)?);
        let credentials = certified.credentials(cx, 1)?;
        let mut member = certified.member(cx, 1, &credentials);
        let result = member.phase1(cx.world);
        let observed =
            result.as_ref().map_or_else(|fault| format!("{suite}: {fault}"), |_| format!("{suite}: established"));
        cx.check("phase1.ecdsa-hash", &["IKE-AUTH-005"], result.is_ok(), "both signatures verify", observed);
        let len = member.seen(Step::Main6).next().and_then(|seen| seen.body(PayloadType::SIG)).map(<[u8]>::len);
        if let Some(len) = len {
            let observed = format!("{}: {len} octets", auth.name());
            cx.check("phase1.ecdsa-width", &["IKE-AUTH-004"], len == width, &format!("{width} octets"), observed);
        }
        certified.scene.finish(cx)?;
    }
    Ok(())
}

/// Sends message 5 with each composed signature block; none may be served.
fn forged_blocks(cx: &mut Cx<'_>, check: &str, requirements: &[&str], wrong: Vec<(&'static str, Tamper)>) -> Flow {
    let mut certified = Certified::rsa(cx)?;
    let credentials = certified.control(cx)?;
    let trial = Trial::new(check, requirements, Step::Main5);
    refuse_messages_of(cx, &certified.scene, &trial, wrong, &mut |cx| certified.member(cx, 1, &credentials))?;
    certified.scene.finish(cx)
}

fn wrong_signatures(cx: &mut Cx<'_>) -> Flow {
    let mut certified = Certified::rsa(cx)?;
    let credentials = certified.control(cx)?;
    let other = cx.have(keys::load(keys::OTHER_RSA_2048_PEM), "a key of the tester does not load")?;
    let point = cx.have(tester_key(Auth::Ecdsa256), "a key of the tester does not load")?;
    let trial = Trial::new("phase1.wrong-signature-refused", &["IKE-AUTH-007"], Step::Main5).grave();
    let wrong = vec![
        ("one bit flipped", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::SIG, 100, 3))),
        ("by another key", Tamper::none().sign_with(other)),
        ("no octet", Tamper::sealed(|m| edit::set_body(m, PayloadType::SIG, Vec::new()))),
        ("all zero", Tamper::sealed(|m| edit::set_body(m, PayloadType::SIG, vec![0; 256]))),
    ];
    refuse_messages_of(cx, &certified.scene, &trial, wrong, &mut |cx| certified.member(cx, 1, &credentials))?;
    // RSA was negotiated: a point on a curve proves nothing under it.
    let trial = Trial::new("phase1.key-of-the-method", &["IKE-AUTH-006"], Step::Main5);
    let spec = certified.authority.spec("CN=tester.hallmark.example", 101).with_ip(cx.tester(1).ip());
    let elliptic = issued(certified.authority.credentials(&spec, point))?;
    let mut member = certified.member(cx, 1, &elliptic);
    lead_to(cx, &mut member, Step::Main5)?;
    judge_with(cx, &certified, &trial, "an ECDSA key under RSA", &mut member, &credentials)?;
    certified.scene.finish(cx)
}

/// Judges a message 5 with wrong credentials; the right ones must work afterwards.
fn judge_with(
    cx: &mut Cx<'_>,
    certified: &Certified,
    trial: &Trial<'_>,
    what: &str,
    member: &mut ProbeGm,
    right: &Credentials,
) -> Flow {
    sent(member.send_main5(cx.world))?;
    let seen = member.collect(cx.world, super::kit::WINDOW);
    let served = seen.iter().any(|seen| seen.step == Step::Main6 && !seen.repeat);
    let observed = format!("{what}: {}", super::kit::words(&seen));
    trial.silence(cx, !served, "no message 6", observed);
    member.script.credentials = right.clone();
    afresh(cx, &certified.scene, member, trial.requirements)
}

fn wrong_chains(cx: &mut Cx<'_>) -> Flow {
    let mut certified = Certified::rsa(cx)?;
    let right = certified.control(cx)?;
    let address = cx.tester(1).ip();
    let key = cx.have(tester_key(Auth::Rsa), "a key of the tester does not load")?;
    let mut wrong: Vec<(&str, Credentials)> = Vec::new();
    for (what, same_name) in [("a stranger's authority", false), ("a stranger's authority of the same name", true)] {
        let mut stranger = issued(Authority::untrusted(cx.world, same_name))?;
        let mut credentials = issued(stranger.tester(Auth::Rsa, address))?;
        credentials.chain.push(stranger.certificate.clone());
        wrong.push((what, credentials));
    }
    let lonely = CertSpec { ..certified.authority.spec("CN=tester.hallmark.example", 7).with_ip(address) };
    let lonely = issued(issue_ca(&lonely, &key, &mut Rng::from_u64(7)))?;
    wrong.push(("signed by itself", Credentials { chain: vec![lonely], ..right.clone() }));
    let expired = certified.authority.expired_spec("CN=tester.hallmark.example", 102).with_ip(address);
    wrong.push(("expired", issued(certified.authority.credentials(&expired, key.clone()))?));
    let future = certified.authority.future_spec("CN=tester.hallmark.example", 103).with_ip(address);
    wrong.push(("not yet valid", issued(certified.authority.credentials(&future, key))?));
    wrong.push(("no certificate", Credentials { chain: Vec::new(), ..right.clone() }));
    let trial = Trial::new("phase1.untrusted-certificate-refused", &["IKE-AUTH-008"], Step::Main5).grave();
    for (what, credentials) in wrong {
        let mut member = certified.member(cx, 1, &credentials);
        lead_to(cx, &mut member, Step::Main5)?;
        judge_with(cx, &certified, &trial, what, &mut member, &right)?;
    }
    // What cannot be read as a certificate must not be read as a trusted one, and must not take the server down.
    let own = right.chain.first().cloned().unwrap_or_default();
    let trial = Trial::new("phase1.malformed-certificate-survived", &["IKE-AUTH-017"], Step::Main5).grave();
    let malformed = [
        ("DER that ends too early", own.get(..own.len() / 2).unwrap_or_default().to_vec()),
        ("a length of four octets", vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]),
        ("40 levels deep", [[0x30, 0x80].repeat(40), vec![0; 80]].concat()),
        ("12 kB of zeros", vec![0; 12_000]),
    ];
    for (what, octets) in malformed {
        let mut member = certified.member(cx, 1, &Credentials { chain: vec![octets], ..right.clone() });
        lead_to(cx, &mut member, Step::Main5)?;
        judge_with(cx, &certified, &trial, what, &mut member, &right)?;
    }
    certified.scene.finish(cx)
}

fn wrong_names(cx: &mut Cx<'_>) -> Flow {
    let names = ["tester.hallmark.example", "other.hallmark.example"];
    let mut certified = Certified::start(cx, "aes128-sha256-modp2048-rsa", |cx, setup| {
        // All of these may register, so that only the certificate stands in the way.
        let mut identities: Vec<String> =
            names.iter().flat_map(|name| [format!("fqdn:{name}"), format!("dn:CN={name}")]).collect();
        identities.extend((0..12).map(|n| ip_identity(cx.tester(n).ip())));
        if let Some(peer) = setup.peers.first_mut() {
            peer.identities = identities;
        }
    })?;
    let right = certified.control(cx)?;
    let subject = distinguished_name(&right)?;
    let named = [
        ("a host name in the certificate", "IKE-AUTH-009", fqdn(names[0])),
        ("the subject of the certificate", "IKE-AUTH-011", subject),
    ];
    for (what, requirement, identity) in named {
        let mut member = certified.member(cx, 1, &right);
        member.script.credentials.identity = Some(identity);
        completes(cx, &mut member, "phase1.name-in-certificate-served", &[requirement], what);
    }
    let key = cx.have(tester_key(Auth::Rsa), "a key of the tester does not load")?;
    let spec = certified.authority.spec(&format!("CN={}", names[1]), 104);
    let other_subject = distinguished_name(&issued(certified.authority.credentials(&spec, key))?)?;
    let other_address = cx.tester(2).ip();
    let for_other = issued(certified.authority.tester(Auth::Rsa, other_address))?;
    let wrong: Vec<(&str, &str, Credentials)> = vec![
        (
            "a host name that is not in the certificate",
            "IKE-AUTH-009",
            Credentials { identity: Some(fqdn(names[1])), ..right.clone() },
        ),
        (
            "an address that is not in the certificate",
            "IKE-AUTH-009",
            Credentials { identity: Some(Identification::from_ip(other_address)), ..right.clone() },
        ),
        (
            "the subject of another certificate",
            "IKE-AUTH-011",
            Credentials { identity: Some(other_subject), ..right.clone() },
        ),
        (
            "an address in the certificate that is not the sender's",
            "IKE-AUTH-010",
            Credentials { identity: Some(Identification::from_ip(other_address)), ..for_other },
        ),
    ];
    for (what, requirement, credentials) in wrong {
        let mut member = certified.member(cx, 1, &credentials);
        lead_to(cx, &mut member, Step::Main5)?;
        let requirements = [requirement];
        let trial = Trial::new("phase1.name-bound-to-certificate", &requirements, Step::Main5);
        judge_with(cx, &certified, &trial, what, &mut member, &right)?;
    }
    certified.scene.finish(cx)
}

/// Gives the subject of a certificate of the tester as an identity.
fn distinguished_name(credentials: &Credentials) -> Flow<Identification> {
    let certificate = credentials.chain.first().map(Vec::as_slice).unwrap_or_default();
    let data = issued(subject_der(certificate))?;
    Ok(Identification { id_type: IdType::DER_DN, protocol: 0, port: 0, data })
}

fn requests(cx: &mut Cx<'_>) -> Flow {
    let mut certified = Certified::rsa(cx)?;
    let right = certified.control(cx)?;
    let mut member = certified.member(cx, 1, &right);
    // Without names the tester asks for any authority.
    member.script.credentials.authorities = Vec::new();
    answered(cx, &mut member, "phase1.empty-request-means-any", &["IKE-AUTH-013", "IKE-AUTH-012"])?;
    let mut member = certified.member(cx, 1, &right);
    let request = CertificateRequest { encoding: 9, authority: vec![1, 2, 3] }.encode_body();
    member.tamper(
        Step::Main5,
        Tamper::content(move |m| {
            edit::insert_before(m, PayloadType::SIG, PayloadType::CERT_REQ, request.clone());
        }),
    );
    answered(cx, &mut member, "phase1.unknown-request-tolerated", &["IKE-AUTH-014"])?;
    certified.scene.finish(cx)
}

/// Judges that phase 1 completes with a certificate in message 6.
fn answered(cx: &mut Cx<'_>, member: &mut ProbeGm, check: &str, requirements: &[&str]) -> Flow {
    lead_to(cx, member, Step::Main5)?;
    let result = go_on(cx, member, Step::Main5);
    let certificates = member.seen(Step::Main6).map(|seen| seen.certificates().len()).sum::<usize>();
    let outcome = result.as_ref().map_or_else(ToString::to_string, |()| "established".to_owned());
    let observed = format!("{outcome}, {certificates} certificates");
    cx.check(check, requirements, result.is_ok() && certificates > 0, "message 6 with a certificate", observed);
    Ok(())
}
