//! Frames over cables between network namespaces, by every kind of port.
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hallmark_net::frame::{self, spread};
use hallmark_net::{FramePort, Namespace, NetError, PortKind, PortSpec};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 0x99];
const SENDER: [u8; 6] = [2, 0, 0, 0, 0, 0x11];
const EVERYBODY: [u8; 6] = [0xff; 6];
const ETHERNET: [PortKind; 2] = [PortKind::Packet, PortKind::Xdp];

/// Two namespaces and a cable: `a0` at the tester's end, `b0` at the end of the port under test.
struct Cable {
    a: Namespace,
    b: Namespace,
}

impl Cable {
    /// Lays a cable, or says why there is none.
    fn lay(mtu: u16) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |end| format!("hm-ports-{}-{number}{end}", std::process::id());
        let made = || -> Result<Self, NetError> {
            let cable = Self { a: Namespace::create(name('a'))?, b: Namespace::create(name('b'))? };
            cable.a.connect("a0", &cable.b, "b0", mtu)?;
            Ok(cable)
        };
        match made() {
            Ok(cable) => Some(cable),
            Err(error) => {
                assert!(std::env::var_os("HALLMARK_NOTHING_SKIPPED").is_none(), "nothing may be skipped: {error}");
                println!("skipped: {error}");
                None
            }
        }
    }

    /// The tester's port takes everything.
    fn tester(&self) -> Box<dyn FramePort> {
        let spec = PortSpec { own_frames: true, ..PortSpec::new(PortKind::Packet, "a0") };
        self.a.enter(|| frame::open(&spec)).unwrap().unwrap()
    }

    fn port(&self, kind: PortKind) -> Box<dyn FramePort> {
        self.b.enter(|| frame::open(&PortSpec::new(kind, "b0"))).unwrap().unwrap()
    }

    /// The hardware address of the interface under test.
    fn own_mac(&self) -> [u8; 6] {
        let said = self.b.run("cat", &["/sys/class/net/b0/address"]).unwrap();
        let octets: Vec<u8> = said.trim().split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect();
        octets.try_into().unwrap()
    }
}

fn ethernet(to: [u8; 6], kind: [u8; 2], payload: &[u8]) -> Vec<u8> {
    [&to[..], &SENDER, &kind, payload].concat()
}

/// An IPv4 packet of a protocol that nobody interprets, from 10.0.0.`src` to 10.0.0.`dst`.
fn ipv4(src: u8, dst: u8, fragment: u16, length: usize) -> Vec<u8> {
    let total = u16::try_from(length).unwrap().to_be_bytes();
    let part = fragment.to_be_bytes();
    let mut packet = vec![0x45, 0, total[0], total[1], 0, 1, part[0], part[1], 64, 253, 0, 0];
    packet.extend_from_slice(&[10, 0, 0, src, 10, 0, 0, dst]);
    packet.extend((20..length).map(|n| u8::try_from(n % 251).unwrap()));
    packet
}

/// Waits for `count` frames, at most two seconds for the first and then for as long as they keep coming.
fn collect(port: &mut dyn FramePort, count: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut deadline = Instant::now() + Duration::from_secs(2);
    while frames.len() < count && Instant::now() < deadline {
        let got = port.receive(64, &mut |frame| frames.push(frame.to_vec())).unwrap();
        if got > 0 {
            deadline = Instant::now() + Duration::from_secs(1);
        } else {
            wait(port, 100);
        }
    }
    frames
}

fn wait(port: &dyn FramePort, millis: u8) -> PollFlags {
    let mut ports = [PollFd::new(port.as_fd(), PollFlags::POLLIN)];
    poll(&mut ports, PollTimeout::from(millis)).unwrap();
    ports[0].revents().unwrap()
}

/// Nothing more arrives within a moment.
fn silent(port: &mut dyn FramePort) -> bool {
    wait(port, 100);
    port.receive(64, &mut |_| ()).unwrap() == 0
}

