//! What makes Wireshark open a capture: a configuration folder with keys, and a copy that it can decrypt.
//!
//! Wireshark reads a phase 1 SA whose DOI is 2 (GDOI) as a GDOI SA and so never learns cipher and hash. In the copy
//! the DOI and the situation of clear phase 1 SAs are those of IPsec; nothing else differs, and the frames say so.

use hallmark_core::Datagram;
use hallmark_wire::ip;
use hallmark_wire::isakmp::{ExchangeType, Flags, Header, Message, PayloadType};

use crate::keys::Secrets;

/// What stands beside a frame of the copy that differs from the capture.
pub const TWIN_REMARK: &str =
    "copy for Wireshark: DOI 2 -> 1 and situation 0 -> 1 in the phase 1 SA; the original is trace.pcapng";

/// Gives the lines of Wireshark's `ikev1_decryption_table`.
#[must_use]
pub fn ikev1_decryption_table(secrets: &Secrets) -> String {
    secrets.ike.iter().map(|sa| format!("{},{}\n", hex::encode(&sa.icookie.0), hex::encode(&sa.enc_key.0))).collect()
}

/// The lines of Wireshark's `preferences` that make it open ESP with the table [`esp_sa`].
pub const PREFERENCES: &str = "\
esp.enable_null_encryption_decode_heuristic: FALSE
esp.enable_encryption_decode: TRUE
esp.enable_authentication_check: TRUE
esp.do_esp_sequence_analysis: FALSE
";

/// Gives the lines of Wireshark's `esp_sa`: one for each TEK and IP version, whatever its addresses, since a group key
/// serves every pair of hosts. A transform that Wireshark does not know has none, and so has an SA with 64-bit numbers
/// (`+esn`), whose good packets Wireshark would call bad. The lines have the eight fields that every version knows; what
/// later ones added has defaults.
#[must_use]
pub fn esp_sa(secrets: &Secrets) -> String {
    let mut lines = String::new();
    for tek in &secrets.teks {
        let Some((cipher, mac)) = names(&tek.transform) else { continue };
        let key = |octets: &[u8]| if octets.is_empty() { String::new() } else { format!("0x{}", hex::encode(octets)) };
        for version in ["IPv4", "IPv6"] {
            let fields = [
                version,
                "*",
                "*",
                &format!("0x{}", hex::encode(&tek.spi.0)),
                cipher,
                &key(&tek.alg_key.0),
                mac,
                &key(&tek.integ_key.0),
            ];
            lines += &(fields.map(|field| format!("\"{field}\"")).join(",") + "\n");
        }
    }
    lines
}

/// Gives cipher and integrity algorithm of a transform as Wireshark calls them.
fn names(transform: &str) -> Option<(&'static str, &'static str)> {
    // `+esn` is no name of an algorithm, so it ends in `None` below.
    let (cipher, mac) = transform.split_once('+').unwrap_or((transform, ""));
    let cipher = match cipher {
        "null" => "NULL",
        "des" => "DES-CBC [RFC2405]",
        "3des" => "TripleDES-CBC [RFC2451]",
        "aes128-cbc" | "aes192-cbc" | "aes256-cbc" => "AES-CBC [RFC3602]",
        "aes128-gcm16" | "aes192-gcm16" | "aes256-gcm16" => "AES-GCM with 16 octet ICV [RFC4106]",
        "aes128-gcm12" | "aes192-gcm12" | "aes256-gcm12" => "AES-GCM with 12 octet ICV [RFC4106]",
        "aes128-gcm8" | "aes192-gcm8" | "aes256-gcm8" => "AES-GCM with 8 octet ICV [RFC4106]",
        _ => return None,
    };
    let mac = match mac {
        "" => "NULL",
        "hmac-md5" => "HMAC-MD5-96 [RFC2403]",
        "hmac-sha1" => "HMAC-SHA-1-96 [RFC2404]",
        "hmac-sha256" => "HMAC-SHA-256-128 [RFC4868]",
        "hmac-sha384" => "HMAC-SHA-384-192 [RFC4868]",
        "hmac-sha512" => "HMAC-SHA-512-256 [RFC4868]",
        _ => return None,
    };
    Some((cipher, mac))
}

/// Gives Wireshark's `decode_as_entries` for the ports that carry ISAKMP.
#[must_use]
pub fn decode_as_entries(ports: &[u16]) -> String {
    ports.iter().map(|port| format!("decode_as_entry: udp.port,{port},(none),ISAKMP\n")).collect()
}

