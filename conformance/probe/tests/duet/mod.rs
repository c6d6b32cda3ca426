//! Two worlds in lockstep: one end of the conversation in each, virtual time, one link between them.
//!
//! Each side runs in its own thread, but time only moves when both wait, so that a run is as repeatable as its seeds.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex};

use hallmark_core::{Datagram, Instant, Rng, UnixTime};
use hallmark_probe::world::{KeyRecord, Party, Role, Unavailable, World};
use hallmark_wire::ip;

/// The delay of the link.
const LATENCY: u64 = 1_000_000;

#[derive(Default)]
struct State {
    now: u64,
    seq: u64,
    queue: BTreeMap<(u64, u64), Datagram>,
    waiting: [Option<(u64, Vec<IpAddr>)>; 2],
    done: [bool; 2],
    groups: [Vec<IpAddr>; 2],
    pieces: BTreeMap<u16, Vec<(usize, bool, Vec<u8>)>>,
}

/// One side's world.
pub(crate) struct Side {
    shared: Arc<(Mutex<State>, Condvar)>,
    side: usize,
    rng: Rng,
    /// Keys that were handed to the evidence.
    pub(crate) keys: Vec<KeyRecord>,
}

/// Runs both sides to the end: the group member against the key server.
pub(crate) fn duet<A: Send, B: Send>(
    gm: impl FnOnce(&mut Side) -> A + Send,
    ks: impl FnOnce(&mut Side) -> B + Send,
) -> (A, B) {
    let shared = Arc::new((Mutex::new(State::default()), Condvar::new()));
    let side =
        |side: usize| Side { shared: Arc::clone(&shared), side, rng: Rng::from_u64(side as u64 + 1), keys: Vec::new() };
    let (mut left, mut right) = (side(0), side(1));
    std::thread::scope(|scope| {
        let a = scope.spawn(move || gm(&mut left));
        let b = scope.spawn(move || ks(&mut right));
        (a.join().expect("the group member's side"), b.join().expect("the key server's side"))
    })
}

/// The address of a tester party: 192.0.2.10 and up on the group member's side, 192.0.2.1 on the key server's.
pub(crate) fn address(side: usize, n: u8) -> SocketAddr {
    let host = if side == 0 { 10 + n } else { 1 + n };
    SocketAddr::from(([192, 0, 2, host], 848))
}

impl Side {
    fn enqueue(&self, datagram: Datagram) {
        let (mutex, condvar) = &*self.shared;
        let mut state = mutex.lock().unwrap();
        state.seq += 1;
        let key = (state.now + LATENCY, state.seq);
        state.queue.insert(key, datagram);
        condvar.notify_all();
    }

    /// Waits for a datagram to one of the addresses; none waits for time alone.
    fn wait(&self, deadline: u64, addresses: &[IpAddr]) -> Option<Datagram> {
        let (mutex, condvar) = &*self.shared;
        let mut state = mutex.lock().unwrap();
        let (me, other) = (self.side, 1 - self.side);
        loop {
            if let Some(key) = deliverable(&state, me, addresses) {
                state.waiting[me] = None;
                return state.queue.remove(&key);
            }
            if state.now >= deadline {
                state.waiting[me] = None;
                return None;
            }
            state.waiting[me] = Some((deadline, addresses.to_vec()));
            let other_deadline = match &state.waiting[other] {
                _ if state.done[other] => Some(u64::MAX),
                Some((until, theirs)) if state.now < *until && deliverable(&state, other, theirs).is_none() => {
                    Some(*until)
                }
                _ => None,
            };
            if let Some(until) = other_deadline {
                let arrival = state.queue.keys().map(|(at, _)| *at).find(|at| *at > state.now).unwrap_or(u64::MAX);
                state.now = deadline.min(until).min(arrival);
                condvar.notify_all();
            } else {
                state = condvar.wait(state).unwrap();
            }
        }
    }

    fn mine(&self, n: u8) -> Vec<IpAddr> {
        let mut addresses = vec![address(self.side, n).ip()];
        addresses.extend(&self.shared.0.lock().unwrap().groups[self.side]);
        addresses
    }
}

