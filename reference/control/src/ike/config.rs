//! What phase 1 has to be told: suites, credentials, peers, timers.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hallmark_core::Duration;
use hallmark_crypto::cert::TrustStore;
use hallmark_crypto::{CipherAlg, Group, HashAlg, KeyKind, Secret, SigningKey, VerifyingKey};
use hallmark_wire::gdoi;
use hallmark_wire::isakmp::Identification;

use crate::behaviour::Behaviour;

/// Names how the peers of phase 1 authenticate each other (class 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AuthMethod {
    /// Pre-shared key.
    Psk,
    /// RSA signatures.
    Rsa,
    /// ECDSA with SHA-256 on P-256.
    Ecdsa256,
    /// ECDSA with SHA-384 on P-384.
    Ecdsa384,
    /// ECDSA with SHA-512 on P-521.
    Ecdsa521,
}

impl AuthMethod {
    /// Every method.
    pub const ALL: [Self; 5] = [Self::Psk, Self::Rsa, Self::Ecdsa256, Self::Ecdsa384, Self::Ecdsa521];

    /// Reads an Authentication Method value (class 3).
    #[must_use]
    pub const fn from_ike(value: u16) -> Option<Self> {
        Some(match value {
            1 => Self::Psk,
            3 => Self::Rsa,
            9 => Self::Ecdsa256,
            10 => Self::Ecdsa384,
            11 => Self::Ecdsa521,
            _ => return None,
        })
    }

    /// Gives the Authentication Method value (class 3).
    #[must_use]
    pub const fn to_ike(self) -> u16 {
        match self {
            Self::Psk => 1,
            Self::Rsa => 3,
            Self::Ecdsa256 => 9,
            Self::Ecdsa384 => 10,
            Self::Ecdsa521 => 11,
        }
    }

    /// Gives the name that configuration files use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Psk => "psk",
            Self::Rsa => "rsa",
            Self::Ecdsa256 => "ecdsa256",
            Self::Ecdsa384 => "ecdsa384",
            Self::Ecdsa521 => "ecdsa521",
        }
    }

    /// Tells whether the method signs HASH_I and HASH_R.
    #[must_use]
    pub const fn signs(self) -> bool {
        !matches!(self, Self::Psk)
    }

    /// Gives the hash of HASH_I and HASH_R: ECDSA methods bring their own (IKE-AUTH-005).
    #[must_use]
    pub const fn hash_of_auth(self, negotiated: HashAlg) -> HashAlg {
        match self {
            Self::Psk | Self::Rsa => negotiated,
            Self::Ecdsa256 => HashAlg::Sha256,
            Self::Ecdsa384 => HashAlg::Sha384,
            Self::Ecdsa521 => HashAlg::Sha512,
        }
    }

    /// Tells whether a key is of the kind that the method uses (IKE-AUTH-006).
    #[must_use]
    pub fn takes(self, kind: KeyKind) -> bool {
        self.key_kind() == Some(kind)
    }

    const fn key_kind(self) -> Option<KeyKind> {
        Some(match self {
            Self::Psk => return None,
            Self::Rsa => KeyKind::Rsa,
            Self::Ecdsa256 => KeyKind::Ecdsa256,
            Self::Ecdsa384 => KeyKind::Ecdsa384,
            Self::Ecdsa521 => KeyKind::Ecdsa521,
        })
    }
}

/// Names one combination of algorithms for phase 1, as text `cipher-hash-group-auth`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Suite {
    /// Encrypts messages 5 and 6 and every later exchange.
    pub cipher: CipherAlg,
    /// Hash, and with it the prf.
    pub hash: HashAlg,
    /// Diffie-Hellman group.
    pub group: Group,
    /// Authentication method.
    pub auth: AuthMethod,
}

impl Suite {
    /// The suite that is used when nothing is configured.
    pub const DEFAULT: Self =
        Self { cipher: CipherAlg::Aes128, hash: HashAlg::Sha256, group: Group::Modp2048, auth: AuthMethod::Psk };

