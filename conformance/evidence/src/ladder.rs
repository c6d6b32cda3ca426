//! Who sent what to whom, as text.

use std::fmt::Write as _;

use hallmark_core::{Instant, Limits};
use hallmark_wire::ip;
use hallmark_wire::isakmp::{ExchangeType, Flags, Header, Message};

use crate::case::{Frame, Way};

/// Draws the ladder of frames: time, ends, what it is, remarks.
///
/// `describe` may say more about a frame than its clear octets do (its decrypted payloads, for example).
pub fn draw(title: &str, frames: &[Frame], describe: &dyn Fn(usize, &Frame) -> Option<String>) -> String {
    let mut text = String::new();
    let zero = frames.first().map_or(Instant::ZERO, |frame| frame.at);
    let last = frames.last().map_or(zero, |frame| frame.at);
    let span = last.saturating_since(zero).as_secs_f64();
    let _ = writeln!(text, "{title}: {} frames, {span:.3} s\n", frames.len());
    let ends: Vec<(String, String)> = frames.iter().map(|frame| ends(&frame.packet)).collect();
    let left = ends.iter().map(|(src, _)| src.chars().count()).max().unwrap_or(0);
    let right = ends.iter().map(|(_, dst)| dst.chars().count()).max().unwrap_or(0);
    for (number, (frame, (src, dst))) in frames.iter().zip(&ends).enumerate() {
        let time = frame.at.saturating_since(zero).as_secs_f64();
        let what = match frame.way {
            Way::Past => describe(number, frame).unwrap_or_else(|| summary(&frame.packet)),
            Way::Into => format!("into {}: {}", frame.port, traffic(&frame.packet)),
            Way::OutOf => format!("out of {}: {}", frame.port, traffic(&frame.packet)),
        };
        let _ = writeln!(text, "{:>4} {time:>12.6}  {src:left$} --> {dst:right$}  {what}", number + 1);
        for comment in &frame.comments {
            for line in comment.lines() {
                let _ = writeln!(text, "{:>19}| {line}", "");
            }
        }
    }
    text
}

/// Says in one line what a whole IP packet is, as far as it can be told without keys.
#[must_use]
pub fn summary(packet: &[u8]) -> String {
    let datagram = match ip::parse_udp(packet) {
        Ok(datagram) => datagram,
        Err(error) => {
            return match ip::route(packet) {
                Ok(route) if route.is_fragment => format!("IP fragment, {} octets", packet.len()),
                Ok(route) if route.protocol == 17 => format!("{} octets, {error}", packet.len()),
                Ok(route) => format!("{}, {} octets", upper(route.protocol, packet), packet.len()),
                Err(_) => format!("{} octets, {error}", packet.len()),
            };
        }
    };
    let natt = datagram.src.port() == 4500 || datagram.dst.port() == 4500;
    let payload = match datagram.payload.strip_prefix(&[0; 4]) {
        Some(rest) if natt => rest,
        _ if natt && datagram.payload == [0xff] => return "NAT keepalive".to_owned(),
        _ if natt => return format!("ESP in UDP, {} octets", datagram.payload.len()),
        _ => datagram.payload.as_slice(),
    };
    isakmp(payload)
}

/// Says what a packet of the data plane is: nobody looks for ISAKMP in it.
fn traffic(packet: &[u8]) -> String {
    match ip::route(packet) {
        Ok(route) if route.protocol == 17 && !route.is_fragment => format!("UDP, {} octets", packet.len()),
        _ => summary(packet),
    }
}

