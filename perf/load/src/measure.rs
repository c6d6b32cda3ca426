//! CPU time of a process, and of bare Diffie-Hellman work.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use hallmark_core::Rng;
use hallmark_crypto::{DhKey, Group};

/// Clock ticks a second in `/proc`: fixed by the kernel's interface to programs.
const TICKS_PER_SEC: f64 = 100.0;

/// Reads the CPU time that a process has used, user and system together.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the key server process is gone")?;
    // The name of the program is in parentheses and may hold spaces: count from the last one. utime and stime are
    // fields 14 and 15 of all, 12 and 13 behind the name.
    let behind = stat.rsplit_once(") ").map(|(_, rest)| rest).context("/proc/PID/stat has no program name")?;
    let mut ticks = behind.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    let (Some(Ok(user)), Some(Ok(system))) = (ticks.next(), ticks.next()) else {
        anyhow::bail!("/proc/PID/stat has no CPU times");
    };
    Ok(Duration::from_secs_f64((user + system) / TICKS_PER_SEC))
}

/// Measures what one responder cannot avoid, in CPU time: a fresh key pair and one agreement.
pub(crate) fn bare_diffie_hellman(group: Group, rounds: u32) -> anyhow::Result<Duration> {
    let mut rng = Rng::from_u64(1);
    let peer = DhKey::generate(group, &mut rng);
    // The first of each kind fills tables that all later ones share.
    DhKey::generate(group, &mut rng).agree(peer.public())?;
    let before = cpu_time(std::process::id())?;
    for _ in 0..rounds {
        let own = DhKey::generate(group, &mut rng);
        let shared = own.agree(peer.public())?;
        std::hint::black_box(shared);
    }
    Ok(cpu_time(std::process::id())?.saturating_sub(before) / rounds.max(1))
}
