//! Numbers that a registry assigns. Any value can be held; known ones print their name.

use std::fmt;
use std::ops::BitOr;

/// Declares a newtype over a registered number with its known values and their names.
macro_rules! registry {
    ($(#[$doc:meta])* $type:ident($int:ty) { $($(#[$value_doc:meta])* $name:ident = $value:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $type(pub $int);

        impl $type {
            $($(#[$value_doc])* pub const $name: Self = Self($value);)*

            /// Gives the registered name, if the number has one here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }

            /// Finds the number of a name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => std::fmt::Display::fmt(&self.0, f),
                }
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "0x{:02x}", self.0),
                }
            }
        }
    };
}

registry! {
    /// Names an exchange of the ISAKMP header.
    ExchangeType(u8) {
        /// No exchange: never valid on the wire.
        NONE = 0, "none";
        /// Base exchange.
        BASE = 1, "base";
        /// Main Mode, the identity protection exchange.
        MAIN = 2, "main-mode";
        /// Authentication only.
        AUTH_ONLY = 3, "authentication-only";
        /// Aggressive Mode.
        AGGRESSIVE = 4, "aggressive-mode";
        /// Informational.
        INFORMATIONAL = 5, "informational";
        /// Transaction, also called Mode Config.
        TRANSACTION = 6, "transaction";
        /// GROUPKEY-PULL (Quick Mode under the IPsec DOI).
        PULL = 32, "groupkey-pull";
        /// GROUPKEY-PUSH (New Group Mode under the IPsec DOI).
        PUSH = 33, "groupkey-push";
        /// GROUPKEY-PUSH-ACK.
        PUSH_ACK = 35, "groupkey-push-ack";
    }
}

registry! {
    /// Names a payload.
    PayloadType(u8) {
        /// End of the chain.
        NONE = 0, "none";
        /// Security association.
        SA = 1, "SA";
        /// Proposal, only inside a phase 1 SA.
        PROPOSAL = 2, "proposal";
        /// Transform, only inside a proposal.
        TRANSFORM = 3, "transform";
        /// Key exchange.
        KE = 4, "KE";
        /// Identification.
        ID = 5, "ID";
        /// Certificate.
        CERT = 6, "CERT";
        /// Certificate request.
        CERT_REQ = 7, "CERT-REQ";
        /// Hash.
        HASH = 8, "HASH";
        /// Signature.
        SIG = 9, "SIG";
        /// Nonce.
        NONCE = 10, "NONCE";
        /// Notification.
        NOTIFY = 11, "N";
        /// Delete.
        DELETE = 12, "D";
        /// Vendor id.
        VENDOR_ID = 13, "VID";
        /// Mode Config attributes.
        ATTRIBUTES = 14, "attributes";
        /// SA KEK of GDOI.
        SA_KEK = 15, "SAK";
        /// SA TEK of GDOI.
        SA_TEK = 16, "SAT";
        /// Key download of GDOI.
        KEY_DOWNLOAD = 17, "KD";
        /// Sequence number of GDOI.
        SEQ = 18, "SEQ";
        /// Proof of possession of the first GDOI; dropped by its successor.
        POP = 19, "POP";
        /// NAT detection.
        NAT_D = 20, "NAT-D";
        /// Original address behind a NAT.
        NAT_OA = 21, "NAT-OA";
        /// Group associated policy of GDOI.
        GAP = 22, "GAP";
        /// Fragment of a whole message (vendor extension).
        FRAGMENT = 132, "fragment";
    }
}

impl PayloadType {
    /// Tells whether the number is reserved, so that no chain may hold it (IKE-PAY-005).
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        matches!(self.0, 23..=127)
    }

    /// Tells whether the number is free for private use.
    #[must_use]
    pub const fn is_private(self) -> bool {
        self.0 >= 128
    }

    /// Tells whether the payload lives only inside another one, so that a chain of a message may not hold it.
    #[must_use]
    pub const fn is_nested_only(self) -> bool {
        matches!(self, Self::PROPOSAL | Self::TRANSFORM | Self::SA_KEK | Self::SA_TEK)
    }
}

registry! {
    /// Names the kind of an identification or of a traffic selector.
    IdType(u8) {
        /// One IPv4 address.
        IPV4_ADDR = 1, "ipv4";
        /// Fully qualified domain name.
        FQDN = 2, "fqdn";
        /// User name at a domain.
        USER_FQDN = 3, "user-fqdn";
        /// IPv4 address and mask.
        IPV4_SUBNET = 4, "ipv4-subnet";
        /// One IPv6 address.
        IPV6_ADDR = 5, "ipv6";
        /// IPv6 address and mask.
        IPV6_SUBNET = 6, "ipv6-subnet";
        /// First and last IPv4 address.
        IPV4_RANGE = 7, "ipv4-range";
        /// First and last IPv6 address.
        IPV6_RANGE = 8, "ipv6-range";
        /// X.501 distinguished name.
        DER_DN = 9, "dn";
        /// X.509 general name.
        DER_GN = 10, "gn";
        /// Opaque octets; in GDOI the group identifier.
        KEY_ID = 11, "key-id";
        /// List of identities.
        LIST = 12, "list";
        /// Object identifier with its own payload.
        OID = 13, "oid";
    }
}

