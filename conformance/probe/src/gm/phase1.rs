//! Phase 1 as initiator.

use hallmark_crypto::ike::Cbc;
use hallmark_crypto::{CryptoError, DhKey};
use hallmark_wire::isakmp::{Cookie, ExchangeType, Notify, NotifyType, PayloadType, vendor_id};

use super::ProbeGm;
use crate::sa::{Sa, Transcript, check_proof, fill_proof, last_block, nat_d_payloads, proof_payloads, requests};
use crate::seal::{self, Sealed};
use crate::seen::Seen;
use crate::step::{Fault, Step};
use crate::suite::{Auth, Suite};
use crate::world::{KeyRecord, World};

/// The running phase 1 exchange.
#[derive(Default)]
pub(super) struct Phase1 {
    transcript: Transcript,
    own: Option<DhKey>,
    suite: Option<Suite>,
    sa: Option<Sa>,
    /// The IV chain after each message 5 that was sent: the answer may belong to any of them.
    chains: Vec<Cbc>,
    peer_vendor_ids: Vec<Vec<u8>>,
}

impl Phase1 {
    pub(super) const fn cookie(&self) -> Cookie {
        self.transcript.initiator_cookie
    }
}

impl ProbeGm {
    /// Runs main mode to the end.
    ///
    /// # Errors
    /// Says where and how it stopped.
    pub fn phase1(&mut self, world: &mut dyn World) -> Result<Sa, Fault> {
        self.send_main1(world)?;
        self.receive_main2(world)?;
        self.send_main3(world)?;
        self.receive_main4(world)?;
        self.send_main5(world)?;
        self.receive_main6(world)?;
        self.established()
    }

    /// Runs aggressive mode to the end.
    ///
    /// # Errors
    /// Says where and how it stopped.
    pub fn aggressive(&mut self, world: &mut dyn World) -> Result<Sa, Fault> {
        self.send_aggressive1(world)?;
        self.receive_aggressive2(world)?;
        self.send_aggressive3(world)?;
        self.established()
    }

    /// Starts a new phase 1 exchange: SA and vendor ids.
    ///
    /// # Errors
    /// None that a peer could cause.
    pub fn send_main1(&mut self, world: &mut dyn World) -> Result<(), Fault> {
        let tamper = self.tamper_of(Step::Main1);
        let cookie = self.script.fixed.cookie(&mut self.rng);
        let mut payloads = vec![(PayloadType::SA, self.offer())];
        payloads.extend(self.vendor_id_payloads());
        let message = seal::raw((cookie, [0; 8]), ExchangeType::MAIN, 0, false, payloads);
        let sealed = seal::finish(message, &tamper, |_| Ok(()), None).map_err(Fault::tester)?;
        self.phase1 = Phase1 {
            transcript: Transcript {
                initiator_cookie: sealed.message.initiator_cookie,
                sa_i_b: seal::body_of(&sealed.message, PayloadType::SA).unwrap_or_default(),
                ..Transcript::default()
            },
            ..Phase1::default()
        };
        self.sa = None;
        self.pulls.clear();
        self.transmit(world, Step::Main1, &sealed);
        Ok(())
    }

    /// Waits for the chosen SA.
    ///
    /// # Errors
    /// When it does not come, or chooses what was not offered.
    pub fn receive_main2(&mut self, world: &mut dyn World) -> Result<Seen, Fault> {
        let seen = self.await_step(world, Step::Main2)?;
        self.read_choice(Step::Main2, &seen)?;
        Ok(seen)
    }

    /// Sends KE, nonce and, if the peer does NAT traversal, NAT-D.
    ///
    /// # Errors
    /// When message 2 has not been received.
    pub fn send_main3(&mut self, world: &mut dyn World) -> Result<(), Fault> {
        let tamper = self.tamper_of(Step::Main3);
        let suite = self.phase1.suite.ok_or_else(|| Fault::tester("no suite has been chosen"))?;
        let own = self.script.fixed.dh(suite.group, &mut self.rng).map_err(Fault::tester)?;
        let nonce = self.script.fixed.nonce(self.script.nonce_len, &mut self.rng);
        let cookies = self.half_cookies();
        let mut payloads = vec![(PayloadType::KE, own.public().to_vec()), (PayloadType::NONCE, nonce)];
        if self.nat_t_agreed() {
            payloads.extend(nat_d_payloads(suite.hash, cookies, self.script.ks, self.script.me));
        }
        let message = seal::raw(cookies, ExchangeType::MAIN, 0, false, payloads);
        let sealed = seal::finish(message, &tamper, |_| Ok(()), None).map_err(Fault::tester)?;
        self.phase1.own = Some(own);
        self.remember_ke(&sealed);
        self.transmit(world, Step::Main3, &sealed);
        Ok(())
    }

