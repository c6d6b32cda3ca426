//! What left the ports of a member.

use hallmark_evidence::ladder;
use hallmark_probe::data::{EspSeen, Opener};
use hallmark_probe::world::{Carried, Side};

/// Everything that left both ports in some time, without dummy packets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Passed {
    /// Towards the LAN.
    pub lan: Vec<Carried>,
    /// Towards the WAN.
    pub wan: Vec<Carried>,
}

impl Passed {
    /// Lends what left one side.
    #[must_use]
    pub const fn of(&mut self, side: Side) -> &mut Vec<Carried> {
        match side {
            Side::Lan => &mut self.lan,
            Side::Wan => &mut self.wan,
        }
    }

    /// Gives the packets that left one side.
    #[must_use]
    pub fn packets(&self, side: Side) -> Vec<&[u8]> {
        let carried = match side {
            Side::Lan => &self.lan,
            Side::Wan => &self.wan,
        };
        carried.iter().map(|carried| carried.packet.as_slice()).collect()
    }

    /// Tells whether nothing left either side.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lan.is_empty() && self.wan.is_empty()
    }

    /// Opens what left the WAN; `None` in the place of what cannot be opened.
    #[must_use]
    pub fn opened(&self, opener: &Opener) -> Vec<Option<EspSeen>> {
        self.wan.iter().map(|carried| opener.open(carried.at, &carried.packet).ok()).collect()
    }

    /// Says in words what left one side.
    #[must_use]
    pub fn describe(&self, side: Side) -> String {
        match self.packets(side).as_slice() {
            [] => format!("nothing towards the {side}"),
            packets => {
                let words: Vec<String> = packets.iter().take(4).map(|packet| describe(packet)).collect();
                let more = if packets.len() > 4 { format!(" and {} more", packets.len() - 4) } else { String::new() };
                format!("{}{more} towards the {side}", words.join(", "))
            }
        }
    }
}

/// Says in words what a packet of the data plane is.
pub(super) fn describe(packet: &[u8]) -> String {
    use hallmark_wire::ip;
    match ip::route(packet) {
        Ok(route) if route.protocol == ip::protocol::UDP && !route.is_fragment => {
            format!("UDP in clear, {} octets", packet.len())
        }
        Ok(route) if route.protocol == ip::protocol::ESP => ladder::summary(packet),
        _ => format!("{} in clear", ladder::summary(packet)),
    }
}
