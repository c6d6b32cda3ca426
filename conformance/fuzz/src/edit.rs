//! Changing a right message in a few places, as an input says.

use crate::input::Input;

/// Applies up to seven edits; an input without any gives the template itself.
pub(crate) fn edited(template: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let mut octets = template.to_vec();
    for _ in 0..input.u8() % 8 {
        let at = input.below(octets.len().max(1));
        let value = input.u8();
        match input.u8() % 8 {
            0 => set(&mut octets, at, |octet| octet ^ value),
            1 => set(&mut octets, at, |_| value),
            2 => {
                set(&mut octets, at, |_| 0);
                set(&mut octets, at.saturating_add(1), |_| value);
            }
            3 => octets.truncate(at),
            4 => {
                let new = input.take(usize::from(value) % 64).to_vec();
                octets.splice(at..at, new);
            }
            5 => {
                let end = at.saturating_add(usize::from(value)).min(octets.len());
                octets.drain(at..end);
            }
            6 => {
                let end = at.saturating_add(usize::from(value)).min(octets.len());
                let again = octets.get(at..end).unwrap_or_default().to_vec();
                octets.splice(at..at, again);
            }
            _ => set(&mut octets, at, |octet| octet.wrapping_add(value)),
        }
    }
    octets
}

fn set(octets: &mut [u8], at: usize, change: impl FnOnce(u8) -> u8) {
    if let Some(octet) = octets.get_mut(at) {
        *octet = change(*octet);
    }
}
