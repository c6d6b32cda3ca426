//! Phase 1 as responder.

use hallmark_wire::isakmp::{ExchangeType, PayloadType, Proposal, SecurityAssociation, Transform, vendor_id};
use hallmark_wire::raw::RawMessage;

use super::{Peer, ProbeKs};
use crate::sa::{Sa, Transcript, check_proof, fill_proof, last_block, nat_d_payloads, proof_payloads, requests};
use crate::seal::{self, Sealed};
use crate::seen::Seen;
use crate::step::Step;
use crate::suite::{Auth, Suite};
use crate::world::{KeyRecord, World};

impl ProbeKs {
    /// Names the step of a phase 1 message from a group member, and opens it.
    pub(super) fn open_phase1(&self, seen: &mut Seen) {
        let aggressive = seen.header.exchange == ExchangeType::AGGRESSIVE;
        let first = seen.header.responder_cookie == [0; 8];
        if first {
            seen.step = if aggressive { Step::Aggressive1 } else { Step::Main1 };
            return;
        }
        let Some(peer) = self.peer_of(seen).and_then(|index| self.peers.get(index)) else { return };
        seen.step = match (aggressive, seen.protected) {
            (true, _) => Step::Aggressive3,
            (false, true) => Step::Main5,
            (false, false) => Step::Main3,
        };
        let Some(sa) = &peer.sa else { return };
        if seen.protected {
            let plain = sa.phase1_cbc().and_then(|cbc| cbc.decrypt(seen.body_octets()));
            match plain {
                Ok(plain) => seen.open(plain),
                Err(error) => seen.flaw = Some(error.to_string()),
            }
        }
        seen.authentic = match seen.step {
            Step::Main5 => check_proof(sa, seen, true),
            Step::Aggressive3 => check_aggressive(sa, seen),
            _ => None,
        };
    }

    pub(super) fn on_main1(&mut self, world: &mut dyn World, seen: &Seen) {
        let Some((offer, suite, transform)) = self.choose(seen) else { return };
        let tamper = self.tamper_of(Step::Main2);
        let responder_cookie = self.script.fixed.cookie(&mut self.rng);
        let cookies = (seen.header.initiator_cookie, responder_cookie);
        let mut payloads = vec![(PayloadType::SA, chosen(&offer, transform).encode_body())];
        payloads.extend(self.script.vendor_ids.iter().map(|id| (PayloadType::VENDOR_ID, id.clone())));
        let message = seal::raw(cookies, ExchangeType::MAIN, 0, false, payloads);
        let Ok(sealed) = seal::finish(message, &tamper, |_| Ok(()), None) else { return };
        let index = self.new_peer(seen, suite, &sealed);
        self.answer(world, index, Step::Main2, seen, sealed.octets);
    }

    pub(super) fn on_main3(&mut self, world: &mut dyn World, seen: &Seen) {
        let (Some(index), Some(public)) = (self.peer_of(seen), seen.body(PayloadType::KE)) else { return };
        let Some(nonce) = seen.nonce() else { return };
        let tamper = self.tamper_of(Step::Main4);
        let Some(peer) = self.peers.get(index) else { return };
        if peer.sa.is_some() {
            return;
        }
        let (suite, nat_t) = (peer.suite, peer.nat_t);
        let cookies = (peer.transcript.initiator_cookie, peer.transcript.responder_cookie);
        let Ok(own) = self.script.fixed.dh(suite.group, &mut self.rng) else { return };
        let own_nonce = self.script.fixed.nonce(self.script.nonce_len, &mut self.rng);
        let mut payloads = vec![(PayloadType::KE, own.public().to_vec()), (PayloadType::NONCE, own_nonce)];
        payloads.extend(requests(suite.auth, &self.script.credentials));
        if nat_t {
            payloads.extend(nat_d_payloads(suite.hash, cookies, seen.datagram.src, seen.datagram.dst));
        }
        let message = seal::raw(cookies, ExchangeType::MAIN, 0, false, payloads);
        let Ok(sealed) = seal::finish(message, &tamper, |_| Ok(()), None) else { return };
        let body = |kind| seal::body_of(&sealed.message, kind).unwrap_or_default();
        let psk = self.script.credentials.psk.clone();
        if let Some(peer) = self.peers.get_mut(index) {
            peer.transcript.g_xi = public.to_vec();
            peer.transcript.ni_b = nonce.to_vec();
            peer.transcript.g_xr = body(PayloadType::KE);
            peer.transcript.nr_b = body(PayloadType::NONCE);
            if let Ok(g_xy) = own.agree(public) {
                let sa = Sa::derive(suite, &psk, peer.transcript.clone(), g_xy);
                record(world, &sa, &psk);
                peer.sa = Some(sa);
            }
        }
        self.answer(world, index, Step::Main4, seen, sealed.octets);
    }

