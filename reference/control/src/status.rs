//! What an operator can read from a running machine. Every type is `Serialize`; the names are part of the contract.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use hallmark_core::Limits;
use serde::Serialize;

use crate::behaviour::Behaviour;
use crate::data::GroupDirection;
use crate::ike::IkeEndpoint;
use crate::journal::Journal;

/// Shows a key server.
#[derive(Clone, Debug, Serialize)]
pub struct KsStatus {
    /// Always `ks`.
    pub role: &'static str,
    /// The addresses that it listens on.
    pub listen: Vec<SocketAddr>,
    /// The groups.
    pub groups: Vec<GroupStatus>,
    /// Phase 1, switches and counters.
    #[serde(flatten)]
    pub common: CommonStatus,
}

/// Shows a group member.
#[derive(Clone, Debug, Serialize)]
pub struct GmStatus {
    /// Always `gm`.
    pub role: &'static str,
    /// The address that it talks from.
    pub listen: SocketAddr,
    /// The group.
    pub group: u32,
    /// `idle`, `phase1`, `pull`, `registered`, `registering-again`, `waiting` or `stopped`.
    pub state: &'static str,
    /// True once a registration succeeded and its keys are still alive.
    pub registered: bool,
    /// The server of the latest successful registration.
    pub server: Option<SocketAddr>,
    /// The configured servers in their order.
    pub servers: Vec<SocketAddr>,
    /// The Rekey SA.
    pub kek: Option<GmKekStatus>,
    /// The replaced Rekey SA, kept only to recognise repeats.
    pub previous_kek: Option<GmKekStatus>,
    /// The Data-Security SAs.
    pub sas: Vec<SaStatus>,
    /// The access list in order.
    pub acl: Vec<String>,
    /// The protection against replayed data, and the clock of the group.
    pub replay: ReplayStatus,
    /// Whether the member may send protected.
    pub direction: GroupDirection,
    /// Registrations that errors of the data plane started.
    pub recovery: RecoveryStatus,
    /// The SPIs that are used to send, one per policy.
    pub send_spis: Vec<u32>,
    /// The SPIs that are accepted.
    pub accepted_spis: Vec<u32>,
    /// The sender ids.
    pub sids: Vec<u32>,
    /// Bits of a sender id.
    pub sid_bits: Option<u16>,
    /// Seconds until the next registration.
    pub reregisters_in_secs: Option<u64>,
    /// Successful registrations.
    pub registrations: u64,
    /// Attempts to register, one per server tried.
    pub attempts: u64,
    /// PUSH messages accepted, repeats not counted.
    pub rekeys_received: u64,
    /// PUSH messages accepted since the latest registration.
    pub rekeys_since_registration: u64,
    /// Repeats of the latest PUSH.
    pub repeats_received: u64,
    /// Acknowledgements sent.
    pub acks_sent: u64,
    /// The multicast groups that the socket must have joined.
    pub multicast_groups: Vec<IpAddr>,
    /// Phase 1, switches and counters.
    #[serde(flatten)]
    pub common: CommonStatus,
}

/// Shows the protection against replayed data at a group member.
#[derive(Clone, Debug, Serialize)]
pub struct ReplayStatus {
    /// `none`, `counter`, `time` or `d3p`.
    pub method: &'static str,
    /// Packets, seconds or milliseconds, after the method.
    pub window: u64,
    /// The pseudotime in seconds, when there is one.
    pub pseudotime_secs: Option<f64>,
    /// How often a PUSH set the pseudotime.
    pub time_syncs: u64,
    /// PUSH messages that were refused because of their pseudotime.
    pub time_sync_errors: u64,
    /// The largest correction, in seconds.
    pub max_time_delta_secs: f64,
}

/// Shows registrations that errors of the data plane started.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RecoveryStatus {
    /// Least time between two; absent: none is started.
    pub interval_secs: Option<u64>,
    /// Those that were started.
    pub executed: u64,
    /// Those that had to wait.
    pub postponed: u64,
}

