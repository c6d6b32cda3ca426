//! An established phase 1 SA and the names around it.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;

use hallmark_core::Instant;
use hallmark_crypto::ike::{Cbc, exchange_iv};
use hallmark_crypto::{CipherAlg, HashAlg, Secret};
use hallmark_wire::isakmp::{Built, Cookie, ExchangeType, Flags, Header, Identification};
use serde::Serialize;

use super::config::Suite;
use crate::behaviour::{Behaviour, Defect};

/// Names a phase 1 exchange, and the SA that comes out of it. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct SaId(pub u64);

impl fmt::Display for SaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "phase1#{}", self.0)
    }
}

/// Says which side of phase 1 we are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Sent message 1.
    Initiator,
    /// Answered message 1.
    Responder,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Initiator => "initiator",
            Self::Responder => "responder",
        })
    }
}

/// Names the exchange that phase 1 runs in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Identity protection, six messages.
    Main,
    /// Three messages, identities in clear.
    Aggressive,
}

impl Mode {
    pub(super) const fn exchange(self) -> ExchangeType {
        match self {
            Self::Main => ExchangeType::MAIN,
            Self::Aggressive => ExchangeType::AGGRESSIVE,
        }
    }
}

/// Holds the two ends that messages travel between.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Path {
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub peer: SocketAddr,
    /// Whether the non-ESP marker stands in front of each message (port 4500).
    pub marker: bool,
}

/// Holds an established SA.
#[derive(Debug)]
pub struct IkeSa {
    pub(super) id: SaId,
    pub(super) role: Role,
    pub(super) mode: Mode,
    pub(super) path: Path,
    pub(super) cookies: (Cookie, Cookie),
    pub(super) suite: Suite,
    pub(super) doi: u32,
    pub(super) skeyid_a: Secret,
    /// The phase 1 chain; its IV is LAST and never moves again.
    pub(super) last: Cbc,
    pub(super) peer_identity: Identification,
    pub(super) peer_subject: Option<Vec<u8>>,
    pub(super) peer_vendor_ids: Vec<Vec<u8>>,
    pub(super) rule: usize,
    pub(super) established: Instant,
    pub(super) expires: Instant,
    pub(super) nat: (bool, bool),
    pub(super) peer_dpd: bool,
    pub(super) peer_fragmentation: bool,
    pub(super) fragments_seen: bool,
    pub(super) version: u8,
    pub(super) flags: u8,
    pub(super) length_unpadded: bool,
    pub(super) used: UsedIds,
    /// Digest of the peer's last phase 1 message, with the answer to give again.
    pub(super) kept: Option<Kept>,
    /// Earlier answers, for the defect that gives them on a port that was left.
    pub(super) stale: Vec<Kept>,
    pub(super) heard: Instant,
    pub(super) dpd: Dpd,
}

/// Holds a stored answer for duplicates of the request that it answered.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) digest: [u8; 32],
    pub(super) answer: Vec<u8>,
    pub(super) path: Path,
    pub(super) times: u32,
}

/// Tracks both directions of dead peer detection.
#[derive(Debug, Default)]
pub(super) struct Dpd {
    /// The question that is open: its number and how many times it was asked.
    pub(super) asked: Option<(u32, u32)>,
    pub(super) next: u32,
    pub(super) peer_last: Option<u32>,
}

/// Remembers message ids, the newest ones when there are too many.
#[derive(Debug, Default)]
pub(super) struct UsedIds {
    set: BTreeSet<u32>,
    order: VecDeque<u32>,
}

impl UsedIds {
    pub(super) fn contains(&self, id: u32) -> bool {
        self.set.contains(&id)
    }

    /// Records an id; false if it is there already.
    pub(super) fn claim(&mut self, id: u32, limit: usize) -> bool {
        if !self.set.insert(id) {
            return false;
        }
        self.order.push_back(id);
        while self.order.len() > limit.max(1) {
            if let Some(oldest) = self.order.pop_front() {
                self.set.remove(&oldest);
            }
        }
        true
    }
}

impl IkeSa {
    /// Gives its name.
    #[must_use]
    pub const fn id(&self) -> SaId {
        self.id
    }

    /// Says which side of phase 1 we were.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Says which exchange it came out of.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Gives the two ends.
    #[must_use]
    pub const fn path(&self) -> Path {
        self.path
    }

    /// Gives both cookies, initiator first.
    #[must_use]
    pub fn cookies(&self) -> [u8; 16] {
        join(self.cookies)
    }

    /// Gives the initiator cookie.
    #[must_use]
    pub const fn initiator_cookie(&self) -> Cookie {
        self.cookies.0
    }

    /// Gives the responder cookie.
    #[must_use]
    pub const fn responder_cookie(&self) -> Cookie {
        self.cookies.1
    }

    /// Gives the negotiated suite.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Gives the negotiated hash, and with it the prf.
    #[must_use]
    pub const fn hash(&self) -> HashAlg {
        self.suite.hash
    }

    /// Gives the negotiated cipher.
    #[must_use]
    pub const fn cipher(&self) -> CipherAlg {
        self.suite.cipher
    }

