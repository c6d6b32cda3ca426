//! The scripted key server: plays responder and KS against a group member.
//!
//! [`ProbeKs::serve`] answers phase 1, PULL and Informational messages from its [`KsScript`] until a condition holds.
//! Every answer can be tampered with ([`ProbeKs::tamper`]) or withheld, repeated, delayed or sent from elsewhere
//! ([`ProbeKs::reply`]). Everything that arrives is in [`ProbeKs::log`]. PUSH messages are sent with
//! [`ProbeKs::push`].

mod acks;
mod log;
mod phase1;
mod pull;
mod push;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use hallmark_core::{Datagram, Duration, Instant, Rng};
use hallmark_crypto::SigningKey;
use hallmark_crypto::ike::Cbc;
use hallmark_wire::gdoi::Dialect;
use hallmark_wire::isakmp::{Delete, ExchangeType, Identification, Notify, NotifyType, PayloadType, vendor_id};

pub use acks::{AckSeen, AckStyle};
pub use log::KsLog;
pub use push::{PushSent, PushSpec, deletion};

use crate::fragment::IkeReassembly;
use crate::gm::{Sent, cookies};
use crate::group::{GroupPolicy, Kek};
use crate::keys;
use crate::sa::{Credentials, Fixed, Sa};
use crate::seen::Seen;
use crate::step::{Fault, Step};
use crate::suite::{GROUP, Suite};
use crate::tamper::Tamper;
use crate::world::{Party, World};

/// What the scripted key server says by default. Every field may be changed at any time.
#[derive(Clone)]
pub struct KsScript {
    /// Which end of the tester it is.
    pub tester: Party,
    /// Its address and port.
    pub me: SocketAddr,
    /// Phase 1 suites that it accepts; the first one of the peer's offer that is among them is chosen.
    pub suites: Vec<Suite>,
    /// How it proves who it is.
    pub credentials: Credentials,
    /// Vendor ids of message 2.
    pub vendor_ids: Vec<Vec<u8>>,
    /// Octets of its nonces.
    pub nonce_len: usize,
    /// The group that it serves.
    pub group: GroupPolicy,
    /// How it reads and writes GDOI payloads.
    pub dialect: Dialect,
    /// Values that are otherwise drawn.
    pub fixed: Fixed,
    /// Whether it answers R-U-THERE.
    pub answer_dpd: bool,
}

impl KsScript {
    /// Makes the standard script: the n-th tester address, pre-shared key, group 1234 with one KEK (AES-128, RSA-2048
    /// with SHA-256, acknowledgements by RFC 8263) and one TEK.
    #[must_use]
    pub fn new(world: &mut dyn World, tester: u8) -> Self {
        let party = Party::Tester(tester);
        let mut rng = Rng::from_seed(world.rng().octets());
        let group = match keys::load(keys::REKEY_RSA_2048_PEM) {
            Some(signing) => GroupPolicy::standard(&mut rng, GROUP, signing),
            None => GroupPolicy::without_kek(&mut rng, GROUP),
        };
        Self {
            tester: party,
            me: world.address(party),
            suites: vec![Suite::default()],
            credentials: Credentials::default(),
            vendor_ids: vec![vendor_id::DPD.to_vec(), vendor_id::NAT_T_RFC3947.to_vec()],
            nonce_len: 16,
            group,
            dialect: Dialect::default(),
            fixed: Fixed::default(),
            answer_dpd: true,
        }
    }

    /// Gives the phase 1 identity.
    #[must_use]
    pub fn identity(&self) -> Identification {
        self.credentials.identity.clone().unwrap_or_else(|| Identification::from_ip(self.me.ip()))
    }
}

/// What becomes of an answer once it is built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// It is sent.
    Answer,
    /// It is not sent.
    Silent,
    /// It is not sent for the first so many requests, repetitions included.
    IgnoreFirst(usize),
    /// It is sent once and so many times again, octet for octet.
    Repeat(usize),
    /// It is sent so much later.
    Delay(Duration),
    /// It is sent from another address.
    From(SocketAddr),
}

