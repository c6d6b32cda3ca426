//! The key server: registers members, makes keys, and pushes them.

mod ack;
mod command;
mod group;
mod policy;
mod pull;
mod rekey;
mod send;
mod status;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use hallmark_core::{Datagram, Instant, Limits, Now, Rng};
use hallmark_wire::isakmp::{ExchangeType, Identification};

use crate::behaviour::{Behaviour, Defect};
use crate::code;
use crate::config::{Compat, ConfigError, GroupConfig, KsConfig, PeerConfig};
use crate::event::{Event, EventKind, Kept};
use crate::ike::{IkeEndpoint, IkeEvent, IkeInput, SaId, UnboundMessage};
use crate::journal::Journal;
use crate::machine::Machine;
use crate::status::KsStatus;
use crate::timers::Timers;

use group::{Group, MemberId};
use pull::PullExchange;
use send::PushJob;

pub(crate) use policy::dialect;

/// Is something that an operator tells a key server.
#[derive(Clone)]
pub enum KsCommand {
    /// Replaces all TEKs (and whatever a changed policy asks for); the old ones live on for a shortened time.
    Rekey {
        /// The group.
        group: u32,
    },
    /// Replaces all TEKs and deletes the old ones in the same message.
    RekeyReplaceNow {
        /// The group.
        group: u32,
    },
    /// Replaces the KEK.
    RekeyKek {
        /// The group.
        group: u32,
    },
    /// Makes all members register again.
    ClearMembers {
        /// The group.
        group: u32,
        /// The members drop policy and keys at once instead of after a shortened lifetime.
        now: bool,
    },
    /// Deletes every key of the group at its members and makes new ones.
    DeleteGroupKeys {
        /// The group.
        group: u32,
    },
    /// Excludes one member: new KEK first, then new TEKs under it (forward access control).
    RemoveMember {
        /// The group.
        group: u32,
        /// Its phase 1 identity, as text (`ipv4:10.0.0.2`).
        identity: String,
    },
    /// Changes the configuration of a group. Authorization changes at once, the rest with the next rekey.
    ReplacePolicy {
        /// The group.
        group: u32,
        /// What it becomes.
        config: Box<GroupConfig>,
    },
    /// Lets an identity join although the list of members lacks it.
    Authorize {
        /// The group.
        group: u32,
        /// The identity.
        identity: Identification,
    },
    /// Refuses an identity from now on; a registered member stays until it is removed.
    Revoke {
        /// The group.
        group: u32,
        /// The identity.
        identity: Identification,
    },
    /// Closes every phase 1 SA; members keep their keys.
    Shutdown,
}

/// Is the answer to a command.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum CommandReply {
    /// It is done; a rekey may follow in the background.
    Done,
    /// A PUSH is on its way.
    Pushed {
        /// KEK SPI in hex.
        kek_spi: String,
        /// Its sequence number.
        sequence: u32,
        /// Members that it goes to.
        members: usize,
    },
}

/// Says why a command was not done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// No such group.
    #[error("group {0} is not configured")]
    NoGroup(u32),
    /// No such member.
    #[error("no member of group {group} has the identity {identity}")]
    NoMember {
        /// The group.
        group: u32,
        /// The identity.
        identity: String,
    },
    /// Nothing can be pushed.
    #[error("group {0} has no KEK or no signing key, so nothing can be pushed")]
    NoPush(u32),
    /// The new policy is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    /// Retransmits M2, or forgets an exchange.
    Pull(SaId, u32),
    /// Replaces the KEK of a group.
    Kek(u32),
    /// Replaces the TEKs of a group that are due.
    Tek(u32),
    /// Forgets expired TEKs and retired KEKs of a group.
    Clean(u32),
    /// Sends the next batch, the next copy, or ends a PUSH.
    Job(u64),
}

/// Is a key server. See the crate documentation for how to drive it.
pub struct KeyServer {
    config: KsConfig,
    behaviour: Behaviour,
    limits: Limits,
    pub(crate) ike: IkeEndpoint,
    nonces: Rng,
    keys: Rng,
    signing: Rng,
    groups: BTreeMap<u32, Group>,
    pulls: BTreeMap<(SaId, u32), PullExchange>,
    jobs: BTreeMap<u64, PushJob>,
    jobs_by_push: BTreeMap<([u8; 16], u32), u64>,
    /// Which group a KEK SPI belongs to, retired ones included.
    keks: BTreeMap<[u8; 16], u32>,
    timers: Timers<Timer>,
    next_member: u64,
    next_serial: u64,
    journal: Journal,
    deaf: bool,
    /// Nonce that a faulty server uses for ever.
    stuck_nonce: Option<Vec<u8>>,
}

