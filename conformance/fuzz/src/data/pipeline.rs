//! Two members and an attacker between them: the whole pipeline under packets that are right, nearly right and wrong.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hallmark_core::{Duration, Instant, Now, Pseudotime, Rng, UnixTime};
use hallmark_crypto::esp::{EspKey, Transform, trailer};
use hallmark_datapath::config::ReassemblyLimits;
use hallmark_datapath::header::Header;
use hallmark_datapath::{
    AddressRange, Backend, Batch, Behaviour, Config, Datapath, Fate, FlowKey, FragmentWhere, Limits, Packet, Policy,
    Pool, Reason, Replay, Rule, Sa, Secret, Selector, Side, State,
};
use hallmark_wire::ip::{Ipv4Header, Ipv6Header, fragment_ipv4, fragment_ipv6, too_big_packet};

use crate::edit::edited;
use crate::input::Input;

const BUFFERS: usize = 256;
const SPI: u32 = 0x1000_b004;
/// Steps of one input at most.
const STEPS: usize = 400;
/// Packets that are kept for replay and editing.
const KEPT: usize = 8;

const TRANSFORMS: [&str; 8] = [
    "aes128-gcm16",
    "aes256-gcm8",
    "aes128-gmac",
    "aes128-cbc+hmac-sha1",
    "aes256-cbc+hmac-sha256",
    "3des+hmac-sha1",
    "null+hmac-sha256",
    "aes192-gcm12",
];

/// Sends packets through one member to another, with others of the attacker's own in between.
///
/// Packets of the permit class never leave in clear, what is opened is what was sent and belongs to the permit class,
/// an ESP packet that counts is opened once, every packet gets a fate, and no buffer is lost.
pub fn fuzz_data_decapsulate(data: &[u8]) {
    run(data, &Behaviour::conforming());
}

fn run(data: &[u8], behaviour: &Behaviour) -> Tally {
    let mut input = Input::new(data);
    let mut world = World::new(&mut input, behaviour);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    world.finish()
}

/// What happened, so that a test can tell that something did.
#[derive(Clone, Copy, Default, Debug)]
struct Tally {
    protected: u32,
    opened: u32,
    sealed_opened: u32,
    joined: u32,
    edited: u32,
    learned: u32,
}

struct World {
    sender: Member,
    receiver: Member,
    replay: Replay,
    key: EspKey,
    extended: bool,
    now: Now,
    /// ESP packets of the sender, and whether the receiver has opened them.
    kept: Vec<(Vec<u8>, bool)>,
    /// Whether another member has sealed packets, whose sequence numbers may have moved the window.
    disturbed: bool,
    /// What the sender has protected, without what changes on the way.
    genuine: BTreeSet<Vec<u8>>,
    /// The ESP packets of the sender, without their IP headers.
    sealed: BTreeSet<Vec<u8>>,
    tally: Tally,
}

struct Member {
    datapath: Datapath,
    pool: Pool,
    batch: Batch,
    /// What became of the packets of the last burst.
    fates: Vec<Fate>,
}

