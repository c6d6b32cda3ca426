//! How the data plane of a group is told what RFC 6407 has no words for: replay protection, pseudotime and direction as
//! GAP attributes, and traffic that stays in clear as an SA TEK payload of its own.
//!
//! The vendors have such forms and do not publish them. These are this project's reference forms, out of the ranges that
//! RFC 6407 leaves to private use; no device of a vendor understands them, and a key server sends them only to groups
//! whose policy asks for them.
//!
//! | GAP attribute | form | value |
//! |---|---|---|
//! | 240 REPLAY | variable, 4 octets | method (1 counter, 2 time), reserved 0, window (16 bits: packets or seconds) |
//! | 241 PSEUDOTIME | variable, 8 octets | the clock of the group in ticks of 10 ms |
//! | 242 D3P-TYPE | basic | type of the IP-D3P time stamp, 1 POSIX time |
//! | 243 D3P-WINDOWSIZE | variable, 4 octets | window of IP-D3P in milliseconds |
//! | 244 GROUP-DIRECTION | basic | numbers of SA Direction: 2 receive-only, 3 symmetric |
//!
//! An SA TEK payload with Protocol-ID 250 holds the selectors alone (IP protocol, source, destination as in an ESP one).
//! Its place among the other SA TEK payloads is its place in the access list: the first entry that matches decides.

use super::{Dialect, Selector, gap_attr};
use crate::error::DecodeError;
use crate::isakmp::{Attribute, AttributeValue, Attributes};
use crate::reader::Reader;
use crate::writer::Writer;

/// Holds what the reference forms of the GAP attributes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DataPolicy {
    /// REPLAY.
    pub replay: Option<ReplayPolicy>,
    /// PSEUDOTIME: ticks of 10 ms.
    pub pseudotime: Option<u64>,
    /// D3P-TYPE.
    pub d3p_type: Option<u16>,
    /// D3P-WINDOWSIZE: milliseconds.
    pub d3p_window_ms: Option<u32>,
    /// GROUP-DIRECTION.
    pub direction: Option<u16>,
}

/// Holds method and window of a REPLAY attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplayPolicy {
    /// [`ReplayPolicy::COUNTER`], [`ReplayPolicy::TIME`] or a number that is not assigned.
    pub method: u8,
    /// Packets or seconds.
    pub window: u16,
}

impl ReplayPolicy {
    /// ESP sequence numbers in a sliding window.
    pub const COUNTER: u8 = 1;
    /// Time stamps of the group's clock.
    pub const TIME: u8 = 2;
}

impl DataPolicy {
    /// The D3P type of POSIX time.
    pub const D3P_POSIX: u16 = 1;
    /// The group direction in which members open what they receive and send in clear.
    pub const RECEIVE_ONLY: u16 = 2;
    /// The group direction that is meant when none is sent.
    pub const SYMMETRIC: u16 = 3;

    /// Reads the reference forms out of a list and ignores everything else; of a repeated one the last counts.
    ///
    /// # Errors
    /// The class whose value does not have its form.
    pub fn read(attributes: &Attributes) -> Result<Self, u16> {
        let mut policy = Self::default();
        for attribute in attributes {
            policy.take(attribute)?;
        }
        Ok(policy)
    }

    /// Takes one attribute and tells whether it is one of these.
    ///
    /// # Errors
    /// Its class, when the value does not have its form.
    pub fn take(&mut self, attribute: &Attribute) -> Result<bool, u16> {
        let class = attribute.class;
        let octets = attribute.octets().unwrap_or_default();
        let basic = match attribute.value {
            AttributeValue::Basic(value) => Ok(value),
            AttributeValue::Variable(_) => Err(class),
        };
        match class {
            gap_attr::REPLAY => match *octets {
                [method, 0, high, low] => {
                    self.replay = Some(ReplayPolicy { method, window: u16::from_be_bytes([high, low]) });
                }
                _ => return Err(class),
            },
            gap_attr::PSEUDOTIME => {
                self.pseudotime = Some(u64::from_be_bytes(octets.try_into().map_err(|_| class)?));
            }
            gap_attr::D3P_TYPE => self.d3p_type = Some(basic?),
            gap_attr::D3P_WINDOW => {
                self.d3p_window_ms = Some(u32::from_be_bytes(octets.try_into().map_err(|_| class)?));
            }
            gap_attr::GROUP_DIRECTION => self.direction = Some(basic?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Gives the attributes in the order of their classes; what is `None` is left out.
    #[must_use]
    pub fn attributes(&self) -> Vec<Attribute> {
        let replay = self.replay.map(|replay| {
            let [high, low] = replay.window.to_be_bytes();
            Attribute::variable(gap_attr::REPLAY, vec![replay.method, 0, high, low])
        });
        let time = self.pseudotime.map(|ticks| Attribute::variable(gap_attr::PSEUDOTIME, ticks.to_be_bytes().to_vec()));
        let kind = self.d3p_type.map(|kind| Attribute::basic(gap_attr::D3P_TYPE, kind));
        let window = self.d3p_window_ms.map(|millis| Attribute::u32(gap_attr::D3P_WINDOW, millis));
        let direction = self.direction.map(|value| Attribute::basic(gap_attr::GROUP_DIRECTION, value));
        [replay, time, kind, window, direction].into_iter().flatten().collect()
    }
}

/// Holds the selectors of traffic that stays in clear: a deny entry of the access list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bypass {
    /// IP protocol of the traffic; 0 matches any.
    pub ip_protocol: u8,
    /// Sources of the traffic.
    pub src: Selector,
    /// Destinations of the traffic.
    pub dst: Selector,
}

impl Bypass {
    /// Reads what follows the Protocol-ID; the selectors fill it exactly.
    pub(super) fn decode(octets: &mut Reader<'_>, dialect: &Dialect) -> Result<Self, DecodeError> {
        let ip_protocol = octets.u8()?;
        let mut src = Selector::decode(octets, dialect)?;
        let mut dst = Selector::decode(octets, dialect)?;
        for selector in [&mut src, &mut dst] {
            selector.data = dialect.sat_data(selector.id_type, &selector.data);
        }
        octets.finish()?;
        Ok(Self { ip_protocol, src, dst })
    }

    pub(super) fn encode(&self, writer: &mut Writer, dialect: &Dialect) {
        writer.u8(self.ip_protocol);
        for selector in [&self.src, &self.dst] {
            let data = dialect.sat_data(selector.id_type, &selector.data);
            Selector { data, ..selector.clone() }.encode(writer, dialect);
        }
    }
}
