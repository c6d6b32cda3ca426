//! What happens, for operators, logs and evidence.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use hallmark_core::{Code, Instant};
use serde::{Serialize, Serializer};

/// Is one thing that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// When, on the monotonic clock, in nanoseconds.
    #[serde(serialize_with = "nanoseconds")]
    pub at: Instant,
    /// The other side, when there is one.
    pub peer: Option<SocketAddr>,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// Tells what became of the state when input was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// Nothing changed.
    StateKept,
    /// An exchange or SA was given up.
    StateLost,
}

/// Says what happened. The names are stable: logs and reports carry them in snake case.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// Input was refused.
    Rejected {
        /// Why.
        #[serde(serialize_with = "code_text")]
        code: Code,
        /// More about it.
        detail: Cow<'static, str>,
        /// What became of the state.
        effect: Kept,
    },
    /// A phase 1 exchange began.
    Phase1Started {
        /// `initiator` or `responder`.
        role: &'static str,
    },
    /// Phase 1 authenticated the peer.
    Phase1Established {
        /// `initiator` or `responder`.
        role: &'static str,
        /// The authenticated identity.
        identity: String,
    },
    /// A phase 1 exchange ended without success.
    Phase1Failed {
        /// Why.
        #[serde(serialize_with = "code_text")]
        code: Code,
    },
    /// A phase 1 SA is gone.
    Phase1Closed {
        /// `deleted-by-peer`, `deleted`, `expired`, `peer-dead` or `replaced`.
        reason: &'static str,
    },
    /// The peer moved to another address or port.
    PeerMoved {
        /// Its earlier address.
        from: SocketAddr,
    },
    /// The peer sent an authenticated notification.
    Notified {
        /// The notify type.
        kind: u16,
    },
    /// The peer sent an unauthenticated notification; nothing changes.
    Hint {
        /// The notify type.
        kind: u16,
    },
    /// A member registered with the key server.
    MemberRegistered {
        /// The group.
        group: u32,
        /// The phase 1 identity.
        identity: String,
        /// The announced version.
        version: Option<String>,
        /// The sender ids that it got.
        sids: Vec<u32>,
        /// It was registered before.
        again: bool,
    },
    /// The key server gave up a member.
    MemberRemoved {
        /// The group.
        group: u32,
        /// The phase 1 identity.
        identity: String,
        /// `missed-rekeys`, `command`, `cleared` or `policy-refused`.
        reason: &'static str,
    },
    /// The key server made a KEK.
    KekCreated {
        /// The group.
        group: u32,
        /// The KEK SPI in hex.
        kek_spi: String,
    },
    /// The key server made a TEK.
    TekCreated {
        /// The group.
        group: u32,
        /// The SPI.
        spi: u32,
    },
    /// The key server sent a PUSH, or one more copy of it.
    PushSent {
        /// The group.
        group: u32,
        /// The SPI of the KEK that protects it, in hex.
        kek_spi: String,
        /// Its sequence number.
        sequence: u32,
        /// What it carries: `tek`, `kek`, `tek+kek`, `delete` or `replace`.
        content: &'static str,
        /// 0 for the first transmission.
        copy: u32,
        /// Members that it goes to; 0 for multicast.
        members: usize,
    },
    /// An acknowledgement was credited.
    AckReceived {
        /// The group.
        group: u32,
        /// The member.
        identity: String,
        /// The sequence number.
        sequence: u32,
        /// `rfc8263` or `cisco`.
        form: &'static str,
        /// The reading of the length in the key derivation that verified, in bits.
        length_reading: Option<u16>,
    },
    /// A member did not acknowledge a rekey.
    AckMissing {
        /// The group.
        group: u32,
        /// The member.
        identity: String,
        /// The sequence number.
        sequence: u32,
        /// Scheduled rekeys without acknowledgement in a row.
        missed: u32,
    },
    /// A group has a Rekey SA but no signing key: registration works, no PUSH is ever sent.
    NoSigningKey {
        /// The group.
        group: u32,
    },
    /// The sender ids of a group are used up; its SAs are replaced.
    SidsExhausted {
        /// The group.
        group: u32,
    },
    /// The policy of a group was changed; members learn of it with the next rekey.
    PolicyChanged {
        /// The group.
        group: u32,
    },
    /// A group changed between unicast and multicast rekeys.
    TransportChanged {
        /// The group.
        group: u32,
        /// `unicast` or `multicast`.
        transport: &'static str,
    },
    /// A group member began to register.
    RegistrationStarted {
        /// The key server.
        server: SocketAddr,
        /// `start`, `command`, `expiry`, `deleted`, `no-sender-id`, `exhausted`, `recovery` or `retry`.
        reason: &'static str,
    },
    /// A group member registered.
    Registered {
        /// The group.
        group: u32,
        /// The KEK SPI in hex.
        kek_spi: Option<String>,
        /// The SPIs of the TEKs.
        teks: Vec<u32>,
        /// The sender ids.
        sids: Vec<u32>,
        /// The sequence number that PUSH messages must exceed.
        sequence: Option<u32>,
    },
    /// A registration failed with one server.
    RegistrationFailed {
        /// The key server.
        server: SocketAddr,
        /// Why.
        #[serde(serialize_with = "code_text")]
        code: Code,
    },
    /// A group member accepted a PUSH.
    PushAccepted {
        /// The SPI of the KEK that protected it, in hex.
        kek_spi: String,
        /// Its sequence number.
        sequence: u32,
        /// TEKs that it brought.
        teks: Vec<u32>,
        /// The SPI of the KEK that it brought, in hex.
        new_kek: Option<String>,
        /// TEKs that it deleted.
        deleted: Vec<u32>,
    },
    /// A group member saw the latest PUSH again.
    PushRepeated {
        /// Its sequence number.
        sequence: u32,
    },
    /// A group member acknowledged a PUSH.
    AckSent {
        /// The sequence number.
        sequence: u32,
        /// `rfc8263` or `cisco`.
        form: &'static str,
    },
    /// A group member installed a Data-Security SA.
    SaInstalled {
        /// The SPI.
        spi: u32,
        /// The transform.
        transform: String,
        /// Remaining lifetime.
        lifetime_secs: u64,
    },
    /// A group member removed a Data-Security SA.
    SaRemoved {
        /// The SPI.
        spi: u32,
        /// `expired`, `deleted`, `deactivated` or `replaced`.
        reason: &'static str,
    },
    /// A group member installed a Rekey SA.
    KekInstalled {
        /// The KEK SPI in hex.
        kek_spi: String,
    },
    /// A group member lost its Rekey SA.
    KekRemoved {
        /// The KEK SPI in hex.
        kek_spi: String,
        /// `expired`, `deleted` or `replaced`.
        reason: &'static str,
    },
    /// The pseudotime of a PUSH is far from the own one; it was taken over.
    PseudoTimeLarge {
        /// The group.
        group: u32,
        /// The pseudotime of the key server, in seconds.
        server_secs: f64,
        /// The own one.
        own_secs: f64,
    },
    /// The pseudotime of a PUSH is older than the skew allows; the PUSH was refused.
    PseudoTimeTooOld {
        /// The group.
        group: u32,
        /// The pseudotime of the key server, in seconds.
        server_secs: f64,
        /// The own one.
        own_secs: f64,
        /// The skew.
        allowed_secs: f64,
    },
    /// An error of the data plane started a registration.
    RecoveryRegistration {
        /// The group.
        group: u32,
        /// The SPI that the error is about.
        spi: u32,
    },
    /// An error of the data plane starts a registration later, because one was started lately.
    RecoveryPostponed {
        /// The group.
        group: u32,
        /// The SPI that the error is about.
        spi: u32,
        /// Seconds until then.
        delay_secs: u64,
    },
    /// The socket of a group member must join a multicast group.
    MulticastJoin {
        /// The group address.
        group_address: IpAddr,
        /// The UDP port of the group; 0 when the policy names none.
        port: u16,
        /// The address of the interface.
        interface: Option<IpAddr>,
    },
    /// The socket of a group member may leave a multicast group.
    MulticastLeave {
        /// The group address.
        group_address: IpAddr,
    },
    /// Keys of a phase 1 SA (only with [`crate::config::TestConfig::export_keys`]).
    KeyMaterial {
        /// Initiator cookie in hex.
        initiator_cookie: String,
        /// Responder cookie in hex.
        responder_cookie: String,
        /// SKEYID_a in hex.
        skeyid_a: String,
        /// Cipher key in hex.
        cipher_key: String,
        /// Name of the cipher.
        cipher: &'static str,
    },
    /// Keys of a KEK (only with [`crate::config::TestConfig::export_keys`]).
    KekMaterial {
        /// The KEK SPI in hex.
        kek_spi: String,
        /// IV and key in hex.
        iv_and_key: String,
    },
    /// Keys of a TEK (only with [`crate::config::TestConfig::export_keys`]).
    TekMaterial {
        /// The SPI.
        spi: u32,
        /// Encryption key in hex.
        encryption_key: String,
        /// Integrity key in hex.
        integrity_key: String,
    },
}