impl World {
    fn new(input: &mut Input<'_>, behaviour: &Behaviour) -> Self {
        let now = Now::new(Instant::from_secs(1000), UnixTime::from_secs(1_790_000_000));
        let choice = input.u8();
        let transform: Transform = TRANSFORMS[usize::from(choice % 8)].parse().expect("a transform");
        let replay = match choice >> 3 & 3 {
            0 => Replay::None,
            1 => Replay::Counter { window: 64 },
            2 => Replay::Time { window: Duration::from_secs(5), pseudotime: Pseudotime::new(9000, now.mono) },
            _ => Replay::D3p { window: Duration::from_secs(10) },
        };
        let encryption_key: Vec<u8> = (1..).take(transform.encryption_key_len()).collect();
        let integrity_key: Vec<u8> = (101..).take(transform.integrity_key_len()).collect();
        let sa = Sa {
            extended_sequence: choice & 0x20 != 0 && matches!(replay, Replay::Counter { .. }),
            activates: now.mono,
            ends: now.mono + Duration::from_secs(if choice & 0x80 == 0 { 100_000 } else { 100 }),
            ..Sa::new(SPI, transform, Secret::new(encryption_key.clone()), Secret::new(integrity_key.clone()))
        };
        let policy = |sender_id| Policy {
            state: State::Registered,
            rules: rules(),
            sas: vec![sa.clone()],
            sender_ids: Some((8, vec![sender_id])),
            replay,
            serial: 1,
            ..Policy::default()
        };
        let config = Config {
            fragment: if choice & 0x40 == 0 { FragmentWhere::Before } else { FragmentWhere::After },
            override_df: choice & 0x80 != 0,
            reassembly: ReassemblyLimits {
                per_pair: 4,
                total_datagrams: 16,
                total_octets: 60_000,
                ..Default::default()
            },
            limits: Limits { sas: 4, flows: 16, events: 16, traces: 4, captured: 4, keys: 4 },
            lan_mtu: 9000,
            backend: Backend::Portable,
            behaviour: behaviour.clone(),
            ..Config::default()
        };
        let member = |id: u32| {
            let mut datapath = Datapath::new(config.clone(), Rng::from_u64(id.into()), now);
            datapath.apply(now, &policy(id));
            Member { datapath, pool: Pool::new(BUFFERS, 2048), batch: Batch::new(), fates: Vec::new() }
        };
        let key = EspKey::new(transform, &encryption_key, &integrity_key, Backend::Portable).expect("right keys");
        let extended = sa.extended_sequence;
        Self {
            sender: member(1),
            receiver: member(2),
            replay,
            key,
            extended,
            now,
            kept: Vec::new(),
            disturbed: false,
            genuine: BTreeSet::new(),
            sealed: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 12 {
            0 => {
                let millis = Duration::from_millis(u64::from(input.u16()));
                self.now = Now::new(self.now.mono + millis, self.now.wall + millis);
                for member in [&mut self.sender, &mut self.receiver] {
                    member.datapath.handle_timeout(self.now, &mut member.pool);
                    while member.datapath.poll_event().is_some() {}
                }
            }
            1..=3 => {
                let packet = clear(input);
                self.protect(&packet);
            }
            4 => {
                let packet = input.counted().to_vec();
                self.protect(&packet);
            }
            5 => {
                let packet = input.counted().to_vec();
                self.receive(&packet);
            }
            6 => {
                if let Some(packet) = self.some_kept(input) {
                    let packet = edited(&packet, input);
                    self.receive(&packet);
                    self.tally.edited += 1;
                }
            }
            7 => {
                if let Some(packet) = self.some_kept(input) {
                    self.receive(&packet);
                }
            }
            8 | 9 => {
                let packet = self.seal(input);
                self.disturbed |= matches!(self.replay, Replay::Counter { .. });
                self.tally.sealed_opened += self.receive_any(&packet).len() as u32;
            }
            10 => {
                let mtu = 60 + usize::from(input.u8()) * 8;
                let order = input.u8();
                if let Some(packet) = self.some_kept(input) {
                    let mut pieces = fragment_ipv4(&packet, mtu);
                    pieces.extend(fragment_ipv6(&packet, mtu, u32::from(order)));
                    let turn = usize::from(order) % pieces.len().max(1);
                    pieces.rotate_left(turn);
                    for piece in pieces {
                        self.tally.joined += self.receive(&piece).len() as u32;
                    }
                }
            }
            _ => {
                let mtu = u32::from(input.u16());
                if let Some(packet) = self.some_kept(input) {
                    let reporter: IpAddr = match packet[0] >> 4 {
                        4 => Ipv4Addr::new(192, 0, 2, 1).into(),
                        _ => Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1).into(),
                    };
                    if let Some(error) = too_big_packet(reporter, mtu, &packet) {
                        let error = edited(&error, input);
                        self.sender.handle(self.now, Side::Wan, &error);
                        self.sender.recycle();
                        self.tally.learned += u32::from(self.sender.fates == [Fate::Dropped(Reason::PmtuConsumed)]);
                    }
                }
            }
        }
    }

    fn some_kept(&self, input: &mut Input<'_>) -> Option<Vec<u8>> {
        let index = usize::from(input.u8()).checked_rem(self.kept.len())?;
        self.kept.get(index).map(|(esp, _)| esp.clone())
    }

