//! An AF_XDP socket: memory for frames and the four rings by which socket and kernel exchange it.
//!
//! Chunks of the first half of the memory are given to the kernel by the fill ring and come back filled by the receive
//! ring. Chunks of the second half go out by the send ring and come back by the completion ring.
#![expect(unsafe_code, reason = "frames are read and written where they lie in memory shared with the kernel")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;

use nix::libc::{self, xdp_ring_offset};
use nix::sys::socket::{MsgFlags, send};
use socket2::{Domain, Socket, Type};
use std::os::fd::AsRawFd;

use super::sys::{self, Mapping};

/// The kernel keeps this much of each chunk free before a received frame.
const HEADROOM: usize = 256;
/// How often the kernel is asked to send before what is left stays for the next time.
const KICKS_MAX: usize = 64;

/// One socket on one receive queue.
#[derive(Debug)]
pub(super) struct Umem {
    socket: Socket,
    memory: Mapping,
    chunk: usize,
    fill: Queue,
    completion: Queue,
    receive: Queue,
    send: Queue,
    /// Chunks that may carry a frame to send.
    free: Vec<u64>,
    /// A frame of several chunks, put together.
    whole: Vec<u8>,
}

impl Umem {
    /// Makes a socket for frames of at most `longest` octets with about `octets` of memory in each direction.
    pub(super) fn open(longest: usize, octets: usize) -> io::Result<Self> {
        // A chunk is at most a page. What does not fit into one travels in several.
        let chunk = if longest + HEADROOM <= 2048 { 2048 } else { 4096 };
        let chunks = (octets / chunk).clamp(64, 1 << 16).next_power_of_two();
        let memory = Mapping::anonymous(2 * chunks * chunk)?;
        let socket = Socket::new(Domain::from(libc::AF_XDP), Type::RAW, None)?;
        let registration = libc::xdp_umem_reg {
            addr: memory.address(),
            len: memory.len() as u64,
            chunk_size: number(chunk)?,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        sys::set_option(&socket, libc::SOL_XDP, libc::XDP_UMEM_REG, &registration)?;
        let entries = number(chunks)?;
        for ring in [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING, libc::XDP_TX_RING] {
            sys::set_option(&socket, libc::SOL_XDP, ring, &entries)?;
        }
        let at: libc::xdp_mmap_offsets = sys::option(&socket, libc::SOL_XDP, libc::XDP_MMAP_OFFSETS)?;
        let ring = |offsets: &xdp_ring_offset, page: i64, entry| Queue::map(&socket, offsets, page, entries, entry);
        let fill = ring(&at.fr, libc::XDP_UMEM_PGOFF_FILL_RING.cast_signed(), ADDRESS)?;
        let completion = ring(&at.cr, libc::XDP_UMEM_PGOFF_COMPLETION_RING.cast_signed(), ADDRESS)?;
        let receive = ring(&at.rx, libc::XDP_PGOFF_RX_RING, DESCRIPTOR)?;
        let send = ring(&at.tx, libc::XDP_PGOFF_TX_RING, DESCRIPTOR)?;
        let address = |index: usize| (index * chunk) as u64;
        let free = (chunks..2 * chunks).map(address).collect();
        let mut umem = Self { socket, memory, chunk, fill, completion, receive, send, free, whole: Vec::new() };
        for index in 0..chunks {
            umem.fill.put(address(index), 0, 0);
        }
        umem.fill.publish();
        Ok(umem)
    }

    /// Puts the socket on a receive queue of an interface.
    pub(super) fn bind(&self, interface: u32, queue: u16, longest: usize) -> io::Result<()> {
        let several = if longest + HEADROOM > self.chunk { libc::XDP_USE_SG } else { 0 };
        let address = libc::sockaddr_xdp {
            sxdp_family: u16::try_from(libc::AF_XDP).unwrap_or(0),
            sxdp_flags: libc::XDP_COPY | libc::XDP_USE_NEED_WAKEUP | several,
            sxdp_ifindex: interface,
            sxdp_queue_id: u32::from(queue),
            sxdp_shared_umem_fd: 0,
        };
        sys::bind(&self.socket, &address)
    }

    /// Shows at most `max` received frames to `use_it` and says how many there were.
    pub(super) fn take(&mut self, max: usize, mut use_it: impl FnMut(&mut [u8])) -> usize {
        let mut waiting = self.receive.filled();
        let mut taken = 0;
        while taken < max && waiting > 0 {
            waiting -= 1;
            let Some((address, len, options)) = self.receive.get() else { break };
            let more = options & libc::XDP_PKT_CONTD != 0;
            let at = usize::try_from(address).unwrap_or(usize::MAX);
            // SAFETY: a chunk that came by the receive ring is ours until the fill ring takes it back below.
            let piece = unsafe { self.memory.octets(at, len as usize) };
            if let Some(piece) = piece {
                if !more && self.whole.is_empty() {
                    use_it(piece);
                    taken += 1;
                } else {
                    self.whole.extend_from_slice(piece);
                    if !more {
                        use_it(&mut self.whole);
                        self.whole.clear();
                        taken += 1;
                    }
                }
            }
            // Of the address only the chunk counts; the ring has room for every chunk of its half.
            self.fill.put(address & !(self.chunk as u64 - 1), 0, 0);
        }
        self.receive.release();
        self.fill.publish();
        taken
    }

    /// Writes a frame into free chunks and queues it. Says whether there was room.
    pub(super) fn queue(&mut self, frame: &[u8]) -> bool {
        let pieces = frame.len().div_ceil(self.chunk);
        if pieces == 0 || pieces > self.free.len() || pieces > self.send.room() {
            return false;
        }
        for (number, piece) in frame.chunks(self.chunk).enumerate() {
            let Some(address) = self.free.pop() else { return false };
            let at = usize::try_from(address).unwrap_or(usize::MAX);
            // SAFETY: a free chunk of the second half belongs to us until the send ring gives it away.
            if let Some(chunk) = unsafe { self.memory.octets(at, piece.len()) } {
                chunk.copy_from_slice(piece);
            }
            let more = if number + 1 < pieces { libc::XDP_PKT_CONTD } else { 0 };
            self.send.put(address, u32::try_from(piece.len()).unwrap_or(0), more);
        }
        true
    }

    /// Asks the kernel to send what is queued, takes back the chunks that it is done with, and says how many frames it
    /// refused. After an error what is queued goes out with the next call.
    pub(super) fn flush(&mut self) -> io::Result<u64> {
        self.send.publish();
        let mut refused = 0;
        for _ in 0..KICKS_MAX {
            if self.send.is_empty() || !self.send.needs_wakeup() {
                break;
            }
            match send(self.socket.as_raw_fd(), &[], MsgFlags::MSG_DONTWAIT).map_err(io::Error::from) {
                Ok(_) => {}
                Err(error) => match error.raw_os_error() {
                    // The kernel sends a few at a time and says so.
                    Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS) => {}
                    // One frame left its chunk and found the driver's queue full.
                    Some(libc::EBUSY) => refused += 1,
                    _ => {
                        // What is queued stays queued and goes out late: the kernel may have noted the end of the
                        // queue already, so it must never be moved back.
                        self.reclaim();
                        return Err(error);
                    }
                },
            }
        }
        self.reclaim();
        Ok(refused)
    }

