//! Repairs that defects apply to octets which a conforming node refuses.
//!
//! The decoders are strict. A node with a lenient defect behaves as if it had read on all the same: this rewrites the
//! octets into what it believes to have seen.

use hallmark_wire::isakmp::PayloadType;

use crate::behaviour::{Behaviour, Defect};

/// Rewrites a payload chain as the switched-on defects read it; `None` when none of them is on.
pub(super) fn chain(first: PayloadType, octets: &[u8], behaviour: &Behaviour) -> Option<Vec<u8>> {
    let clamps = behaviour.has(Defect::IkePayloadLengthClamped);
    let reserved = behaviour.has(Defect::IkeAcceptsReservedNonzero);
    let dangling = behaviour.has(Defect::IkeAcceptsDanglingNext);
    let counts = behaviour.has(Defect::IkeTransformCountIgnored);
    if !(clamps || reserved || dangling || counts) {
        return None;
    }
    let mut repaired = octets.to_vec();
    let mut kind = first;
    let mut at = 0_usize;
    let mut before = None;
    while kind != PayloadType::NONE {
        let Some(remaining) = repaired.len().checked_sub(at).filter(|&left| left >= 4) else {
            // The chain ends here although it announces more.
            if let (true, Some(before)) = (dangling, before) {
                set(&mut repaired, before, 0);
            }
            break;
        };
        let next = PayloadType(get(&repaired, at));
        if reserved {
            set(&mut repaired, at + 1, 0);
        }
        let mut length = usize::from(get(&repaired, at + 2)) << 8 | usize::from(get(&repaired, at + 3));
        if length > remaining {
            if !clamps {
                break;
            }
            length = remaining;
            let field = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
            set(&mut repaired, at + 2, field[0]);
            set(&mut repaired, at + 3, field[1]);
        }
        if length < 4 {
            break;
        }
        if counts && kind == PayloadType::SA {
            transform_count(&mut repaired, at, length);
        }
        before = Some(at);
        at += length;
        kind = next;
    }
    Some(repaired)
}

/// Writes the number of transforms that are there into the first proposal of an SA payload.
fn transform_count(octets: &mut [u8], sa: usize, length: usize) {
    let proposal = sa + 12;
    let spi = usize::from(get(octets, proposal + 6));
    let mut at = proposal + 8 + spi;
    let mut count = 0_u8;
    while at + 4 <= sa + length {
        let step = usize::from(get(octets, at + 2)) << 8 | usize::from(get(octets, at + 3));
        if step < 4 {
            break;
        }
        count = count.saturating_add(1);
        at += step;
    }
    set(octets, proposal + 7, count);
}

fn get(octets: &[u8], at: usize) -> u8 {
    octets.get(at).copied().unwrap_or(0)
}

fn set(octets: &mut [u8], at: usize, value: u8) {
    if let Some(octet) = octets.get_mut(at) {
        *octet = value;
    }
}
