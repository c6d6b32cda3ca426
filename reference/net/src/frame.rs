//! Ports of a bridge: whole frames taken from and put on an interface.
//!
//! Three kinds behind one trait: AF_PACKET with a memory-mapped ring ([`PortKind::Packet`]), AF_XDP
//! ([`PortKind::Xdp`]) and TUN ([`PortKind::Tun`]). A group member as a bump in the wire has one on its LAN side and
//! one on its WAN side.
//!
//! What a port takes: frames for anyone but this host. A frame whose destination is the hardware address of the
//! interface itself belongs to the kernel (the control traffic of the group member) and is left to it. Frames for
//! everybody, ARP and neighbour discovery above all, reach both.
//!
//! What a port gives is what was on the wire: VLAN tags that the kernel had taken out are back in their place, and
//! checksums that a sender on the same host left to its network card are complete. Frames that offloading has made
//! longer than the MTU are refused and counted ([`PortCounters::too_long`]): turn such offloads off with
//! [`ADVICE_OFFLOADS`].
//!
//! Several workers share an interface by source and destination address, so that every packet, fragment and answer
//! between two hosts meets the same worker ([`spread`] is the rule). AF_XDP is the exception: there the network card
//! does the spreading.

mod bpf;
mod checksum;
mod filter;
mod interface;
mod offload;
mod packet;
mod ring;
mod sys;
mod tun;
mod umem;
mod xdp;

use std::fmt;
use std::os::fd::AsFd;
use std::str::FromStr;

use crate::NetError;

pub use filter::spread;

/// What to do when [`PortCounters::too_long`] grows: offloads of the interface, or of the peer of a veth, hand over
/// several packets glued together.
pub const ADVICE_OFFLOADS: &str = "ethtool -K INTERFACE gro off lro off gso off tso off tx off rxvlan off txvlan off";

/// How a port reaches its interface.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PortKind {
    /// AF_PACKET: works on every interface.
    Packet,
    /// AF_XDP in copy mode: faster on most drivers, works on every Ethernet interface.
    Xdp,
    /// A TUN device: IP packets without a link header, routed to it by the kernel.
    Tun,
}

impl PortKind {
    /// Says the word that stands for this kind in a configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::Xdp => "xdp",
            Self::Tun => "tun",
        }
    }
}

impl fmt::Display for PortKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PortKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Self::Packet, Self::Xdp, Self::Tun]
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| format!("{word} is no kind of port: packet, xdp and tun are"))
    }
}

/// Says which interface to open, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortSpec {
    /// How to reach the interface.
    pub kind: PortKind,
    /// The name of the interface in the network namespace of the thread that opens the port. A TUN device is made when
    /// there is none of this name.
    pub interface: String,
    /// Whether frames addressed to the interface itself are taken too. No for a bridge: they are the kernel's.
    pub own_frames: bool,
    /// Octets of memory for frames that wait to be received; the nearest possible size is used.
    pub ring_octets: usize,
    /// The MTU to give to a TUN device; others keep the one that they have.
    pub mtu: Option<u16>,
    /// Whether hosts on the other end of a veth may hand over large TCP segments, to be cut here, and get such: several
    /// times the throughput. Octets on the wire of the host are then no longer packets; [`PortKind::Packet`] only.
    pub offload: bool,
}

impl PortSpec {
    /// Describes a port with the usual settings.
    #[must_use]
    pub fn new(kind: PortKind, interface: impl Into<String>) -> Self {
        Self { kind, interface: interface.into(), own_frames: false, ring_octets: 8 << 20, mtu: None, offload: false }
    }
}

/// What a port has seen since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PortCounters {
    /// Frames given to the worker.
    pub received: u64,
    /// Frames that the kernel accepted for sending.
    pub sent: u64,
    /// Frames that the kernel lost because the worker was too slow.
    pub kernel_drops: u64,
    /// Frames that the kernel did not accept for sending, each dropped.
    pub send_failures: u64,
    /// Received frames longer than the MTU of the interface, each dropped; see [`ADVICE_OFFLOADS`].
    pub too_long: u64,
    /// Large TCP segments that were cut into packets; the packets count as received.
    pub large_received: u64,
    /// Large TCP segments that were sent instead of several packets; the packets count as sent.
    pub large_sent: u64,
    /// Received frames whose transport checksum was left open by a sender on this host, each completed.
    pub checksums_completed: u64,
}

/// One worker's way to an interface.
///
/// Its file descriptor becomes readable when a frame can be received.
pub trait FramePort: AsFd + Send {
    /// Gives at most `max` waiting frames to `sink`, in order, and says how many there were. Never blocks. A frame
    /// begins with its link header where the port has one; the slice is valid only during the call.
    ///
    /// # Errors
    /// When the interface is down or gone; the port works again when the interface does.
    fn receive(&mut self, max: usize, sink: &mut dyn FnMut(&[u8])) -> Result<usize, NetError>;

    /// Sends frames, each tried once, and says how many were accepted. The others are dropped and counted, as by any
    /// bridge whose exit is full.
    ///
    /// # Errors
    /// When the interface is down or gone; the port works again when the interface does.
    fn send(&mut self, frames: &[&[u8]]) -> Result<usize, NetError>;

    /// Reads what is wrong, if anything is. To be called when waiting on the descriptor reports an error: asking
    /// clears it.
    ///
    /// # Errors
    /// When the interface is down or gone.
    fn check(&mut self) -> Result<(), NetError>;

    /// Says whether frames begin with an Ethernet header.
    fn has_link_header(&self) -> bool;

    /// Tells the MTU of the interface when the port was opened: the largest IP packet that it carries.
    fn mtu(&self) -> u16;

    /// Tells what the port has seen.
    fn counters(&self) -> PortCounters;
}

/// Opens a port for the only worker of an interface.
///
/// # Errors
/// When there is no such interface, when it is down, when the process lacks the privilege, or when the kernel refuses;
/// the error says what to do.
pub fn open(spec: &PortSpec) -> Result<Box<dyn FramePort>, NetError> {
    let mut ports = open_workers(spec, 1)?;
    ports.pop().ok_or_else(|| NetError::NoInterface(spec.interface.clone()))
}

/// Opens the ports of all workers of an interface, in the order of the workers. None of them receives a frame before
/// all share the interface by their rule.
///
/// # Errors
/// As [`open`]; with AF_XDP also when the interface has more receive queues than there are workers.
pub fn open_workers(spec: &PortSpec, workers: u16) -> Result<Vec<Box<dyn FramePort>>, NetError> {
    let workers = workers.max(1);
    match spec.kind {
        PortKind::Packet => packet::open(spec, workers),
        PortKind::Xdp => xdp::open(spec, workers),
        PortKind::Tun => tun::open(spec, workers),
    }
}

/// Turns what the kernel said while a port was opened into an error that says what to do.
fn refused(spec: &PortSpec, step: &'static str, advice: &'static str) -> impl Fn(std::io::Error) -> NetError {
    let interface = spec.interface.clone();
    move |source| match source.kind() {
        std::io::ErrorKind::PermissionDenied => NetError::FramesNotPermitted(interface.clone()),
        _ => NetError::Frames { interface: interface.clone(), step, source, advice },
    }
}
