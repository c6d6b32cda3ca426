//! Values that are written as names: each type knows what is allowed and says so when it refuses.

use std::net::SocketAddr;
use std::str::FromStr;

use hallmark_control::config::{AckPolicy, AuthAlg, Compat, DataTransform, EncapsulationMode, EspCipher, SaDirection};
use hallmark_control::data::GroupDirection;
use hallmark_control::ike::Suite;
use hallmark_control::vendor::Version;
use hallmark_crypto::{CipherAlg, HashAlg};
use hallmark_datapath::{Backend, Df, Ecn, FailMode, FragmentWhere, Ttl};
use serde::{Deserialize, Deserializer, de::Error};

use super::data::PortKind;

/// Declares a newtype whose value is one of a list of names.
macro_rules! named {
    ($($name:ident($value:ty) = $what:literal, $table:expr;)*) => { $(
        #[derive(Clone, Copy, PartialEq, Debug)]
        pub(super) struct $name(pub(super) $value);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let table: &[($value, &str)] = $table;
                table
                    .iter()
                    .find(|(_, name)| *name == text)
                    .map(|(value, _)| Self(*value))
                    .ok_or_else(|| D::Error::custom(unknown($what, &text, table.iter().map(|(_, name)| *name))))
            }
        }
    )* };
}

/// Declares a newtype around a type that reads itself.
macro_rules! parsed {
    ($($name:ident($value:ty) = $parse:expr;)*) => { $(
        #[derive(Clone, Copy, PartialEq, Debug)]
        pub(super) struct $name(pub(super) $value);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let parse: fn(&str) -> Result<$value, String> = $parse;
                parse(&text).map(Self).map_err(D::Error::custom)
            }
        }
    )* };
}

named! {
    Cipher(CipherAlg) = "cipher", CIPHERS;
    SigHash(HashAlg) = "hash", HASHES;
    Ack(AckPolicy) = "acknowledgement", AckPolicy::ALL;
    Auth(AuthAlg) = "authentication algorithm", AUTHS;
    Mode(EncapsulationMode) = "mode", &[
        (EncapsulationMode::Tunnel, "tunnel"), (EncapsulationMode::Transport, "transport"),
    ];
    Direction(SaDirection) = "direction", &[
        (SaDirection::Symmetric, "symmetric"),
        (SaDirection::SenderOnly, "sender-only"),
        (SaDirection::ReceiverOnly, "receiver-only"),
    ];
    Protocol(ProtocolKind) = "protocol", &[(ProtocolKind::Esp, "esp"), (ProtocolKind::Ah, "ah")];
    TransportName(TransportKind) = "transport", &[
        (TransportKind::Unicast, "unicast"), (TransportKind::Multicast, "multicast"),
    ];
    TtlName(Ttl) = "ttl", &[(Ttl::Decrement, "decrement"), (Ttl::Keep, "keep")];
    DfName(Df) = "df", &[(Df::Copy, "copy"), (Df::Set, "set"), (Df::Clear, "clear")];
    EcnName(Ecn) = "ecn", &[(Ecn::Normal, "normal"), (Ecn::Compatibility, "compatibility")];
    FragmentName(FragmentWhere) = "fragment", &[(FragmentWhere::Before, "before"), (FragmentWhere::After, "after")];
    FailName(FailMode) = "fail mode", &[(FailMode::Open, "open"), (FailMode::Close, "close")];
    BackendName(Backend) = "backend", &[
        (Backend::Auto, "auto"), (Backend::Portable, "portable"), (Backend::Ring, "ring"), (Backend::Batch, "batch"),
    ];
    PortName(PortKind) = "port kind", &[
        (PortKind::Lab, "lab"), (PortKind::Packet, "packet"), (PortKind::Xdp, "xdp"), (PortKind::Tun, "tun"),
    ];
    ReplayName(ReplayKind) = "replay method", &[
        (ReplayKind::None, "none"), (ReplayKind::Counter, "counter"), (ReplayKind::Time, "time"),
        (ReplayKind::D3p, "d3p"),
    ];
    GroupDirectionName(GroupDirection) = "group direction", &[
        (GroupDirection::Both, "both"), (GroupDirection::ReceiveOnly, "receive-only"),
    ];
    IdentityKind(&'static str) = "identity type", IDENTITY_KINDS;
    CompatSwitch(Compat) = "compatibility switch", Compat::ALL;
    WeakName(&'static str) = "weak algorithm", &[
        ("des", "des"), ("3des", "3des"), ("md5", "md5"), ("sha1", "sha1"), ("modp768", "modp768"),
        ("modp1024", "modp1024"), ("rsa1024", "rsa1024"),
    ];
}

parsed! {
    NetAddress(SocketAddr) = |text| {
        text.parse().map_err(|_| {
            format!("`{text}` is no address with a port, expected something like 10.0.0.1:848 or [2001:db8::1]:848")
        })
    };
    SuiteName(Suite) = suite;
    VersionText(Version) = |text| Version::from_str(text);
    TransformName(DataTransform) = |text| transform_by_full_name(text);
}

/// Is the protocol of a TEK.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum ProtocolKind {
    Esp,
    Ah,
}

