//! `[data]` of a group member: its data plane and the ports of it.

use std::net::IpAddr;
use std::num::NonZeroU32;

use hallmark_control::config::{Ace, ConfigError as Mistake, Prefix};
use hallmark_core::Duration;
use hallmark_datapath as plane;
use hallmark_datapath::{AddressRange, Backend, Behaviour, PortRange, Rule, Selector};
use serde::Deserialize;

use super::names::{BackendName, DfName, EcnName, FailName, FragmentName, PortName, TtlName};

/// Is what `[data]` says: the data plane of a group member and its two ports.
#[derive(Clone, Debug)]
pub struct DataSetup {
    /// Configures the data plane.
    pub plane: plane::Config,
    /// The port to the protected network.
    pub lan: PortSetup,
    /// The port to the other members.
    pub wan: PortSetup,
}

/// Names a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortSetup {
    /// What carries its packets.
    pub kind: PortKind,
    /// The interface; empty for [`PortKind::Lab`].
    pub interface: String,
    /// Whether hosts may hand over large TCP segments.
    pub offload: bool,
}

/// Says what carries the packets of a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortKind {
    /// Whoever drives the machine hands packets in and takes them out.
    Lab,
    /// AF_PACKET on an interface.
    Packet,
    /// AF_XDP on an interface.
    Xdp,
    /// A TUN device, made for the purpose.
    Tun,
}

/// `[data]`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DataTable {
    mtu: Option<u16>,
    lan_mtu: Option<u16>,
    lan_address: Option<IpAddr>,
    ttl: Option<TtlName>,
    df: Option<DfName>,
    dscp: Option<u8>,
    ecn: Option<EcnName>,
    fragment: Option<FragmentName>,
    mss: Option<Mss>,
    fail: Option<FailName>,
    fail_close_exceptions: Vec<String>,
    fail_close_revert: bool,
    local_deny: Vec<String>,
    passive: bool,
    bypass_own_control: Option<bool>,
    override_df: bool,
    check_padding: Option<bool>,
    dummy_every: Option<u32>,
    esn_resync: ResyncTable,
    d3p_protocol: Option<u8>,
    event_interval_ms: Option<u32>,
    pmtu: PmtuTable,
    reassembly: ReassemblyTable,
    limits: PlaneLimitsTable,
    backend: Option<BackendName>,
    workers: Option<u8>,
    lan: Option<PortTable>,
    wan: Option<PortTable>,
}

/// `mss = "off"`, `mss = "auto"` or a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Mss {
    Octets(u16),
    Word(String),
}

/// `pmtu = { .. }`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct PmtuTable {
    learn: Option<bool>,
    learn_v6: Option<bool>,
    floor: Option<u16>,
    age_secs: Option<u32>,
    entries: Option<usize>,
}

/// `esn_resync = { .. }`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ResyncTable {
    after: Option<u32>,
    ahead: Option<u32>,
    interval_ms: Option<u32>,
}

/// `reassembly = { .. }`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ReassemblyTable {
    timeout_secs: Option<u32>,
    per_pair: Option<usize>,
    total_datagrams: Option<usize>,
    total_octets: Option<usize>,
}

/// `limits = { .. }`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct PlaneLimitsTable {
    sas: Option<usize>,
    keys: Option<usize>,
    flows: Option<usize>,
    events: Option<usize>,
    traces: Option<usize>,
    captured: Option<usize>,
}

/// `lan = { kind = .., interface = .., offload = .. }`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PortTable {
    kind: PortName,
    #[serde(default)]
    interface: String,
    #[serde(default)]
    offload: bool,
}

type Mapped<T> = Result<T, Mistake>;

