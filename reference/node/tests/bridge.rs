//! A bridge between two cables, and between two devices, with real hosts on either side.
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hallmark_core::Rng;
use hallmark_datapath::{Config, Side};
use hallmark_net::{Clock, Namespace, NetError};
use hallmark_node::bridge::{Bridge, BridgeError};
use hallmark_node::config::{DataSetup, PortKind, PortSetup};
use hallmark_node::plane::{PlaneCommand, RemoteEvent, RemotePlane as _};

/// Two hosts, `10.9.0.1` and `10.9.0.2`, with the place of a bridge between them: `lan0` and `wan0` in `gm`.
struct Line {
    host: Namespace,
    gm: Namespace,
    far: Namespace,
}

impl Line {
    /// Lays the line, or says why there is none.
    fn lay() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = |what| Namespace::create(format!("hm-ports-{}-{number}{what}", std::process::id()));
        let made = || -> Result<Self, NetError> {
            let line = Self { host: namespace("host")?, gm: namespace("gm")?, far: namespace("far")? };
            line.host.connect("eth0", &line.gm, "lan0", 1500)?;
            line.gm.connect("wan0", &line.far, "eth0", 1500)?;
            line.host.ip(&["address", "add", "10.9.0.1/24", "dev", "eth0"])?;
            line.far.ip(&["address", "add", "10.9.0.2/24", "dev", "eth0"])?;
            for namespace in [&line.host, &line.far] {
                // No glued packets: a bridge refuses what is longer than the MTU.
                namespace.run("ethtool", &["-K", "eth0", "tso", "off", "gso", "off", "gro", "off"])?;
            }
            Ok(line)
        };
        match made() {
            Ok(line) => Some(line),
            Err(error) => {
                assert!(std::env::var_os("HALLMARK_NOTHING_SKIPPED").is_none(), "nothing may be skipped: {error}");
                println!("skipped: {error}");
                None
            }
        }
    }

    fn bridge(&self, kind: PortKind, workers: u8) -> Bridge {
        let config = Config { workers, ..Config::default() };
        self.open(&setup(kind, config)).unwrap()
    }

    fn open(&self, setup: &DataSetup) -> Result<Bridge, BridgeError> {
        self.gm.enter(|| Bridge::open(setup, &setup.plane, &Rng::from_u64(1), Clock::real())).unwrap()
    }

    /// Sends a datagram each way and says whether both arrived.
    fn talks(&self) -> bool {
        let socket = |namespace: &Namespace, address: &str| {
            let socket = namespace.enter(|| UdpSocket::bind(address)).unwrap().unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            socket
        };
        let (host, far) = (socket(&self.host, "10.9.0.1:5000"), socket(&self.far, "10.9.0.2:5000"));
        let mut buffer = [0; 2_000];
        (0..8).any(|attempt| {
            let payload = vec![attempt; 1_400];
            let there = host.send_to(&payload, "10.9.0.2:5000").is_ok() && far.recv(&mut buffer).is_ok();
            there && far.send_to(&payload, "10.9.0.1:5000").is_ok() && host.recv(&mut buffer).is_ok()
        })
    }
}

fn setup(kind: PortKind, plane: Config) -> DataSetup {
    let port = |interface: &str| PortSetup { kind, interface: interface.to_owned(), offload: false };
    DataSetup { plane, lan: port("lan0"), wan: port("wan0") }
}

/// Waits for an event that is as wanted.
fn await_event(bridge: &mut Bridge, wanted: impl Fn(&RemoteEvent) -> bool) -> RemoteEvent {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        while let Some(event) = bridge.poll_event() {
            if wanted(&event) {
                return event;
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no such event");
}

#[test]
fn hosts_find_each_other_and_talk_through_every_kind_of_port_and_any_number_of_workers() {
    for (kind, workers) in [(PortKind::Packet, 1), (PortKind::Packet, 3), (PortKind::Xdp, 1)] {
        let Some(line) = Line::lay() else { return };
        let mut bridge = line.bridge(kind, workers);
        // Their ARP, their datagrams and a connection: 2 MB through segments of the usual size.
        assert!(line.talks(), "{kind:?} with {workers} workers");
        let listener = line.far.enter(|| TcpListener::bind("10.9.0.2:6000")).unwrap().unwrap();
        let data: Vec<u8> = (0..2_000_000_u32).map(|n| u8::try_from(n % 253).unwrap()).collect();
        let got = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut got = Vec::new();
                listener.accept().unwrap().0.read_to_end(&mut got).unwrap();
                got
            });
            let mut stream = line.host.enter(|| TcpStream::connect("10.9.0.2:6000")).unwrap().unwrap();
            stream.write_all(&data).unwrap();
            drop(stream);
            reader.join().unwrap()
        });
        assert!(got == data, "{kind:?} with {workers} workers: the data differs");
        let status = bridge.command(&PlaneCommand::Status).unwrap();
        let port = |side: &str, field: &str| status["ports"][side][field].clone();
        assert_eq!(status["workers"], workers);
        assert_eq!((port("lan", "interface"), port("wan", "mtu")), ("lan0".into(), 1500.into()));
        assert!(port("lan", "other_frames").as_u64().unwrap() > 0, "ARP passed: {status}");
        assert!(port("lan", "checksums_completed").as_u64().unwrap() > 0, "{status}");
        assert!(port("wan", "sent").as_u64().unwrap() > 1_380, "{status}");
        drop(bridge);
        assert!(!line.talks(), "nothing passes when the bridge is gone");
    }
}