#[test]
fn frames_of_every_size_cross_octet_for_octet_in_both_directions() {
    for kind in ETHERNET {
        for (mtu, sizes) in
            [(1500, (60..=1514).step_by(7).chain([1514]).collect::<Vec<_>>()), (9000, vec![60, 1800, 4096, 9014])]
        {
            let Some(cable) = Cable::lay(mtu) else { return };
            let (mut tester, mut port) = (cable.tester(), cable.port(kind));
            assert_eq!((port.mtu(), port.has_link_header()), (mtu, true));
            let frames: Vec<Vec<u8>> =
                sizes.iter().map(|size| ethernet(STRANGER, [8, 0], &ipv4(1, 2, 0, size - 14))).collect();
            let slices: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
            assert_eq!(tester.send(&slices).unwrap(), frames.len());
            assert_eq!(collect(port.as_mut(), frames.len()), frames, "{kind} inwards, MTU {mtu}");
            assert_eq!(port.send(&slices).unwrap(), frames.len());
            assert_eq!(collect(tester.as_mut(), frames.len()), frames, "{kind} outwards, MTU {mtu}");
            assert!(silent(port.as_mut()) && silent(tester.as_mut()), "{kind}: what a port sends is not received");
            let counters = port.counters();
            assert_eq!((counters.received, counters.sent), (frames.len() as u64, frames.len() as u64));
            assert_eq!((counters.kernel_drops, counters.send_failures, counters.too_long), (0, 0, 0));
        }
    }
}

#[test]
fn a_long_burst_crosses_in_order() {
    for kind in ETHERNET {
        let Some(cable) = Cable::lay(1500) else { return };
        let (mut tester, mut port) = (cable.tester(), cable.port(kind));
        let mut serial = 0_u32;
        // More frames than any ring holds, each way.
        for _ in 0..200 {
            let burst: Vec<Vec<u8>> = (0..64)
                .map(|n| {
                    let mut frame = ethernet(STRANGER, [8, 0], &ipv4(1, 2, 0, 100));
                    frame[40..44].copy_from_slice(&(serial + n).to_be_bytes());
                    frame
                })
                .collect();
            serial += 64;
            let slices: Vec<&[u8]> = burst.iter().map(Vec::as_slice).collect();
            assert_eq!(tester.send(&slices).unwrap(), 64);
            let got = collect(port.as_mut(), 64);
            assert_eq!(got, burst, "{kind} inwards at {serial}");
            let slices: Vec<&[u8]> = got.iter().map(Vec::as_slice).collect();
            assert_eq!(port.send(&slices).unwrap(), 64);
            assert_eq!(collect(tester.as_mut(), 64), burst, "{kind} outwards at {serial}");
        }
    }
}

#[test]
fn vlan_tags_stay_in_their_place() {
    for kind in ETHERNET {
        let Some(cable) = Cable::lay(1500) else { return };
        let (mut tester, mut port) = (cable.tester(), cable.port(kind));
        let inner = [&[0, 7, 8, 0][..], &ipv4(1, 2, 0, 1500)].concat();
        let outer = [&[0x20, 9, 0x81, 0][..], &inner].concat();
        let frames = [ethernet(STRANGER, [0x81, 0], &inner), ethernet(STRANGER, [0x88, 0xa8], &outer)];
        let slices = [frames[0].as_slice(), &frames[1]];
        // The longest frame has a single tag: the kernel sends none with two.
        assert_eq!(tester.send(&slices[..1]).unwrap(), 1);
        assert_eq!(collect(port.as_mut(), 1), frames[..1], "{kind}");
        let short = [frames[1][..300].to_vec()];
        assert_eq!(tester.send(&[&short[0]]).unwrap(), 1);
        assert_eq!(collect(port.as_mut(), 1), short, "{kind}");
        assert_eq!(port.send(&slices[..1]).unwrap(), 1);
        assert_eq!(collect(tester.as_mut(), 1), frames[..1], "{kind}");
    }
}

