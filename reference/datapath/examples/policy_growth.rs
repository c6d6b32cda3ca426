//! Prints what a packet costs as the policy grows: a lookup in the compiled rules, a walk through the rules, and the
//! whole way of a packet that is left in clear, with flows remembered and with every flow new.
//!
//! `cargo run --release -p hallmark-datapath --example policy_growth`

use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant as Clock;

use hallmark_core::{Instant, Now, Rng, UnixTime};
use hallmark_datapath::classifier::matches;
use hallmark_datapath::config::Limits;
use hallmark_datapath::{
    AddressRange, BATCH, Batch, Classifier, Config, Datapath, FlowKey, Policy, Pool, Rule, Selector, Side, State,
};
use hallmark_wire::ip::Ipv4Header;

const KEYS: usize = 4096;
const ROUNDS: usize = 300;
const NOW: Now = Now::new(Instant::ZERO, UnixTime(0));

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "nanoseconds: {:>6} {:>9} {:>9} {:>12} {:>11}", "ACEs", "lookup", "walk", "known flow", "new flow")?;
    for rules in [1, 10, 100, 1000, 4000] {
        let mut rng = Rng::from_u64(1);
        let rules: Vec<Rule> = (0..rules).map(|_| rule(&mut rng)).collect();
        let packets: Vec<Vec<u8>> = (0..KEYS).map(|_| packet(&mut rng)).collect();
        let keys: Vec<FlowKey> = packets.iter().filter_map(|ip| FlowKey::parse(ip).ok()).collect();
        let list = Classifier::compile(&rules);
        let lookup = time(&keys, ROUNDS, |key| list.lookup(key));
        let walk = time(&keys, 1 + ROUNDS / rules.len(), |key| {
            rules.iter().position(|rule| matches(&rule.selector, key)).map(|index| index as u32)
        });
        // One place makes every flow new; the other cache has room for all.
        let known = pass(&rules, 16 * KEYS, &packets[..KEYS / 8]);
        let new = pass(&rules, 1, &packets);
        writeln!(out, "             {:>6} {lookup:>9.1} {walk:>9.1} {known:>12.1} {new:>11.1}", rules.len())?;
    }
    Ok(())
}

/// Subnets of 10.0.0.0/8 towards each other, one in four with ports, as in the lists of large groups.
fn rule(rng: &mut Rng) -> Rule {
    let mut subnet = || {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 | (rng.next_u32() >> 8));
        AddressRange::prefix(address.into(), 24)
    };
    let selector = Selector::between(subnet(), subnet());
    Rule::deny(match rng.below(4) {
        0 => {
            let port = rng.next_u32() as u16;
            selector.protocol(6).dst_ports(port, port.saturating_add(100))
        }
        _ => selector,
    })
}

fn packet(rng: &mut Rng) -> Vec<u8> {
    let mut host = || std::net::Ipv4Addr::from(0x0a00_0000 | (rng.next_u32() >> 8));
    let header = Ipv4Header::new(host(), host(), 6);
    let mut segment = rng.vec(40);
    // No SYN: nothing is to be read behind the ports.
    segment[13] = 0x10;
    header.packet(&segment)
}

/// Gives the nanoseconds of one lookup.
fn time(keys: &[FlowKey], rounds: usize, mut lookup: impl FnMut(&FlowKey) -> Option<u32>) -> f64 {
    let mut rounds_of = |rounds: usize| {
        let start = Clock::now();
        for _ in 0..rounds {
            for key in keys {
                black_box(lookup(black_box(key)));
            }
        }
        start.elapsed().as_nanos() as f64
    };
    rounds_of(1);
    rounds_of(rounds) / (rounds * keys.len()) as f64
}

/// Gives the nanoseconds of one packet on its way from the LAN to the WAN in clear.
fn pass(rules: &[Rule], flows: usize, packets: &[Vec<u8>]) -> f64 {
    let config = Config { limits: Limits { flows, ..Limits::default() }, ..Config::default() };
    let mut datapath = Datapath::new(config, Rng::from_u64(2), NOW);
    datapath.apply(NOW, &Policy { state: State::Registered, rules: rules.to_vec(), ..Policy::default() });
    let (mut pool, mut batch) = (Pool::new(2 * BATCH, 1500), Batch::new());
    let mut spent = 0;
    let mut count = 0;
    for round in 0..=ROUNDS * KEYS / packets.len() / 4 {
        for burst in packets.chunks_exact(BATCH) {
            for ip in burst {
                let filled = pool.take().map(|mut packet| {
                    packet.set(&[2; 14], ip);
                    batch.push(packet)
                });
                assert!(matches!(filled, Some(Ok(()))));
            }
            let start = Clock::now();
            datapath.handle(NOW, Side::Lan, black_box(&mut batch), &mut pool);
            // The first round fills the caches.
            if round > 0 {
                spent += start.elapsed().as_nanos();
                count += BATCH;
            }
            batch.recycle(&mut pool);
        }
    }
    spent as f64 / count as f64
}
