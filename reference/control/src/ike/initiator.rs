//! Main Mode as the initiator: messages 1, 3 and 5.

use hallmark_core::Now;
use hallmark_crypto::DhKey;
use hallmark_wire::gdoi;
use hallmark_wire::isakmp::{Chain, Header, Notify, NotifyType, PayloadType, SecurityAssociation};

use super::exchange::{Arrived, Authenticated, Exchange, Keyed, Next, PeerOffer, Refusal, State, nat_d_payloads};
use super::keys::{Inputs, agree, derive};
use super::payloads::{body, check_payloads, check_trailing, nonce};
use super::sa::{Mode, Path, Role, SaId, join};
use super::{IkeEndpoint, IkeEvent, NAT_T_PORT, Suite, auth, code, lenient, negotiate};
use crate::behaviour::{Defect, Variant};

impl IkeEndpoint {
    /// Sends message 1, in Main or Aggressive Mode as configured.
    pub(super) fn start_exchange(&mut self, now: Now, id: SaId, path: Path, rule: usize) {
        self.push_event(IkeEvent::Started { sa: id, peer: path.peer, role: Role::Initiator });
        let Some(peer_rule) = self.config.peers.get(rule) else {
            self.push_event(IkeEvent::Failed { sa: id, peer: path.peer, code: code::PEER_UNKNOWN });
            return;
        };
        let offer = negotiate::offer(&self.config, peer_rule);
        if offer.proposals.iter().all(|p| p.transforms.is_empty()) {
            self.push_event(IkeEvent::Failed { sa: id, peer: path.peer, code: code::NO_PSK });
            return;
        }
        let cookie = self.draws.cookie(now, path.local, path.peer, &self.config.behaviour);
        let sa_i = offer.encode_body();
        let mut exchange = Box::new(Exchange {
            id,
            role: Role::Initiator,
            mode: if self.config.aggressive { Mode::Aggressive } else { Mode::Main },
            path,
            first: (path.peer, cookie),
            rule,
            // REQ IKE-CKY-002
            cookies: (cookie, [0; 8]),
            doi: offer.doi,
            sa_i,
            suite: self.config.proposals.first().copied().unwrap_or(Suite::DEFAULT),
            lifetime: self.config.lifetime,
            peer: PeerOffer::default(),
            nat: (false, false),
            certificate_wanted: false,
            state: State::SentOffer { offer },
            last: None,
            older: Vec::new(),
            pending: Vec::new(),
            sent: 0,
            started: now.mono,
            fragments_seen: false,
        });
        self.by_initiator.insert(cookie, id);
        if exchange.mode == Mode::Aggressive {
            self.aggressive_1(now, &mut exchange);
        } else {
            let payloads = self.offer_payloads(&exchange, Vec::new());
            let message = exchange.clear(&payloads, &self.config.behaviour);
            self.send_first(now, &mut exchange, message, false);
        }
        self.exchanges.insert(id, exchange);
    }

    /// Puts SA, further payloads and vendor IDs of a first message in order.
    pub(super) fn offer_payloads(
        &mut self,
        exchange: &Exchange,
        further: Vec<(PayloadType, Vec<u8>)>,
    ) -> Vec<(PayloadType, Vec<u8>)> {
        // REQ IKE-PAY-008
        let mut payloads = vec![(PayloadType::SA, exchange.sa_i.clone())];
        payloads.extend(further);
        payloads.extend(self.vendor_id_payloads(None));
        self.sa_first(&mut payloads);
        payloads
    }

    /// A defect puts a vendor ID in front of the SA.
    pub(super) fn sa_first(&mut self, payloads: &mut Vec<(PayloadType, Vec<u8>)>) {
        if self.config.behaviour.has(Defect::IkeSaNotFirst) {
            payloads.insert(0, (PayloadType::VENDOR_ID, self.draws.padding.vec(16)));
        }
    }

    /// Message 2: the answer to our offer. Message 3 goes out.
    pub(super) fn message_2(&mut self, exchange: &mut Exchange, arrived: Arrived<'_>) -> Result<Next, Refusal> {
        let Arrived { now, header, message, digest, path } = arrived;
        let octets = self.clear_octets(header, message);
        let chain = self.chain(header.next, &octets)?;
        check_trailing(&chain, &self.config.behaviour)?;
        check_payloads(&chain, &[PayloadType::SA], &self.config.behaviour)?;
        self.take_answer(exchange, &chain)?;
        self.pin_cookie(exchange, header);
        exchange.note_vendor_ids(&chain);
        self.note_requests(exchange, &chain)?;
        let dh = self.draws.dh(exchange.suite.group, &self.config.behaviour);
        let nonce = self.draws.nonce(&self.config.behaviour);
        let mut payloads = self.share_payloads(&dh, &nonce);
        payloads.extend(self.nat_d_for(exchange));
        let answer = exchange.clear(&payloads, &self.config.behaviour);
        exchange.state = State::SentShare { dh, nonce };
        exchange.accepted(digest, Vec::new(), path);
        self.send_first(now, exchange, answer, false);
        Ok(Next::Wait)
    }

