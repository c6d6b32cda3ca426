//! A thousand members against one key server process.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use hallmark_core::{Datagram, Rng};
use hallmark_crypto::Group;
use hallmark_net::{PortSet, UdpOptions};

use crate::key_server::{GROUP, KeyServer, PSK};
use crate::measure;
use crate::member::{Member, Step};

/// Time without an answer after which a message is sent again.
const RESEND: Duration = Duration::from_secs(2);

/// Key pairs and agreements that the bare work is measured over: enough for the coarse clock of the kernel.
const BARE_ROUNDS: u32 = 1_000;

/// Settings of a measurement.
#[derive(Args)]
pub(crate) struct Options {
    /// Members that register, once each.
    #[arg(long, default_value_t = 1_000)]
    members: usize,
    /// Members that are on their way at the same time.
    #[arg(long, default_value_t = 64)]
    window: usize,
    /// Diffie-Hellman group of phase 1.
    #[arg(long, default_value = "modp2048")]
    group: String,
    /// Prints one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Runs one measurement and prints it.
#[expect(clippy::print_stdout, reason = "the result of the program")]
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let group = Group::from_name(&options.group).with_context(|| format!("no group is called {}", options.group))?;
    ensure!((1..=60_000).contains(&options.members), "between 1 and 60000 members");
    let bare = measure::bare_diffie_hellman(group, BARE_ROUNDS)?;

    let folder = std::env::temp_dir().join(format!("hallmark-perf-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = storm(options, group, &folder);
    std::fs::remove_dir_all(&folder)?;
    let (wall, cpu, resent) = measured?;

    let count = options.members as f64;
    let per_core = count / cpu.as_secs_f64();
    let each = cpu.as_secs_f64() / count;
    let ratio = bare.as_secs_f64() / each;
    if options.json {
        let report = serde_json::json!({
            "schema": "hallmark.perf.registration/1",
            "members": options.members,
            "group": options.group,
            "wall_secs": wall.as_secs_f64(),
            "registrations_per_sec": count / wall.as_secs_f64(),
            "responder_cpu_secs": cpu.as_secs_f64(),
            "responder_cpu_millis_each": each * 1e3,
            "registrations_per_responder_core_sec": per_core,
            "bare_dh_millis": bare.as_secs_f64() * 1e3,
            "bare_dh_share": ratio,
            "resent": resent,
        });
        println!("{report}");
        return Ok(());
    }
    println!(
        "members                  {} ({} at a time), {} and pre-shared key",
        options.members, options.window, group
    );
    println!("wall time                {:.3} s: {:.0} registrations/s", wall.as_secs_f64(), count / wall.as_secs_f64());
    println!("key server CPU           {:.3} s: {:.3} ms each", cpu.as_secs_f64(), each * 1e3);
    println!("per responder core       {per_core:.0} registrations/s");
    println!(
        "bare DH (generate+agree) {:.3} ms: {ratio:.2} of the CPU time of a registration",
        bare.as_secs_f64() * 1e3
    );
    println!("messages sent again      {resent}");
    Ok(())
}

/// Registers everyone; gives wall time, CPU time of the key server, and how many messages had to be sent again.
fn storm(options: &Options, group: Group, folder: &std::path::Path) -> anyhow::Result<(Duration, Duration, u64)> {
    let server = KeyServer::start(folder, group, options.members)?;
    let mut ports = PortSet::new(UdpOptions::default())?;
    let port = ports.open("0.0.0.0:0".parse()?)?.port();
    let mut rng = Rng::from_u64(3);
    // Everything that can be prepared is: the generator must not be the bottleneck.
    let mut waiting = (0..options.members)
        .map(|index| {
            let address = SocketAddr::new(member_address(index), port);
            Member::new(address, group, GROUP, PSK, &mut rng).map(|(member, first)| (address, member, first))
        })
        .collect::<anyhow::Result<VecDeque<_>>>()?;

    let cpu_before = measure::cpu_time(server.pid())?;
    let begun = Instant::now();
    let mut active: BTreeMap<IpAddr, (Member, SocketAddr, Instant)> = BTreeMap::new();
    let (mut registered, mut resent) = (0, 0);
    while registered < options.members {
        while active.len() < options.window {
            let Some((address, member, first)) = waiting.pop_front() else { break };
            ports.send(&Datagram::new(address, server.address, first))?;
            active.insert(address.ip(), (member, address, Instant::now()));
        }
        if !ports.wait(Duration::from_millis(100))? {
            resent += resend(&ports, &mut active, server.address)?;
        }
        while let Some(datagram) = ports.recv()? {
            let from = datagram.dst.ip();
            let Some((member, address, sent)) = active.get_mut(&from) else { continue };
            match member.on_message(&datagram.payload).with_context(|| format!("member {from}"))? {
                Some(Step::Send(message)) => {
                    ports.send(&Datagram::new(*address, server.address, message))?;
                    *sent = Instant::now();
                }
                Some(Step::Registered) => {
                    active.remove(&from);
                    registered += 1;
                }
                None => {}
            }
        }
        if begun.elapsed() > Duration::from_secs(300) {
            bail!("only {registered} of {} registered in five minutes", options.members);
        }
    }
    let wall = begun.elapsed();
    Ok((wall, measure::cpu_time(server.pid())?.saturating_sub(cpu_before), resent))
}

fn resend(
    ports: &PortSet,
    active: &mut BTreeMap<IpAddr, (Member, SocketAddr, Instant)>,
    server: SocketAddr,
) -> anyhow::Result<u64> {
    let mut resent = 0;
    for (member, address, sent) in active.values_mut().filter(|(_, _, sent)| sent.elapsed() > RESEND) {
        ports.send(&Datagram::new(*address, server, member.last_sent.clone()))?;
        *sent = Instant::now();
        resent += 1;
    }
    Ok(resent)
}

/// Gives each member an address of its own in 127.1.0.0/16.
fn member_address(index: usize) -> IpAddr {
    let [_, _, high, low] = u32::try_from(index + 1).unwrap_or(u32::MAX).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 1, high, low))
}