/// A group member that has registered.
#[derive(Clone, Debug)]
pub struct Member {
    /// Where its PULL came from.
    pub address: SocketAddr,
    /// The local address that it talked to.
    pub local: SocketAddr,
    /// Its phase 1 identity.
    pub identity: Option<Identification>,
    /// When message 4 was sent.
    pub at: Instant,
    /// The message id of the PULL.
    pub message_id: u32,
    /// Cookies of the phase 1 SA.
    pub cookies: [u8; 16],
    /// Sender ids that it got.
    pub sids: Vec<u32>,
}

/// The scripted key server.
pub struct ProbeKs {
    /// What it says; may be changed at any time.
    pub script: KsScript,
    /// Everything that it received.
    pub log: KsLog,
    /// Every message sent, in order, copies included.
    pub sent: Vec<Sent>,
    /// Who has registered, in order; the same member again is a further entry.
    pub members: Vec<Member>,
    rng: Rng,
    tampers: BTreeMap<Step, Tamper>,
    replies: BTreeMap<Step, Reply>,
    requests: BTreeMap<Step, usize>,
    peers: Vec<Peer>,
    old_keks: Vec<Kek>,
    pending: Vec<(Instant, Datagram)>,
    reassembly: IkeReassembly,
}

/// One phase 1 exchange with a group member, and what runs under it.
struct Peer {
    remote: SocketAddr,
    local: SocketAddr,
    transcript: crate::sa::Transcript,
    suite: Suite,
    sa: Option<Sa>,
    established: bool,
    deleted: bool,
    /// The IV chain of phase 1 behind message 5.
    phase1: Option<Cbc>,
    nat_t: bool,
    pulls: BTreeMap<u32, pull::Pull>,
    answers: Vec<Answered>,
}

/// A request and the answer that was built for it.
struct Answered {
    request: Vec<u8>,
    step: Step,
    octets: Vec<u8>,
    tampered: bool,
    message_id: u32,
}

impl ProbeKs {
    /// Makes the n-th end of the tester a key server with the standard script.
    #[must_use]
    pub fn new(world: &mut dyn World, tester: u8) -> Self {
        let script = KsScript::new(world, tester);
        Self::with_script(world, script)
    }

    /// Makes a key server with this script.
    #[must_use]
    pub fn with_script(world: &mut dyn World, script: KsScript) -> Self {
        let rng = Rng::from_seed(world.rng().octets());
        Self {
            script,
            log: KsLog::default(),
            sent: Vec::new(),
            members: Vec::new(),
            rng,
            tampers: BTreeMap::new(),
            replies: BTreeMap::new(),
            requests: BTreeMap::new(),
            peers: Vec::new(),
            old_keks: Vec::new(),
            pending: Vec::new(),
            reassembly: IkeReassembly::default(),
        }
    }

    /// Sets how an answer is made wrong from now on; [`Tamper::none`] makes it right again. A repeated request whose
    /// answer was tampered with gets a right one then.
    pub fn tamper(&mut self, step: Step, tamper: Tamper) -> &mut Self {
        self.tampers.insert(step, tamper);
        self
    }

    /// Makes every answer right again.
    pub fn untamper(&mut self) -> &mut Self {
        self.tampers.clear();
        self
    }

    /// Sets what becomes of an answer from now on.
    pub fn reply(&mut self, step: Step, reply: Reply) -> &mut Self {
        self.replies.insert(step, reply);
        self
    }

    /// Goes back to sending every answer, once and at once.
    pub fn answer_all(&mut self) -> &mut Self {
        self.replies.clear();
        self
    }

    /// Lends the randomness of this end of the tester, for fresh keys.
    pub const fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Gives the rekey signing key of the group.
    #[must_use]
    pub fn signing_key(&self) -> Option<Rc<SigningKey>> {
        self.script.group.kek.as_ref().and_then(|kek| kek.signing.clone())
    }

    /// Answers what comes until the condition holds (true) or the deadline passes (false).
    pub fn serve(&mut self, world: &mut dyn World, until: &mut dyn FnMut(&KsLog) -> bool, deadline: Instant) -> bool {
        loop {
            self.send_pending(world);
            if until(&self.log) {
                return true;
            }
            let now = world.now();
            if now >= deadline {
                return false;
            }
            let wake = self.pending.iter().map(|(at, _)| *at).min().map_or(deadline, |at| at.min(deadline));
            match world.recv_at(self.script.tester, wake) {
                Some(datagram) => self.handle(world, datagram),
                // A world whose time stands still would keep this loop for ever.
                None if world.now() < wake => return false,
                None => {}
            }
        }
    }