    /// Lets the sender protect a packet and the receiver open what comes of it.
    fn protect(&mut self, clear: &[u8]) {
        let permitted = FlowKey::parse(clear).is_ok_and(|key| permits(&key));
        let before = FlowKey::parse(clear).ok().map(|key| key.protocol);
        let out = self.sender.handle(self.now, Side::Lan, clear);
        for packet in out.iter().filter(|packet| packet.fate == Fate::Out(Side::Wan)) {
            let key = FlowKey::parse(packet.ip()).expect("what is sent is a packet");
            assert!(!permitted || key.protocol == 50, "the permit class leaves in clear");
            assert!(permitted || before == Some(key.protocol), "what is not permitted is changed");
        }
        let sent: Vec<Vec<u8>> = self.sender.sent(Side::Wan);
        self.sender.recycle();
        for esp in sent.iter().filter(|_| permitted) {
            if self.kept.len() == KEPT {
                self.kept.remove(0);
            }
            self.kept.push((esp.clone(), false));
            self.tally.protected += 1;
            self.sealed.extend(esp_of(esp));
            if let Some(inner) = self.inside(esp) {
                self.genuine.insert(lasting(&inner));
            }
        }
        if permitted {
            self.genuine.insert(lasting(clear));
        }
        if let ([esp], true) = (sent.as_slice(), permitted) {
            // One packet in, one out, at once: it is opened to what it was.
            let opened = self.receive(esp);
            let [opened] = opened.as_slice() else {
                if self.disturbed {
                    return;
                }
                panic!("a right packet is not opened: {:?}, {:?}", self.receiver.fates, FlowKey::parse(clear));
            };
            self.tally.opened += 1;
            assert_eq!(lasting(opened), lasting(clear), "a packet has changed on its way");
        }
    }

    /// What an ESP packet of the sender holds.
    fn inside(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let header = Header::parse(packet).filter(|header| !header.is_fragment())?;
        let transform = self.key.transform();
        let mut esp = packet[header.payload_at..header.len].to_vec();
        let esn_high = self.extended.then_some(0);
        let opened = self.key.open(&mut esp, esn_high).expect("the sender has sealed it with the key");
        let (len, next_header) = trailer::parse(opened, true).expect("the trailer is right");
        let stamp = usize::from(!matches!(next_header, 4 | 41)) * 12;
        assert_eq!(header.len - header.payload_at, len + transform.overhead(len));
        Some(opened[stamp..len].to_vec())
    }

    /// Hands a packet from the WAN to the receiver, which nobody but the sender has sealed.
    fn receive(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        let opened = self.receive_any(packet);
        let altered = esp_of(packet).is_some_and(|esp| !self.sealed.contains(&esp));
        for opened in &opened {
            let passed = lasting(opened) == lasting(packet);
            assert!(passed || !altered, "an ESP packet is opened that nobody has sealed");
            let released = Header::parse(opened).is_some_and(|header| header.is_fragment());
            assert!(
                passed || released || self.genuine.contains(&lasting(opened)),
                "what is opened was never protected"
            );
        }
        opened
    }

    /// Hands a packet from the WAN to the receiver and gives what reaches its LAN.
    fn receive_any(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        let refused = FlowKey::parse(packet).is_ok_and(|key| permits(&key.mirrored()) && key.protocol != 50);
        let before = self.kept.iter().position(|(esp, _)| esp == packet);
        self.receiver.handle(self.now, Side::Wan, packet);
        let opened = self.receiver.sent(Side::Lan);
        self.receiver.recycle();
        assert!(!refused || opened.is_empty(), "a clear packet of the permit class is let in");
        let ends = |packet: &[u8]| FlowKey::parse(packet).ok().map(|key| (key.src, key.dst));
        if esp_of(packet).is_some() {
            assert!(
                opened.iter().all(|inner| ends(inner) == ends(packet)),
                "the outer addresses are not the inner ones"
            );
        }
        if let (Some(index), false, Replay::Counter { .. }) = (before, opened.is_empty(), self.replay) {
            let again = std::mem::replace(&mut self.kept[index].1, true);
            assert!(!again, "a packet is opened twice");
        }
        opened
    }

