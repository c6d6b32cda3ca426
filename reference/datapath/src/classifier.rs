//! Finding the first rule that matches a packet, in a list of thousands.
//!
//! The list is compiled once. Each field (addresses, ports, protocol) is cut into elementary intervals; each interval
//! knows the set of rules that hold it. A lookup finds five intervals by binary search and intersects their sets,
//! first rule first, words without common rules skipped by a summary. Its cost grows with the logarithm of the list up
//! to [`BLOCK`] rules; longer lists are searched block by block, so that memory grows with the list and not with its
//! square. The answers for packets of known flows are remembered elsewhere.
//!
//! Facts: getvpn.md §5.3. IPv4 rules match IPv4 packets only, IPv6 rules IPv6 packets only; a rule that mixes the two,
//! or has a range that ends before it begins, matches nothing. What shows no ports is explained at [`FlowKey`].

mod axis;
mod key;
#[cfg(test)]
mod tests;

use crate::policy::{PortRange, Rule, Selector};

pub use key::FlowKey;

pub(crate) use key::{addr, addresses, number};

use axis::{Axis, Rows};

/// Rules that one block of a compiled list holds.
pub const BLOCK: usize = 1024;

/// A list of rules, compiled for lookups in logarithmic time. First match wins.
#[derive(Debug, Default)]
pub struct Classifier {
    v4: Vec<Block<u32>>,
    v6: Vec<Block<u128>>,
}

impl Classifier {
    /// Compiles a list.
    #[must_use]
    pub fn compile(rules: &[Rule]) -> Self {
        Self::of_selectors(rules.iter().map(|rule| &rule.selector))
    }

    /// Compiles the selectors of a list.
    pub fn of_selectors<'a>(selectors: impl IntoIterator<Item = &'a Selector>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (index, selector) in selectors.into_iter().enumerate() {
            let Some(fields) = Fields::of(selector, index as u32) else { continue };
            if fields.version4 { v4.push(fields) } else { v6.push(fields) }
        }
        Self {
            v4: v4.chunks(BLOCK).map(|rules| Block::new(rules, 0, |n| n as u32, |n| n.checked_add(1))).collect(),
            v6: v6.chunks(BLOCK).map(|rules| Block::new(rules, 0, |n| n, |n| n.checked_add(1))).collect(),
        }
    }

    /// Gives the index of the first rule that matches.
    #[must_use]
    pub fn lookup(&self, key: &FlowKey) -> Option<u32> {
        let (src_port, dst_port) = match key.has_ports {
            true => (u32::from(key.src_port), u32::from(key.dst_port)),
            false => (NO_PORT, NO_PORT),
        };
        if key.version4 {
            let (src, dst) = (key.src as u32, key.dst as u32);
            self.v4.iter().find_map(|block| block.lookup(src, dst, src_port, dst_port, key.protocol))
        } else {
            self.v6.iter().find_map(|block| block.lookup(key.src, key.dst, src_port, dst_port, key.protocol))
        }
    }

    /// Gives the octets that the compiled list takes, near enough.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.v4.iter().map(Block::octets).sum::<usize>() + self.v6.iter().map(Block::octets).sum::<usize>()
    }
}

/// Says whether one selector matches: what the compiled list computes, rule by rule.
#[must_use]
pub fn matches(selector: &Selector, key: &FlowKey) -> bool {
    Fields::of(selector, 0).is_some_and(|fields| {
        let port = |port: u16, (first, last): (u32, u32)| {
            let port = if key.has_ports { u32::from(port) } else { NO_PORT };
            first <= port && port <= last
        };
        fields.version4 == key.version4
            && fields.src.0 <= key.src
            && key.src <= fields.src.1
            && fields.dst.0 <= key.dst
            && key.dst <= fields.dst.1
            && fields.protocol.is_none_or(|protocol| protocol == key.protocol)
            && port(key.src_port, fields.src_ports)
            && port(key.dst_port, fields.dst_ports)
    })
}

/// The place on the port axis of packets that show no ports: only a range over all ports reaches it.
const NO_PORT: u32 = 0x1_0000;

