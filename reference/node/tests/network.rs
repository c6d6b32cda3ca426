//! A whole network of processes: a key server, two group members as bumps in the wire, and hosts behind them that know
//! nothing of it. Every interface, frame and host is real; the network lives in namespaces.
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

mod child;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use hallmark_net::frame::{self, FramePort, PortKind, PortSpec};
use hallmark_net::{Namespace, NetError};
use serde_json::Value;

use child::{Node, eventually, gm_config, ks_config};

/// What the hosts say to each other, so that it can be looked for on the way.
const SECRET: &[u8] = b"nobody but the members of the group may read this";

/// Serves when the environment says so, and is an empty test otherwise.
#[test]
fn serve_when_asked_to() {
    child::serve();
}

/// Two sites and the provider between them, one network for all: hosts are `10.1.0.1` and `10.2.0.1`, the members have
/// `10.3.0.11` and `10.3.0.12` towards the provider, and the key server is `10.3.0.1` there.
struct Network {
    hosts: [Namespace; 2],
    members: [Namespace; 2],
    provider: Namespace,
}

impl Network {
    fn build(name: &str) -> Option<Self> {
        let namespace = |what: &str| Namespace::create(format!("hm-ports-{}-{name}-{what}", std::process::id()));
        let made = || -> Result<Self, NetError> {
            let network = Self {
                hosts: [namespace("host1")?, namespace("host2")?],
                members: [namespace("gm1")?, namespace("gm2")?],
                provider: namespace("provider")?,
            };
            let provider = &network.provider;
            provider.ip(&["link", "add", "br0", "type", "bridge"])?;
            provider.ip(&["link", "set", "br0", "up"])?;
            provider.ip(&["address", "add", "10.3.0.1/8", "dev", "br0"])?;
            for (number, (host, member)) in network.hosts.iter().zip(&network.members).enumerate() {
                let site = format!("site{number}");
                host.connect("eth0", member, "lan0", 1500)?;
                member.connect("wan0", provider, &site, 1500)?;
                provider.ip(&["link", "set", &site, "master", "br0"])?;
                host.ip(&["address", "add", &format!("10.{}.0.1/8", number + 1), "dev", "eth0"])?;
                member.ip(&["address", "add", &format!("10.3.0.1{}/8", number + 1), "dev", "wan0"])?;
                host.run("ethtool", &["-K", "eth0", "tso", "off", "gso", "off", "gro", "off"])?;
            }
            Ok(network)
        };
        match made() {
            Ok(network) => Some(network),
            Err(error) => {
                assert!(std::env::var_os("HALLMARK_NOTHING_SKIPPED").is_none(), "nothing may be skipped: {error}");
                println!("skipped: {error}");
                None
            }
        }
    }

    /// Starts the key server and both members.
    fn start(&self, name: &str, kind: &str, workers: u8) -> (Node, [Node; 2]) {
        let acl = "acl = [\"permit ip 10.1.0.0/16 10.2.0.0/16\", \"permit ip 10.2.0.0/16 10.1.0.0/16\"]";
        let config = ks_config("10.3.0.1:848")
            .replace("127.0.0.0/8", "10.0.0.0/8")
            .replace("acl = [\"permit ip 10.1.0.0/16 10.2.0.0/16\"]", acl)
            .replace("auth = \"hmac-sha256\"\n", "")
            .replace("transform = \"aes128-cbc\"", "transform = \"aes128-gcm16\"")
            .replace("[group.kek]", "sids = { bits = 8 }\n[group.kek]");
        let ks = self.provider.enter(|| Node::start(&format!("{name}-ks"), "ks", &config)).unwrap();
        let member = |index: usize| {
            let config = gm_config(&format!("10.3.0.1{}:848", index + 1), "10.3.0.1:848");
            let data = format!(
                "[data]\nworkers = {workers}\nmss = \"auto\"\nlan = {{ kind = \"{kind}\", interface = \"lan0\" }}\nwan = {{ kind = \"{kind}\", interface = \"wan0\" }}\n"
            );
            let start = || Node::start(&format!("{name}-gm{index}"), "gm", &(config + &data));
            self.members[index].enter(start).unwrap()
        };
        (ks, [member(0), member(1)])
    }

