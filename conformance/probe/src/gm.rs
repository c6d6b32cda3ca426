//! The scripted group member: plays initiator and GM against a key server.
//!
//! `phase1` and `pull` run the happy path. Each is made of single steps (`send_main1`, `receive_main2` ...), and each
//! step that is sent can be tampered with beforehand ([`ProbeGm::tamper`]). Everything that arrives is in
//! [`ProbeGm::log`], opened as far as the keys reach.

pub(crate) mod ack;
mod informational;
mod phase1;
mod pull;
mod push;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use hallmark_core::{Datagram, Duration, Instant, Rng};
use hallmark_wire::gdoi::Dialect;
use hallmark_wire::isakmp::{ExchangeType, Identification, Notify, NotifyType, vendor_id};

pub use ack::AckForm;
pub(crate) use ack::ack_hash_alg;
pub use pull::Registration;
pub use push::{Finding, Push, SigReading};

use crate::fragment::IkeReassembly;
use crate::group::{Kek, Tek};
use crate::sa::{Credentials, Fixed, Sa};
use crate::seal::Sealed;
use crate::seen::Seen;
use crate::step::{Fault, Step};
use crate::suite::{GROUP, Suite};
use crate::tamper::Tamper;
use crate::world::{Party, World};

/// What the scripted group member says by default. Every field may be changed at any time.
#[derive(Clone)]
pub struct GmScript {
    /// Which end of the tester it is.
    pub tester: Party,
    /// Its address and port.
    pub me: SocketAddr,
    /// The key server's address and port. On port 4500 every message carries the non-ESP marker.
    pub ks: SocketAddr,
    /// Phase 1 suites in order of preference.
    pub suites: Vec<Suite>,
    /// How it proves who it is.
    pub credentials: Credentials,
    /// DOI of the phase 1 SA payload.
    pub doi: u32,
    /// Situation of the phase 1 SA payload.
    pub situation: u32,
    /// Vendor ids of message 1.
    pub vendor_ids: Vec<Vec<u8>>,
    /// Whether it sends INITIAL-CONTACT in message 5.
    pub initial_contact: bool,
    /// Octets of its nonces.
    pub nonce_len: usize,
    /// The group that it asks for.
    pub group: u32,
    /// SENDER_ID_REQUEST in message 3 of PULL; `None` sends no GAP.
    pub sender_ids: Option<u16>,
    /// How it reads and writes GDOI payloads.
    pub dialect: Dialect,
    /// Values that are otherwise drawn.
    pub fixed: Fixed,
    /// How long it waits for an answer.
    pub patience: Duration,
    /// How long it waits for an answer to a tampered message, and after a refusal for second thoughts.
    pub quiet: Duration,
    /// When it sends an unanswered (untampered) message again, counted from the first time.
    pub resend: Vec<Duration>,
    /// Whether it answers R-U-THERE.
    pub answer_dpd: bool,
    /// Whether it acknowledges every PUSH that it accepts, at once and in the standard form.
    pub auto_ack: bool,
}

impl GmScript {
    /// Makes the standard script: the n-th tester address against subject 0, pre-shared key, group 1234.
    #[must_use]
    pub fn new(world: &dyn World, tester: u8) -> Self {
        let party = Party::Tester(tester);
        Self {
            tester: party,
            me: world.address(party),
            ks: world.address(Party::Subject(0)),
            suites: vec![Suite::default()],
            credentials: Credentials::default(),
            doi: hallmark_wire::gdoi::DOI,
            situation: 0,
            vendor_ids: vec![vendor_id::DPD.to_vec(), vendor_id::NAT_T_RFC3947.to_vec()],
            initial_contact: true,
            nonce_len: 16,
            group: GROUP,
            sender_ids: None,
            dialect: Dialect::default(),
            fixed: Fixed::default(),
            patience: Duration::from_secs(10),
            quiet: Duration::from_secs(4),
            resend: vec![Duration::from_secs(3)],
            answer_dpd: true,
            auto_ack: false,
        }
    }

    /// Gives the phase 1 identity.
    #[must_use]
    pub fn identity(&self) -> Identification {
        self.credentials.identity.clone().unwrap_or_else(|| Identification::from_ip(self.me.ip()))
    }
}

/// One message as it was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// What it is.
    pub step: Step,
    /// When it left.
    pub at: Instant,
    /// The ISAKMP message, without a non-ESP marker.
    pub octets: Vec<u8>,
    /// Whether a tamper touched it.
    pub tampered: bool,
}

/// The scripted group member.
pub struct ProbeGm {
    /// What it says; may be changed between steps.
    pub script: GmScript,
    /// The phase 1 SA, when there is one.
    pub sa: Option<Sa>,
    /// What the last PULL gave.
    pub registration: Option<Registration>,
    /// The Rekey SAs that it holds, newest last.
    pub keks: Vec<Kek>,
    /// The Data-Security SAs that it holds, newest last.
    pub teks: Vec<Tek>,
    /// Every message received, in order.
    pub log: Vec<Seen>,
    /// Every message sent, in order.
    pub sent: Vec<Sent>,
    rng: Rng,
    tampers: BTreeMap<Step, Tamper>,
    phase1: phase1::Phase1,
    pulls: BTreeMap<u32, pull::Pull>,
    current_pull: u32,
    pushes: VecDeque<Push>,
    reassembly: IkeReassembly,
}

