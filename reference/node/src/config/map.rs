//! From the tables of a file to the plain values of the machines.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use hallmark_control::behaviour::{Behaviour, Defect, Variant};
use hallmark_control::config::data::{DataConfig, ReplayMethod};
use hallmark_control::config::{
    Ace, Compat, ConfigError as Mistake, GroupConfig, KekConfig, MembershipConfig, PeerConfig, Prefix, RekeyConfig,
    ReregisterConfig, ServerConfig, TekConfig, TestConfig, Transport,
};
use hallmark_control::data::GroupDirection;
use hallmark_control::ike::{Credentials, IkeConfig, IkeConfigError, PeerRule, Retransmit};
use hallmark_control::{GmConfig, KsConfig};
use hallmark_core::switch::Switch;
use hallmark_core::{Duration, Limits};
use hallmark_crypto::Secret;
use hallmark_crypto::cert::TrustStore;
use hallmark_datapath as plane;
use hallmark_wire::isakmp::Identification;

use super::error::nearest;
use super::names::{self, CompatSwitch, NetAddress, ReplayKind, TransportKind};
use super::text::{
    GmFile, GroupTable, IdentityTable, KekTable, KsFile, LimitsTable, MembershipTable, PeerTable, Phase1Table,
    RekeyTable, ReplayTable, ReregisterTable, RetransmitTable, ServerTable, TekTable, TestTable,
};
use super::{ProcessConfig, Setup, Source, data, identity, material};

type Mapped<T> = Result<T, Mistake>;

/// Builds a path like `group[0]`.
pub(super) fn place(table: &str, index: usize) -> String {
    format!("{table}[{index}]")
}

pub(super) fn key_server(file: KsFile, source: &Source) -> Mapped<Setup<KsConfig>> {
    schema(&file.schema, "hallmark.ks/1")?;
    let listen: Vec<SocketAddr> = file.listen.iter().map(|NetAddress(address)| *address).collect();
    let main = *listen.first().ok_or_else(|| Mistake::new("listen", "at least one address is needed"))?;
    let given = file.test.is_some();
    let switches = file.test.unwrap_or_default();
    let test = test_config(&switches)?;
    let mut phase1 = phase1_config(file.phase1, file.identity, source)?;
    phase1.accept = true;
    phase1.nat_t_port = file.nat_t_port;
    phase1.allow_weak = file.allow_weak.iter().map(|weak| weak.0.to_owned()).collect();
    let peers = each(file.peer, "peer", peer)?;
    let groups = each(file.group, "group", |table, place| group_of(table, source, place, main.port()))?;
    let sources = groups.iter().filter_map(|group| group.kek.as_ref()).map(|kek| kek.source_port);
    let mut process = process_config(&listen, file.nat_t_port, sources, file.control, &switches, None, source)?;
    process.test = given;
    let limits = limits(&file.limits)?;
    let machine = KsConfig { listen, phase1, peers, groups, test };
    machine.phase1.validate().map_err(phase1_mistake)?;
    machine.validate()?;
    Ok(Setup { machine, limits, process, data: None })
}

pub(super) fn group_member(file: GmFile, source: &Source) -> Mapped<Setup<GmConfig>> {
    schema(&file.schema, "hallmark.gm/1")?;
    let NetAddress(listen) = file.listen;
    let given = file.test.is_some();
    let switches = file.test.unwrap_or_default();
    let test = test_config(&switches)?;
    let behaviour = plane::Behaviour::from_known(&switches.defects, &switches.variants);
    let data = file.data.map(|table| data::setup(table, listen.ip(), behaviour)).transpose()?;
    let mut phase1 = phase1_config(file.phase1, file.identity, source)?;
    phase1.accept = false;
    phase1.nat_t_port = file.nat_t_port;
    phase1.allow_weak = file.allow_weak.iter().map(|weak| weak.0.to_owned()).collect();
    if file.server.is_empty() {
        return Err(Mistake::new("server", "at least one [[server]] is needed"));
    }
    let servers = each(file.server, "server", server)?;
    let group = membership(file.group)?;
    let interface = group.multicast_interface;
    let ports = std::iter::empty();
    let mut process = process_config(&[listen], file.nat_t_port, ports, file.control, &switches, interface, source)?;
    process.test = given;
    let limits = limits(&file.limits)?;
    let machine = GmConfig { listen, phase1, servers, group, test };
    machine.phase1.validate().map_err(phase1_mistake)?;
    machine.validate()?;
    Ok(Setup { machine, limits, process, data })
}

