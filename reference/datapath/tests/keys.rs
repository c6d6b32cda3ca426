//! Every initialisation vector that a member uses under a counter-mode key, logged over whatever a key server may do:
//! one key under several SPIs, keys that come back, memory that is full, sender ids that change, several workers.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Member, at, policy, sa, udp};
use hallmark_core::{Duration, Instant, Rng};
use hallmark_datapath::config::{Limits, Ttl};
use hallmark_datapath::{Behaviour, Config, Defect, Fate, Policy, Sa, Secret, Side};

/// The vectors that were used under each key, without its salt.
#[derive(Default)]
struct Log {
    used: BTreeSet<(Vec<u8>, u64)>,
    repeated: usize,
}

impl Log {
    fn add(&mut self, key: &[u8], esp: &[u8]) {
        let vector = u64::from_be_bytes(esp[28..36].try_into().expect("eight octets"));
        self.repeated += usize::from(!self.used.insert((key[..16].to_vec(), vector)));
    }
}

/// One worker with the keys of its policy.
struct Worker {
    member: Member,
    keys: BTreeMap<u32, Vec<u8>>,
}

impl Worker {
    fn new(data: hallmark_datapath::Datapath, config: Config) -> Self {
        let mut member = Member::new(config);
        member.data = data;
        Self { member, keys: BTreeMap::new() }
    }

    fn apply(&mut self, secs: u64, policy: &Policy) {
        self.member.data.apply(at(secs), policy);
        let counted = policy.sas.iter().filter(|sa| sa.transform.is_counter_mode());
        self.keys = counted.map(|sa| (sa.spi, sa.encryption_key.expose().to_vec())).collect();
    }

    fn send(&mut self, secs: u64, packets: usize, log: &mut Log) {
        let inner = udp("10.1.0.1", "10.2.0.1", 20);
        for (fate, esp) in self.member.burst(at(secs), Side::Lan, &vec![inner; packets]) {
            let spi = u32::from_be_bytes(esp[20..24].try_into().expect("four octets"));
            if fate == Fate::Out(Side::Wan)
                && let Some(key) = self.keys.get(&spi)
            {
                log.add(key, &esp);
            }
        }
    }
}

fn config(behaviour: Behaviour, keys: usize) -> Config {
    let limits = Limits { keys, ..Limits::default() };
    Config { ttl: Ttl::Keep, event_interval: Duration::ZERO, behaviour, limits, ..Config::default() }
}

fn workers(count: usize, config: &Config) -> Vec<Worker> {
    let first = Member::new(config.clone()).data;
    let others: Vec<_> = (1..count as u64).map(|n| first.worker(Rng::from_u64(n), at(0))).collect();
    std::iter::once(first).chain(others).map(|data| Worker::new(data, config.clone())).collect()
}

/// Gives an SA with one of few keys under one of few SPIs.
fn any_sa(rng: &mut Rng, secs: u64, taken: &BTreeSet<u32>) -> Option<Sa> {
    let spi = 0x1000 + rng.below(6) as u32;
    let transforms = ["aes128-gcm16", "aes128-gcm16", "aes128-gcm8", "aes128-gmac", "aes128-cbc+hmac-sha1"];
    let chosen = sa(spi, transforms[rng.below(5) as usize]);
    let (key, salt) = (vec![rng.below(5) as u8; 16], vec![rng.below(2) as u8; 4]);
    let key = if chosen.transform.is_counter_mode() { [key, salt].concat() } else { key };
    let lives = [50, 500, 5_000][rng.below(3) as usize];
    (!taken.contains(&spi)).then(|| Sa {
        encryption_key: Secret::new(key),
        integrity_key: Secret::new(vec![1; chosen.transform.integrity_key_len()]),
        ends: Instant::from_secs(secs + lives),
        serial: rng.below(100),
        ..chosen
    })
}

fn any_policy(rng: &mut Rng, secs: u64) -> Policy {
    let mut sas: Vec<Sa> = Vec::new();
    for _ in 0..rng.below(4) {
        let taken: BTreeSet<u32> = sas.iter().map(|sa| sa.spi).collect();
        sas.extend(any_sa(rng, secs, &taken));
    }
    let bits = if rng.chance(0.05) { 12 } else { 16 };
    let ids = (0..=rng.below(3)).map(|_| rng.below(4) as u32 + 1).collect();
    Policy { sender_ids: Some((bits, ids)), ..policy(sas) }
}

