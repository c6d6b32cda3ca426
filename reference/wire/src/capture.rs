//! Packet captures: a reader for pcap and pcapng, a writer for pcapng, and the way from a captured frame to its IP
//! packet.

mod link;
mod pcap;
mod pcapng;
mod writer;

use hallmark_core::{Code, UnixTime};

use crate::error::{DecodeError, Layer};

pub use link::ip_payload;
pub use writer::PcapngWriter;

/// Numbers of the link types that a capture may have.
pub mod link_type {
    /// BSD loopback: the address family in the byte order of the capturing machine.
    pub const NULL: u16 = 0;
    /// Ethernet.
    pub const ETHERNET: u16 = 1;
    /// IPv4 or IPv6 without anything before it.
    pub const RAW: u16 = 101;
    /// Linux "any" device, version 1.
    pub const LINUX_SLL: u16 = 113;
    /// IPv4 without anything before it.
    pub const IPV4: u16 = 228;
    /// IPv6 without anything before it.
    pub const IPV6: u16 = 229;
    /// Linux "any" device, version 2.
    pub const LINUX_SLL2: u16 = 276;
}

/// Kinds of secrets that a capture can carry for whoever opens it.
pub mod secrets_kind {
    /// TLS key log.
    pub const TLS_KEY_LOG: u32 = 0x544c_534b;
    /// SSH key log.
    pub const SSH_KEY_LOG: u32 = 0x5353_484b;
    /// WireGuard key log.
    pub const WIREGUARD_KEY_LOG: u32 = 0x5747_4b4c;
}

/// One captured frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CapturedPacket {
    /// When it was captured.
    pub at: UnixTime,
    /// Index of its interface in [`Capture::interfaces`].
    pub interface: u32,
    /// What its first octet belongs to ([`link_type`]).
    pub link_type: u16,
    /// The octets that were kept.
    pub octets: Vec<u8>,
    /// How long it was on the wire.
    pub original_len: u32,
    /// A remark beside it (pcapng only).
    pub comment: Option<String>,
}

/// Where frames were captured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its name, if the capture tells.
    pub name: Option<String>,
    /// Link type of its frames.
    pub link_type: u16,
}

/// Everything that a capture file holds.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Capture {
    /// The interfaces, those of all sections one after the other.
    pub interfaces: Vec<Interface>,
    /// The frames in the order of the file.
    pub packets: Vec<CapturedPacket>,
    /// Secrets with their kind ([`secrets_kind`]).
    pub secrets: Vec<(u32, Vec<u8>)>,
    /// Why reading stopped before the end of the file, as after a crash of the writer.
    pub broken_tail: Option<DecodeError>,
}

/// Reads all frames of a pcap (either byte order, microseconds or nanoseconds) or pcapng file.
///
/// # Errors
/// When the file is neither, or breaks off or contradicts itself anywhere.
pub fn read(file: &[u8]) -> Result<Vec<CapturedPacket>, DecodeError> {
    let capture = read_capture(file)?;
    match capture.broken_tail {
        Some(error) => Err(error),
        None => Ok(capture.packets),
    }
}

/// Reads a pcap or pcapng file with interfaces and secrets, and keeps what comes before a broken tail.
///
/// # Errors
/// When the file is neither.
pub fn read_capture(file: &[u8]) -> Result<Capture, DecodeError> {
    let magic = file.first_chunk::<4>().ok_or(fault("capture.truncated", 0, 4, file.len()))?;
    let mut capture = Capture::default();
    let read = match u32::from_be_bytes(*magic) {
        pcapng::SECTION_HEADER => pcapng::read(file, &mut capture),
        magic => match pcap::Format::of(magic) {
            Some(format) => pcap::read(file, format, &mut capture),
            None => return Err(fault("capture.magic", 0, 4, file.len())),
        },
    };
    capture.broken_tail = read.err();
    Ok(capture)
}

/// Reads numbers of either byte order.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    octets: &'a [u8],
    /// Offset of `octets` in the file.
    base: usize,
    big_endian: bool,
}

impl<'a> Cursor<'a> {
    const fn new(octets: &'a [u8], base: usize, big_endian: bool) -> Self {
        Self { octets, base, big_endian }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.octets.split_at_checked(len) else {
            return Err(fault("capture.truncated", self.base, len, self.octets.len()));
        };
        self.octets = rest;
        self.base = self.base.saturating_add(len);
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let error = fault("capture.truncated", self.base, N, self.octets.len());
        self.take(N)?.first_chunk::<N>().copied().ok_or(error)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        let octets = self.array()?;
        Ok(if self.big_endian { u16::from_be_bytes(octets) } else { u16::from_le_bytes(octets) })
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        let octets = self.array()?;
        Ok(if self.big_endian { u32::from_be_bytes(octets) } else { u32::from_le_bytes(octets) })
    }
}

const fn fault(code: &'static str, offset: usize, need: usize, have: usize) -> DecodeError {
    DecodeError { code: Code(code), layer: Layer::Capture, offset, need, have }
}

#[cfg(test)]
mod tests;