registry! {
    /// Names the message of a notify payload.
    NotifyType(u16) {
        /// A payload type is not known.
        INVALID_PAYLOAD_TYPE = 1, "INVALID-PAYLOAD-TYPE";
        /// The domain of interpretation is not supported.
        DOI_NOT_SUPPORTED = 2, "DOI-NOT-SUPPORTED";
        /// The situation is not supported.
        SITUATION_NOT_SUPPORTED = 3, "SITUATION-NOT-SUPPORTED";
        /// A cookie is not known.
        INVALID_COOKIE = 4, "INVALID-COOKIE";
        /// The major version is not supported.
        INVALID_MAJOR_VERSION = 5, "INVALID-MAJOR-VERSION";
        /// The minor version is not supported.
        INVALID_MINOR_VERSION = 6, "INVALID-MINOR-VERSION";
        /// The exchange type is not known.
        INVALID_EXCHANGE_TYPE = 7, "INVALID-EXCHANGE-TYPE";
        /// A flag is not known or not allowed.
        INVALID_FLAGS = 8, "INVALID-FLAGS";
        /// The message id is wrong.
        INVALID_MESSAGE_ID = 9, "INVALID-MESSAGE-ID";
        /// The protocol of a proposal is not supported.
        INVALID_PROTOCOL_ID = 10, "INVALID-PROTOCOL-ID";
        /// An SPI is not known.
        INVALID_SPI = 11, "INVALID-SPI";
        /// A transform is not known.
        INVALID_TRANSFORM_ID = 12, "INVALID-TRANSFORM-ID";
        /// An attribute is not supported.
        ATTRIBUTES_NOT_SUPPORTED = 13, "ATTRIBUTES-NOT-SUPPORTED";
        /// No offer is acceptable.
        NO_PROPOSAL_CHOSEN = 14, "NO-PROPOSAL-CHOSEN";
        /// The offer is not well formed.
        BAD_PROPOSAL_SYNTAX = 15, "BAD-PROPOSAL-SYNTAX";
        /// A payload is not well formed.
        PAYLOAD_MALFORMED = 16, "PAYLOAD-MALFORMED";
        /// A key exchange value is wrong.
        INVALID_KEY_INFORMATION = 17, "INVALID-KEY-INFORMATION";
        /// An identity is wrong.
        INVALID_ID_INFORMATION = 18, "INVALID-ID-INFORMATION";
        /// The encoding of a certificate is wrong.
        INVALID_CERT_ENCODING = 19, "INVALID-CERT-ENCODING";
        /// A certificate is wrong.
        INVALID_CERTIFICATE = 20, "INVALID-CERTIFICATE";
        /// The type of a certificate is not supported.
        CERT_TYPE_UNSUPPORTED = 21, "CERT-TYPE-UNSUPPORTED";
        /// A certificate authority is wrong.
        INVALID_CERT_AUTHORITY = 22, "INVALID-CERT-AUTHORITY";
        /// A hash does not verify.
        INVALID_HASH_INFORMATION = 23, "INVALID-HASH-INFORMATION";
        /// The peer did not prove who it is.
        AUTHENTICATION_FAILED = 24, "AUTHENTICATION-FAILED";
        /// A signature does not verify.
        INVALID_SIGNATURE = 25, "INVALID-SIGNATURE";
        /// Address notification.
        ADDRESS_NOTIFICATION = 26, "ADDRESS-NOTIFICATION";
        /// Lifetime of an SA.
        NOTIFY_SA_LIFETIME = 27, "NOTIFY-SA-LIFETIME";
        /// No certificate can be given.
        CERTIFICATE_UNAVAILABLE = 28, "CERTIFICATE-UNAVAILABLE";
        /// The exchange type is known and not supported.
        UNSUPPORTED_EXCHANGE_TYPE = 29, "UNSUPPORTED-EXCHANGE-TYPE";
        /// Length fields contradict each other.
        UNEQUAL_PAYLOAD_LENGTHS = 30, "UNEQUAL-PAYLOAD-LENGTHS";
        /// The SA is up.
        CONNECTED = 16384, "CONNECTED";
        /// Lifetime that the responder imposes.
        RESPONDER_LIFETIME = 24576, "RESPONDER-LIFETIME";
        /// Whether replay protection is on.
        REPLAY_STATUS = 24577, "REPLAY-STATUS";
        /// The sender knows of no other SA with this peer.
        INITIAL_CONTACT = 24578, "INITIAL-CONTACT";
        /// Question of dead peer detection.
        R_U_THERE = 36136, "R-U-THERE";
        /// Answer of dead peer detection.
        R_U_THERE_ACK = 36137, "R-U-THERE-ACK";
    }
}

impl NotifyType {
    /// Tells whether the number reports an error (and not a status).
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 < 16384
    }
}

/// Holds the flag bits of the ISAKMP header.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Everything after the header is encrypted.
    pub const ENCRYPTION: Self = Self(1);
    /// The sender of the other direction must wait for CONNECTED.
    pub const COMMIT: Self = Self(2);
    /// Authenticated and not encrypted.
    pub const AUTH_ONLY: Self = Self(4);

    /// Tells whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Gives the bits that no document defines.
    #[must_use]
    pub const fn undefined_bits(self) -> u8 {
        self.0 & 0xf8
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("none");
        }
        let mut separator = "";
        for (flag, name) in [(Self::ENCRYPTION, "E"), (Self::COMMIT, "C"), (Self::AUTH_ONLY, "A")] {
            if self.contains(flag) {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        if self.undefined_bits() != 0 {
            write!(f, "{separator}0x{:02x}", self.undefined_bits())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
