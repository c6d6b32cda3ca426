//! Faults that look at the packet: a caller's own function decides.

use hallmark_core::{Datagram, Duration, Instant};

use crate::lab::HostId;
use crate::tap::Direction;

/// A packet that is about to enter a link, as a rule sees it.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'a> {
    /// When.
    pub at: Instant,
    /// Whose link.
    pub host: HostId,
    /// Which way.
    pub direction: Direction,
    /// Who sent it ([`HostId::ROUTER`] for packets that no host sent).
    pub origin: HostId,
    /// The whole IP packet.
    pub packet: &'a [u8],
    /// The datagram in it, when it is unfragmented UDP with right checksums.
    pub datagram: Option<&'a Datagram>,
}

/// What a rule wants done with a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Leave it to the next rule and to the link.
    Pass,
    /// Drop it.
    Drop,
    /// Let it through, but so much later; others may overtake it.
    Delay(Duration),
    /// Let it through, and a copy of it so much later.
    Duplicate(Duration),
    /// Let another packet through in its place.
    Replace(Vec<u8>),
}

/// Decides about packets. The first rule that does not say [`Action::Pass`] is obeyed.
pub type Rule = Box<dyn FnMut(&Passing<'_>) -> Action + Send>;

/// Names a rule of a lab.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RuleId(pub(crate) u64);

pub(crate) struct PlacedRule {
    pub(crate) id: RuleId,
    pub(crate) host: HostId,
    pub(crate) direction: Direction,
    pub(crate) rule: Rule,
}