    /// Lists the names that `allow_weak` must hold for the suite to be usable.
    #[must_use]
    pub fn weak(&self) -> Vec<&'static str> {
        let mut weak = Vec::new();
        if matches!(self.cipher, CipherAlg::Des | CipherAlg::TripleDes) {
            weak.push(self.cipher.name());
        }
        // HMAC-SHA1 has no known weakness and every implementation has it (RFC 4109).
        if self.hash == HashAlg::Md5 {
            weak.push(self.hash.name());
        }
        if self.group.is_weak() {
            weak.push(self.group.name());
        }
        weak
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{}", self.cipher.name(), self.hash.name(), self.group.name(), self.auth.name())
    }
}

impl FromStr for Suite {
    type Err = IkeConfigError;

    fn from_str(text: &str) -> Result<Self, IkeConfigError> {
        let unknown = || IkeConfigError::Suite { text: text.to_owned() };
        let mut parts = text.split('-');
        let (Some(cipher), Some(hash), Some(group), Some(auth), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(unknown());
        };
        Ok(Self {
            cipher: CipherAlg::from_name(cipher).ok_or_else(unknown)?,
            hash: HashAlg::from_name(hash).ok_or_else(unknown)?,
            group: Group::ALL.into_iter().find(|g| g.name() == group).ok_or_else(unknown)?,
            auth: AuthMethod::ALL.into_iter().find(|a| a.name() == auth).ok_or_else(unknown)?,
        })
    }
}

/// Says when an unanswered message is sent again: exponential back-off, then the exchange is given up.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Retransmit {
    /// Wait after the first transmission.
    pub initial: Duration,
    /// Each wait is this many times the one before.
    pub factor: f64,
    /// No wait is longer.
    pub cap: Duration,
    /// Transmissions of one message, the first included.
    pub tries: u32,
}

impl Retransmit {
    /// Gives the wait after transmission number `sent` (from 1).
    #[must_use]
    pub fn wait(&self, sent: u32) -> Duration {
        let exponent = i32::try_from(sent.saturating_sub(1)).unwrap_or(i32::MAX).min(64);
        let secs = self.initial.as_secs_f64() * self.factor.max(1.0).powi(exponent);
        if secs.is_finite() && secs < self.cap.as_secs_f64() { Duration::from_secs_f64(secs) } else { self.cap }
    }
}

impl Default for Retransmit {
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), factor: 2.0, cap: Duration::from_secs(16), tries: 5 }
    }
}

/// Holds a key with the certificates that show whose it is.
#[derive(Clone)]
pub struct Credentials {
    /// DER certificates, our own first.
    pub chain: Vec<Vec<u8>>,
    /// The private key of the first certificate.
    pub key: SigningKey,
}

/// Lets a range of addresses talk to us, and says how they prove who they are.
#[derive(Clone)]
pub struct PeerRule {
    /// First address of the range.
    pub network: IpAddr,
    /// Leading bits that an address shares with `network`.
    pub prefix: u8,
    /// Pre-shared key.
    pub psk: Option<Secret>,
    /// Acceptable phase 1 identities (type and data count); empty: the identity must be the source address.
    pub identities: Vec<Identification>,
    /// Offers and accepts phase 1 under the IPsec DOI (1, situation 1) as well.
    pub doi1: bool,
    /// Reads AES without a key length as 128 bits.
    pub aes_no_key_length: bool,
    /// Accepts identities with protocol 17 and port 0, 848 or 4500.
    pub id_port_848: bool,
}

impl PeerRule {
    /// Makes the rule for one address with a pre-shared key.
    #[must_use]
    pub const fn psk(address: IpAddr, psk: Secret) -> Self {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        Self {
            network: address,
            prefix,
            psk: Some(psk),
            identities: Vec::new(),
            doi1: false,
            aes_no_key_length: false,
            id_port_848: false,
        }
    }