/// Is a protection against replayed data, without its window.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum ReplayKind {
    None,
    Counter,
    Time,
    D3p,
}

/// Is where PUSH messages go, without the address.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum TransportKind {
    Unicast,
    Multicast,
}

impl Default for Ack {
    fn default() -> Self {
        Self(AckPolicy::None)
    }
}

impl Default for Mode {
    fn default() -> Self {
        Self(EncapsulationMode::Tunnel)
    }
}

impl Default for Direction {
    fn default() -> Self {
        Self(SaDirection::Symmetric)
    }
}

impl Default for TransportName {
    fn default() -> Self {
        Self(TransportKind::Unicast)
    }
}

/// Says that a name is not known, in the same words that `serde` uses for field names.
pub(super) fn unknown<'a>(what: &str, got: &str, allowed: impl Iterator<Item = &'a str>) -> String {
    let allowed: Vec<String> = allowed.map(|name| format!("`{name}`")).collect();
    format!("unknown {what} `{got}`, expected one of {}", allowed.join(", "))
}

/// Finds the protection that `protocol`, `transform` and `auth` of a TEK describe together.
pub(super) fn transform(
    protocol: ProtocolKind,
    transform: &str,
    auth: Option<AuthAlg>,
) -> Result<DataTransform, (&'static str, String)> {
    match protocol {
        ProtocolKind::Ah => {
            let mac = AUTHS.iter().find(|(_, name)| *name == transform).map(|(mac, _)| *mac).ok_or_else(|| {
                ("transform", unknown("AH transform", transform, AUTHS.iter().map(|(_, name)| *name)))
            })?;
            match auth {
                Some(other) if other != mac => Err(("auth", "AH has one MAC: leave `auth` out".to_owned())),
                _ => Ok(DataTransform::Ah(mac)),
            }
        }
        ProtocolKind::Esp => {
            let cipher = esp_cipher(transform).ok_or_else(|| {
                let names = ESP_CIPHERS.iter().map(|(_, name)| *name);
                ("transform", unknown("ESP transform", transform, names))
            })?;
            Ok(DataTransform::Esp { cipher, auth })
        }
    }
}

/// Reads `aes128-cbc/hmac-sha256`, `aes128-gcm16`, `ah/hmac-sha256` and so on.
fn transform_by_full_name(text: &str) -> Result<DataTransform, String> {
    let told = |(_, problem): (&str, String)| problem;
    let mac = |name: &str| AUTHS.iter().find(|(_, known)| *known == name).map(|(mac, _)| *mac);
    if let Some(name) = text.strip_prefix("ah/").or_else(|| text.strip_prefix("ah-")) {
        return transform(ProtocolKind::Ah, name, None).map_err(told);
    }
    let text = text.strip_prefix("esp/").or_else(|| text.strip_prefix("esp-")).unwrap_or(text);
    let (cipher, auth) = text.split_once('/').map_or((text, None), |(cipher, auth)| (cipher, Some(auth)));
    let auth = match auth {
        None => None,
        Some(name) => Some(
            mac(name)
                .ok_or_else(|| unknown("authentication algorithm", name, AUTHS.iter().map(|(_, known)| *known)))?,
        ),
    };
    transform(ProtocolKind::Esp, cipher, auth).map_err(told)
}