/// Lets a key server with that seed do as it likes and gives the vectors that came, and how many came twice.
fn story(seed: u64, behaviour: &Behaviour, keys: usize) -> (usize, usize) {
    let mut rng = Rng::from_u64(seed);
    let mut workers = workers(1 + rng.below(3) as usize, &config(behaviour.clone(), keys));
    let (mut log, mut secs) = (Log::default(), 1);
    for _ in 0..80 {
        match rng.below(10) {
            0..3 => {
                let policy = any_policy(&mut rng, secs);
                // Some workers may hear of it later, or not at all.
                for worker in &mut workers {
                    if rng.chance(0.8) {
                        worker.apply(secs, &policy);
                    }
                }
            }
            3 => secs += [1, 60, 6_000][rng.below(3) as usize],
            4 if rng.chance(0.3) => {
                let worker = &mut workers[0];
                let near = (rng.below(3) << 48) + (1 << 48) - rng.below(20);
                if let Some((&spi, _)) = worker.keys.first_key_value() {
                    worker.member.data.advance_sequence(spi, near);
                }
            }
            _ => {
                let index = rng.below(workers.len() as u64) as usize;
                let packets = 1 + rng.below(20) as usize;
                workers[index].send(secs, packets, &mut log);
            }
        }
    }
    (log.used.len(), log.repeated)
}

#[test]
fn no_vector_repeats_under_a_key_whatever_the_key_server_does() {
    let mut sent = 0;
    for seed in 0..100 {
        // Room for all keys, for some, for one.
        for keys in [16, 2, 1] {
            let (vectors, repeated) = story(seed, &Behaviour::conforming(), keys);
            assert_eq!(repeated, 0, "seed {seed}, room for {keys} keys");
            sent += vectors;
        }
    }
    assert!(sent > 25_000, "{sent}");
}

#[test]
fn the_log_sees_members_whose_vectors_repeat() {
    for defect in [
        Defect::IvRestartsWithNewSpi,
        Defect::IvForgottenWithTheSa,
        Defect::IvRestartsOnApply,
        Defect::IvReused,
        Defect::SidWrapsOnExhaustion,
    ] {
        let behaviour = Behaviour::conforming().with_defect(defect);
        let seen = (0..30).filter(|&seed| story(seed, &behaviour, 16).1 > 0).count();
        assert!(seen > 2, "{defect}: {seen} of 30");
    }
}

/// More SAs than are remembered push an SA out while its key is alive; its count stays.
#[test]
fn a_key_whose_sa_was_pushed_out_of_memory_goes_on() {
    let mut workers = workers(1, &config(Behaviour::conforming(), 1 << 14));
    let worker = &mut workers[0];
    let mut log = Log::default();
    let first = policy(vec![sa(0x1000, "aes128-gcm16")]);
    worker.apply(1, &first);
    worker.send(1, 10, &mut log);
    for round in 1..=5 {
        let many = (0..1_024).map(|n| Sa { ends: Instant::from_secs(9_000), ..sa(round << 16 | n, "aes128-gcm16") });
        worker.apply(2, &policy(many.collect()));
    }
    worker.apply(3, &first);
    worker.send(3, 10, &mut log);
    assert_eq!((log.used.len(), log.repeated), (20, 0));
    let shown = worker.member.data.status(at(3));
    assert_eq!((shown.sas[0].sequence, shown.sas[0].vectors), (10, 20), "the SA is new, the key is not");
    assert_eq!((shown.keys.remembered, shown.keys.limit), (5 * 1_024 + 1, 1 << 14));
}

#[test]
fn workers_on_threads_of_their_own_never_take_one_vector_twice() {
    let workers = workers(4, &config(Behaviour::conforming(), 16));
    let threads: Vec<_> = (1..)
        .zip(workers)
        .map(|(n, mut worker)| {
            std::thread::spawn(move || {
                let (mut rng, mut log) = (Rng::from_u64(n), Log::default());
                for round in 0..200 {
                    // Each has SPIs of its own for the one key, and changes them all the time.
                    let spi = 0x1000 * n as u32 + round % 3;
                    let same = Sa { encryption_key: Secret::new(vec![7; 20]), ..sa(spi, "aes128-gcm16") };
                    let ids = vec![rng.below(3) as u32 + 1];
                    worker.apply(1, &Policy { sender_ids: Some((16, ids)), ..policy(vec![same]) });
                    worker.send(1, 1 + rng.below(30) as usize, &mut log);
                }
                log
            })
        })
        .collect();
    let mut all = BTreeSet::new();
    for thread in threads {
        let log = thread.join().expect("no panic");
        assert_eq!(log.repeated, 0);
        for used in log.used {
            assert!(all.insert(used), "two workers used one vector");
        }
    }
    assert!(all.len() > 5_000);
}
