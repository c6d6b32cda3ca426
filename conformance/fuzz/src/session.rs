//! One registration and two rekeys between a key server and a member, recorded once in each process.
//!
//! Both machines take all randomness from their seed. So a machine with the same configuration and seed, fed with the
//! recorded datagrams of the other side, stands again where it stood, at half the cost and up to any step.

use std::sync::OnceLock;
use std::time::Duration;

use hallmark_control::{Event, EventKind, GroupMember, KeyServer, KsCommand, Machine};
use hallmark_core::{Datagram, Instant, Now, Rng, UnixTime};
use hallmark_crypto::SigningKey;
use hallmark_node::config::{Source, gm_from_toml, ks_from_toml};
use hallmark_wire::isakmp::{ExchangeType, Header};

/// The group of the session.
pub(crate) const GROUP: u32 = 1234;

/// The key that signs rekeys.
pub(crate) const SIGNING_KEY: &str = include_str!("../../../fixtures/keys/p256-a.pem");

/// Configures the key server; `KEY` stands for its signing key.
pub(crate) const KS_TOML: &str = r#"schema = "hallmark.ks/1"
listen = ["10.0.0.1:848"]
nat_t_port = 4500
[phase1]
proposals = ["aes128-sha256-ecp256-psk", "aes256-sha512-modp2048-psk"]
lifetime_secs = 3600
aggressive = true
dpd_secs = 60
[[peer]]
address = "10.0.0.0/8"
psk = "a shared secret"
[[group]]
id = 1234
signing_key = """
KEY"""
sids = { bits = 8 }
lkh = true
ack = "rfc8263-sha256"
dtd_secs = 30
[group.kek]
cipher = "aes128"
sig_hash = "sha256"
lifetime_secs = 7200
transport = "unicast"
retransmit = { period_secs = 10, count = 2 }
[[group.tek]]
protocol = "esp"
transform = "aes128-gcm16"
lifetime_secs = 1800
acl = ["permit ip 10.1.0.0/16 10.2.0.0/16", "permit udp any 10.3.0.0/16 eq 53"]
[[group.tek]]
protocol = "ah"
transform = "hmac-sha256"
lifetime_secs = 3600
acl = ["permit ip any 10.9.0.0/16"]
[limits]
half_open = 8
half_open_per_source = 4
phase1_sas = 6
pulls_per_sa = 4
message_ids_per_sa = 16
members = 4
fragments_per_message = 8
reassembly_octets = 16384
output_queue = 256
[test]
short_lifetimes = true
export_keys = true
"#;

/// Configures the member.
pub(crate) const GM_TOML: &str = r#"schema = "hallmark.gm/1"
listen = "10.0.0.2:848"
nat_t_port = 4500
[phase1]
proposals = ["aes128-sha256-ecp256-psk"]
lifetime_secs = 3600
dpd_secs = 60
[[server]]
address = "10.0.0.1:848"
psk = "a shared secret"
[[server]]
address = "10.0.0.3:848"
psk = "another secret"
[group]
id = 1234
version = "1.0.5"
sender_ids = 2
[limits]
half_open = 8
half_open_per_source = 4
phase1_sas = 6
message_ids_per_sa = 16
fragments_per_message = 8
reassembly_octets = 16384
teks = 8
output_queue = 256
[test]
export_keys = true
"#;

/// Gives the configuration of the key server with its key.
pub(crate) fn ks_text() -> String {
    KS_TOML.replace("KEY", SIGNING_KEY)
}

/// Makes the key server of the session.
pub(crate) fn key_server() -> KeyServer {
    let setup = ks_from_toml(&ks_text(), &Source::inline("ks.toml")).map_err(|error| error.to_string()).expect("valid");
    KeyServer::new(setup.machine, setup.limits, Rng::from_u64(1), start()).expect("valid")
}

/// Makes the member of the session.
pub(crate) fn group_member() -> GroupMember {
    let setup = gm_from_toml(GM_TOML, &Source::inline("gm.toml")).map_err(|error| error.to_string()).expect("valid");
    GroupMember::new(setup.machine, setup.limits, Rng::from_u64(2), start()).expect("valid")
}

/// Gives the time at which both machines start.
pub(crate) const fn start() -> Now {
    at(Instant::from_secs(1_000))
}

/// Gives both clocks at a time.
pub(crate) const fn at(mono: Instant) -> Now {
    Now::new(mono, UnixTime::from_secs(1_800_000_000 + mono.as_secs() as i64))
}

/// Holds what was recorded.
pub(crate) struct Session {
    /// What the member sent: Main Mode 1, 3, 5, PULL 1, 3, and an acknowledgement of each PUSH.
    pub(crate) to_ks: Vec<(Instant, Datagram)>,
    /// What the server sent: Main Mode 2, 4, 6, PULL 2, 4, a PUSH with TEKs and one with a KEK.
    pub(crate) to_gm: Vec<(Instant, Datagram)>,
    pub(crate) skeyid_a: Vec<u8>,
    pub(crate) cipher_key: Vec<u8>,
    pub(crate) kek_spi: [u8; 16],
    pub(crate) kek_iv_and_key: Vec<u8>,
    pub(crate) signing_key: SigningKey,
}