/// Shows what both roles have.
#[derive(Clone, Debug, Serialize)]
pub struct CommonStatus {
    /// Phase 1.
    pub phase1: Phase1Status,
    /// Refused input by code.
    pub rejections: BTreeMap<&'static str, u64>,
    /// Weak algorithms that the configuration allows.
    pub allow_weak: Vec<String>,
    /// Compatibility switches by peer or server; only those with a switch on are listed.
    pub compat: BTreeMap<String, Vec<&'static str>>,
    /// Defects that are switched on.
    pub defects: Vec<&'static str>,
    /// Variants that are switched on.
    pub variants: Vec<&'static str>,
    /// Limits on what a peer can grow.
    pub limits: BTreeMap<&'static str, u64>,
    /// Outputs that were dropped because nobody took them.
    pub dropped_outputs: u64,
}

impl CommonStatus {
    /// Shows what a machine has of phase 1, of refusals and of switches.
    pub(crate) fn of(
        ike: &IkeEndpoint,
        journal: &Journal,
        behaviour: &Behaviour,
        limits: &Limits,
        allow_weak: &[String],
        compat: BTreeMap<String, Vec<&'static str>>,
    ) -> Self {
        Self {
            phase1: Phase1Status {
                half_open: ike.half_open(),
                established: ike.established(),
                in_reassembly: ike.in_reassembly(),
            },
            rejections: journal.rejections().clone(),
            allow_weak: allow_weak.to_vec(),
            compat,
            defects: behaviour.defect_names(),
            variants: behaviour.variant_names(),
            limits: limits_table(limits),
            dropped_outputs: journal.dropped() + ike.dropped_outputs(),
        }
    }
}

/// Shows phase 1.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Phase1Status {
    /// Half-open exchanges.
    pub half_open: usize,
    /// Established SAs.
    pub established: usize,
    /// Messages in reassembly.
    pub in_reassembly: usize,
}

/// Shows one group of a key server.
#[derive(Clone, Debug, Serialize)]
pub struct GroupStatus {
    /// The group identifier.
    pub id: u32,
    /// `unicast`, `multicast` or `none`.
    pub transport: &'static str,
    /// The acknowledgement that is requested and accepted.
    pub ack: &'static str,
    /// False: no PUSH can be sent.
    pub signing_key: bool,
    /// The Rekey SA.
    pub kek: Option<KekStatus>,
    /// The replaced Rekey SA, kept for late acknowledgements.
    pub previous_kek: Option<KekStatus>,
    /// The Data-Security SAs, newest first.
    pub teks: Vec<TekStatus>,
    /// Number of members.
    pub member_count: usize,
    /// The members.
    pub members: Vec<MemberStatus>,
    /// Sender ids.
    pub sids: Option<SidStatus>,
    /// PUSH messages, copies not counted.
    pub pushes: u64,
    /// Datagrams of PUSH messages, copies and members counted.
    pub push_datagrams: u64,
    /// Acknowledgements that were credited.
    pub acks: u64,
    /// Acknowledgements that did not come.
    pub acks_missed: u64,
    /// Members that were given up for silence.
    pub removals: u64,
    /// Successful registrations.
    pub registrations: u64,
    /// The configuration differs from what members have; the next rekey brings it.
    pub policy_pending: bool,
    /// Members refuse departed members the future keys: a logical key hierarchy is in use.
    pub lkh: bool,
    /// Method and window of the protection against replayed data.
    pub replay: String,
    /// The clock of the group in seconds; absent before the first registration.
    pub pseudotime_secs: Option<f64>,
    /// The members are told to send in clear.
    pub receive_only: bool,
}

/// Shows a KEK at the key server.
#[derive(Clone, Debug, Serialize)]
pub struct KekStatus {
    /// The SPI in hex.
    pub spi: String,
    /// The cipher.
    pub cipher: &'static str,
    /// The hash of the signature.
    pub sig_hash: &'static str,
    /// The sequence number of the latest PUSH, 0 if there was none.
    pub sequence: u32,
    /// The whole lifetime.
    pub lifetime_secs: u64,
    /// What is left of it.
    pub remaining_secs: u64,
    /// Seconds until it is replaced.
    pub rekey_in_secs: Option<u64>,
    /// The value of KEK_ACK_REQUESTED.
    pub ack_requested: Option<u16>,
}

/// Shows a TEK at the key server.
#[derive(Clone, Debug, Serialize)]
pub struct TekStatus {
    /// Index of the `[[group.tek]]` that it was made for.
    pub policy: usize,
    /// The SPI.
    pub spi: u32,
    /// The transform.
    pub transform: String,
    /// The access list.
    pub acl: Vec<String>,
    /// The whole lifetime.
    pub lifetime_secs: u64,
    /// What is left of it.
    pub remaining_secs: u64,
    /// Seconds until it is replaced; absent for a TEK that was replaced already.
    pub rekey_in_secs: Option<u64>,
}