/// Maps one group that stands alone.
pub(super) fn group(table: GroupTable, source: &Source, place: &str) -> Mapped<GroupConfig> {
    group_of(table, source, place, KekConfig::default().source_port)
}

fn schema(found: &str, wanted: &str) -> Mapped<()> {
    if found == wanted {
        return Ok(());
    }
    let other = match found {
        "hallmark.ks/1" => ": this is the configuration of a key server",
        "hallmark.gm/1" => ": this is the configuration of a group member",
        _ => "",
    };
    Err(Mistake::new("schema", format!("unknown schema `{found}`, expected `{wanted}`{other}")))
}

fn each<T, U>(items: Vec<T>, table: &str, mut one: impl FnMut(T, &str) -> Mapped<U>) -> Mapped<Vec<U>> {
    items.into_iter().enumerate().map(|(index, item)| one(item, &place(table, index))).collect()
}

fn phase1_config(table: Phase1Table, own: Option<IdentityTable>, source: &Source) -> Mapped<IkeConfig> {
    let told = |key: &str| {
        let place = format!("phase1.{key}");
        move |problem: String| Mistake::new(place, problem)
    };
    let chain = match &table.certificate {
        Some(value) => material::blocks(value, &["CERTIFICATE"], source).map_err(told("certificate"))?,
        None => Vec::new(),
    };
    let key = match &table.private_key {
        Some(value) => Some(material::private_key(value, source).map_err(told("private_key"))?),
        None => None,
    };
    let identity = match own {
        Some(own) => Some(own_identity(&own, chain.first())?),
        None => None,
    };
    let credentials = match (chain.is_empty(), key) {
        (false, Some(key)) => Some(Credentials { chain, key }),
        (true, None) => None,
        (false, None) => return Err(Mistake::new("phase1.certificate", "needs `private_key` beside it")),
        (true, Some(_)) => return Err(Mistake::new("phase1.private_key", "needs `certificate` beside it")),
    };
    let mut anchors = Vec::new();
    for value in &table.trust_anchors {
        anchors.extend(material::blocks(value, &["CERTIFICATE"], source).map_err(told("trust_anchors"))?);
    }
    let mut crls = Vec::new();
    for value in &table.crls {
        crls.extend(material::blocks(value, &["X509 CRL"], source).map_err(told("crls"))?);
    }
    let crl_check = !crls.is_empty();
    let trust = if anchors.is_empty() {
        None
    } else {
        Some(
            TrustStore::new(&anchors, &crls)
                .map_err(|error| Mistake::new("phase1.trust_anchors", error.to_string()))?,
        )
    };
    let usual = IkeConfig::default();
    Ok(IkeConfig {
        identity,
        proposals: table.proposals.into_iter().map(|suite| suite.0).collect(),
        lifetime: table.lifetime_secs.map_or(usual.lifetime, secs),
        aggressive: table.aggressive,
        dpd: (table.dpd_secs > 0).then(|| secs(table.dpd_secs)),
        nat_t: table.nat_t.unwrap_or(true),
        fragmentation: table.fragmentation.unwrap_or(true),
        doi: table.doi.unwrap_or(usual.doi),
        retransmit: retransmit(table.retransmit.as_ref(), usual.retransmit)?,
        credentials,
        trust,
        crl_check,
        ..usual
    })
}

/// Finds the value that a mistake of phase 1 is about.
fn phase1_mistake(error: IkeConfigError) -> Mistake {
    let place = match &error {
        IkeConfigError::NoCredentials { .. } | IkeConfigError::NoTrust { .. } => "phase1",
        IkeConfigError::KeyKind { .. } => "phase1.private_key",
        IkeConfigError::Doi { .. } => "phase1.doi",
        IkeConfigError::Zero => "phase1.lifetime_secs",
        IkeConfigError::AggressiveGroups => "phase1.aggressive",
        _ => "phase1.proposals",
    };
    Mistake::new(place, error.to_string())
}