    /// A packet that any member could have sealed, with anything in it.
    fn seal(&self, input: &mut Input<'_>) -> Vec<u8> {
        let transform = self.key.transform();
        let form = input.u8();
        let mut payload = match self.replay {
            Replay::Time { pseudotime, .. } if form & 1 == 0 => {
                let mut stamp = vec![4, 12, 0, 0];
                stamp.extend(pseudotime.at(self.now.mono).to_be_bytes());
                stamp
            }
            Replay::D3p { .. } if form & 1 == 0 => {
                let mut stamp = vec![4, 1, 0, 12];
                stamp.extend((self.now.wall.as_secs() as u32).to_be_bytes());
                stamp.extend([0; 4]);
                stamp
            }
            _ => Vec::new(),
        };
        let inner = if form & 2 == 0 { edited(&clear(input), input) } else { input.counted().to_vec() };
        payload.extend(inner);
        let payload = if form & 4 == 0 { payload } else { edited(&payload, input) };
        let next_header = match self.replay {
            Replay::Time { .. } if form & 8 == 0 => 99,
            Replay::D3p { .. } if form & 8 == 0 => 253,
            _ if form & 8 == 0 => 4,
            _ => input.u8(),
        };
        let mut esp = SPI.to_be_bytes().to_vec();
        esp.extend(input.u32().to_be_bytes());
        esp.extend((0..).map(|n: u8| n ^ form).take(transform.iv_len()));
        esp.extend(&payload);
        let mut end = vec![0; transform.pad_len(payload.len()) + 2];
        trailer::write(&mut end, next_header);
        if form & 16 != 0 {
            let at = end.len() - 2;
            end[at] = input.u8();
        }
        esp.extend(end);
        esp.resize(esp.len() + transform.icv_len(), 0);
        self.key.seal(&mut esp, None).expect("the length is right");
        let mut outer = Ipv4Header::new([10, 0, 0, form >> 5].into(), [10, 1, 0, 1].into(), 50);
        outer.traffic_class = input.u8() & 3;
        if esp.len() > 65_000 { Vec::new() } else { outer.packet(&esp) }
    }

    fn finish(mut self) -> Tally {
        self.now.mono += Duration::from_secs(1000);
        for member in [&mut self.sender, &mut self.receiver] {
            member.datapath.handle_timeout(self.now, &mut member.pool);
            assert_eq!(member.pool.available(), BUFFERS, "a buffer is lost");
            let status = member.datapath.status(self.now);
            assert_eq!((status.reassembly.held, status.reassembly.octets), (0, 0));
        }
        self.tally
    }
}

impl Member {
    /// Runs one packet through; the batch stays as the pipeline leaves it.
    fn handle(&mut self, now: Now, from: Side, ip: &[u8]) -> &[Packet] {
        let Some(mut packet) = self.pool.take() else { return &[] };
        if packet.set(&[2; 14], ip) {
            packet.received_on = from;
            assert!(self.batch.push(packet).is_ok());
            self.datapath.handle(now, from, &mut self.batch, &mut self.pool);
        } else {
            self.pool.give(packet);
        }
        assert!(self.batch.packets.iter().all(|packet| packet.fate != Fate::Pending), "a packet without a fate");
        &self.batch.packets
    }

    fn sent(&self, side: Side) -> Vec<Vec<u8>> {
        let out = self.batch.packets.iter().filter(|packet| packet.fate == Fate::Out(side));
        out.map(|packet| packet.ip().to_vec()).collect()
    }

    fn recycle(&mut self) {
        self.fates.clear();
        self.fates.extend(self.batch.packets.iter().map(|packet| packet.fate));
        self.batch.recycle(&mut self.pool);
    }
}

