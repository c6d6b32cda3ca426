//! Names of registered numbers, for people who read dissections and logs.
//!
//! Each function gives `None` for a number that has no name, so that the caller prints the number itself.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::isakmp::IdType;

/// Names a domain of interpretation.
#[must_use]
pub const fn doi(value: u32) -> Option<&'static str> {
    Some(match value {
        0 => "ISAKMP",
        1 => "IPsec",
        2 => "GDOI",
        _ => return None,
    })
}

/// Names the protocol of a proposal, or of a notify or delete outside of a PUSH.
#[must_use]
pub const fn isakmp_protocol(value: u8) -> Option<&'static str> {
    Some(match value {
        1 => "ISAKMP",
        2 => "AH",
        3 => "ESP",
        4 => "IPCOMP",
        _ => return None,
    })
}

/// Names the protocol of an SA TEK, or of a delete in a PUSH (where 0 is the KEK).
#[must_use]
pub const fn gdoi_protocol(value: u8) -> Option<&'static str> {
    Some(match value {
        0 => "KEK",
        1 => "ESP",
        2 => "AH",
        3 => "IEC-61850",
        161 => "IEC-61850-90-5 (private)",
        250 => "bypass (reference form)",
        _ => return None,
    })
}

/// Names a phase 1 attribute class.
#[must_use]
pub const fn ike_attribute(class: u16) -> Option<&'static str> {
    Some(match class {
        1 => "encryption-algorithm",
        2 => "hash-algorithm",
        3 => "authentication-method",
        4 => "group-description",
        5 => "group-type",
        6 => "group-prime",
        7 => "group-generator-1",
        8 => "group-generator-2",
        9 => "group-curve-a",
        10 => "group-curve-b",
        11 => "life-type",
        12 => "life-duration",
        13 => "prf",
        14 => "key-length",
        15 => "field-size",
        16 => "group-order",
        _ => return None,
    })
}

/// Names the value of a phase 1 attribute.
#[must_use]
pub const fn ike_value(class: u16, value: u64) -> Option<&'static str> {
    Some(match (class, value) {
        (1, 1) => "DES-CBC",
        (1, 2) => "IDEA-CBC",
        (1, 3) => "Blowfish-CBC",
        (1, 4) => "RC5-R16-B64-CBC",
        (1, 5) => "3DES-CBC",
        (1, 6) => "CAST-CBC",
        (1, 7) => "AES-CBC",
        (1, 8) => "Camellia-CBC",
        (2, 1) => "MD5",
        (2, 2) => "SHA-1",
        (2, 3) => "Tiger",
        (2, 4) => "SHA2-256",
        (2, 5) => "SHA2-384",
        (2, 6) => "SHA2-512",
        (3, 1) => "PSK",
        (3, 2) => "DSS-signature",
        (3, 3) => "RSA-signature",
        (3, 4) => "RSA-encryption",
        (3, 5) => "revised-RSA-encryption",
        (3, 8) => "ECDSA",
        (3, 9) => "ECDSA-256",
        (3, 10) => "ECDSA-384",
        (3, 11) => "ECDSA-521",
        (3, 65001..=65010) => "XAUTH",
        (4, group) => return ike_group(group),
        (5, 1) => "MODP",
        (5, 2) => "ECP",
        (5, 3) => "EC2N",
        (11, 1) => "seconds",
        (11, 2) => "kilobytes",
        _ => return None,
    })
}

const fn ike_group(group: u64) -> Option<&'static str> {
    Some(match group {
        1 => "MODP-768",
        2 => "MODP-1024",
        3 => "EC2N-155",
        4 => "EC2N-185",
        5 => "MODP-1536",
        14 => "MODP-2048",
        15 => "MODP-3072",
        16 => "MODP-4096",
        17 => "MODP-6144",
        18 => "MODP-8192",
        19 => "ECP-256",
        20 => "ECP-384",
        21 => "ECP-521",
        22 => "MODP-1024-160",
        23 => "MODP-2048-224",
        24 => "MODP-2048-256",
        25 => "ECP-192",
        26 => "ECP-224",
        _ => return None,
    })
}

/// Names a KEK attribute class.
#[must_use]
pub const fn kek_attribute(class: u16) -> Option<&'static str> {
    Some(match class {
        1 => "kek-management-algorithm",
        2 => "kek-algorithm",
        3 => "kek-key-length",
        4 => "kek-key-lifetime",
        5 => "sig-hash-algorithm",
        6 => "sig-algorithm",
        7 => "sig-key-length",
        8 => "ke-oakley-group",
        9 => "kek-ack-requested",
        _ => return None,
    })
}