#[test]
fn frames_for_the_interface_itself_are_left_to_the_kernel_and_those_for_everybody_reach_both() {
    for kind in ETHERNET {
        let Some(cable) = Cable::lay(1500) else { return };
        cable.b.ip(&["address", "add", "10.0.0.2/24", "dev", "b0"]).unwrap();
        cable.b.ip(&["neighbour", "add", "10.0.0.1", "lladdr", "02:00:00:00:00:11", "dev", "b0"]).unwrap();
        let (mut tester, mut port) = (cable.tester(), cable.port(kind));
        let own = cable.own_mac();
        let mut echo = vec![0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0x66, 0xde, 10, 0, 0, 1, 10, 0, 0, 2];
        echo.extend_from_slice(&[8, 0, 0xf7, 0xfd, 0, 1, 0, 1]);
        tester.send(&[&ethernet(own, [8, 0], &echo)]).unwrap();
        let answer = collect(tester.as_mut(), 1);
        assert_eq!(answer.len(), 1, "{kind}: the kernel answers the echo");
        assert_eq!((&answer[0][..6], &answer[0][23..24], answer[0][34]), (&SENDER[..], &[1][..], 0), "{kind}");
        assert!(silent(port.as_mut()), "{kind}: the echo is not the bridge's, and neither is the answer");
        // Who has 10.0.0.2? The kernel answers, and the bridge carries the question on.
        let mut question = vec![0, 1, 8, 0, 6, 4, 0, 1];
        question.extend_from_slice(&SENDER);
        question.extend_from_slice(&[10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
        question.resize(46, 0);
        let question = ethernet(EVERYBODY, [8, 6], &question);
        tester.send(&[&question]).unwrap();
        assert_eq!(collect(port.as_mut(), 1), std::slice::from_ref(&question), "{kind}");
        let answer = collect(tester.as_mut(), 1);
        assert_eq!((&answer[0][..14], answer[0][21]), (&[&SENDER[..], &own, &[8, 6]].concat()[..], 2), "{kind}");
        // Groups as well: a rekey may be for this member and for those behind it.
        let group = ethernet([1, 0, 0x5e, 1, 2, 3], [8, 0], &ipv4(1, 9, 0, 60));
        tester.send(&[&group]).unwrap();
        assert_eq!(collect(port.as_mut(), 1), [group], "{kind}");
        assert!(silent(port.as_mut()));
    }
}

#[test]
fn a_port_may_take_the_frames_of_its_interface_too() {
    for kind in ETHERNET {
        let Some(cable) = Cable::lay(1500) else { return };
        let mut tester = cable.tester();
        let spec = PortSpec { own_frames: true, ..PortSpec::new(kind, "b0") };
        let mut port = cable.b.enter(|| frame::open(&spec)).unwrap().unwrap();
        let own = ethernet(cable.own_mac(), [8, 0], &ipv4(1, 2, 0, 60));
        tester.send(&[&own]).unwrap();
        assert_eq!(collect(port.as_mut(), 1), [own], "{kind}");
    }
}

#[test]
fn checksums_left_open_by_a_local_sender_are_completed() {
    for kind in ETHERNET {
        let Some(cable) = Cable::lay(1500) else { return };
        let mut port = cable.port(kind);
        cable.a.ip(&["address", "add", "10.0.0.1/24", "dev", "a0"]).unwrap();
        cable.a.ip(&["neighbour", "add", "10.0.0.9", "lladdr", "02:00:00:00:00:99", "dev", "a0"]).unwrap();
        let socket = cable.a.enter(|| UdpSocket::bind("10.0.0.1:7000")).unwrap().unwrap();
        for length in [0, 1, 100, 1472] {
            socket.send_to(&vec![0x5a; length], "10.0.0.9:7001").unwrap();
        }
        let frames = collect(port.as_mut(), 4);
        assert_eq!(frames.len(), 4, "{kind}");
        for frame in &frames {
            assert_eq!(udp_sum(frame), 0xffff, "{kind}");
        }
        assert_eq!(port.counters().checksums_completed, 4, "{kind}");
    }
}

/// Adds up pseudo header and datagram of a frame of IPv4 without options: all ones when its checksum is right.
fn udp_sum(frame: &[u8]) -> u16 {
    let datagram = &frame[34..];
    let mut octets = frame[26..34].to_vec();
    octets.extend_from_slice(&[0, 17]);
    octets.extend_from_slice(&u16::try_from(datagram.len()).unwrap().to_be_bytes());
    octets.extend_from_slice(datagram);
    octets.resize(octets.len().next_multiple_of(2), 0);
    let sum: u32 = octets.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()
}

#[test]
fn packets_glued_together_by_offloading_are_refused_and_counted() {
    for kind in ETHERNET {
        let Some(cable) = Cable::lay(1500) else { return };
        let mut port = cable.port(kind);
        cable.a.ip(&["address", "add", "10.0.0.1/24", "dev", "a0"]).unwrap();
        cable.a.ip(&["neighbour", "add", "10.0.0.9", "lladdr", "02:00:00:00:00:99", "dev", "a0"]).unwrap();
        let socket = cable.a.enter(|| UdpSocket::bind("10.0.0.1:7000")).unwrap().unwrap();
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::UdpGsoSegment, &1000).unwrap();
        socket.send_to(&[7; 3000], "10.0.0.9:7001").unwrap();
        assert!(silent(port.as_mut()), "{kind}");
        let counters = port.counters();
        assert_eq!((counters.received, counters.too_long + counters.kernel_drops), (0, 1), "{kind}: {counters:?}");
        // With the advice followed, the same call makes frames that fit.
        cable.a.run("ethtool", &["-K", "a0", "tso", "off", "gso", "off", "gro", "off", "tx", "off"]).unwrap();
        socket.send_to(&[7; 3000], "10.0.0.9:7001").unwrap();
        let frames = collect(port.as_mut(), 3);
        assert_eq!(frames.iter().map(Vec::len).collect::<Vec<_>>(), [1042; 3], "{kind}");
        assert!(frames.iter().all(|frame| udp_sum(frame) == 0xffff), "{kind}");
    }
}

#[test]
fn workers_of_a_packet_port_share_it_by_host_pairs() {
    let Some(cable) = Cable::lay(1500) else { return };
    let mut tester = cable.tester();
    let spec = PortSpec::new(PortKind::Packet, "b0");
    let mut ports = cable.b.enter(|| frame::open_workers(&spec, 3)).unwrap().unwrap();
    for src in 1..40_u8 {
        let dst = src.wrapping_mul(7) | 0x80;
        let mut frames = vec![
            ethernet(STRANGER, [8, 0], &ipv4(src, dst, 0, 100)),
            ethernet(STRANGER, [8, 0], &ipv4(dst, src, 0x2000, 100)),
            ethernet(STRANGER, [8, 0], &ipv4(dst, src, 10, 60)),
        ];
        let mut v6 = vec![0x60, 0, 0, 0, 0, 0, 59, 64];
        v6.extend((0..32).map(|n| if n == 15 { src } else { u8::from(n == 31) * dst }));
        let worker_of = |packet: &[u8]| usize::try_from(spread(packet) % 3).unwrap();
        let (worker4, worker6) = (worker_of(&frames[0][14..]), worker_of(&v6));
        frames.push(ethernet(STRANGER, [0x86, 0xdd], &v6));
        let slices: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        tester.send(&slices).unwrap();
        for (worker, port) in ports.iter_mut().enumerate() {
            let mut wanted = Vec::new();
            if worker == worker4 {
                wanted.extend_from_slice(&frames[..3]);
            }
            if worker == worker6 {
                wanted.push(frames[3].clone());
            }
            assert_eq!(collect(port.as_mut(), wanted.len()), wanted, "worker {worker}");
            assert_eq!(port.receive(9, &mut |_| ()).unwrap(), 0, "worker {worker}");
        }
    }
    assert!(ports.iter().all(|port| port.counters().received > 10), "every worker has had its share");
}

#[test]
fn a_tun_device_carries_packets_both_ways_and_its_queues_keep_host_pairs() {
    let Some(cable) = Cable::lay(1500) else { return };
    for workers in [1, 3] {
        let spec = PortSpec { mtu: Some(9000), ..PortSpec::new(PortKind::Tun, "tun0") };
        let mut ports = cable.b.enter(|| frame::open_workers(&spec, workers)).unwrap().unwrap();
        assert_eq!((ports[0].mtu(), ports[0].has_link_header()), (9000, false));
        cable.b.ip(&["address", "add", "10.7.0.1/16", "dev", "tun0"]).unwrap();
        let socket = cable.b.enter(|| UdpSocket::bind("10.7.0.1:7000")).unwrap().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        for host in 1..=40_u8 {
            let payload = vec![host; usize::from(host) * 220];
            socket.send_to(&payload, format!("10.7.1.{host}:7001")).unwrap();
            let mut wanted = [10, 7, 0, 1, 10, 7, 1, host];
            let mut head = vec![0x45; 12];
            head.extend_from_slice(&wanted);
            let worker = usize::try_from(spread(&head) % u32::from(workers)).unwrap();
            let packet = collect(ports[worker].as_mut(), 1).pop().unwrap();
            assert_eq!((&packet[12..20], &packet[28..]), (&wanted[..], payload.as_slice()));
            assert_eq!(udp_sum(&[&[0; 14][..], &packet].concat()), 0xffff, "the kernel completes checksums for TUN");
            // The same packet turned round is an answer.
            let mut back = packet.clone();
            wanted.rotate_left(4);
            back[12..20].copy_from_slice(&wanted);
            back[20..24].copy_from_slice(&[packet[22], packet[23], packet[20], packet[21]]);
            assert_eq!(ports[0].send(&[&back]).unwrap(), 1);
            let mut buffer = vec![0; 9000];
            let (octets, from) = socket.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..octets], from.to_string()), (payload.as_slice(), format!("10.7.1.{host}:7001")));
        }
        let received: u64 = ports.iter().map(|port| port.counters().received).sum();
        assert_eq!((received, ports[0].counters().sent), (40, 40));
        assert_eq!(ports[0].counters().kernel_drops, 0);
        for _ in 0..2_000 {
            let _ = socket.send_to(&[0; 10], "10.7.9.9:9");
        }
        assert!(ports[0].counters().kernel_drops > 0, "a queue that nobody reads loses packets, and says so");
        ports[0].check().unwrap();
        drop(ports.split_off(1));
        // A packet port on the same device sees bare packets, and what it sends the device's owner reads.
        let bare = PortSpec::new(PortKind::Packet, "tun0");
        let mut injector = cable.b.enter(|| frame::open(&bare)).unwrap().unwrap();
        assert!(!injector.has_link_header());
        while ports[0].receive(64, &mut |_| ()).unwrap() > 0 {}
        let packet = ipv4(1, 2, 0, 9000);
        assert_eq!(injector.send(&[&packet]).unwrap(), 1);
        assert!(collect(ports[0].as_mut(), 1) == std::slice::from_ref(&packet), "into the device");
        assert_eq!(ports[0].send(&[&packet]).unwrap(), 1);
        assert!(collect(injector.as_mut(), 1) == [packet], "out of the device");
        let refused = cable.b.enter(|| frame::open(&PortSpec::new(PortKind::Xdp, "tun0")).map(|_| ())).unwrap();
        assert!(matches!(refused, Err(NetError::NotEthernet(_))));
        cable.b.ip(&["link", "del", "tun0"]).unwrap();
        assert!(matches!(ports[0].check(), Err(NetError::NoInterface(name)) if name == "tun0"));
    }
}

