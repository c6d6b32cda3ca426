//! Path MTU: what fits, what is done with what does not, and what is learned from ICMP errors about ESP packets.
//!
//! With preserved addresses such errors go to the hosts behind this member, which know nothing of ESP. The member
//! reads them on their way, remembers the path MTU, and tells the hosts what fits when they send too much again.
//! Facts: RFC 1191, 4301 §8.2, 8201; esp.md §12-§13.

mod table;

use std::net::IpAddr;
use std::sync::Arc;

use hallmark_core::Instant;
use hallmark_crypto::esp::Transform;
use hallmark_wire::ip::{Checksum, checksum, protocol};

use crate::behaviour::{Behaviour, Defect, Variant};
use crate::classifier::{addr, addresses};
use crate::config::{FragmentWhere, PmtuConfig};
use crate::header::{Header, V6_LEN};
use crate::status::PmtuStatus;
use table::{Entry, Table};

/// The MTU that every IPv6 link has.
pub const V6_MINIMUM: u16 = 1280;

/// How large a packet may be on one path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fit {
    /// Longest packet on the wire.
    pub path_mtu: u16,
    /// Longest packet before protection; the same for packets in clear.
    pub inner_max: usize,
    protected: bool,
}

impl Fit {
    /// Computes what fits behind an outer header: N(M) of esp.md §12.
    #[must_use]
    pub fn protected(
        transform: Transform,
        outer_version4: bool,
        path_mtu: u16,
        stamp_len: usize,
        behaviour: &Behaviour,
    ) -> Self {
        let outer = if outer_version4 { 20 } else { V6_LEN };
        let stamp_len = if behaviour.has(Defect::StampForgottenInSize) { 0 } else { stamp_len };
        let room = usize::from(path_mtu).saturating_sub(outer);
        let inner_max = transform.max_payload(room).saturating_sub(stamp_len);
        Self { path_mtu, inner_max, protected: true }
    }

    /// What fits of packets that stay in clear.
    #[must_use]
    pub fn clear(path_mtu: u16) -> Self {
        Self { path_mtu, inner_max: usize::from(path_mtu), protected: false }
    }
}

/// What to do with a packet because of its size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    /// It fits.
    Fits,
    /// Cut it into pieces of so many octets, each to be sent like a packet of its own.
    CutBefore(usize),
    /// Protect it as it is and cut the ESP packet into pieces of so many octets.
    CutAfter(usize),
    /// Drop it.
    Refuse,
}

/// What to do with a packet, and the MTU to tell its sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// What to do.
    pub size: Size,
    /// The MTU of the ICMP error to send, if one is due.
    pub tell: Option<u16>,
}

/// Decides about a packet by its size (RFC 4301 §8.2.1; esp.md §13).
///
/// `may_cut` allows to cut packets with DF (the override of the operator, or DF cleared outside).
#[must_use]
pub fn decide(header: &Header, fit: Fit, cut: FragmentWhere, may_cut: bool, behaviour: &Behaviour) -> Verdict {
    let mut fit = fit;
    if behaviour.has(Defect::EdgeOneTooEarly) {
        fit.inner_max = fit.inner_max.saturating_sub(1);
    }
    let late = usize::from(behaviour.has(Defect::EdgeOneTooLate));
    if header.len <= fit.inner_max + late || behaviour.has(Defect::OversizeSent) {
        return Verdict { size: Size::Fits, tell: None };
    }
    if header.version4 { decide_v4(header, fit, cut, may_cut, behaviour) } else { decide_v6(header, fit, behaviour) }
}