/// Names the value of a KEK attribute.
#[must_use]
pub const fn kek_value(class: u16, value: u64) -> Option<&'static str> {
    Some(match (class, value) {
        (1, 1) => "LKH",
        (2, 1) => "DES-CBC",
        (2, 2) => "3DES-CBC",
        (2, 3) => "AES-CBC",
        (5, 1) => "MD5",
        (5, 2) => "SHA-1",
        (5, 3) => "SHA2-256",
        (5, 4) => "SHA2-384",
        (5, 5) => "SHA2-512",
        (6, 1) => "RSA",
        (6, 2) => "DSS",
        (6, 3) => "ECDSS",
        (6, 4) => "ECDSA-256",
        (6, 5) => "ECDSA-384",
        (6, 6) => "ECDSA-521",
        (9, 1) => "KEK-SHA256",
        (9, 2) => "LKH-SHA256",
        (9, 3) => "KEK-SHA512",
        (9, 4) => "LKH-SHA512",
        _ => return None,
    })
}

/// Names a TEK attribute class.
#[must_use]
pub const fn tek_attribute(class: u16) -> Option<&'static str> {
    Some(match class {
        1 => "sa-life-type",
        2 => "sa-life-duration",
        3 => "group-description",
        4 => "encapsulation-mode",
        5 => "authentication-algorithm",
        6 => "key-length",
        7 => "key-rounds",
        8 => "compress-dictionary-size",
        9 => "compress-private-algorithm",
        10 => "ecn-tunnel",
        11 => "extended-sequence-number",
        12 => "authentication-key-length",
        13 => "signature-encoding-algorithm",
        14 => "address-preservation",
        15 => "sa-direction",
        _ => return None,
    })
}

/// Names the value of a TEK attribute.
#[must_use]
pub const fn tek_value(class: u16, value: u64) -> Option<&'static str> {
    Some(match (class, value) {
        (1, 1) => "seconds",
        (1, 2) => "kilobytes",
        (4, 1) => "tunnel",
        (4, 2) => "transport",
        (4, 3) => "UDP-tunnel",
        (4, 4) => "UDP-transport",
        (5, algorithm) => return authentication_algorithm(algorithm),
        (14, 1) => "none",
        (14, 2) => "source-only",
        (14, 3) => "destination-only",
        (14, 4) => "source-and-destination",
        (15, 1) => "sender-only",
        (15, 2) => "receiver-only",
        (15, 3) => "symmetric",
        _ => return None,
    })
}

const fn authentication_algorithm(value: u64) -> Option<&'static str> {
    Some(match value {
        1 => "HMAC-MD5",
        2 => "HMAC-SHA1",
        3 => "DES-MAC",
        4 => "KPDK",
        5 => "HMAC-SHA2-256",
        6 => "HMAC-SHA2-384",
        7 => "HMAC-SHA2-512",
        8 => "HMAC-RIPEMD",
        9 => "AES-XCBC-MAC",
        10 => "SIG-RSA",
        11 => "AES-128-GMAC",
        12 => "AES-192-GMAC",
        13 => "AES-256-GMAC",
        _ => return None,
    })
}

/// Names a transform of ESP.
#[must_use]
pub const fn esp_transform(id: u8) -> Option<&'static str> {
    Some(match id {
        1 => "DES-IV64",
        2 => "DES-CBC",
        3 => "3DES-CBC",
        4 => "RC5",
        5 => "IDEA",
        6 => "CAST",
        7 => "Blowfish",
        8 => "3IDEA",
        9 => "DES-IV32",
        10 => "RC4",
        11 => "NULL",
        12 => "AES-CBC",
        13 => "AES-CTR",
        14 => "AES-CCM-8",
        15 => "AES-CCM-12",
        16 => "AES-CCM-16",
        18 => "AES-GCM-8",
        19 => "AES-GCM-12",
        20 => "AES-GCM-16",
        21 => "SEED-CBC",
        22 => "Camellia",
        23 => "NULL-AUTH-AES-GMAC",
        _ => return None,
    })
}

/// Names a transform of AH.
#[must_use]
pub const fn ah_transform(id: u8) -> Option<&'static str> {
    Some(match id {
        2 => "MD5",
        3 => "SHA-1",
        4 => "DES",
        5 => "SHA2-256",
        6 => "SHA2-384",
        7 => "SHA2-512",
        8 => "RIPEMD",
        9 => "AES-XCBC-MAC",
        10 => "RSA",
        11 => "AES-128-GMAC",
        12 => "AES-192-GMAC",
        13 => "AES-256-GMAC",
        _ => return None,
    })
}

/// Names the transform of an SA TEK under its protocol.
#[must_use]
pub const fn tek_transform(protocol_id: u8, id: u8) -> Option<&'static str> {
    match protocol_id {
        1 => esp_transform(id),
        2 => ah_transform(id),
        _ => None,
    }
}

/// Names a GAP attribute class.
#[must_use]
pub const fn gap_attribute(class: u16) -> Option<&'static str> {
    Some(match class {
        1 => "activation-time-delay",
        2 => "deactivation-time-delay",
        3 => "sender-id-request",
        240 => "replay (reference form)",
        241 => "pseudotime (reference form)",
        242 => "d3p-type (reference form)",
        243 => "d3p-window-ms (reference form)",
        244 => "group-direction (reference form)",
        _ => return None,
    })
}

/// Names the value of a GAP attribute.
#[must_use]
pub const fn gap_value(class: u16, value: u64) -> Option<&'static str> {
    Some(match (class, value) {
        (242, 1) => "POSIX-TIME",
        (244, 2) => "receive-only",
        (244, 3) => "symmetric",
        _ => return None,
    })
}