#[test]
fn closing_a_port_detaches_its_program() {
    let Some(cable) = Cable::lay(1500) else { return };
    let shown = || cable.b.run("ip", &["link", "show", "dev", "b0"]).unwrap();
    let port = cable.port(PortKind::Xdp);
    assert!(shown().contains("xdp"), "{}", shown());
    let again = cable.b.enter(|| frame::open(&PortSpec::new(PortKind::Xdp, "b0")).map(|_| ())).unwrap().unwrap_err();
    assert!(again.to_string().contains("another program"), "{again}");
    drop(port);
    assert!(!shown().contains("xdp"), "{}", shown());
    drop(cable.port(PortKind::Xdp));
}

#[test]
fn frames_that_nobody_takes_are_counted_as_lost() {
    for kind in ETHERNET {
        let Some(cable) = Cable::lay(1500) else { return };
        let mut tester = cable.tester();
        let spec = PortSpec { ring_octets: 1 << 18, ..PortSpec::new(kind, "b0") };
        let port = cable.b.enter(|| frame::open(&spec)).unwrap().unwrap();
        let frame = ethernet(STRANGER, [8, 0], &ipv4(1, 2, 0, 60));
        for _ in 0..20 {
            assert_eq!(tester.send(&[frame.as_slice(); 64]).unwrap(), 64);
        }
        let lost = port.counters().kernel_drops;
        assert!((500..1280).contains(&lost), "{kind}: {lost}");
        assert_eq!(port.counters().kernel_drops, lost, "{kind}: reading does not reset");
    }
}