fn esp_cipher(name: &str) -> Option<EspCipher> {
    ESP_CIPHERS.iter().find(|(_, known)| *known == name).map(|(cipher, _)| *cipher)
}

fn suite(text: &str) -> Result<Suite, String> {
    // The parts are looked at one by one first, so that the message can name the one that is wrong.
    let parts: Vec<&str> = text.split('-').collect();
    let [cipher, hash, group, auth] = parts.as_slice() else {
        return Err(format!(
            "`{text}` is no phase 1 proposal, expected cipher-hash-group-auth like aes128-sha256-modp2048-psk"
        ));
    };
    for (what, part, allowed) in [
        ("cipher", cipher, CIPHERS.iter().map(|(_, name)| *name).collect::<Vec<_>>()),
        ("hash", hash, HASHES.iter().map(|(_, name)| *name).collect()),
        ("group", group, GROUPS.to_vec()),
        ("authentication method", auth, AUTH_METHODS.to_vec()),
    ] {
        if !allowed.contains(part) {
            return Err(unknown(what, part, allowed.into_iter()));
        }
    }
    text.parse().map_err(|_| format!("`{text}` is no phase 1 proposal"))
}

const CIPHERS: &[(CipherAlg, &str)] = &[
    (CipherAlg::Des, "des"),
    (CipherAlg::TripleDes, "3des"),
    (CipherAlg::Aes128, "aes128"),
    (CipherAlg::Aes192, "aes192"),
    (CipherAlg::Aes256, "aes256"),
];

const HASHES: &[(HashAlg, &str)] = &[
    (HashAlg::Md5, "md5"),
    (HashAlg::Sha1, "sha1"),
    (HashAlg::Sha256, "sha256"),
    (HashAlg::Sha384, "sha384"),
    (HashAlg::Sha512, "sha512"),
];

const GROUPS: &[&str] =
    &["modp768", "modp1024", "modp1536", "modp2048", "modp3072", "modp4096", "ecp256", "ecp384", "ecp521"];

const AUTH_METHODS: &[&str] = &["psk", "rsa", "ecdsa256", "ecdsa384", "ecdsa521"];

const AUTHS: &[(AuthAlg, &str)] = &[
    (AuthAlg::HmacMd5, "hmac-md5"),
    (AuthAlg::HmacSha1, "hmac-sha1"),
    (AuthAlg::HmacSha256, "hmac-sha256"),
    (AuthAlg::HmacSha384, "hmac-sha384"),
    (AuthAlg::HmacSha512, "hmac-sha512"),
];

const ESP_CIPHERS: &[(EspCipher, &str)] = &[
    (EspCipher::Null, "null"),
    (EspCipher::Des, "des"),
    (EspCipher::TripleDes, "3des"),
    (EspCipher::AesCbc(128), "aes128-cbc"),
    (EspCipher::AesCbc(192), "aes192-cbc"),
    (EspCipher::AesCbc(256), "aes256-cbc"),
    (EspCipher::AesGcm(128, 8), "aes128-gcm8"),
    (EspCipher::AesGcm(128, 12), "aes128-gcm12"),
    (EspCipher::AesGcm(128, 16), "aes128-gcm16"),
    (EspCipher::AesGcm(192, 8), "aes192-gcm8"),
    (EspCipher::AesGcm(192, 12), "aes192-gcm12"),
    (EspCipher::AesGcm(192, 16), "aes192-gcm16"),
    (EspCipher::AesGcm(256, 8), "aes256-gcm8"),
    (EspCipher::AesGcm(256, 12), "aes256-gcm12"),
    (EspCipher::AesGcm(256, 16), "aes256-gcm16"),
    (EspCipher::AesGmac(128), "aes128-gmac"),
    (EspCipher::AesGmac(192), "aes192-gmac"),
    (EspCipher::AesGmac(256), "aes256-gmac"),
];

const IDENTITY_KINDS: &[(&str, &str)] = &[
    ("ipv4", "ipv4"),
    ("ipv6", "ipv6"),
    ("fqdn", "fqdn"),
    ("user-fqdn", "user-fqdn"),
    ("dn", "dn"),
    ("key-id", "key-id"),
];
