//! IKEv1 phase 1 for both roles, sans-I/O: Main Mode and Aggressive Mode, Informational exchanges, dead peer
//! detection, NAT traversal, fragmentation, retransmission.
//!
//! One [`IkeEndpoint`] holds every exchange and SA of a node. It consumes phase 1 and Informational messages and hands
//! the others up: [`IkeInput::Exchange`] for type 32 under an established SA, [`IkeInput::Unbound`] for types 33 and
//! 35, which phase 1 has no state for. After each call, drain [`IkeEndpoint::poll_transmit`] and
//! [`IkeEndpoint::poll_event`].
//!
//! What a peer can make us keep is bounded: half-open exchanges globally and per source (the oldest ones that have
//! not shown a valid responder cookie go first), fragments, message ids, SAs, outputs. No exponentiation happens
//! before message 3.

mod aggressive;
mod auth;
pub mod code;
mod config;
mod draw;
mod event;
mod exchange;
mod fragment;
mod half_open;
mod header;
mod informational;
mod initiator;
mod keys;
mod lenient;
mod negotiate;
mod output;
mod payloads;
mod receive;
mod responder;
mod sa;
mod step;
mod timeout;
mod timer;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use hallmark_core::{Datagram, Instant, Limits, Now, Rng};
use hallmark_wire::isakmp::{Cookie, Header, Identification, PayloadType};

pub use config::{AuthMethod, Credentials, IkeConfig, IkeConfigError, PeerRule, Retransmit, Suite};
pub use event::{Effect, IkeEvent};
pub use sa::{IkeSa, Mode, Path, Role, SaId};

use draw::Draws;
use exchange::Exchange;
use fragment::Reassembly;
use half_open::HalfOpen;
use timer::{Timer, Timers};

/// The port that NAT traversal moves to.
const NAT_T_PORT: u16 = 4500;

/// Runs phase 1 for one node.
pub struct IkeEndpoint {
    config: IkeConfig,
    limits: Limits,
    draws: Draws,
    next_id: u64,
    exchanges: BTreeMap<SaId, Box<Exchange>>,
    sas: BTreeMap<SaId, Box<IkeSa>>,
    /// Exchanges and SAs by both cookies.
    by_cookies: BTreeMap<[u8; 16], SaId>,
    /// Exchanges that wait for a responder cookie, by their initiator cookie.
    by_initiator: BTreeMap<Cookie, SaId>,
    /// Answered first messages by source and initiator cookie.
    by_first: BTreeMap<(SocketAddr, Cookie), SaId>,
    /// SAs by the authenticated identity of the peer.
    by_identity: BTreeMap<Vec<u8>, BTreeSet<SaId>>,
    half_open: HalfOpen,
    reassembly: Reassembly,
    timers: Timers,
    transmits: VecDeque<Datagram>,
    events: VecDeque<IkeEvent>,
    dropped_outputs: u64,
    deaf: bool,
}

/// Says what became of a datagram.
#[derive(Debug)]
pub enum IkeInput<'d> {
    /// Phase 1, Informational, fragment, keepalive, or refused: the events tell.
    Consumed,
    /// A type 32 message under an established SA.
    Exchange(ExchangeMessage<'d>),
    /// A type 33 or 35 message, for which phase 1 has no state.
    Unbound(UnboundMessage<'d>),
}

/// Holds a type 32 message whose header fits its SA. It is not decrypted and its message id is not claimed.
#[derive(Debug)]
pub struct ExchangeMessage<'d> {
    /// The SA that protects it.
    pub sa: SaId,
    /// Its header: flag E set, message id not 0.
    pub header: Header,
    /// The whole ISAKMP message, without marker.
    pub message: Cow<'d, [u8]>,
    /// Where it came from and to.
    pub path: Path,
}

impl ExchangeMessage<'_> {
    /// Gives the ciphertext: a positive multiple of the cipher block.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.message.get(Header::LEN..).unwrap_or_default()
    }
}

/// Holds a type 33 or 35 message: length, version and flag bits are checked, nothing else.
#[derive(Debug)]
pub struct UnboundMessage<'d> {
    /// Its header.
    pub header: Header,
    /// The whole ISAKMP message, without marker.
    pub message: &'d [u8],
    /// Where it came from and to.
    pub path: Path,
}

impl UnboundMessage<'_> {
    /// Gives the octets after the header.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.message.get(Header::LEN..).unwrap_or_default()
    }
}

