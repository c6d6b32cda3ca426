//! Wires to the data ports of processes: pairs of virtual Ethernet interfaces in a network namespace of the run's own.
//!
//! A subject gets the names of two interfaces, `lan` and `wan` of its `[data]` table; the tester holds the other ends.
//! Every packet of a case crosses a real driver and the subject's real ports.

use std::os::fd::{AsFd, BorrowedFd};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use hallmark_net::frame::{self, FramePort, PortKind, PortSpec};
use hallmark_probe::world::Side;

/// Octets of an Ethernet header.
const ETHERNET: usize = 14;
/// The tester's hosts as the subject sees them: locally administered addresses that no interface has.
const NEAR: [u8; 6] = [2, 0, 0, 0, 0, 1];
const FAR: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// As large as any MTU that a case sets on a data port.
const MTU: &str = "9216";
/// Frames that are taken from a port at once.
const BURST: usize = 256;

/// The wires of a run; each attempt borrows one.
pub struct Wires {
    free: Mutex<Vec<u32>>,
}

impl Wires {
    /// Makes `count` wires. The process must be in a network namespace of its own (see
    /// [`hallmark_net::namespace::enter_private`]): the interfaces go with it.
    ///
    /// # Errors
    /// Gives the reason as text when interfaces cannot be made.
    pub fn make(count: u32) -> Result<Self, String> {
        for n in 0..count {
            for side in [Side::Lan, Side::Wan] {
                let [subject, tester] = names(n, side);
                ip(&["link", "add", &subject, "mtu", MTU, "type", "veth", "peer", "name", &tester, "mtu", MTU])?;
                for name in [&subject, &tester] {
                    // The kernel has nothing to say on these wires.
                    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
                    ip(&["link", "set", name, "arp", "off", "up"])?;
                }
            }
        }
        Ok(Self { free: Mutex::new((0..count).rev().collect()) })
    }

    /// Borrows a wire.
    ///
    /// # Errors
    /// Gives the reason as text when none is left or its ends cannot be opened.
    pub(crate) fn take(&self) -> Result<Wire<'_>, String> {
        let number = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let number = number.ok_or("every wire is in use")?;
        let open = |side| {
            let [_, tester] = names(number, side);
            let spec = PortSpec { own_frames: true, ..PortSpec::new(PortKind::Packet, tester) };
            frame::open(&spec).map_err(|error| error.to_string())
        };
        match (open(Side::Lan), open(Side::Wan)) {
            (Ok(lan), Ok(wan)) => Ok(Wire { wires: self, number, lan, wan }),
            (Err(why), _) | (_, Err(why)) => {
                self.give(number);
                Err(format!("the tester cannot open its end of a wire: {why}"))
            }
        }
    }

    fn give(&self, number: u32) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(number);
    }
}

/// Two interfaces of a subject, from the other end.
pub(crate) struct Wire<'w> {
    wires: &'w Wires,
    number: u32,
    lan: Box<dyn FramePort>,
    wan: Box<dyn FramePort>,
}

impl Wire<'_> {
    /// Names the interfaces in a configuration that has a data plane.
    pub(crate) fn name_in(&self, config: &str) -> String {
        let [lan, _] = names(self.number, Side::Lan);
        let [wan, _] = names(self.number, Side::Wan);
        let ports = format!(
            "[data]\nlan = {{ kind = \"packet\", interface = \"{lan}\" }}\nwan = {{ kind = \"packet\", interface = \"{wan}\" }}\n"
        );
        config.replacen("[data]\n", &ports, 1)
    }

    /// Puts an IP packet on the wire towards the subject.
    pub(crate) fn send(&mut self, side: Side, packet: &[u8]) -> Result<(), String> {
        let ether_type: [u8; 2] = match packet.first().map(|first| first >> 4) {
            Some(6) => [0x86, 0xdd],
            _ => [0x08, 0x00],
        };
        let (to, from) = match side {
            Side::Lan => (FAR, NEAR),
            Side::Wan => (NEAR, FAR),
        };
        let frame = [to.as_slice(), &from, &ether_type, packet].concat();
        match self.port(side).send(&[&frame]) {
            Ok(1) => Ok(()),
            Ok(_) => Err(format!("the wire did not take a packet of {} octets", packet.len())),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Takes the IP packets that have come from the subject on one side.
    pub(crate) fn receive(&mut self, side: Side) -> Result<Vec<Vec<u8>>, String> {
        let mut packets = Vec::new();
        let mut keep = |frame: &[u8]| {
            let ip = frame.get(12..ETHERNET).is_some_and(|kind| matches!(kind, [0x08, 0x00] | [0x86, 0xdd]));
            if ip && let Some(packet) = frame.get(ETHERNET..) {
                packets.push(unpadded(packet));
            }
        };
        self.port(side).receive(BURST, &mut keep).map_err(|error| error.to_string())?;
        Ok(packets)
    }

    /// Lends what becomes readable when a packet has come.
    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.lan.as_fd(), self.wan.as_fd()]
    }

    /// Says how many packets of the subject were lost because the tester was too slow.
    pub(crate) fn lost(&self) -> u64 {
        self.lan.counters().kernel_drops + self.wan.counters().kernel_drops
    }

    fn port(&mut self, side: Side) -> &mut dyn FramePort {
        match side {
            Side::Lan => &mut *self.lan,
            Side::Wan => &mut *self.wan,
        }
    }
}

impl Drop for Wire<'_> {
    fn drop(&mut self) {
        self.wires.give(self.number);
    }
}

/// Names the subject's end and the tester's.
fn names(number: u32, side: Side) -> [String; 2] {
    let letter = match side {
        Side::Lan => 'l',
        Side::Wan => 'w',
    };
    [format!("hm{letter}{number}s"), format!("hm{letter}{number}t")]
}

/// Takes away what Ethernet adds to short frames. What is too short or says that it is longer is left as it is.
fn unpadded(packet: &[u8]) -> Vec<u8> {
    let length = match packet {
        [first, _, high, low, ..] if first >> 4 == 4 => usize::from(u16::from_be_bytes([*high, *low])),
        [first, _, _, _, high, low, ..] if first >> 4 == 6 => 40 + usize::from(u16::from_be_bytes([*high, *low])),
        _ => packet.len(),
    };
    packet.get(..length).unwrap_or(packet).to_vec()
}

fn ip(words: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(words).output().map_err(|error| format!("ip (install iproute2): {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_of_short_frames_is_taken_away_and_nothing_else() {
        let mut short = vec![0x45, 0, 0, 21];
        short.resize(46, 0);
        assert_eq!(unpadded(&short).len(), 21);
        let mut six = vec![0x60, 0, 0, 0, 0, 4];
        six.resize(46, 0);
        assert_eq!(unpadded(&six).len(), 44);
        let lies = [0x45, 0, 0xff, 0xff, 1];
        assert_eq!(unpadded(&lies), lies);
    }
}
