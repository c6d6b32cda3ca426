//! GROUPKEY-PULL as group member.

use hallmark_core::Instant;
use hallmark_crypto::ike::Cbc;
use hallmark_wire::gdoi::{GdoiSa, KeyDownload, KeyPacket, LkhDownload, Sequence, gap_attr, kd_type, lkh_key, sid_key};
use hallmark_wire::isakmp::{Attribute, Attributes, ExchangeType, PayloadType};

use super::{ProbeGm, cookies};
use crate::group::{Kek, Tek};
use crate::seen::{Seen, decoded, limits};
use crate::step::{Fault, Step};
use crate::world::World;

/// One PULL exchange.
#[derive(Clone)]
pub(super) struct Pull {
    ni_b: Vec<u8>,
    nr_b: Option<Vec<u8>>,
    /// The IV chain after the last message that was received (or the start of it).
    base: Cbc,
    /// The IV chain after each message sent since: the answer may belong to any of them.
    chains: Vec<Cbc>,
    message2: Option<Seen>,
}

/// What a PULL gave, as data: cases judge it.
#[derive(Clone, Debug)]
pub struct Registration {
    /// When message 4 arrived.
    pub at: Instant,
    /// The message id.
    pub message_id: u32,
    /// The own nonce.
    pub ni_b: Vec<u8>,
    /// The key server's nonce.
    pub nr_b: Vec<u8>,
    /// The SA payload of message 2.
    pub policy: GdoiSa,
    /// The KD payload of message 4.
    pub kd: KeyDownload,
    /// The SEQ payload of message 4.
    pub seq: Option<u32>,
    /// The Rekey SA, if there is one whose key came along.
    pub kek: Option<Kek>,
    /// Why a SAK gave no Rekey SA.
    pub kek_flaw: Option<String>,
    /// The Data-Security SAs.
    pub teks: Vec<Tek>,
    /// NUMBER_OF_SID_BITS.
    pub sid_bits: Option<u64>,
    /// The SID_VALUEs, in order.
    pub sids: Vec<u64>,
    /// The LKH_DOWNLOAD_ARRAY.
    pub lkh: Option<LkhDownload>,
    /// Message 2 as it came.
    pub message2: Seen,
    /// Message 4 as it came.
    pub message4: Seen,
}

impl ProbeGm {
    /// Runs a PULL under the phase 1 SA.
    ///
    /// # Errors
    /// Says where and how it stopped.
    pub fn pull(&mut self, world: &mut dyn World) -> Result<Registration, Fault> {
        self.send_pull1(world)?;
        self.receive_pull2(world)?;
        self.send_pull3(world)?;
        self.receive_pull4(world)
    }

    /// Runs phase 1 and PULL.
    ///
    /// # Errors
    /// Says where and how it stopped.
    pub fn register(&mut self, world: &mut dyn World) -> Result<Registration, Fault> {
        self.phase1(world)?;
        self.pull(world)
    }

    /// Opens a PULL: HASH(1), Ni, ID. It becomes the current one; its message id is returned.
    ///
    /// # Errors
    /// When there is no phase 1 SA.
    pub fn send_pull1(&mut self, world: &mut dyn World) -> Result<u32, Fault> {
        let tamper = self.tamper_of(Step::Pull1);
        let sa = self.established()?;
        let message_id = self.script.fixed.message_id(&mut self.rng);
        let nonce = self.script.fixed.pull_nonce(self.script.nonce_len, &mut self.rng);
        let id = self.script.dialect.group_identification(self.script.group);
        let payloads = vec![(PayloadType::NONCE, nonce), (PayloadType::ID, id.encode_body())];
        let base = sa.cbc(message_id).map_err(Fault::tester)?;
        let mut cbc = base.clone();
        let sealed =
            sa.seal(ExchangeType::PULL, message_id, payloads, &[], &tamper, &mut cbc).map_err(Fault::tester)?;
        let ni_b = crate::seal::body_of(&sealed.message, PayloadType::NONCE).unwrap_or_default();
        self.pulls.insert(message_id, Pull { ni_b, nr_b: None, base, chains: vec![cbc], message2: None });
        self.current_pull = message_id;
        self.transmit(world, Step::Pull1, &sealed);
        Ok(message_id)
    }