/// Names an upper layer that is not UDP, with the fields that tell one packet from the next.
fn upper(protocol: u8, packet: &[u8]) -> String {
    let payload = match ip::version(packet) {
        Some(6) => ip::Ipv6Packet::decode(packet).map(|ip| ip.payload.to_vec()),
        _ => ip::Ipv4Packet::decode(packet).map(|ip| ip.payload.to_vec()),
    }
    .unwrap_or_default();
    let word = |at: usize| {
        let octets: Option<[u8; 4]> = payload.get(at..at + 4).and_then(|octets| octets.try_into().ok());
        octets.map(u32::from_be_bytes)
    };
    match protocol {
        50 => match (word(0), word(4)) {
            (Some(spi), Some(seq)) => format!("ESP SPI {spi:08x} seq {seq}"),
            _ => "ESP, cut short".to_owned(),
        },
        6 => {
            let flags = payload.get(13).copied().unwrap_or(0);
            let names = [(2, "SYN"), (16, "ACK"), (1, "FIN"), (4, "RST"), (8, "PSH")];
            let set = names.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect::<Vec<_>>();
            let ports = word(0).map_or_else(String::new, |both| format!(" {} > {}", both >> 16, both & 0xffff));
            format!("TCP{ports} {}", set.join(" ")).trim_end().to_owned()
        }
        1 | 58 => match payload.get(..2) {
            Some([kind, code]) => format!("ICMP {kind}/{code}"),
            _ => "ICMP, cut short".to_owned(),
        },
        other => format!("IP protocol {other}"),
    }
}

fn isakmp(payload: &[u8]) -> String {
    let octets = payload.len();
    match Message::decode(payload) {
        Ok(message) => {
            let header = message.header;
            let name = exchange(header.exchange);
            let id = if header.message_id == 0 { String::new() } else { format!(" {:08x}", header.message_id) };
            let body = if header.flags.contains(Flags::ENCRYPTION) {
                format!("encrypted, first {}", header.next)
            } else {
                match message.chain(&Limits::default()) {
                    Ok(chain) => chain.kinds().iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                    Err(error) => format!("malformed: {error}"),
                }
            };
            format!("{name}{id}: {body} ({octets})")
        }
        Err(error) => match Header::decode(payload) {
            Ok(header) => format!("{}: malformed: {error} ({octets})", exchange(header.exchange)),
            Err(_) => format!("{octets} octets, no ISAKMP message"),
        },
    }
}

fn exchange(exchange: ExchangeType) -> String {
    match exchange {
        ExchangeType::PULL => "PULL".to_owned(),
        ExchangeType::PUSH => "PUSH".to_owned(),
        ExchangeType::PUSH_ACK => "PUSH-ACK".to_owned(),
        other => other.to_string(),
    }
}