impl KeyServer {
    /// Starts a key server: checks the configuration and makes the first keys of every group.
    ///
    /// # Errors
    ///
    /// Gives the first mistake of the configuration.
    pub fn new(config: KsConfig, limits: Limits, rng: Rng, now: Now) -> Result<Self, ConfigError> {
        config.validate()?;
        let behaviour = config.test.behaviour.clone();
        let mut ike = config.phase1.clone();
        ike.accept = true;
        ike.behaviour = behaviour.clone();
        ike.export_keys = config.test.export_keys;
        ike.peers = config.peers.iter().map(peer_rule).collect();
        let ike = IkeEndpoint::new(ike, limits, rng.fork("ike"), now)?;
        let repeats = behaviour.has(Defect::KsKeysSurviveRestart);
        let mut server = Self {
            behaviour,
            limits,
            ike,
            nonces: rng.fork("ks nonces"),
            // REQ GDOI-SID-030
            keys: if repeats { Rng::from_u64(1) } else { rng.fork("ks keys") },
            signing: rng.fork("ks signing"),
            groups: BTreeMap::new(),
            pulls: BTreeMap::new(),
            jobs: BTreeMap::new(),
            jobs_by_push: BTreeMap::new(),
            keks: BTreeMap::new(),
            timers: Timers::new(),
            next_member: 0,
            next_serial: 0,
            journal: Journal::new(limits.output_queue),
            deaf: false,
            stuck_nonce: None,
            config,
        };
        for group in server.config.groups.clone() {
            server.start_group(now.mono, group);
        }
        Ok(server)
    }

    /// Does what an operator asks for.
    ///
    /// # Errors
    ///
    /// Says why it cannot be done.
    pub fn handle_command(&mut self, now: Now, command: KsCommand) -> Result<CommandReply, CommandError> {
        let reply = self.command(now, command);
        self.drain_ike(now);
        reply
    }

    /// Shows the server.
    #[must_use]
    pub fn status(&self, now: Now) -> KsStatus {
        self.make_status(now.mono)
    }

    /// Gives the configuration that the server runs with.
    #[must_use]
    pub const fn config(&self) -> &KsConfig {
        &self.config
    }

    fn unbound_message(&mut self, now: Now, message: &UnboundMessage<'_>, datagram: &Datagram) {
        match message.header.exchange {
            ExchangeType::PUSH_ACK => self.ack_message(now, message),
            // REQ GDOI-NEG-051
            _ => self.journal.reject(now.mono, Some(datagram.src), code::PUSH_ROLE, "", Kept::StateKept),
        }
    }

    fn compat(&self, rule: usize) -> Compat {
        self.config.peers.get(rule).map_or(Compat::NONE, |peer| peer.compat)
    }

    /// Passes on what phase 1 has to say, and forgets exchanges of SAs that are gone.
    fn drain_ike(&mut self, now: Now) {
        while let Some(event) = self.ike.poll_event() {
            let gone = match &event {
                IkeEvent::Deleted { sa, by_peer, .. } => Some((*sa, *by_peer)),
                IkeEvent::Expired { sa, .. } | IkeEvent::PeerDead { sa, .. } | IkeEvent::Replaced { sa, .. } => {
                    Some((*sa, false))
                }
                _ => None,
            };
            if let Some((sa, _)) = gone {
                self.forget_pulls(sa);
            }
            if let Some(code) = event.code() {
                let count = self.journal.count(code);
                // REQ GDOI-NEG-053
                self.deaf |= count >= 1_000 && self.behaviour.has(Defect::KsFloodLocksOut);
            }
            if let Some((peer, kind)) = translate(event) {
                self.journal.tell(now.mono, peer, kind);
            }
        }
    }

    const fn new_member_id(&mut self) -> MemberId {
        self.next_member += 1;
        MemberId(self.next_member)
    }
}

impl Machine for KeyServer {
    type Event = Event;

