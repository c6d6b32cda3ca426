//! What the operating system refuses.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// Says what could not be done with the operating system, and where it helps, what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// A port could not be opened.
    #[error("cannot listen on {address}: {source}{}", hint(source))]
    Listen {
        /// The wanted address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// A multicast group could not be joined.
    #[error("cannot join {group} on interface {interface}: {source}")]
    Join {
        /// The group and its port.
        group: SocketAddr,
        /// The local address of the interface.
        interface: IpAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// No open port can send from this address.
    #[error("no open port can send from {0}")]
    NoPort(SocketAddr),
    /// A datagram could not be sent.
    #[error("cannot send {octets} octets from {from} to {to}: {source}")]
    Send {
        /// The local address.
        from: SocketAddr,
        /// The destination.
        to: SocketAddr,
        /// The size of the payload.
        octets: usize,
        /// What the operating system said.
        source: io::Error,
    },
    /// A port could not be read or waited for.
    #[error("cannot receive: {0}")]
    Receive(#[source] io::Error),
    /// Whole IP packets may not be sent by this process.
    #[error("sending whole IP packets needs CAP_NET_RAW: run as root, or give the program the capability")]
    RawNotPermitted,
    /// A whole IP packet could not be sent.
    #[error("cannot send an IP packet of {octets} octets: {source}")]
    Raw {
        /// The size of the packet.
        octets: usize,
        /// What the operating system said.
        source: io::Error,
    },
    /// These octets are no IP packet that could be routed.
    #[error("not an IP packet: no destination address can be read from its {0} octets")]
    NotIp(usize),
    /// There is no interface of this name in the namespace of the caller.
    #[error("there is no interface {0}; ip link shows which exist")]
    NoInterface(String),
    /// An interface carries nothing because it is down.
    #[error("interface {0} is down; ip link set {0} up turns it on")]
    InterfaceDown(String),
    /// AF_XDP serves Ethernet only.
    #[error("{0} is no Ethernet interface, and AF_XDP serves no other; use the packet kind of port")]
    NotEthernet(String),
    /// Frames may not be taken from and put on an interface by this process.
    #[error("carrying frames on {0} needs CAP_NET_RAW and CAP_NET_ADMIN: run as root, or give the program both")]
    FramesNotPermitted(String),
    /// A frame port could not be opened.
    #[error("cannot carry frames on {interface}: {step}: {source}{advice}")]
    Frames {
        /// The name of the interface.
        interface: String,
        /// What was attempted.
        step: &'static str,
        /// What the operating system said.
        source: io::Error,
        /// What to do about it, or nothing.
        advice: &'static str,
    },
    /// An interface spreads its frames over more receive queues than there are workers to take them.
    #[error(
        "{interface} has {queues} receive queues for {workers} workers; ethtool -L {interface} combined {workers} \
         makes them equal"
    )]
    Queues {
        /// The name of the interface.
        interface: String,
        /// How many receive queues it has.
        queues: u32,
        /// How many workers there are.
        workers: u16,
    },
    /// A network namespace could not be made, entered or set up.
    #[error("cannot use the network namespace {name}: {what}")]
    Namespace {
        /// The name of the namespace.
        name: String,
        /// What went wrong.
        what: String,
    },
    /// There is no randomness.
    #[error("no randomness from the operating system: {0}")]
    Entropy(String),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => " (ports below 1024 need root or CAP_NET_BIND_SERVICE)",
        io::ErrorKind::AddrInUse => " (another process listens there; ss -ulnp shows which)",
        io::ErrorKind::AddrNotAvailable => " (no interface has this address; ip address shows which exist)",
        _ => "",
    }
}
