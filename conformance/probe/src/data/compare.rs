//! What is different between two packets, field by field.

use hallmark_wire::ip::{Ipv4Packet, Ipv6Packet, version};

/// Names the fields in which a packet differs from the one that was sent; nothing when they are equal. The header
/// checksum of IPv4 is only named when it is wrong for the packet that came.
#[must_use]
pub fn differences(sent: &[u8], came: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut field = |name: &str, sent: &dyn std::fmt::Display, came: &dyn std::fmt::Display| {
        let (sent, came) = (sent.to_string(), came.to_string());
        if sent != came {
            found.push(format!("{name} {sent} -> {came}"));
        }
    };
    let (upper_sent, upper_came) = match (version(sent), version(came)) {
        (Some(4), Some(4)) => {
            let (Ok(a), Ok(b)) = (Ipv4Packet::decode(sent), Ipv4Packet::decode(came)) else {
                return vec!["one of them does not decode".to_owned()];
            };
            field("DSCP", &(a.header.traffic_class >> 2), &(b.header.traffic_class >> 2));
            field("ECN", &(a.header.traffic_class & 3), &(b.header.traffic_class & 3));
            field("total length", &a.header.total_len, &b.header.total_len);
            field("identification", &a.header.ident, &b.header.ident);
            field("DF", &a.header.dont_fragment, &b.header.dont_fragment);
            field("MF", &a.header.more_fragments, &b.header.more_fragments);
            field("fragment offset", &a.header.fragment_offset, &b.header.fragment_offset);
            field("TTL", &a.header.ttl, &b.header.ttl);
            field("protocol", &a.header.protocol, &b.header.protocol);
            field("header checksum", &"right", &if b.checksum_is_right() { "right" } else { "wrong" });
            field("source", &a.header.src, &b.header.src);
            field("destination", &a.header.dst, &b.header.dst);
            field("options", &format!("{:?}", a.header.options), &format!("{:?}", b.header.options));
            field("octets behind the packet", &a.trailing.len(), &b.trailing.len());
            (a.payload, b.payload)
        }
        (Some(6), Some(6)) => {
            let (Ok(a), Ok(b)) = (Ipv6Packet::decode(sent), Ipv6Packet::decode(came)) else {
                return vec!["one of them does not decode".to_owned()];
            };
            field("DSCP", &(a.header.traffic_class >> 2), &(b.header.traffic_class >> 2));
            field("ECN", &(a.header.traffic_class & 3), &(b.header.traffic_class & 3));
            field("flow label", &a.header.flow_label, &b.header.flow_label);
            field("payload length", &a.header.payload_len, &b.header.payload_len);
            field("next header", &a.header.next_header, &b.header.next_header);
            field("hop limit", &a.header.hop_limit, &b.header.hop_limit);
            field("source", &a.header.src, &b.header.src);
            field("destination", &a.header.dst, &b.header.dst);
            field("extension headers", &format!("{:?}", a.extensions), &format!("{:?}", b.extensions));
            field("fragment header", &format!("{:?}", a.fragment), &format!("{:?}", b.fragment));
            field("octets behind the packet", &a.trailing.len(), &b.trailing.len());
            (a.payload, b.payload)
        }
        (a, b) => {
            let name = |version: Option<u8>| version.map_or_else(|| "none".to_owned(), |version| version.to_string());
            return vec![format!("IP version {} -> {}", name(a), name(b))];
        }
    };
    if upper_sent != upper_came {
        let at = upper_sent.iter().zip(upper_came).position(|(a, b)| a != b);
        let at = at.unwrap_or_else(|| upper_sent.len().min(upper_came.len()));
        found.push(format!("payload from octet {at} on ({} octets -> {})", upper_sent.len(), upper_came.len()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Clear;

    #[test]
    fn each_changed_field_is_named_and_a_right_checksum_is_not() {
        let packet =
            Clear::udp("10.1.0.1:1".parse().expect("address"), "10.2.0.1:2".parse().expect("address"), b"data");
        let sent = packet.octets();
        assert_eq!(differences(&sent, &sent), Vec::<String>::new());
        assert_eq!(differences(&sent, &packet.clone().hops(63).octets()), ["TTL 64 -> 63"]);
        assert_eq!(differences(&sent, &packet.dscp(46).ecn(3).octets()), ["DSCP 0 -> 46", "ECN 0 -> 3"]);
        let mut wrong = sent.clone();
        wrong[8] = 63;
        assert_eq!(differences(&sent, &wrong), ["TTL 64 -> 63", "header checksum right -> wrong"]);
        let mut other = sent.clone();
        other[30] ^= 1;
        assert_eq!(differences(&sent, &other), ["payload from octet 10 on (12 octets -> 12)"]);
        assert_eq!(differences(&sent, &[0x60; 40]), ["IP version 4 -> 6"]);
    }
}