    /// Gives the key of every HASH(n).
    #[must_use]
    pub const fn skeyid_a(&self) -> &Secret {
        &self.skeyid_a
    }

    /// Gives LAST, the last cipher block of phase 1.
    #[must_use]
    pub fn last_block(&self) -> &[u8] {
        self.last.iv()
    }

    /// Gives the DOI of the phase 1 SA payload.
    #[must_use]
    pub const fn doi(&self) -> u32 {
        self.doi
    }

    /// Gives the authenticated identity of the peer.
    #[must_use]
    pub const fn peer_identity(&self) -> &Identification {
        &self.peer_identity
    }

    /// Gives the subject of the peer's certificate as a DER name.
    #[must_use]
    pub fn peer_subject(&self) -> Option<&[u8]> {
        self.peer_subject.as_deref()
    }

    /// Gives the vendor IDs of the peer. They are not authenticated.
    #[must_use]
    pub fn peer_vendor_ids(&self) -> &[Vec<u8>] {
        &self.peer_vendor_ids
    }

    /// Gives the index of the rule that let the peer in.
    #[must_use]
    pub const fn rule(&self) -> usize {
        self.rule
    }

    /// Says since when the SA is up.
    #[must_use]
    pub const fn established_at(&self) -> Instant {
        self.established
    }

    /// Says until when the SA may be used.
    #[must_use]
    pub const fn expires_at(&self) -> Instant {
        self.expires
    }

    /// Tells whether NAT detection found us behind a NAT.
    #[must_use]
    pub const fn behind_nat(&self) -> bool {
        self.nat.0
    }

    /// Tells whether NAT detection found the peer behind a NAT.
    #[must_use]
    pub const fn peer_behind_nat(&self) -> bool {
        self.nat.1
    }

    /// Tells whether the peer answers dead peer detection.
    #[must_use]
    pub const fn peer_dpd(&self) -> bool {
        self.peer_dpd
    }

    /// Starts the IV chain of an exchange: the IV is hash(LAST | message id).
    #[must_use]
    pub fn exchange_cbc(&self, message_id: u32) -> Cbc {
        // REQ IKE-KEY-009
        let iv = exchange_iv(self.hash(), self.cipher(), self.last.iv(), message_id);
        // Key and IV have the lengths of the cipher by construction; the chain of phase 1 is no worse a fallback
        // than a panic, and the peer cannot bring it about.
        Cbc::new(self.cipher(), self.last.key().clone(), iv).unwrap_or_else(|_| self.last.clone())
    }

    /// Encrypts payloads and puts the header of this SA in front; the chain moves on.
    #[must_use]
    pub fn seal(&self, exchange: ExchangeType, message_id: u32, cbc: &mut Cbc, built: &Built) -> Vec<u8> {
        let plain = built.octets.len();
        let sealed = cbc.encrypt(built.octets.clone());
        // REQ IKE-HDR-016: the length counts the padding.
        let counted = if self.length_unpadded { plain } else { sealed.len() };
        let header = Header {
            // REQ IKE-HDR-012: the initiator of phase 1 stays first whoever sends.
            initiator_cookie: self.cookies.0,
            responder_cookie: self.cookies.1,
            next: built.first,
            version: self.version,
            exchange,
            flags: Flags(Flags::ENCRYPTION.0 | self.flags),
            message_id,
            length: u32::try_from(Header::LEN.saturating_add(counted)).unwrap_or(u32::MAX),
        };
        let mut message = Vec::with_capacity(Header::LEN + sealed.len());
        message.extend_from_slice(&header.encode());
        message.extend_from_slice(&sealed);
        message
    }

    /// Tells whether both sides may fragment.
    pub(super) const fn may_fragment(&self) -> bool {
        self.peer_fragmentation
    }
}

/// Joins two cookies, initiator first.
pub(super) fn join(cookies: (Cookie, Cookie)) -> [u8; 16] {
    let mut both = [0; 16];
    for (to, from) in both.iter_mut().zip(cookies.0.iter().chain(&cookies.1)) {
        *to = *from;
    }
    both
}

/// Gives the version octet of our own messages.
pub(super) fn version(behaviour: &Behaviour) -> u8 {
    // REQ IKE-HDR-003
    if behaviour.has(Defect::IkeEmitsMinorVersion) { 0x11 } else { Header::VERSION }
}

/// Gives the flags that a defect adds to our own messages.
pub(super) fn flags(behaviour: &Behaviour) -> u8 {
    // REQ IKE-HDR-007
    if behaviour.has(Defect::IkeEmitsReservedFlags) { 0x10 } else { 0 }
}

/// Writes an identity for people: `ipv4:10.0.0.1`, `fqdn:gm1.example`, `dn:3034…`.
pub(super) fn describe(identity: &Identification) -> String {
    let name = identity.id_type.name().unwrap_or("id");
    if let Some(ip) = identity.ip() {
        return format!("{name}:{ip}");
    }
    match std::str::from_utf8(&identity.data) {
        Ok(text) if text.chars().all(|c| c.is_ascii_graphic()) => format!("{name}:{text}"),
        _ => format!("{name}:{}", hex::encode(&identity.data)),
    }
}
