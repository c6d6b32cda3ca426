//! A phase 1 exchange on its way to an SA: what both roles and both modes share.

use std::borrow::Cow;
use std::net::SocketAddr;

use hallmark_core::{Code, Duration, Instant, Now};
use hallmark_crypto::ike::{Cbc, SkeyIds, nat_d};
use hallmark_crypto::{CryptoError, DhKey, HashAlg, Secret};
use hallmark_wire::error::DecodeError;
use hallmark_wire::isakmp::{
    Built, Chain, Cookie, Flags, Header, Identification, PayloadType, SecurityAssociation, build_chain, vendor_id,
};

use super::code;
use super::config::Suite;
use super::sa::{Dpd, IkeSa, Kept, Mode, Path, Role, SaId, UsedIds, describe, flags, version};
use super::timer::Timer;
use super::{IkeEndpoint, IkeEvent};
use crate::behaviour::{Behaviour, Defect, Variant};

/// Says why a message is refused, and whether that ends the exchange.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) detail: Cow<'static, str>,
    pub(super) lost: bool,
}

impl Refusal {
    pub(super) const fn keep(code: Code) -> Self {
        Self { code, detail: Cow::Borrowed(""), lost: false }
    }

    pub(super) const fn lose(code: Code) -> Self {
        Self { code, detail: Cow::Borrowed(""), lost: true }
    }

    pub(super) fn with(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::keep(error.code).with(format!("offset {}: need {}, have {}", error.offset, error.need, error.have))
    }
}

impl From<CryptoError> for Refusal {
    fn from(error: CryptoError) -> Self {
        Self::keep(error.code()).with(error.to_string())
    }
}

/// Holds a message of a running exchange as it arrived.
#[derive(Clone, Copy)]
pub(super) struct Arrived<'a> {
    pub(super) now: Now,
    pub(super) header: &'a Header,
    /// All octets, header included.
    pub(super) message: &'a [u8],
    /// Tells a duplicate from another message.
    pub(super) digest: [u8; 32],
    pub(super) path: Path,
}

/// Holds one exchange.
pub(super) struct Exchange {
    pub(super) id: SaId,
    pub(super) role: Role,
    pub(super) mode: Mode,
    pub(super) path: Path,
    /// Source and initiator cookie of message 1: how a duplicate of it finds the exchange.
    pub(super) first: (SocketAddr, Cookie),
    pub(super) rule: usize,
    pub(super) cookies: (Cookie, Cookie),
    pub(super) doi: u32,
    /// SAi_b: the initiator's SA body, octet for octet (IKE-MM-031).
    pub(super) sa_i: Vec<u8>,
    pub(super) suite: Suite,
    pub(super) lifetime: Duration,
    pub(super) peer: PeerOffer,
    /// We are behind a NAT; the peer is.
    pub(super) nat: (bool, bool),
    pub(super) certificate_wanted: bool,
    pub(super) state: State,
    /// The last accepted message and its answer.
    pub(super) last: Option<Kept>,
    pub(super) older: Vec<Kept>,
    /// The message that waits for an answer, and how many times it was sent.
    pub(super) pending: Vec<u8>,
    pub(super) sent: u32,
    pub(super) started: Instant,
    pub(super) fragments_seen: bool,
}

/// Holds what the peer's vendor IDs switch on. They are not authenticated.
#[derive(Default)]
pub(super) struct PeerOffer {
    pub(super) vendor_ids: Vec<Vec<u8>>,
    pub(super) dpd: bool,
    pub(super) nat_t: bool,
    pub(super) fragmentation: bool,
}

/// Says what is due next, with what only that step needs.
pub(super) enum State {
    /// Initiator, Main Mode: message 1 is out.
    SentOffer { offer: SecurityAssociation },
    /// Responder, Main Mode: message 2 is out. No key has been computed.
    SentAnswer,
    /// Initiator, Main Mode: message 3 is out.
    SentShare { dh: DhKey, nonce: Vec<u8> },
    /// Both, Main Mode: keys are there; message 6 or message 5 is due.
    Keyed(Box<Keyed>),
    /// Initiator, Aggressive Mode: message 1 is out.
    SentAll { offer: SecurityAssociation, dh: DhKey, nonce: Vec<u8>, id: Vec<u8> },
    /// Responder, Aggressive Mode: message 2 is out; the initiator's identity is claimed, not proven.
    AnsweredAll { keyed: Box<Keyed>, id: Identification, id_body: Vec<u8> },
}

