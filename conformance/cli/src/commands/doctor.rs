//! `hallmark doctor`: whether this host can do what a run needs.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use hallmark_catalogue::ExitCode;
use hallmark_core::Datagram;
use hallmark_net::{Clock, PortSet, RawIp, UdpOptions};
use serde::Serialize;
use serde_json::json;

use crate::failure::{Done, Failure};
use crate::out;

/// Looks at what this host can do: ports, privileges, multicast, clock, disk, tools.
#[derive(clap::Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

/// Is one thing that was looked at.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    name: &'static str,
    state: State,
    told: String,
    /// What it is good for, or what to do.
    hint: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    Missing,
    Bad,
}

/// Runs the command.
pub(crate) fn run(args: &DoctorArgs) -> Done {
    let findings = [
        randomness(),
        loopback(),
        multicast(),
        gdoi_port(),
        raw_ip(),
        disk(),
        clock(),
        tool("tshark", "opens captures of a run, with its keys"),
        tool("xmllint", "checks JUnit files against a schema"),
        tool("ip", "makes network namespaces for tests with other implementations"),
    ];
    let bad = findings.iter().any(|finding| finding.state == State::Bad);
    if args.json {
        let text = serde_json::to_string_pretty(&json!({
            "schema": "hallmark.doctor/1",
            "host": host_facts(),
            "ok": !bad,
            "findings": findings,
        }));
        out::line(text.map_err(Failure::internal)?);
    } else {
        for finding in &findings {
            let word = match finding.state {
                State::Good => "ok",
                State::Missing => "--",
                State::Bad => "BAD",
            };
            out::line(format!("{word:>4}  {:16} {}", finding.name, finding.told));
            if finding.state != State::Good {
                out::line(format!("      {:16} {}", "", finding.hint));
            }
        }
        out::line(if bad {
            "\nwhat is BAD keeps every run from working"
        } else {
            "\nready for `hallmark run`; what is -- narrows what can be judged over real sockets"
        });
    }
    Ok(if bad { ExitCode::Preflight } else { ExitCode::Ok })
}

/// Gives facts about this host for the manifest of a run.
pub(crate) fn host_facts() -> BTreeMap<String, String> {
    let read = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let facts = [
        ("os", format!("{} {}", std::env::consts::OS, read("/proc/sys/kernel/osrelease"))),
        ("arch", std::env::consts::ARCH.to_owned()),
        ("cores", cores.to_string()),
        ("name", read("/proc/sys/kernel/hostname")),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| (key.to_owned(), value)).collect()
}

fn good(name: &'static str, told: impl ToString) -> Finding {
    Finding { name, state: State::Good, told: told.to_string(), hint: "" }
}

fn lacking(name: &'static str, state: State, told: impl ToString, hint: &'static str) -> Finding {
    Finding { name, state, told: told.to_string(), hint }
}

fn randomness() -> Finding {
    match hallmark_net::entropy::seed() {
        Ok(_) => good("randomness", "the operating system gives it"),
        Err(error) => lacking("randomness", State::Bad, error, "nothing that makes keys can run here"),
    }
}

fn loopback() -> Finding {
    let hint = "`--target process` and `--target exec:` need 127.0.0.0/8 on the loopback interface";
    let at = |last| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 127, 255, last)), 0);
    let tried = || {
        let mut ports = PortSet::new(UdpOptions::default())?;
        let (a, b) = (ports.open(at(1))?, ports.open(at(2))?);
        let began = Instant::now();
        ports.send(&Datagram::new(a, b, b"doctor".to_vec()))?;
        ports.wait(Duration::from_secs(1))?;
        Ok::<_, hallmark_net::NetError>((ports.recv()?.is_some(), began.elapsed()))
    };
    match tried() {
        Ok((true, took)) => good("loopback", format!("a datagram takes {} us", took.as_micros())),
        Ok((false, _)) => lacking("loopback", State::Missing, "a datagram did not arrive", hint),
        Err(error) => lacking("loopback", State::Missing, error, hint),
    }
}

fn multicast() -> Finding {
    let hint = "cases with multicast rekeys do not apply over real sockets; `ip link set lo multicast on` may help";
    let end = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 127, 255, 3)), 0);
    let tried = || {
        let mut ports = PortSet::new(UdpOptions::default())?;
        let opened = ports.open(end)?;
        let group = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 192, 255, 3)), opened.port());
        ports.join(group, opened.ip())?;
        ports.send(&Datagram::new(opened, group, b"doctor".to_vec()))?;
        ports.wait(Duration::from_secs(1))?;
        Ok::<_, hallmark_net::NetError>(ports.recv()?.is_some())
    };
    match tried() {
        Ok(true) => good("multicast", "reaches members on loopback"),
        Ok(false) => lacking("multicast", State::Missing, "a datagram to a group did not arrive", hint),
        Err(error) => lacking("multicast", State::Missing, error, hint),
    }
}

fn gdoi_port() -> Finding {
    let end = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 127, 255, 4)), 848);
    match PortSet::new(UdpOptions::default()).and_then(|mut ports| ports.open(end)) {
        Ok(_) => good("port 848", "may be opened"),
        Err(error) => lacking(
            "port 848",
            State::Missing,
            error,
            "devices expect the tester there: run as root or with CAP_NET_BIND_SERVICE; loopback uses another port",
        ),
    }
}

fn raw_ip() -> Finding {
    match RawIp::open() {
        Ok(_) => good("raw IP", "whole packets may be sent"),
        Err(error) => lacking(
            "raw IP",
            State::Missing,
            error,
            "cases that send fragments of their own do not apply over real sockets; root or CAP_NET_RAW changes that",
        ),
    }
}

fn disk() -> Finding {
    let folder = if Path::new("runs").is_dir() { Path::new("runs") } else { Path::new(".") };
    let probe = folder.join(format!(".hallmark-doctor-{}", std::process::id()));
    let tried = || {
        let began = Instant::now();
        let mut file = std::fs::File::create(&probe)?;
        std::io::Write::write_all(&mut file, &[0; 4096])?;
        file.sync_data()?;
        Ok::<_, std::io::Error>(began.elapsed())
    };
    let done = tried();
    let _ = std::fs::remove_file(&probe);
    match done {
        Ok(took) if took < Duration::from_millis(200) => {
            good("disk", format!("a verdict is durable in {:.1} ms", took.as_secs_f64() * 1000.0))
        }
        Ok(took) => lacking(
            "disk",
            State::Missing,
            format!("a verdict takes {} ms", took.as_millis()),
            "choose a faster folder with --out",
        ),
        Err(error) => {
            lacking("disk", State::Bad, error, "run folders are written below runs/ unless --out says otherwise")
        }
    }
}

fn clock() -> Finding {
    let clock = Clock::real();
    let began = clock.now().mono;
    std::thread::sleep(Duration::from_millis(10));
    let late = (clock.now().mono - began).saturating_sub(Duration::from_millis(10));
    let told = format!("a timer of 10 ms is {:.2} ms late", late.as_secs_f64() * 1000.0);
    if late < Duration::from_millis(20) {
        good("clock", told)
    } else {
        lacking(
            "clock",
            State::Missing,
            told,
            "a busy host: use fewer --jobs or a lower --clock-rate over real sockets",
        )
    }
}

fn tool(name: &'static str, hint: &'static str) -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file()) {
        Some(file) => good(name, file.display()),
        None => lacking(name, State::Missing, "not installed", hint),
    }
}