    /// Answers a repeated request of phase 1 as if it had not been answered before: for a right answer after a wrong
    /// one. Tells whether it is such a request.
    pub(super) fn answer_anew(&mut self, world: &mut dyn World, index: usize, step: Step, seen: &Seen) -> bool {
        match step {
            Step::Main2 => self.on_main1(world, seen),
            Step::Main4 => {
                if let Some(peer) = self.peers.get_mut(index) {
                    peer.sa = None;
                }
                self.on_main3(world, seen);
            }
            Step::Aggressive2 => self.on_aggressive1(world, seen),
            _ => return false,
        }
        true
    }

    pub(super) fn on_main5(&mut self, world: &mut dyn World, seen: &Seen) {
        let Some(index) = self.peer_of(seen) else { return };
        if seen.authentic != Some(true) || self.peers.get(index).is_none_or(|peer| peer.established) {
            return;
        }
        let Some(peer) = self.peers.get_mut(index) else { return };
        let Some(sa) = &mut peer.sa else { return };
        sa.peer_identity = seen.identification();
        let Ok(mut cbc) = sa.phase1_cbc() else { return };
        cbc.advance(seen.body_octets());
        peer.phase1 = Some(cbc);
        let Some(sealed) = self.seal_main6(index) else { return };
        if let Some(peer) = self.peers.get_mut(index) {
            peer.established = true;
        }
        self.log.established += 1;
        self.answer(world, index, Step::Main6, seen, sealed.octets);
    }

    /// Builds message 6 with the tamper that is set now.
    pub(super) fn seal_main6(&mut self, index: usize) -> Option<Sealed> {
        let tamper = self.tamper_of(Step::Main6);
        let own = self.script.identity();
        let peer = self.peers.get_mut(index)?;
        let sa = peer.sa.as_mut()?;
        let mut cbc = peer.phase1.clone()?;
        let payloads = proof_payloads(sa.suite.auth, &self.script.credentials, &own, false);
        let message = seal::raw(sa.cookies(), ExchangeType::MAIN, 0, true, payloads);
        let (credentials, rng) = (&self.script.credentials, &mut self.rng);
        let prove = |message: &mut RawMessage| fill_proof(message, sa, false, credentials, &tamper, rng);
        let sealed = seal::finish(message, &tamper, prove, Some(&mut cbc)).ok()?;
        sa.last_block = cbc.iv().to_vec();
        Some(sealed)
    }

    pub(super) fn on_aggressive1(&mut self, world: &mut dyn World, seen: &Seen) {
        let Some((offer, suite, transform)) = self.choose(seen) else { return };
        let (Some(public), Some(nonce)) = (seen.body(PayloadType::KE), seen.nonce()) else { return };
        let tamper = self.tamper_of(Step::Aggressive2);
        let responder_cookie = self.script.fixed.cookie(&mut self.rng);
        let cookies = (seen.header.initiator_cookie, responder_cookie);
        let Ok(own) = self.script.fixed.dh(suite.group, &mut self.rng) else { return };
        let own_nonce = self.script.fixed.nonce(self.script.nonce_len, &mut self.rng);
        let Ok(g_xy) = own.agree(public) else { return };
        let nat_t = self.agrees_nat_t(seen);
        let mut payloads = vec![
            (PayloadType::SA, chosen(&offer, transform).encode_body()),
            (PayloadType::KE, own.public().to_vec()),
            (PayloadType::NONCE, own_nonce),
        ];
        payloads.extend(proof_payloads(suite.auth, &self.script.credentials, &self.script.identity(), true));
        payloads.extend(self.script.vendor_ids.iter().map(|id| (PayloadType::VENDOR_ID, id.clone())));
        if nat_t {
            payloads.extend(nat_d_payloads(suite.hash, cookies, seen.datagram.src, seen.datagram.dst));
        }
        let message = seal::raw(cookies, ExchangeType::AGGRESSIVE, 0, false, payloads);
        let psk = self.script.credentials.psk.clone();
        let mut derived = None;
        let (credentials, rng) = (&self.script.credentials, &mut self.rng);
        let prove = |message: &mut RawMessage| {
            let body = |kind| seal::body_of(message, kind).unwrap_or_default();
            let transcript = Transcript {
                initiator_cookie: cookies.0,
                responder_cookie: message.responder_cookie,
                sa_i_b: seen.body(PayloadType::SA).unwrap_or_default().to_vec(),
                ni_b: nonce.to_vec(),
                nr_b: body(PayloadType::NONCE),
                g_xi: public.to_vec(),
                g_xr: body(PayloadType::KE),
            };
            let sa = Sa::derive(suite, &psk, transcript, g_xy);
            let result = fill_proof(message, &sa, false, credentials, &tamper, rng);
            derived = Some(sa);
            result
        };
        let Ok(sealed) = seal::finish(message, &tamper, prove, None) else { return };
        let index = self.new_peer(seen, suite, &sealed);
        if let (Some(peer), Some(mut sa)) = (self.peers.get_mut(index), derived) {
            record(world, &sa, &psk);
            sa.peer_identity = seen.identification();
            peer.transcript = sa.transcript.clone();
            peer.sa = Some(sa);
        }
        self.answer(world, index, Step::Aggressive2, seen, sealed.octets);
    }