/// Names the type of a key packet.
#[must_use]
pub const fn kd_type(value: u8) -> Option<&'static str> {
    Some(match value {
        1 => "TEK",
        2 => "KEK",
        3 => "LKH",
        4 => "SID",
        _ => return None,
    })
}

/// Names an attribute class of a key packet of that type.
#[must_use]
pub const fn key_attribute(kd_type: u8, class: u16) -> Option<&'static str> {
    Some(match (kd_type, class) {
        (1, 1) => "tek-algorithm-key",
        (1, 2) => "tek-integrity-key",
        (1, 3) => "tek-source-auth-key",
        (2, 1) => "kek-algorithm-key",
        (2, 2) | (3, 3) => "sig-algorithm-key",
        (3, 1) => "lkh-download-array",
        (3, 2) => "lkh-update-array",
        (4, 1) => "number-of-sid-bits",
        (4, 2) => "sid-value",
        _ => return None,
    })
}

/// Names the encoding of a certificate.
#[must_use]
pub const fn certificate_encoding(value: u8) -> Option<&'static str> {
    Some(match value {
        1 => "PKCS#7 X.509",
        2 => "PGP",
        3 => "DNS key",
        4 => "X.509 signature",
        5 => "X.509 key exchange",
        6 => "Kerberos",
        7 => "CRL",
        8 => "ARL",
        9 => "SPKI",
        10 => "X.509 attribute",
        _ => return None,
    })
}

/// Writes octets as lowercase hexadecimal digits.
#[must_use]
pub fn hex(octets: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('?');
    octets.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 0xf)]).collect()
}

/// Writes the data of an identity or selector in the way its type is usually written, else as hexadecimal digits.
#[must_use]
pub fn identity_data(id_type: IdType, data: &[u8]) -> String {
    let separator = match id_type {
        IdType::IPV4_SUBNET | IdType::IPV6_SUBNET => "/",
        _ => "-",
    };
    let written = match id_type {
        IdType::IPV4_ADDR => one(data, v4),
        IdType::IPV6_ADDR => one(data, v6),
        IdType::IPV4_SUBNET | IdType::IPV4_RANGE => two(data, separator, v4),
        IdType::IPV6_SUBNET | IdType::IPV6_RANGE => two(data, separator, v6),
        IdType::FQDN | IdType::USER_FQDN => std::str::from_utf8(data)
            .ok()
            .filter(|text| text.chars().all(|character| character.is_ascii_graphic()))
            .map(str::to_owned),
        IdType::KEY_ID => <[u8; 4]>::try_from(data).ok().map(|group| u32::from_be_bytes(group).to_string()),
        _ => None,
    };
    written.unwrap_or_else(|| hex(data))
}

fn v4(octets: [u8; 4]) -> String {
    Ipv4Addr::from(octets).to_string()
}

fn v6(octets: [u8; 16]) -> String {
    Ipv6Addr::from(octets).to_string()
}

fn one<const N: usize>(data: &[u8], write: fn([u8; N]) -> String) -> Option<String> {
    data.try_into().ok().map(write)
}

fn two<const N: usize>(data: &[u8], separator: &str, write: fn([u8; N]) -> String) -> Option<String> {
    let (first, second) = data.split_first_chunk::<N>()?;
    Some(format!("{}{separator}{}", write(*first), one(second, write)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_written_as_people_write_them() {
        assert_eq!(identity_data(IdType::IPV4_ADDR, &[10, 0, 0, 1]), "10.0.0.1");
        assert_eq!(identity_data(IdType::IPV4_SUBNET, &[10, 0, 0, 0, 255, 0, 0, 0]), "10.0.0.0/255.0.0.0");
        assert_eq!(identity_data(IdType::IPV4_RANGE, &[10, 0, 0, 1, 10, 0, 0, 9]), "10.0.0.1-10.0.0.9");
        assert_eq!(identity_data(IdType::FQDN, b"gm1.example"), "gm1.example");
        assert_eq!(identity_data(IdType::FQDN, b"a\x1b[31m"), "611b5b33316d");
        assert_eq!(identity_data(IdType::KEY_ID, &[0, 0, 4, 0xd2]), "1234");
        assert_eq!(identity_data(IdType::IPV4_ADDR, &[10, 0]), "0a00");
        assert_eq!(hex(&[0x0f, 0xa0]), "0fa0");
    }

    #[test]
    fn one_number_has_different_names_in_different_registries() {
        assert_eq!(ike_value(2, 4), Some("SHA2-256"));
        assert_eq!(kek_value(5, 3), Some("SHA2-256"));
        assert_eq!(tek_value(5, 5), Some("HMAC-SHA2-256"));
        assert_eq!(key_attribute(2, 2), key_attribute(3, 3));
        assert_eq!(key_attribute(3, 2), Some("lkh-update-array"));
        assert_eq!(esp_transform(17), None);
        assert_eq!((tek_transform(1, 12), tek_transform(2, 12)), (Some("AES-CBC"), Some("AES-192-GMAC")));
    }
}
