//! Calls to the kernel and memory shared with it, for which no library has a safe form.
//!
//! Everything here is a thin wrapper with the checks that make it safe to call; decisions are made by the callers.
#![expect(unsafe_code, reason = "system calls and shared memory that neither nix, libc nor socket2 wrap safely")]

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// The most frames that one system call sends.
pub(crate) const SEND_BURST: usize = 64;

/// Memory that the kernel sees too. Offsets are checked; words are atomic because the kernel changes them meanwhile.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone and does not depend on the thread that made it.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps the memory behind a socket.
    pub(crate) fn of(fd: impl AsFd, len: usize, offset: i64) -> io::Result<Self> {
        let length = NonZeroUsize::new(len).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing that exists.
        let base = unsafe { mmap(None, length, access, flags, fd, offset) }?;
        Ok(Self { base: base.cast(), len })
    }

    /// Makes memory of zeros, aligned to a page.
    pub(crate) fn anonymous(len: usize) -> io::Result<Self> {
        let length = NonZeroUsize::new(len).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_POPULATE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing that exists.
        let base = unsafe { mmap_anonymous(None, length, access, flags) }?;
        Ok(Self { base: base.cast(), len })
    }

    /// Tells where the memory lies, for the kernel.
    pub(crate) fn address(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    /// Tells the size in octets.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Gives the 32-bit word at an offset; `None` when it is not aligned or not inside.
    pub(crate) fn word(&self, offset: usize) -> Option<&AtomicU32> {
        if !offset.is_multiple_of(align_of::<AtomicU32>()) || offset.checked_add(4)? > self.len {
            return None;
        }
        // SAFETY: the range check above keeps the pointer inside the mapping.
        let at = unsafe { self.base.add(offset) };
        // SAFETY: in bounds and aligned (a mapping begins at a page), alive as long as `self`, and only atomics reach it.
        Some(unsafe { AtomicU32::from_ptr(at.as_ptr().cast()) })
    }

    /// Gives the 64-bit word at an offset; `None` when it is not aligned or not inside.
    pub(crate) fn long(&self, offset: usize) -> Option<&AtomicU64> {
        if !offset.is_multiple_of(align_of::<AtomicU64>()) || offset.checked_add(8)? > self.len {
            return None;
        }
        // SAFETY: the range check above keeps the pointer inside the mapping.
        let at = unsafe { self.base.add(offset) };
        // SAFETY: in bounds and aligned (a mapping begins at a page), alive as long as `self`, and only atomics reach it.
        Some(unsafe { AtomicU64::from_ptr(at.as_ptr().cast()) })
    }

    /// Gives octets of the mapping; `None` when they are not inside.
    ///
    /// # Safety
    /// The kernel must not touch these octets while the slice lives: the ring's own rules say whose they are.
    pub(crate) unsafe fn octets(&mut self, offset: usize, len: usize) -> Option<&mut [u8]> {
        if offset.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: the range check above keeps the pointer inside the mapping.
        let at = unsafe { self.base.add(offset) };
        // SAFETY: in bounds, borrowed from `self` exclusively, and the caller vouches for the kernel.
        Some(unsafe { std::slice::from_raw_parts_mut(at.as_ptr(), len) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: base and length are those of the mapping made by this value, and no borrow of it is left.
        // A failure leaves the memory mapped, which harms nobody.
        let _ = unsafe { munmap(self.base.cast(), self.len) };
    }
}

/// A structure of the kernel for which every pattern of bits is a value.
///
/// # Safety
/// Only for `repr(C)` structures of integers.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: integers, and structures of integers laid out by the kernel's headers.
unsafe impl Plain for c_int {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for libc::tpacket_req {}
// SAFETY: as above.
unsafe impl Plain for libc::tpacket_stats {}
// SAFETY: as above.
unsafe impl Plain for libc::packet_mreq {}
// SAFETY: as above.
unsafe impl Plain for libc::xdp_umem_reg {}
// SAFETY: as above.
unsafe impl Plain for libc::xdp_mmap_offsets {}
// SAFETY: as above.
unsafe impl Plain for libc::xdp_statistics {}
// SAFETY: as above.
unsafe impl Plain for libc::sockaddr_ll {}
// SAFETY: as above.
unsafe impl Plain for libc::sockaddr_xdp {}

/// Sets an option of a socket.
pub(crate) fn set_option<T: Plain>(fd: impl AsFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let size = socklen(size_of::<T>());
    // SAFETY: the pointer and the size are those of a live value, which the kernel only reads.
    let result =
        unsafe { libc::setsockopt(fd.as_fd().as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), size) };
    answer(result).map(|_| ())
}

/// Reads an option of a socket.
pub(crate) fn option<T: Plain>(fd: impl AsFd, level: c_int, name: c_int) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut size = socklen(size_of::<T>());
    // SAFETY: the kernel writes at most `size` octets, which the value has.
    let result =
        unsafe { libc::getsockopt(fd.as_fd().as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut size) };
    answer(result)?;
    // SAFETY: zeroed at first and then partly written; `Plain` says that every pattern of bits is a value.
    Ok(unsafe { value.assume_init() })
}

/// Gives a classic BPF program to a socket as its filter or, with `PACKET_FANOUT_DATA`, as the rule of its group.
pub(crate) fn set_program(fd: impl AsFd, level: c_int, name: c_int, program: &[libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let value = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    let size = socklen(size_of::<libc::sock_fprog>());
    // SAFETY: the kernel copies the program, of which pointer and length are right, and writes nothing.
    let result = unsafe { libc::setsockopt(fd.as_fd().as_raw_fd(), level, name, (&raw const value).cast(), size) };
    answer(result).map(|_| ())
}

/// Binds a socket to an address of a family that the standard library does not know.
pub(crate) fn bind<T: Plain>(fd: impl AsFd, address: &T) -> io::Result<()> {
    let size = socklen(size_of::<T>());
    // SAFETY: the pointer and the size are those of a live value, which the kernel only reads.
    let result = unsafe { libc::bind(fd.as_fd().as_raw_fd(), std::ptr::from_ref(address).cast(), size) };
    answer(result).map(|_| ())
}

/// Sends up to [`SEND_BURST`] frames with one call and says how many were taken. An error concerns the first frame.
pub(crate) fn send_burst(fd: impl AsFd, frames: &[&[u8]]) -> io::Result<usize> {
    let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; SEND_BURST];
    // SAFETY: a header of zeros has no name, no control data and no vectors: a valid value.
    let mut headers: [libc::mmsghdr; SEND_BURST] = unsafe { MaybeUninit::zeroed().assume_init() };
    let count = frames.len().min(SEND_BURST);
    for ((frame, vector), header) in frames.iter().zip(&mut vectors).zip(&mut headers) {
        vector.iov_base = frame.as_ptr().cast_mut().cast();
        vector.iov_len = frame.len();
        header.msg_hdr.msg_iov = std::ptr::from_mut(vector);
        header.msg_hdr.msg_iovlen = 1;
    }
    let count = u32::try_from(count).unwrap_or(0);
    // SAFETY: `count` headers are filled in, each with one vector over a live frame that the kernel only reads.
    let result = unsafe { libc::sendmmsg(fd.as_fd().as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
    answer(result).map(|sent| usize::try_from(sent).unwrap_or(0))
}

/// What to ask of, or tell to, an interface.
#[derive(Clone, Copy, Debug)]
pub(crate) enum InterfaceRequest {
    IsUp,
    SetFlags(libc::c_short),
    Mtu,
    SetMtu(c_int),
    HardwareAddress,
}

/// The answer to an [`InterfaceRequest`]; each accessor goes with the request of its name.
pub(crate) struct InterfaceAnswer(libc::ifreq);

impl InterfaceAnswer {
    pub(crate) fn flags(&self) -> libc::c_short {
        // SAFETY: every member of the union is an integer or an array of them, so any may be read.
        unsafe { self.0.ifr_ifru.ifru_flags }
    }

    pub(crate) fn is_up(&self) -> bool {
        c_int::from(self.flags()) & libc::IFF_UP != 0
    }

    pub(crate) fn mtu(&self) -> c_int {
        // SAFETY: every member of the union is an integer or an array of them, so any may be read.
        unsafe { self.0.ifr_ifru.ifru_mtu }
    }

    pub(crate) fn hardware(&self) -> libc::c_ushort {
        // SAFETY: every member of the union is an integer or an array of them, so any may be read.
        unsafe { self.0.ifr_ifru.ifru_hwaddr }.sa_family
    }

    pub(crate) fn mac(&self) -> [u8; 6] {
        // SAFETY: every member of the union is an integer or an array of them, so any may be read.
        let [a, b, c, d, e, f, ..] = unsafe { self.0.ifr_ifru.ifru_hwaddr }.sa_data;
        [a, b, c, d, e, f].map(|octet| octet.to_ne_bytes()[0])
    }
}

/// Asks an interface of the namespace of this thread.
pub(crate) fn interface(name: &str, request: InterfaceRequest) -> io::Result<InterfaceAnswer> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    interface_beside(socket, name, request)
}

/// Asks an interface of the namespace that a socket is in.
pub(crate) fn interface_beside(
    socket: impl AsFd,
    name: &str,
    request: InterfaceRequest,
) -> io::Result<InterfaceAnswer> {
    let mut message = named(name)?;
    let number = match request {
        InterfaceRequest::IsUp => libc::SIOCGIFFLAGS,
        InterfaceRequest::Mtu => libc::SIOCGIFMTU,
        InterfaceRequest::HardwareAddress => libc::SIOCGIFHWADDR,
        InterfaceRequest::SetFlags(flags) => {
            message.ifr_ifru.ifru_flags = flags;
            libc::SIOCSIFFLAGS
        }
        InterfaceRequest::SetMtu(mtu) => {
            message.ifr_ifru.ifru_mtu = mtu;
            libc::SIOCSIFMTU
        }
    };
    // SAFETY: each of these requests reads and writes one ifreq, which is live.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), number, &raw mut message) };
    answer(result).map(|_| InterfaceAnswer(message))
}

/// Tells how many receive queues a driver has in use, when it says.
pub(crate) fn receive_queues(name: &str) -> io::Result<u32> {
    /// ETHTOOL_GCHANNELS of linux/ethtool.h.
    const GET_CHANNELS: u32 = 0x3c;
    /// `struct ethtool_channels`: command, four maxima, then receive, send, other and combined in use.
    #[repr(C)]
    struct Channels([u32; 9]);
    let mut channels = Channels([0; 9]);
    channels.0[0] = GET_CHANNELS;
    let mut message = named(name)?;
    message.ifr_ifru.ifru_data = (&raw mut channels).cast();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    // SAFETY: the request reads one ifreq and writes one ethtool_channels behind its pointer; both are live.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut message) };
    answer(result)?;
    let [.., receive, _send, _other, combined] = channels.0;
    Ok(receive.saturating_add(combined))
}

/// Makes an open `/dev/net/tun` one queue of a TUN device.
pub(crate) fn become_tun(fd: impl AsFd, name: &str, flags: c_int) -> io::Result<()> {
    let mut message = named(name)?;
    message.ifr_ifru.ifru_flags =
        libc::c_short::try_from(flags).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the request reads and writes one ifreq, which is live.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TUNSETIFF, &raw mut message) };
    answer(result).map(|_| ())
}

