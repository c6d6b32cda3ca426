//! What must be known of an interface before frames can be carried on it.

use std::io;

use nix::libc;

use super::sys::{self, InterfaceRequest};
use crate::NetError;

/// An interface as it was when it was looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interface {
    pub(crate) index: u32,
    /// The hardware address; zeros for an interface without one.
    pub(crate) mac: [u8; 6],
    pub(crate) mtu: u16,
    /// Whether its frames begin with an Ethernet header.
    pub(crate) ethernet: bool,
}

impl Interface {
    /// Looks an interface up and makes sure that it is up.
    pub(crate) fn find(name: &str) -> Result<Self, NetError> {
        let missing = |_: io::Error| NetError::NoInterface(name.to_owned());
        let index = nix::net::if_::if_nametoindex(name).map_err(|errno| missing(errno.into()))?;
        if !sys::interface(name, InterfaceRequest::IsUp).map_err(missing)?.is_up() {
            return Err(NetError::InterfaceDown(name.to_owned()));
        }
        let mtu = sys::interface(name, InterfaceRequest::Mtu).map_err(missing)?.mtu();
        let hardware = sys::interface(name, InterfaceRequest::HardwareAddress).map_err(missing)?;
        let ethernet = matches!(hardware.hardware(), libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK);
        Ok(Self { index, mac: hardware.mac(), mtu: u16::try_from(mtu).unwrap_or(u16::MAX), ethernet })
    }

    /// Turns an interface on, with an MTU of the caller's choice.
    pub(crate) fn set_up(name: &str, mtu: Option<u16>) -> io::Result<()> {
        if let Some(mtu) = mtu {
            sys::interface(name, InterfaceRequest::SetMtu(i32::from(mtu)))?;
        }
        let flags = sys::interface(name, InterfaceRequest::IsUp)?.flags();
        // IFF_UP is bit 0 of the flags in every kernel.
        let up = flags | libc::c_short::try_from(libc::IFF_UP).unwrap_or(1);
        sys::interface(name, InterfaceRequest::SetFlags(up)).map(|_| ())
    }

    /// Tells how many receive queues a driver uses; 1 when it does not say.
    pub(crate) fn queues(name: &str) -> u32 {
        sys::receive_queues(name).unwrap_or(1).max(1)
    }

    /// The longest frame that is no product of offloading: Ethernet header and two VLAN tags if there are any, MTU.
    pub(crate) fn longest_frame(self) -> usize {
        usize::from(self.mtu) + if self.ethernet { 14 + 8 } else { 0 }
    }
}

/// Says what an error of a running port means.
pub(crate) fn port_error(name: &str, source: io::Error, receiving: bool) -> NetError {
    match source.raw_os_error() {
        Some(libc::ENETDOWN) => NetError::InterfaceDown(name.to_owned()),
        Some(libc::ENODEV | libc::ENXIO | libc::EBADFD) => NetError::NoInterface(name.to_owned()),
        _ if receiving => NetError::Receive(source),
        _ => NetError::Frames { interface: name.to_owned(), step: "sending", source, advice: "" },
    }
}
