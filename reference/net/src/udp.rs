//! A UDP port that knows both ends of each datagram.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use hallmark_core::Datagram;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg, sendmsg,
    setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::NetError;

/// The largest UDP payload.
const MAX_PAYLOAD: usize = 65_535;

/// Settings of a UDP port.
#[derive(Clone, Copy, Debug)]
pub struct UdpOptions {
    /// Octets wanted for the receive queue; the operating system may grant less.
    pub receive_buffer: usize,
    /// Octets wanted for the send queue.
    pub send_buffer: usize,
    /// TTL or hop limit of multicast that this port sends.
    pub multicast_hops: u32,
    /// Whether multicast that this port sends reaches members on this host.
    pub multicast_loop: bool,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self { receive_buffer: 4 << 20, send_buffer: 4 << 20, multicast_hops: 64, multicast_loop: true }
    }
}

/// Sends and receives datagrams without blocking.
///
/// A port may be bound to one address, to a multicast group, or to the unspecified address; in each case a received
/// datagram tells the local address that it was sent to, and a sent one leaves from the address that it names.
#[derive(Debug)]
pub struct UdpPort {
    socket: OwnedFd,
    bound: SocketAddr,
    buffer: Vec<u8>,
    control: Vec<u8>,
}

impl UdpPort {
    /// Opens a port. Port 0 takes a free one. The address is not shared with any other process.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn open(address: SocketAddr, options: &UdpOptions) -> Result<Self, NetError> {
        Self::build(address, options, false).map_err(|source| NetError::Listen { address, source })
    }

    /// Opens a receiver for a multicast group, joined at the interface that has the address `interface`.
    ///
    /// Every receiver on this host gets its copy, so this kind of port is shared.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn join(group: SocketAddr, interface: IpAddr, options: &UdpOptions) -> Result<Self, NetError> {
        let failed = |source| NetError::Join { group, interface, source };
        let port = Self::build(group, options, true).map_err(failed)?;
        let socket = socket2::SockRef::from(&port.socket);
        match (group.ip(), interface) {
            (IpAddr::V4(multiaddr), IpAddr::V4(local)) => socket.join_multicast_v4(&multiaddr, &local),
            (IpAddr::V6(multiaddr), IpAddr::V6(local)) => {
                interface_index(local).and_then(|index| socket.join_multicast_v6(&multiaddr, index))
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "group and interface differ in address family")),
        }
        .map_err(failed)?;
        Ok(port)
    }

    /// Tells the address that this port is bound to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.bound
    }

    /// Takes the next datagram, `None` when there is none yet.
    ///
    /// # Errors
    /// When the operating system reports a failure of the port itself.
    pub fn recv(&mut self) -> Result<Option<Datagram>, NetError> {
        loop {
            match self.recv_once() {
                Ok(Some(datagram)) => return Ok(Some(datagram)),
                // A datagram without a usable source cannot be answered or judged: pass over it.
                Ok(None) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                // An earlier datagram met a closed port: no concern of the next one.
                Err(Errno::EINTR | Errno::ECONNREFUSED) => {}
                Err(errno) => return Err(NetError::Receive(errno.into())),
            }
        }
    }

    /// Sends a datagram from `datagram.src`. A full send queue drops it, as a network would: the sender's own
    /// retransmission covers that.
    ///
    /// # Errors
    /// When the operating system refuses it (no route, too large, an address that is not ours).
    pub fn send(&self, datagram: &Datagram) -> Result<(), NetError> {
        match self.send_once(datagram) {
            // ECONNREFUSED reports an earlier datagram; this one has to be handed over again.
            Err(Errno::ECONNREFUSED | Errno::EINTR) => match self.send_once(datagram) {
                Ok(()) | Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ECONNREFUSED) => Ok(()),
                Err(errno) => Err(send_error(datagram, errno)),
            },
            Ok(()) | Err(Errno::EAGAIN | Errno::ENOBUFS) => Ok(()),
            Err(errno) => Err(send_error(datagram, errno)),
        }
    }

    /// Says whether this port can send from an address.
    #[must_use]
    pub fn serves(&self, source: SocketAddr) -> bool {
        self.bound.port() == source.port()
            && (self.bound.ip() == source.ip()
                || (self.bound.ip().is_unspecified() && self.bound.is_ipv4() == source.is_ipv4()))
    }

    fn build(address: SocketAddr, options: &UdpOptions, shared: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        socket.set_reuse_address(shared)?;
        // The operating system caps these silently; smaller queues only mean more loss under a storm.
        let _ = socket.set_recv_buffer_size(options.receive_buffer);
        let _ = socket.set_send_buffer_size(options.send_buffer);
        match address.ip() {
            IpAddr::V4(local) => {
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
                socket.set_multicast_loop_v4(options.multicast_loop)?;
                socket.set_multicast_ttl_v4(options.multicast_hops)?;
                if !local.is_unspecified() && !local.is_multicast() {
                    socket.set_multicast_if_v4(&local)?;
                }
            }
            IpAddr::V6(_) => {
                socket.set_only_v6(true)?;
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
                socket.set_multicast_loop_v6(options.multicast_loop)?;
                socket.set_multicast_hops_v6(options.multicast_hops)?;
            }
        }
        socket.bind(&address.into())?;
        if let IpAddr::V6(local) = address.ip()
            && !local.is_unspecified()
            && !local.is_multicast()
            && let Ok(index) = interface_index(local)
        {
            socket.set_multicast_if_v6(index)?;
        }
        let bound = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Self {
            socket: socket.into(),
            bound,
            buffer: vec![0; MAX_PAYLOAD],
            control: nix::cmsg_space!(nix::libc::in6_pktinfo, nix::libc::in_pktinfo),
        })
    }

    fn recv_once(&mut self) -> Result<Option<Datagram>, Errno> {
        let mut slices = [IoSliceMut::new(&mut self.buffer)];
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(&mut self.control),
            MsgFlags::empty(),
        )?;
        let octets = message.bytes;
        let source = message.address.as_ref().and_then(socket_address);
        let mut local = self.bound.ip();
        if let Ok(controls) = message.cmsgs() {
            for control in controls {
                match control {
                    ControlMessageOwned::Ipv4PacketInfo(info) => local = IpAddr::V4(ipv4(info.ipi_addr)),
                    ControlMessageOwned::Ipv6PacketInfo(info) => {
                        local = IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr));
                    }
                    _ => {}
                }
            }
        }
        let payload = self.buffer.get(..octets).unwrap_or_default().to_vec();
        Ok(source.map(|source| Datagram::new(source, SocketAddr::new(local, self.bound.port()), payload)))
    }

    fn send_once(&self, datagram: &Datagram) -> Result<(), Errno> {
        let slices = [IoSlice::new(&datagram.payload)];
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::empty();
        match (datagram.dst, datagram.src.ip()) {
            (SocketAddr::V4(to), IpAddr::V4(from)) => {
                let to = SockaddrIn::from(to);
                let info = nix::libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: nix::libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) },
                    ipi_addr: nix::libc::in_addr { s_addr: 0 },
                };
                sendmsg(fd, &slices, &[ControlMessage::Ipv4PacketInfo(&info)], flags, Some(&to))
            }
            (SocketAddr::V6(to), IpAddr::V6(from)) => {
                let to = SockaddrIn6::from(to);
                let info = nix::libc::in6_pktinfo {
                    ipi6_addr: nix::libc::in6_addr { s6_addr: from.octets() },
                    ipi6_ifindex: 0,
                };
                sendmsg(fd, &slices, &[ControlMessage::Ipv6PacketInfo(&info)], flags, Some(&to))
            }
            _ => return Err(Errno::EAFNOSUPPORT),
        }
        .map(|_| ())
    }
}

impl AsFd for UdpPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for UdpPort {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn send_error(datagram: &Datagram, errno: Errno) -> NetError {
    NetError::Send { from: datagram.src, to: datagram.dst, octets: datagram.payload.len(), source: errno.into() }
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::V4(SocketAddrV4::from(*v4)));
    }
    storage.as_sockaddr_in6().map(|v6| SocketAddr::V6(SocketAddrV6::from(*v6)))
}

const fn ipv4(address: nix::libc::in_addr) -> Ipv4Addr {
    let [a, b, c, d] = address.s_addr.to_ne_bytes();
    Ipv4Addr::new(a, b, c, d)
}

fn interface_index(address: Ipv6Addr) -> io::Result<u32> {
    let interfaces = nix::ifaddrs::getifaddrs().map_err(io::Error::from)?;
    for interface in interfaces {
        let matches = interface
            .address
            .as_ref()
            .and_then(SockaddrStorage::as_sockaddr_in6)
            .is_some_and(|found| found.ip() == address);
        if matches {
            return nix::net::if_::if_nametoindex(interface.interface_name.as_str()).map_err(io::Error::from);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no interface has this address"))
}