#[test]
fn a_bridge_of_devices_routes_between_two_networks() {
    let Some(line) = Line::lay() else { return };
    let mut bridge = line.bridge_tun();
    line.gm.ip(&["address", "add", "10.8.0.1/24", "dev", "lan1"]).unwrap();
    line.gm.ip(&["address", "add", "10.8.1.1/24", "dev", "wan1"]).unwrap();
    let socket = line.gm.enter(|| UdpSocket::bind("10.8.0.1:5000")).unwrap().unwrap();
    socket.send_to(b"through", "10.8.0.9:5000").unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while bridge.command(&PlaneCommand::Status).unwrap()["ports"]["wan"]["sent"] == 0 {
        assert!(Instant::now() < deadline, "the packet did not come through");
    }
}

impl Line {
    fn bridge_tun(&self) -> Bridge {
        let mut setup = setup(PortKind::Tun, Config::default());
        setup.lan.interface = "lan1".to_owned();
        setup.wan.interface = "wan1".to_owned();
        self.open(&setup).unwrap()
    }
}

#[test]
fn a_bridge_goes_on_when_an_interface_comes_back() {
    let Some(line) = Line::lay() else { return };
    let mut bridge = line.bridge(PortKind::Packet, 1);
    assert!(line.talks());
    line.gm.ip(&["link", "set", "wan0", "down"]).unwrap();
    let port = |works| move |event: &RemoteEvent| matches!(event, RemoteEvent::Port(notice) if notice.works == works);
    let RemoteEvent::Port(notice) = await_event(&mut bridge, port(false)) else { unreachable!() };
    assert_eq!(notice.port, Side::Wan);
    assert!(notice.text.contains("ip link set wan0 up"), "{}", notice.text);
    assert!(!line.talks());
    line.gm.ip(&["link", "set", "wan0", "up"]).unwrap();
    let RemoteEvent::Port(notice) = await_event(&mut bridge, port(true)) else { unreachable!() };
    assert_eq!((notice.port, notice.text.as_str()), (Side::Wan, "works again"));
    assert!(line.talks());
}

#[test]
fn what_cannot_work_is_refused_with_a_reason() {
    let Some(line) = Line::lay() else { return };
    let refusal = |setup: &DataSetup| line.open(setup).err().unwrap().to_string();
    let jumbo = Config { wan_mtu: 9_000, ..Config::default() };
    let said = refusal(&setup(PortKind::Packet, jumbo));
    assert!(said.contains("mtu = 9000") && said.contains("wan0") && said.contains("1500"), "{said}");
    let mut missing = setup(PortKind::Packet, Config::default());
    missing.lan.interface = "lan7".to_owned();
    assert!(refusal(&missing).contains("no interface lan7"), "{}", refusal(&missing));
    let mut mixed = setup(PortKind::Packet, Config::default());
    mixed.lan = PortSetup { kind: PortKind::Tun, interface: "tun0".to_owned(), offload: false };
    assert!(refusal(&mixed).contains("both must be alike"), "{}", refusal(&mixed));
    assert!(refusal(&setup(PortKind::Lab, Config::default())).contains("for the lab"));
}

#[test]
fn glued_packets_are_told_of() {
    let Some(line) = Line::lay() else { return };
    line.host.run("ethtool", &["-K", "eth0", "tso", "on", "gso", "on"]).unwrap();
    let mut bridge = line.bridge(PortKind::Packet, 1);
    assert!(line.talks());
    let listener = line.far.enter(|| TcpListener::bind("10.9.0.2:6000")).unwrap().unwrap();
    let mut stream = line.host.enter(|| TcpStream::connect("10.9.0.2:6000")).unwrap().unwrap();
    let _peer = listener.accept().unwrap();
    stream.write_all(&[1; 60_000]).unwrap();
    let told = |event: &RemoteEvent| matches!(event, RemoteEvent::Port(notice) if notice.text.contains("ethtool -K"));
    await_event(&mut bridge, told);
}