    /// Waits for message 2 of the current PULL: HASH(2), Nr, SA.
    ///
    /// # Errors
    /// When it does not come, does not verify, or lacks nonce or SA.
    pub fn receive_pull2(&mut self, world: &mut dyn World) -> Result<Seen, Fault> {
        let seen = self.await_step(world, Step::Pull2)?;
        authentic(Step::Pull2, &seen)?;
        self.policy(Step::Pull2, &seen)?;
        let nonce = seen.nonce().ok_or_else(|| Fault::broken(Step::Pull2, "it has no nonce"))?.to_vec();
        let pull = self.current()?;
        pull.nr_b = Some(nonce);
        pull.message2 = Some(seen.clone());
        Ok(seen)
    }

    /// Sends message 3 of the current PULL: HASH(3) and, if the script asks for sender ids, GAP.
    ///
    /// # Errors
    /// When message 2 has not been received.
    pub fn send_pull3(&mut self, world: &mut dyn World) -> Result<(), Fault> {
        let tamper = self.tamper_of(Step::Pull3);
        let sa = self.established()?;
        let message_id = self.current_pull;
        let mut payloads = Vec::new();
        if let Some(count) = self.script.sender_ids {
            let request = Attributes(vec![Attribute::basic(gap_attr::SENDER_ID_REQUEST, count)]);
            payloads.push((PayloadType::GAP, request.encode()));
        }
        let pull = self.current()?;
        let nr_b = pull.nr_b.clone().ok_or_else(|| Fault::tester("there is no Nr yet"))?;
        let nonces = [("ni_b", pull.ni_b.as_slice()), ("nr_b", nr_b.as_slice())];
        let mut cbc = pull.base.clone();
        let sealed =
            sa.seal(ExchangeType::PULL, message_id, payloads, &nonces, &tamper, &mut cbc).map_err(Fault::tester)?;
        pull.chains.push(cbc);
        self.transmit(world, Step::Pull3, &sealed);
        Ok(())
    }

    /// Waits for message 4 of the current PULL and takes policy and keys from it.
    ///
    /// # Errors
    /// When it does not come, does not verify, or has no readable KD.
    pub fn receive_pull4(&mut self, world: &mut dyn World) -> Result<Registration, Fault> {
        let seen = self.await_step(world, Step::Pull4)?;
        authentic(Step::Pull4, &seen)?;
        let body = seen.body(PayloadType::KEY_DOWNLOAD).ok_or_else(|| Fault::broken(Step::Pull4, "it has no KD"))?;
        let kd = decoded(KeyDownload::decode(body, &limits())).map_err(|flaw| Fault::broken(Step::Pull4, flaw))?;
        let message_id = self.current_pull;
        let pull = self.current()?.clone();
        let message2 = pull.message2.ok_or_else(|| Fault::tester("message 4 without message 2"))?;
        let policy = self.policy(Step::Pull2, &message2)?;
        let registration = self.registration_from(Registration {
            at: seen.at,
            message_id,
            ni_b: pull.ni_b,
            nr_b: pull.nr_b.unwrap_or_default(),
            seq: seen.body(PayloadType::SEQ).and_then(|body| Sequence::decode(body).ok()).map(|seq| seq.0),
            policy,
            kd,
            kek: None,
            kek_flaw: None,
            teks: Vec::new(),
            sid_bits: None,
            sids: Vec::new(),
            lkh: None,
            message2,
            message4: seen,
        });
        self.install(world, &registration);
        Ok(registration)
    }

    /// Makes another open PULL the current one. Tells whether it exists.
    pub fn select_pull(&mut self, message_id: u32) -> bool {
        let known = self.pulls.contains_key(&message_id);
        if known {
            self.current_pull = message_id;
        }
        known
    }

    /// Gives the nonces of an open PULL, Nr if it has come.
    #[must_use]
    pub fn pull_nonces(&self, message_id: u32) -> Option<(&[u8], Option<&[u8]>)> {
        self.pulls.get(&message_id).map(|pull| (pull.ni_b.as_slice(), pull.nr_b.as_deref()))
    }