    /// Answers what comes for so long.
    pub fn serve_for(&mut self, world: &mut dyn World, duration: Duration) {
        let deadline = world.now() + duration;
        self.serve(world, &mut |_| false, deadline);
    }

    /// Answers what comes until a group member has registered (a message 4 has been sent since this call).
    ///
    /// # Errors
    /// Names the message that was awaited when the time was up.
    pub fn await_registration(&mut self, world: &mut dyn World, patience: Duration) -> Result<Member, Fault> {
        let (start, before) = (world.now(), self.log.registrations);
        let done = self.serve(world, &mut |log| log.registrations > before, start + patience);
        match self.members.last() {
            Some(member) if done => Ok(member.clone()),
            _ => Err(self.log.missing_since(start, world.now())),
        }
    }

    /// Answers what comes until a message of this step has arrived (since this call) and gives it.
    pub fn await_step(&mut self, world: &mut dyn World, step: Step, deadline: Instant) -> Option<Seen> {
        let before = self.log.count(step);
        self.serve(world, &mut |log| log.count(step) > before, deadline);
        self.log.of(step).nth(before).cloned()
    }

    /// Answers what comes for so long, and gives everything that arrived meanwhile except keepalives: nothing is
    /// silence.
    pub fn expect_silence(&mut self, world: &mut dyn World, duration: Duration) -> Vec<Seen> {
        let before = self.log.entries.len();
        self.serve_for(world, duration);
        let heard = self.log.entries.get(before..).unwrap_or_default();
        heard.iter().filter(|seen| seen.step != Step::Keepalive).cloned().collect()
    }

    /// Takes one datagram and answers it.
    pub fn handle(&mut self, world: &mut dyn World, datagram: Datagram) {
        let at = world.now();
        let mut seen = self.open(at, datagram);
        let repeat = |earlier: &Seen| earlier.datagram.payload == seen.datagram.payload && earlier.step == seen.step;
        seen.repeat = seen.step != Step::Keepalive && self.log.entries.iter().any(repeat);
        self.log.entries.push(seen.clone());
        // After `forget_sas` a repeated request is a new one.
        if seen.repeat && self.answer_again(world, &seen) {
            return;
        }
        if seen.step == Step::Ack {
            self.on_ack(&seen);
        }
        if seen.flaw.is_some() {
            return;
        }
        match seen.step {
            Step::Main1 => self.on_main1(world, &seen),
            Step::Main3 => self.on_main3(world, &seen),
            Step::Main5 => self.on_main5(world, &seen),
            Step::Aggressive1 => self.on_aggressive1(world, &seen),
            Step::Aggressive3 => self.on_aggressive3(&seen),
            Step::Pull1 => self.on_pull1(world, &seen),
            Step::Pull3 => self.on_pull3(world, &seen),
            Step::Informational => self.on_informational(world, &seen),
            _ => {}
        }
    }

    /// Sends octets to an address as they are, from the own address (plus the non-ESP marker from port 4500).
    pub fn send_raw(&mut self, world: &mut dyn World, to: SocketAddr, octets: Vec<u8>) {
        let marked = self.script.me.port() == crate::gm::NAT_T_PORT;
        let payload = if marked { [&[0; 4], octets.as_slice()].concat() } else { octets };
        world.send(Datagram::new(self.script.me, to, payload));
    }

    /// Sends the last answer of a step again, octet for octet, to whom it was for. Tells whether there was one.
    pub fn resend(&mut self, world: &mut dyn World, step: Step) -> bool {
        let answer = self.peers.iter().rev().find_map(|peer| {
            let answer = peer.answers.iter().rev().find(|answer| answer.step == step)?;
            Some((peer.local, peer.remote, answer.octets.clone()))
        });
        let found = answer.is_some();
        if let Some((local, remote, octets)) = answer {
            self.transmit(world, step, local, remote, octets);
        }
        found
    }

