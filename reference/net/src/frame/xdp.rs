//! AF_XDP in copy mode, which every driver has.
//!
//! An XDP program takes the frames for one host other than this one out of the kernel's way. Frames for everybody and
//! for groups, ARP and neighbour discovery and routing protocols among them, go on to the kernel, and a small packet
//! socket takes them for the bridge as well: both may need them. Their order relative to the others is not kept.
//!
//! A receive queue of the interface belongs to one worker. Which frames meet in a queue is the choice of the driver:
//! set it to hash by addresses only, so that fragments stay with their flow.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::libc;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::bpf::{self, Purpose};
use super::filter::{self, Take};
use super::interface::{Interface, port_error};
use super::packet::{self, PacketPort};
use super::umem::Umem;
use super::{FramePort, PortCounters, PortSpec, checksum, refused};
use crate::NetError;

/// Octets of the ring for frames for everybody.
const GROUP_RING: usize = 1 << 20;

/// Opens an AF_XDP socket for each worker and lets the interface feed them.
pub(super) fn open(spec: &PortSpec, workers: u16) -> Result<Vec<Box<dyn FramePort>>, NetError> {
    let interface = Interface::find(&spec.interface)?;
    if !interface.ethernet {
        return Err(NetError::NotEthernet(spec.interface.clone()));
    }
    let queues = Interface::queues(&spec.interface);
    if queues > u32::from(workers) {
        return Err(NetError::Queues { interface: spec.interface.clone(), queues, workers });
    }
    let longest = interface.longest_frame();
    let map = bpf::socket_map(u32::from(workers)).map_err(refused(spec, "making a map of sockets", ""))?;
    let mut sockets = Vec::with_capacity(usize::from(workers));
    for queue in 0..workers {
        let socket =
            Umem::open(longest, spec.ring_octets / 2).map_err(refused(spec, "opening an AF_XDP socket", ""))?;
        let bound = socket.bind(interface.index, queue, longest);
        bound.map_err(|error| refused(spec, "taking a receive queue", queue_advice(&error))(error))?;
        bpf::put_socket(&map, u32::from(queue), &socket).map_err(refused(spec, "entering a socket", ""))?;
        sockets.push(socket);
    }
    let own = (!spec.own_frames).then_some(interface.mac);
    let program = filter::redirect_program(map.as_raw_fd(), own);
    let program = bpf::load(Purpose::Xdp, &program, true).map_err(refused(spec, "loading the XDP program", ""))?;
    // The packet sockets come first: a frame for everybody is never lost between the two.
    let group_spec = PortSpec { ring_octets: GROUP_RING, ..spec.clone() };
    let groups = packet::open_taking(&group_spec, workers, Take::Groups)?;
    let attached = bpf::attach_xdp(&program, interface.index);
    let link = attached.map_err(|error| refused(spec, "attaching the XDP program", attach_advice(&error))(error))?;
    let attachment = Arc::new(Attachment { _link: link, _map: map });
    let ports = sockets.into_iter().zip(groups).map(|(socket, groups)| {
        let port = XdpPort::new(spec, interface, socket, groups, Arc::clone(&attachment))?;
        Ok(Box::new(port) as Box<dyn FramePort>)
    });
    ports.collect()
}

/// What all workers of an interface hold together: when the last one goes, the program is detached.
#[derive(Debug)]
struct Attachment {
    _link: OwnedFd,
    _map: OwnedFd,
}

/// One receive queue of an interface.
#[derive(Debug)]
struct XdpPort {
    /// Readable when either of the two is.
    epoll: Epoll,
    socket: Umem,
    groups: PacketPort,
    name: String,
    interface: Interface,
    counters: PortCounters,
    _attachment: Arc<Attachment>,
}

impl XdpPort {
    fn new(
        spec: &PortSpec,
        interface: Interface,
        socket: Umem,
        groups: PacketPort,
        attachment: Arc<Attachment>,
    ) -> Result<Self, NetError> {
        let waiting = || -> io::Result<Epoll> {
            let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
            epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
            epoll.add(&groups, EpollEvent::new(EpollFlags::EPOLLIN, 1))?;
            Ok(epoll)
        };
        let epoll = waiting().map_err(refused(spec, "waiting for frames", ""))?;
        let name = spec.interface.clone();
        let counters = PortCounters::default();
        Ok(Self { epoll, socket, groups, name, interface, counters, _attachment: attachment })
    }
}

impl AsFd for XdpPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

impl FramePort for XdpPort {
    fn receive(&mut self, max: usize, sink: &mut dyn FnMut(&[u8])) -> Result<usize, NetError> {
        let longest = self.interface.longest_frame();
        let counters = &mut self.counters;
        let mut given = 0;
        self.socket.take(max, |frame| {
            if frame.len() > longest {
                counters.too_long += 1;
                return;
            }
            // AF_XDP does not say whether the checksum was left open, so it is looked at.
            if checksum::complete_if_open(frame) {
                counters.checksums_completed += 1;
            }
            counters.received += 1;
            given += 1;
            sink(frame);
        });
        let left = max.saturating_sub(given);
        Ok(given + self.groups.receive(left, sink)?)
    }

    fn send(&mut self, frames: &[&[u8]]) -> Result<usize, NetError> {
        let sent = self.try_send(frames);
        let accepted = *sent.as_ref().unwrap_or(&0);
        self.counters.sent += accepted as u64;
        self.counters.send_failures += frames.len().saturating_sub(accepted) as u64;
        sent.map_err(|error| port_error(&self.name, error, false))
    }

    fn check(&mut self) -> Result<(), NetError> {
        self.groups.check()?;
        match self.socket.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(port_error(&self.name, error, true)),
        }
    }

    fn has_link_header(&self) -> bool {
        true
    }

    fn mtu(&self) -> u16 {
        self.interface.mtu
    }

    fn counters(&self) -> PortCounters {
        let groups = self.groups.counters();
        PortCounters {
            received: self.counters.received + groups.received,
            kernel_drops: self.socket.lost() + groups.kernel_drops,
            too_long: self.counters.too_long + groups.too_long,
            checksums_completed: self.counters.checksums_completed + groups.checksums_completed,
            ..self.counters
        }
    }
}

impl XdpPort {
    fn try_send(&mut self, frames: &[&[u8]]) -> io::Result<usize> {
        let longest = self.interface.longest_frame();
        let mut queued: usize = 0;
        let mut refused = 0;
        for frame in frames.iter().filter(|frame| frame.len() <= longest) {
            let mut fits = self.socket.queue(frame);
            if !fits {
                refused += self.socket.flush()?;
                fits = self.socket.queue(frame);
            }
            queued += usize::from(fits);
        }
        refused += self.socket.flush()?;
        Ok(queued.saturating_sub(usize::try_from(refused).unwrap_or(usize::MAX)))
    }
}

fn queue_advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EBUSY) => " (another program has this queue)",
        Some(libc::EINVAL) => " (there are fewer receive queues than workers; ethtool -L changes their number)",
        _ => "",
    }
}

fn attach_advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => " (another XDP program is attached; ip link set dev INTERFACE xdp off)",
        _ => "",
    }
}