fn own_identity(table: &IdentityTable, certificate: Option<&Vec<u8>>) -> Mapped<Identification> {
    let told = |problem| Mistake::new("identity.value", problem);
    if table.kind.0 == "dn" && table.value == "certificate" {
        let certificate =
            certificate.ok_or_else(|| told("the subject of the certificate needs `phase1.certificate`".to_owned()))?;
        return identity::subject_of(certificate).map_err(told);
    }
    identity::from_parts(table.kind.0, &table.value).map_err(told)
}

fn retransmit(table: Option<&RetransmitTable>, usual: Retransmit) -> Mapped<Retransmit> {
    let Some(table) = table else { return Ok(usual) };
    let factor = table.factor.unwrap_or(usual.factor);
    if !(1.0..=10.0).contains(&factor) {
        return Err(Mistake::new("phase1.retransmit.factor", format!("{factor} is not between 1 and 10")));
    }
    let millis = |value: Option<u32>, usual| value.map_or(usual, |ms| Duration::from_millis(ms.into()));
    let initial = millis(table.initial_ms, usual.initial);
    if initial.is_zero() {
        return Err(Mistake::new("phase1.retransmit.initial_ms", "must be more than 0"));
    }
    Ok(Retransmit {
        initial,
        factor,
        cap: millis(table.cap_ms, usual.cap).max(initial),
        tries: table.tries.unwrap_or(usual.tries),
    })
}

fn peer(table: PeerTable, place: &str) -> Mapped<PeerConfig> {
    let prefix: Prefix =
        table.address.parse().map_err(|problem: String| Mistake::new(format!("{place}.address"), problem))?;
    let psk = secret(table.psk, table.psk_hex, place)?;
    let (rule, compat) = rule(prefix.network, prefix.bits, psk, &table.identities, &table.compat, place)?;
    Ok(PeerConfig { rule, compat })
}

fn server(table: ServerTable, place: &str) -> Mapped<ServerConfig> {
    let NetAddress(address) = table.address;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let psk = secret(table.psk, table.psk_hex, place)?;
    let (rule, compat) = rule(address.ip(), bits, psk, &table.identities, &table.compat, place)?;
    Ok(ServerConfig { address, rule, compat })
}

fn rule(
    network: IpAddr,
    prefix: u8,
    psk: Option<Secret>,
    names: &[String],
    switches: &[CompatSwitch],
    place: &str,
) -> Mapped<(PeerRule, Compat)> {
    let compat = switches.iter().fold(Compat::NONE, |set, switch| set.with(switch.0));
    let rule = PeerRule {
        network,
        prefix,
        psk,
        identities: identities(names, &format!("{place}.identities"))?,
        doi1: compat.has(Compat::DOI1),
        aes_no_key_length: compat.has(Compat::AES_NO_KEY_LENGTH),
        id_port_848: compat.has(Compat::ID_PORT_848),
    };
    Ok((rule, compat))
}

fn identities(names: &[String], place: &str) -> Mapped<Vec<Identification>> {
    names.iter().map(|name| identity::parse_identity(name).map_err(|problem| Mistake::new(place, problem))).collect()
}

fn secret(text: Option<String>, digits: Option<String>, place: &str) -> Mapped<Option<Secret>> {
    match (text, digits) {
        (Some(_), Some(_)) => Err(Mistake::new(format!("{place}.psk_hex"), "give either `psk` or `psk_hex`, not both")),
        (Some(text), None) if text.is_empty() => Err(Mistake::new(format!("{place}.psk"), "must not be empty")),
        (Some(text), None) => Ok(Some(Secret::new(text.into_bytes()))),
        (None, Some(digits)) => match hex::decode(&digits) {
            Ok(octets) if !octets.is_empty() => Ok(Some(Secret::new(octets))),
            _ => Err(Mistake::new(format!("{place}.psk_hex"), "expected an even number of hex digits, at least two")),
        },
        (None, None) => Ok(None),
    }
}