/// Shows a member at the key server.
#[derive(Clone, Debug, Serialize)]
pub struct MemberStatus {
    /// The phase 1 identity.
    pub identity: String,
    /// Where PUSH messages go.
    pub address: SocketAddr,
    /// The announced version.
    pub version: Option<String>,
    /// Seconds since the latest registration.
    pub registered_secs: u64,
    /// Registrations.
    pub registrations: u64,
    /// Sender ids of the latest registration.
    pub sids: Vec<u32>,
    /// The latest four sequence numbers sent, newest first.
    pub sent: Vec<u32>,
    /// The latest four sequence numbers acknowledged, newest first.
    pub received: Vec<u32>,
    /// Rekeys sent, copies not counted.
    pub rekeys_sent: u64,
    /// Acknowledgements credited.
    pub acks: u64,
    /// Scheduled rekeys without acknowledgement in a row.
    pub missed: u32,
}

/// Shows the sender ids of a group.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SidStatus {
    /// Bits of a sender id.
    pub bits: u8,
    /// The next one.
    pub next: u64,
    /// How many are left.
    pub left: u64,
}

/// Shows a Rekey SA at a group member.
#[derive(Clone, Debug, Serialize)]
pub struct GmKekStatus {
    /// The SPI in hex.
    pub spi: String,
    /// The cipher.
    pub cipher: &'static str,
    /// The hash of the signature.
    pub sig_hash: &'static str,
    /// The sequence number that the next PUSH must exceed.
    pub sequence: u32,
    /// What is left of the lifetime; absent without one.
    pub remaining_secs: Option<u64>,
    /// The value of KEK_ACK_REQUESTED.
    pub ack_requested: Option<u16>,
    /// Where PUSH messages come from.
    pub source: Option<IpAddr>,
    /// Where PUSH messages go to.
    pub destination: Option<IpAddr>,
    /// Keys of the logical key hierarchy that the member holds.
    pub lkh_keys: usize,
}

/// Shows a Data-Security SA at a group member.
#[derive(Clone, Debug, Serialize)]
pub struct SaStatus {
    /// The SPI.
    pub spi: u32,
    /// The transform.
    pub transform: String,
    /// The traffic, one line per selector.
    pub selectors: Vec<String>,
    /// `tunnel` or `transport`.
    pub mode: &'static str,
    /// `symmetric`, `sender-only` or `receiver-only`.
    pub direction: &'static str,
    /// What is left of the lifetime; absent without one.
    pub remaining_secs: Option<u64>,
    /// Outgoing traffic of its policy uses this SA now.
    pub sends: bool,
    /// Incoming traffic with this SPI is accepted now.
    pub accepts: bool,
    /// Seconds until the SA may send.
    pub activates_in_secs: Option<u64>,
    /// Seconds until a replaced SA is deactivated.
    pub deactivates_in_secs: Option<u64>,
}

/// Lists limits by name.
#[must_use]
fn limits_table(limits: &Limits) -> BTreeMap<&'static str, u64> {
    let size = |value: usize| value as u64;
    BTreeMap::from([
        ("message_octets", size(limits.message_octets)),
        ("payloads_per_message", size(limits.payloads_per_message)),
        ("transforms_per_proposal", size(limits.transforms_per_proposal)),
        ("attributes_per_list", size(limits.attributes_per_list)),
        ("half_open", size(limits.half_open)),
        ("half_open_per_source", size(limits.half_open_per_source)),
        ("half_open_secs", limits.half_open_secs),
        ("phase1_sas", size(limits.phase1_sas)),
        ("pulls_per_sa", size(limits.pulls_per_sa)),
        ("message_ids_per_sa", size(limits.message_ids_per_sa)),
        ("members", size(limits.members)),
        ("fragments_per_message", size(limits.fragments_per_message)),
        ("reassembly_octets", size(limits.reassembly_octets)),
        ("certificates_per_message", size(limits.certificates_per_message)),
        ("teks", size(limits.teks)),
        ("output_queue", size(limits.output_queue)),
    ])
}