impl ProbeGm {
    /// Makes the n-th end of the tester a group member of subject 0 with the standard script.
    #[must_use]
    pub fn new(world: &mut dyn World, tester: u8) -> Self {
        let script = GmScript::new(world, tester);
        Self::with_script(world, script)
    }

    /// Makes a group member with this script.
    #[must_use]
    pub fn with_script(world: &mut dyn World, script: GmScript) -> Self {
        // Drawn, not forked: several group members of one case must not draw the same cookies.
        let rng = Rng::from_seed(world.rng().octets());
        Self {
            script,
            sa: None,
            registration: None,
            keks: Vec::new(),
            teks: Vec::new(),
            log: Vec::new(),
            sent: Vec::new(),
            rng,
            tampers: BTreeMap::new(),
            phase1: phase1::Phase1::default(),
            pulls: BTreeMap::new(),
            current_pull: 0,
            pushes: VecDeque::new(),
            reassembly: IkeReassembly::default(),
        }
    }

    /// Sets how a step is made wrong from now on; [`Tamper::none`] makes it right again.
    pub fn tamper(&mut self, step: Step, tamper: Tamper) -> &mut Self {
        self.tampers.insert(step, tamper);
        self
    }

    /// Makes every step right again.
    pub fn untamper(&mut self) -> &mut Self {
        self.tampers.clear();
        self
    }

    /// Moves both ends to the NAT traversal port, where every message carries the non-ESP marker.
    ///
    /// # Errors
    /// Where the world cannot listen there.
    pub fn float(&mut self, world: &mut dyn World) -> Result<(), crate::world::Unavailable> {
        self.script.me.set_port(NAT_T_PORT);
        self.script.ks.set_port(NAT_T_PORT);
        world.listen(self.script.me)
    }

    /// Sends octets to the key server as they are (plus the non-ESP marker on port 4500).
    pub fn send_raw(&mut self, world: &mut dyn World, octets: Vec<u8>) {
        let payload = if self.marked() { [&[0; 4], octets.as_slice()].concat() } else { octets };
        world.send(Datagram::new(self.script.me, self.script.ks, payload));
    }

    /// Sends the last message of a step again, octet for octet. Tells whether there was one.
    pub fn resend(&mut self, world: &mut dyn World, step: Step) -> bool {
        let last = self.sent.iter().rev().find(|sent| sent.step == step).map(|sent| sent.octets.clone());
        let found = last.is_some();
        if let Some(octets) = last {
            self.send_raw(world, octets);
        }
        found
    }

    /// Gives the last message that was sent for a step.
    #[must_use]
    pub fn last_sent(&self, step: Step) -> Option<&Sent> {
        self.sent.iter().rev().find(|sent| sent.step == step)
    }

    /// Takes whatever arrives for so long, and gives it.
    pub fn collect(&mut self, world: &mut dyn World, duration: Duration) -> Vec<Seen> {
        let start = self.log.len();
        let deadline = world.now() + duration;
        while self.receive(world, deadline).is_some() {}
        self.log.get(start..).unwrap_or_default().to_vec()
    }

    /// Takes the next message that arrives for this end of the tester, opens it and puts it into the log.
    pub fn receive(&mut self, world: &mut dyn World, deadline: Instant) -> Option<Seen> {
        let datagram = world.recv_at(self.script.tester, deadline)?;
        Some(self.take(world, datagram))
    }

    /// Gives the messages of a step from the log.
    pub fn seen(&self, step: Step) -> impl Iterator<Item = &Seen> {
        self.log.iter().filter(move |seen| seen.step == step)
    }

    /// Opens a datagram with whatever state fits it.
    fn take(&mut self, world: &mut dyn World, datagram: Datagram) -> Seen {
        let at = world.now();
        let mut seen = self.open(at, datagram);
        let repeat = |earlier: &Seen| earlier.datagram.payload == seen.datagram.payload && earlier.step == seen.step;
        seen.repeat = seen.step != Step::Keepalive && self.log.iter().any(repeat);
        self.log.push(seen.clone());
        if !seen.repeat {
            self.react(world, &seen);
        }
        seen
    }

    fn open(&mut self, at: Instant, datagram: Datagram) -> Seen {
        let mut seen = self.reassembly.read(at, datagram);
        match seen.header.exchange {
            ExchangeType::MAIN | ExchangeType::AGGRESSIVE => self.open_phase1(&mut seen),
            ExchangeType::INFORMATIONAL => {
                seen.step = Step::Informational;
                if let Some(sa) = self.sa.as_ref().filter(|sa| seen.protected && sa.cookies() == cookies(&seen)) {
                    sa.open_informational(&mut seen);
                }
            }
            ExchangeType::PULL => self.open_pull(&mut seen),
            ExchangeType::PUSH => self.open_push(&mut seen),
            _ => {}
        }
        seen
    }

