//! What the data plane shows of itself: everything that an operator or a test may ask for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hallmark_core::Instant;
use serde::{Serialize, Serializer};

use crate::packet::Side;
use crate::policy::{Direction, Mode, State};
use crate::trace::Checkpoint;

/// Writes an instant as seconds since the zero of monotonic time.
pub(crate) fn seconds<S: Serializer>(at: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(at.as_secs_f64())
}

/// Shows the whole data plane of one worker.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Status {
    /// Whether there is policy.
    pub state: State,
    /// Serial number of the policy.
    pub policy_serial: u64,
    /// Which directions are protected.
    pub direction: Direction,
    /// Whether clear packets of the permit class are accepted whatever the policy says.
    pub passive: bool,
    /// Whether the closed state of before registration rules.
    pub closed: bool,
    /// Packets by port and fate.
    pub totals: Totals,
    /// The SAs in the order of the policy.
    pub sas: Vec<SaStatus>,
    /// Counter-mode keys whose initialisation vectors are counted, over all workers.
    pub keys: KeyStatus,
    /// The method against replay.
    pub replay: ReplayStatus,
    /// The rules, the local ones first.
    pub rules: Vec<RuleStatus>,
    /// Dropped packets by the code of their reason; reasons that never occurred are left out.
    pub drops: BTreeMap<&'static str, u64>,
    /// Packets that were protected, by their DSCP; values that never occurred are left out.
    pub dscp: BTreeMap<u8, u64>,
    /// Reassembly.
    pub reassembly: ReassemblyStatus,
    /// Learned path MTUs.
    pub pmtu: Vec<PmtuStatus>,
    /// The flows of the cache, busiest first.
    pub flows: Vec<FlowStatus>,
    /// Capture points with whether they are on and what they took.
    pub checkpoints: BTreeMap<&'static str, CheckpointStatus>,
    /// Events so far, and how many of them found the queue full.
    pub events: (u64, u64),
    /// Events by the name of their log line, with those that were left out of the log; names that never occurred are
    /// left out.
    pub reports: BTreeMap<&'static str, u64>,
}

/// Counts packets and octets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Octets of their IP packets.
    pub octets: u64,
}

impl Count {
    /// Adds one packet.
    #[inline]
    pub const fn add(&mut self, octets: usize) {
        self.packets += 1;
        self.octets += octets as u64;
    }

    /// Adds what another has counted.
    #[inline]
    pub const fn join(&mut self, other: Self) {
        self.packets += other.packets;
        self.octets += other.octets;
    }
}

/// Counts packets by port and fate.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Totals {
    /// Came in through the LAN port.
    pub lan_in: Count,
    /// Left through the LAN port.
    pub lan_out: Count,
    /// Came in through the WAN port.
    pub wan_in: Count,
    /// Left through the WAN port.
    pub wan_out: Count,
    /// Were protected.
    pub sealed: Count,
    /// Were sent without meaning anything (next header 59).
    pub dummies: Count,
    /// Were verified and decrypted.
    pub opened: Count,
    /// Passed in clear towards the WAN.
    pub clear_out: Count,
    /// Passed in clear towards the LAN.
    pub clear_in: Count,
    /// Were dropped.
    pub dropped: Count,
    /// Were cut, before or behind protection.
    pub cut: Count,
    /// ICMP errors that were made.
    pub icmp_sent: Count,
    /// SYN segments whose segment size was lowered.
    pub mss_clamped: u64,
}

/// Shows one SA.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SaStatus {
    /// Security parameter index.
    pub spi: u32,
    /// Number of the rules whose traffic it carries.
    pub policy: u32,
    /// Position among the keys of the group.
    pub serial: u64,
    /// Transform, as configuration files write it.
    pub transform: String,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Which implementation does the cipher.
    pub backend: &'static str,
    /// Whether this worker sends on it.
    pub sending: bool,
    /// Seconds until sending may begin; 0 when it may.
    pub activates_in: f64,
    /// Seconds until it ends; 0 when it has ended.
    pub remaining: f64,
    /// Packets that were protected (encaps, encrypt and digest of other vendors' words), with the octets of the inner packets.
    pub sealed: Count,
    /// Packets that were opened (decaps, decrypt and verify).
    pub opened: Count,
    /// Packets for it that could not be sent.
    pub send_errors: u64,
    /// Packets with its SPI that were refused.
    pub receive_errors: u64,
    /// Packets with a wrong ICV.
    pub mac_errors: u64,
    /// Packets that its replay check refused, by number or by time.
    pub replay_errors: u64,
    /// The last sequence number that was given to a packet, by any worker.
    pub sequence: u64,
    /// The number of the last initialisation vector of its key, by any worker and any SA; 0 where they are random.
    pub vectors: u64,
    /// The highest number that was received, for counter-based replay protection.
    pub window_top: u64,
}