impl EventKind {
    /// Gives the rejection code, when the event has one.
    #[must_use]
    pub const fn code(&self) -> Option<Code> {
        match self {
            Self::Rejected { code, .. } | Self::Phase1Failed { code } | Self::RegistrationFailed { code, .. } => {
                Some(*code)
            }
            _ => None,
        }
    }

    /// Tells whether the event carries secrets.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        matches!(self, Self::KeyMaterial { .. } | Self::KekMaterial { .. } | Self::TekMaterial { .. })
    }

    /// Gives the level for a log: `debug` for what a peer can cause at will, `warn` for what an operator should look at.
    #[must_use]
    pub const fn level(&self) -> &'static str {
        match self {
            Self::Rejected { .. } | Self::Hint { .. } | Self::Phase1Started { .. } => "debug",
            _ if self.is_warning() => "warn",
            _ => "info",
        }
    }

    /// Tells whether an operator should look at it.
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        matches!(
            self,
            Self::Rejected { .. }
                | Self::Phase1Failed { .. }
                | Self::RegistrationFailed { .. }
                | Self::MemberRemoved { .. }
                | Self::AckMissing { .. }
                | Self::NoSigningKey { .. }
                | Self::SidsExhausted { .. }
                | Self::PseudoTimeLarge { .. }
                | Self::PseudoTimeTooOld { .. }
                | Self::RecoveryRegistration { .. }
                | Self::RecoveryPostponed { .. }
        )
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(peer) = self.peer {
            write!(f, "{peer}: ")?;
        }
        fmt::Display::fmt(&self.kind, f)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected { code, detail, effect } => {
                write!(f, "refused: {code}")?;
                if !detail.is_empty() {
                    write!(f, " ({detail})")?;
                }
                if *effect == Kept::StateLost { f.write_str(", exchange given up") } else { Ok(()) }
            }
            Self::Phase1Started { role } => write!(f, "phase 1 started as {role}"),
            Self::Phase1Established { role, identity } => write!(f, "phase 1 established as {role} with {identity}"),
            Self::Phase1Failed { code } => write!(f, "phase 1 failed: {code}"),
            Self::Phase1Closed { reason } => write!(f, "phase 1 closed: {reason}"),
            Self::PeerMoved { from } => write!(f, "peer moved here from {from}"),
            Self::Notified { kind } => write!(f, "notification {kind}"),
            Self::Hint { kind } => write!(f, "unauthenticated notification {kind}"),
            Self::MemberRegistered { group, identity, version, sids, again } => {
                let again = if *again { "again " } else { "" };
                write!(f, "group {group}: {identity} registered {again}")?;
                write!(f, "(version {}, sender ids {sids:?})", version.as_deref().unwrap_or("unknown"))
            }
            Self::MemberRemoved { group, identity, reason } => write!(f, "group {group}: {identity} removed: {reason}"),
            Self::KekCreated { group, kek_spi } => write!(f, "group {group}: new KEK {kek_spi}"),
            Self::TekCreated { group, spi } => write!(f, "group {group}: new TEK {spi:#010x}"),
            Self::PushSent { group, kek_spi, sequence, content, copy, members } => write!(
                f,
                "group {group}: PUSH {sequence} ({content}) sent under KEK {kek_spi}, copy {copy}, to {members} members"
            ),
            Self::AckReceived { group, identity, sequence, form, .. } => {
                write!(f, "group {group}: {identity} acknowledged PUSH {sequence} ({form})")
            }
            Self::AckMissing { group, identity, sequence, missed } => {
                write!(f, "group {group}: {identity} did not acknowledge PUSH {sequence}, missed {missed} in a row")
            }
            Self::NoSigningKey { group } => {
                write!(f, "group {group}: no signing key, rekeys will not be sent; set signing_key")
            }
            Self::SidsExhausted { group } => write!(f, "group {group}: sender ids used up, all SAs are replaced"),
            Self::PolicyChanged { group } => {
                write!(f, "group {group}: policy changed, members get it with the next rekey")
            }
            Self::TransportChanged { group, transport } => write!(f, "group {group}: rekeys change to {transport}"),
            Self::RegistrationStarted { server, reason } => write!(f, "registering with {server} ({reason})"),
            Self::Registered { group, kek_spi, teks, sids, sequence } => write!(
                f,
                "group {group}: registered, KEK {}, TEKs {teks:x?}, sender ids {sids:?}, sequence {sequence:?}",
                kek_spi.as_deref().unwrap_or("none")
            ),
            Self::RegistrationFailed { server, code } => write!(f, "registration with {server} failed: {code}"),
            Self::PushAccepted { kek_spi, sequence, teks, new_kek, deleted } => {
                write!(f, "PUSH {sequence} under KEK {kek_spi} accepted: TEKs {teks:x?}, deleted {deleted:x?}")?;
                new_kek.as_ref().map_or(Ok(()), |spi| write!(f, ", new KEK {spi}"))
            }
            Self::PushRepeated { sequence } => write!(f, "PUSH {sequence} seen again"),
            Self::AckSent { sequence, form } => write!(f, "PUSH {sequence} acknowledged ({form})"),
            Self::SaInstalled { spi, transform, lifetime_secs } => {
                write!(f, "SA {spi:#010x} installed: {transform}, {lifetime_secs} s left")
            }
            Self::SaRemoved { spi, reason } => write!(f, "SA {spi:#010x} removed: {reason}"),
            Self::KekInstalled { kek_spi } => write!(f, "KEK {kek_spi} installed"),
            Self::KekRemoved { kek_spi, reason } => write!(f, "KEK {kek_spi} removed: {reason}"),
            // The mnemonics that operators know; getvpn section 7.2.
            Self::PseudoTimeLarge { group, server_secs, own_secs } => write!(
                f,
                "%GDOI-3-PSEUDO_TIME_LARGE: group {group}: pseudotime {server_secs:.2} of the key server taken over, \
                 my_pseudotime was {own_secs:.2}"
            ),
            Self::PseudoTimeTooOld { group, server_secs, own_secs, allowed_secs } => write!(
                f,
                "%GDOI-3-PSEUDO_TIME_TOO_OLD: group {group}: my_pseudotime {own_secs:.2}, peer_pseudotime \
                 {server_secs:.2}, allowed skew {allowed_secs:.0}"
            ),
            Self::RecoveryRegistration { group, spi } => {
                write!(f, "%GDOI-4-GM_RECOVERY_REGISTRATION: group {group}: data plane error for SPI {spi:#010x}")
            }
            Self::RecoveryPostponed { group, spi, delay_secs } => write!(
                f,
                "%GDOI-4-GM_RECOVERY_REGISTRATION_POSTPONED: group {group}: data plane error for SPI {spi:#010x}, \
                 registration in {delay_secs} s"
            ),
            Self::MulticastJoin { group_address, .. } => write!(f, "joins {group_address}"),
            Self::MulticastLeave { group_address } => write!(f, "leaves {group_address}"),
            // Secrets never reach a log line; the structured form carries them for evidence.
            Self::KeyMaterial { initiator_cookie, .. } => write!(f, "keys of phase 1 SA {initiator_cookie} exported"),
            Self::KekMaterial { kek_spi, .. } => write!(f, "keys of KEK {kek_spi} exported"),
            Self::TekMaterial { spi, .. } => write!(f, "keys of TEK {spi:#010x} exported"),
        }
    }
}

fn code_text<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.as_str())
}

fn nanoseconds<S: Serializer>(at: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(at.0)
}
