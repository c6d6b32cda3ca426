//! UDP over the loopback interface: both ends of each datagram are known.
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::net::SocketAddr;
use std::time::Duration;

use hallmark_core::Datagram;
use hallmark_net::{NetError, PortSet, RawIp, UdpOptions};

fn set() -> PortSet {
    PortSet::new(UdpOptions { receive_buffer: 1 << 16, ..UdpOptions::default() }).unwrap()
}

fn next(ports: &mut PortSet) -> Option<Datagram> {
    for _ in 0..20 {
        if let Some(datagram) = ports.recv().unwrap() {
            return Some(datagram);
        }
        ports.wait(Duration::from_millis(100)).unwrap();
    }
    None
}

#[test]
fn a_datagram_travels_with_both_ends() {
    let (mut a, mut b) = (set(), set());
    let from = a.open("127.0.0.2:0".parse().unwrap()).unwrap();
    let to = b.open("127.0.0.3:0".parse().unwrap()).unwrap();
    let sent = Datagram::new(from, to, vec![7; 9000]);
    a.send(&sent).unwrap();
    let got = next(&mut b).unwrap();
    assert_eq!(got, sent);
    b.send(&got.reply(b"back".to_vec())).unwrap();
    let back = next(&mut a).unwrap();
    assert_eq!((back.src, back.dst, back.payload), (to, from, b"back".to_vec()));
    assert_eq!(a.recv().unwrap(), None);
}

#[test]
fn a_port_on_every_address_tells_which_was_meant_and_answers_from_it() {
    let (mut server, mut client) = (set(), set());
    let port = server.open("0.0.0.0:0".parse().unwrap()).unwrap().port();
    let from = client.open("127.0.0.4:0".parse().unwrap()).unwrap();
    for host in ["127.0.0.5", "127.0.0.6"] {
        let to = SocketAddr::new(host.parse().unwrap(), port);
        client.send(&Datagram::new(from, to, vec![1])).unwrap();
        let got = next(&mut server).unwrap();
        assert_eq!(got.dst, to);
        server.send(&got.reply(vec![2])).unwrap();
        assert_eq!(next(&mut client).unwrap().src, to);
    }
}

#[test]
fn ipv6_travels_with_both_ends_too() {
    let mut ports = set();
    let Ok(own) = ports.open("[::1]:0".parse().unwrap()) else {
        println!("no IPv6 on this host: skipped");
        return;
    };
    let mut any = set();
    let port = any.open("[::]:0".parse().unwrap()).unwrap().port();
    let to = SocketAddr::new("::1".parse().unwrap(), port);
    ports.send(&Datagram::new(own, to, vec![6])).unwrap();
    let got = next(&mut any).unwrap();
    assert_eq!((got.src, got.dst), (own, to));
    any.send(&got.reply(vec![7])).unwrap();
    assert_eq!(next(&mut ports).unwrap().payload, [7]);
}

#[test]
fn an_address_is_not_shared() {
    let (mut first, mut second) = (set(), set());
    let address = first.open("127.0.0.1:0".parse().unwrap()).unwrap();
    let error = second.open(address).unwrap_err();
    assert!(matches!(error, NetError::Listen { .. }));
    assert!(error.to_string().contains("another process listens there"), "{error}");
    let error = second.open("192.0.2.77:0".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("no interface has this address"), "{error}");
}

#[test]
fn only_an_open_port_can_send() {
    let mut ports = set();
    let own = ports.open("127.0.0.1:0".parse().unwrap()).unwrap();
    let other = SocketAddr::new("127.0.0.9".parse().unwrap(), own.port());
    let error = ports.send(&Datagram::new(other, own, vec![1])).unwrap_err();
    assert!(matches!(error, NetError::NoPort(address) if address == other));
}

#[test]
fn multicast_on_loopback_reaches_every_member_once() {
    let (mut sender, mut one, mut two) = (set(), set(), set());
    let from = sender.open("127.0.0.1:0".parse().unwrap()).unwrap();
    // The port of a sender is free for the group on any other address: take it as a free number.
    let group = SocketAddr::new("239.86.75.30".parse().unwrap(), from.port());
    for member in [&mut one, &mut two] {
        member.join(group, "127.0.0.1".parse().unwrap()).unwrap();
        member.join(group, "127.0.0.1".parse().unwrap()).unwrap();
    }
    sender.send(&Datagram::new(from, group, b"rekey".to_vec())).unwrap();
    for member in [&mut one, &mut two] {
        let got = next(member).unwrap();
        assert_eq!((got.src, got.dst, got.payload.as_slice()), (from, group, b"rekey".as_slice()));
        member.wait(Duration::from_millis(20)).unwrap();
        assert_eq!(member.recv().unwrap(), None);
    }
    one.leave(group);
    assert_eq!(one.groups().count(), 0);
    sender.send(&Datagram::new(from, group, b"again".to_vec())).unwrap();
    assert_eq!(next(&mut two).unwrap().payload, b"again");
    assert_eq!(one.recv().unwrap(), None);
}

#[test]
fn a_wait_without_traffic_lasts_its_time() {
    let mut ports = set();
    ports.open("127.0.0.1:0".parse().unwrap()).unwrap();
    let begun = std::time::Instant::now();
    assert!(!ports.wait(Duration::from_millis(30)).unwrap());
    assert!(begun.elapsed() >= Duration::from_millis(30));
}

#[test]
fn a_raw_packet_arrives_from_the_forged_source() {
    let raw = match RawIp::open() {
        Ok(raw) => raw,
        Err(NetError::RawNotPermitted) => {
            assert!(
                std::env::var_os("HALLMARK_NOTHING_SKIPPED").is_none(),
                "raw packets need root, and nothing may be skipped"
            );
            println!("no CAP_NET_RAW: skipped");
            return;
        }
        Err(other) => panic!("{other}"),
    };
    let mut ports = set();
    let to = ports.open("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut packet = vec![0x45, 0, 0, 31, 0, 1, 0, 0, 64, 17, 0, 0, 127, 9, 9, 9, 127, 0, 0, 1];
    packet.extend_from_slice(&777_u16.to_be_bytes());
    packet.extend_from_slice(&to.port().to_be_bytes());
    packet.extend_from_slice(&[0, 11, 0, 0, b'r', b'a', b'w']);
    raw.send(&packet).unwrap();
    let got = next(&mut ports).unwrap();
    assert_eq!((got.src, got.payload.as_slice()), ("127.9.9.9:777".parse().unwrap(), b"raw".as_slice()));
    assert!(matches!(raw.send(&[0; 4]), Err(NetError::NotIp(4))));
}