    /// Sends a PULL message of the case's own making under the phase 1 SA: HASH over the message id, the given nonces
    /// and these payloads, with the IV chain of that message id as it stands (or a new one).
    ///
    /// # Errors
    /// When there is no phase 1 SA.
    pub fn send_pull_message(
        &mut self,
        world: &mut dyn World,
        message_id: u32,
        nonces: &[(&'static str, &[u8])],
        payloads: Vec<(PayloadType, Vec<u8>)>,
        tamper: &crate::Tamper,
    ) -> Result<(), Fault> {
        let sa = self.established()?;
        let mut cbc = match self.pulls.get(&message_id) {
            Some(pull) => pull.base.clone(),
            None => sa.cbc(message_id).map_err(Fault::tester)?,
        };
        let sealed =
            sa.seal(ExchangeType::PULL, message_id, payloads, nonces, tamper, &mut cbc).map_err(Fault::tester)?;
        if let Some(pull) = self.pulls.get_mut(&message_id) {
            pull.chains.push(cbc);
        }
        self.transmit_as(world, Step::Other, &sealed, !tamper.is_none());
        Ok(())
    }

    /// Names the step of a PULL message from the key server, and opens it.
    pub(super) fn open_pull(&mut self, seen: &mut Seen) {
        let Some(sa) = self.sa.as_ref().filter(|sa| sa.cookies() == cookies(seen)) else { return };
        let Some(pull) = self.pulls.get_mut(&seen.header.message_id) else { return };
        let nonces = match &pull.nr_b {
            None => {
                seen.step = Step::Pull2;
                vec![("ni_b", pull.ni_b.as_slice())]
            }
            Some(nr_b) => {
                seen.step = Step::Pull4;
                vec![("ni_b", pull.ni_b.as_slice()), ("nr_b", nr_b.as_slice())]
            }
        };
        // A repeated message 2 that comes when message 4 is awaited is opened as what it is.
        let repeats = |message2: &Seen| message2.datagram.payload == seen.datagram.payload;
        if let Some(message2) = pull.message2.as_ref().filter(|message2| repeats(message2)) {
            *seen = Seen { at: seen.at, datagram: seen.datagram.clone(), ..message2.clone() };
            return;
        }
        for chain in pull.chains.iter().rev() {
            sa.open(seen, chain, &nonces);
            if seen.authentic == Some(true) && seen.flaw.is_none() {
                let mut base = chain.clone();
                base.advance(seen.body_octets());
                pull.base = base;
                pull.chains.clear();
                return;
            }
        }
    }

    fn current(&mut self) -> Result<&mut Pull, Fault> {
        self.pulls.get_mut(&self.current_pull).ok_or_else(|| Fault::tester("no PULL is open"))
    }

    fn policy(&self, step: Step, seen: &Seen) -> Result<GdoiSa, Fault> {
        let body = seen.body(PayloadType::SA).ok_or_else(|| Fault::broken(step, "it has no SA payload"))?;
        decoded(GdoiSa::decode(body, &self.script.dialect, &limits())).map_err(|flaw| Fault::broken(step, flaw))
    }

    fn registration_from(&self, mut registration: Registration) -> Registration {
        let (policy, kd) = (&registration.policy, &registration.kd);
        let kek = policy.kek().map(|sak| Kek::from_policy(sak, kd));
        let lkh_len = |kek: &Kek| kek.cipher.block_len() + kek.cipher.key_len();
        match kek {
            Some(Ok(mut kek)) => {
                kek.seq = registration.seq.unwrap_or_default();
                let array = kd.find(kd_type::LKH).and_then(|packet| packet.attributes.octets(lkh_key::DOWNLOAD));
                registration.lkh = array.and_then(|array| LkhDownload::decode(array, lkh_len(&kek)).ok());
                registration.kek = Some(kek);
            }
            Some(Err(flaw)) => registration.kek_flaw = Some(flaw),
            None => {}
        }
        registration.teks = Tek::from_policy(&registration.policy, &registration.kd);
        let sid_packet: Option<&KeyPacket> = registration.kd.find(kd_type::SID);
        registration.sid_bits = sid_packet.and_then(|packet| packet.attributes.uint(sid_key::BITS));
        registration.sids = sid_packet.map(|packet| packet.sid_values(&self.script.dialect)).unwrap_or_default();
        registration
    }

    /// Takes the keys of a registration into use.
    fn install(&mut self, world: &mut dyn World, registration: &Registration) {
        if let Some(kek) = &registration.kek {
            world.keys(kek.record());
            self.keks.retain(|held| held.spi != kek.spi);
            self.keks.push(kek.clone());
        }
        for tek in &registration.teks {
            world.keys(tek.record());
            self.teks.retain(|held| (held.protocol_id, held.spi) != (tek.protocol_id, tek.spi));
            self.teks.push(tek.clone());
        }
        self.registration = Some(registration.clone());
    }
}

fn authentic(step: Step, seen: &Seen) -> Result<(), Fault> {
    if let Some(flaw) = &seen.flaw {
        return Err(Fault::broken(step, format!("it cannot be opened: {flaw}")));
    }
    match seen.authentic {
        Some(true) => Ok(()),
        Some(false) => Err(Fault::broken(step, "its HASH does not verify")),
        None => Err(Fault::broken(step, "it has no HASH")),
    }
}
