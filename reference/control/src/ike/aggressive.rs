//! Aggressive Mode (section 4): off unless configured, because it shows identities and lets anyone cause an
//! exponentiation with one message.

use hallmark_core::Now;
use hallmark_wire::isakmp::{Chain, Flags, Header, PayloadType, SecurityAssociation};

use super::exchange::{Arrived, Authenticated, Exchange, Next, Refusal, State};
use super::keys::{Inputs, agree, derive};
use super::payloads::{body, check_payloads, check_trailing, nonce};
use super::sa::Kept;
use super::{IkeEndpoint, auth, code, lenient};
use crate::behaviour::Defect;

impl IkeEndpoint {
    /// Message 1: offer, share and identity at once.
    pub(super) fn aggressive_1(&mut self, now: Now, exchange: &mut Exchange) {
        let dh = self.draws.dh(exchange.suite.group, &self.config.behaviour);
        let nonce = self.draws.nonce(&self.config.behaviour);
        let id = self.own_identity(exchange).encode_body();
        let mut further = self.share_payloads(&dh, &nonce);
        further.push((PayloadType::ID, id.clone()));
        further.extend(self.certificate_requests(exchange));
        let payloads = self.offer_payloads(exchange, further);
        let message = exchange.clear(&payloads, &self.config.behaviour);
        if let State::SentOffer { offer } = &exchange.state {
            let offer = offer.clone();
            exchange.state = State::SentAll { offer, dh, nonce, id };
        }
        self.send_first(now, exchange, message, false);
    }

    /// Message 2, from the first message that was just checked.
    pub(super) fn aggressive_answer(
        &mut self,
        now: Now,
        exchange: &mut Exchange,
        chain: &Chain<'_>,
        answer: &SecurityAssociation,
    ) -> Result<Vec<u8>, Refusal> {
        let behaviour = &self.config.behaviour;
        let nonce_i = nonce(chain, behaviour)?;
        let ke_i = body(chain, PayloadType::KE)?;
        let id_body = body(chain, PayloadType::ID)?;
        let id = self.check_identity(exchange, id_body)?;
        // REQ IKE-AM-008
        if !self.half_open.spend(exchange.id, exchange.first.0.ip(), now.mono) {
            return Err(Refusal::keep(code::RATE));
        }
        let behaviour = &self.config.behaviour;
        let dh = self.draws.dh(exchange.suite.group, behaviour);
        let g_xy = agree(&dh, ke_i, behaviour)?;
        let nonce_r = self.draws.nonce(behaviour);
        let psk = self.psk(exchange.rule);
        let inputs = Inputs { psk: psk.as_ref(), g_xy: &g_xy, nonce_i, nonce_r: &nonce_r, ke_i, ke_r: dh.public() };
        let mut keyed = derive(exchange.suite, exchange.cookies, &inputs, behaviour)?;
        // REQ IKE-AM-003
        let mut payloads = vec![(PayloadType::SA, answer.encode_body())];
        payloads.extend(self.share_payloads(&dh, &nonce_r));
        payloads.extend(self.proof_payloads(exchange, &mut keyed)?);
        payloads.extend(self.certificate_requests(exchange));
        payloads.extend(self.nat_d_for(exchange));
        payloads.extend(self.vendor_id_payloads(Some(&exchange.peer)));
        exchange.state = State::AnsweredAll { keyed, id, id_body: id_body.to_vec() };
        Ok(exchange.clear(&payloads, &self.config.behaviour))
    }

