//! Targets for texts that people write: filters, configurations, waivers.

use hallmark_catalogue::CaseInfo;
use hallmark_catalogue::filter::{Context, Filter};
use hallmark_catalogue::waiver::Waivers;
use hallmark_control::{GroupMember, KeyServer, Machine as _};
use hallmark_core::{Instant, Now, Rng, UnixTime};
use hallmark_node::config::{Source, gm_from_toml, group_from_toml, ks_from_toml};
use jiff::civil::Date;

/// What filters are made of.
pub(crate) const FILTER_WORDS: &[&str] = &[
    "id(",
    "req(",
    "level(must)",
    "subject(ks)",
    "area(",
    "title(/",
    "cost(<",
    "verdict(fail)",
    "not ",
    " and ",
    " or ",
    " - ",
    "all()",
    "none()",
    "(",
    ")",
    ", ",
    "*",
    "?",
    "~",
    "=",
    "/",
    "\\",
    "\"",
    "!",
    "&",
    "|",
    "é",
    "{999}",
    "[a-z]",
    "#a*",
    ">=",
    "<=2m",
    "[[waiver]]\n",
    "when = \"",
    "expires = \"2027-01-31\"\n",
];

/// What configurations are made of.
pub(crate) const CONFIG_WORDS: &[&str] = &[
    "0",
    "-1",
    "1",
    "4294967295",
    "4294967296",
    "65535",
    "1e308",
    "nan",
    "true",
    "false",
    "\"",
    "[]",
    "{}",
    "\n",
    "[[group]]\n",
    "[[group.tek]]\n",
    "[[peer]]\n",
    "[limits]\n",
    "[test]\n",
    "aes256-gcm16",
    "aes128-gmac",
    "null",
    "3des",
    "des",
    "ah",
    "hmac-sha1",
    "transport",
    "sender-only",
    "multicast",
    "lkh = true\n",
    "sids = { bits = 32 }\n",
    "0.0.0.0/0",
    "::/0",
    "10.0.0.0/33",
    "permit udp any eq 53 any",
    "fqdn:",
    "dn:",
    "key-id:1",
    "any",
    "cisco",
    "rfc8263-sha512",
    "modp768",
    "3des-sha1-modp1024-psk",
    "aes256-sha512-ecp521-ecdsa521",
    "-----BEGIN ",
];

/// Parses filters; what parses prints to something that parses to the same.
pub fn fuzz_filter(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Filter::parse(&text) {
        Ok(filter) => {
            let printed = filter.to_string();
            match Filter::parse(&printed) {
                Ok(again) => assert_eq!(again, filter, "`{printed}` means something else than `{text}`"),
                Err(error) => panic!("`{text}` prints as what does not parse: {error}"),
            }
            let context = Context::default();
            let selected = filter.matches(&CaseInfo::BLANK, &context);
            assert_eq!(selected, filter.why(&CaseInfo::BLANK, &context).is_none(), "why and matches disagree: {text}");
            let _ = filter.unknown_names(&[CaseInfo::BLANK]);
        }
        Err(error) => {
            assert!(error.at <= error.text.len());
            let _ = error.to_string();
        }
    }
}

fn start() -> Now {
    Now::new(Instant::from_secs(1_000), UnixTime::from_secs(1_800_000_000))
}

/// Parses configurations of a key server, and starts what is accepted.
pub fn fuzz_ks_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let source = Source::inline("ks.toml");
    if let Err(error) = group_from_toml(&text, &source) {
        let _ = error.to_string();
    }
    match ks_from_toml(&text, &source) {
        Ok(setup) => {
            let Ok(mut server) = KeyServer::new(setup.machine, setup.limits, Rng::from_u64(1), start()) else { return };
            let mut now = start();
            for _ in 0..50 {
                let Some(at) = server.poll_timeout() else { break };
                now.mono = now.mono.max(at);
                server.handle_timeout(now);
                assert!(server.poll_timeout().is_none_or(|next| next > now.mono), "the server spins");
                while server.poll_transmit().is_some() {}
                while server.poll_event().is_some() {}
            }
            serde_json::to_string(&server.status(now)).expect("the status can be shown");
        }
        Err(error) => drop(error.to_string()),
    }
}

/// Parses configurations of a group member, and starts what is accepted.
pub fn fuzz_gm_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match gm_from_toml(&text, &Source::inline("gm.toml")) {
        Ok(setup) => {
            let Ok(mut member) = GroupMember::new(setup.machine, setup.limits, Rng::from_u64(1), start()) else {
                return;
            };
            let mut now = start();
            for _ in 0..50 {
                let Some(at) = member.poll_timeout() else { break };
                now.mono = now.mono.max(at);
                member.handle_timeout(now);
                assert!(member.poll_timeout().is_none_or(|next| next > now.mono), "the member spins");
                while member.poll_transmit().is_some() {}
                while member.poll_event().is_some() {}
            }
            serde_json::to_string(&member.status(now)).expect("the status can be shown");
        }
        Err(error) => drop(error.to_string()),
    }
}

/// Parses waivers and holds them against the catalogue.
pub fn fuzz_waivers(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(waivers) = Waivers::parse(&text) else { return };
    let today = Date::constant(2026, 11, 23);
    let case = CaseInfo::BLANK;
    let _ = waivers.lint(&[&case], today, None);
    let due = waivers.due(today, i32::MAX).len();
    assert_eq!(due, waivers.iter().count(), "every waiver ends some day");
    assert!(waivers.due(today, -1).iter().all(|waiver| waiver.expires < today), "due before its day");
    assert!(waivers.unmatched(&[&case]).len() <= waivers.iter().count());
    for waiver in waivers.iter() {
        let _ = waiver.covers(&case, &Context::default());
    }
}