    /// Does what a group member does by itself: answers R-U-THERE, keeps PUSH messages.
    fn react(&mut self, world: &mut dyn World, seen: &Seen) {
        if seen.step == Step::Push {
            let push = self.read_push(seen);
            if push.is_acceptable() {
                self.accept(world, &push);
                if self.script.auto_ack {
                    // Without a request for ACKs nothing is sent.
                    let _ = self.ack(world, &push);
                }
            }
            self.pushes.push_back(push);
        }
        if seen.step == Step::Informational && seen.authentic == Some(true) && self.script.answer_dpd {
            for notify in seen.notifies() {
                if notify.kind == NotifyType::R_U_THERE {
                    let answer = Notify { kind: NotifyType::R_U_THERE_ACK, ..notify };
                    // Only an SA that was changed by hand cannot seal.
                    let _ = self.send_notify(world, answer);
                }
            }
        }
    }

    /// Waits for one step of the running exchange.
    fn await_step(&mut self, world: &mut dyn World, step: Step) -> Result<Seen, Fault> {
        let start = world.now();
        let request = |sent: &&Sent| !matches!(sent.step, Step::Informational | Step::Ack);
        let last = self.sent.iter().rev().find(request).cloned();
        let tampered = last.as_ref().is_some_and(|sent| sent.tampered);
        let mut deadline = start + if tampered { self.script.quiet } else { self.script.patience };
        let mut resend: VecDeque<Instant> =
            if tampered { VecDeque::new() } else { self.script.resend.iter().map(|&after| start + after).collect() };
        let mut refusal = None;
        loop {
            let until = resend.front().map_or(deadline, |&at| at.min(deadline));
            if let Some(seen) = self.receive(world, until) {
                if seen.step == step && !seen.repeat && self.belongs(&seen) {
                    return Ok(seen);
                }
                if let Some(fault) = self.refusal(step, &seen) {
                    refusal.get_or_insert(fault);
                    resend.clear();
                    deadline = deadline.min(world.now() + self.script.quiet);
                }
                continue;
            }
            if world.now() >= deadline {
                let waited = world.now().saturating_since(start);
                return Err(refusal.unwrap_or(Fault::Silent { step, waited }));
            }
            if let (Some(_), Some(last)) = (resend.pop_front(), &last) {
                self.send_raw(world, last.octets.clone());
            }
        }
    }

    /// Tells whether a message belongs to what is awaited: the current PULL, not another one that is open.
    fn belongs(&self, seen: &Seen) -> bool {
        match seen.step {
            Step::Pull2 | Step::Pull4 => seen.header.message_id == self.current_pull,
            _ => true,
        }
    }

    /// Reads an Informational as a refusal of the running exchange.
    fn refusal(&self, step: Step, seen: &Seen) -> Option<Fault> {
        if seen.step != Step::Informational || seen.header.initiator_cookie != self.phase1.cookie() {
            return None;
        }
        let authentic = seen.authentic == Some(true);
        if seen.protected && !authentic {
            return None;
        }
        if let Some(notify) = seen.error_notify() {
            return Some(Fault::Refused { step, notify, protected: authentic });
        }
        let deleted = authentic && seen.deletes().iter().any(|delete| delete.protocol == 1);
        deleted.then_some(Fault::Deleted { step })
    }

    /// Sends a sealed message and remembers it.
    fn transmit(&mut self, world: &mut dyn World, step: Step, sealed: &Sealed) {
        let tampered = !self.tamper_of(step).is_none();
        self.transmit_as(world, step, sealed, tampered);
    }

    fn transmit_as(&mut self, world: &mut dyn World, step: Step, sealed: &Sealed, tampered: bool) {
        world.note(&format!("tester sends {step}{}", if tampered { ", tampered with" } else { "" }));
        let sent = Sent { step, at: world.now(), octets: sealed.octets.clone(), tampered };
        self.sent.push(sent);
        self.send_raw(world, sealed.octets.clone());
    }

    fn tamper_of(&self, step: Step) -> Tamper {
        self.tampers.get(&step).cloned().unwrap_or_default()
    }

    fn established(&self) -> Result<Sa, Fault> {
        self.sa.clone().ok_or_else(|| Fault::tester("there is no phase 1 SA"))
    }

    const fn marked(&self) -> bool {
        self.script.ks.port() == NAT_T_PORT
    }
}

/// UDP port of NAT traversal.
pub const NAT_T_PORT: u16 = 4500;

pub(crate) const fn cookies(seen: &Seen) -> ([u8; 8], [u8; 8]) {
    (seen.header.initiator_cookie, seen.header.responder_cookie)
}