/// Gives the packet as it stands in the copy, nothing when it stands there unchanged.
#[must_use]
pub fn twin(packet: &[u8]) -> Option<Vec<u8>> {
    let datagram = ip::parse_udp(packet).ok()?;
    let natt = datagram.src.port() == 4500 || datagram.dst.port() == 4500;
    let marker = if natt { 4 } else { 0 };
    let message = Message::decode(datagram.payload.get(marker..)?).ok()?;
    let phase1 = [ExchangeType::MAIN, ExchangeType::AGGRESSIVE].contains(&message.header.exchange);
    if !phase1 || message.header.flags.contains(Flags::ENCRYPTION) || message.header.next != PayloadType::SA {
        return None;
    }
    // Generic header (4), DOI (4), situation (4).
    if message.body.get(4..12)? != [0, 0, 0, 2, 0, 0, 0, 0] {
        return None;
    }
    let mut payload = datagram.payload.clone();
    let at = marker + Header::LEN + 4;
    payload.get_mut(at..at + 8)?.copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
    let ident = packet.get(4..6).map_or(0, |octets| octets.iter().fold(0, |sum, octet| sum << 8 | u16::from(*octet)));
    let dont_fragment = ip::version(packet) == Some(4) && packet.get(6).is_some_and(|octet| octet & 0x40 != 0);
    Some(ip::udp_packet(&Datagram { payload, ..datagram }, ident, dont_fragment))
}

#[cfg(test)]
mod tests {
    use hallmark_wire::isakmp::build_chain;

    use super::*;
    use crate::keys::tests::ike;

    fn main_mode(doi: u8, flags: u8) -> Vec<u8> {
        let body = [&[0, 0, 0, doi, 0, 0, 0, 0][..], &[9; 4]].concat();
        let built = build_chain(&[(PayloadType::SA, body)]);
        let header = Header {
            initiator_cookie: [1; 8],
            responder_cookie: [0; 8],
            next: built.first,
            version: 0x10,
            exchange: ExchangeType::MAIN,
            flags: Flags(flags),
            message_id: 0,
            length: 44,
        };
        let payload = [&header.encode()[..], &built.octets].concat();
        let ends = ("10.0.0.2:848".parse().expect("address"), "10.0.0.1:848".parse().expect("address"));
        ip::udp_packet(&Datagram::new(ends.0, ends.1, payload), 77, true)
    }

    #[test]
    fn only_the_doi_and_situation_of_a_clear_phase_1_sa_differ() {
        let original = main_mode(2, 0);
        let copy = twin(&original).expect("differs");
        let (a, b) = (ip::parse_udp(&original).expect("udp"), ip::parse_udp(&copy).expect("checksums are right"));
        let differing: Vec<usize> = (0..a.payload.len()).filter(|i| a.payload[*i] != b.payload[*i]).collect();
        assert_eq!(differing, [28 + 4 + 3, 28 + 4 + 7]);
        assert_eq!(&copy[..8], &original[..8], "identification and flags of the IP header are kept");
        assert_eq!(twin(&main_mode(1, 0)), None);
        assert_eq!(twin(&main_mode(2, 1)), None);
        assert_eq!(twin(&[0x45; 10]), None);
    }

    #[test]
    fn tables_have_the_form_that_wireshark_reads() {
        let secrets = Secrets::from_records("", &[ike()]);
        assert_eq!(ikev1_decryption_table(&secrets), format!("{},{}\n", "01".repeat(8), "07".repeat(32)));
        assert_eq!(decode_as_entries(&[848]), "decode_as_entry: udp.port,848,(none),ISAKMP\n");
    }

    #[test]
    fn an_sa_with_64_bit_numbers_has_no_line() {
        let tek = |transform: &str| crate::keys::KeyRecord::Tek {
            spi: 7,
            transform: transform.to_owned(),
            algorithm_key: vec![1; 20],
            integrity_key: Vec::new(),
        };
        let lines = |transform| esp_sa(&Secrets::from_records("", &[tek(transform)]));
        assert_eq!(lines("aes128-gcm16").lines().count(), 2);
        assert!(lines("aes128-gcm16").lines().all(|line| line.split(',').count() == 8));
        assert_eq!(lines("aes128-gcm16+esn"), "");
        assert_eq!(lines("aes128-cbc+hmac-sha256+esn"), "");
    }
}
