//! What an operator decides: plain values, no file format.

mod check;
pub mod data;
pub mod transform;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use hallmark_core::Duration;
use hallmark_crypto::{CipherAlg, HashAlg, SigningKey};
use hallmark_wire::isakmp::Identification;

use crate::behaviour::Behaviour;
use crate::ike::{IkeConfig, IkeConfigError, PeerRule};
use crate::vendor::Version;

/// Configures a key server.
#[derive(Clone)]
pub struct KsConfig {
    /// Addresses to listen on; the first is the identity unless [`IkeConfig::identity`] says otherwise, and the source
    /// of PUSH datagrams.
    pub listen: Vec<SocketAddr>,
    /// Phase 1. Its `peers`, `accept`, `behaviour` and `export_keys` are set from this structure.
    pub phase1: IkeConfig,
    /// Who may talk to the server; the longest matching prefix wins.
    pub peers: Vec<PeerConfig>,
    /// The groups that are served.
    pub groups: Vec<GroupConfig>,
    /// Switches for tests.
    pub test: TestConfig,
}

/// Configures a group member.
#[derive(Clone)]
pub struct GmConfig {
    /// The address that the member talks from.
    pub listen: SocketAddr,
    /// Phase 1. Its `peers`, `accept`, `behaviour`, `vendor_ids` and `export_keys` are set from this structure.
    pub phase1: IkeConfig,
    /// Key servers in the order of preference.
    pub servers: Vec<ServerConfig>,
    /// The group to join.
    pub group: MembershipConfig,
    /// Switches for tests.
    pub test: TestConfig,
}

/// Lets a range of addresses talk to a key server.
#[derive(Clone)]
pub struct PeerConfig {
    /// Addresses, credentials and acceptable identities.
    pub rule: PeerRule,
    /// Known deviations of these peers that are tolerated.
    pub compat: Compat,
}

/// Names one key server of a group member.
#[derive(Clone)]
pub struct ServerConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// Credentials, and the identities that are authorized to be a key server (the GPAD of RFC 6407).
    /// Network and prefix are set from `address`.
    pub rule: PeerRule,
    /// Known deviations of this server that are tolerated.
    pub compat: Compat,
}

/// Switches for tests, shared by both roles.
#[derive(Clone, Default)]
pub struct TestConfig {
    /// Defects and legal variants that are switched on.
    pub behaviour: Behaviour,
    /// Allows lifetimes that are too short for production.
    pub short_lifetimes: bool,
    /// Gives [`crate::EventKind::KeyMaterial`] events, from which the run can be decrypted.
    pub export_keys: bool,
}

/// Configures one group of a key server.
#[derive(Clone)]
pub struct GroupConfig {
    /// The group identifier (ID_KEY_ID, 4 octets).
    pub id: u32,
    /// Phase 1 identities that may join, as text (`ipv4:10.0.0.2`); empty: everyone that authenticated.
    pub members: Vec<Identification>,
    /// Refuses members that announce an older version, or none.
    pub min_gm_version: Option<Version>,
    /// Signs PUSH messages. Without it registration works, but no PUSH is ever sent.
    pub signing_key: Option<SigningKey>,
    /// Bits of a sender id; needed for counter modes.
    pub sid_bits: Option<u8>,
    /// Keeps the group KEK as the root of a logical key hierarchy.
    pub lkh: bool,
    /// Which acknowledgement of a PUSH is requested and accepted.
    pub ack: AckPolicy,
    /// Seconds before a member sends on a new SA; 0 is not sent.
    pub atd_secs: u16,
    /// Seconds until a member deactivates a replaced SA; 0 is not sent.
    pub dtd_secs: u16,
    /// The Rekey SA; without it every update is a new registration.
    pub kek: Option<KekConfig>,
    /// When the server rekeys.
    pub rekey: RekeyConfig,
    /// The Data-Security SAs.
    pub teks: Vec<TekConfig>,
    /// Replay protection, direction and SPIs.
    pub data: data::DataConfig,
}

/// Says which acknowledgement of a PUSH a group uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AckPolicy {
    /// None is requested and none is accepted.
    #[default]
    None,
    /// RFC 8263 with HMAC-SHA-256; keyed with the leaf key when the group uses LKH, else with the KEK.
    Rfc8263Sha256,
    /// RFC 8263 with HMAC-SHA-512; keyed with the leaf key when the group uses LKH, else with the KEK.
    Rfc8263Sha512,
    /// The encrypted form, see [`crate::ack`]; nothing in the SA payload requests it.
    Cisco,
    /// RFC 8263 with HMAC-SHA-256 is requested, the encrypted form is accepted as well.
    Any,
}