    /// Waits for KE and nonce and derives the keys.
    ///
    /// # Errors
    /// When it does not come, or its values cannot be used.
    pub fn receive_main4(&mut self, world: &mut dyn World) -> Result<Seen, Fault> {
        let seen = self.await_step(world, Step::Main4)?;
        self.agree(world, Step::Main4, &seen)?;
        Ok(seen)
    }

    /// Sends the identity and its proof.
    ///
    /// # Errors
    /// When message 4 has not been received, or the script lacks the key of its suite.
    pub fn send_main5(&mut self, world: &mut dyn World) -> Result<(), Fault> {
        let tamper = self.tamper_of(Step::Main5);
        let sa = self.agreed()?;
        let own = self.script.identity();
        let mut payloads = proof_payloads(sa.suite.auth, &self.script.credentials, &own, true);
        if self.script.initial_contact {
            let notify = Notify {
                doi: 1,
                protocol: 1,
                spi: sa.spi().to_vec(),
                kind: NotifyType::INITIAL_CONTACT,
                data: Vec::new(),
            };
            payloads.push((PayloadType::NOTIFY, notify.encode_body()));
        }
        let message = seal::raw(sa.cookies(), ExchangeType::MAIN, 0, true, payloads);
        let mut cbc = sa.phase1_cbc().map_err(Fault::tester)?;
        let (credentials, rng) = (&self.script.credentials, &mut self.rng);
        let prove = |message: &mut _| fill_proof(message, &sa, true, credentials, &tamper, rng);
        let sealed = seal::finish(message, &tamper, prove, Some(&mut cbc)).map_err(Fault::tester)?;
        self.phase1.chains.push(cbc);
        self.transmit(world, Step::Main5, &sealed);
        Ok(())
    }

    /// Waits for the key server's identity and checks its proof: phase 1 is up then.
    ///
    /// # Errors
    /// When it does not come or does not verify.
    pub fn receive_main6(&mut self, world: &mut dyn World) -> Result<Seen, Fault> {
        let seen = self.await_step(world, Step::Main6)?;
        if let Some(flaw) = &seen.flaw {
            return Err(Fault::broken(Step::Main6, format!("it cannot be opened: {flaw}")));
        }
        let mut sa = self.agreed()?;
        check_verdict(Step::Main6, &seen, sa.suite.auth)?;
        sa.peer_identity = seen.identification();
        sa.last_block = last_block(&sa.suite, seen.body_octets());
        self.sa = Some(sa);
        Ok(seen)
    }

    /// Starts aggressive mode with the first suite of the script.
    ///
    /// # Errors
    /// When the script has no suite.
    pub fn send_aggressive1(&mut self, world: &mut dyn World) -> Result<(), Fault> {
        let tamper = self.tamper_of(Step::Aggressive1);
        let suite = *self.script.suites.first().ok_or_else(|| Fault::tester("the script has no suite"))?;
        let cookie = self.script.fixed.cookie(&mut self.rng);
        let own = self.script.fixed.dh(suite.group, &mut self.rng).map_err(Fault::tester)?;
        let nonce = self.script.fixed.nonce(self.script.nonce_len, &mut self.rng);
        let mut payloads = vec![
            (PayloadType::SA, self.offer()),
            (PayloadType::KE, own.public().to_vec()),
            (PayloadType::NONCE, nonce),
            (PayloadType::ID, self.script.identity().encode_body()),
        ];
        payloads.extend(requests(suite.auth, &self.script.credentials));
        payloads.extend(self.vendor_id_payloads());
        let message = seal::raw((cookie, [0; 8]), ExchangeType::AGGRESSIVE, 0, false, payloads);
        let sealed = seal::finish(message, &tamper, |_| Ok(()), None).map_err(Fault::tester)?;
        self.phase1 = Phase1 { own: Some(own), suite: Some(suite), ..Phase1::default() };
        self.phase1.transcript.initiator_cookie = sealed.message.initiator_cookie;
        self.phase1.transcript.sa_i_b = seal::body_of(&sealed.message, PayloadType::SA).unwrap_or_default();
        self.remember_ke(&sealed);
        self.sa = None;
        self.pulls.clear();
        self.transmit(world, Step::Aggressive1, &sealed);
        Ok(())
    }