/// A selector as numbers.
struct Fields {
    index: u32,
    version4: bool,
    src: (u128, u128),
    dst: (u128, u128),
    src_ports: (u32, u32),
    dst_ports: (u32, u32),
    protocol: Option<u8>,
}

impl Fields {
    /// Reads a selector; `None` if its addresses are not of one IP version.
    fn of(selector: &Selector, index: u32) -> Option<Self> {
        let ends = [selector.src.first, selector.src.last, selector.dst.first, selector.dst.last];
        let version4 = ends[0].is_ipv4();
        if ends.iter().any(|end| end.is_ipv4() != version4) {
            return None;
        }
        let [src_first, src_last, dst_first, dst_last] = ends.map(number);
        Some(Self {
            index,
            version4,
            src: (src_first, src_last),
            dst: (dst_first, dst_last),
            src_ports: port_ends(selector.src_ports),
            dst_ports: port_ends(selector.dst_ports),
            protocol: selector.protocol,
        })
    }
}

fn port_ends(range: PortRange) -> (u32, u32) {
    let any = range.first == 0 && range.last == u16::MAX;
    (u32::from(range.first), if any { NO_PORT } else { u32::from(range.last) })
}

/// Up to [`BLOCK`] rules of one IP version.
#[derive(Debug)]
struct Block<A> {
    /// The index in the whole list of each rule here.
    indexes: Vec<u32>,
    src: Axis<A>,
    dst: Axis<A>,
    src_ports: Axis<u32>,
    dst_ports: Axis<u32>,
    /// The row of each protocol.
    protocols: Vec<u32>,
    rows: Rows,
}

impl<A: Copy + Ord> Block<A> {
    fn new(rules: &[Fields], least: A, narrow: impl Fn(u128) -> A, after: impl Fn(A) -> Option<A>) -> Self {
        let mut rows = Rows::new(rules.len());
        let pairs = |field: fn(&Fields) -> (u128, u128)| -> Vec<(A, A)> {
            rules.iter().map(|rule| (narrow(field(rule).0), narrow(field(rule).1))).collect()
        };
        let ports = |field: fn(&Fields) -> (u32, u32)| -> Vec<(u32, u32)> { rules.iter().map(field).collect() };
        let after_port = |port: u32| (port < NO_PORT).then_some(port + 1);
        let src = Axis::new(&pairs(|rule| rule.src), least, &after, &mut rows);
        let dst = Axis::new(&pairs(|rule| rule.dst), least, &after, &mut rows);
        let src_ports = Axis::new(&ports(|rule| rule.src_ports), 0, after_port, &mut rows);
        let dst_ports = Axis::new(&ports(|rule| rule.dst_ports), 0, after_port, &mut rows);
        let protocols: Vec<(u32, u32)> = rules
            .iter()
            .map(|rule| rule.protocol.map_or((0, u32::from(u8::MAX)), |number| (u32::from(number), u32::from(number))))
            .collect();
        let protocols = Axis::new(&protocols, 0, |n| Some(n + 1), &mut rows);
        let protocols = (0..=u32::from(u8::MAX)).map(|number| protocols.row(number) as u32).collect();
        rows.finish();
        let indexes = rules.iter().map(|rule| rule.index).collect();
        Self { indexes, src, dst, src_ports, dst_ports, protocols, rows }
    }

    #[inline]
    fn lookup(&self, src: A, dst: A, src_port: u32, dst_port: u32, protocol: u8) -> Option<u32> {
        let rows = [
            self.src.row(src),
            self.dst.row(dst),
            *self.protocols.get(usize::from(protocol))? as usize,
            self.src_ports.row(src_port),
            self.dst_ports.row(dst_port),
        ];
        self.indexes.get(self.rows.first_common(rows)?).copied()
    }

    fn octets(&self) -> usize {
        let address = (self.src.intervals() + self.dst.intervals()) * (size_of::<A>() + 4);
        let port = (self.src_ports.intervals() + self.dst_ports.intervals()) * 8;
        address + port + (self.protocols.len() + self.indexes.len()) * 4 + self.rows.octets()
    }
}
