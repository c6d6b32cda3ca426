//! How a member's data plane is set up. The default is the reference's standard.

use std::net::IpAddr;
use std::num::NonZeroU32;

use hallmark_core::Duration;
use hallmark_crypto::esp::Backend;

use crate::behaviour::Behaviour;
use crate::policy::Rule;

/// Holds the settings of a data plane.
#[derive(Clone, Debug)]
pub struct Config {
    /// Own address on the WAN, which its key management uses.
    pub address: Option<IpAddr>,
    /// Source of ICMP errors to the LAN; the WAN address when absent.
    pub lan_address: Option<IpAddr>,
    /// Longest IP packet on the WAN, in octets.
    pub wan_mtu: u16,
    /// Longest IP packet on the LAN, in octets.
    pub lan_mtu: u16,
    /// What forwarding does to the TTL.
    pub ttl: Ttl,
    /// DF of the outer header (ESP-046).
    pub df: Df,
    /// DSCP of the outer header; a copy of the inner one when absent (ESP-047).
    pub dscp: Option<u8>,
    /// ECN of the outer header (RFC 6040 §4.1).
    pub ecn: Ecn,
    /// Where packets are cut that do not fit.
    pub fragment: FragmentWhere,
    /// Limit on the TCP segment size.
    pub mss: Mss,
    /// What happens to traffic before registration.
    pub fail: FailMode,
    /// Traffic that passes in clear while the member is closed (deny entries).
    pub fail_close_exceptions: Vec<Rule>,
    /// Whether a closed member closes again when its keys have run out.
    pub fail_close_revert: bool,
    /// Traffic that this member leaves in clear whatever the key server says (deny entries).
    pub local_deny: Vec<Rule>,
    /// Whether clear packets of the permit class are accepted from the WAN.
    pub passive: bool,
    /// Whether own key management (UDP 848, 500, 4500) passes in clear in spite of the policy.
    pub bypass_own_control: bool,
    /// Whether packets with DF may be cut.
    pub override_df: bool,
    /// Path MTU discovery.
    pub pmtu: PmtuConfig,
    /// Limits on reassembly.
    pub reassembly: ReassemblyLimits,
    /// How extended sequence numbers are found again (ESP-064).
    pub esn_resync: EsnResync,
    /// Whether padding octets are compared with 1, 2, 3 (ESP-010).
    pub check_padding: bool,
    /// Protected packets behind which a dummy packet is sent (ESP-013); none are when absent.
    pub dummy_every: Option<NonZeroU32>,
    /// IP protocol number of delay detection headers.
    pub d3p_proto: u8,
    /// Workers that share the SAs (each with a [`Datapath`](crate::Datapath) of its own).
    pub workers: u8,
    /// Shortest time between two requests for a recovery registration; none are made when absent.
    pub recovery_interval: Option<Duration>,
    /// SPIs that belong to the group: those that equal the second number under the mask of the first. Only they ask for
    /// recovery; all do when absent.
    pub recovery_spis: Option<(u32, u32)>,
    /// Shortest time between two events of one kind and reason; those between are counted.
    pub event_interval: Duration,
    /// Bounds on memory.
    pub limits: Limits,
    /// Which implementation does the ciphers.
    pub backend: Backend,
    /// Defects and variants that are switched on.
    pub behaviour: Behaviour,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: None,
            lan_address: None,
            wan_mtu: 1500,
            lan_mtu: 1500,
            ttl: Ttl::Decrement,
            df: Df::Copy,
            dscp: None,
            ecn: Ecn::Normal,
            fragment: FragmentWhere::Before,
            mss: Mss::Off,
            fail: FailMode::Open,
            fail_close_exceptions: Vec::new(),
            fail_close_revert: false,
            local_deny: Vec::new(),
            passive: false,
            bypass_own_control: true,
            override_df: false,
            pmtu: PmtuConfig::default(),
            reassembly: ReassemblyLimits::default(),
            esn_resync: EsnResync::default(),
            check_padding: true,
            dummy_every: None,
            d3p_proto: 253,
            workers: 1,
            recovery_interval: None,
            recovery_spis: None,
            event_interval: Duration::from_secs(1),
            limits: Limits::default(),
            backend: Backend::Auto,
            behaviour: Behaviour::conforming(),
        }
    }
}