    /// Tells whether an address is in the range.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        let (mine, theirs, width) = match (self.network, address) {
            (IpAddr::V4(mine), IpAddr::V4(theirs)) => (u128::from(mine.to_bits()), u128::from(theirs.to_bits()), 32),
            (IpAddr::V6(mine), IpAddr::V6(theirs)) => (mine.to_bits(), theirs.to_bits(), 128),
            _ => return false,
        };
        let host_bits = u32::from(128_u8.saturating_sub(self.prefix)).saturating_sub(128 - width);
        mine.checked_shr(host_bits).unwrap_or(0) == theirs.checked_shr(host_bits).unwrap_or(0)
    }
}

/// Configures phase 1 for both roles.
#[derive(Clone)]
pub struct IkeConfig {
    /// Answers first messages; a group member does not.
    pub accept: bool,
    /// What we call ourselves; without it the local address.
    pub identity: Option<Identification>,
    /// Acceptable suites in the order of preference.
    pub proposals: Vec<Suite>,
    /// Longest life of an SA, and what is offered.
    pub lifetime: Duration,
    /// Offers and accepts Aggressive Mode.
    pub aggressive: bool,
    /// Asks an idle peer whether it lives, after this much silence.
    pub dpd: Option<Duration>,
    /// Unanswered questions until a peer counts as dead.
    pub dpd_tries: u32,
    /// Offers NAT traversal.
    pub nat_t: bool,
    /// The local port on which messages carry the non-ESP marker, when there is one.
    pub nat_t_port: Option<u16>,
    /// Offers the fragmentation extension.
    pub fragmentation: bool,
    /// Largest IP packet of a fragment; 0 means 576 for IPv4 and 1280 for IPv6.
    pub fragment_octets: usize,
    /// DOI of phase 1: 2, or 1 as a compatibility mode.
    pub doi: u32,
    /// Retransmission.
    pub retransmit: Retransmit,
    /// Our key for signature methods.
    pub credentials: Option<Credentials>,
    /// Whom we trust for signature methods.
    pub trust: Option<TrustStore>,
    /// Refuses certificates that a revocation list names, and those without a list.
    pub crl_check: bool,
    /// Who may talk to us; the longest prefix wins.
    pub peers: Vec<PeerRule>,
    /// Vendor IDs that are sent besides those of the extensions.
    pub vendor_ids: Vec<Vec<u8>>,
    /// Sends INITIAL-CONTACT when no other SA with the peer is known.
    pub initial_contact: bool,
    /// Weak algorithms that may be used all the same.
    pub allow_weak: Vec<String>,
    /// Gives key material events.
    pub export_keys: bool,
    /// Defects and variants that are switched on.
    pub behaviour: Behaviour,
}

impl Default for IkeConfig {
    fn default() -> Self {
        Self {
            accept: false,
            identity: None,
            proposals: vec![Suite::DEFAULT],
            lifetime: Duration::from_secs(86_400),
            aggressive: false,
            dpd: None,
            dpd_tries: 3,
            nat_t: true,
            nat_t_port: None,
            fragmentation: true,
            fragment_octets: 0,
            doi: gdoi::DOI,
            retransmit: Retransmit::default(),
            credentials: None,
            trust: None,
            crl_check: false,
            peers: Vec::new(),
            vendor_ids: Vec::new(),
            initial_contact: true,
            allow_weak: Vec::new(),
            export_keys: false,
            behaviour: Behaviour::conforming(),
        }
    }
}

