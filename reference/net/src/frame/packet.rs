//! AF_PACKET: a memory-mapped ring for receiving, one system call for a burst of frames to send.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};

use arrayvec::ArrayVec;
use nix::libc;
use socket2::{Domain, Socket, Type};

use super::filter::{self, Take};
use super::interface::{Interface, port_error};
use super::offload::{self, Large};
use super::ring::Ring;
use super::sys::InterfaceRequest;
use super::{FramePort, PortCounters, PortSpec, checksum, refused, sys};
use crate::NetError;

/// Octets of the longest frame that stands for several.
const LARGEST: usize = 14 + 65_535;
/// Octets of a ring for such frames: a few hundred.
const LARGE_RING: usize = 32 << 20;
/// Octets of frames that may wait in the kernel to be sent.
const SEND_BUFFER: usize = 4 << 20;

/// Opens the packet sockets of all workers of an interface.
pub(super) fn open(spec: &PortSpec, workers: u16) -> Result<Vec<Box<dyn FramePort>>, NetError> {
    // Without hardware addresses every packet that comes in counts as the interface's own.
    let all = spec.own_frames || !Interface::find(&spec.interface)?.ethernet;
    let take = if all { Take::All } else { Take::NotOwn };
    let ports = open_taking(spec, workers, take)?;
    Ok(ports.into_iter().map(|port| Box::new(port) as Box<dyn FramePort>).collect())
}

/// Opens packet sockets that take a part of what comes in.
pub(super) fn open_taking(spec: &PortSpec, workers: u16, take: Take) -> Result<Vec<PacketPort>, NetError> {
    let interface = Interface::find(&spec.interface)?;
    let mut ports: Vec<PacketPort> = Vec::with_capacity(usize::from(workers));
    let mut group = None;
    for _ in 0..workers {
        let port = PacketPort::bound(spec, interface)?;
        if workers > 1 {
            group = Some(port.join(spec, group)?);
        }
        ports.push(port);
    }
    for port in &ports {
        let step = "choosing the frames to take";
        sys::set_program(&port.socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &take.program())
            .map_err(refused(spec, step, ""))?;
    }
    Ok(ports)
}

/// One packet socket on one interface.
#[derive(Debug)]
pub(super) struct PacketPort {
    socket: Socket,
    ring: Ring,
    name: String,
    interface: Interface,
    counters: PortCounters,
    /// What the kernel has lost, added up: reading the statistics of the socket sets them to zero.
    lost: Cell<u64>,
    /// A large segment that is being cut, where hosts may hand over such.
    large: Option<Large>,
}

impl PacketPort {
    /// Makes a socket that is on the interface but does not take anything yet.
    fn bound(spec: &PortSpec, interface: Interface) -> Result<Self, NetError> {
        // Protocol 0 until bind: no frame of another interface may ever get in.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None).map_err(refused(spec, "opening a socket", ""))?;
        // With its header of 40 octets at least, a large segment never reaches this.
        let longest = if spec.offload { interface.longest_frame().max(LARGEST) } else { interface.longest_frame() };
        let octets = if spec.offload { spec.ring_octets.max(LARGE_RING) } else { spec.ring_octets };
        let ring = Ring::attach(&socket, longest, octets, spec.offload).map_err(refused(
            spec,
            "making the ring",
            " (a smaller ring needs less memory)",
        ))?;
        Self::set_up(&socket, interface).map_err(refused(spec, "setting up the socket", ""))?;
        let name = spec.interface.clone();
        let large = spec.offload.then(Large::new);
        Ok(Self { socket, ring, name, interface, counters: PortCounters::default(), lost: Cell::new(0), large })
    }