/// Shows what is remembered of counter-mode keys, those of ended SAs among them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct KeyStatus {
    /// Keys that have a count of their own.
    pub remembered: usize,
    /// How many may have; those that come later share a count.
    pub limit: usize,
}

/// Shows the method against replay.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct ReplayStatus {
    /// `none`, `counter`, `time` or `d3p`.
    pub method: &'static str,
    /// Own pseudotime in seconds, for the time-based method.
    pub pseudotime: Option<f64>,
    /// Window: packets for the counter, else seconds.
    pub window: f64,
    /// Packets whose stamp was checked.
    pub input_packets: u64,
    /// Packets that were stamped.
    pub output_packets: u64,
    /// Packets that were refused for their stamp or number.
    pub input_errors: u64,
    /// Packets that could not be stamped.
    pub output_errors: u64,
    /// The largest correction of the pseudotime by a policy, in seconds.
    pub max_time_delta: f64,
    /// Errors of time, at most ten of each minute.
    pub history: Vec<ReplayError>,
}

/// Records one packet outside the time window.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct ReplayError {
    /// When.
    #[serde(serialize_with = "seconds")]
    pub at: Instant,
    /// Outer source; only a defect leaves it out.
    pub src: Option<IpAddr>,
    /// Outer destination.
    pub dst: IpAddr,
    /// Own time in seconds.
    pub my_pseudotime: f64,
    /// Time of the stamp in seconds.
    pub peer_pseudotime: f64,
    /// Window in seconds.
    pub window: f64,
}

/// Shows one rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RuleStatus {
    /// Whether it is a local rule.
    pub local: bool,
    /// Number of the SAs it uses; nothing for a deny.
    pub permit: Option<u32>,
    /// The rule in words.
    pub text: String,
    /// What it decided about, towards the WAN.
    pub out: Count,
    /// What it decided about among clear packets from the WAN.
    pub clear_in: Count,
}

/// Shows reassembly.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct ReassemblyStatus {
    /// Unfinished packets.
    pub waiting: usize,
    /// Fragments that they hold.
    pub held: usize,
    /// Octets that they hold.
    pub octets: usize,
    /// Fragments that came in.
    pub fragments: u64,
    /// Packets that were completed.
    pub completed: u64,
    /// Unfinished packets that ran out of time.
    pub timeouts: u64,
    /// Unfinished packets that gave way because of a limit.
    pub limited: u64,
    /// Packets whose fragments contradict each other.
    pub poisoned: u64,
    /// Fragments that came twice.
    pub duplicates: u64,
    /// Fragments that were refused or thrown away, duplicates among them.
    pub dropped: u64,
    /// Fragments of other people's packets that went on as they came.
    pub released: u64,
}

/// Shows one learned path MTU.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct PmtuStatus {
    /// Destination.
    pub dst: IpAddr,
    /// Longest ESP packet with its outer header.
    pub mtu: u16,
    /// Seconds until it is forgotten.
    pub remaining: f64,
}

/// Shows one flow.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FlowStatus {
    /// The port that it came in through.
    pub from: Side,
    /// Source of the clear packet.
    pub src: IpAddr,
    /// Destination of the clear packet.
    pub dst: IpAddr,
    /// Protocol.
    pub protocol: u8,
    /// Source port, 0 without ports.
    pub src_port: u16,
    /// Destination port, 0 without ports.
    pub dst_port: u16,
    /// `protected`, `clear`, `refused` or `opened`.
    pub decision: &'static str,
    /// SPI of the SA it last used.
    pub spi: Option<u32>,
    /// What passed.
    pub count: Count,
    /// When its last packet came.
    #[serde(serialize_with = "seconds")]
    pub last: Instant,
}

/// Shows one capture point.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct CheckpointStatus {
    /// Whether it captures.
    pub on: bool,
    /// Packets it took so far.
    pub captured: u64,
}

impl Checkpoint {
    /// Gives the name that commands and status use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LanIn => "lan-in",
            Self::LanOut => "lan-out",
            Self::WanIn => "wan-in",
            Self::WanOut => "wan-out",
            Self::BeforeSeal => "before-seal",
            Self::AfterOpen => "after-open",
            Self::Dropped => "dropped",
        }
    }
}