/// Makes the values of the data plane out of the table. `address` is the own address on the WAN.
pub(super) fn setup(table: DataTable, address: IpAddr, behaviour: Behaviour) -> Mapped<DataSetup> {
    let usual = plane::Config::default();
    let mtu = within("mtu", table.mtu, 68..=u16::MAX)?.unwrap_or(usual.wan_mtu);
    let dscp = within("dscp", table.dscp, 0..=63)?;
    let exceptions = rules("fail_close_exceptions", &table.fail_close_exceptions)?;
    if let Some(index) = exceptions.iter().position(|rule| rule.action != plane::Action::Deny) {
        let entry = table.fail_close_exceptions.get(index).map_or("", String::as_str);
        let problem = format!("`{entry}`: an exception is a `deny` entry: what it matches passes in clear");
        return Err(Mistake::new("data.fail_close_exceptions", problem));
    }
    if table.fail_close_revert && table.fail.map(|fail| fail.0) != Some(plane::FailMode::Close) {
        return Err(Mistake::new("data.fail_close_revert", "needs `fail = \"close\"` beside it"));
    }
    let config = plane::Config {
        address: (!address.is_unspecified()).then_some(address),
        lan_address: table.lan_address,
        wan_mtu: mtu,
        lan_mtu: within("lan_mtu", table.lan_mtu, 68..=u16::MAX)?.unwrap_or(mtu),
        ttl: table.ttl.map_or(usual.ttl, |ttl| ttl.0),
        df: table.df.map_or(usual.df, |df| df.0),
        dscp,
        ecn: table.ecn.map_or(usual.ecn, |ecn| ecn.0),
        fragment: table.fragment.map_or(usual.fragment, |fragment| fragment.0),
        mss: mss(table.mss)?,
        fail: table.fail.map_or(usual.fail, |fail| fail.0),
        fail_close_exceptions: exceptions,
        fail_close_revert: table.fail_close_revert,
        // A permit entry is not the member's to make: the data plane drops what it matches, and says so.
        local_deny: rules("local_deny", &table.local_deny)?,
        passive: table.passive,
        bypass_own_control: table.bypass_own_control.unwrap_or(usual.bypass_own_control),
        override_df: table.override_df,
        pmtu: pmtu(&table.pmtu, usual.pmtu)?,
        reassembly: reassembly(&table.reassembly, usual.reassembly)?,
        dummy_every: within("dummy_every", table.dummy_every, 1..=1_000_000)?.and_then(NonZeroU32::new),
        esn_resync: esn_resync(&table.esn_resync, usual.esn_resync)?,
        check_padding: table.check_padding.unwrap_or(usual.check_padding),
        d3p_proto: table.d3p_protocol.unwrap_or(usual.d3p_proto),
        workers: within("workers", table.workers, 1..=64)?.unwrap_or(usual.workers),
        event_interval: table.event_interval_ms.map_or(usual.event_interval, |ms| Duration::from_millis(ms.into())),
        limits: limits(&table.limits, usual.limits)?,
        backend: backend(table.backend, usual.backend)?,
        behaviour,
        ..usual
    };
    let (lan, wan) = (port("lan", table.lan)?, port("wan", table.wan)?);
    if (lan.kind == PortKind::Lab) != (wan.kind == PortKind::Lab) {
        return Err(Mistake::new("data.lan.kind", "one port cannot be `lab` without the other"));
    }
    if lan.kind != PortKind::Lab && lan.interface == wan.interface {
        return Err(Mistake::new("data.wan.interface", format!("`{}` is the LAN port already", wan.interface)));
    }
    Ok(DataSetup { plane: config, lan, wan })
}

fn within<T: PartialOrd + Copy + std::fmt::Display>(
    key: &str,
    value: Option<T>,
    range: std::ops::RangeInclusive<T>,
) -> Mapped<Option<T>> {
    match value {
        Some(value) if !range.contains(&value) => {
            let problem = format!("{value} is not between {} and {}", range.start(), range.end());
            Err(Mistake::new(format!("data.{key}"), problem))
        }
        value => Ok(value),
    }
}

fn mss(value: Option<Mss>) -> Mapped<plane::Mss> {
    match value {
        None => Ok(plane::Mss::Off),
        Some(Mss::Octets(octets)) if octets >= 64 => Ok(plane::Mss::Fixed(octets)),
        Some(Mss::Word(word)) if word == "off" => Ok(plane::Mss::Off),
        Some(Mss::Word(word)) if word == "auto" => Ok(plane::Mss::Auto),
        Some(other) => {
            let told = match other {
                Mss::Octets(octets) => octets.to_string(),
                Mss::Word(word) => word,
            };
            Err(Mistake::new("data.mss", format!("`{told}` is neither `off`, `auto` nor a number from 64 to 65535")))
        }
    }
}

fn rules(key: &str, entries: &[String]) -> Mapped<Vec<Rule>> {
    let told = |problem: String| Mistake::new(format!("data.{key}"), problem);
    if entries.len() > 100 {
        return Err(told("has more than 100 entries".to_owned()));
    }
    entries.iter().map(|entry| entry.parse::<Ace>().map(|ace| rule(&ace)).map_err(told)).collect()
}

