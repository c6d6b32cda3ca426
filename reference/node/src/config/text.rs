//! The configuration files as they are written: one struct for each table.

use serde::Deserialize;

use super::data::DataTable;
use super::names::{
    Ack, Auth, Cipher, CompatSwitch, Direction, GroupDirectionName, IdentityKind, Mode, NetAddress, Protocol,
    ReplayName, SigHash, SuiteName, TransformName, TransportName, VersionText, WeakName,
};

/// `ks.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KsFile {
    pub(super) schema: String,
    pub(super) listen: Vec<NetAddress>,
    pub(super) nat_t_port: Option<u16>,
    pub(super) identity: Option<IdentityTable>,
    pub(super) control: Option<String>,
    #[serde(default)]
    pub(super) allow_weak: Vec<WeakName>,
    pub(super) phase1: Phase1Table,
    #[serde(default)]
    pub(super) peer: Vec<PeerTable>,
    #[serde(default)]
    pub(super) group: Vec<GroupTable>,
    #[serde(default)]
    pub(super) limits: LimitsTable,
    pub(super) test: Option<TestTable>,
}

/// `gm.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GmFile {
    pub(super) schema: String,
    pub(super) listen: NetAddress,
    pub(super) nat_t_port: Option<u16>,
    pub(super) identity: Option<IdentityTable>,
    pub(super) control: Option<String>,
    #[serde(default)]
    pub(super) allow_weak: Vec<WeakName>,
    pub(super) phase1: Phase1Table,
    #[serde(default)]
    pub(super) server: Vec<ServerTable>,
    pub(super) group: MembershipTable,
    pub(super) data: Option<DataTable>,
    #[serde(default)]
    pub(super) limits: LimitsTable,
    pub(super) test: Option<TestTable>,
}

/// The text of `replace-policy`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupFile {
    pub(super) group: Vec<GroupTable>,
}

/// `identity = { type = .., value = .. }`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdentityTable {
    #[serde(rename = "type")]
    pub(super) kind: IdentityKind,
    pub(super) value: String,
}

/// `[phase1]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Phase1Table {
    pub(super) proposals: Vec<SuiteName>,
    pub(super) lifetime_secs: Option<u32>,
    #[serde(default)]
    pub(super) aggressive: bool,
    #[serde(default)]
    pub(super) dpd_secs: u32,
    pub(super) nat_t: Option<bool>,
    pub(super) fragmentation: Option<bool>,
    pub(super) doi: Option<u32>,
    pub(super) retransmit: Option<RetransmitTable>,
    pub(super) certificate: Option<String>,
    pub(super) private_key: Option<String>,
    #[serde(default)]
    pub(super) trust_anchors: Vec<String>,
    #[serde(default)]
    pub(super) crls: Vec<String>,
}

/// `retransmit = { .. }` of phase 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetransmitTable {
    pub(super) initial_ms: Option<u32>,
    pub(super) factor: Option<f64>,
    pub(super) cap_ms: Option<u32>,
    pub(super) tries: Option<u32>,
}

/// `[[peer]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeerTable {
    pub(super) address: String,
    pub(super) psk: Option<String>,
    pub(super) psk_hex: Option<String>,
    #[serde(default)]
    pub(super) identities: Vec<String>,
    #[serde(default)]
    pub(super) compat: Vec<CompatSwitch>,
}

/// `[[server]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerTable {
    pub(super) address: NetAddress,
    pub(super) psk: Option<String>,
    pub(super) psk_hex: Option<String>,
    #[serde(default)]
    pub(super) identities: Vec<String>,
    #[serde(default)]
    pub(super) compat: Vec<CompatSwitch>,
}

/// `[[group]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupTable {
    pub(super) id: u32,
    #[serde(default)]
    pub(super) members: Vec<String>,
    pub(super) min_gm_version: Option<VersionText>,
    pub(super) signing_key: Option<String>,
    pub(super) sids: Option<SidTable>,
    #[serde(default)]
    pub(super) lkh: bool,
    #[serde(default)]
    pub(super) ack: Ack,
    #[serde(default)]
    pub(super) atd_secs: u16,
    #[serde(default)]
    pub(super) dtd_secs: u16,
    pub(super) kek: Option<KekTable>,
    pub(super) rekey: Option<RekeyTable>,
    pub(super) replay: Option<ReplayTable>,
    pub(super) direction: Option<GroupDirectionName>,
    #[serde(default)]
    pub(super) group_spis: bool,
    #[serde(default)]
    pub(super) tek: Vec<TekTable>,
}

