//! What the control plane tells the data plane: rules, SAs, sender ids and the method against replay.
//!
//! A [`Policy`] is always the whole state. [`Datapath::apply`](crate::Datapath::apply) compares it with what is there,
//! so that an SA which stays keeps its counters and its window.

use std::net::IpAddr;

pub use hallmark_core::Pseudotime;
use hallmark_core::{Duration, Instant};
use hallmark_crypto::Secret;
use hallmark_crypto::esp::Transform;

/// Holds everything that the control plane wants of the data plane.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Whether the member has ever got policy from its key server.
    pub state: State,
    /// The key server's rules in order; the first that matches decides.
    pub rules: Vec<Rule>,
    /// The SAs, in any order.
    pub sas: Vec<Sa>,
    /// Length of sender ids in bits, and this member's ids in the order of their use (RFC 6054).
    pub sender_ids: Option<(u16, Vec<u32>)>,
    /// How replay is recognised.
    pub replay: Replay,
    /// Which directions are protected.
    pub direction: Direction,
    /// Grows with every policy; for status and traces.
    pub serial: u64,
}

impl Policy {
    /// Says why an SA would need outer headers of another IP version than the packets inside, if it would: addresses
    /// cannot be preserved between versions (RFC 5374 §3.1), and tunnels between them are not made here. `own` is the
    /// member's address.
    // REQ ESP-041
    pub(crate) fn mixes_versions(&self, sa: &Sa, own: Option<IpAddr>) -> Option<&'static str> {
        let source = own.filter(|_| !sa.preservation.source());
        let destination = sa.endpoint.filter(|_| !sa.preservation.destination());
        let outside = if sa.mode == Mode::Tunnel { [source, destination] } else { [None, None] };
        let carries = |rule: &&Rule| rule.action == Action::Permit { policy: sa.policy };
        self.rules.iter().filter(carries).find_map(|rule| {
            let version4 = rule.selector.src.first.is_ipv4();
            let differs = |end: IpAddr| end.is_ipv4() != version4;
            match sa.preservation {
                _ if differs(rule.selector.dst.first) => Some("its selectors mix IP versions"),
                _ if !outside.into_iter().flatten().any(differs) => None,
                Preservation::None => Some("tunnels between IP versions are not made"),
                _ => Some("addresses cannot be preserved between IP versions"),
            }
        })
    }
}

/// Says whether a member has policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It never had: the fail mode decides.
    #[default]
    Unregistered,
    /// It has, though keys may have run out since.
    Registered,
}

/// Says which directions of traffic the policy protects (getvpn.md §5.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Traffic is protected both ways, clear packets of the permit class are refused.
    #[default]
    Both,
    /// Everything is sent in clear, and both forms are accepted.
    ReceiveOnly,
}

/// Binds a decision to traffic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// What to do.
    pub action: Action,
    /// Which traffic.
    pub selector: Selector,
}

impl Rule {
    /// Makes a rule that leaves traffic in clear.
    #[must_use]
    pub const fn deny(selector: Selector) -> Self {
        Self { action: Action::Deny, selector }
    }

    /// Makes a rule that protects traffic with the SAs of a policy number.
    #[must_use]
    pub const fn permit(policy: u32, selector: Selector) -> Self {
        Self { action: Action::Permit { policy }, selector }
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.action {
            Action::Deny => write!(f, "deny {}", self.selector),
            Action::Permit { .. } => write!(f, "permit {}", self.selector),
        }
    }
}

/// Decides about traffic. There is no "drop": what a permit finds no SA for is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Leave in clear.
    Deny,
    /// Protect with an SA of this policy number.
    Permit {
        /// Number shared by the rules and the SAs that belong together.
        policy: u32,
    },
}

/// Selects traffic by protocol, addresses and ports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Selector {
    /// IP protocol; any when absent.
    pub protocol: Option<u8>,
    /// Source addresses.
    pub src: AddressRange,
    /// Source ports.
    pub src_ports: PortRange,
    /// Destination addresses.
    pub dst: AddressRange,
    /// Destination ports.
    pub dst_ports: PortRange,
}

impl Selector {
    /// Selects everything of IPv4.
    pub const ANY_V4: Self = Self::between(AddressRange::ANY_V4, AddressRange::ANY_V4);
    /// Selects everything of IPv6.
    pub const ANY_V6: Self = Self::between(AddressRange::ANY_V6, AddressRange::ANY_V6);

    /// Selects all traffic from one range to another.
    #[must_use]
    pub const fn between(src: AddressRange, dst: AddressRange) -> Self {
        Self { protocol: None, src, src_ports: PortRange::ANY, dst, dst_ports: PortRange::ANY }
    }