    /// Gives the last answer of a step in the exchange that was begun under this cookie, as it was built, whether it
    /// was sent or not, and whom it was for.
    #[must_use]
    pub fn built(&self, step: Step, initiator_cookie: [u8; 8]) -> Option<(SocketAddr, Vec<u8>)> {
        let own = |peer: &&Peer| peer.transcript.initiator_cookie == initiator_cookie;
        self.peers.iter().rev().filter(own).find_map(|peer| {
            let answer = peer.answers.iter().rev().find(|answer| answer.step == step)?;
            Some((peer.remote, answer.octets.clone()))
        })
    }

    /// Builds the last answer of a PULL step anew with the tamper that is set now, and sends it: for a right message
    /// after a wrong one. Tells whether there was one.
    pub fn send_again(&mut self, world: &mut dyn World, step: Step) -> bool {
        let last = self.peers.iter().enumerate().rev().find_map(|(index, peer)| {
            let answer = peer.answers.iter().rev().find(|answer| answer.step == step)?;
            Some((index, answer.message_id, answer.request.clone()))
        });
        last.is_some_and(|(index, message_id, request)| self.rebuild(world, index, step, message_id, request))
    }

    /// Gives the phase 1 SA with a group member: the newest established one.
    #[must_use]
    pub fn sa(&self) -> Option<&Sa> {
        self.peers.iter().rev().filter(|peer| peer.established && !peer.deleted).find_map(|peer| peer.sa.as_ref())
    }

    /// Sends a protected Informational to the newest group member.
    ///
    /// # Errors
    /// When there is no phase 1 SA.
    pub fn send_informational(
        &mut self,
        world: &mut dyn World,
        payloads: Vec<(PayloadType, Vec<u8>)>,
    ) -> Result<u32, Fault> {
        let tamper = self.tamper_of(Step::Informational);
        let message_id = self.script.fixed.message_id(&mut self.rng);
        let (local, remote, octets) = {
            let peer = self.newest_peer()?;
            let sa = peer.sa.as_ref().ok_or_else(|| Fault::tester("there is no phase 1 SA"))?;
            let sealed =
                sa.seal_alone(ExchangeType::INFORMATIONAL, message_id, payloads, &tamper).map_err(Fault::tester)?;
            (peer.local, peer.remote, sealed.octets)
        };
        self.transmit(world, Step::Informational, local, remote, octets);
        Ok(message_id)
    }

    /// Sends an unprotected Informational to the newest group member, also before its phase 1 is up.
    ///
    /// # Errors
    /// When no group member has spoken.
    pub fn send_clear_informational(
        &mut self,
        world: &mut dyn World,
        payloads: Vec<(PayloadType, Vec<u8>)>,
    ) -> Result<(), Fault> {
        let tamper = self.tamper_of(Step::Informational);
        let message_id = self.script.fixed.message_id(&mut self.rng);
        let peer = self.peers.last().ok_or_else(|| Fault::tester("no group member has spoken"))?;
        let cookies = (peer.transcript.initiator_cookie, peer.transcript.responder_cookie);
        let (local, remote) = (peer.local, peer.remote);
        let message = crate::seal::raw(cookies, ExchangeType::INFORMATIONAL, message_id, false, payloads);
        let sealed = crate::seal::finish(message, &tamper, |_| Ok(()), None).map_err(Fault::tester)?;
        self.transmit(world, Step::Informational, local, remote, sealed.octets);
        Ok(())
    }

    /// Gives the R-U-THERE notification with this sequence number.
    ///
    /// # Errors
    /// When there is no phase 1 SA.
    pub fn r_u_there(&self, sequence: u32) -> Result<Notify, Fault> {
        let spi = self.sa().map(Sa::spi).ok_or_else(|| Fault::tester("there is no phase 1 SA"))?;
        Ok(Notify {
            doi: 1,
            protocol: 1,
            spi: spi.to_vec(),
            kind: NotifyType::R_U_THERE,
            data: sequence.to_be_bytes().to_vec(),
        })
    }

    /// Sends R-U-THERE to the newest group member; the answer is in the log.
    ///
    /// # Errors
    /// When there is no phase 1 SA.
    pub fn send_r_u_there(&mut self, world: &mut dyn World, sequence: u32) -> Result<u32, Fault> {
        let notify = self.r_u_there(sequence)?;
        self.send_informational(world, vec![(PayloadType::NOTIFY, notify.encode_body())])
    }