    fn set_up(socket: &Socket, interface: Interface) -> io::Result<()> {
        const PACKET: libc::c_int = libc::SOL_PACKET;
        sys::set_option(socket, PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32)?;
        // Straight to the driver: nobody shapes the frames of a bridge.
        sys::set_option(socket, PACKET, libc::PACKET_QDISC_BYPASS, &1_i32)?;
        // The kernel may grant less than this.
        socket.set_send_buffer_size(SEND_BUFFER)?;
        sys::set_program(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &Take::Nothing.program())?;
        let index = i32::try_from(interface.index).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
        let everybody = libc::packet_mreq {
            mr_ifindex: index,
            mr_type: u16::try_from(libc::PACKET_MR_PROMISC).unwrap_or(1),
            mr_alen: 0,
            mr_address: [0; 8],
        };
        sys::set_option(socket, PACKET, libc::PACKET_ADD_MEMBERSHIP, &everybody)?;
        let address = libc::sockaddr_ll {
            sll_family: u16::try_from(libc::AF_PACKET).unwrap_or(0),
            sll_protocol: u16::try_from(libc::ETH_P_ALL).unwrap_or(3).to_be(),
            sll_ifindex: index,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        sys::bind(socket, &address)
    }

    /// Joins the fan-out group of the interface, or makes it, and tells its number.
    fn join(&self, spec: &PortSpec, group: Option<u32>) -> Result<u32, NetError> {
        let refused = refused(spec, "sharing the interface between workers", "");
        let kind = libc::PACKET_FANOUT_CBPF | libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
        let attempt = || {
            let Some(number) = group else {
                // The kernel chooses a number that no other program uses; the rule is given to the group once.
                let made = (kind | libc::PACKET_FANOUT_FLAG_UNIQUEID) << 16;
                sys::set_option(&self.socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &made)?;
                let program = filter::spread_program();
                sys::set_program(&self.socket, libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, &program)?;
                let chosen: u32 = sys::option(&self.socket, libc::SOL_PACKET, libc::PACKET_FANOUT)?;
                return Ok(chosen & 0xffff);
            };
            sys::set_option(&self.socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &(number | kind << 16))?;
            Ok(number)
        };
        attempt().map_err(refused)
    }

    /// Sends the frames at the front that make one large segment, or the first one, and says how many those were.
    fn send_joined(&mut self, frames: &[&[u8]]) -> io::Result<usize> {
        let Some(joined) = offload::join(frames) else {
            let first = frames.first().copied().unwrap_or_default();
            self.socket.send_vectored(&[IoSlice::new(&[0; offload::HEADER]), IoSlice::new(first)])?;
            return Ok(1);
        };
        let mut parts: ArrayVec<IoSlice<'_>, { offload::PIECES + 2 }> = ArrayVec::new();
        parts.push(IoSlice::new(&joined.virtio));
        parts.push(IoSlice::new(&joined.headers));
        for frame in frames.iter().take(joined.count) {
            parts.push(IoSlice::new(frame.get(joined.skip..).unwrap_or_default()));
        }
        self.socket.send_vectored(&parts)?;
        self.counters.large_sent += 1;
        Ok(joined.count)
    }

    fn lost(&self) -> u64 {
        let fresh = sys::option::<libc::tpacket_stats>(&self.socket, libc::SOL_PACKET, libc::PACKET_STATISTICS)
            .map_or(0, |statistics| u64::from(statistics.tp_drops));
        self.lost.set(self.lost.get() + fresh);
        self.lost.get()
    }
}

impl AsFd for PacketPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl FramePort for PacketPort {
    fn receive(&mut self, max: usize, sink: &mut dyn FnMut(&[u8])) -> Result<usize, NetError> {
        let (longest, ethernet) = (self.interface.longest_frame(), self.interface.ethernet);
        let Self { counters, large, .. } = self;
        let mut given = 0;
        while given < max {
            if let Some(piece) = large.as_mut().and_then(Large::cut) {
                if piece.len() > longest {
                    counters.too_long += 1;
                    continue;
                }
                counters.received += 1;
                sink(piece);
                given += 1;
                continue;
            }
            let there = self.ring.take(|slot| {
                if let Some(large) = large.as_mut().filter(|_| !slot.cut)
                    && large.take(&slot.virtio, slot.frame)
                {
                    counters.large_received += 1;
                    return;
                }
                if slot.cut || slot.frame.len() > longest {
                    counters.too_long += 1;
                    return;
                }
                if slot.checksum_open && checksum::complete(slot.frame, ethernet) {
                    counters.checksums_completed += 1;
                }
                counters.received += 1;
                sink(slot.frame);
                given += 1;
            });
            if !there {
                break;
            }
        }
        Ok(given)
    }

    fn send(&mut self, frames: &[&[u8]]) -> Result<usize, NetError> {
        let mut rest = frames;
        let mut accepted = 0;
        while !rest.is_empty() {
            let sent = if self.large.is_some() { self.send_joined(rest) } else { sys::send_burst(&self.socket, rest) };
            match sent {
                Ok(taken) => {
                    accepted += taken;
                    rest = rest.get(taken.max(1)..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.counters.send_failures += 1;
                    rest = rest.get(1..).unwrap_or_default();
                    // Full queues and frames that are too long concern one frame; the rest may pass.
                    if matches!(error.raw_os_error(), Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV)) {
                        self.counters.send_failures += rest.len() as u64;
                        self.counters.sent += accepted as u64;
                        return Err(port_error(&self.name, error, false));
                    }
                }
            }
        }
        self.counters.sent += accepted as u64;
        Ok(accepted)
    }

    fn check(&mut self) -> Result<(), NetError> {
        if let Ok(Some(error)) | Err(error) = self.socket.take_error() {
            return Err(port_error(&self.name, error, true));
        }
        // An interface that went down has said so once; it may still be down.
        match sys::interface_beside(&self.socket, &self.name, InterfaceRequest::IsUp) {
            Ok(answer) if answer.is_up() => Ok(()),
            Ok(_) => Err(NetError::InterfaceDown(self.name.clone())),
            Err(_) => Err(NetError::NoInterface(self.name.clone())),
        }
    }

    fn has_link_header(&self) -> bool {
        self.interface.ethernet
    }

    fn mtu(&self) -> u16 {
        self.interface.mtu
    }

    fn counters(&self) -> PortCounters {
        PortCounters { kernel_drops: self.lost(), ..self.counters }
    }
}