    /// Narrows it to one protocol.
    #[must_use]
    pub const fn protocol(mut self, protocol: u8) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Narrows it to source ports.
    #[must_use]
    pub const fn src_ports(mut self, first: u16, last: u16) -> Self {
        self.src_ports = PortRange { first, last };
        self
    }

    /// Narrows it to destination ports.
    #[must_use]
    pub const fn dst_ports(mut self, first: u16, last: u16) -> Self {
        self.dst_ports = PortRange { first, last };
        self
    }

    /// Gives the selector of the opposite direction.
    #[must_use]
    pub const fn mirrored(mut self) -> Self {
        (self.src, self.dst) = (self.dst, self.src);
        (self.src_ports, self.dst_ports) = (self.dst_ports, self.src_ports);
        self
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.protocol {
            None => f.write_str("ip")?,
            Some(1) => f.write_str("icmp")?,
            Some(6) => f.write_str("tcp")?,
            Some(17) => f.write_str("udp")?,
            Some(50) => f.write_str("esp")?,
            Some(58) => f.write_str("icmpv6")?,
            Some(other) => write!(f, "{other}")?,
        }
        for (range, ports) in [(self.src, self.src_ports), (self.dst, self.dst_ports)] {
            if range == AddressRange::ANY_V4 || range == AddressRange::ANY_V6 {
                f.write_str(" any")?;
            } else if range.first == range.last {
                write!(f, " {}", range.first)?;
            } else {
                write!(f, " {}-{}", range.first, range.last)?;
            }
            if ports.first == ports.last {
                write!(f, " eq {}", ports.first)?;
            } else if !ports.is_any() {
                write!(f, " range {} {}", ports.first, ports.last)?;
            }
        }
        Ok(())
    }
}

/// Holds an inclusive range of addresses; both ends are of one IP version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AddressRange {
    /// Lowest address.
    pub first: IpAddr,
    /// Highest address.
    pub last: IpAddr,
}

impl AddressRange {
    /// Every IPv4 address.
    pub const ANY_V4: Self =
        Self { first: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), last: IpAddr::V4(std::net::Ipv4Addr::BROADCAST) };
    /// Every IPv6 address.
    pub const ANY_V6: Self = Self {
        first: IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        last: IpAddr::V6(std::net::Ipv6Addr::from_bits(u128::MAX)),
    };

    /// Makes the range of one address.
    #[must_use]
    pub const fn host(address: IpAddr) -> Self {
        Self { first: address, last: address }
    }

    /// Makes the range of a prefix; bits behind it in `address` are ignored.
    #[must_use]
    pub fn prefix(address: IpAddr, len: u8) -> Self {
        match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32u32.saturating_sub(u32::from(len))).unwrap_or(0);
                let first = address.to_bits() & mask;
                Self { first: IpAddr::V4(first.into()), last: IpAddr::V4((first | !mask).into()) }
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128u32.saturating_sub(u32::from(len))).unwrap_or(0);
                let first = address.to_bits() & mask;
                Self { first: IpAddr::V6(first.into()), last: IpAddr::V6((first | !mask).into()) }
            }
        }
    }

    /// Tells whether an address lies in the range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last
    }
}

/// Holds an inclusive range of ports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PortRange {
    /// Lowest port.
    pub first: u16,
    /// Highest port.
    pub last: u16,
}

impl PortRange {
    /// Every port, and packets without ports too.
    pub const ANY: Self = Self { first: 0, last: u16::MAX };

