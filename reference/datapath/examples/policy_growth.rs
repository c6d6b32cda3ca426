//! Prints what a lookup in the policy costs as the policy grows, with and without the flow cache.
//!
//! `cargo run --release -p hallmark-datapath --example policy_growth`

use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use hallmark_core::Rng;
use hallmark_datapath::{AddressRange, Classifier, FlowCache, FlowKey, Rule, Selector};

const KEYS: usize = 4096;
const ROUNDS: usize = 500;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:>6} {:>12} {:>12} {:>12} {:>10}", "ACEs", "no cache ns", "cache ns", "linear ns", "octets")?;
    for rules in [1, 10, 100, 1000, 4000] {
        let mut rng = Rng::from_u64(1);
        let rules: Vec<Rule> = (0..rules).map(|_| rule(&mut rng)).collect();
        let keys: Vec<FlowKey> = (0..KEYS).map(|_| key(&mut rng)).collect();
        let list = Classifier::compile(&rules);
        let plain = time(&keys, ROUNDS, |key| list.lookup(key));
        // The cache has room for every flow here, as it is set up to have.
        let mut cache = FlowCache::new(4 * KEYS, rng.next_u64());
        let cached = time(&keys[..KEYS / 8], ROUNDS * 8, |key| cache.lookup(&list, key));
        let walked = time(&keys, 1 + ROUNDS / rules.len(), |key| {
            let first = rules.iter().position(|rule| hallmark_datapath::classifier::matches(&rule.selector, key));
            first.map(|index| index as u32)
        });
        writeln!(out, "{:>6} {plain:>12.1} {cached:>12.1} {walked:>12.1} {:>10}", rules.len(), list.octets())?;
    }
    Ok(())
}

/// Subnets of 10.0.0.0/8 towards each other, one in four with a port, as in the lists of large groups.
fn rule(rng: &mut Rng) -> Rule {
    let mut subnet = || {
        let first = 0x0a00_0000 | (rng.next_u32() & 0x00ff_ff00);
        AddressRange {
            first: std::net::Ipv4Addr::from(first).into(),
            last: std::net::Ipv4Addr::from(first | 0xff).into(),
        }
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

fn key(rng: &mut Rng) -> FlowKey {
    FlowKey {
        src: u128::from(0x0a00_0000 | (rng.next_u32() >> 8)),
        dst: u128::from(0x0a00_0000 | (rng.next_u32() >> 8)),
        src_port: rng.next_u32() as u16,
        dst_port: rng.next_u32() as u16,
        protocol: 6,
        version4: true,
        has_ports: true,
        fragment: false,
    }
}

/// Gives the nanoseconds of one lookup.
fn time(keys: &[FlowKey], rounds: usize, mut lookup: impl FnMut(&FlowKey) -> Option<u32>) -> f64 {
    for key in keys {
        black_box(lookup(black_box(key)));
    }
    let start = Instant::now();
    for _ in 0..rounds {
        for key in keys {
            black_box(lookup(black_box(key)));
        }
    }
    start.elapsed().as_nanos() as f64 / (rounds * keys.len()) as f64
}