    pub(super) fn on_aggressive3(&mut self, seen: &Seen) {
        let Some(peer) = self.peer_of(seen).and_then(|index| self.peers.get_mut(index)) else { return };
        if seen.authentic != Some(true) || peer.established {
            return;
        }
        if let Some(sa) = &mut peer.sa {
            // Without any ciphertext the initial IV itself is what later IVs are derived from.
            let last = if seen.protected { last_block(&sa.suite, seen.body_octets()) } else { sa.first_iv.clone() };
            sa.last_block = last;
        }
        peer.established = true;
        self.log.established += 1;
    }

    /// Finds the first transform of the offer that the script accepts.
    fn choose(&self, seen: &Seen) -> Option<(SecurityAssociation, Suite, Transform)> {
        let offer = seen.sa()?;
        let accepted = |suite: &Suite| self.script.suites.iter().any(|own| own.same_algorithms(suite));
        let (suite, transform) = offer
            .proposals
            .iter()
            .flat_map(|proposal| &proposal.transforms)
            .find_map(|t| Suite::from_transform(t).filter(accepted).map(|suite| (suite, t.clone())))?;
        Some((offer, suite, transform))
    }

    fn new_peer(&mut self, seen: &Seen, suite: Suite, sealed: &Sealed) -> usize {
        let nat_t = self.agrees_nat_t(seen);
        self.peers.push(Peer {
            remote: seen.datagram.src,
            local: seen.datagram.dst,
            transcript: Transcript {
                initiator_cookie: seen.header.initiator_cookie,
                responder_cookie: sealed.message.responder_cookie,
                sa_i_b: seen.body(PayloadType::SA).unwrap_or_default().to_vec(),
                ..Transcript::default()
            },
            suite,
            sa: None,
            established: false,
            deleted: false,
            phase1: None,
            nat_t,
            pulls: std::collections::BTreeMap::new(),
            answers: Vec::new(),
        });
        self.peers.len() - 1
    }

    fn agrees_nat_t(&self, seen: &Seen) -> bool {
        let offers = |ids: &[Vec<u8>]| ids.iter().any(|id| id.as_slice() == vendor_id::NAT_T_RFC3947);
        offers(&self.script.vendor_ids) && offers(&seen.vendor_ids())
    }
}

/// Answers an offer with one of its transforms as it came.
fn chosen(offer: &SecurityAssociation, transform: Transform) -> SecurityAssociation {
    let proposal = offer.proposals.first().cloned();
    let number = proposal.as_ref().map_or(1, |proposal| proposal.number);
    let proposal = Proposal { number, protocol: 1, spi: Vec::new(), transforms: vec![transform] };
    SecurityAssociation { doi: offer.doi, situation: offer.situation, proposals: vec![proposal] }
}

/// Checks aggressive mode message 3, whose identity came in message 1.
fn check_aggressive(sa: &Sa, seen: &Seen) -> Option<bool> {
    let id = sa.peer_identity.as_ref()?.encode_body();
    let mut whole = seen.clone();
    let payload = crate::seen::Payload { kind: PayloadType::ID, body: id, whole: Vec::new() };
    whole.payloads.push(payload);
    check_proof(sa, &whole, true)
}

fn record(world: &mut dyn World, sa: &Sa, psk: &[u8]) {
    world.keys(sa.record());
    if sa.suite.auth == Auth::Psk {
        world.keys(KeyRecord::Psk(psk.to_vec()));
    }
}
