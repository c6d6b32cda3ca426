//! The calls of bpf(2) that a port needs, each closed by dropping what it gave.
#![expect(unsafe_code, reason = "bpf(2) takes addresses inside its structures")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::libc;

use super::sys;

/// One instruction of an extended BPF program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub(crate) struct Instruction {
    pub(crate) code: u8,
    /// Destination and source, a nibble each.
    pub(crate) registers: u8,
    pub(crate) offset: i16,
    pub(crate) immediate: i32,
}

/// What a program is for; the numbers are those of linux/bpf.h.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum Purpose {
    /// Looks at packets of a socket or a TUN device.
    SocketFilter = 1,
    /// Decides on frames before the kernel's stack sees them.
    Xdp = 6,
}

/// Makes a map from receive queues to AF_XDP sockets.
pub(crate) fn socket_map(entries: u32) -> io::Result<OwnedFd> {
    const MAP_CREATE: libc::c_int = 0;
    const XSKMAP: u32 = 17;
    #[repr(C)]
    struct Attributes {
        kind: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    }
    let attributes = Attributes { kind: XSKMAP, key_size: 4, value_size: 4, max_entries: entries };
    // SAFETY: the structure holds no addresses.
    let fd = unsafe { sys::bpf(MAP_CREATE, &attributes) }?;
    // SAFETY: the call has just made it.
    Ok(unsafe { sys::own(fd) })
}

/// Puts a socket into a map.
pub(crate) fn put_socket(map: impl AsFd, queue: u32, socket: impl AsFd) -> io::Result<()> {
    const MAP_UPDATE: libc::c_int = 2;
    #[repr(C, align(8))]
    struct Attributes {
        map: u32,
        _unused: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let value = number(&socket)?;
    let attributes = Attributes {
        map: number(map)?,
        _unused: 0,
        key: (&raw const queue) as u64,
        value: (&raw const value) as u64,
        flags: 0,
    };
    // SAFETY: key and value are live and have the four octets each that the map was made with.
    unsafe { sys::bpf(MAP_UPDATE, &attributes) }.map(|_| ())
}

/// Loads a program; the kernel checks it first.
pub(crate) fn load(purpose: Purpose, program: &[Instruction], fragmented: bool) -> io::Result<OwnedFd> {
    const PROG_LOAD: libc::c_int = 5;
    /// BPF_F_XDP_HAS_FRAGS: frames may lie in several pieces.
    const HAS_FRAGMENTS: u32 = 1 << 5;
    /// BPF_XDP, the type of attachment that an XDP program expects.
    const ATTACH_XDP: u32 = 37;
    const LICENCE: &[u8] = b"Dual MIT/GPL\0";
    #[repr(C, align(8))]
    struct Attributes {
        purpose: u32,
        instruction_count: u32,
        instructions: u64,
        licence: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
        name: [u8; 16],
        interface: u32,
        expected_attach_type: u32,
    }
    let attributes = Attributes {
        purpose: purpose as u32,
        instruction_count: u32::try_from(program.len()).unwrap_or(u32::MAX),
        instructions: program.as_ptr() as u64,
        licence: LICENCE.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: if fragmented { HAS_FRAGMENTS } else { 0 },
        name: *b"hallmark_port\0\0\0",
        interface: 0,
        expected_attach_type: if purpose == Purpose::Xdp { ATTACH_XDP } else { 0 },
    };
    // SAFETY: instructions and licence are live, the count is that of the slice and the licence ends with a zero.
    let fd = unsafe { sys::bpf(PROG_LOAD, &attributes) }?;
    // SAFETY: the call has just made it.
    Ok(unsafe { sys::own(fd) })
}

/// Attaches an XDP program to an interface, in the mode that every driver has. Dropping the link detaches it, and so
/// does the end of the process.
pub(crate) fn attach_xdp(program: impl AsFd, interface: u32) -> io::Result<OwnedFd> {
    const LINK_CREATE: libc::c_int = 28;
    const ATTACH_XDP: u32 = 37;
    /// XDP_FLAGS_SKB_MODE of linux/if_link.h.
    const GENERIC: u32 = 1 << 1;
    #[repr(C)]
    struct Attributes {
        program: u32,
        interface: u32,
        attach_type: u32,
        flags: u32,
    }
    let attributes = Attributes { program: number(program)?, interface, attach_type: ATTACH_XDP, flags: GENERIC };
    // SAFETY: the structure holds no addresses.
    let fd = unsafe { sys::bpf(LINK_CREATE, &attributes) }?;
    // SAFETY: the call has just made it.
    Ok(unsafe { sys::own(fd) })
}

fn number(fd: impl AsFd) -> io::Result<u32> {
    u32::try_from(fd.as_fd().as_raw_fd()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}