/// Holds what follows from both public values.
pub(super) struct Keyed {
    pub(super) ids: SkeyIds,
    pub(super) cbc: Cbc,
    /// The first IV, for the defect that restarts the chain.
    pub(super) first: Cbc,
    pub(super) ke_i: Vec<u8>,
    pub(super) ke_r: Vec<u8>,
    /// HASH_I, when we are the initiator.
    pub(super) own_hash: Vec<u8>,
}

/// Says how an accepted message moves an exchange on.
pub(super) enum Next {
    /// The next message is due; this one was answered.
    Wait,
    /// The SA is up.
    Up(Authenticated),
}

/// Holds whom the peer has proven to be.
pub(super) struct Authenticated {
    pub(super) identity: Identification,
    pub(super) subject: Option<Vec<u8>>,
    pub(super) keyed: Box<Keyed>,
    pub(super) initial_contact: bool,
}

impl Exchange {
    /// Remembers an accepted message and what answers its duplicates.
    pub(super) fn accepted(&mut self, digest: [u8; 32], answer: Vec<u8>, path: Path) {
        if let Some(before) = self.last.replace(Kept { digest, answer, path, times: 0 }) {
            // Three messages at most precede the last one.
            if self.older.len() < 3 {
                self.older.push(before);
            }
        }
    }

    /// Reads the vendor IDs of a message.
    pub(super) fn note_vendor_ids(&mut self, chain: &Chain<'_>) {
        for payload in chain.iter().filter(|p| p.kind == PayloadType::VENDOR_ID) {
            self.peer.dpd |= payload.body == vendor_id::DPD;
            self.peer.nat_t |= payload.body == vendor_id::NAT_T_RFC3947;
            self.peer.fragmentation |= vendor_id::offers_fragmentation(payload.body);
            if self.peer.vendor_ids.len() < VENDOR_IDS && !self.peer.vendor_ids.iter().any(|v| v == payload.body) {
                self.peer.vendor_ids.push(payload.body.to_vec());
            }
        }
    }

    /// Puts a header in front of clear payloads.
    pub(super) fn clear(&self, payloads: &[(PayloadType, Vec<u8>)], behaviour: &Behaviour) -> Vec<u8> {
        let built = build(payloads, behaviour);
        self.headed(&built, &built.octets, 0, behaviour)
    }

    /// Encrypts payloads under the phase 1 chain and puts the header in front.
    pub(super) fn sealed(
        &self,
        cbc: &mut Cbc,
        payloads: &[(PayloadType, Vec<u8>)],
        padding: &mut hallmark_core::Rng,
        behaviour: &Behaviour,
    ) -> Vec<u8> {
        let mut built = build(payloads, behaviour);
        pad(&mut built.octets, cbc.cipher().block_len(), padding, behaviour);
        let sealed = cbc.encrypt(built.octets.clone());
        let mut message = self.headed(&built, &sealed, Flags::ENCRYPTION.0, behaviour);
        if behaviour.has(Defect::IkeLengthWithoutPadding) {
            let plain: usize = payloads.iter().map(|(_, body)| body.len() + 4).sum();
            let length = u32::try_from(Header::LEN + plain).unwrap_or(u32::MAX);
            if let Some(field) = message.get_mut(24..28) {
                field.copy_from_slice(&length.to_be_bytes());
            }
        }
        message
    }