#[test]
fn a_port_survives_an_interface_that_goes_down_and_up() {
    for kind in ETHERNET {
        let Some(cable) = Cable::lay(1500) else { return };
        let (mut tester, mut port) = (cable.tester(), cable.port(kind));
        let frame = ethernet(STRANGER, [8, 0], &ipv4(1, 2, 0, 60));
        cable.b.ip(&["link", "set", "b0", "down"]).unwrap();
        for _ in 0..3 {
            assert!(matches!(port.check(), Err(NetError::InterfaceDown(name)) if name == "b0"), "{kind}");
        }
        assert!(matches!(port.send(&[&frame, &frame]), Err(NetError::InterfaceDown(_))), "{kind}");
        assert_eq!((port.counters().sent, port.counters().send_failures), (0, 2), "{kind}");
        cable.b.ip(&["link", "set", "b0", "up"]).unwrap();
        tester.send(&[&frame]).unwrap();
        assert_eq!(collect(port.as_mut(), 1), std::slice::from_ref(&frame), "{kind}");
        port.check().unwrap();
        port.send(&[&frame]).unwrap();
        // A ring of AF_XDP keeps what it held when the interface went down, and sends it late.
        let held = if kind == PortKind::Xdp { 2 } else { 0 };
        assert_eq!(collect(tester.as_mut(), 1 + held), vec![frame; 1 + held], "{kind}");
        cable.b.ip(&["link", "del", "b0"]).unwrap();
        for _ in 0..3 {
            assert!(port.check().is_err(), "{kind}: gone");
        }
    }
}

