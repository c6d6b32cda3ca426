//! From a captured frame to its IP packet.

use super::link_type;

/// Ethernet types.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
/// VLAN tags that are looked through at most.
const TAGS_MAX: usize = 4;

/// Strips what is before the IP packet; nothing for frames that carry something else, and for unknown link types.
///
/// Padding behind the packet stays.
#[must_use]
pub fn ip_payload(link_type: u16, frame: &[u8]) -> Option<&[u8]> {
    match link_type {
        link_type::ETHERNET => behind_ethertype(frame.get(12..)?),
        link_type::LINUX_SLL => behind_ethertype(frame.get(14..)?),
        link_type::LINUX_SLL2 => {
            let (kind, _) = frame.split_first_chunk::<2>()?;
            let packet = frame.get(20..)?;
            is_ip(u16::from_be_bytes(*kind), packet)
        }
        link_type::NULL => any_ip(frame.get(4..)?),
        // 12 and 14 are what some systems write for 101.
        12 | 14 | link_type::RAW | link_type::IPV4 | link_type::IPV6 => any_ip(frame),
        _ => None,
    }
}

fn behind_ethertype(mut rest: &[u8]) -> Option<&[u8]> {
    for _ in 0..TAGS_MAX {
        let (kind, behind) = rest.split_first_chunk::<2>()?;
        match u16::from_be_bytes(*kind) {
            VLAN | SERVICE_VLAN => rest = behind.get(2..)?,
            kind => return is_ip(kind, behind),
        }
    }
    None
}

fn is_ip(kind: u16, packet: &[u8]) -> Option<&[u8]> {
    matches!(kind, IPV4 | IPV6).then_some(packet).filter(|packet| !packet.is_empty())
}

fn any_ip(packet: &[u8]) -> Option<&[u8]> {
    matches!(packet.first()? >> 4, 4 | 6).then_some(packet)
}
