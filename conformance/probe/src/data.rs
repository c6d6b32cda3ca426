//! The data plane as the tester sees it: packets in clear, ESP as another member sends it, and what the subject sent.
//!
//! * [`Clear`] builds a packet of a host, right or wrong in any field.
//! * [`Sender`] is another member of the group: it seals packets under a [`Tek`](crate::Tek) of the scripted key server.
//!   [`Forge`] makes any part of the ESP packet wrong; the outer header is a [`Clear`] whose every field can be changed.
//! * [`Opener`] opens what the subject sent, and [`EspSeen::findings`] says what is wrong with it, as data.
//! * [`Ledger`] follows sequence numbers and IVs from packet to packet.
//! * [`differences`] names the fields in which a packet differs from the one that was sent.
//!
//! "A packet with one bit of its ICV flipped, and one that claims more padding than it has":
//!
//! ```no_run
//! # use hallmark_probe::data::{Clear, Forge, Part, Sender};
//! # use hallmark_probe::{Fault, Tek, world::{Side, World}};
//! # fn case(world: &mut dyn World, tek: &Tek) -> Result<(), Fault> {
//! let mut peer = Sender::new(tek)?;
//! let inner = Clear::udp("10.2.0.20:7000".parse().expect("address"), "10.1.0.10:7001".parse().expect("address"), b"x");
//! let forged = peer.forge(world, &inner.octets(), &Forge::new().flip(Part::Icv, 0))?.octets();
//! let overrun = peer.forge(world, &inner.octets(), &Forge::new().pad_length(200))?.hops(9).octets();
//! # let _ = (forged, overrun);
//! # Ok(()) }
//! ```

mod clear;
mod compare;
mod open;
mod replay;
mod seal;

pub use clear::{Clear, Tcp, Upper};
pub use compare::differences;
pub use open::{EspSeen, Finding, Ledger, Opener, Outer};
pub use replay::{Replay, Stamp, clock_showing, group_spi, shifted};
pub use seal::{Forge, Part, Sender};