fn decide_v4(header: &Header, fit: Fit, cut: FragmentWhere, may_cut: bool, behaviour: &Behaviour) -> Verdict {
    let inner_max = fit.inner_max.min(usize::from(u16::MAX)) as u16;
    let mtu = announced(inner_max, fit, behaviour);
    // REQ ESP-081
    if header.dont_fragment && !may_cut && !behaviour.has(Defect::DfFragmented) {
        return Verdict { size: Size::Refuse, tell: Some(mtu) };
    }
    // REQ ESP-082
    let tell = behaviour.has(Defect::IcmpForDfZero).then_some(mtu);
    let after = cut == FragmentWhere::After || behaviour.has(Defect::FragmentBeforeIsAfter);
    let size = if behaviour.has(Defect::DfZeroDropped) {
        Size::Refuse
    } else if after && fit.protected {
        Size::CutAfter(usize::from(fit.path_mtu))
    } else if behaviour.has(Defect::FragmentsTooBig) {
        Size::CutBefore(usize::from(fit.path_mtu))
    } else if fit.inner_max < header.payload_at + 8 {
        Size::Refuse
    } else {
        Size::CutBefore(fit.inner_max)
    };
    Verdict { size, tell }
}

fn decide_v6(header: &Header, fit: Fit, behaviour: &Behaviour) -> Verdict {
    if behaviour.has(Defect::Ipv6Fragmented) {
        return Verdict { size: Size::CutBefore(fit.inner_max), tell: None };
    }
    // Nobody may be asked for less than every link carries; then the ESP packet is cut here, as its source would.
    if fit.protected && header.len <= usize::from(V6_MINIMUM) {
        return Verdict { size: Size::CutAfter(usize::from(fit.path_mtu)), tell: None };
    }
    // REQ ESP-083
    let inner_max = fit.inner_max.min(usize::from(u16::MAX)) as u16;
    let below = behaviour.has(Defect::Icmpv6BelowMinimum);
    let right = if below { inner_max.min(V6_MINIMUM - 1) } else { inner_max.max(V6_MINIMUM) };
    let mtu = announced(right, fit, behaviour);
    Verdict { size: Size::Refuse, tell: Some(mtu).filter(|_| !behaviour.has(Defect::Icmpv6Missing)) }
}

/// The MTU that an ICMP error announces.
fn announced(right: u16, fit: Fit, behaviour: &Behaviour) -> u16 {
    if behaviour.has(Defect::IcmpMtuZero) {
        0
    } else if behaviour.has(Defect::IcmpMtuOfLink) {
        fit.path_mtu
    } else {
        right
    }
}

/// An ICMP error that says that an ESP packet did not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooBig {
    /// The MTU that it announces; 0 from routers older than RFC 1191.
    pub mtu: u32,
    /// Source of the ESP packet.
    pub src: IpAddr,
    /// Destination of the ESP packet.
    pub dst: IpAddr,
    /// Its length.
    pub len: usize,
    /// Its SPI.
    pub spi: u32,
    /// Its sequence number.
    pub sequence: u32,
}

impl TooBig {
    /// Reads such an error (ICMP 3/4, ICMPv6 2/0); `None` if the packet is anything else, its checksum is wrong, or it
    /// does not go to the source of the packet that it is about.
    #[must_use]
    pub fn parse(ip: &[u8], header: &Header) -> Option<Self> {
        if header.is_fragment() {
            return None;
        }
        let message = ip.get(header.payload_at..header.len)?;
        let ([kind, code, _, _, rest @ ..], quoted) = message.split_first_chunk::<8>()?;
        let (src, dst) = addresses(ip, header.version4)?;
        let mtu = match (header.protocol, *kind, *code) {
            (protocol::ICMP, 3, 4) if header.version4 => {
                (checksum(message) == 0).then_some(u32::from(u16::from_be_bytes([rest[2], rest[3]])))?
            }
            (protocol::ICMPV6, 2, 0) if !header.version4 => {
                let mut sum = Checksum::default();
                sum.add(&src.to_be_bytes());
                sum.add(&dst.to_be_bytes());
                sum.add(&(message.len() as u32).to_be_bytes());
                sum.add(&[0, 0, 0, protocol::ICMPV6]);
                sum.add(message);
                (sum.finish() == 0).then_some(u32::from_be_bytes(*rest))?
            }
            _ => return None,
        };
        let quoted = Quoted::parse(quoted, header.version4)?;
        if quoted.src != dst {
            return None;
        }
        let end = |number| addr(number, header.version4);
        let Quoted { len, spi, sequence, .. } = quoted;
        Some(Self { mtu, src: end(quoted.src), dst: end(quoted.dst), len, spi, sequence })
    }
}