fn group_of(table: GroupTable, source: &Source, place: &str, port: u16) -> Mapped<GroupConfig> {
    let usual = GroupConfig::new(table.id);
    let signing_key = match &table.signing_key {
        Some(value) => Some(
            material::private_key(value, source)
                .map_err(|problem| Mistake::new(format!("{place}.signing_key"), problem))?,
        ),
        None => None,
    };
    let kek = match table.kek {
        Some(kek) => Some(kek_config(&kek, &format!("{place}.kek"), port)?),
        None => None,
    };
    let teks = each(table.tek, "tek", |tek, inner| tek_config(&tek, &format!("{place}.{inner}")))?;
    Ok(GroupConfig {
        members: identities(&table.members, &format!("{place}.members"))?,
        min_gm_version: table.min_gm_version.map(|version| version.0),
        signing_key,
        sid_bits: table.sids.map(|sids| sids.bits),
        lkh: table.lkh,
        ack: table.ack.0,
        atd_secs: table.atd_secs,
        dtd_secs: table.dtd_secs,
        kek,
        rekey: rekey_config(table.rekey.as_ref(), &format!("{place}.rekey"))?,
        teks,
        data: DataConfig {
            receive_only: table.direction.is_some_and(|direction| direction.0 == GroupDirection::ReceiveOnly),
            group_spis: table.group_spis,
            ..replay_config(table.replay.as_ref(), &format!("{place}.replay"))?
        },
        ..usual
    })
}

fn kek_config(table: &KekTable, place: &str, port: u16) -> Mapped<KekConfig> {
    let usual = KekConfig::default();
    let transport = match (table.transport.0, table.multicast) {
        (TransportKind::Unicast, None) => Transport::Unicast,
        (TransportKind::Multicast, Some(NetAddress(address))) if address.ip().is_multicast() => {
            Transport::Multicast(address)
        }
        (TransportKind::Multicast, Some(NetAddress(address))) => {
            let problem =
                format!("`{}` is no multicast address, expected one in 224.0.0.0/4 or ff00::/8", address.ip());
            return Err(Mistake::new(format!("{place}.multicast"), problem));
        }
        (TransportKind::Multicast, None) => {
            return Err(Mistake::new(format!("{place}.transport"), "needs `multicast = \"ADDRESS:PORT\"` beside it"));
        }
        (TransportKind::Unicast, Some(_)) => {
            return Err(Mistake::new(format!("{place}.multicast"), "needs `transport = \"multicast\"` beside it"));
        }
    };
    let copies = table.retransmit.as_ref();
    Ok(KekConfig {
        cipher: table.cipher.0,
        sig_hash: table.sig_hash.0,
        lifetime: table.lifetime_secs.map_or(usual.lifetime, secs),
        transport,
        source_port: table.source_port.unwrap_or(port),
        retransmit_period: copies.and_then(|copies| copies.period_secs).map_or(usual.retransmit_period, secs),
        retransmit_count: copies.and_then(|copies| copies.count).unwrap_or(usual.retransmit_count),
        lead_floor: table.lead_floor_secs.map_or(usual.lead_floor, secs),
    })
}

fn rekey_config(table: Option<&RekeyTable>, place: &str) -> Mapped<RekeyConfig> {
    let usual = RekeyConfig::default();
    let Some(table) = table else { return Ok(usual) };
    let lead_percent = table.lead_percent.unwrap_or(usual.lead_percent);
    if lead_percent > 90 {
        return Err(Mistake::new(format!("{place}.lead_percent"), format!("{lead_percent} is not between 0 and 90")));
    }
    Ok(RekeyConfig {
        lead_percent,
        tek_lead_floor: table.tek_lead_floor_secs.map_or(usual.tek_lead_floor, secs),
        missed_before_removal: table.missed_rekeys_before_removal.unwrap_or(usual.missed_before_removal),
    })
}

/// Reads method and window of the protection against replayed data; whether they go together is judged with the group.
fn replay_config(table: Option<&ReplayTable>, place: &str) -> Mapped<DataConfig> {
    let Some(table) = table else { return Ok(DataConfig::default()) };
    let needs = |what: &str| Mistake::new(place, format!("needs `window`, {what}"));
    let too_large = |_| Mistake::new(format!("{place}.window"), "is far too large");
    let short = |window: u32| u16::try_from(window).map_err(too_large);
    let mut d3p = table.d3p_window_ms;
    let replay = match (table.method.0, table.window) {
        (ReplayKind::None, None) => ReplayMethod::None,
        (ReplayKind::None, Some(_)) => {
            return Err(Mistake::new(format!("{place}.window"), "means nothing with `method = \"none\"`"));
        }
        (ReplayKind::Counter, Some(window)) => ReplayMethod::Counter { window: short(window)? },
        (ReplayKind::Counter, None) => return Err(needs("a number of packets from 32 to 1024")),
        (ReplayKind::Time, Some(window)) => ReplayMethod::Time { window_secs: short(window)? },
        (ReplayKind::Time, None) => return Err(needs("a number of seconds from 1 to 100")),
        (ReplayKind::D3p, Some(_)) if d3p.is_some() => {
            return Err(Mistake::new(format!("{place}.d3p_window_ms"), "stands beside `window` already"));
        }
        (ReplayKind::D3p, window) => {
            d3p = d3p.or(window);
            if d3p.is_none() {
                return Err(needs("a number of milliseconds from 1000 to 100000"));
            }
            ReplayMethod::None
        }
    };
    Ok(DataConfig { replay, d3p: d3p.map(|ms| Duration::from_millis(ms.into())), ..DataConfig::default() })
}