    /// Builds a protected R-U-THERE without sending it: for a case that sends it late, twice or in pieces.
    ///
    /// # Errors
    /// When there is no phase 1 SA.
    pub fn compose_r_u_there(&mut self, sequence: u32) -> Result<Vec<u8>, Fault> {
        let payloads = vec![(PayloadType::NOTIFY, self.r_u_there(sequence)?.encode_body())];
        let tamper = self.tamper_of(Step::Informational);
        let message_id = self.script.fixed.message_id(&mut self.rng);
        let sa = self.sa().ok_or_else(|| Fault::tester("there is no phase 1 SA"))?;
        let sealed =
            sa.seal_alone(ExchangeType::INFORMATIONAL, message_id, payloads, &tamper).map_err(Fault::tester)?;
        Ok(sealed.octets)
    }

    /// Deletes the phase 1 SA with the newest group member.
    ///
    /// # Errors
    /// When there is no phase 1 SA.
    pub fn delete_sa(&mut self, world: &mut dyn World) -> Result<(), Fault> {
        let spi = self.sa().map(Sa::spi).ok_or_else(|| Fault::tester("there is no phase 1 SA"))?;
        let delete = Delete { doi: 2, protocol: 1, spi_size: 16, spis: vec![spi.to_vec()] };
        self.send_informational(world, vec![(PayloadType::DELETE, delete.encode_body())])?;
        if let Ok(peer) = self.newest_peer() {
            peer.deleted = true;
        }
        Ok(())
    }

    /// Forgets every phase 1 SA, as a server does that has been restarted. Group and members stay.
    pub fn forget_sas(&mut self) {
        self.peers.clear();
    }

    fn open(&mut self, at: Instant, datagram: Datagram) -> Seen {
        let mut seen = self.reassembly.read(at, datagram);
        match seen.header.exchange {
            ExchangeType::MAIN | ExchangeType::AGGRESSIVE => self.open_phase1(&mut seen),
            ExchangeType::INFORMATIONAL => {
                seen.step = Step::Informational;
                let sa = self.peer_of(&seen).and_then(|index| self.peers.get(index)?.sa.as_ref());
                if let Some(sa) = sa.filter(|_| seen.protected) {
                    sa.open_informational(&mut seen);
                }
            }
            ExchangeType::PULL => self.open_pull(&mut seen),
            ExchangeType::PUSH_ACK => self.open_ack(&mut seen),
            _ => {}
        }
        seen
    }

    fn on_informational(&mut self, world: &mut dyn World, seen: &Seen) {
        let Some(index) = self.peer_of(seen) else { return };
        if seen.authentic != Some(true) {
            return;
        }
        for delete in seen.deletes() {
            let Some(peer) = self.peers.get_mut(index) else { return };
            let spi = peer.sa.as_ref().map(Sa::spi);
            let names = |deleted: &Vec<u8>| spi.as_ref().is_some_and(|spi| deleted.as_slice() == spi);
            peer.deleted |= delete.protocol == 1 && delete.spis.iter().any(names);
        }
        if !self.script.answer_dpd {
            return;
        }
        for notify in seen.notifies() {
            if notify.kind != NotifyType::R_U_THERE {
                continue;
            }
            let answer = Notify { kind: NotifyType::R_U_THERE_ACK, ..notify };
            let tamper = self.tamper_of(Step::Informational);
            let message_id = self.script.fixed.message_id(&mut self.rng);
            let payloads = vec![(PayloadType::NOTIFY, answer.encode_body())];
            let sealed = self
                .peers
                .get(index)
                .and_then(|peer| peer.sa.as_ref())
                .and_then(|sa| sa.seal_alone(ExchangeType::INFORMATIONAL, message_id, payloads, &tamper).ok());
            if let Some(sealed) = sealed {
                self.answer(world, index, Step::Informational, seen, sealed.octets);
            }
        }
    }