    /// Waits for aggressive mode message 2, derives the keys and checks the proof.
    ///
    /// # Errors
    /// When it does not come or does not verify.
    pub fn receive_aggressive2(&mut self, world: &mut dyn World) -> Result<Seen, Fault> {
        let mut seen = self.await_step(world, Step::Aggressive2)?;
        self.read_choice(Step::Aggressive2, &seen)?;
        self.agree(world, Step::Aggressive2, &seen)?;
        let mut sa = self.agreed()?;
        seen.authentic = check_proof(&sa, &seen, false);
        if let Some(logged) = self.log.last_mut() {
            logged.authentic = seen.authentic;
        }
        check_verdict(Step::Aggressive2, &seen, sa.suite.auth)?;
        sa.peer_identity = seen.identification();
        self.phase1.sa = Some(sa);
        Ok(seen)
    }

    /// Sends the own proof, encrypted unless the tamper says `in_clear`: phase 1 is up then.
    ///
    /// # Errors
    /// When message 2 has not been received.
    pub fn send_aggressive3(&mut self, world: &mut dyn World) -> Result<(), Fault> {
        let tamper = self.tamper_of(Step::Aggressive3);
        let mut sa = self.agreed()?;
        let own = self.script.identity();
        let mut payloads = proof_payloads(sa.suite.auth, &self.script.credentials, &own, false);
        // The identity went out in message 1, but its octets are still part of the proof.
        let id_b = payloads.remove(0).1;
        if self.nat_t_agreed() {
            payloads.extend(nat_d_payloads(sa.suite.hash, sa.cookies(), self.script.ks, self.script.me));
        }
        let message = seal::raw(sa.cookies(), ExchangeType::AGGRESSIVE, 0, true, payloads);
        let mut cbc = sa.phase1_cbc().map_err(Fault::tester)?;
        let (credentials, rng) = (&self.script.credentials, &mut self.rng);
        let prove = |message: &mut hallmark_wire::raw::RawMessage| {
            let id = hallmark_wire::raw::RawPayload::new(PayloadType::ID, id_b);
            message.payloads.insert(0, id);
            let result = fill_proof(message, &sa, true, credentials, &tamper, rng);
            message.payloads.remove(0);
            result
        };
        let sealed = seal::finish(message, &tamper, prove, Some(&mut cbc)).map_err(Fault::tester)?;
        // Without any ciphertext the initial IV itself is what later IVs are derived from.
        sa.last_block = if tamper.is_in_clear() { sa.first_iv.clone() } else { cbc.iv().to_vec() };
        self.sa = Some(sa);
        self.transmit(world, Step::Aggressive3, &sealed);
        Ok(())
    }

    /// Gives the cookies as far as they are known.
    #[must_use]
    pub const fn half_cookies(&self) -> (Cookie, Cookie) {
        (self.phase1.transcript.initiator_cookie, self.phase1.transcript.responder_cookie)
    }

    /// Gives the SA of the running phase 1 exchange once its keys are derived, before it is established.
    #[must_use]
    pub const fn half_open_sa(&self) -> Option<&Sa> {
        self.phase1.sa.as_ref()
    }

    /// Gives the vendor ids that the key server sent in message 2.
    #[must_use]
    pub fn peer_vendor_ids(&self) -> &[Vec<u8>] {
        &self.phase1.peer_vendor_ids
    }

    /// Names the step of a phase 1 message from the key server, and opens it.
    pub(super) fn open_phase1(&self, seen: &mut Seen) {
        if seen.header.initiator_cookie != self.phase1.cookie() {
            return;
        }
        if seen.header.exchange == ExchangeType::AGGRESSIVE {
            seen.step = Step::Aggressive2;
            return;
        }
        if !seen.protected {
            seen.step = match seen.kinds() {
                kinds if kinds.contains(&PayloadType::SA) => Step::Main2,
                kinds if kinds.contains(&PayloadType::KE) => Step::Main4,
                _ if self.phase1.sa.is_some() => {
                    seen.flaw.get_or_insert_with(|| "it is not encrypted".to_owned());
                    Step::Main6
                }
                _ if self.phase1.suite.is_none() => Step::Main2,
                _ => Step::Main4,
            };
            return;
        }
        seen.step = Step::Main6;
        let Some(sa) = &self.phase1.sa else { return };
        for chain in self.phase1.chains.iter().rev() {
            match chain.decrypt(seen.body_octets()) {
                Ok(plain) => seen.open(plain),
                Err(error) => seen.flaw = Some(error.to_string()),
            }
            if seen.flaw.is_none() {
                seen.authentic = check_proof(sa, seen, false);
                return;
            }
        }
    }

