//! Tests of phase 1, with a pump that carries datagrams between two endpoints in virtual time.

mod authentication;
mod defects;
mod exchange;
mod informational;
mod malformed;
mod paths;
mod robustness;
mod vectors;

use std::net::SocketAddr;

use hallmark_core::{Code, Datagram, Duration, Instant, Limits, Now, Rng, UnixTime};
use hallmark_crypto::Secret;
use hallmark_wire::isakmp::{Header, PayloadType};

use super::{IkeConfig, IkeEndpoint, IkeEvent, IkeInput, PeerRule, SaId, Suite};
use crate::behaviour::{Behaviour, Defect, Variant};

/// Both ends of a path, with everything that crossed it.
struct Pair {
    i: IkeEndpoint,
    r: IkeEndpoint,
    now: Now,
    wire: Vec<Datagram>,
    events_i: Vec<IkeEvent>,
    events_r: Vec<IkeEvent>,
    inputs_i: usize,
    inputs_r: usize,
}

const I: &str = "10.0.0.2:848";
const R: &str = "10.0.0.1:848";

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn now_at(secs: u64) -> Now {
    Now::new(Instant::from_secs(secs), UnixTime::from_secs(1_800_000_000 + i64::try_from(secs).unwrap()))
}

fn config_i() -> IkeConfig {
    IkeConfig {
        peers: vec![PeerRule::psk(addr(R).ip(), Secret::new(b"a shared secret".to_vec()))],
        allow_weak: vec!["sha1".into(), "rsa1024".into()],
        ..IkeConfig::default()
    }
}

fn config_r() -> IkeConfig {
    let mut rule = PeerRule::psk("10.0.0.0".parse().unwrap(), Secret::new(b"a shared secret".to_vec()));
    rule.prefix = 8;
    IkeConfig { accept: true, peers: vec![rule], ..config_i() }
}

fn endpoint(config: IkeConfig, seed: u64) -> IkeEndpoint {
    IkeEndpoint::new(config, Limits::default(), Rng::from_u64(seed), now_at(0)).unwrap()
}

fn with_defect(mut config: IkeConfig, defect: Defect) -> IkeConfig {
    config.behaviour = Behaviour::conforming().with_defect(defect);
    config
}

fn with_variant(mut config: IkeConfig, variant: Variant) -> IkeConfig {
    config.behaviour = config.behaviour.with_variant(variant);
    config
}

impl Pair {
    fn new(i: IkeConfig, r: IkeConfig) -> Self {
        Self {
            i: endpoint(i, 1),
            r: endpoint(r, 2),
            now: now_at(0),
            wire: Vec::new(),
            events_i: Vec::new(),
            events_r: Vec::new(),
            inputs_i: 0,
            inputs_r: 0,
        }
    }

    fn connect(&mut self) -> SaId {
        self.i.connect(self.now, addr(I), addr(R), 0)
    }

    /// Moves datagrams until both are quiet; `fate` says whether one arrives, and may change it.
    fn pump_with(&mut self, mut fate: impl FnMut(usize, &mut Datagram) -> bool) {
        for _ in 0..1000 {
            let mut quiet = true;
            while let Some(mut datagram) = self.i.poll_transmit() {
                quiet = false;
                let arrives = fate(self.wire.len(), &mut datagram);
                self.wire.push(datagram.clone());
                if arrives {
                    self.give_r(&datagram);
                }
            }
            while let Some(mut datagram) = self.r.poll_transmit() {
                quiet = false;
                let arrives = fate(self.wire.len(), &mut datagram);
                self.wire.push(datagram.clone());
                if arrives {
                    self.give_i(&datagram);
                }
            }
            self.drain();
            if quiet {
                return;
            }
        }
        panic!("the peers never fall silent");
    }

    fn pump(&mut self) {
        self.pump_with(|_, _| true);
    }

    fn give_r(&mut self, datagram: &Datagram) {
        let consumed = matches!(self.r.handle_datagram(self.now, datagram), IkeInput::Consumed);
        self.inputs_r += usize::from(!consumed);
        self.drain();
    }

    fn give_i(&mut self, datagram: &Datagram) {
        let consumed = matches!(self.i.handle_datagram(self.now, datagram), IkeInput::Consumed);
        self.inputs_i += usize::from(!consumed);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(event) = self.i.poll_event() {
            self.events_i.push(event);
        }
        while let Some(event) = self.r.poll_event() {
            self.events_r.push(event);
        }
    }

    /// Lets time pass, with every timer on the way.
    fn run(&mut self, secs: u64, mut fate: impl FnMut(usize, &mut Datagram) -> bool) {
        let end = self.now.mono + Duration::from_secs(secs);
        for _ in 0..100_000 {
            self.pump_with(&mut fate);
            let next = [self.i.poll_timeout(), self.r.poll_timeout()].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            let step = next.saturating_since(self.now.mono);
            self.now = Now::new(next, self.now.wall + step);
            self.i.handle_timeout(self.now);
            self.r.handle_timeout(self.now);
        }
        let step = end.saturating_since(self.now.mono);
        self.now = Now::new(end, self.now.wall + step);
    }

    fn up(i: IkeConfig, r: IkeConfig) -> (Self, SaId) {
        let mut pair = Self::new(i, r);
        let sa = pair.connect();
        pair.pump();
        assert!(pair.i.sa(sa).is_some(), "i {:?}\nr {:?}", pair.events_i, pair.events_r);
        assert_eq!(pair.r.established(), 1);
        (pair, sa)
    }

    fn r_sa(&self) -> SaId {
        self.r.sas().next().map(|sa| sa.id()).unwrap()
    }

    fn codes_i(&self) -> Vec<&'static str> {
        self.events_i.iter().filter_map(IkeEvent::code).map(Code::as_str).collect()
    }

    fn codes_r(&self) -> Vec<&'static str> {
        self.events_r.iter().filter_map(IkeEvent::code).map(Code::as_str).collect()
    }

    /// Messages that one side sent, by its address.
    fn sent_by(&self, from: &str) -> Vec<&Datagram> {
        self.wire.iter().filter(|d| d.src.ip() == addr(from).ip()).collect()
    }
}

/// Takes everything that an endpoint wants to send.
fn outputs(endpoint: &mut IkeEndpoint) -> Vec<Datagram> {
    std::iter::from_fn(|| endpoint.poll_transmit()).collect()
}

/// Takes the codes of all rejections.
fn codes(endpoint: &mut IkeEndpoint) -> Vec<&'static str> {
    std::iter::from_fn(|| endpoint.poll_event()).filter_map(|e| e.code()).map(Code::as_str).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn to_r(payload: &[u8]) -> Datagram {
    Datagram::new(addr(I), addr(R), payload.to_vec())
}

/// Rewrites the length field of a message that was changed.
fn resized(mut message: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    message[24..28].copy_from_slice(&length.to_be_bytes());
    message
}

/// Lists the payload types of a clear message.
fn kinds(message: &[u8]) -> Vec<u8> {
    let header = Header::decode(message).unwrap();
    let chain = hallmark_wire::isakmp::Chain::decode(header.next, &message[28..], &Limits::default()).unwrap();
    chain.kinds().iter().map(|kind| kind.0).collect()
}

/// Gives the body of a payload of a clear message.
fn payload(message: &[u8], kind: PayloadType) -> Vec<u8> {
    let header = Header::decode(message).unwrap();
    let chain = hallmark_wire::isakmp::Chain::decode(header.next, &message[28..], &Limits::default()).unwrap();
    chain.find(kind).unwrap().body.to_vec()
}

fn suite(text: &str) -> Suite {
    text.parse().unwrap()
}
