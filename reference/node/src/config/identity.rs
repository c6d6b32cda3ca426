//! Phase 1 identities as text.

use std::net::IpAddr;

use der::Encode;
use hallmark_wire::isakmp::{IdType, Identification};
use x509_cert::name::RdnSequence;

/// Reads an identity of the form `type:value`: `ipv4:10.0.0.2`, `ipv6:2001:db8::1`, `fqdn:gm1.example`,
/// `user-fqdn:me@example`, `dn:CN=gm1,O=Lab`, `key-id:1234` (4 octets) or `key-id:0x00ff..`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_identity(text: &str) -> Result<Identification, String> {
    let (kind, value) = text.split_once(':').ok_or_else(|| {
        format!("`{text}` is no identity, expected type:value like ipv4:10.0.0.2 or fqdn:gm1.example")
    })?;
    from_parts(kind, value)
}

/// Makes an identity from its type and value.
pub(super) fn from_parts(kind: &str, value: &str) -> Result<Identification, String> {
    match kind {
        "ipv4" | "ipv6" => match value.parse::<IpAddr>() {
            Ok(ip) if ip.is_ipv4() == (kind == "ipv4") => Ok(Identification::from_ip(ip)),
            _ => Err(format!("`{value}` is no {} address", if kind == "ipv4" { "IPv4" } else { "IPv6" })),
        },
        "fqdn" => text_identity(IdType::FQDN, value),
        "user-fqdn" if value.contains('@') => text_identity(IdType::USER_FQDN, value),
        "user-fqdn" => Err(format!("`{value}` is no user-fqdn, expected user@domain")),
        "dn" => distinguished_name(value).map(|data| identification(IdType::DER_DN, data)),
        "key-id" => key_id(value).map(|data| identification(IdType::KEY_ID, data)),
        _ => Err(format!(
            "unknown identity type `{kind}`, expected one of `ipv4`, `ipv6`, `fqdn`, `user-fqdn`, `dn`, `key-id`"
        )),
    }
}

/// Gives the subject of a DER certificate as an identity.
pub(super) fn subject_of(certificate: &[u8]) -> Result<Identification, String> {
    let parsed = <x509_cert::Certificate as der::Decode>::from_der(certificate)
        .map_err(|error| format!("the certificate cannot be read: {error}"))?;
    let data = parsed
        .tbs_certificate()
        .subject()
        .to_der()
        .map_err(|error| format!("the subject of the certificate cannot be written: {error}"))?;
    Ok(identification(IdType::DER_DN, data))
}

fn text_identity(id_type: IdType, value: &str) -> Result<Identification, String> {
    if value.is_empty() {
        return Err("an identity cannot be empty".to_owned());
    }
    Ok(identification(id_type, value.as_bytes().to_vec()))
}

const fn identification(id_type: IdType, data: Vec<u8>) -> Identification {
    Identification { id_type, protocol: 0, port: 0, data }
}

fn distinguished_name(value: &str) -> Result<Vec<u8>, String> {
    let bad = |error: der::Error| format!("`{value}` is no distinguished name like CN=gm1,O=Lab: {error}");
    value.parse::<RdnSequence>().map_err(bad)?.to_der().map_err(bad)
}

fn key_id(value: &str) -> Result<Vec<u8>, String> {
    if let Some(digits) = value.strip_prefix("0x") {
        return hex::decode(digits)
            .map_err(|_| format!("`{value}` is no key id, expected a number or 0x and hex digits"));
    }
    value
        .parse::<u32>()
        .map(|number| number.to_be_bytes().to_vec())
        .map_err(|_| format!("`{value}` is no key id, expected a number or 0x and hex digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_gives_its_octets() {
        let data = |text| parse_identity(text).map(|identity| (identity.id_type, identity.data));
        assert_eq!(data("ipv4:10.0.0.2"), Ok((IdType::IPV4_ADDR, vec![10, 0, 0, 2])));
        assert_eq!(data("ipv6:::1").map(|(kind, octets)| (kind, octets.len())), Ok((IdType::IPV6_ADDR, 16)));
        assert_eq!(data("fqdn:a.b"), Ok((IdType::FQDN, b"a.b".to_vec())));
        assert_eq!(data("user-fqdn:a@b"), Ok((IdType::USER_FQDN, b"a@b".to_vec())));
        assert_eq!(data("key-id:258"), Ok((IdType::KEY_ID, vec![0, 0, 1, 2])));
        assert_eq!(data("key-id:0xab"), Ok((IdType::KEY_ID, vec![0xab])));
        let (kind, name) = data("dn:CN=gm1").unwrap();
        assert_eq!(kind, IdType::DER_DN);
        // SEQUENCE { SET { SEQUENCE { OID 2.5.4.3, string } } }
        assert!(name.starts_with(&[0x30, 0x0e, 0x31, 0x0c, 0x30, 0x0a, 6, 3, 0x55, 4, 3]), "{name:02x?}");
    }

    #[test]
    fn what_is_no_identity_is_refused() {
        for text in
            ["10.0.0.2", "ipv4:::1", "ipv6:10.0.0.1", "fqdn:", "user-fqdn:a", "dn:nonsense", "key-id:x", "mac:1"]
        {
            assert!(parse_identity(text).is_err(), "{text}");
        }
    }
}