impl IkeEndpoint {
    /// Starts an endpoint without any SA.
    ///
    /// # Errors
    /// The first thing that makes the configuration unusable.
    pub fn new(config: IkeConfig, limits: Limits, rng: Rng, now: Now) -> Result<Self, IkeConfigError> {
        config.validate()?;
        Ok(Self {
            draws: Draws::new(&rng, now),
            config,
            limits,
            next_id: 1,
            exchanges: BTreeMap::new(),
            sas: BTreeMap::new(),
            by_cookies: BTreeMap::new(),
            by_initiator: BTreeMap::new(),
            by_first: BTreeMap::new(),
            by_identity: BTreeMap::new(),
            half_open: HalfOpen::default(),
            reassembly: Reassembly::default(),
            timers: Timers::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            dropped_outputs: 0,
            deaf: false,
        })
    }

    /// Gives the configuration.
    #[must_use]
    pub const fn config(&self) -> &IkeConfig {
        &self.config
    }

    /// Replaces the rules on who may talk to us; exchanges that run keep theirs by index.
    pub fn set_peers(&mut self, peers: Vec<PeerRule>) {
        self.config.peers = peers;
    }

    /// Takes a datagram from the network.
    pub fn handle_datagram<'d>(&mut self, now: Now, datagram: &'d Datagram) -> IkeInput<'d> {
        self.receive(now, datagram)
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some((id, timer)) = self.timers.pop(now.mono) {
            self.timeout(now, id, timer);
        }
    }

    /// Takes a datagram that is to be sent.
    pub fn poll_transmit(&mut self) -> Option<Datagram> {
        self.transmits.pop_front()
    }

    /// Takes an event.
    pub fn poll_event(&mut self) -> Option<IkeEvent> {
        self.events.pop_front()
    }

    /// Says when [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Starts phase 1 with a peer under one of the configured rules. It ends in [`IkeEvent::Established`] or
    /// [`IkeEvent::Failed`] with the id that is returned.
    pub fn connect(&mut self, now: Now, local: SocketAddr, peer: SocketAddr, rule: usize) -> SaId {
        let id = self.fresh_id();
        let marker = self.config.nat_t_port == Some(local.port());
        self.start_exchange(now, id, Path { local, peer, marker }, rule);
        id
    }

    /// Finds an established SA.
    #[must_use]
    pub fn sa(&self, id: SaId) -> Option<&IkeSa> {
        self.sas.get(&id).map(AsRef::as_ref)
    }

    /// Gives all established SAs, oldest first.
    pub fn sas(&self) -> impl Iterator<Item = &IkeSa> {
        self.sas.values().map(AsRef::as_ref)
    }

    /// Finds the newest SA whose peer authenticated as `identity`.
    #[must_use]
    pub fn find_peer(&self, identity: &Identification) -> Option<SaId> {
        self.by_identity.get(&identity_key(identity)).and_then(|ids| ids.last().copied())
    }

    /// Draws a message id that was not used under an SA, and records it.
    pub fn fresh_message_id(&mut self, sa: SaId) -> Option<u32> {
        let limit = self.limits.message_ids_per_sa;
        let sa = self.sas.get_mut(&sa)?;
        // REQ IKE-INF-004
        let id = self.draws.message_id(|id| sa.used.contains(id));
        sa.used.claim(id, limit);
        Some(id)
    }

    /// Records a peer's message id; false when it was used under this SA before.
    pub fn claim_message_id(&mut self, sa: SaId, message_id: u32) -> bool {
        let limit = self.limits.message_ids_per_sa;
        self.sas.get_mut(&sa).is_some_and(|sa| sa.used.claim(message_id, limit))
    }

    /// Sends a message of a later exchange on the path of its SA. A large one that is sent again goes in fragments if
    /// the peer knows them.
    pub fn send_exchange(&mut self, sa: SaId, message: &[u8], retransmission: bool) {
        let Some(sa) = self.sas.get(&sa) else { return };
        let fragment = sa.may_fragment() && (retransmission || sa.fragments_seen);
        let path = sa.path;
        self.transmit(path, message, fragment);
    }

    /// Sends a message on a path, without any SA.
    pub fn send_on(&mut self, path: Path, message: &[u8]) {
        self.transmit(path, message, false);
    }

    /// Tells that a message of a later exchange verified: the peer lives, message 6 arrived, and the path is the one
    /// that the message came on.
    pub fn authenticated(&mut self, now: Now, sa: SaId, path: Path) {
        let Some(entry) = self.sas.get_mut(&sa) else { return };
        entry.heard = now.mono;
        entry.kept = None;
        // REQ IKE-NAT-010
        if entry.path != path {
            let from = entry.path.peer;
            entry.path = path;
            self.push_event(IkeEvent::Moved { sa, from, to: path.peer });
        }
    }

    /// Sends a protected Informational. False when the SA does not exist.
    pub fn informational(&mut self, _now: Now, sa: SaId, payloads: &[(PayloadType, Vec<u8>)]) -> bool {
        self.send_informational(sa, payloads)
    }

    /// Deletes an SA and tells the peer.
    pub fn delete(&mut self, _now: Now, sa: SaId) {
        self.send_delete(sa);
        if let Some(gone) = self.remove_sa(sa) {
            self.push_event(IkeEvent::Deleted { sa, peer: gone.path.peer, by_peer: false });
        }
    }

    /// Removes an SA without a word.
    pub fn forget(&mut self, sa: SaId) {
        self.remove_sa(sa);
    }

    /// Gives up an exchange that [`Self::connect`] started.
    pub fn abort(&mut self, attempt: SaId) {
        self.fail(attempt, code::ABANDONED);
    }

    /// Counts exchanges that were answered and are not finished.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// Counts established SAs.
    #[must_use]
    pub fn established(&self) -> usize {
        self.sas.len()
    }

    /// Counts sets of fragments that are not complete.
    #[must_use]
    pub fn in_reassembly(&self) -> usize {
        self.reassembly.sets()
    }

    /// Counts octets held for reassembly.
    #[must_use]
    pub const fn reassembly_octets(&self) -> usize {
        self.reassembly.octets()
    }

    /// Counts datagrams and events that were lost because no one took them.
    #[must_use]
    pub const fn dropped_outputs(&self) -> u64 {
        self.dropped_outputs
    }

    fn fresh_id(&mut self) -> SaId {
        let id = SaId(self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        id
    }

    /// Ends an exchange without an SA.
    fn fail(&mut self, id: SaId, code: hallmark_core::Code) {
        if let Some(exchange) = self.exchanges.remove(&id) {
            self.drop_exchange(&exchange, false);
            self.push_event(IkeEvent::Failed { sa: id, peer: exchange.path.peer, code });
        }
    }

    /// Takes an exchange out of every index.
    fn drop_exchange(&mut self, exchange: &Exchange, completed: bool) {
        let id = exchange.id;
        self.timers.cancel_all(id);
        self.reassembly.forget(id);
        let cookies = sa::join(exchange.cookies);
        if self.by_cookies.get(&cookies) == Some(&id) && !completed {
            self.by_cookies.remove(&cookies);
        }
        if self.by_initiator.get(&exchange.cookies.0) == Some(&id) {
            self.by_initiator.remove(&exchange.cookies.0);
        }
        if self.by_first.get(&exchange.first) == Some(&id) {
            self.by_first.remove(&exchange.first);
        }
        if exchange.role == Role::Responder {
            self.half_open.leave(id, exchange.first.0.ip(), completed);
        }
    }

    /// Takes an SA out of every index.
    fn remove_sa(&mut self, id: SaId) -> Option<Box<IkeSa>> {
        let sa = self.sas.remove(&id)?;
        self.timers.cancel_all(id);
        self.reassembly.forget(id);
        if self.by_cookies.get(&sa.cookies()) == Some(&id) {
            self.by_cookies.remove(&sa.cookies());
        }
        let key = identity_key(&sa.peer_identity);
        if let Some(ids) = self.by_identity.get_mut(&key) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_identity.remove(&key);
            }
        }
        Some(sa)
    }

    /// Puts a new SA into every index, starts its timers, and makes room for it.
    fn insert_sa(&mut self, now: Now, sa: Box<IkeSa>) {
        while self.sas.len() >= self.limits.phase1_sas.max(1) {
            let Some((&oldest, _)) = self.sas.first_key_value() else { break };
            self.delete(now, oldest);
        }
        let id = sa.id;
        self.by_cookies.insert(sa.cookies(), id);
        self.by_identity.entry(identity_key(&sa.peer_identity)).or_default().insert(id);
        // REQ IKE-LIFE-001
        if !self.config.behaviour.has(crate::behaviour::Defect::IkeLifetimeIgnored) {
            self.timers.set(id, Timer::Expire, sa.expires);
        }
        if let (Some(idle), true) = (self.config.dpd, sa.peer_dpd) {
            self.timers.set(id, Timer::Dpd, now.mono + idle);
        }
        if sa.nat.0 && sa.path.marker {
            self.timers.set(id, Timer::Keepalive, now.mono + timeout::KEEPALIVE);
        }
        self.sas.insert(id, sa);
    }
}

/// Gives what makes two identities the same: type and data.
fn identity_key(identity: &Identification) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + identity.data.len());
    key.push(identity.id_type.0);
    key.extend_from_slice(&identity.data);
    key
}

#[cfg(test)]
mod tests;