    fn headed(&self, built: &Built, body: &[u8], extra: u8, behaviour: &Behaviour) -> Vec<u8> {
        let header = Header {
            initiator_cookie: self.cookies.0,
            responder_cookie: self.cookies.1,
            next: built.first,
            version: version(behaviour),
            exchange: self.mode.exchange(),
            flags: Flags(extra | flags(behaviour)),
            // REQ IKE-HDR-008
            message_id: 0,
            length: u32::try_from(Header::LEN.saturating_add(body.len())).unwrap_or(u32::MAX),
        };
        let mut message = Vec::with_capacity(Header::LEN + body.len());
        message.extend_from_slice(&header.encode());
        message.extend_from_slice(body);
        message
    }
}

const VENDOR_IDS: usize = 16;

/// Chains payloads.
fn build(payloads: &[(PayloadType, Vec<u8>)], behaviour: &Behaviour) -> Built {
    let mut built = build_chain(payloads);
    // REQ IKE-PAY-002
    if behaviour.has(Defect::IkeEmitsReservedPayloadOctet) {
        let mut at = 0;
        for (kind, body) in payloads {
            if let (true, Some(octet)) = (*kind == PayloadType::NONCE, built.octets.get_mut(at + 1)) {
                *octet = 1;
            }
            at += body.len() + 4;
        }
    }
    built
}

/// Pads before encryption as a defect wants it; otherwise the cipher pads with zeros.
pub(super) fn pad(octets: &mut Vec<u8>, block: usize, rng: &mut hallmark_core::Rng, behaviour: &Behaviour) {
    // REQ IKE-KEY-011
    if behaviour.has(Defect::IkePadsWholeBlock) && octets.len().is_multiple_of(block) {
        octets.resize(octets.len() + block, 0);
    }
    if behaviour.has(Defect::IkePaddingRandom) {
        while !octets.len().is_multiple_of(block) {
            octets.push(rng.next_u32().to_be_bytes()[0] | 1);
        }
    }
}

/// Makes the NAT-D payloads: the remote end first, then ours (IKE-NAT-002).
pub(super) fn nat_d_payloads(exchange: &Exchange, alg: HashAlg, behaviour: &Behaviour) -> Vec<(PayloadType, Vec<u8>)> {
    let (mut remote, mut local) = (exchange.path.peer, exchange.path.local);
    // REQ IKE-NAT-003
    if behaviour.has(Defect::IkeNatDPort500) {
        remote.set_port(500);
        local.set_port(500);
    }
    if behaviour.has(Defect::IkeNatDReversed) {
        (remote, local) = (local, remote);
    }
    let (cky_i, cky_r) = exchange.cookies;
    [remote, local].into_iter().map(|addr| (PayloadType::NAT_D, nat_d(alg, &cky_i, &cky_r, addr))).collect()
}

/// Finds NATs from the peer's NAT-D payloads: (we are behind one, the peer is).
fn detect_nat(exchange: &Exchange, chain: &Chain<'_>, path: Path, alg: HashAlg) -> (bool, bool) {
    let (cky_i, cky_r) = exchange.cookies;
    let mut received = chain.iter().filter(|p| p.kind == PayloadType::NAT_D).map(|p| p.body);
    let Some(first) = received.next() else { return (false, false) };
    // REQ IKE-NAT-011: a NAT-D of a wrong length equals nothing, which reads as a NAT.
    let ours = nat_d(alg, &cky_i, &cky_r, path.local);
    let theirs = nat_d(alg, &cky_i, &cky_r, path.peer);
    (first != ours, !received.any(|body| body == theirs))
}

impl IkeEndpoint {
    /// Finds NATs, when both sides know NAT traversal.
    pub(super) fn note_nat(&mut self, exchange: &mut Exchange, chain: &Chain<'_>, path: Path) -> Result<(), Refusal> {
        if !self.nat_t_on(exchange) {
            return Ok(());
        }
        let alg = exchange.suite.hash;
        // REQ IKE-NAT-011
        let odd = chain.iter().any(|p| p.kind == PayloadType::NAT_D && p.body.len() != alg.len());
        if odd && self.config.behaviour.has(Defect::IkeOddNatDKills) {
            self.deaf = true;
            return Err(Refusal::lose(code::DEAF));
        }
        exchange.nat = detect_nat(exchange, chain, path, alg);
        Ok(())
    }

