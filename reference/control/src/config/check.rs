//! Checks of a configuration before anything starts.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use hallmark_core::Duration;
use hallmark_crypto::{CipherAlg, HashAlg, KeyKind};

use super::{ConfigError, GmConfig, GroupConfig, KsConfig, TestConfig, Transport};
use crate::behaviour::Defect;

const DAY: Duration = Duration::from_secs(86_400);
const LONGEST_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

pub(super) fn key_server(config: &KsConfig) -> Result<(), ConfigError> {
    if config.listen.is_empty() {
        return Err(ConfigError::new("listen", "needs at least one address, for example \"10.0.0.1:848\""));
    }
    let mut ids = BTreeSet::new();
    for (index, group) in config.groups.iter().enumerate() {
        if !ids.insert(group.id) {
            return Err(ConfigError::new(format!("group[{index}].id"), format!("{} is used twice", group.id)));
        }
        // REQ GDOI-ALG-002 GDOI-ALG-005
        if config.test.behaviour.has(Defect::KsWeakByDefault) {
            let all = ["des", "3des", "md5", "rsa1024"].map(str::to_owned);
            self::group(group, &all, &config.test)?;
            continue;
        }
        self::group(group, &config.phase1.allow_weak, &config.test)?;
    }
    Ok(())
}

pub(super) fn group(group: &GroupConfig, allow_weak: &[String], test: &TestConfig) -> Result<(), ConfigError> {
    let short_lifetimes = test.short_lifetimes;
    let place = |rest: &str| format!("group[{}].{rest}", group.id);
    if group.kek.is_none() && group.teks.is_empty() {
        // RFC 6407 section 5.2.1: at least one SAK or SAT.
        return Err(ConfigError::new(place("tek"), "a group needs a KEK, a TEK or both"));
    }
    for name in weak_of_group(group) {
        if !allow_weak.iter().any(|allowed| allowed == name) {
            return Err(ConfigError::new(
                format!("group[{}]", group.id),
                format!("uses {name}, which is weak; list \"{name}\" in allow_weak to use it nevertheless"),
            ));
        }
    }
    if group.rekey.lead_percent > 50 {
        return Err(ConfigError::new(place("rekey.lead_percent"), "must be at most 50"));
    }
    if let Some(bits) = group.sid_bits
        && !(1..=32).contains(&bits)
    {
        return Err(ConfigError::new(
            place("sids.bits"),
            "must be between 1 and 32; 8, 12 and 16 are always supported",
        ));
    }
    if let Some(kek) = &group.kek {
        if let Transport::Multicast(address) = kek.transport
            && !address.ip().is_multicast()
        {
            return Err(ConfigError::new(place("kek.multicast"), format!("{} is no multicast address", address.ip())));
        }
        lifetime(&place("kek.lifetime_secs"), kek.lifetime, kek.lead_floor, short_lifetimes)?;
        if kek.lifetime > DAY && !matches!(kek.cipher, CipherAlg::Aes128 | CipherAlg::Aes192 | CipherAlg::Aes256) {
            return Err(ConfigError::new(place("kek.cipher"), "a KEK that lives longer than a day must be AES"));
        }
        if let Some(key) = &group.signing_key
            && key.kind() == KeyKind::Rsa
            && key.bits() / 8 < 11 + 19 + kek.sig_hash.len()
        {
            return Err(ConfigError::new(place("signing_key"), "is too small for the signature hash"));
        }
    }
    if group.lkh && group.kek.is_none() {
        return Err(ConfigError::new(place("lkh"), "needs a KEK"));
    }
    for (index, tek) in group.teks.iter().enumerate() {
        let place = |rest: &str| format!("group[{}].tek[{index}].{rest}", group.id);
        lifetime(&place("lifetime_secs"), tek.lifetime, group.rekey.tek_lead_floor, short_lifetimes)?;
        if tek.lifetime > DAY && !tek.transform.is_strong() {
            return Err(ConfigError::new(
                place("transform"),
                "a TEK that lives longer than a day must be AES-CBC, AES-GCM or AES-GMAC",
            ));
        }
        if tek.transform.is_counter_mode() && group.sid_bits.is_none() {
            return Err(ConfigError::new(
                place("transform"),
                format!("{} needs sender ids: set sids = {{ bits = 8 }} (or 12, 16, 24)", tek.transform),
            ));
        }
        if tek.acl.is_empty() {
            return Err(ConfigError::new(place("acl"), "needs at least one entry"));
        }
        if tek.acl.len() > 100 {
            return Err(ConfigError::new(place("acl"), "has more than 100 entries"));
        }
        if !tek.acl.iter().any(|ace| ace.permit) {
            return Err(ConfigError::new(place("acl"), "needs at least one `permit` entry: a TEK protects something"));
        }
    }
    // A second sender alone would break it (P33), but the server cannot know who sends.
    group.data.check(&format!("group[{}]", group.id), test.behaviour.has(Defect::D3pCmdCoexist))?;
    Ok(())
}

