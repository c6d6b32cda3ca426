//! The group member: registers with a key server, keeps the group keys, takes PUSH messages, and registers again.

#[cfg(test)]
mod captures;
mod data;
mod keys;
mod policy;
mod pull;
mod push;
mod register;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use hallmark_core::{Code, Datagram, Instant, Limits, Now, Rng};
use hallmark_wire::isakmp::ExchangeType;

use crate::behaviour::{Behaviour, Defect};
use crate::code;
use crate::config::{Compat, ConfigError, GmConfig};
use crate::event::{Event, Kept};
use crate::ike::{IkeEndpoint, IkeEvent, IkeInput, Path, SaId};
use crate::journal::Journal;
use crate::key_server::{translate, with_compat};
use crate::machine::Machine;
use crate::sadb::Sadb;
use crate::status::GmStatus;
use crate::timers::Timers;
use crate::vendor;

use data::GroupData;
use keys::{Recent, RekeySa, Sids};
use pull::Pull;
use register::Registration;

/// Is something that an operator tells a group member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GmCommand {
    /// Registers now; keys stay until new ones are there.
    Register,
    /// Drops all keys and registers anew.
    ClearSa,
    /// Closes every phase 1 SA and drops all keys.
    Shutdown,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    /// Begins a registration.
    Register,
    /// Sends the current message of a PULL again.
    Pull,
    /// Some key ends.
    Expiry,
    /// Begins a registration that an error of the data plane asked for.
    Recovery,
    /// Sends an acknowledgement that was held back.
    Ack(u64),
}

/// Is a group member. See the crate documentation for how to drive it.
pub struct GroupMember {
    config: GmConfig,
    behaviour: Behaviour,
    limits: Limits,
    pub(crate) ike: IkeEndpoint,
    nonces: Rng,
    jitter: Rng,
    registration: Registration,
    pull: Option<Pull>,
    /// The phase 1 SA with each server.
    server_sas: BTreeMap<usize, SaId>,
    /// The server that the current keys come from.
    home: Option<usize>,
    kek: Option<RekeySa>,
    previous: Option<RekeySa>,
    sadb: Sadb,
    sids: Option<Sids>,
    recent: Recent,
    data: GroupData,
    /// The acknowledgement of the latest PUSH, to be given again.
    latest_ack: Option<LatestAck>,
    held_acks: BTreeMap<u64, (Path, Vec<u8>)>,
    joined: Option<IpAddr>,
    timers: Timers<Timer>,
    next_serial: u64,
    counters: Counters,
    journal: Journal,
    deaf: bool,
    stuck_nonce: Option<Vec<u8>>,
    stuck_message_id: Option<u32>,
    /// The message id of the last PULL that brought keys.
    finished_pull: Option<u32>,
}

struct LatestAck {
    sequence: u32,
    path: Path,
    message: Vec<u8>,
    encrypted: bool,
    repeated: bool,
}

#[derive(Clone, Copy, Default)]
struct Counters {
    registrations: u64,
    attempts: u64,
    rekeys: u64,
    rekeys_since_registration: u64,
    repeats: u64,
    acks: u64,
}

impl GroupMember {
    /// Starts a group member; it registers as soon as [`Self::handle_timeout`] is called.
    ///
    /// # Errors
    ///
    /// Gives the first mistake of the configuration.
    pub fn new(config: GmConfig, limits: Limits, rng: Rng, now: Now) -> Result<Self, ConfigError> {
        config.validate()?;
        let behaviour = config.test.behaviour.clone();
        let mut ike = config.phase1.clone();
        ike.accept = false;
        ike.behaviour = behaviour.clone();
        ike.export_keys = config.test.export_keys;
        ike.vendor_ids.extend(config.group.version.map(vendor::encode));
        // REQ GDOI-P1-011: the rule of each server is its entry in the peer authorization database.
        ike.peers = config
            .servers
            .iter()
            .map(|server| {
                let mut rule = with_compat(server.rule.clone(), server.compat);
                rule.network = server.address.ip();
                rule.prefix = if server.address.is_ipv4() { 32 } else { 128 };
                rule
            })
            .collect();
        let ike = IkeEndpoint::new(ike, limits, rng.fork("ike"), now)?;
        let mut timers = Timers::new();
        timers.set(Timer::Register, now.mono);
        Ok(Self {
            behaviour,
            limits,
            ike,
            nonces: rng.fork("gm nonces"),
            jitter: rng.fork("gm jitter"),
            registration: Registration::new(),
            pull: None,
            server_sas: BTreeMap::new(),
            home: None,
            kek: None,
            previous: None,
            sadb: Sadb::default(),
            sids: None,
            recent: Recent::default(),
            data: GroupData::default(),
            latest_ack: None,
            held_acks: BTreeMap::new(),
            joined: None,
            timers,
            next_serial: 0,
            counters: Counters::default(),
            journal: Journal::new(limits.output_queue),
            deaf: false,
            stuck_nonce: None,
            stuck_message_id: None,
            finished_pull: None,
            config,
        })
    }

    /// Does what an operator asks for.
    pub fn handle_command(&mut self, now: Now, command: GmCommand) {
        match command {
            GmCommand::Register => self.start_registration(now, "command"),
            GmCommand::ClearSa => {
                self.drop_keys(now, "deleted");
                self.abandon_registration();
                self.start_registration(now, "command");
            }
            GmCommand::Shutdown => {
                self.abandon_registration();
                let sas: Vec<SaId> = self.ike.sas().map(|sa| sa.id()).collect();
                for sa in sas {
                    self.ike.delete(now, sa);
                }
                self.drop_keys(now, "deleted");
                self.leave_group();
                self.registration.stop();
                self.timers.cancel(Timer::Register);
            }
        }
        self.drain_ike(now);
    }