    /// Sends a datagram from the first host to the second and back; says whether both arrived.
    fn talk(&self, octets: usize) -> bool {
        let socket = |index: usize| {
            let address = format!("10.{}.0.1:5000", index + 1);
            let socket = self.hosts[index].enter(|| UdpSocket::bind(address)).unwrap().unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            socket
        };
        let (one, two) = (socket(0), socket(1));
        let mut buffer = [0; 2_000];
        let payload: Vec<u8> = SECRET.iter().copied().cycle().take(octets).collect();
        (0..8).any(|_| {
            let there = one.send_to(&payload, "10.2.0.1:5000").is_ok() && two.recv(&mut buffer).is_ok();
            there && two.send_to(&payload, "10.1.0.1:5000").is_ok() && one.recv(&mut buffer).is_ok()
        })
    }
}

fn status(node: &Node) -> Value {
    node.ask(r#"{"cmd":"status"}"#)["status"].clone()
}

fn sealed(gm: &Node) -> u64 {
    status(gm)["data"]["totals"]["sealed"]["packets"].as_u64().unwrap()
}

/// Takes what a tap has seen and says how many frames of IP protocol 50 and how many readable ones are among it.
fn seen(tap: &mut dyn FramePort) -> (usize, usize) {
    let (mut esp, mut readable) = (0, 0);
    while tap
        .receive(64, &mut |frame| {
            esp += usize::from(frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&50));
            readable += usize::from(frame.windows(16).any(|part| part == &SECRET[..16]));
        })
        .unwrap()
        > 0
    {}
    (esp, readable)
}

#[test]
fn hosts_behind_two_members_talk_and_the_provider_sees_esp_only() {
    for (kind, workers) in [("packet", 1), ("xdp", 1), ("packet", 2)] {
        let name = format!("{kind}{workers}");
        let Some(network) = Network::build(&name) else { return };
        let tap = PortSpec { own_frames: true, ..PortSpec::new(PortKind::Packet, "site0") };
        let mut tap = network.provider.enter(|| frame::open(&tap)).unwrap().unwrap();
        let (ks, gms) = network.start(&name, kind, workers);
        for gm in &gms {
            eventually("a member never got its keys", || {
                let status = status(gm);
                status["data"]["state"] == "registered" && !status["data"]["sas"].as_array().unwrap().is_empty()
            });
        }
        seen(tap.as_mut());
        // Datagrams that fit in one piece, and such as do not: hosts set DF, so the members answer how much fits.
        for octets in [30, 1_300, 1_470] {
            assert!(network.talk(octets), "{name}: {octets} octets\n{}\n{:#}", gms[0].log(), status(&gms[0])["data"]);
        }
        let (esp, readable) = seen(tap.as_mut());
        assert!(esp >= 3 && readable == 0, "{name}: {esp} frames of ESP, {readable} readable");

        let listener = network.hosts[1].enter(|| TcpListener::bind("10.2.0.1:6000")).unwrap().unwrap();
        let data: Vec<u8> = SECRET.iter().copied().cycle().take(1_000_000).collect();
        let got = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut got = Vec::new();
                listener.accept().unwrap().0.read_to_end(&mut got).unwrap();
                got
            });
            let mut stream = network.hosts[0].enter(|| TcpStream::connect("10.2.0.1:6000")).unwrap().unwrap();
            stream.write_all(&data).unwrap();
            drop(stream);
            reader.join().unwrap()
        });
        assert!(got == data, "{name}: the data differs");
        let (esp, readable) = seen(tap.as_mut());
        assert!(esp > 700 && readable == 0, "{name}: {esp} frames of ESP, {readable} readable");

        // New keys by a rekey: the data plane of every worker gets them, and traffic goes on.
        let before = status(&gms[0])["data"]["policy_serial"].as_u64().unwrap();
        assert_eq!(ks.ask(r#"{"cmd":"rekey","group":1234}"#)["ok"], true);
        for gm in &gms {
            eventually("a member never got its new policy", || {
                status(gm)["data"]["policy_serial"].as_u64().unwrap() > before
            });
        }
        assert!(network.talk(500), "{name}: after the rekey");
        assert!(seen(tap.as_mut()).1 == 0, "{name}: readable after the rekey");
        // What one seals the other opens; a connection has answers, too.
        assert!(sealed(&gms[0]) > 700 && sealed(&gms[1]) > 50, "{name}: {} and {}", sealed(&gms[0]), sealed(&gms[1]));
        for gm in &gms {
            let ports = &status(gm)["data"]["ports"];
            assert_eq!((&ports["lan"]["kind"], &ports["wan"]["too_long"]), (&kind.into(), &0.into()), "{name}");
        }
    }
}