    /// Checks the answered SA against the offer.
    pub(super) fn take_answer(&mut self, exchange: &mut Exchange, chain: &Chain<'_>) -> Result<(), Refusal> {
        // REQ IKE-PAY-008
        if chain.first() != PayloadType::SA {
            return Err(Refusal::keep(code::FIRST_PAYLOAD));
        }
        let answer = SecurityAssociation::decode(body(chain, PayloadType::SA)?).map_err(|e| self.malformed(&e))?;
        let (State::SentOffer { offer } | State::SentAll { offer, .. }) = &exchange.state else {
            return Err(Refusal::keep(code::OUT_OF_STATE));
        };
        let rule = self.config.peers.get(exchange.rule).ok_or(Refusal::lose(code::PEER_UNKNOWN))?;
        (exchange.suite, exchange.lifetime) = negotiate::verify_answer(&self.config, rule, offer, &answer)?;
        Ok(())
    }

    /// From now on only this responder cookie counts.
    pub(super) fn pin_cookie(&mut self, exchange: &mut Exchange, header: &Header) {
        exchange.cookies.1 = header.responder_cookie;
        self.by_cookies.insert(join(exchange.cookies), exchange.id);
        // REQ IKE-CKY-008
        if !self.config.behaviour.has(Defect::IkeResponderCookieNotPinned) {
            self.by_initiator.remove(&exchange.cookies.0);
        }
    }

    /// Orders KE and nonce.
    pub(super) fn share_payloads(&self, dh: &DhKey, nonce: &[u8]) -> Vec<(PayloadType, Vec<u8>)> {
        let behaviour = &self.config.behaviour;
        let mut public = dh.public().to_vec();
        // REQ IKE-MM-008
        if behaviour.has(Defect::IkeStripsPublicZeros) {
            public = public.into_iter().skip_while(|&octet| octet == 0).collect();
        }
        // REQ IKE-KEY-013
        if dh.group().is_ecp() && behaviour.has(Defect::IkeEcpFormatOctet) {
            public.insert(0, 4);
        }
        let mut payloads = vec![(PayloadType::KE, public), (PayloadType::NONCE, nonce.to_vec())];
        if behaviour.varies(Variant::IkeNonceBeforeKe) {
            payloads.reverse();
        }
        payloads
    }

    /// Makes NAT-D payloads when both sides know them (IKE-NAT-001).
    pub(super) fn nat_d_for(&self, exchange: &Exchange) -> Vec<(PayloadType, Vec<u8>)> {
        let behaviour = &self.config.behaviour;
        if self.nat_t_on(exchange) || behaviour.has(Defect::IkeNatDWithoutVendorId) {
            return nat_d_payloads(exchange, exchange.suite.hash, behaviour);
        }
        Vec::new()
    }

    /// Message 4: the responder's share. Message 5 goes out.
    pub(super) fn message_4(&mut self, exchange: &mut Exchange, arrived: Arrived<'_>) -> Result<Next, Refusal> {
        let Arrived { now, header, message, digest, path } = arrived;
        let octets = self.clear_octets(header, message);
        let chain = self.chain(header.next, &octets)?;
        let behaviour = &self.config.behaviour;
        check_trailing(&chain, behaviour)?;
        check_payloads(&chain, &[PayloadType::KE, PayloadType::NONCE], behaviour)?;
        let nonce_r = nonce(&chain, behaviour)?;
        let ke_r = body(&chain, PayloadType::KE)?;
        let State::SentShare { dh, nonce } = &exchange.state else {
            return Err(Refusal::keep(code::OUT_OF_STATE));
        };
        let g_xy = agree(dh, ke_r, behaviour)?;
        let psk = self.psk(exchange.rule);
        let inputs = Inputs { psk: psk.as_ref(), g_xy: &g_xy, nonce_i: nonce, nonce_r, ke_i: dh.public(), ke_r };
        let mut keyed = derive(exchange.suite, exchange.cookies, &inputs, behaviour)?;
        exchange.note_vendor_ids(&chain);
        self.note_requests(exchange, &chain)?;
        self.note_nat(exchange, &chain, path)?;
        if self.nat_t_on(exchange) {
            self.float(exchange);
        }
        let payloads = self.proof_payloads(exchange, &mut keyed)?;
        let Self { draws, config, .. } = self;
        let answer = exchange.sealed(&mut keyed.cbc, &payloads, &mut draws.padding, &config.behaviour);
        exchange.state = State::Keyed(keyed);
        exchange.accepted(digest, Vec::new(), path);
        self.send_first(now, exchange, answer, true);
        Ok(Next::Wait)
    }

    /// Moves to port 4500 when there is a NAT and we have that port (IKE-NAT-005).
    pub(super) fn float(&self, exchange: &mut Exchange) {
        let found = exchange.nat.0 || exchange.nat.1;
        if let Some(port) = self.config.nat_t_port.filter(|_| found && !exchange.path.marker) {
            exchange.path.local.set_port(port);
            exchange.path.peer.set_port(NAT_T_PORT);
            exchange.path.marker = true;
        }
    }