fn tek_config(table: &TekTable, place: &str) -> Mapped<TekConfig> {
    let transform = names::transform(table.protocol.0, &table.transform, table.auth.map(|auth| auth.0))
        .map_err(|(key, problem)| Mistake::new(format!("{place}.{key}"), problem))?;
    let acl = table
        .acl
        .iter()
        .map(|entry| entry.parse::<Ace>().map_err(|problem| Mistake::new(format!("{place}.acl"), problem)))
        .collect::<Mapped<Vec<Ace>>>()?;
    let usual = TekConfig::new(transform, acl);
    Ok(TekConfig {
        lifetime: table.lifetime_secs.map_or(usual.lifetime, secs),
        mode: table.mode.0,
        direction: table.direction.0,
        ..usual
    })
}

fn membership(table: MembershipTable) -> Mapped<MembershipConfig> {
    let usual = MembershipConfig::new(table.id);
    let multicast_interface = match &table.multicast_interface {
        Some(text) => Some(text.parse().map_err(|_| {
            Mistake::new("group.multicast_interface", format!("`{text}` is no address, expected that of the interface"))
        })?),
        None => None,
    };
    Ok(MembershipConfig {
        version: table.version.map_or(usual.version, |version| Some(version.0)),
        sender_ids: table.sender_ids,
        acceptable_kek_ciphers: table
            .acceptable_kek_ciphers
            .map_or(usual.acceptable_kek_ciphers, |list| list.into_iter().map(|cipher| cipher.0).collect()),
        acceptable_sig_hashes: table
            .acceptable_sig_hashes
            .map_or(usual.acceptable_sig_hashes, |list| list.into_iter().map(|hash| hash.0).collect()),
        acceptable_transforms: table.acceptable_transforms.into_iter().map(|transform| transform.0).collect(),
        ignore_unknown_attributes: table.ignore_unknown_attributes,
        rekey_acks: table.rekey_acks.unwrap_or(usual.rekey_acks),
        unrequested_acks: table.unrequested_acks.0,
        reregister: reregister(table.reregister.as_ref(), usual.reregister),
        multicast_interface,
        recovery_interval: table.recovery_interval_secs.map(secs),
        ..usual
    })
}

fn reregister(table: Option<&ReregisterTable>, usual: ReregisterConfig) -> ReregisterConfig {
    let Some(table) = table else { return usual };
    ReregisterConfig {
        lead: table.lead_secs.map_or(usual.lead, secs),
        jitter: table.jitter_secs.map_or(usual.jitter, secs),
        min_interval: table.min_interval_secs.map_or(usual.min_interval, secs),
        retry_initial: table.retry_initial_secs.map_or(usual.retry_initial, secs),
        retry_cap: table.retry_cap_secs.map_or(usual.retry_cap, secs),
    }
}

/// Reads the switches. Each name belongs to the machine, to its data plane or (where one fault shows in both) to both;
/// names of the data plane are fine in the configuration of a node without one.
fn test_config(table: &TestTable) -> Mapped<TestConfig> {
    let defects = Defect::ALL.iter().map(|defect| defect.name());
    let variants = Variant::ALL.iter().map(|variant| variant.name());
    let plane_defects = plane::Defect::ALL.iter().map(|defect| defect.name());
    let plane_variants = plane::Variant::ALL.iter().map(|variant| variant.name());
    known("defect", &table.defects, "test.defects", defects.chain(plane_defects))?;
    known("variant", &table.variants, "test.variants", variants.chain(plane_variants))?;
    let behaviour = Behaviour::from_known(&table.defects, &table.variants);
    Ok(TestConfig { behaviour, short_lifetimes: table.short_lifetimes, export_keys: table.export_keys })
}