impl IkeConfig {
    /// Checks that the configuration can work and allows itself every weak algorithm that it uses.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), IkeConfigError> {
        if self.proposals.is_empty() {
            return Err(IkeConfigError::NoSuite);
        }
        for suite in &self.proposals {
            for weak in suite.weak() {
                if !self.allows_weak(weak) {
                    return Err(IkeConfigError::Weak { suite: suite.to_string(), weak });
                }
            }
            if suite.auth.signs() {
                let Some(credentials) = &self.credentials else {
                    return Err(IkeConfigError::NoCredentials { suite: suite.to_string() });
                };
                if !suite.auth.takes(credentials.key.kind()) {
                    return Err(IkeConfigError::KeyKind { suite: suite.to_string() });
                }
                if weak_rsa(&credentials.key.public()) && !self.allows_weak(WEAK_RSA) {
                    return Err(IkeConfigError::Weak { suite: suite.to_string(), weak: WEAK_RSA });
                }
                if self.trust.is_none() {
                    return Err(IkeConfigError::NoTrust { suite: suite.to_string() });
                }
            }
        }
        if !matches!(self.doi, 1 | 2) {
            return Err(IkeConfigError::Doi { doi: self.doi });
        }
        if self.lifetime.is_zero() || self.retransmit.initial.is_zero() || self.retransmit.tries == 0 {
            return Err(IkeConfigError::Zero);
        }
        let groups = |s: &Suite| s.group == self.proposals.first().map_or(s.group, |f| f.group);
        if self.aggressive && !self.accept && !self.proposals.iter().all(groups) {
            return Err(IkeConfigError::AggressiveGroups);
        }
        Ok(())
    }

    /// Tells whether a weak algorithm may be used.
    #[must_use]
    pub fn allows_weak(&self, name: &str) -> bool {
        self.allow_weak.iter().any(|allowed| allowed == name)
    }

    /// Finds the rule for an address: the longest matching prefix.
    #[must_use]
    pub fn rule_for(&self, address: IpAddr) -> Option<usize> {
        let matching = self.peers.iter().enumerate().filter(|(_, rule)| rule.covers(address));
        matching.max_by_key(|(index, rule)| (rule.prefix, std::cmp::Reverse(*index))).map(|(index, _)| index)
    }
}

/// The name that `allow_weak` must hold for RSA keys below 2048 bits (section 3.6).
pub(super) const WEAK_RSA: &str = "rsa1024";

/// Tells whether a key is an RSA key that is too short.
pub(super) fn weak_rsa(key: &VerifyingKey) -> bool {
    key.kind() == KeyKind::Rsa && key.bits() < 2048
}

/// Says why a phase 1 configuration cannot work.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IkeConfigError {
    /// A suite has no meaning.
    #[error("`{text}` is no suite: it takes cipher-hash-group-auth, like aes128-sha256-modp2048-psk")]
    Suite {
        /// What was written.
        text: String,
    },
    /// No suite is configured.
    #[error("phase 1 needs at least one suite in `proposals`")]
    NoSuite,
    /// A weak algorithm is used without being allowed.
    #[error("suite {suite} is weak; write \"{weak}\" into `allow_weak` to use it all the same")]
    Weak {
        /// The suite.
        suite: String,
        /// The algorithm.
        weak: &'static str,
    },
    /// A signature method has no key.
    #[error("suite {suite} needs `certificate` and `private_key`")]
    NoCredentials {
        /// The suite.
        suite: String,
    },
    /// The key is of another kind than the suite.
    #[error("suite {suite} needs a private key of another kind")]
    KeyKind {
        /// The suite.
        suite: String,
    },
    /// A signature method trusts no one.
    #[error("suite {suite} needs `trust_anchors`")]
    NoTrust {
        /// The suite.
        suite: String,
    },
    /// The DOI is neither GDOI nor IPsec.
    #[error("phase 1 DOI {doi} is neither 2 (GDOI) nor 1 (compatibility)")]
    Doi {
        /// What was written.
        doi: u32,
    },
    /// A duration or a count is zero.
    #[error("lifetime, first retransmission wait and tries must not be zero")]
    Zero,
    /// Aggressive Mode cannot offer several groups.
    #[error("aggressive mode needs the same group in every suite")]
    AggressiveGroups,
}