/// Says what forwarding does to the TTL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ttl {
    /// Lowers it by one, as a router does (ESP-052).
    #[default]
    Decrement,
    /// Leaves it, as a bridge does.
    Keep,
}

/// Says how DF of the outer header is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Df {
    /// From the inner header.
    #[default]
    Copy,
    /// Always 1.
    Set,
    /// Always 0, which also allows to cut packets that have DF.
    Clear,
}

/// Says how ECN of the outer header is made (RFC 6040 §4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ecn {
    /// From the inner header.
    #[default]
    Normal,
    /// Always 0, for old receivers.
    Compatibility,
}

/// Says where packets are cut that do not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FragmentWhere {
    /// The inner packet, so that each piece is an ESP packet of its own.
    #[default]
    Before,
    /// The ESP packet, which the receiving member has to join.
    After,
}

/// Says how the TCP segment size is limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mss {
    /// Not at all.
    #[default]
    Off,
    /// To what fits the MTU with the overhead of the SA.
    Auto,
    /// To a number of octets.
    Fixed(u16),
}

/// Says what happens to traffic before registration (getvpn.md §5.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FailMode {
    /// Everything passes in clear.
    #[default]
    Open,
    /// Only the exceptions pass.
    Close,
}

/// Sets path MTU discovery up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PmtuConfig {
    /// Whether ICMP 3/4 about own ESP packets is learned from and kept (ESP-084: each type by itself).
    pub learn: bool,
    /// Whether ICMPv6 2/0 about own ESP packets is learned from and kept.
    pub learn_v6: bool,
    /// Smallest path MTU that is believed, for IPv4; it is 1280 for IPv6.
    pub floor: u16,
    /// How long a learned value holds (ESP-085).
    pub age: Duration,
    /// Destinations that are remembered.
    pub entries: usize,
}

impl Default for PmtuConfig {
    fn default() -> Self {
        Self { learn: true, learn_v6: true, floor: 576, age: Duration::from_secs(600), entries: 4096 }
    }
}

/// Sets up how extended sequence numbers are found again after a loss of 2^32 packets or more (RFC 4303 appendix A3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EsnResync {
    /// ICVs that are wrong in a row, under one SA and at one worker, before one of their packets is tried; 0 for never.
    pub after: u32,
    /// Rounds of 2^32 numbers that are tried, one each millisecond.
    pub ahead: u32,
    /// Shortest time between two attempts under one SA.
    pub interval: Duration,
}

impl Default for EsnResync {
    fn default() -> Self {
        Self { after: 64, ahead: 16, interval: Duration::from_secs(1) }
    }
}

/// Bounds reassembly (ESP-074, ESP-079).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReassemblyLimits {
    /// How long the fragments of one packet are waited for.
    pub timeout: Duration,
    /// Unfinished packets between one pair of addresses.
    pub per_pair: usize,
    /// Unfinished packets altogether.
    pub total_datagrams: usize,
    /// Octets held altogether.
    pub total_octets: usize,
}

impl Default for ReassemblyLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(15), per_pair: 16, total_datagrams: 256, total_octets: 1 << 20 }
    }
}

/// Bounds what the data plane remembers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// SAs in the table.
    pub sas: usize,
    /// Counter-mode keys whose initialisation vectors are counted apart; later ones share a count (ESP-023).
    pub keys: usize,
    /// Flows in the cache; rounded up to a power of two.
    pub flows: usize,
    /// Events waiting to be taken.
    pub events: usize,
    /// Traces waiting to be taken.
    pub traces: usize,
    /// Captured packets waiting to be taken.
    pub captured: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sas: 1024, keys: 1 << 14, flows: 8192, events: 1024, traces: 1024, captured: 4096 }
    }
}