/// Key management and DNS in clear, everything else between the sites protected.
fn rules() -> Vec<Rule> {
    let site = AddressRange::prefix(Ipv4Addr::new(10, 0, 0, 0).into(), 8);
    let site6 = AddressRange::prefix(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0).into(), 32);
    vec![
        Rule::deny(Selector::ANY_V4.protocol(17).dst_ports(53, 53)),
        Rule::deny(Selector::ANY_V4.protocol(17).src_ports(53, 53)),
        Rule::permit(1, Selector::between(site, site)),
        Rule::permit(1, Selector::between(site6, site6)),
    ]
}

fn permits(key: &FlowKey) -> bool {
    let dns = key.version4 && key.protocol == 17 && key.has_ports && (key.src_port == 53 || key.dst_port == 53);
    let inside = |number: u128| if key.version4 { number >> 24 == 10 } else { number >> 96 == 0x2001_0db8 };
    // The own key management is exempt.
    let control = |port| matches!(port, 500 | 848 | 4500);
    let own = key.protocol == 17 && key.has_ports && (control(key.src_port) || control(key.dst_port));
    inside(key.src) && inside(key.dst) && !dns && !own
}

fn clear(input: &mut Input<'_>) -> Vec<u8> {
    let form = input.u8();
    let len = usize::from(input.u16()) % 1700;
    let ports = [input.u8(), 1, 0, if form & 1 == 0 { 53 } else { 80 }];
    let mut payload = ports.to_vec();
    payload.resize(len.max(8), form);
    let protocol = if form & 2 == 0 { 17 } else { input.u8() };
    if form & 4 == 0 {
        let (src, dst) = ([10, 0, 0, form >> 5], [if form & 8 == 0 { 10 } else { 11 }, 1, 0, 1]);
        let mut header = Ipv4Header::new(src.into(), dst.into(), protocol);
        header.dont_fragment = form & 16 != 0;
        header.ident = u16::from(form) << 8 | len as u16 & 0xff;
        header.ttl = 64;
        header.packet(&payload)
    } else {
        let src = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(form >> 5));
        Ipv6Header::new(src, Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1), protocol).packet(&payload)
    }
}

/// A packet without what may change on its way: hops, the mark of congestion, the header checksum, padding of the link.
fn lasting(packet: &[u8]) -> Vec<u8> {
    let Some(header) = Header::parse(packet) else { return packet.to_vec() };
    let mut packet = packet[..header.len].to_vec();
    if header.version4 {
        packet[1] &= 0xfc;
        packet[8] = 0;
        packet[10..12].fill(0);
    } else {
        packet[1] &= 0xcf;
        packet[7] = 0;
    }
    packet
}

/// The ESP packet in an IP packet that is no fragment of one.
fn esp_of(packet: &[u8]) -> Option<Vec<u8>> {
    let header = Header::parse(packet).filter(|header| header.protocol == 50 && !header.is_fragment())?;
    Some(packet[header.payload_at..header.len].to_vec())
}

#[cfg(test)]
mod tests {
    use hallmark_datapath::Defect;

    use super::*;
    use crate::seeds::seeds;

    #[test]
    fn the_seeds_reach_everything() {
        let mut all = Tally::default();
        for (name, seed) in seeds("data_decapsulate") {
            let tally = run(&seed, &Behaviour::conforming());
            assert!(tally.protected > 3 && tally.opened > 1, "{name}: {tally:?}");
            all.joined += tally.joined;
            all.sealed_opened += tally.sealed_opened;
            all.edited += tally.edited;
            all.learned += tally.learned;
        }
        assert!(all.joined > 10 && all.sealed_opened > 4 && all.edited > 10 && all.learned > 10, "{all:?}");
    }

    #[test]
    fn planted_faults_are_found_from_the_seeds() {
        let mut missed = Vec::new();
        for defect in [
            Defect::MacNotChecked,
            Defect::ExpiredSaLeak,
            Defect::ClearInboundAccepted,
            Defect::NoMatchEncrypted,
            Defect::AddressMismatchAccepted,
            Defect::DuplicatesAccepted,
        ] {
            let behaviour = Behaviour::conforming().with_defect(defect);
            let found = seeds("data_decapsulate").into_iter().any(|(_, seed)| {
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&seed, &behaviour))).is_err()
            });
            if !found {
                missed.push(defect);
            }
        }
        assert!(missed.is_empty(), "{missed:?}");
    }
}