fn ends(packet: &[u8]) -> (String, String) {
    match (ip::parse_udp(packet), ip::route(packet)) {
        (Ok(datagram), _) => (datagram.src.to_string(), datagram.dst.to_string()),
        (Err(_), Ok(route)) => (route.src.to_string(), route.dst.to_string()),
        _ => ("?".to_owned(), "?".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use hallmark_core::Datagram;
    use hallmark_wire::isakmp::{PayloadType, build_chain};

    use super::*;

    pub(crate) fn datagram(flags: u8, exchange: ExchangeType, payloads: &[(PayloadType, Vec<u8>)]) -> Vec<u8> {
        let built = build_chain(payloads);
        let header = Header {
            initiator_cookie: [1; 8],
            responder_cookie: [0; 8],
            next: built.first,
            version: 0x10,
            exchange,
            flags: Flags(flags),
            message_id: 0,
            length: 28 + u32::try_from(built.octets.len()).expect("short"),
        };
        [&header.encode()[..], &built.octets].concat()
    }

    fn packet(src: &str, dst: &str, payload: Vec<u8>) -> Vec<u8> {
        let datagram = Datagram::new(src.parse().expect("address"), dst.parse().expect("address"), payload);
        ip::udp_packet(&datagram, 1, false)
    }

    #[test]
    fn a_packet_is_named_as_far_as_its_clear_octets_tell() {
        let main =
            datagram(0, ExchangeType::MAIN, &[(PayloadType::SA, vec![0; 8]), (PayloadType::VENDOR_ID, vec![1; 16])]);
        let octets = main.len();
        let clear = packet("10.0.0.2:848", "10.0.0.1:848", main.clone());
        assert_eq!(summary(&clear), format!("main-mode: SA VID ({octets})"));
        let push = datagram(1, ExchangeType::PUSH, &[(PayloadType::SEQ, vec![0; 12])]);
        let encrypted = packet("10.0.0.1:848", "239.1.1.1:848", push.clone());
        assert_eq!(summary(&encrypted), format!("PUSH: encrypted, first SEQ ({})", push.len()));
        let marked = [&[0; 4][..], &main].concat();
        assert!(summary(&packet("10.0.0.2:4500", "10.0.0.1:4500", marked)).starts_with("main-mode"));
        assert_eq!(summary(&packet("10.0.0.2:4500", "10.0.0.1:4500", vec![0xff])), "NAT keepalive");
        assert!(summary(&packet("10.0.0.2:848", "10.0.0.1:848", main[..30].to_vec())).contains("malformed"));
        assert!(summary(&packet("10.0.0.2:848", "10.0.0.1:848", vec![1, 2])).contains("no ISAKMP"));
        assert!(summary(&[0x45]).contains("1 octets"));
        let long = packet("10.0.0.2:848", "10.0.0.1:848", vec![0; 2000]);
        assert!(summary(&ip::fragment_ipv4(&long, 1000)[1]).starts_with("IP fragment"));
    }

    #[test]
    fn packets_at_data_ports_show_their_way_protocol_spi_and_number() {
        let v4 = |protocol: u8, payload: &[u8]| {
            ip::Ipv4Header::new([10, 1, 0, 1].into(), [10, 2, 0, 1].into(), protocol).packet(payload)
        };
        let esp = [&0x1234_abcd_u32.to_be_bytes()[..], &7_u32.to_be_bytes(), &[0; 32]].concat();
        let syn = [&[0x9c, 0x40, 0, 80][..], &[0; 8], &[0x50, 2], &[0; 6]].concat();
        let packets = [
            (Way::Into, "lan0", packet("10.1.0.1:500", "10.2.0.1:848", vec![0; 9]), "into lan0: UDP, 37 octets"),
            (Way::OutOf, "wan0", v4(50, &esp), "out of wan0: ESP SPI 1234abcd seq 7, 60 octets"),
            (Way::Into, "lan0", v4(6, &syn), "into lan0: TCP 40000 > 80 SYN, 40 octets"),
            (Way::OutOf, "lan0", v4(1, &[3, 4, 0, 0]), "out of lan0: ICMP 3/4, 24 octets"),
            (Way::Into, "wan0", v4(50, &[1; 5]), "into wan0: ESP, cut short, 25 octets"),
        ];
        let frames: Vec<Frame> = packets
            .iter()
            .map(|(way, port, packet, _)| Frame {
                way: *way,
                port: (*port).to_owned(),
                packet: packet.clone(),
                ..Frame::default()
            })
            .collect();
        let text = draw("DP-001", &frames, &|_, _| Some("never asked".to_owned()));
        for (.., line) in &packets {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn the_ladder_shows_time_ends_content_and_remarks() {
        let main = datagram(0, ExchangeType::MAIN, &[(PayloadType::SA, vec![0; 8])]);
        let frame = |at, src, dst| Frame {
            at,
            packet: packet(src, dst, main.clone()),
            comments: vec!["held seq\nsecond line".into()],
            ..Frame::default()
        };
        let frames = [
            frame(Instant::from_secs(5), "10.0.0.2:848", "10.0.0.1:848"),
            frame(Instant::from_millis(6_250), "10.0.0.1:848", "10.0.0.2:40000"),
        ];
        let text = draw("REG-001", &frames, &|number, _| (number == 1).then(|| "told more".to_owned()));
        assert!(text.starts_with("REG-001: 2 frames, 1.250 s\n"), "{text}");
        assert!(text.contains("   1     0.000000  10.0.0.2:848 --> 10.0.0.1:848    main-mode: SA"), "{text}");
        assert!(text.contains("   2     1.250000  10.0.0.1:848 --> 10.0.0.2:40000  told more"), "{text}");
        assert!(text.contains("| second line"), "{text}");
    }
}