pub(super) fn group_member(config: &GmConfig) -> Result<(), ConfigError> {
    if config.servers.is_empty() {
        return Err(ConfigError::new("server", "needs at least one key server"));
    }
    for (index, server) in config.servers.iter().enumerate() {
        let same = |address: SocketAddr| address.ip() == server.address.ip();
        if config.servers.iter().take(index).any(|other| same(other.address)) {
            return Err(ConfigError::new(format!("server[{index}].address"), "is listed twice"));
        }
        if server.address.is_ipv4() != config.listen.is_ipv4() {
            return Err(ConfigError::new(
                format!("server[{index}].address"),
                "and `listen` must both be IPv4 or both be IPv6",
            ));
        }
    }
    let allowed = |name: &str| config.phase1.allow_weak.iter().any(|allowed| allowed == name);
    for (list, name) in [
        (config.group.acceptable_kek_ciphers.contains(&CipherAlg::Des), "des"),
        (config.group.acceptable_sig_hashes.contains(&HashAlg::Md5), "md5"),
    ] {
        if list && !allowed(name) {
            return Err(ConfigError::new(
                "group",
                format!("accepts {name}, which is weak; list \"{name}\" in allow_weak"),
            ));
        }
    }
    let shortest = if config.test.short_lifetimes { 1 } else { 100 };
    if let Some(interval) = config.group.recovery_interval
        && !(shortest..=1_000).contains(&interval.as_secs())
    {
        return Err(ConfigError::new("group.recovery_interval_secs", "must be between 100 and 1000"));
    }
    let timing = config.group.reregister;
    if timing.retry_initial.is_zero() || timing.retry_cap < timing.retry_initial {
        return Err(ConfigError::new(
            "group.reregister",
            "retry_initial_secs must be above 0 and not above retry_cap_secs",
        ));
    }
    Ok(())
}

pub(super) fn weak_of_group(group: &GroupConfig) -> BTreeSet<&'static str> {
    let mut names = BTreeSet::new();
    if let Some(kek) = &group.kek {
        match kek.cipher {
            CipherAlg::Des => {
                names.insert("des");
            }
            CipherAlg::TripleDes => {
                names.insert("3des");
            }
            _ => {}
        }
        if kek.sig_hash == HashAlg::Md5 {
            names.insert("md5");
        }
        if let Some(key) = &group.signing_key
            && key.kind() == KeyKind::Rsa
            && key.bits() < 2048
        {
            names.insert("rsa1024");
        }
    }
    names.extend(group.teks.iter().flat_map(|tek| tek.transform.weak()));
    names
}

fn lifetime(place: &str, lifetime: Duration, floor: Duration, short: bool) -> Result<(), ConfigError> {
    if lifetime > LONGEST_LIFETIME {
        return Err(ConfigError::new(place, "must be at most 30 days"));
    }
    if lifetime < Duration::from_secs(2) {
        return Err(ConfigError::new(place, "must be at least 2 seconds"));
    }
    if lifetime < floor * 2 && !short {
        return Err(ConfigError::new(
            place,
            format!(
                "{} s is below twice the lead of {} s; set test.short_lifetimes to use it nevertheless",
                lifetime.as_secs(),
                floor.as_secs()
            ),
        ));
    }
    Ok(())
}