/// The beginning of an ESP packet.
struct Quoted {
    src: u128,
    dst: u128,
    len: usize,
    spi: u32,
    sequence: u32,
}

impl Quoted {
    /// Reads a quotation. It may end anywhere behind the sequence number, so its length field is not checked.
    fn parse(ip: &[u8], version4: bool) -> Option<Self> {
        let (src, dst) = addresses(ip, version4)?;
        let (len, at) = if version4 {
            let [first, _, l0, l1, _, _, f0, f1, _, next, ..] = *ip.first_chunk::<20>()?;
            let later = u16::from_be_bytes([f0, f1]) & 0x1fff != 0;
            if first >> 4 != 4 || first & 0x0f < 5 || later || next != protocol::ESP {
                return None;
            }
            (usize::from(u16::from_be_bytes([l0, l1])), usize::from(first & 0x0f) * 4)
        } else {
            let [first, _, _, _, l0, l1, next, ..] = *ip.first_chunk::<V6_LEN>()?;
            let at = match (next, ip.get(V6_LEN..)?.first_chunk::<8>()) {
                (protocol::ESP, _) => V6_LEN,
                // An ESP packet that was cut here, its first piece.
                (protocol::FRAGMENT, Some([protocol::ESP, _, 0, low, ..])) if *low & 0xf8 == 0 => V6_LEN + 8,
                _ => return None,
            };
            if first >> 4 != 6 {
                return None;
            }
            (V6_LEN + usize::from(u16::from_be_bytes([l0, l1])), at)
        };
        let [spi @ .., q0, q1, q2, q3] = *ip.get(at..)?.first_chunk::<8>()?;
        Some(Self { src, dst, len, spi: u32::from_be_bytes(spi), sequence: u32::from_be_bytes([q0, q1, q2, q3]) })
    }
}

/// What came of an ICMP error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Learned {
    /// The path MTU before and after, if it was lowered.
    pub lowered: Option<(u16, u16)>,
    /// Whether the error is not to be forwarded: it is about an own packet, which the host knows nothing of.
    pub consume: bool,
}

/// Remembers path MTUs, for all workers: a clone looks at the same table. No lock is taken to look.
#[derive(Clone, Debug)]
pub struct PathMtus {
    config: PmtuConfig,
    table: Arc<Table>,
    /// Whether nothing that was learned held when the burst began.
    quiet: bool,
}

impl PathMtus {
    /// Makes an empty table. `seed` should be secret.
    #[must_use]
    pub fn new(config: PmtuConfig, seed: u64) -> Self {
        Self { config, table: Arc::new(Table::new(config.entries, seed)), quiet: true }
    }

    /// Begins a burst: what another worker has learned until now holds for it.
    #[inline]
    pub fn begin(&mut self, now: Instant) {
        self.quiet = self.table.holds_until() <= now;
    }