    fn handle_datagram(&mut self, now: Now, datagram: &Datagram) {
        if self.deaf {
            return self.journal.reject(now.mono, Some(datagram.src), code::DEAF, "", Kept::StateKept);
        }
        match self.ike.handle_datagram(now, datagram) {
            IkeInput::Consumed => {}
            IkeInput::Exchange(message) => self.pull_message(now, &message),
            IkeInput::Unbound(message) => self.unbound_message(now, &message, datagram),
        }
        self.drain_ike(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.ike.handle_timeout(now);
        self.drain_ike(now);
        while let Some(timer) = self.timers.pop_due(now.mono) {
            match timer {
                Timer::Pull(sa, message_id) => self.pull_timeout(now, sa, message_id),
                Timer::Kek(group) => self.kek_due(now, group),
                Timer::Tek(group) => self.teks_due(now, group),
                Timer::Clean(group) => self.clean_group(now.mono, group),
                Timer::Job(job) => self.job_due(now, job),
            }
        }
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

fn peer_rule(peer: &PeerConfig) -> crate::ike::PeerRule {
    with_compat(peer.rule.clone(), peer.compat)
}

/// Sets the switches of phase 1 that belong to compatibility.
pub(crate) fn with_compat(mut rule: crate::ike::PeerRule, compat: Compat) -> crate::ike::PeerRule {
    rule.doi1 |= compat.has(Compat::DOI1);
    rule.aes_no_key_length |= compat.has(Compat::AES_NO_KEY_LENGTH);
    rule.id_port_848 |= compat.has(Compat::ID_PORT_848);
    rule
}

/// Turns an event of phase 1 into one of ours; `None` for what would only be noise.
pub(crate) fn translate(event: IkeEvent) -> Option<(Option<SocketAddr>, EventKind)> {
    use crate::ike::{Effect, Role};
    let name = |role: Role| match role {
        Role::Initiator => "initiator",
        Role::Responder => "responder",
    };
    Some(match event {
        IkeEvent::Rejected { code, peer, detail, effect } => {
            let effect = if effect == Effect::StateLost { Kept::StateLost } else { Kept::StateKept };
            (Some(peer), EventKind::Rejected { code, detail, effect })
        }
        IkeEvent::Started { peer, role, .. } => (Some(peer), EventKind::Phase1Started { role: name(role) }),
        IkeEvent::Established { peer, role, identity, .. } => {
            (Some(peer), EventKind::Phase1Established { role: name(role), identity })
        }
        IkeEvent::Failed { peer, code, .. } => (Some(peer), EventKind::Phase1Failed { code }),
        IkeEvent::Deleted { peer, by_peer, .. } => {
            let reason = if by_peer { "deleted-by-peer" } else { "deleted" };
            (Some(peer), EventKind::Phase1Closed { reason })
        }
        IkeEvent::Expired { peer, .. } => (Some(peer), EventKind::Phase1Closed { reason: "expired" }),
        IkeEvent::PeerDead { peer, .. } => (Some(peer), EventKind::Phase1Closed { reason: "peer-dead" }),
        IkeEvent::Replaced { .. } => (None, EventKind::Phase1Closed { reason: "replaced" }),
        IkeEvent::Moved { from, to, .. } => (Some(to), EventKind::PeerMoved { from }),
        IkeEvent::Notified { kind, .. } => (None, EventKind::Notified { kind }),
        // REQ GDOI-NEG-180: Data SAs are deleted by PUSH only.
        IkeEvent::PeerDelete { .. } => {
            let detail = Cow::Borrowed("a Delete under phase 1 names data SAs");
            (None, EventKind::Rejected { code: code::DELETE_PHASE1, detail, effect: Kept::StateKept })
        }
        IkeEvent::Hint { peer, kind } => (Some(peer), EventKind::Hint { kind }),
        IkeEvent::KeyMaterial { initiator_cookie, responder_cookie, skeyid_a, cipher_key, cipher } => {
            let kind = EventKind::KeyMaterial {
                initiator_cookie: hex::encode(initiator_cookie),
                responder_cookie: hex::encode(responder_cookie),
                skeyid_a: hex::encode(skeyid_a),
                cipher_key: hex::encode(cipher_key),
                cipher,
            };
            (None, kind)
        }
        _ => return None,
    })
}