    /// Keeps an answer and sends it as the reply policy says.
    fn answer(&mut self, world: &mut dyn World, index: usize, step: Step, seen: &Seen, octets: Vec<u8>) {
        let tampered = !self.tamper_of(step).is_none();
        let Some(peer) = self.peers.get_mut(index) else { return };
        let answered = Answered {
            request: seen.datagram.payload.clone(),
            step,
            octets: octets.clone(),
            tampered,
            message_id: seen.header.message_id,
        };
        // A repeated request is answered from here; a flood of requests only needs the latest.
        if peer.answers.len() >= 1_024 {
            peer.answers.remove(0);
        }
        peer.answers.push(answered);
        (peer.local, peer.remote) = (seen.datagram.dst, seen.datagram.src);
        let (local, remote) = (peer.local, peer.remote);
        self.reply_with(world, step, local, remote, octets);
    }

    /// Answers a repeated request with what was built for it; tells whether there was something.
    fn answer_again(&mut self, world: &mut dyn World, seen: &Seen) -> bool {
        let found = self.peers.iter().enumerate().rev().find_map(|(index, peer)| {
            let answer = peer.answers.iter().rev().find(|answer| answer.request == seen.datagram.payload)?;
            Some((index, answer.step, answer.octets.clone(), answer.tampered))
        });
        let Some((index, step, octets, tampered)) = found else { return false };
        let again = tampered && self.tamper_of(step).is_none();
        if again && self.answer_anew(world, index, step, seen) {
            return true;
        }
        if again && self.rebuild(world, index, step, seen.header.message_id, seen.datagram.payload.clone()) {
            return true;
        }
        self.reply_with(world, step, seen.datagram.dst, seen.datagram.src, octets);
        true
    }

    fn reply_with(
        &mut self,
        world: &mut dyn World,
        step: Step,
        local: SocketAddr,
        remote: SocketAddr,
        octets: Vec<u8>,
    ) {
        let count = self.requests.entry(step).or_default();
        *count += 1;
        match self.replies.get(&step).copied().unwrap_or(Reply::Answer) {
            Reply::Answer => self.transmit(world, step, local, remote, octets),
            Reply::Silent => {}
            Reply::IgnoreFirst(ignored) if *count <= ignored => {}
            Reply::IgnoreFirst(_) => self.transmit(world, step, local, remote, octets),
            Reply::Repeat(copies) => {
                for _ in 0..=copies {
                    self.transmit(world, step, local, remote, octets.clone());
                }
            }
            Reply::Delay(duration) => {
                let datagram = Datagram::new(local, remote, marked(local, octets));
                self.pending.push((world.now() + duration, datagram));
            }
            Reply::From(address) => self.transmit(world, step, address, remote, octets),
        }
    }

    fn send_pending(&mut self, world: &mut dyn World) {
        let now = world.now();
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|(at, _)| *at <= now);
        self.pending = later;
        for (_, datagram) in due {
            world.send(datagram);
        }
    }

    fn transmit(&mut self, world: &mut dyn World, step: Step, local: SocketAddr, remote: SocketAddr, octets: Vec<u8>) {
        let tampered = !self.tamper_of(step).is_none();
        world.note(&format!("tester sends {step}{}", if tampered { ", tampered with" } else { "" }));
        self.sent.push(Sent { step, at: world.now(), octets: octets.clone(), tampered });
        world.send(Datagram::new(local, remote, marked(local, octets)));
    }

    fn tamper_of(&self, step: Step) -> Tamper {
        self.tampers.get(&step).cloned().unwrap_or_default()
    }

    fn newest_peer(&mut self) -> Result<&mut Peer, Fault> {
        self.peers
            .iter_mut()
            .rev()
            .find(|peer| peer.established && !peer.deleted)
            .ok_or_else(|| Fault::tester("there is no phase 1 SA"))
    }

    fn peer_of(&self, seen: &Seen) -> Option<usize> {
        let (initiator, responder) = cookies(seen);
        self.peers.iter().rposition(|peer| {
            let t = &peer.transcript;
            t.initiator_cookie == initiator && (t.responder_cookie == responder || responder == [0; 8])
        })
    }
}

fn marked(local: SocketAddr, octets: Vec<u8>) -> Vec<u8> {
    if local.port() == crate::gm::NAT_T_PORT { [&[0; 4], octets.as_slice()].concat() } else { octets }
}