#[test]
fn an_error_says_what_to_do() {
    let Some(cable) = Cable::lay(1500) else { return };
    for kind in ETHERNET {
        let open = |name: &str| {
            cable.b.enter(|| frame::open(&PortSpec::new(kind, name)).map(|_| ())).unwrap().unwrap_err().to_string()
        };
        assert!(open("eth7").contains("no interface eth7"), "{}", open("eth7"));
        assert!(open("a-name-that-is-far-too-long").contains("no interface"));
        cable.b.ip(&["link", "set", "b0", "down"]).unwrap();
        assert!(open("b0").contains("ip link set b0 up"), "{}", open("b0"));
        cable.b.ip(&["link", "set", "b0", "up"]).unwrap();
    }
    let not_tun = cable.b.enter(|| frame::open(&PortSpec::new(PortKind::Tun, "b0")).map(|_| ())).unwrap().unwrap_err();
    assert!(not_tun.to_string().contains("it is no TUN device"), "{not_tun}");
    let frame = ethernet(STRANGER, [8, 0], &ipv4(1, 2, 0, 1700));
    for kind in ETHERNET {
        let mut port = cable.port(kind);
        let short = &frame[..60];
        assert_eq!(
            port.send(&[&frame, short]).unwrap(),
            1,
            "{kind}: a frame that is too long does not stop the others"
        );
        assert_eq!((port.counters().sent, port.counters().send_failures), (1, 1), "{kind}");
    }
}