    fn offer(&self) -> Vec<u8> {
        Suite::offer(&self.script.suites, self.script.doi, self.script.situation).encode_body()
    }

    fn vendor_id_payloads(&self) -> Vec<(PayloadType, Vec<u8>)> {
        self.script.vendor_ids.iter().map(|id| (PayloadType::VENDOR_ID, id.clone())).collect()
    }

    /// Reads the chosen suite of message 2 and pins the responder's cookie.
    fn read_choice(&mut self, step: Step, seen: &Seen) -> Result<(), Fault> {
        if let Some(flaw) = &seen.flaw {
            return Err(Fault::broken(step, flaw));
        }
        let sa = seen.sa().ok_or_else(|| Fault::broken(step, "it has no readable SA payload"))?;
        let [proposal] = sa.proposals.as_slice() else {
            return Err(Fault::broken(step, format!("its SA has {} proposals", sa.proposals.len())));
        };
        let [transform] = proposal.transforms.as_slice() else {
            return Err(Fault::broken(step, format!("its SA has {} transforms", proposal.transforms.len())));
        };
        let chosen = Suite::from_transform(transform)
            .ok_or_else(|| Fault::broken(step, "it chooses a transform that the tester cannot read"))?;
        if !self.script.suites.iter().any(|offered| offered.same_algorithms(&chosen)) {
            return Err(Fault::broken(step, format!("it chooses {chosen}, which was not offered")));
        }
        if seen.header.responder_cookie == [0; 8] {
            return Err(Fault::broken(step, "its responder cookie is zero"));
        }
        self.phase1.suite = Some(chosen);
        self.phase1.transcript.responder_cookie = seen.header.responder_cookie;
        self.phase1.peer_vendor_ids = seen.vendor_ids();
        Ok(())
    }

    /// Takes the peer's KE and nonce and runs the key schedule.
    fn agree(&mut self, world: &mut dyn World, step: Step, seen: &Seen) -> Result<(), Fault> {
        if let Some(flaw) = &seen.flaw {
            return Err(Fault::broken(step, flaw));
        }
        let public = seen.body(PayloadType::KE).ok_or_else(|| Fault::broken(step, "it has no KE payload"))?;
        let nonce = seen.nonce().ok_or_else(|| Fault::broken(step, "it has no nonce"))?;
        let own = self.phase1.own.as_ref().ok_or_else(|| Fault::tester("no key exchange value was sent"))?;
        let suite = self.phase1.suite.ok_or_else(|| Fault::tester("no suite has been chosen"))?;
        let g_xy = own.agree(public).map_err(|error: CryptoError| Fault::broken(step, error))?;
        self.phase1.transcript.g_xr = public.to_vec();
        self.phase1.transcript.nr_b = nonce.to_vec();
        let sa = Sa::derive(suite, &self.script.credentials.psk, self.phase1.transcript.clone(), g_xy);
        world.keys(sa.record());
        if suite.auth == Auth::Psk {
            world.keys(KeyRecord::Psk(self.script.credentials.psk.clone()));
        }
        self.phase1.sa = Some(sa);
        self.phase1.chains.clear();
        Ok(())
    }

    /// Keeps the own KE and nonce as they were sent, tampered or not.
    fn remember_ke(&mut self, sealed: &Sealed) {
        let body = |kind| seal::body_of(&sealed.message, kind).unwrap_or_default();
        self.phase1.transcript.g_xi = body(PayloadType::KE);
        self.phase1.transcript.ni_b = body(PayloadType::NONCE);
    }

    fn agreed(&self) -> Result<Sa, Fault> {
        self.phase1.sa.clone().ok_or_else(|| Fault::tester("no keys have been agreed"))
    }

    fn nat_t_agreed(&self) -> bool {
        let offers = |ids: &[Vec<u8>]| ids.iter().any(|id| id.as_slice() == vendor_id::NAT_T_RFC3947);
        offers(&self.script.vendor_ids) && offers(&self.phase1.peer_vendor_ids)
    }
}

fn check_verdict(step: Step, seen: &Seen, auth: Auth) -> Result<(), Fault> {
    let proof = if auth == Auth::Psk { "HASH_R" } else { "SIG_R" };
    match seen.authentic {
        Some(true) => Ok(()),
        Some(false) => Err(Fault::broken(step, format!("its {proof} does not verify"))),
        None => Err(Fault::broken(step, format!("it has no {proof}"))),
    }
}