fn rule(ace: &Ace) -> Rule {
    let range = |prefix: Prefix| AddressRange::prefix(prefix.network, prefix.bits);
    let ports = |port: u16| if port == 0 { PortRange::ANY } else { PortRange::one(port) };
    let selector = Selector {
        protocol: (ace.ip_protocol != 0).then_some(ace.ip_protocol),
        src: range(ace.src),
        src_ports: ports(ace.src_port),
        dst: range(ace.dst),
        dst_ports: ports(ace.dst_port),
    };
    // No SA has this number.
    if ace.permit { Rule::permit(u32::MAX, selector) } else { Rule::deny(selector) }
}

fn pmtu(table: &PmtuTable, usual: plane::PmtuConfig) -> Mapped<plane::PmtuConfig> {
    Ok(plane::PmtuConfig {
        learn: table.learn.unwrap_or(usual.learn),
        learn_v6: table.learn_v6.unwrap_or(usual.learn_v6),
        floor: within("pmtu.floor", table.floor, 68..=u16::MAX)?.unwrap_or(usual.floor),
        age: table.age_secs.map_or(usual.age, |secs| Duration::from_secs(secs.into())),
        entries: within("pmtu.entries", table.entries, 1..=1_000_000)?.unwrap_or(usual.entries),
    })
}

fn esn_resync(table: &ResyncTable, usual: plane::EsnResync) -> Mapped<plane::EsnResync> {
    Ok(plane::EsnResync {
        after: table.after.unwrap_or(usual.after),
        ahead: within("esn_resync.ahead", table.ahead, 1..=1_000)?.unwrap_or(usual.ahead),
        interval: within("esn_resync.interval_ms", table.interval_ms, 100..=3_600_000)?
            .map_or(usual.interval, |ms| Duration::from_millis(ms.into())),
    })
}

fn reassembly(table: &ReassemblyTable, usual: plane::ReassemblyLimits) -> Mapped<plane::ReassemblyLimits> {
    let count = |key: &str, value: Option<usize>, usual: usize, most: usize| {
        within(&format!("reassembly.{key}"), value, 1..=most).map(|value| value.unwrap_or(usual))
    };
    Ok(plane::ReassemblyLimits {
        timeout: table.timeout_secs.map_or(usual.timeout, |secs| Duration::from_secs(secs.into())),
        per_pair: count("per_pair", table.per_pair, usual.per_pair, 1 << 16)?,
        total_datagrams: count("total_datagrams", table.total_datagrams, usual.total_datagrams, 1 << 20)?,
        total_octets: count("total_octets", table.total_octets, usual.total_octets, 1 << 30)?,
    })
}

fn limits(table: &PlaneLimitsTable, usual: plane::Limits) -> Mapped<plane::Limits> {
    let count = |key: &str, value: Option<usize>, usual: usize| {
        within(&format!("limits.{key}"), value, 1..=1 << 20).map(|value| value.unwrap_or(usual))
    };
    Ok(plane::Limits {
        sas: count("sas", table.sas, usual.sas)?,
        keys: count("keys", table.keys, usual.keys)?,
        flows: count("flows", table.flows, usual.flows)?,
        events: count("events", table.events, usual.events)?,
        traces: count("traces", table.traces, usual.traces)?,
        captured: count("captured", table.captured, usual.captured)?,
    })
}

fn backend(name: Option<BackendName>, usual: Backend) -> Mapped<Backend> {
    let Some(BackendName(backend)) = name else { return Ok(usual) };
    if backend != Backend::Auto && !Backend::available().contains(&backend) {
        let names: Vec<String> = Backend::available().iter().map(|known| format!("`{}`", known.name())).collect();
        let problem = format!("`{}` does not run on this processor; it has {}", backend.name(), names.join(", "));
        return Err(Mistake::new("data.backend", problem));
    }
    Ok(backend)
}

fn port(key: &str, table: Option<PortTable>) -> Mapped<PortSetup> {
    let Some(PortTable { kind: PortName(kind), interface, offload }) = table else {
        return Ok(PortSetup { kind: PortKind::Lab, interface: String::new(), offload: false });
    };
    let told = |problem: &str| Err(Mistake::new(format!("data.{key}"), problem));
    match kind {
        PortKind::Lab if !interface.is_empty() => told("a port of kind `lab` has no interface"),
        PortKind::Packet | PortKind::Xdp | PortKind::Tun if interface.is_empty() => {
            told("needs the name of an `interface`")
        }
        // IFNAMSIZ of the kernel, with its final zero.
        _ if interface.len() > 15 => told("the name of an interface has at most 15 characters"),
        _ if offload && kind != PortKind::Packet => told("`offload` goes with `kind = \"packet\"` only"),
        _ => Ok(PortSetup { kind, interface, offload }),
    }
}