    /// Makes the range of one port.
    #[must_use]
    pub const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// Tells whether it is every port.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.first == 0 && self.last == u16::MAX
    }

    /// Tells whether a port lies in the range.
    #[must_use]
    pub const fn contains(&self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// Describes one SA of the group: the same SPI and keys for every member, in both directions.
#[derive(Clone, Debug)]
pub struct Sa {
    /// Security parameter index; never 0.
    pub spi: u32,
    /// Number of the rules whose traffic it carries.
    pub policy: u32,
    /// Cipher and integrity algorithm.
    pub transform: Transform,
    /// Encryption key, for counter modes with the salt behind it.
    pub encryption_key: Secret,
    /// Integrity key.
    pub integrity_key: Secret,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Which inner addresses the outer header repeats.
    pub preservation: Preservation,
    /// Outer destination where the inner one is not preserved.
    pub endpoint: Option<IpAddr>,
    /// Whether it sends, receives or does both.
    pub direction: SaDirection,
    /// Which packets may use it, besides having its SPI (RFC 4303 §2.1).
    pub scope: Scope,
    /// Whether sequence numbers have 64 bits.
    pub extended_sequence: bool,
    /// When sending may begin. Receiving begins at once.
    pub activates: Instant,
    /// When it must not be used any more, in either direction.
    pub ends: Instant,
    /// Later keys have higher numbers: of the active SAs of one policy the highest sends.
    pub serial: u64,
}

impl Sa {
    /// Makes the usual SA of a group, of policy 1: a tunnel that preserves both addresses, for both directions, found by
    /// its SPI alone, with short sequence numbers, which may send at once and never ends.
    #[must_use]
    pub const fn new(spi: u32, transform: Transform, encryption_key: Secret, integrity_key: Secret) -> Self {
        Self {
            spi,
            policy: 1,
            transform,
            encryption_key,
            integrity_key,
            mode: Mode::Tunnel,
            preservation: Preservation::Both,
            endpoint: None,
            direction: SaDirection::Both,
            scope: Scope::Spi,
            extended_sequence: false,
            activates: Instant::ZERO,
            ends: Instant::FAR_FUTURE,
            serial: 1,
        }
    }

    /// Says which outer address is neither preserved nor known, if one is: then nothing can be sent under the SA. `own`
    /// is the member's address.
    pub(crate) fn lacks_end(&self, own: Option<IpAddr>) -> Option<&'static str> {
        if self.mode == Mode::Tunnel && !self.preservation.destination() && self.endpoint.is_none() {
            Some("it only receives: no outer destination is known, and the inner one is not to be repeated")
        } else if self.mode == Mode::Tunnel && !self.preservation.source() && own.is_none() {
            Some("it only receives: no own address is known, and the inner source is not to be repeated")
        } else {
            None
        }
    }
}

/// Names the two ways to protect a packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The whole packet, behind a new outer header.
    #[default]
    Tunnel,
    /// What follows the IP header.
    Transport,
}

/// Says which inner addresses the outer header of a tunnel repeats (RFC 6407 §5.5.1.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Preservation {
    /// Neither.
    None,
    /// The source.
    Source,
    /// The destination.
    Destination,
    /// Both, which is also what absence of the attribute means (ESP-042).
    #[default]
    Both,
}

impl Preservation {
    /// Tells whether the source is repeated.
    #[must_use]
    pub const fn source(self) -> bool {
        matches!(self, Self::Source | Self::Both)
    }

    /// Tells whether the destination is repeated.
    #[must_use]
    pub const fn destination(self) -> bool {
        matches!(self, Self::Destination | Self::Both)
    }
}

/// Says what an SA is used for (RFC 6407 "SA Direction").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaDirection {
    /// Sending and receiving.
    #[default]
    Both,
    /// Sending only.
    SendOnly,
    /// Receiving only.
    ReceiveOnly,
}

/// Narrows the packets that an SA opens to outer addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Scope {
    /// Whoever uses the SPI.
    #[default]
    Spi,
    /// To one destination (a local unicast SA, or any-source multicast).
    Destination(IpAddr),
    /// Between two addresses (source-specific multicast): source, destination.
    SourceDestination(IpAddr, IpAddr),
}

/// Says how replayed packets are recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Replay {
    /// Not at all.
    #[default]
    None,
    /// By the sequence number and a window of so many packets, 32 to 1024.
    Counter {
        /// Packets.
        window: u16,
    },
    /// By the group's pseudotime in each packet.
    Time {
        /// How far a stamp may lie before or behind the own time.
        window: Duration,
        /// The group's clock.
        pseudotime: Pseudotime,
    },
    /// By the wall-clock time in a delay detection header.
    D3p {
        /// Width of the window around the own time: half of it on each side.
        window: Duration,
    },
}

impl Replay {
    /// Counts the octets that the method adds inside the protection.
    #[must_use]
    pub const fn stamp_len(&self) -> usize {
        match self {
            Self::None | Self::Counter { .. } => 0,
            Self::Time { .. } | Self::D3p { .. } => crate::stamp::STAMP_LEN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_become_ranges_of_their_version() {
        let range = AddressRange::prefix("10.1.2.3".parse().expect("address"), 16);
        assert_eq!((range.first.to_string(), range.last.to_string()), ("10.1.0.0".into(), "10.1.255.255".into()));
        assert!(range.contains("10.1.255.255".parse().expect("address")));
        assert!(!range.contains("10.2.0.0".parse().expect("address")));
        assert!(!AddressRange::ANY_V4.contains("2001:db8::1".parse().expect("address")));
        assert_eq!(AddressRange::prefix("10.1.2.3".parse().expect("address"), 0), AddressRange::ANY_V4);
        let v6 = AddressRange::prefix("2001:db8::1".parse().expect("address"), 32);
        assert!(v6.contains("2001:db8:ffff::".parse().expect("address")));
        assert!(!v6.contains("2001:db9::".parse().expect("address")));
    }
}