/// Refuses the first name that is in no list, and tells the nearest three of the list, which is far too long to show.
fn known<'n>(what: &str, names: &[String], place: &str, list: impl Iterator<Item = &'n str> + Clone) -> Mapped<()> {
    match names.iter().find(|name| !list.clone().any(|known| known == name.as_str())) {
        None => Ok(()),
        Some(name) => Err(Mistake::new(place, names::unknown(what, name, nearest(name, list, 3).into_iter()))),
    }
}

fn process_config(
    listen: &[SocketAddr],
    nat_t_port: Option<u16>,
    push_ports: impl Iterator<Item = u16>,
    control: Option<String>,
    test: &TestTable,
    multicast_interface: Option<IpAddr>,
    source: &Source,
) -> Mapped<ProcessConfig> {
    let mut all = listen.to_vec();
    if let Some(port) = nat_t_port {
        all.extend(listen.iter().map(|address| SocketAddr::new(address.ip(), port)));
    }
    if let Some(main) = listen.first() {
        all.extend(push_ports.map(|port| SocketAddr::new(main.ip(), port)));
    }
    let mut unique: Vec<SocketAddr> = Vec::new();
    for address in all {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let clock_rate = test.clock_rate.unwrap_or(1.0);
    if !(0.01..=10_000.0).contains(&clock_rate) {
        return Err(Mistake::new("test.clock_rate", format!("{clock_rate} is not between 0.01 and 10000")));
    }
    let control = control.filter(|path| !path.is_empty()).map(|path| match &source.folder {
        Some(folder) => folder.join(path),
        None => PathBuf::from(path),
    });
    let seed = seed(test.seed.as_deref())?;
    Ok(ProcessConfig { listen: unique, control, clock_rate, seed, multicast_interface, test: false })
}

fn seed(digits: Option<&str>) -> Mapped<Option<[u8; 32]>> {
    match digits {
        None | Some("") => Ok(None),
        Some(digits) => {
            let mut octets = [0; 32];
            hex::decode_to_slice(digits, &mut octets)
                .map_err(|_| Mistake::new("test.seed", "expected 64 hex digits"))?;
            Ok(Some(octets))
        }
    }
}

fn limits(table: &LimitsTable) -> Mapped<Limits> {
    let usual = Limits::default();
    for (name, value, most) in [
        ("message_octets", table.message_octets, usual.message_octets),
        ("payloads_per_message", table.payloads_per_message, 4_096),
        ("members", table.members, 1_000_000),
        ("phase1_sas", table.phase1_sas, 1_000_000),
        ("half_open", table.half_open, 1_000_000),
    ] {
        if value.is_some_and(|value| value == 0 || value > most) {
            return Err(Mistake::new(format!("limits.{name}"), format!("expected a number between 1 and {most}")));
        }
    }
    Ok(Limits {
        message_octets: table.message_octets.unwrap_or(usual.message_octets),
        payloads_per_message: table.payloads_per_message.unwrap_or(usual.payloads_per_message),
        transforms_per_proposal: table.transforms_per_proposal.unwrap_or(usual.transforms_per_proposal),
        attributes_per_list: table.attributes_per_list.unwrap_or(usual.attributes_per_list),
        half_open: table.half_open.unwrap_or(usual.half_open),
        half_open_per_source: table.half_open_per_source.unwrap_or(usual.half_open_per_source),
        half_open_secs: table.half_open_secs.unwrap_or(usual.half_open_secs),
        phase1_sas: table.phase1_sas.unwrap_or(usual.phase1_sas),
        pulls_per_sa: table.pulls_per_sa.unwrap_or(usual.pulls_per_sa),
        message_ids_per_sa: table.message_ids_per_sa.unwrap_or(usual.message_ids_per_sa),
        members: table.members.unwrap_or(usual.members),
        fragments_per_message: table.fragments_per_message.unwrap_or(usual.fragments_per_message),
        reassembly_octets: table.reassembly_octets.unwrap_or(usual.reassembly_octets),
        certificates_per_message: table.certificates_per_message.unwrap_or(usual.certificates_per_message),
        teks: table.teks.unwrap_or(usual.teks),
        output_queue: table.output_queue.unwrap_or(usual.output_queue),
    })
}

fn secs(value: u32) -> Duration {
    Duration::from_secs(value.into())
}