    /// Makes the payloads of message 5: ID, CERT, HASH or SIG, requests, INITIAL-CONTACT.
    pub(super) fn proof_payloads(
        &mut self,
        exchange: &Exchange,
        keyed: &mut Keyed,
    ) -> Result<Vec<(PayloadType, Vec<u8>)>, Refusal> {
        let id = self.own_identity(exchange).encode_body();
        let mut proof = self.prove(exchange, keyed, &id)?;
        let last = proof.pop();
        let mut payloads = vec![(PayloadType::ID, id)];
        payloads.extend(proof);
        if exchange.role == Role::Initiator {
            payloads.extend(self.certificate_requests(exchange));
        }
        payloads.extend(last);
        if self.config.behaviour.varies(Variant::IkeHashBeforeId) {
            payloads.rotate_right(1);
        }
        if exchange.role == Role::Initiator {
            payloads.extend(self.initial_contact(exchange));
        }
        Ok(payloads)
    }

    /// Makes INITIAL-CONTACT when no other SA with the peer is known (IKE-INF-014).
    fn initial_contact(&self, exchange: &Exchange) -> Option<(PayloadType, Vec<u8>)> {
        let behaviour = &self.config.behaviour;
        let known = self.sas.values().any(|sa| sa.path.peer.ip() == exchange.path.peer.ip());
        if !self.config.initial_contact || behaviour.varies(Variant::IkeInitialContactAbsent) || known {
            return None;
        }
        let bare = behaviour.has(Defect::IkeInitialContactWithoutSpi);
        let spi = if bare { Vec::new() } else { join(exchange.cookies).to_vec() };
        let notify = Notify { doi: IPSEC_DOI, protocol: 1, spi, kind: NotifyType::INITIAL_CONTACT, data: Vec::new() };
        Some((PayloadType::NOTIFY, notify.encode_body()))
    }

    /// Message 6: the responder's proof.
    pub(super) fn message_6(&mut self, exchange: &mut Exchange, arrived: Arrived<'_>) -> Result<Next, Refusal> {
        let State::Keyed(mut keyed) = std::mem::replace(&mut exchange.state, State::SentAnswer) else {
            return Err(Refusal::keep(code::OUT_OF_STATE));
        };
        match self.open_proof(exchange, &mut keyed, arrived) {
            Ok(proven) => {
                exchange.last = None;
                Ok(Next::Up(Authenticated {
                    identity: proven.identity,
                    subject: proven.subject,
                    keyed,
                    initial_contact: proven.initial_contact,
                }))
            }
            Err(refusal) => {
                exchange.state = State::Keyed(keyed);
                Err(refusal)
            }
        }
    }

    /// Decrypts and checks message 5 or 6; the chain moves on when it is good.
    pub(super) fn open_proof(
        &mut self,
        exchange: &mut Exchange,
        keyed: &mut Keyed,
        arrived: Arrived<'_>,
    ) -> Result<auth::Proven, Refusal> {
        let Arrived { now, header, message, path, .. } = arrived;
        let sealed = message.get(Header::LEN..).unwrap_or_default();
        let encrypted = header.flags.contains(hallmark_wire::isakmp::Flags::ENCRYPTION);
        let plain = if encrypted {
            // REQ IKE-HDR-017
            let lost = self.config.behaviour.has(Defect::IkePartialBlockKills);
            let refused =
                |e: hallmark_crypto::CryptoError| Refusal { lost, ..Refusal::keep(code::BLOCK).with(e.to_string()) };
            keyed.cbc.decrypt(sealed).map_err(refused)?
        } else {
            sealed.to_vec()
        };
        let plain = lenient::chain(header.next, &plain, &self.config.behaviour).unwrap_or(plain);
        let outcome = self.check_open(now, exchange, keyed, header, &plain, path);
        // REQ IKE-MM-033
        if encrypted && (outcome.is_ok() || self.config.behaviour.has(Defect::IkeIvAdvancedByGarbage)) {
            keyed.cbc.advance(sealed);
        }
        outcome
    }

    fn check_open(
        &mut self,
        now: Now,
        exchange: &mut Exchange,
        keyed: &Keyed,
        header: &Header,
        plain: &[u8],
        path: Path,
    ) -> Result<auth::Proven, Refusal> {
        let chain = self.chain(header.next, plain)?;
        // REQ IKE-PAY-009
        if chain.trailing().len() >= exchange.suite.cipher.block_len()
            && self.config.behaviour.has(Defect::IkeExtraPaddingRefused)
        {
            return Err(Refusal::keep(code::TRAILING));
        }
        // REQ IKE-MM-017
        let mandatory = [PayloadType::ID, auth::auth_payload(exchange)];
        check_payloads(&chain, &mandatory, &self.config.behaviour)?;
        self.note_requests(exchange, &chain)?;
        let id_body = chain.find(PayloadType::ID).map(|p| p.body).unwrap_or_default();
        self.early_contact(exchange, &chain, id_body);
        self.check_proof(now, exchange, keyed, &chain, id_body, path)
    }
}

/// The DOI of numbers that belong to the IPsec DOI even under GDOI (section 5.3).
pub(super) const IPSEC_DOI: u32 = 1;
const _: () = assert!(gdoi::DOI == 2);