    /// Tells whether nothing that was learned held when the burst began, so that every path has the MTU of the own link.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.quiet
    }

    /// Gives the MTU of the path to a destination: that of the own link unless less was learned lately.
    #[must_use]
    #[inline]
    pub fn path_mtu(&self, now: Instant, dst: u128, version4: bool, link: u16, behaviour: &Behaviour) -> u16 {
        let none = self.table.holds_until() <= now && !behaviour.has(Defect::PmtuNeverAges);
        if none || behaviour.has(Defect::PmtuIgnoredOnSend) {
            return link;
        }
        let dst = if behaviour.has(Defect::PtbForAllDestinations) { 0 } else { dst };
        let found = self.table.find(dst, version4).filter(|entry| self.lives(entry, now, behaviour));
        found.map_or(link, |entry| if behaviour.has(Defect::PtbRaises) { entry.mtu } else { entry.mtu.min(link) })
    }

    /// Learns from an ICMP error. `sent` gives the number of packets that were sent on an own outbound SA with an SPI.
    pub fn learn(
        &mut self,
        now: Instant,
        report: &TooBig,
        link: u16,
        sent: impl Fn(u32) -> Option<u64>,
        behaviour: &Behaviour,
    ) -> Learned {
        let version4 = report.dst.is_ipv4();
        // REQ ESP-084
        let accepted = if version4 { self.config.learn } else { self.config.learn_v6 };
        let accepted = accepted || behaviour.has(Defect::PtbSwitchIgnored);
        if !accepted || behaviour.varies(Variant::PtbNotLearned) {
            return Learned::default();
        }
        // REQ ESP-086: the error names a packet that this member has sent.
        let own = sent(report.spi).is_some_and(|sent| {
            let wrapped = sent > u64::from(u32::MAX);
            wrapped || (1..=sent).contains(&u64::from(report.sequence))
        });
        if !own && !behaviour.has(Defect::PtbForeignSpi) {
            return Learned::default();
        }
        let consume = !behaviour.has(Defect::PtbForwardedToo);
        if behaviour.has(Defect::PtbIgnored) {
            return Learned { lowered: None, consume };
        }
        let Some(mtu) = self.believable(report, version4, behaviour) else {
            return Learned { lowered: None, consume };
        };
        let dst = if behaviour.has(Defect::PtbForAllDestinations) { 0 } else { crate::classifier::number(report.dst) };
        // Two workers that learn at once must not raise what the other has lowered.
        let writer = self.table.write();
        let before = self.path_mtu(now, dst, version4, link, behaviour);
        if mtu > before && !behaviour.has(Defect::PtbRaises) {
            return Learned { lowered: None, consume };
        }
        let entry = Entry { dst, version4, mtu: mtu.max(1), learned: now };
        writer.store(entry, now + self.config.age, |known| !self.lives(known, now, behaviour));
        drop(writer);
        self.quiet = false;
        Learned { lowered: Some((before, mtu)).filter(|_| mtu < before), consume }
    }

    /// Lists what is remembered.
    #[must_use]
    pub fn status(&self, now: Instant, behaviour: &Behaviour) -> Vec<PmtuStatus> {
        let alive = self.table.entries().filter(|entry| self.lives(entry, now, behaviour));
        let mut list: Vec<PmtuStatus> = alive
            .map(|entry| PmtuStatus {
                dst: addr(entry.dst, entry.version4),
                mtu: entry.mtu,
                remaining: (entry.learned + self.config.age).saturating_since(now).as_secs_f64(),
            })
            .collect();
        list.sort_by_key(|entry| entry.dst);
        list
    }

    /// Gives the path MTU that an error makes believable.
    fn believable(&self, report: &TooBig, version4: bool, behaviour: &Behaviour) -> Option<u16> {
        // What was not larger than the MTU did fit.
        if report.mtu as usize >= report.len && !behaviour.has(Defect::PtbRaises) {
            return None;
        }
        let mtu = u16::try_from(report.mtu).unwrap_or(u16::MAX);
        if !version4 {
            // RFC 8201 §4: such an error is to be discarded.
            return (mtu >= V6_MINIMUM || behaviour.has(Defect::PtbBelowFloor)).then_some(mtu);
        }
        let mtu = if mtu == 0 { plateau_below(report.len) } else { mtu };
        Some(if behaviour.has(Defect::PtbBelowFloor) { mtu } else { mtu.max(self.config.floor) })
    }

    /// REQ ESP-085: what was learned holds for a while only, so that a better path is found again.
    fn lives(&self, entry: &Entry, now: Instant, behaviour: &Behaviour) -> bool {
        entry.learned + self.config.age > now || behaviour.has(Defect::PmtuNeverAges)
    }
}

/// Guesses the MTU that an old router does not announce: the next usual one below the length (RFC 1191 §7.1).
fn plateau_below(len: usize) -> u16 {
    const PLATEAUS: [u16; 10] = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68];
    PLATEAUS.into_iter().find(|plateau| usize::from(*plateau) < len).unwrap_or(68)
}

#[cfg(test)]
mod tests;