    /// Lists the vendor ID payloads of a first or second message. A responder offers what the initiator offered, so
    /// that its answer is no larger than the question (IKE-DOS-013).
    pub(super) fn vendor_id_payloads(&mut self, peer: Option<&PeerOffer>) -> Vec<(PayloadType, Vec<u8>)> {
        let behaviour = &self.config.behaviour;
        let mut bodies: Vec<Vec<u8>> = Vec::new();
        if !behaviour.varies(Variant::IkeNoVendorIds) {
            if peer.is_none_or(|p| p.dpd) {
                bodies.push(vendor_id::DPD.to_vec());
            }
            let port = peer.is_none() || self.config.nat_t_port.is_some();
            if self.config.nat_t && port && peer.is_none_or(|p| p.nat_t) {
                bodies.push(vendor_id::NAT_T_RFC3947.to_vec());
            }
            if self.config.fragmentation && peer.is_none_or(|p| p.fragmentation) {
                let mut body = vendor_id::FRAGMENTATION.to_vec();
                body.extend_from_slice(&0xc000_0000_u32.to_be_bytes());
                bodies.push(body);
            }
            bodies.extend(self.config.vendor_ids.iter().cloned());
        }
        if behaviour.varies(Variant::IkeExtraVendorIds) {
            bodies.extend((0..10).map(|_| self.draws.padding.vec(16)));
        }
        // REQ IKE-DOS-013
        if peer.is_some() && behaviour.has(Defect::IkeAmplifies) {
            bodies.extend((0..40).map(|_| self.draws.padding.vec(64)));
        }
        bodies.into_iter().map(|body| (PayloadType::VENDOR_ID, body)).collect()
    }

    /// Tells whether NAT traversal is on for an exchange.
    pub(super) fn nat_t_on(&self, exchange: &Exchange) -> bool {
        let offered = self.config.nat_t
            && !self.config.behaviour.varies(Variant::IkeNoVendorIds)
            && (exchange.role == Role::Initiator || self.config.nat_t_port.is_some());
        offered && exchange.peer.nat_t
    }

    /// Turns a finished exchange into an SA.
    pub(super) fn establish(&mut self, now: Now, exchange: Exchange, done: Authenticated) {
        let id = exchange.id;
        self.drop_exchange(&exchange, true);
        let behaviour = &self.config.behaviour;
        let sa = IkeSa {
            id,
            role: exchange.role,
            mode: exchange.mode,
            path: exchange.path,
            cookies: exchange.cookies,
            suite: exchange.suite,
            doi: exchange.doi,
            skeyid_a: done.keyed.ids.a.clone(),
            last: done.keyed.cbc,
            peer_identity: done.identity,
            peer_subject: done.subject,
            rule: exchange.rule,
            established: now.mono,
            expires: now.mono + exchange.lifetime,
            nat: exchange.nat,
            peer_dpd: exchange.peer.dpd && !behaviour.varies(Variant::IkeNoVendorIds),
            peer_fragmentation: self.config.fragmentation
                && (exchange.peer.fragmentation || behaviour.has(Defect::IkeFragmentsWithoutVendorId)),
            peer_vendor_ids: exchange.peer.vendor_ids,
            fragments_seen: exchange.fragments_seen,
            version: version(behaviour),
            flags: flags(behaviour),
            length_unpadded: behaviour.has(Defect::IkeLengthWithoutPadding),
            used: UsedIds::default(),
            // REQ IKE-RTX-006
            stale: if behaviour.has(Defect::IkeStalePortAnswered) { exchange.older } else { Vec::new() },
            kept: exchange.last.filter(|_| !behaviour.has(Defect::IkeMessage6NotRepeated)),
            heard: now.mono,
            dpd: Dpd { next: self.draws.dpd_sequence(), ..Dpd::default() },
        };
        let peer = sa.path.peer;
        let identity = describe(&sa.peer_identity);
        if self.config.export_keys {
            self.push_event(IkeEvent::KeyMaterial {
                initiator_cookie: sa.cookies.0,
                responder_cookie: sa.cookies.1,
                skeyid_a: sa.skeyid_a.expose().to_vec(),
                cipher_key: sa.last.key().expose().to_vec(),
                cipher: sa.cipher().name(),
            });
        }
        if done.initial_contact {
            self.replace_older(&sa);
        }
        let role = sa.role;
        let tell_lifetime = self.config.behaviour.varies(Variant::IkeResponderLifetime) && role == Role::Responder;
        self.insert_sa(now, Box::new(sa));
        self.push_event(IkeEvent::Established { sa: id, peer, role, identity });
        if tell_lifetime {
            self.send_responder_lifetime(id);
        }
    }