/// Describes the Rekey SA of a group.
#[derive(Clone, Debug)]
pub struct KekConfig {
    /// Encrypts PUSH messages.
    pub cipher: CipherAlg,
    /// Digests PUSH messages for the signature.
    pub sig_hash: HashAlg,
    /// How long one KEK is valid.
    pub lifetime: Duration,
    /// Where PUSH messages go.
    pub transport: Transport,
    /// The UDP port that PUSH messages come from.
    pub source_port: u16,
    /// Time between two copies of a PUSH.
    pub retransmit_period: Duration,
    /// Copies after the first.
    pub retransmit_count: u32,
    /// Least time before expiry at which the KEK is replaced.
    pub lead_floor: Duration,
}

/// Says where PUSH messages go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// One copy to each registered member.
    Unicast,
    /// One copy to a group address.
    Multicast(SocketAddr),
}

/// Says when a key server rekeys and whom it gives up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RekeyConfig {
    /// Share of a lifetime, in percent, by which keys are replaced before they expire.
    pub lead_percent: u8,
    /// Least time before expiry at which a TEK is replaced.
    pub tek_lead_floor: Duration,
    /// Scheduled rekeys in a row without acknowledgement after which a member is removed.
    pub missed_before_removal: u32,
}

impl Default for RekeyConfig {
    fn default() -> Self {
        Self { lead_percent: 10, tek_lead_floor: Duration::from_secs(90), missed_before_removal: 3 }
    }
}

/// Describes one TEK and the traffic that it protects: each permit entry of the access list becomes one SAT, all of them
/// with the same SPI and keys. The lists of all TEKs make one, in which the first entry that matches decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TekConfig {
    /// ESP or AH with its algorithms.
    pub transform: DataTransform,
    /// How long one TEK is valid.
    pub lifetime: Duration,
    /// Tunnel or transport mode.
    pub mode: EncapsulationMode,
    /// Who may send with the SA.
    pub direction: SaDirection,
    /// The traffic.
    pub acl: Vec<Ace>,
}

/// Is an encapsulation mode of RFC 2407.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncapsulationMode {
    /// Value 1.
    Tunnel,
    /// Value 2.
    Transport,
}

/// Is an SA Direction of RFC 6407 section 5.5.1.1.2.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaDirection {
    /// The members send with it and do not receive.
    SenderOnly,
    /// The members receive with it and do not send.
    ReceiverOnly,
    /// Both.
    Symmetric,
}

/// Is the protection of data packets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DataTransform {
    /// ESP with a cipher and, except for AEAD ciphers, usually a MAC.
    Esp {
        /// Encrypts.
        cipher: EspCipher,
        /// Authenticates; absent for AEAD ciphers.
        auth: Option<AuthAlg>,
    },
    /// AH with a MAC.
    Ah(AuthAlg),
}

/// Is an ESP cipher.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EspCipher {
    /// No encryption.
    Null,
    /// DES-CBC.
    Des,
    /// 3DES-CBC.
    TripleDes,
    /// AES-CBC with so many key bits.
    AesCbc(u16),
    /// AES-GCM with so many key bits and ICV octets.
    AesGcm(u16, u8),
    /// AES-GMAC (authentication only) with so many key bits.
    AesGmac(u16),
}

/// Is a MAC of ESP or AH.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AuthAlg {
    /// HMAC-MD5-96.
    HmacMd5,
    /// HMAC-SHA1-96.
    HmacSha1,
    /// HMAC-SHA-256-128.
    HmacSha256,
    /// HMAC-SHA-384-192.
    HmacSha384,
    /// HMAC-SHA-512-256.
    HmacSha512,
}

/// Is one entry of an access list.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ace {
    /// Protect (true) or send in clear (false). RFC 6407 can carry only the first; the second travels as a
    /// [`hallmark_wire::gdoi::Bypass`].
    pub permit: bool,
    /// IP protocol, 0 for any.
    pub ip_protocol: u8,
    /// Source network.
    pub src: Prefix,
    /// Source port, 0 for any.
    pub src_port: u16,
    /// Destination network.
    pub dst: Prefix,
    /// Destination port, 0 for any.
    pub dst_port: u16,
}

/// Is an address prefix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Prefix {
    /// The network address; bits behind the prefix are 0.
    pub network: IpAddr,
    /// Number of leading bits that count.
    pub bits: u8,
}