fn deliverable(state: &State, _side: usize, addresses: &[IpAddr]) -> Option<(u64, u64)> {
    let due = state.queue.range(..=(state.now, u64::MAX));
    due.filter(|(_, datagram)| addresses.contains(&datagram.dst.ip())).map(|(key, _)| *key).next()
}

impl Drop for Side {
    fn drop(&mut self) {
        let (mutex, condvar) = &*self.shared;
        if let Ok(mut state) = mutex.lock() {
            state.done[self.side] = true;
        }
        condvar.notify_all();
    }
}

impl World for Side {
    fn now(&self) -> Instant {
        Instant(self.shared.0.lock().unwrap().now)
    }

    fn wall(&self) -> UnixTime {
        UnixTime::from_secs(1_790_000_000)
    }

    fn address(&self, party: Party) -> SocketAddr {
        match party {
            Party::Tester(n) => address(self.side, n),
            Party::Subject(n) => address(1 - self.side, n),
            Party::Group(n) => SocketAddr::from(([239, 1, 1, n], 848)),
        }
    }

    fn send(&mut self, datagram: Datagram) {
        self.enqueue(datagram);
    }

    fn send_ip(&mut self, packet: Vec<u8>) -> Result<(), Unavailable> {
        let fragment = ip::Ipv4Packet::decode(&packet).map_err(|e| Unavailable::Failed(e.to_string()))?;
        let header = fragment.header.clone();
        let (offset, more) = (usize::from(fragment.header.fragment_offset), fragment.header.more_fragments);
        let payload = fragment.payload.to_vec();
        let whole = {
            let mut state = self.shared.0.lock().unwrap();
            let pieces = state.pieces.entry(header.ident).or_default();
            pieces.push((offset, more, payload));
            pieces.sort();
            let mut whole = Vec::new();
            for (offset, _, octets) in pieces.iter() {
                if *offset <= whole.len() {
                    whole.truncate(*offset);
                    whole.extend(octets);
                }
            }
            let end = pieces.iter().find(|(_, more, _)| !more).map(|(offset, _, octets)| offset + octets.len());
            (Some(whole.len()) == end).then_some(whole)
        };
        let (src, dst) = (IpAddr::from(header.src), IpAddr::from(header.dst));
        if let Some(datagram) = whole.and_then(|whole| ip::parse_udp_segment(src, dst, &whole).ok()) {
            self.shared.0.lock().unwrap().pieces.remove(&header.ident);
            self.enqueue(datagram);
        }
        Ok(())
    }

    fn recv(&mut self, deadline: Instant) -> Option<Datagram> {
        let addresses: Vec<IpAddr> = (0..8).flat_map(|n| self.mine(n)).collect();
        self.wait(deadline.0, &addresses)
    }

    fn recv_at(&mut self, tester: Party, deadline: Instant) -> Option<Datagram> {
        let Party::Tester(n) = tester else { return None };
        let addresses = self.mine(n);
        self.wait(deadline.0, &addresses)
    }

    fn rest(&mut self, until: Instant) {
        self.wait(until.0, &[]);
    }

    fn listen(&mut self, _: SocketAddr) -> Result<(), Unavailable> {
        Ok(())
    }

    fn join(&mut self, _: Party, group: SocketAddr) -> Result<(), Unavailable> {
        self.shared.0.lock().unwrap().groups[self.side].push(group.ip());
        Ok(())
    }

    fn start(&mut self, _: u8, _: Role, _: &str) -> Result<(), Unavailable> {
        Err(Unavailable::NotHere("both ends are the tester's".to_owned()))
    }

    fn crash(&mut self, _: u8) -> Result<(), Unavailable> {
        Err(Unavailable::NotHere("both ends are the tester's".to_owned()))
    }

    fn command(&mut self, _: u8, _: &str) -> Result<String, Unavailable> {
        Err(Unavailable::NotHere("both ends are the tester's".to_owned()))
    }

    fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    fn keys(&mut self, record: KeyRecord) {
        self.keys.push(record);
    }

    fn note(&mut self, _: &str) {}
}