    /// Drops older SAs of the peer that made first contact, by its authenticated identity only (IKE-INF-015).
    fn replace_older(&mut self, newer: &IkeSa) {
        let ids: Vec<SaId> = if self.config.behaviour.has(Defect::IkeInitialContactByAddress) {
            let ip = newer.path.peer.ip();
            self.sas.values().filter(|sa| sa.path.peer.ip() == ip).map(|sa| sa.id).collect()
        } else {
            let known = self.by_identity.get(&super::identity_key(&newer.peer_identity));
            known.into_iter().flatten().copied().collect()
        };
        for id in ids {
            self.remove_sa(id);
            self.push_event(IkeEvent::Replaced { sa: id, by: newer.id });
        }
    }

    /// Sends the initiator's next message and starts its timers.
    pub(super) fn send_first(&mut self, now: Now, exchange: &mut Exchange, message: Vec<u8>, large: bool) {
        exchange.pending = message;
        exchange.sent = 1;
        let fragment = large && self.may_fragment(exchange) && self.fragments_now(exchange);
        self.transmit(exchange.path, &exchange.pending, fragment);
        if !self.config.behaviour.has(Defect::IkeNoRetransmission) {
            self.timers.set(exchange.id, Timer::Retransmit, now.mono + self.wait(exchange.sent));
        } else {
            let all: Duration = (1..=self.config.retransmit.tries).map(|n| self.wait(n)).sum();
            self.timers.set(exchange.id, Timer::GiveUp, now.mono + all);
        }
    }

    /// Tells whether a large message of an exchange may go in fragments.
    pub(super) fn may_fragment(&self, exchange: &Exchange) -> bool {
        // REQ IKE-FRAG-002
        let known = exchange.peer.fragmentation || self.config.behaviour.has(Defect::IkeFragmentsWithoutVendorId);
        self.config.fragmentation && known && !self.config.behaviour.varies(Variant::IkeNoVendorIds)
    }

    /// Tells whether to fragment on first transmission.
    pub(super) fn fragments_now(&self, exchange: &Exchange) -> bool {
        let behaviour = &self.config.behaviour;
        exchange.fragments_seen
            || behaviour.varies(Variant::IkeFragmentsAtOnce)
            || behaviour.has(Defect::IkeFragmentsWithoutVendorId)
    }

    /// Gives the wait after a transmission.
    pub(super) fn wait(&self, sent: u32) -> Duration {
        // REQ IKE-RTX-002
        if self.config.behaviour.has(Defect::IkeRetransmitFixedInterval) {
            return self.config.retransmit.initial;
        }
        if self.config.behaviour.varies(Variant::IkeSlowRetransmission) {
            let slow = super::Retransmit {
                initial: Duration::from_secs(4),
                factor: 1.8,
                cap: Duration::from_secs(60),
                tries: self.config.retransmit.tries,
            };
            return slow.wait(sent);
        }
        self.config.retransmit.wait(sent)
    }

    /// Finds the pre-shared key of a rule.
    pub(super) fn psk(&self, rule: usize) -> Option<Secret> {
        // REQ IKE-MM-021
        if self.config.behaviour.has(Defect::IkePskOfFirstPeer) {
            return self.config.peers.iter().find_map(|rule| rule.psk.clone());
        }
        self.config.peers.get(rule).and_then(|rule| rule.psk.clone())
    }
}
