//! Real sockets, clocks and randomness: the only place that talks to the operating system.
//!
//! Responsible for: the two clocks of a process with a rate ([`clock`]), seeds from the operating system
//! ([`entropy`]), UDP ports that know the local address of each datagram ([`udp`]), the set of ports of one node
//! ([`ports`]), whole IP packets sent as they stand ([`raw`]), the ports of a bridge that carry whole frames
//! ([`frame`]) and network namespaces to try all of it in ([`namespace`]).
//!
//! Not responsible for: any decision about what is received or sent. Nothing blocks but [`wait`].

pub mod clock;
pub mod entropy;
pub mod error;
pub mod frame;
pub mod namespace;
pub mod ports;
pub mod raw;
pub mod udp;
pub mod wait;

pub use clock::Clock;
pub use error::NetError;
pub use frame::{FramePort, PortCounters, PortKind, PortSpec};
pub use namespace::Namespace;
pub use ports::PortSet;
pub use raw::RawIp;
pub use udp::{UdpOptions, UdpPort};