    /// Message 2 at the initiator: the responder has proven itself; message 3 goes out and the SA is up.
    pub(super) fn aggressive_2(&mut self, exchange: &mut Exchange, arrived: Arrived<'_>) -> Result<Next, Refusal> {
        let Arrived { now, header, message, digest, path } = arrived;
        let octets = self.clear_octets(header, message);
        let chain = self.chain(header.next, &octets)?;
        check_trailing(&chain, &self.config.behaviour)?;
        self.take_answer(exchange, &chain)?;
        let behaviour = &self.config.behaviour;
        let mandatory =
            [PayloadType::SA, PayloadType::KE, PayloadType::NONCE, PayloadType::ID, auth::auth_payload(exchange)];
        check_payloads(&chain, &mandatory, behaviour)?;
        let nonce_r = nonce(&chain, behaviour)?;
        let ke_r = body(&chain, PayloadType::KE)?;
        let State::SentAll { dh, nonce, id, .. } = &exchange.state else {
            return Err(Refusal::keep(code::OUT_OF_STATE));
        };
        let g_xy = agree(dh, ke_r, behaviour)?;
        let psk = self.psk(exchange.rule);
        let inputs = Inputs { psk: psk.as_ref(), g_xy: &g_xy, nonce_i: nonce, nonce_r, ke_i: dh.public(), ke_r };
        let cookies = (exchange.cookies.0, header.responder_cookie);
        let mut keyed = derive(exchange.suite, cookies, &inputs, behaviour)?;
        let id = id.clone();
        // A forged answer must not pin its cookie: that waits for the proof.
        let before = exchange.cookies;
        exchange.cookies = cookies;
        exchange.note_vendor_ids(&chain);
        self.note_requests(exchange, &chain)?;
        self.note_nat(exchange, &chain, path)?;
        let id_r = body(&chain, PayloadType::ID)?;
        // REQ IKE-AM-007: a message 2 that does not verify may be forged, so the right one may still come.
        let proven = match self.check_proof(now, exchange, &keyed, &chain, id_r, path) {
            Ok(proven) => proven,
            Err(refusal) => {
                exchange.cookies = before;
                return Err(Refusal { lost: false, ..refusal });
            }
        };
        self.pin_cookie(exchange, header);
        if self.nat_t_on(exchange) {
            self.float(exchange);
        }
        let mut payloads = self.prove(exchange, &mut keyed, &id)?;
        payloads.extend(self.nat_d_for(exchange));
        let Self { draws, config, .. } = self;
        let answer = exchange.sealed(&mut keyed.cbc, &payloads, &mut draws.padding, &config.behaviour);
        self.transmit(exchange.path, &answer, false);
        // A duplicate of message 2 means that message 3 was lost.
        exchange.last = Some(Kept { digest, answer, path: exchange.path, times: 0 });
        Ok(Next::Up(Authenticated {
            identity: proven.identity,
            subject: proven.subject,
            keyed,
            initial_contact: false,
        }))
    }

    /// Message 3 at the responder, in clear or encrypted (IKE-AM-004).
    pub(super) fn aggressive_3(&mut self, exchange: &mut Exchange, arrived: Arrived<'_>) -> Result<Next, Refusal> {
        let Arrived { now, header, message, digest, path } = arrived;
        let encrypted = header.flags.contains(Flags::ENCRYPTION);
        if !encrypted && self.config.behaviour.has(Defect::IkeAggressiveClearRefused) {
            return Err(Refusal::keep(code::FLAGS).with("not encrypted"));
        }
        let State::AnsweredAll { mut keyed, id, id_body } = std::mem::replace(&mut exchange.state, State::SentAnswer)
        else {
            return Err(Refusal::keep(code::OUT_OF_STATE));
        };
        let sealed = message.get(Header::LEN..).unwrap_or_default();
        let outcome = if encrypted {
            keyed.cbc.decrypt(sealed).map_err(|e| Refusal::keep(code::BLOCK).with(e.to_string()))
        } else {
            Ok(sealed.to_vec())
        };
        let outcome = outcome.and_then(|plain| {
            let plain = lenient::chain(header.next, &plain, &self.config.behaviour).unwrap_or(plain);
            let chain = self.chain(header.next, &plain)?;
            if !encrypted {
                check_trailing(&chain, &self.config.behaviour)?;
            }
            check_payloads(&chain, &[auth::auth_payload(exchange)], &self.config.behaviour)?;
            self.note_nat(exchange, &chain, path)?;
            self.check_proof(now, exchange, &keyed, &chain, &id_body, path)
        });
        match outcome {
            Ok(proven) => {
                // Without a ciphertext LAST is the first IV (section 3.4).
                if encrypted {
                    keyed.cbc.advance(sealed);
                }
                exchange.path = path;
                exchange.last = Some(Kept { digest, answer: Vec::new(), path, times: u32::MAX });
                Ok(Next::Up(Authenticated {
                    identity: proven.identity,
                    subject: proven.subject,
                    keyed,
                    // REQ IKE-AM-005: no status notify belongs into Aggressive Mode.
                    initial_contact: false,
                }))
            }
            Err(refusal) => {
                exchange.state = State::AnsweredAll { keyed, id, id_body };
                Err(refusal)
            }
        }
    }
}
