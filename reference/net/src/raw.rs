//! Whole IP packets, sent as they stand.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use socket2::{Domain, Protocol, Socket, Type};

use crate::NetError;

/// IPPROTO_RAW: the header is part of what is sent.
const PROTOCOL_RAW: i32 = 255;

/// Sends IP packets whose every octet the caller chooses: fragments, forged sources, broken checksums of UDP.
///
/// The operating system still routes by the destination address, and fills in the header checksum and a zero
/// identification of IPv4.
#[derive(Debug)]
pub struct RawIp {
    v4: Socket,
    v6: Option<Socket>,
}

impl RawIp {
    /// Opens the raw sockets.
    ///
    /// # Errors
    /// [`NetError::RawNotPermitted`] without CAP_NET_RAW.
    pub fn open() -> Result<Self, NetError> {
        let v4 = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(PROTOCOL_RAW))).map_err(refused)?;
        v4.set_header_included_v4(true).map_err(refused)?;
        // A host without IPv6 can still send IPv4.
        let v6 = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::from(PROTOCOL_RAW)))
            .and_then(|socket| socket.set_header_included_v6(true).map(|()| socket))
            .ok();
        Ok(Self { v4, v6 })
    }

    /// Sends one packet. It must fit the MTU of the interface that it leaves by.
    ///
    /// # Errors
    /// [`NetError::NotIp`] when no destination can be read from it, or what the operating system says.
    pub fn send(&self, packet: &[u8]) -> Result<(), NetError> {
        let destination = destination(packet).ok_or(NetError::NotIp(packet.len()))?;
        let failed = |source| NetError::Raw { octets: packet.len(), source };
        let socket = match destination {
            SocketAddr::V4(_) => &self.v4,
            SocketAddr::V6(_) => self.v6.as_ref().ok_or_else(|| failed(io::Error::from(io::ErrorKind::Unsupported)))?,
        };
        socket.send_to(packet, &destination.into()).map(|_| ()).map_err(failed)
    }
}

fn refused(error: io::Error) -> NetError {
    if error.kind() == io::ErrorKind::PermissionDenied {
        NetError::RawNotPermitted
    } else {
        NetError::Raw { octets: 0, source: error }
    }
}

fn destination(packet: &[u8]) -> Option<SocketAddr> {
    match packet.first()? >> 4 {
        4 => {
            let octets: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            Some(SocketAddrV4::new(Ipv4Addr::from(octets), 0).into())
        }
        6 => {
            let octets: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            Some(SocketAddrV6::new(Ipv6Addr::from(octets), 0, 0, 0).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_destination_is_read_from_either_kind_of_header() {
        let mut v4 = [0; 20];
        v4[0] = 0x45;
        v4[16..].copy_from_slice(&[127, 0, 0, 9]);
        assert_eq!(destination(&v4), Some("127.0.0.9:0".parse().unwrap()));
        let mut v6 = [0; 40];
        v6[0] = 0x60;
        v6[39] = 1;
        assert_eq!(destination(&v6), Some("[::1]:0".parse().unwrap()));
        assert_eq!(destination(&v4[..19]), None);
        assert_eq!(destination(&[]), None);
        assert_eq!(destination(&[0x15; 40]), None);
    }
}