    /// Tells how many frames the kernel lost on the way in.
    pub(super) fn lost(&self) -> u64 {
        sys::option::<libc::xdp_statistics>(&self.socket, libc::SOL_XDP, libc::XDP_STATISTICS)
            .map_or(0, |statistics| statistics.rx_dropped + statistics.rx_ring_full)
    }

    /// Reads what is wrong with the socket and clears it.
    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    fn reclaim(&mut self) {
        for _ in 0..self.completion.filled() {
            let Some((address, ..)) = self.completion.get() else { break };
            self.free.push(address);
        }
        self.completion.release();
    }
}

impl AsFd for Umem {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Octets of an entry of the fill and completion rings.
const ADDRESS: usize = 8;
/// Octets of an entry of the receive and send rings: address, length, options.
const DESCRIPTOR: usize = 16;

/// One ring with one producer and one consumer, of which we are one and the kernel is the other.
#[derive(Debug)]
struct Queue {
    memory: Mapping,
    producer: usize,
    consumer: usize,
    flags: usize,
    entries: usize,
    entry: usize,
    size: u32,
    /// Our own count, ahead of what the other side has been told.
    ours: u32,
}

impl Queue {
    fn map(socket: &Socket, at: &xdp_ring_offset, page: i64, size: u32, entry: usize) -> io::Result<Self> {
        let offset = |value: u64| usize::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::InvalidData));
        let entries = offset(at.desc)?;
        let memory = Mapping::of(socket, entries + size as usize * entry, page)?;
        let (producer, consumer, flags) = (offset(at.producer)?, offset(at.consumer)?, offset(at.flags)?);
        Ok(Self { memory, producer, consumer, flags, entries, entry, size, ours: 0 })
    }

    /// As consumer: how many entries wait.
    fn filled(&self) -> u32 {
        // Pairs with the kernel's release: whoever sees the count sees the entries and the frames.
        self.memory.word(self.producer).map_or(0, |word| word.load(Ordering::Acquire)).wrapping_sub(self.ours)
    }

    /// As consumer: the next entry. To be called at most [`Self::filled`] times.
    fn get(&mut self) -> Option<(u64, u32, u32)> {
        let at = self.slot();
        let address = self.memory.long(at)?.load(Ordering::Relaxed);
        let part = |offset| self.memory.word(at + offset).map_or(0, |word| word.load(Ordering::Relaxed));
        let rest = if self.entry == DESCRIPTOR { (part(8), part(12)) } else { (0, 0) };
        self.ours = self.ours.wrapping_add(1);
        Some((address, rest.0, rest.1))
    }

    /// As consumer: lets the kernel reuse the entries that were read.
    fn release(&self) {
        if let Some(word) = self.memory.word(self.consumer) {
            word.store(self.ours, Ordering::Release);
        }
    }

    /// As producer: how many entries fit.
    fn room(&self) -> usize {
        let taken = self.memory.word(self.consumer).map_or(self.ours, |word| word.load(Ordering::Acquire));
        self.size.saturating_sub(self.ours.wrapping_sub(taken)) as usize
    }

    /// As producer: writes an entry. To be called at most [`Self::room`] times.
    fn put(&mut self, address: u64, len: u32, options: u32) {
        let at = self.slot();
        if let Some(word) = self.memory.long(at) {
            word.store(address, Ordering::Relaxed);
        }
        if self.entry == DESCRIPTOR {
            for (offset, value) in [(8, len), (12, options)] {
                if let Some(word) = self.memory.word(at + offset) {
                    word.store(value, Ordering::Relaxed);
                }
            }
        }
        self.ours = self.ours.wrapping_add(1);
    }

    /// As producer: shows the kernel the entries that were written.
    fn publish(&self) {
        if let Some(word) = self.memory.word(self.producer) {
            word.store(self.ours, Ordering::Release);
        }
    }

    /// As producer: whether the kernel has taken everything.
    fn is_empty(&self) -> bool {
        self.room() == self.size as usize
    }

    fn needs_wakeup(&self) -> bool {
        let flags = self.memory.word(self.flags).map_or(0, |word| word.load(Ordering::Relaxed));
        flags & libc::XDP_RING_NEED_WAKEUP != 0
    }

    fn slot(&self) -> usize {
        self.entries + (self.ours & (self.size - 1)) as usize * self.entry
    }
}

fn number(size: usize) -> io::Result<u32> {
    u32::try_from(size).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}
