//! A virtual network with virtual time: hosts, links, faults and taps, all from one seed.
//!
//! A [`Lab`] is one thread's world. Every host has a link up to the fabric and a link down from it, each with its own
//! [`LinkProfile`] of delays and faults; the fabric is a router with fragmentation, ICMP and multicast. What runs on a
//! host is a [`Node`], or the tester itself through [`Lab::send`] and [`Lab::recv`]. Events are ordered by time and,
//! within one instant, by the order in which they were scheduled, so one seed gives one history, packet for packet.
//!
//! The lab knows IP and UDP and nothing above: what the octets mean is the business of who sends them.
//!
//! ```
//! use hallmark_core::{Datagram, Instant};
//! use hallmark_lab::{HostSpec, Lab, LinkProfile, Direction};
//!
//! let mut lab = Lab::new(7);
//! let a = lab.add_host(HostSpec::new("a", ["10.0.0.1".parse().unwrap()]));
//! let b = lab.add_host(HostSpec::new("b", ["10.0.0.2".parse().unwrap()]));
//! lab.set_link(b, Direction::Down, LinkProfile { mtu: 576, ..LinkProfile::default() });
//! lab.bind(b);
//! lab.send(a, Datagram::new("10.0.0.1:848".parse().unwrap(), "10.0.0.2:848".parse().unwrap(), vec![0; 1400]));
//! let (host, datagram) = lab.recv_any(&[b], Instant::from_secs(1)).unwrap();
//! assert_eq!((host, datagram.payload.len()), (b, 1400));
//! ```

mod clock;
mod lab;
mod link;
mod mark;
mod nat;
mod node;
mod reassembly;
mod rule;
mod stack;
mod tap;

pub use clock::ClockFault;
pub use lab::{Faults, HostId, HostSpec, Lab, LogLine};
pub use link::{Corruption, Damage, Flap, GilbertElliott, Jitter, LinkProfile};
pub use nat::NatSpec;
pub use node::Node;
pub use reassembly::{Outcome, Reassembler, ReassemblyLimits};
pub use rule::{Action, Passing, Rule, RuleId};
pub use tap::{Direction, DropReason, Fate, TapRecord};