/// `sids = { bits = 8 }`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SidTable {
    pub(super) bits: u8,
}

/// `[group.kek]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KekTable {
    pub(super) cipher: Cipher,
    pub(super) sig_hash: SigHash,
    pub(super) lifetime_secs: Option<u32>,
    #[serde(default)]
    pub(super) transport: TransportName,
    pub(super) multicast: Option<NetAddress>,
    pub(super) source_port: Option<u16>,
    pub(super) retransmit: Option<PushRetransmitTable>,
    pub(super) lead_floor_secs: Option<u32>,
}

/// `retransmit = { .. }` of a KEK.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PushRetransmitTable {
    pub(super) period_secs: Option<u32>,
    pub(super) count: Option<u32>,
}

/// `[group.rekey]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RekeyTable {
    pub(super) lead_percent: Option<u8>,
    pub(super) tek_lead_floor_secs: Option<u32>,
    pub(super) missed_rekeys_before_removal: Option<u32>,
}

/// `[group.replay]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayTable {
    pub(super) method: ReplayName,
    pub(super) window: Option<u32>,
    pub(super) d3p_window_ms: Option<u32>,
}

/// `[[group.tek]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TekTable {
    pub(super) protocol: Protocol,
    pub(super) transform: String,
    pub(super) auth: Option<Auth>,
    pub(super) lifetime_secs: Option<u32>,
    #[serde(default)]
    pub(super) mode: Mode,
    #[serde(default)]
    pub(super) direction: Direction,
    pub(super) acl: Vec<String>,
}

/// `[group]` of a group member.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MembershipTable {
    pub(super) id: u32,
    pub(super) version: Option<VersionText>,
    #[serde(default)]
    pub(super) sender_ids: u16,
    pub(super) acceptable_kek_ciphers: Option<Vec<Cipher>>,
    pub(super) acceptable_sig_hashes: Option<Vec<SigHash>>,
    #[serde(default)]
    pub(super) acceptable_transforms: Vec<TransformName>,
    #[serde(default)]
    pub(super) ignore_unknown_attributes: bool,
    pub(super) rekey_acks: Option<bool>,
    #[serde(default)]
    pub(super) unrequested_acks: Ack,
    pub(super) reregister: Option<ReregisterTable>,
    pub(super) multicast_interface: Option<String>,
    pub(super) recovery_interval_secs: Option<u32>,
}

/// `reregister = { .. }`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReregisterTable {
    pub(super) lead_secs: Option<u32>,
    pub(super) jitter_secs: Option<u32>,
    pub(super) min_interval_secs: Option<u32>,
    pub(super) retry_initial_secs: Option<u32>,
    pub(super) retry_cap_secs: Option<u32>,
}

/// `[limits]`: each absent value keeps its default.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsTable {
    pub(super) message_octets: Option<usize>,
    pub(super) payloads_per_message: Option<usize>,
    pub(super) transforms_per_proposal: Option<usize>,
    pub(super) attributes_per_list: Option<usize>,
    pub(super) half_open: Option<usize>,
    pub(super) half_open_per_source: Option<usize>,
    pub(super) half_open_secs: Option<u64>,
    pub(super) phase1_sas: Option<usize>,
    pub(super) pulls_per_sa: Option<usize>,
    pub(super) message_ids_per_sa: Option<usize>,
    pub(super) members: Option<usize>,
    pub(super) fragments_per_message: Option<usize>,
    pub(super) reassembly_octets: Option<usize>,
    pub(super) certificates_per_message: Option<usize>,
    pub(super) teks: Option<usize>,
    pub(super) output_queue: Option<usize>,
}

/// `[test]`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TestTable {
    pub(super) defects: Vec<String>,
    pub(super) variants: Vec<String>,
    pub(super) clock_rate: Option<f64>,
    pub(super) seed: Option<String>,
    pub(super) short_lifetimes: bool,
    pub(super) export_keys: bool,
}
