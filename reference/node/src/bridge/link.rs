//! Where the link header of a frame ends and its IP packet begins.

/// Octets of two Ethernet addresses.
const ADDRESSES: usize = 12;
const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
const OLD_SERVICE_VLAN: u16 = 0x9100;
const PPPOE: u16 = 0x8864;
const MPLS: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// Splits a frame into its link header and its IP packet, without what Ethernet adds behind a short one. `None` for
/// what is no IP packet.
pub(super) fn split(frame: &[u8], link_header: bool) -> Option<(&[u8], &[u8])> {
    if !link_header {
        return Some((&[], frame));
    }
    let mut at = ADDRESSES;
    let mut kind = pair(frame, at)?;
    // A customer's tag inside a provider's tag is the most that is looked through.
    for _ in 0..2 {
        if matches!(kind, VLAN | SERVICE_VLAN) {
            at += 4;
            kind = pair(frame, at)?;
        }
    }
    let (link, packet) = frame.split_at_checked(at + 2)?;
    let wanted = match kind {
        IPV4 => 4,
        IPV6 => 6,
        _ => return None,
    };
    // What contradicts itself is the pipeline's to refuse, whole.
    let whole = packet.first().is_some_and(|first| first >> 4 == wanted);
    let length = if whole { length(packet) } else { packet.len() };
    Some((link, packet.get(..length).unwrap_or(packet)))
}

/// Tells whether a frame that is no IP packet here may carry one further inside: behind more tags than are looked
/// through, or in PPPoE or MPLS. It cannot be judged, so it must not pass.
pub(super) fn may_hide_ip(frame: &[u8]) -> bool {
    let mut at = ADDRESSES;
    for _ in 0..2 {
        if matches!(pair(frame, at), Some(VLAN | SERVICE_VLAN)) {
            at += 4;
        }
    }
    matches!(pair(frame, at), Some(VLAN | SERVICE_VLAN | OLD_SERVICE_VLAN | PPPOE | MPLS | MPLS_MULTICAST))
}

/// Writes the type that goes with an IP version into a link header: protection may have put the other version around a
/// packet.
pub(super) fn set_version(link: &mut [u8], version: u8) {
    let kind = match version {
        4 => IPV4,
        6 => IPV6,
        _ => return,
    };
    if let Some(place) = link.last_chunk_mut::<2>() {
        *place = kind.to_be_bytes();
    }
}

/// Tells what the header says of the length of its packet.
fn length(packet: &[u8]) -> usize {
    match *packet {
        [first, _, high, low, ..] if first >> 4 == 4 => usize::from(u16::from_be_bytes([high, low])),
        [_, _, _, _, high, low, ..] => 40 + usize::from(u16::from_be_bytes([high, low])),
        _ => packet.len(),
    }
}

fn pair(frame: &[u8], at: usize) -> Option<u16> {
    frame.get(at..at + 2).and_then(|octets| octets.try_into().ok()).map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kinds: &[u8], packet: &[u8]) -> Vec<u8> {
        [&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12][..], kinds, packet].concat()
    }

    #[test]
    fn a_packet_is_found_behind_up_to_two_tags_and_without_its_padding() {
        let mut short = vec![0x45, 0, 0, 21, 9];
        short.resize(46, 0);
        for kinds in [&[8, 0][..], &[0x81, 0, 0, 7, 8, 0], &[0x88, 0xa8, 0, 9, 0x81, 0, 0, 7, 8, 0]] {
            let frame = frame(kinds, &short);
            let (link, packet) = split(&frame, true).unwrap();
            assert_eq!((link.len(), packet), (12 + kinds.len(), &short[..21]));
        }
        let mut six = vec![0x60, 0, 0, 0, 0, 4];
        six.resize(46, 0);
        assert_eq!(split(&frame(&[0x86, 0xdd], &six), true).unwrap().1, &six[..44]);
    }

    #[test]
    fn what_is_no_ip_passes_and_what_lies_about_itself_stays_whole() {
        let three_tags = [0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0, 0x45];
        for kinds in [&[8, 6][..], &[0x81, 0, 0, 7, 8, 6], &three_tags, &[8], &[0x81, 0, 0]] {
            assert_eq!(split(&frame(kinds, &[]), true), None, "{kinds:?}");
        }
        for packet in [&[0x45, 0, 0xff, 0xff, 1][..], &[0x60, 0, 0, 0, 0, 1], &[0x45, 0, 0], &[], &[0x60, 0, 0, 1, 2]] {
            assert_eq!(split(&frame(&[8, 0], packet), true).unwrap().1, packet);
        }
        assert_eq!(split(&[0x45, 1], false), Some((&[][..], &[0x45, 1][..])));
    }

    #[test]
    fn what_may_hide_ip_is_known() {
        let three_tags = [0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0];
        for kinds in
            [&[0x88, 0x64][..], &[0x88, 0x47], &[0x88, 0x48], &[0x91, 0], &[0x81, 0, 0, 7, 0x88, 0x64], &three_tags]
        {
            assert!(may_hide_ip(&frame(kinds, &[])), "{kinds:?}");
        }
        for kinds in [&[8, 6][..], &[0x81, 0, 0, 7, 8, 6], &[0x88, 0xcc], &[8], &[]] {
            assert!(!may_hide_ip(&frame(kinds, &[])), "{kinds:?}");
        }
    }

    #[test]
    fn the_type_follows_the_packet() {
        let mut link = [1, 2, 3, 8, 0];
        set_version(&mut link, 6);
        assert_eq!(link, [1, 2, 3, 0x86, 0xdd]);
        set_version(&mut link, 4);
        assert_eq!(link, [1, 2, 3, 8, 0]);
        set_version(&mut link, 5);
        set_version(&mut [], 4);
        assert_eq!(link, [1, 2, 3, 8, 0]);
    }
}