/// Configures the membership of a group member.
#[derive(Clone, Debug)]
pub struct MembershipConfig {
    /// The group identifier.
    pub id: u32,
    /// The version that is announced in our Vendor ID; absent: none is sent.
    pub version: Option<Version>,
    /// Sender ids to ask for; 0 sends no GAP payload.
    pub sender_ids: u16,
    /// Ciphers that a KEK may have.
    pub acceptable_kek_ciphers: Vec<CipherAlg>,
    /// Hashes that the signature of a PUSH may use.
    pub acceptable_sig_hashes: Vec<HashAlg>,
    /// Transforms that a TEK may have; empty: every one that the datapath can do.
    pub acceptable_transforms: Vec<DataTransform>,
    /// Ignores attributes that are not understood instead of refusing the policy.
    pub ignore_unknown_attributes: bool,
    /// Acknowledges PUSH messages when the server asks for it.
    pub rekey_acks: bool,
    /// Which form unrequested acknowledgements have: [`AckPolicy::Cisco`] sends the encrypted form for each PUSH that
    /// does not request one of RFC 8263; every other value sends none.
    pub unrequested_acks: AckPolicy,
    /// When the member registers again.
    pub reregister: ReregisterConfig,
    /// The address of the interface that joins multicast groups.
    pub multicast_interface: Option<IpAddr>,
    /// Least time between two registrations that errors of the data plane start; absent: none is started.
    pub recovery_interval: Option<Duration>,
}

/// Says when a group member registers again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReregisterConfig {
    /// Time before expiry of the first key that runs out.
    pub lead: Duration,
    /// Upper bound of a random time by which the registration starts even earlier.
    pub jitter: Duration,
    /// Least time between two registrations.
    pub min_interval: Duration,
    /// First pause after all servers failed.
    pub retry_initial: Duration,
    /// Longest pause.
    pub retry_cap: Duration,
}

impl Default for ReregisterConfig {
    fn default() -> Self {
        Self {
            lead: Duration::from_secs(60),
            jitter: Duration::from_secs(10),
            min_interval: Duration::from_secs(30),
            retry_initial: Duration::from_secs(5),
            retry_cap: Duration::from_secs(60),
        }
    }
}

/// Is a set of known deviations that are tolerated for one peer. Each is off by default and shown in the status.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Compat(u32);

macro_rules! compat_switches {
    ($($constant:ident = $bit:literal, $name:literal, $doc:literal;)*) => {
        impl Compat {
            $(#[doc = $doc] pub const $constant: Self = Self(1 << $bit);)*
            /// Every switch with its name.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$constant, $name),)*];
        }
    };
}

compat_switches! {
    DOI1 = 0, "doi1", "Phase 1 is negotiated with DOI 1.";
    AES_NO_KEY_LENGTH = 1, "aes-no-key-length", "A phase 1 offer of AES without Key Length means AES-128.";
    KEY_ID_LITTLE_ENDIAN = 2, "key-id-little-endian", "The group identifier of M1 is little-endian.";
    SAT_ADDRESSES_REVERSED = 3, "sat-addresses-reversed", "IPv4 addresses of a SAT are in reversed octet order.";
    SAK_SIX_RESERVED = 4, "sak-six-reserved", "A SAK has six reserved octets after the SPI.";
    SIG_BARE_DIGEST = 5, "sig-bare-digest", "The RSA signature of a PUSH holds the bare digest.";
    KD_OLD_SPI = 6, "kd-old-spi", "The KEK packet of a KEK rekey carries the old SPI.";
    KEK_LIFETIME_TV = 7, "kek-lifetime-tv", "KEK_KEY_LIFETIME is a basic attribute.";
    SID_LITTLE_ENDIAN = 8, "sid-little-endian", "SID_VALUE is little-endian.";
    SEQ_CONTINUES = 9, "seq-continues", "The PUSH sequence goes on counting under a new KEK.";
    SEQ_WINDOW_32 = 10, "seq-window-32", "PUSH sequences up to 31 below the highest are accepted once.";
    MISSING_ACK_OK = 11, "missing-ack-ok", "A member that does not acknowledge is never removed.";
    ATTR_ZERO_DEFAULT = 12, "attr-zero-default", "Address Preservation 0 and SA Direction 0 mean the default.";
    ID_PORT_848 = 13, "id-port-848", "A phase 1 identity may carry protocol 17 and port 848.";
    SAK_IN_TEK_PUSH = 14, "sak-in-tek-push", "Every PUSH repeats the SAK and the KEK under an unchanged SPI.";
}

impl Compat {
    /// No switch.
    pub const NONE: Self = Self(0);

    /// Finds a switch by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(switch, _)| *switch)
    }

    /// Tells whether every switch of `other` is on.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Gives both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Gives the names of the switches that are on.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        Self::ALL.iter().filter(|(switch, _)| self.has(*switch)).map(|(_, name)| *name).collect()
    }
}