    /// Shows the member.
    #[must_use]
    pub fn status(&self, now: Now) -> GmStatus {
        self.make_status(now.mono)
    }

    /// Gives the Data-Security SAs, for a datapath.
    #[must_use]
    pub const fn sadb(&self) -> &Sadb {
        &self.sadb
    }

    /// Gives the sender ids with their number of bits, for a datapath.
    #[must_use]
    pub fn sender_ids(&self) -> Option<(u16, &[u32])> {
        self.sids.as_ref().map(|sids| (sids.bits, sids.values.as_slice()))
    }

    /// Tells that a datapath has used up its sender ids: it stops sending, and the member registers again.
    // REQ GDOI-SID-024 GDOI-SID-025
    pub fn sender_ids_exhausted(&mut self, now: Now) {
        if self.behaviour.has(Defect::GmSidExhaustionIgnored) {
            return;
        }
        self.sids = None;
        self.start_registration(now, "exhausted");
    }

    /// Gives the configuration that the member runs with.
    #[must_use]
    pub const fn config(&self) -> &GmConfig {
        &self.config
    }

    /// Gives the tolerances for the server that the keys come from.
    fn home_compat(&self) -> Compat {
        self.home.and_then(|server| self.config.servers.get(server)).map_or(Compat::NONE, |server| server.compat)
    }

    fn drain_ike(&mut self, now: Now) {
        while let Some(event) = self.ike.poll_event() {
            if let Some(code) = event.code() {
                self.journal.count(code);
            }
            let consequence = self.note(&event);
            if let Some((peer, kind)) = translate(event) {
                self.journal.tell(now.mono, peer, kind);
            }
            match consequence {
                Consequence::None => {}
                Consequence::Established(sa) => self.phase1_established(now, sa),
                Consequence::Failed(sa, code) => self.phase1_failed(now, sa, code),
                Consequence::Gone(sa) => self.phase1_gone(now, sa),
                Consequence::Delete(protocol, spis) => self.delete_under_phase1(now, protocol, &spis),
            }
        }
    }

    fn note(&self, event: &IkeEvent) -> Consequence {
        match event {
            IkeEvent::Established { sa, .. } => Consequence::Established(*sa),
            IkeEvent::Failed { sa, code, .. } => Consequence::Failed(*sa, *code),
            IkeEvent::Deleted { sa, .. }
            | IkeEvent::Expired { sa, .. }
            | IkeEvent::PeerDead { sa, .. }
            | IkeEvent::Replaced { sa, .. } => Consequence::Gone(*sa),
            IkeEvent::PeerDelete { protocol, spis, .. } if self.behaviour.has(Defect::GmDeleteUnderPhase1) => {
                Consequence::Delete(*protocol, spis.clone())
            }
            _ => Consequence::None,
        }
    }
}

impl Machine for GroupMember {
    type Event = Event;

    fn handle_datagram(&mut self, now: Now, datagram: &Datagram) {
        // A faulty member loses what arrives in pieces.
        if self.deaf || (self.behaviour.has(Defect::FragReasm) && datagram.payload.len() > 1_472) {
            return self.journal.reject(now.mono, Some(datagram.src), code::DEAF, "", Kept::StateKept);
        }
        self.deaf |= datagram.payload.len() > 20_000 && self.behaviour.has(Defect::GmDeafAfterLargePush);
        match self.ike.handle_datagram(now, datagram) {
            IkeInput::Consumed => {}
            IkeInput::Exchange(message) => self.pull_message(now, &message),
            IkeInput::Unbound(message) => match message.header.exchange {
                ExchangeType::PUSH => self.push_message(now, &message),
                _ if self.behaviour.has(Defect::GmExchangeTypeIgnored) => self.push_message(now, &message),
                _ if self.behaviour.has(Defect::GmAnswersAcks) => self.ike.send_on(message.path, message.message),
                // REQ GDOI-NEG-194
                _ => self.journal.reject(now.mono, Some(datagram.src), code::ACK_ROLE, "", Kept::StateKept),
            },
        }
        self.drain_ike(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.ike.handle_timeout(now);
        self.drain_ike(now);
        if self.deaf {
            // A machine that hangs keeps no timer, but it must not keep its caller busy either.
            while self.timers.pop_due(now.mono).is_some() {}
            return;
        }
        while let Some(timer) = self.timers.pop_due(now.mono) {
            match timer {
                Timer::Register => self.register_due(now),
                Timer::Pull => self.pull_timeout(now),
                Timer::Expiry => self.expire(now),
                Timer::Recovery => self.recovery_due(now),
                Timer::Ack(number) => {
                    if let Some((path, message)) = self.held_acks.remove(&number) {
                        self.ike.send_on(path, &message);
                    }
                }
            }
        }
        self.drain_ike(now);
    }

    fn poll_transmit(&mut self) -> Option<Datagram> {
        self.ike.poll_transmit()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.journal.take()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.ike.poll_timeout(), self.timers.next()].into_iter().flatten().min()
    }
}

/// Is what an event of phase 1 means for the registration.
enum Consequence {
    None,
    Established(SaId),
    Failed(SaId, Code),
    Gone(SaId),
    Delete(u8, Vec<Vec<u8>>),
}
