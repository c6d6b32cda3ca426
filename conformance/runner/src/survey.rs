//! Asks a case what it wants its subject to be configured to, without running it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};

use hallmark_core::{Datagram, Instant, Rng, UnixTime};
use hallmark_probe::world::{KeyRecord, Party, Role, Unavailable, World};
use hallmark_suite::{Case, Cx};

use crate::socket_world::Addressing;

/// Gives the configuration text that a case starts its subject from; nothing for a case that asks for more before.
#[must_use]
pub fn wanted(case: &'static Case, addressing: &Addressing) -> Option<(Role, String)> {
    let mut world = Survey { addresses: addressing.fixed(), rng: Rng::from_u64(0), wanted: None };
    let mut cx = Cx::new(&mut world);
    // Whatever becomes of the case: only what it asked for counts.
    let _ = catch_unwind(AssertUnwindSafe(|| (case.run)(&mut cx)));
    world.wanted
}

/// A world in which nothing starts.
struct Survey {
    addresses: BTreeMap<Party, SocketAddr>,
    rng: Rng,
    wanted: Option<(Role, String)>,
}

const NOTHING: &str = "a survey starts nothing";

impl World for Survey {
    fn now(&self) -> Instant {
        Instant::ZERO
    }

    fn wall(&self) -> UnixTime {
        crate::lab_world::WALL_START
    }

    fn address(&self, party: Party) -> SocketAddr {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        self.addresses.get(&party).copied().unwrap_or(nowhere)
    }

    fn send(&mut self, _: Datagram) {}

    fn send_ip(&mut self, _: Vec<u8>) -> Result<(), Unavailable> {
        Err(Unavailable::NotHere(NOTHING.to_owned()))
    }

    fn recv(&mut self, _: Instant) -> Option<Datagram> {
        None
    }

    fn recv_at(&mut self, _: Party, _: Instant) -> Option<Datagram> {
        None
    }

    fn rest(&mut self, _: Instant) {}

    fn listen(&mut self, _: SocketAddr) -> Result<(), Unavailable> {
        Ok(())
    }

    fn join(&mut self, _: Party, _: SocketAddr) -> Result<(), Unavailable> {
        Ok(())
    }

    fn start(&mut self, _: u8, role: Role, config: &str) -> Result<(), Unavailable> {
        self.wanted.get_or_insert_with(|| (role, config.to_owned()));
        Err(Unavailable::NotHere(NOTHING.to_owned()))
    }

    fn crash(&mut self, _: u8) -> Result<(), Unavailable> {
        Err(Unavailable::NotHere(NOTHING.to_owned()))
    }

    fn command(&mut self, _: u8, _: &str) -> Result<String, Unavailable> {
        Err(Unavailable::NotHere(NOTHING.to_owned()))
    }

    fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    fn keys(&mut self, _: KeyRecord) {}

    fn note(&mut self, _: &str) {}
}