/// Is a mistake in a configuration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// Where: a path like `group[1234].tek[0].lifetime_secs`.
    pub place: String,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

impl ConfigError {
    /// Names a place and what is wrong there.
    #[must_use]
    pub fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }
}

impl From<IkeConfigError> for ConfigError {
    fn from(error: IkeConfigError) -> Self {
        Self::new("phase1", error.to_string())
    }
}

impl KsConfig {
    /// Checks everything that can be wrong before the server starts.
    ///
    /// # Errors
    ///
    /// Gives the first mistake with its place.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check::key_server(self)
    }
}

impl GroupConfig {
    /// Checks one group.
    ///
    /// # Errors
    ///
    /// Gives the first mistake with its place.
    pub fn validate(&self, allow_weak: &[String], test: &TestConfig) -> Result<(), ConfigError> {
        check::group(self, allow_weak, test)
    }

    /// Makes a group with usual values: AES-128 KEK signed with SHA-256, one day, unicast; no TEK yet.
    #[must_use]
    pub fn new(id: u32) -> Self {
        Self {
            id,
            members: Vec::new(),
            min_gm_version: None,
            signing_key: None,
            sid_bits: None,
            lkh: false,
            ack: AckPolicy::None,
            atd_secs: 0,
            dtd_secs: 0,
            kek: Some(KekConfig::default()),
            rekey: RekeyConfig::default(),
            teks: Vec::new(),
            data: data::DataConfig::default(),
        }
    }
}

impl Default for KekConfig {
    fn default() -> Self {
        Self {
            cipher: CipherAlg::Aes128,
            sig_hash: HashAlg::Sha256,
            lifetime: Duration::from_secs(86_400),
            transport: Transport::Unicast,
            source_port: 848,
            retransmit_period: Duration::from_secs(10),
            retransmit_count: 2,
            lead_floor: Duration::from_secs(200),
        }
    }
}

impl TekConfig {
    /// Makes a TEK for a transform with one hour of life, tunnel mode, both directions.
    #[must_use]
    pub fn new(transform: DataTransform, acl: Vec<Ace>) -> Self {
        Self {
            transform,
            lifetime: Duration::from_secs(3_600),
            mode: EncapsulationMode::Tunnel,
            direction: SaDirection::Symmetric,
            acl,
        }
    }

    /// Tells whether the access list has a deny entry.
    #[must_use]
    pub fn denies(&self) -> bool {
        self.acl.iter().any(|ace| !ace.permit)
    }
}

impl GmConfig {
    /// Checks everything that can be wrong before the member starts.
    ///
    /// # Errors
    ///
    /// Gives the first mistake with its place.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check::group_member(self)
    }
}

impl MembershipConfig {
    /// Makes a membership with usual values.
    #[must_use]
    pub fn new(id: u32) -> Self {
        Self {
            id,
            version: Some(Version::new(1, 0, 5)),
            sender_ids: 0,
            acceptable_kek_ciphers: vec![CipherAlg::Aes128, CipherAlg::Aes192, CipherAlg::Aes256, CipherAlg::TripleDes],
            acceptable_sig_hashes: vec![HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384, HashAlg::Sha512],
            acceptable_transforms: Vec::new(),
            ignore_unknown_attributes: false,
            rekey_acks: true,
            unrequested_acks: AckPolicy::None,
            reregister: ReregisterConfig::default(),
            multicast_interface: None,
            recovery_interval: None,
        }
    }
}

impl Prefix {
    /// Makes a prefix and clears the bits behind it; more bits than the address has count as all.
    #[must_use]
    pub fn new(address: IpAddr, bits: u8) -> Self {
        match address {
            IpAddr::V4(address) => {
                let bits = bits.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                Self { network: IpAddr::V4((u32::from(address) & mask).into()), bits }
            }
            IpAddr::V6(address) => {
                let bits = bits.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                Self { network: IpAddr::V6((u128::from(address) & mask).into()), bits }
            }
        }
    }

