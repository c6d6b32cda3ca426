//! What phase 1 tells the layer above.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use hallmark_core::Code;
use serde::Serialize;

use super::sa::{Role, SaId};

/// Says whether a rejection cost state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Everything is as it was before the message.
    StateKept,
    /// The exchange or SA is gone.
    StateLost,
}

/// Says what happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum IkeEvent {
    /// Input was refused.
    Rejected {
        /// Why.
        #[serde(serialize_with = "text")]
        code: Code,
        /// Who sent it.
        peer: SocketAddr,
        /// More on it, for a person.
        detail: Cow<'static, str>,
        /// What it cost.
        effect: Effect,
    },
    /// A phase 1 exchange began.
    Started {
        /// Names it, and later the SA.
        sa: SaId,
        /// The other end.
        peer: SocketAddr,
        /// Our role.
        role: Role,
    },
    /// The SA is up: the peer is authenticated.
    Established {
        /// Names it.
        sa: SaId,
        /// The other end.
        peer: SocketAddr,
        /// Our role.
        role: Role,
        /// The authenticated identity as text.
        identity: String,
    },
    /// An exchange ended without an SA.
    Failed {
        /// Names it.
        sa: SaId,
        /// The other end.
        peer: SocketAddr,
        /// Why.
        #[serde(serialize_with = "text")]
        code: Code,
    },
    /// The SA is gone because one side deleted it.
    Deleted {
        /// Names it.
        sa: SaId,
        /// The other end.
        peer: SocketAddr,
        /// Whether the peer did it.
        by_peer: bool,
    },
    /// The SA is gone because its life is over.
    Expired {
        /// Names it.
        sa: SaId,
        /// The other end.
        peer: SocketAddr,
    },
    /// The SA is gone because the peer does not answer.
    PeerDead {
        /// Names it.
        sa: SaId,
        /// The other end.
        peer: SocketAddr,
    },
    /// The SA is gone because its authenticated peer made first contact again.
    Replaced {
        /// Names it.
        sa: SaId,
        /// The SA that took its place.
        by: SaId,
    },
    /// The peer's address or port changed.
    Moved {
        /// Names the SA.
        sa: SaId,
        /// Before.
        from: SocketAddr,
        /// After.
        to: SocketAddr,
    },
    /// An authenticated notify that phase 1 does not handle itself.
    Notified {
        /// Under which SA.
        sa: SaId,
        /// Its number.
        kind: u16,
        /// Its data.
        data: Vec<u8>,
    },
    /// An authenticated Delete of something other than an ISAKMP SA.
    PeerDelete {
        /// Under which SA.
        sa: SaId,
        /// Its protocol.
        protocol: u8,
        /// What is deleted.
        spis: Vec<Vec<u8>>,
    },
    /// A notify in clear: a hint that changes nothing.
    Hint {
        /// Who sent it.
        peer: SocketAddr,
        /// Its number.
        kind: u16,
    },
    /// A duplicate request was answered from store.
    AnsweredAgain {
        /// The exchange or SA.
        sa: SaId,
        /// The other end.
        peer: SocketAddr,
    },
    /// A message was sent again because no answer came.
    Retransmitted {
        /// The exchange.
        sa: SaId,
        /// The other end.
        peer: SocketAddr,
        /// How many times it was sent by now.
        sent: u32,
    },
    /// Keys for evidence; only when the configuration asks for them.
    KeyMaterial {
        /// Initiator cookie.
        initiator_cookie: [u8; 8],
        /// Responder cookie.
        responder_cookie: [u8; 8],
        /// Keys the hashes of later exchanges.
        skeyid_a: Vec<u8>,
        /// Encrypts this SA.
        cipher_key: Vec<u8>,
        /// Name of the cipher.
        cipher: &'static str,
    },
}

impl IkeEvent {
    /// Gives the rejection code, when there is one.
    #[must_use]
    pub const fn code(&self) -> Option<Code> {
        match self {
            Self::Rejected { code, .. } | Self::Failed { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl fmt::Display for IkeEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected { code, peer, detail, effect } => {
                write!(f, "refused {code} from {peer}")?;
                if !detail.is_empty() {
                    write!(f, " ({detail})")?;
                }
                if *effect == Effect::StateLost { f.write_str(", exchange lost") } else { Ok(()) }
            }
            Self::Started { sa, peer, role } => write!(f, "{sa} with {peer} started as {role}"),
            Self::Established { sa, peer, role, identity } => {
                write!(f, "{sa} with {peer} ({identity}) is up as {role}")
            }
            Self::Failed { sa, peer, code } => write!(f, "{sa} with {peer} failed: {code}"),
            Self::Deleted { sa, peer, by_peer: true } => write!(f, "{sa} was deleted by {peer}"),
            Self::Deleted { sa, peer, by_peer: false } => write!(f, "{sa} with {peer} deleted"),
            Self::Expired { sa, peer } => write!(f, "{sa} with {peer} expired"),
            Self::PeerDead { sa, peer } => write!(f, "{sa}: {peer} does not answer"),
            Self::Replaced { sa, by } => write!(f, "{sa} is replaced by {by} after first contact"),
            Self::Moved { sa, from, to } => write!(f, "{sa} moved from {from} to {to}"),
            Self::Notified { sa, kind, data } => write!(f, "{sa} notified {kind} ({} octets)", data.len()),
            Self::PeerDelete { sa, protocol, spis } => {
                write!(f, "{sa} deletes {} SPIs of protocol {protocol}", spis.len())
            }
            Self::Hint { peer, kind } => write!(f, "{peer} hints at {kind} in clear"),
            Self::AnsweredAgain { sa, peer } => write!(f, "{sa} with {peer} answered a duplicate"),
            Self::Retransmitted { sa, peer, sent } => write!(f, "{sa} with {peer} sent again (number {sent})"),
            Self::KeyMaterial { .. } => f.write_str("key material exported"),
        }
    }
}

fn text<S: serde::Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.as_str())
}
