//! All UDP ports of one node, waited for together.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use hallmark_core::Datagram;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::NetError;
use crate::udp::{UdpOptions, UdpPort};

/// Holds the ports of a node: unicast ports to send from and receive on, and joined multicast groups.
///
/// Its file descriptor becomes readable when any of its ports is, so one registration with an event loop serves all.
#[derive(Debug)]
pub struct PortSet {
    epoll: Epoll,
    ports: Vec<UdpPort>,
    groups: Vec<(SocketAddr, IpAddr, UdpPort)>,
    options: UdpOptions,
    next: usize,
}

impl PortSet {
    /// Makes an empty set.
    ///
    /// # Errors
    /// When the operating system gives no event queue.
    pub fn new(options: UdpOptions) -> Result<Self, NetError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|e| NetError::Receive(e.into()))?;
        Ok(Self { epoll, ports: Vec::new(), groups: Vec::new(), options, next: 0 })
    }

    /// Opens a port and tells the address that it got.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn open(&mut self, address: SocketAddr) -> Result<SocketAddr, NetError> {
        let port = UdpPort::open(address, &self.options)?;
        self.watch(&port)?;
        let bound = port.local_addr();
        self.ports.push(port);
        Ok(bound)
    }

    /// Joins a multicast group at an interface. Joining twice is the same as joining once.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn join(&mut self, group: SocketAddr, interface: IpAddr) -> Result<(), NetError> {
        if self.groups.iter().any(|(g, i, _)| *g == group && *i == interface) {
            return Ok(());
        }
        let port = UdpPort::join(group, interface, &self.options)?;
        self.watch(&port)?;
        self.groups.push((group, interface, port));
        Ok(())
    }

    /// Leaves a multicast group on every interface.
    pub fn leave(&mut self, group: SocketAddr) {
        // Closing the socket takes it out of the event queue and out of the group.
        self.groups.retain(|(g, _, _)| *g != group);
    }

    /// Tells the groups that are joined.
    pub fn groups(&self) -> impl Iterator<Item = SocketAddr> {
        self.groups.iter().map(|(group, _, _)| *group)
    }

    /// Tells the addresses of the unicast ports.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.ports.iter().map(UdpPort::local_addr)
    }

    /// Sends a datagram from the port that its source address names.
    ///
    /// # Errors
    /// [`NetError::NoPort`] when no port can send from there, or what the operating system says.
    pub fn send(&self, datagram: &Datagram) -> Result<(), NetError> {
        self.ports
            .iter()
            .find(|port| port.local_addr() == datagram.src)
            .or_else(|| self.ports.iter().find(|port| port.serves(datagram.src)))
            .ok_or(NetError::NoPort(datagram.src))?
            .send(datagram)
    }

    /// Takes the next datagram of any port, `None` when no port has one. Ports take turns.
    ///
    /// # Errors
    /// When a port fails.
    pub fn recv(&mut self) -> Result<Option<Datagram>, NetError> {
        let total = self.ports.len() + self.groups.len();
        for _ in 0..total {
            let turn = self.next % total;
            let port = if turn < self.ports.len() {
                self.ports.get_mut(turn)
            } else {
                self.groups.get_mut(turn - self.ports.len()).map(|(_, _, port)| port)
            };
            if let Some(port) = port
                && let Some(datagram) = port.recv()?
            {
                return Ok(Some(datagram));
            }
            self.next = (turn + 1) % total;
        }
        Ok(None)
    }

    /// Blocks until a port has something to read or the time is over, and says whether one has.
    ///
    /// # Errors
    /// When the event queue fails.
    pub fn wait(&self, at_most: Duration) -> Result<bool, NetError> {
        // Rounded up, so that a wait never ends before its deadline and spins.
        let millis = at_most.as_nanos().div_ceil(1_000_000);
        let timeout = EpollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(EpollTimeout::MAX);
        let mut events = [EpollEvent::empty()];
        match self.epoll.wait(&mut events, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(errno) => Err(NetError::Receive(errno.into())),
        }
    }

    fn watch(&self, port: &UdpPort) -> Result<(), NetError> {
        self.epoll
            .add(port.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, 0))
            .map_err(|errno| NetError::Receive(errno.into()))
    }
}

impl AsFd for PortSet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

impl AsRawFd for PortSet {
    fn as_raw_fd(&self) -> RawFd {
        self.epoll.0.as_raw_fd()
    }
}