    /// Makes the prefix of every IPv4 address.
    #[must_use]
    pub const fn any_ipv4() -> Self {
        Self { network: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), bits: 0 }
    }

    /// Tells whether an address lies in the prefix.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.network.is_ipv4() && Self::new(address, self.bits).network == self.network
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is neither an address nor a prefix like 10.1.0.0/16");
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse::<u8>().map_err(|_| bad()))?;
        if bits > most { Err(bad()) } else { Ok(Self::new(address, bits)) }
    }
}

impl fmt::Display for Ace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.permit { "permit " } else { "deny " })?;
        write_flow(f, self.ip_protocol, [(&self.src, self.src_port), (&self.dst, self.dst_port)])
    }
}

/// Writes which packets are meant as an entry of an access list does; protocol and port 0 stand for any.
pub(crate) fn write_flow(
    f: &mut fmt::Formatter<'_>,
    ip_protocol: u8,
    ends: [(&dyn fmt::Display, u16); 2],
) -> fmt::Result {
    match ip_protocol {
        0 => f.write_str("ip")?,
        1 => f.write_str("icmp")?,
        6 => f.write_str("tcp")?,
        17 => f.write_str("udp")?,
        other => write!(f, "{other}")?,
    }
    for (end, port) in ends {
        write!(f, " {end}")?;
        if port != 0 {
            write!(f, " eq {port}")?;
        }
    }
    Ok(())
}

impl FromStr for Ace {
    type Err = String;

    /// Reads `permit|deny ip|icmp|tcp|udp|NUMBER SOURCE [eq PORT] DESTINATION [eq PORT]`; a network is an address,
    /// `ADDRESS/BITS`, `any` (all of IPv4) or `any6`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace().peekable();
        let permit = match words.next() {
            Some("permit") => true,
            Some("deny") => false,
            _ => return Err(format!("`{text}` does not begin with `permit` or `deny`")),
        };
        let ip_protocol = match words.next() {
            Some("ip") => 0,
            Some("icmp") => 1,
            Some("tcp") => 6,
            Some("udp") => 17,
            Some(number) => {
                number.parse().map_err(|_| format!("`{number}` is no IP protocol (ip, icmp, tcp, udp or a number)"))?
            }
            None => return Err(format!("`{text}` names no protocol")),
        };
        let mut end = || -> Result<(Prefix, u16), String> {
            let prefix = match words.next() {
                Some("any") => Prefix::any_ipv4(),
                Some("any6") => Prefix::new(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), 0),
                Some(word) => word.parse()?,
                None => return Err(format!("`{text}` needs a source and a destination")),
            };
            let mut port = 0;
            if words.next_if_eq(&"eq").is_some() {
                let word = words.next().ok_or_else(|| format!("`{text}` has no port after `eq`"))?;
                port = word.parse().map_err(|_| format!("`{word}` is no port"))?;
            }
            Ok((prefix, port))
        };
        let (src, src_port) = end()?;
        let (dst, dst_port) = end()?;
        if let Some(word) = words.next() {
            return Err(format!("`{word}` is not understood after the destination"));
        }
        if src.network.is_ipv4() != dst.network.is_ipv4() {
            return Err(format!("`{text}` mixes IPv4 and IPv6"));
        }
        Ok(Self { permit, ip_protocol, src, src_port, dst, dst_port })
    }
}

impl AckPolicy {
    /// Every policy with its name.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::None, "none"),
        (Self::Rfc8263Sha256, "rfc8263-sha256"),
        (Self::Rfc8263Sha512, "rfc8263-sha512"),
        (Self::Cisco, "cisco"),
        (Self::Any, "any"),
    ];

    /// Gives the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(policy, _)| *policy == self).map_or("none", |(_, name)| name)
    }

    /// Finds a policy by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(policy, _)| *policy)
    }

    /// Gives the value of KEK_ACK_REQUESTED that this policy asks for.
    #[must_use]
    pub const fn requested(self, lkh: bool) -> Option<u16> {
        match (self, lkh) {
            (Self::Rfc8263Sha256 | Self::Any, false) => Some(1),
            (Self::Rfc8263Sha256 | Self::Any, true) => Some(2),
            (Self::Rfc8263Sha512, false) => Some(3),
            (Self::Rfc8263Sha512, true) => Some(4),
            (Self::None | Self::Cisco, _) => None,
        }
    }

    /// Tells whether the encrypted form is accepted.
    #[must_use]
    pub const fn accepts_encrypted(self) -> bool {
        matches!(self, Self::Cisco | Self::Any)
    }
}

/// Collects the names out of `allow_weak` that a configuration makes use of.
#[must_use]
pub fn weak_of_group(group: &GroupConfig) -> BTreeSet<&'static str> {
    check::weak_of_group(group)
}
