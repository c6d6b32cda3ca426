//! The receive ring of a packet socket (TPACKET_V2), memory shared with the kernel.
//!
//! Version 2 and not 3: version 3 hands over a block of frames when it is full or after a millisecond at the earliest,
//! which every quiet flow would feel in each direction.
#![expect(unsafe_code, reason = "frames are read and repaired where the kernel put them")]

use std::io;
use std::mem::offset_of;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use nix::libc::{self, tpacket2_hdr};

use super::offload::HEADER;
use super::sys::{self, Mapping};

/// Room before each frame for the VLAN tag that the kernel took out of it.
const TAG: u32 = 4;
/// What lies before a frame in its slot: header, address, alignment and the room above.
const OVERHEAD: usize = 128;
/// The unit in which the kernel takes its memory for a ring.
const BLOCK: usize = 1 << 16;

/// The slots of the ring, visited in order.
#[derive(Debug)]
pub(super) struct Ring {
    memory: Mapping,
    slot: usize,
    slots: usize,
    next: usize,
    /// Whether a virtio-net header lies in front of each frame.
    virtio: bool,
}

/// A frame in its slot.
pub(super) struct Slot<'a> {
    /// The octets from the Ethernet header on, VLAN tag in place.
    pub(super) frame: &'a mut [u8],
    /// Whether the sender left the transport checksum to its network card.
    pub(super) checksum_open: bool,
    /// Whether the frame was longer than its slot.
    pub(super) cut: bool,
    /// The virtio-net header; zero where frames have none.
    pub(super) virtio: [u8; HEADER],
}

impl Ring {
    /// Gives a packet socket a ring of about `octets` for frames of at most `longest` octets, with a virtio-net header
    /// in front of each if asked for. To be done before the socket is bound.
    pub(super) fn attach(socket: impl AsFd, longest: usize, octets: usize, virtio: bool) -> io::Result<Self> {
        let slot = (longest + OVERHEAD).next_power_of_two().max(2048);
        let block = BLOCK.max(slot);
        let blocks = (octets / block).max(1);
        let slots = blocks * (block / slot);
        sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_VERSION, &1_i32)?;
        sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_RESERVE, &TAG)?;
        if virtio {
            sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1_i32)?;
        }
        let request = libc::tpacket_req {
            tp_block_size: number(block)?,
            tp_block_nr: number(blocks)?,
            tp_frame_size: number(slot)?,
            tp_frame_nr: number(slots)?,
        };
        sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        // Both sizes are powers of two, so slots follow each other without gaps at the ends of blocks.
        let memory = Mapping::of(&socket, block * blocks, 0)?;
        Ok(Self { memory, slot, slots, next: 0, virtio })
    }

    /// Shows the next frame to `use_it` and gives its slot back. Says whether there was one.
    pub(super) fn take(&mut self, use_it: impl FnOnce(Slot<'_>)) -> bool {
        let base = self.next * self.slot;
        let Some(status) = self.memory.word(base + offset_of!(tpacket2_hdr, tp_status)) else { return false };
        // Pairs with the kernel's write barrier: whoever sees the status sees the frame.
        let flags = status.load(Ordering::Acquire);
        if flags & libc::TP_STATUS_USER == 0 {
            return false;
        }
        let field = |offset| self.memory.word(base + offset).map_or(0, |word| word.load(Ordering::Relaxed));
        let on_wire = field(offset_of!(tpacket2_hdr, tp_len));
        let kept = field(offset_of!(tpacket2_hdr, tp_snaplen)) as usize;
        let [mac, _network] = halves(field(offset_of!(tpacket2_hdr, tp_mac)));
        let [tag, protocol] = halves(field(offset_of!(tpacket2_hdr, tp_vlan_tci)));
        let tagged = flags & libc::TP_STATUS_VLAN_VALID != 0;
        let protocol = if flags & libc::TP_STATUS_VLAN_TPID_VALID != 0 { protocol } else { 0x8100 };
        let room = if tagged { TAG as usize } else { 0 };
        let start = base + usize::from(mac).saturating_sub(room);
        let fits = usize::from(mac) >= room && usize::from(mac) + kept <= self.slot;
        let mut virtio = [0; HEADER];
        if self.virtio && usize::from(mac) >= HEADER {
            // SAFETY: the slot is ours until it is given back below; the borrow ends before the next one begins.
            let header = unsafe { self.memory.octets(base + usize::from(mac) - HEADER, HEADER) };
            if let Some(header) = header {
                virtio.copy_from_slice(header);
            }
        }
        let frame = if fits {
            // SAFETY: the status says that the slot is ours until it is given back below, and `fits` keeps inside it.
            unsafe { self.memory.octets(start, kept + room) }
        } else {
            None
        };
        if let Some(frame) = frame {
            if tagged {
                put_tag_back(frame, protocol, tag);
            }
            let checksum_open = flags & libc::TP_STATUS_CSUMNOTREADY != 0;
            use_it(Slot { frame, checksum_open, cut: on_wire as usize > kept, virtio });
        }
        if let Some(status) = self.memory.word(base) {
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        }
        self.next = (self.next + 1) % self.slots;
        true
    }
}

/// Moves both addresses to the front of the frame, over the room kept for it, and writes the tag behind them.
fn put_tag_back(frame: &mut [u8], protocol: u16, tag: u16) {
    if frame.len() < 16 {
        return;
    }
    frame.copy_within(4..16, 0);
    let mut octets = [0; 4];
    octets[..2].copy_from_slice(&protocol.to_be_bytes());
    octets[2..].copy_from_slice(&tag.to_be_bytes());
    frame[12..16].copy_from_slice(&octets);
}

/// Splits a word into the two 16-bit fields that follow each other in memory.
const fn halves(word: u32) -> [u16; 2] {
    let [a, b, c, d] = word.to_ne_bytes();
    [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])]
}

fn number(size: usize) -> io::Result<u32> {
    u32::try_from(size).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_goes_back_between_the_addresses_and_the_type() {
        let mut frame = vec![0xff; 4];
        frame.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 8, 0, 0x45]);
        put_tag_back(&mut frame, 0x88a8, 0x2007);
        assert_eq!(frame, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x88, 0xa8, 0x20, 7, 8, 0, 0x45]);
    }

    #[test]
    fn fields_of_sixteen_bits_keep_their_order_in_memory() {
        let word = u32::from_ne_bytes([1, 2, 3, 4]);
        assert_eq!(halves(word), [u16::from_ne_bytes([1, 2]), u16::from_ne_bytes([3, 4])]);
    }
}