/// Makes sure that a queue still belongs to a TUN device.
pub(crate) fn is_tun(fd: impl AsFd) -> io::Result<()> {
    let mut message = named("")?;
    // SAFETY: the request writes one ifreq, which is live.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TUNGETIFF, &raw mut message) };
    answer(result).map(|_| ())
}

/// Gives a TUN device the program that chooses the queue of a packet.
pub(crate) fn steer_tun(fd: impl AsFd, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut number: c_int = program.as_raw_fd();
    // SAFETY: the request reads one int, which is live.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TUNSETSTEERINGEBPF, &raw mut number) };
    answer(result).map(|_| ())
}

/// Calls bpf(2) with one of its structures, of which all pointers must be valid for the command.
///
/// # Safety
/// Every address in `attributes` must be that of live memory of the size that the command expects.
pub(crate) unsafe fn bpf<T>(command: c_int, attributes: &T) -> io::Result<c_int> {
    let size = size_of::<T>();
    // SAFETY: the kernel reads `size` octets of a live value; the caller vouches for addresses inside it.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes).cast::<c_void>(), size) };
    answer(c_int::try_from(result).unwrap_or(-1))
}

/// Takes ownership of a descriptor that a call has just made.
///
/// # Safety
/// Nothing else may own the descriptor.
pub(crate) unsafe fn own(fd: c_int) -> OwnedFd {
    // SAFETY: the caller vouches for it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn named(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: an ifreq of zeros is a valid value: an empty name and a union of integers.
    let mut message: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    // The last octet stays zero: it ends the name.
    if name.len() >= message.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in message.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(message)
}

fn answer(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn socklen(size: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(size).unwrap_or(0)
}
