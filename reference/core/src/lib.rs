//! The ground floor: what every other crate agrees on.
//!
//! Time as numbers that are handed in ([`time`]), randomness from a seed ([`rng`]), datagrams ([`datagram`]),
//! the limits on everything that a peer can grow ([`limits`]), stable rejection codes ([`code`]) and behaviours that can
//! be switched on by name ([`switch`]).
//! Nothing here reads a clock, opens a socket or asks the operating system for anything.

pub mod code;
pub mod datagram;
pub mod limits;
pub mod rng;
pub mod switch;
pub mod time;

pub use code::Code;
pub use datagram::Datagram;
pub use limits::Limits;
pub use rng::Rng;
pub use time::{Duration, Instant, Now, Pseudotime, UnixTime};