/// Gives the recorded session.
pub(crate) fn session() -> &'static Session {
    static SESSION: OnceLock<Session> = OnceLock::new();
    SESSION.get_or_init(record)
}

/// When the server is told to rekey.
pub(crate) fn rekey_at() -> Now {
    at(start().mono + Duration::from_secs(100))
}

/// What the operator does before a datagram of the session, counted from 0.
pub(crate) fn command_before(step: usize) -> Option<(Now, KsCommand)> {
    match step {
        5 => Some((rekey_at(), KsCommand::Rekey { group: GROUP })),
        6 => Some((at(start().mono + Duration::from_secs(200)), KsCommand::RekeyKek { group: GROUP })),
        _ => None,
    }
}

fn record() -> Session {
    let (mut ks, mut gm) = (key_server(), group_member());
    let (mut to_ks, mut to_gm, mut events) = (Vec::new(), Vec::new(), Vec::new());
    let mut now = start();
    gm.handle_timeout(now);
    for command in [None, command_before(5), command_before(6)] {
        if let Some((when, command)) = command {
            now = when;
            ks.handle_timeout(now);
            gm.handle_timeout(now);
            // The keepalives and probes of the time between are no part of the session.
            while ks.poll_transmit().is_some() || gm.poll_transmit().is_some() {}
            ks.handle_command(now, command).expect("there is a member to rekey");
        }
        for _ in 0..20 {
            now = at(now.mono + Duration::from_millis(1));
            while let Some(datagram) = gm.poll_transmit() {
                ks.handle_datagram(now, &datagram);
                to_ks.push((now.mono, datagram));
            }
            while let Some(datagram) = ks.poll_transmit() {
                gm.handle_datagram(now, &datagram);
                to_gm.push((now.mono, datagram));
            }
            ks.handle_timeout(now);
            gm.handle_timeout(now);
            while let Some(event) = ks.poll_event() {
                events.push(event);
            }
        }
    }
    let keys = Keys::of(&events);
    let signing_key = SigningKey::from_pem(SIGNING_KEY).expect("a key");
    Session {
        to_ks,
        to_gm,
        skeyid_a: keys.skeyid_a,
        cipher_key: keys.cipher_key,
        kek_spi: keys.kek_spi,
        kek_iv_and_key: keys.kek_iv_and_key,
        signing_key,
    }
}

#[derive(Default)]
struct Keys {
    skeyid_a: Vec<u8>,
    cipher_key: Vec<u8>,
    kek_spi: [u8; 16],
    kek_iv_and_key: Vec<u8>,
}

impl Keys {
    fn of(events: &[Event]) -> Self {
        let octets = |text: &str| hex::decode(text).expect("hex");
        let mut keys = Self::default();
        for event in events {
            match &event.kind {
                EventKind::KeyMaterial { skeyid_a, cipher_key, .. } => {
                    keys.skeyid_a = octets(skeyid_a);
                    keys.cipher_key = octets(cipher_key);
                }
                EventKind::KekMaterial { kek_spi, iv_and_key } if keys.kek_iv_and_key.is_empty() => {
                    keys.kek_spi = octets(kek_spi).try_into().expect("16 octets");
                    keys.kek_iv_and_key = octets(iv_and_key);
                }
                _ => {}
            }
        }
        keys
    }
}

/// Gives the place of the first datagram of an exchange in a list.
pub(crate) fn first_of(list: &[(Instant, Datagram)], exchange: ExchangeType) -> usize {
    let of = |datagram: &Datagram| Header::decode(&datagram.payload).is_ok_and(|header| header.exchange == exchange);
    list.iter().position(|(_, datagram)| of(datagram)).expect("the session has it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchanges(list: &[(Instant, Datagram)]) -> Vec<ExchangeType> {
        list.iter().map(|(_, datagram)| Header::decode(&datagram.payload).unwrap().exchange).collect()
    }

    #[test]
    fn the_session_is_a_registration_and_two_rekeys() {
        let session = session();
        let (main, pull) = (ExchangeType::MAIN, ExchangeType::PULL);
        assert_eq!(
            exchanges(&session.to_ks),
            [main, main, main, pull, pull, ExchangeType::PUSH_ACK, ExchangeType::PUSH_ACK]
        );
        assert_eq!(exchanges(&session.to_gm), [main, main, main, pull, pull, ExchangeType::PUSH, ExchangeType::PUSH]);
        assert_eq!((session.skeyid_a.len(), session.cipher_key.len()), (32, 16));
    }

    #[test]
    fn fed_with_its_datagrams_each_side_stands_where_it_stood() {
        let session = session();
        let mut ks = key_server();
        for (when, datagram) in &session.to_ks[..5] {
            ks.handle_datagram(at(*when), datagram);
        }
        assert_eq!(ks.status(rekey_at()).groups[0].member_count, 1);
        let mut gm = group_member();
        gm.handle_timeout(start());
        for (when, datagram) in &session.to_gm {
            gm.handle_datagram(at(*when), datagram);
        }
        let status = gm.status(rekey_at());
        assert!(status.registered);
        assert_eq!(status.rekeys_received, 2);
    }
}
