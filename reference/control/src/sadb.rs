//! The Data-Security SAs of a group member, as data: what a datapath needs to protect and to open packets.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hallmark_core::{Duration, Instant};
use hallmark_crypto::Secret;
use hallmark_wire::gdoi::Selector;
use hallmark_wire::isakmp::IdType;

use crate::config::{DataTransform, EncapsulationMode, SaDirection, write_flow};
use crate::data::overlap;

/// How long before the old SA expires a sender changes to its successor when the policy sets no activation delay.
pub const SWITCH_BEFORE_EXPIRY: Duration = Duration::from_secs(30);

/// Is an inclusive range of addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AddressRange {
    /// The lowest address.
    pub first: IpAddr,
    /// The highest address.
    pub last: IpAddr,
}

/// Selects traffic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrafficSelector {
    /// IP protocol, 0 for any.
    pub ip_protocol: u8,
    /// Source addresses.
    pub src: AddressRange,
    /// Source port, 0 for any.
    pub src_port: u16,
    /// Destination addresses.
    pub dst: AddressRange,
    /// Destination port, 0 for any.
    pub dst_port: u16,
}

/// Says which addresses of the inner packet the outer packet keeps (RFC 6407 section 5.5.1.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AddressPreservation {
    /// Value 1.
    None,
    /// Value 2.
    SourceOnly,
    /// Value 3.
    DestinationOnly,
    /// Value 4, and the default.
    #[default]
    SourceAndDestination,
}

/// Is one Data-Security SA. The same SPI and keys serve both directions and every member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sa {
    /// The SPI.
    pub spi: u32,
    /// Protocol and algorithms.
    pub transform: DataTransform,
    /// TEK_ALGORITHM_KEY, salt included; empty when the transform has none.
    pub encryption_key: Secret,
    /// TEK_INTEGRITY_KEY; empty when the transform has none.
    pub integrity_key: Secret,
    /// The traffic; never empty.
    pub selectors: Vec<TrafficSelector>,
    /// Tunnel or transport mode.
    pub mode: EncapsulationMode,
    /// Who may send.
    pub direction: SaDirection,
    /// What the outer header keeps.
    pub preservation: AddressPreservation,
    /// Whether sequence numbers have 64 bits.
    pub extended_sequence: bool,
    /// Lifetime in kilobytes, when the policy sets one. It is shown, not enforced: volume says nothing about a group.
    pub lifetime_kilobytes: Option<u64>,
    /// The lifetime that the server announced.
    pub lifetime: Duration,
    /// When the keys came.
    pub installed: Instant,
    /// When the SA must not be used any more.
    pub expires: Instant,
    /// When a sender may begin to use it.
    pub activates: Instant,
    /// When a replaced SA is given up before it expires.
    pub deactivates: Option<Instant>,
    /// Counts installations, so that the newest can be told.
    pub serial: u64,
}

impl Sa {
    /// Gives the end of the SA, by expiry or by deactivation.
    #[must_use]
    pub fn ends(&self) -> Instant {
        self.deactivates.map_or(self.expires, |deactivates| deactivates.min(self.expires))
    }

    /// Tells whether incoming packets with this SPI are accepted.
    #[must_use]
    pub fn accepts(&self, now: Instant) -> bool {
        // REQ GDOI-PL-054: members only send with a Sender-Only SA.
        self.direction != SaDirection::SenderOnly && now < self.ends()
    }

    /// Tells whether the SA may be used to send at all, now or later.
    #[must_use]
    pub fn may_send(&self, now: Instant) -> bool {
        self.direction != SaDirection::ReceiverOnly && now < self.ends()
    }
}

/// Says how new SAs take over from the ones that they replace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rollover {
    /// ACTIVATION_TIME_DELAY.
    pub activation: Option<Duration>,
    /// DEACTIVATION_TIME_DELAY.
    pub deactivation: Option<Duration>,
    /// Nothing is rolled over: the SAs come with a registration.
    pub registration: bool,
}

/// Is the set of installed SAs.
#[derive(Clone, Debug, Default)]
pub struct Sadb {
    sas: BTreeMap<u32, Sa>,
    serial: u64,
}

impl Sadb {
    /// Gives the installed SAs in the order of their SPIs.
    pub fn iter(&self) -> impl Iterator<Item = &Sa> {
        self.sas.values()
    }

    /// Finds an SA.
    #[must_use]
    pub fn get(&self, spi: u32) -> Option<&Sa> {
        self.sas.get(&spi)
    }

    /// Gives the number of SAs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sas.len()
    }

    /// Tells whether there is no SA.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sas.is_empty()
    }

    /// Gives the SAs that send now: for every policy (the same set of selectors) one.
    #[must_use]
    pub fn senders(&self, now: Instant) -> Vec<&Sa> {
        let mut chosen: BTreeMap<(u8, &[TrafficSelector]), &Sa> = BTreeMap::new();
        for sa in self.sas.values().filter(|sa| sa.may_send(now)) {
            chosen
                .entry((sa.transform.to_wire().protocol_id, sa.selectors.as_slice()))
                .and_modify(|best| {
                    if prefers(sa, best, now) {
                        *best = sa;
                    }
                })
                .or_insert(sa);
        }
        chosen.into_values().collect()
    }

    /// Gives the SPIs that are accepted now.
    #[must_use]
    pub fn accepted(&self, now: Instant) -> Vec<u32> {
        self.sas.values().filter(|sa| sa.accepts(now)).map(|sa| sa.spi).collect()
    }

    /// Installs SAs that came together. SAs that are there already with the same keys keep their state; only their
    /// lifetime follows the policy. Gives the SPIs that are new.
    pub(crate) fn install(&mut self, new: Vec<Sa>, rollover: Rollover, now: Instant) -> Vec<u32> {
        let mut fresh = Vec::new();
        for mut sa in new {
            if let Some(old) = self.sas.get_mut(&sa.spi)
                && old.encryption_key == sa.encryption_key
                && old.integrity_key == sa.integrity_key
            {
                old.expires = sa.expires;
                old.lifetime = sa.lifetime;
                old.selectors = sa.selectors;
                old.direction = sa.direction;
                continue;
            }
            self.serial += 1;
            sa.serial = self.serial;
            fresh.push(sa);
        }
        let spis: Vec<u32> = fresh.iter().map(|sa| sa.spi).collect();
        if rollover.registration {
            // Keys that came with one registration follow each other by their remaining lifetimes.
            fresh.sort_by_key(|sa| sa.expires);
        }
        for mut sa in fresh {
            // REQ GDOI-PL-041: receivers use new SAs at once, senders after the delay.
            let predecessor = self.predecessor_end(&sa, now);
            sa.activates = match (rollover.activation, predecessor) {
                (_, None) => now,
                (Some(delay), Some(_)) if !rollover.registration => now + delay,
                (_, Some(end)) => (end - SWITCH_BEFORE_EXPIRY).max(now),
            };
            self.sas.insert(sa.spi, sa);
        }
        if let Some(delay) = rollover.deactivation
            && !rollover.registration
            && !spis.is_empty()
        {
            // REQ GDOI-PL-042
            let deactivates = now + delay;
            for sa in self.sas.values_mut().filter(|sa| !spis.contains(&sa.spi)) {
                sa.deactivates = Some(sa.deactivates.map_or(deactivates, |earlier| earlier.min(deactivates)));
            }
        }
        spis
    }

    /// Lets counter-mode SAs that a registration does not mention send no more. Its sender ids are for the keys that the
    /// server has now; under any other key they may be those of another member, with the same vectors.
    pub(crate) fn stop_counting_but(&mut self, spis: &[u32], now: Instant) {
        for sa in self.sas.values_mut().filter(|sa| sa.transform.is_counter_mode() && !spis.contains(&sa.spi)) {
            match sa.direction {
                SaDirection::Symmetric => sa.direction = SaDirection::ReceiverOnly,
                SaDirection::SenderOnly => sa.deactivates = Some(now),
                SaDirection::ReceiverOnly => {}
            }
        }
    }

    /// Shortens every SA to the lifetime that the vendor profile gives to replaced SAs.
    pub(crate) fn shorten(&mut self, now: Instant) {
        for sa in self.sas.values_mut() {
            sa.expires = sa.expires.min(now + shortened(sa.lifetime));
        }
    }

    /// Forgets SAs that were just installed, as a faulty member does that goes on with the old ones alone.
    pub(crate) fn forget_new(&mut self, spis: &[u32]) {
        let old_ones_left = self.sas.keys().any(|spi| !spis.contains(spi));
        if old_ones_left {
            self.sas.retain(|spi, _| !spis.contains(spi));
        }
    }

    pub(crate) fn remove(&mut self, spi: u32) -> Option<Sa> {
        let removed = self.sas.remove(&spi)?;
        self.activate_orphans();
        Some(removed)
    }

    pub(crate) fn remove_protocol(&mut self, protocol_id: u8) -> Vec<u32> {
        let spis: Vec<u32> =
            self.sas.values().filter(|sa| sa.transform.to_wire().protocol_id == protocol_id).map(|sa| sa.spi).collect();
        for spi in &spis {
            self.sas.remove(spi);
        }
        spis
    }

    /// Takes out SAs whose time is over, each with the reason.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<(u32, &'static str)> {
        let ended: Vec<(u32, &'static str)> = self
            .sas
            .values()
            .filter(|sa| sa.ends() <= now)
            .map(|sa| (sa.spi, if sa.expires <= now { "expired" } else { "deactivated" }))
            .collect();
        for (spi, _) in &ended {
            self.sas.remove(spi);
        }
        ended
    }

    /// Gives the next time at which an SA ends.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.sas.values().map(Sa::ends).min()
    }

    /// Gives the time at which the first traffic runs out of keys, if nothing new comes. SAs with other selectors count
    /// as successors when they overlap: a changed access list replaces the one before.
    pub(crate) fn exhausted_at(&self) -> Option<Instant> {
        let mut by_policy: BTreeMap<&[TrafficSelector], Instant> = BTreeMap::new();
        for sa in self.sas.values() {
            let end = by_policy.entry(&sa.selectors).or_insert(Instant::ZERO);
            *end = (*end).max(sa.ends());
        }
        let covered = |selectors: &[TrafficSelector]| {
            by_policy.iter().filter(|(other, _)| overlap(selectors, other)).map(|(_, end)| *end).max()
        };
        by_policy.keys().filter_map(|selectors| covered(selectors)).min()
    }

    fn predecessor_end(&self, sa: &Sa, now: Instant) -> Option<Instant> {
        self.sas
            .values()
            .filter(|old| old.spi != sa.spi && old.may_send(now) && old.selectors == sa.selectors)
            .map(Sa::ends)
            .max()
    }

    /// Lets SAs whose predecessors are gone send at once.
    fn activate_orphans(&mut self) {
        let keep: Vec<(u32, bool)> = self
            .sas
            .values()
            .map(|sa| (sa.spi, self.sas.values().any(|old| old.serial < sa.serial && old.selectors == sa.selectors)))
            .collect();
        for (spi, has_predecessor) in keep {
            if let Some(sa) = self.sas.get_mut(&spi)
                && !has_predecessor
            {
                sa.activates = sa.installed;
            }
        }
    }
}

/// Gives the lifetime that a replaced SA keeps: `max(90 s, min(5 % of the lifetime, 3600 s))`.
#[must_use]
pub fn shortened(lifetime: Duration) -> Duration {
    (lifetime / 20).min(Duration::from_secs(3_600)).max(Duration::from_secs(90))
}

/// An activated SA is better than one that waits; of two activated ones the newer, of two waiting ones the older.
fn prefers(sa: &Sa, best: &Sa, now: Instant) -> bool {
    match (sa.activates <= now, best.activates <= now) {
        (true, false) => true,
        (false, true) => false,
        (true, true) => (sa.activates, sa.serial) > (best.activates, best.serial),
        (false, false) => sa.serial < best.serial,
    }
}

impl AddressRange {
    /// Reads an end of a traffic selector; `None` when the data does not have the form of its type.
    #[must_use]
    pub fn from_selector(selector: &Selector) -> Option<Self> {
        let v4 = |octets: &[u8]| Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?));
        let v6 = |octets: &[u8]| Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?));
        if selector.data.is_empty() {
            // RFC 6407 section 5.5.1 leaves a zero length for "every sender"; the type says which family.
            return match selector.id_type {
                IdType::IPV6_ADDR | IdType::IPV6_SUBNET | IdType::IPV6_RANGE => {
                    Some(Self { first: Ipv6Addr::UNSPECIFIED.into(), last: Ipv6Addr::from(u128::MAX).into() })
                }
                IdType(0) | IdType::IPV4_ADDR | IdType::IPV4_SUBNET | IdType::IPV4_RANGE => {
                    Some(Self { first: Ipv4Addr::UNSPECIFIED.into(), last: Ipv4Addr::BROADCAST.into() })
                }
                _ => None,
            };
        }
        let range = match selector.id_type {
            IdType::IPV4_ADDR | IdType::IPV6_ADDR => {
                let address = selector.ip()?;
                Self { first: address, last: address }
            }
            IdType::IPV4_SUBNET => {
                let (IpAddr::V4(network), bits) = selector.subnet()? else { return None };
                let host = u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
                let first = u32::from(network) & !host;
                Self { first: Ipv4Addr::from(first).into(), last: Ipv4Addr::from(first | host).into() }
            }
            IdType::IPV6_SUBNET => {
                let (IpAddr::V6(network), bits) = selector.subnet()? else { return None };
                let host = u128::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
                let first = u128::from(network) & !host;
                Self { first: Ipv6Addr::from(first).into(), last: Ipv6Addr::from(first | host).into() }
            }
            IdType::IPV4_RANGE => {
                let (first, last) = selector.data.split_at_checked(4)?;
                Self { first: v4(first)?.into(), last: v4(last)?.into() }
            }
            IdType::IPV6_RANGE => {
                let (first, last) = selector.data.split_at_checked(16)?;
                Self { first: v6(first)?.into(), last: v6(last)?.into() }
            }
            _ => return None,
        };
        (range.first <= range.last).then_some(range)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return write!(f, "{}", self.first);
        }
        let bits = match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let host = u32::from(first) ^ u32::from(last);
                (host & host.wrapping_add(1) == 0 && u32::from(first) & host == 0).then(|| host.leading_zeros())
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                let host = u128::from(first) ^ u128::from(last);
                (host & host.wrapping_add(1) == 0 && u128::from(first) & host == 0).then(|| host.leading_zeros())
            }
            _ => None,
        };
        match bits {
            Some(bits) => write!(f, "{}/{bits}", self.first),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl fmt::Display for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_flow(f, self.ip_protocol, [(&self.src, self.src_port), (&self.dst, self.dst_port)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sa(spi: u32, life: u64, now: Instant) -> Sa {
        let any = AddressRange::from_selector(&Selector::any_ipv4()).unwrap();
        Sa {
            spi,
            transform: DataTransform::from_names("esp", "aes128-cbc", Some("hmac-sha256")).unwrap(),
            encryption_key: Secret::new(spi.to_be_bytes().to_vec()),
            integrity_key: Secret::new(vec![]),
            selectors: vec![TrafficSelector { ip_protocol: 0, src: any, src_port: 0, dst: any, dst_port: 0 }],
            mode: EncapsulationMode::Tunnel,
            direction: SaDirection::Symmetric,
            preservation: AddressPreservation::default(),
            extended_sequence: false,
            lifetime_kilobytes: None,
            lifetime: Duration::from_secs(life),
            installed: now,
            expires: now + Duration::from_secs(life),
            activates: now,
            deactivates: None,
            serial: 0,
        }
    }

    fn sending(sadb: &Sadb, at: u64) -> Vec<u32> {
        sadb.senders(Instant::from_secs(at)).iter().map(|sa| sa.spi).collect()
    }

    #[test]
    fn the_sender_keeps_the_old_sa_until_shortly_before_it_expires() {
        let mut sadb = Sadb::default();
        let registration = Rollover { registration: true, ..Rollover::default() };
        sadb.install(vec![sa(1, 100, Instant::ZERO)], registration, Instant::ZERO);
        let at = Instant::from_secs(10);
        assert_eq!(sadb.install(vec![sa(2, 100, at)], Rollover::default(), at), [2]);
        assert_eq!((sending(&sadb, 10), sending(&sadb, 69), sending(&sadb, 70)), (vec![1], vec![1], vec![2]));
        assert_eq!(sadb.accepted(at), [1, 2]);
        assert_eq!(sadb.expire(Instant::from_secs(100)), [(1, "expired")]);
        assert_eq!(sadb.accepted(Instant::from_secs(100)), [2]);
    }

    #[test]
    fn delays_of_the_policy_move_both_ends() {
        let mut sadb = Sadb::default();
        sadb.install(
            vec![sa(1, 100, Instant::ZERO)],
            Rollover { registration: true, ..Rollover::default() },
            Instant::ZERO,
        );
        let at = Instant::from_secs(10);
        let (activation, deactivation) = (Some(Duration::from_secs(5)), Some(Duration::from_secs(20)));
        sadb.install(vec![sa(2, 100, at)], Rollover { activation, deactivation, registration: false }, at);
        assert_eq!((sending(&sadb, 14), sending(&sadb, 15)), (vec![1], vec![2]));
        assert_eq!(sadb.accepted(Instant::from_secs(29)), [1, 2]);
        assert_eq!(sadb.accepted(Instant::from_secs(30)), [2]);
        assert_eq!(sadb.expire(Instant::from_secs(30)), [(1, "deactivated")]);
    }

    #[test]
    fn a_removed_predecessor_lets_its_successor_send() {
        let mut sadb = Sadb::default();
        sadb.install(
            vec![sa(1, 100, Instant::ZERO)],
            Rollover { registration: true, ..Rollover::default() },
            Instant::ZERO,
        );
        let at = Instant::from_secs(10);
        sadb.install(vec![sa(2, 100, at)], Rollover::default(), at);
        assert!(sadb.remove(1).is_some());
        assert_eq!(sending(&sadb, 10), [2]);
    }

    #[test]
    fn the_same_sa_again_keeps_its_place_and_takes_the_new_lifetime() {
        let mut sadb = Sadb::default();
        sadb.install(vec![sa(1, 100, Instant::ZERO)], Rollover::default(), Instant::ZERO);
        let at = Instant::from_secs(10);
        assert!(sadb.install(vec![sa(1, 20, at)], Rollover::default(), at).is_empty());
        assert_eq!(sadb.get(1).map(|sa| (sa.installed, sa.expires)), Some((Instant::ZERO, Instant::from_secs(30))));
    }

    #[test]
    fn counter_mode_sas_that_a_registration_leaves_out_send_no_more_until_they_are_named_again() {
        let gcm = DataTransform::from_names("esp", "aes128-gcm16", None).unwrap();
        let counting = |spi| Sa { transform: gcm, ..sa(spi, 100, Instant::ZERO) };
        let registration = Rollover { registration: true, ..Rollover::default() };
        let mut sadb = Sadb::default();
        sadb.install(vec![counting(1), sa(2, 90, Instant::ZERO)], registration, Instant::ZERO);
        let at = Instant::from_secs(10);
        sadb.stop_counting_but(&[3], at);
        sadb.install(vec![counting(3)], registration, at);
        assert_eq!((sending(&sadb, 10), sadb.accepted(at)), (vec![2], vec![1, 2, 3]), "CBC goes on");
        assert!(sadb.remove(2).is_some());
        assert_eq!(sending(&sadb, 10), [3], "it waits for no SA that cannot send");
        sadb.install(vec![counting(1)], Rollover::default(), at);
        assert!(sadb.get(1).is_some_and(|sa| sa.may_send(at)));
        let sender = Sa { direction: SaDirection::SenderOnly, ..counting(4) };
        sadb.install(vec![sender], Rollover::default(), at);
        sadb.stop_counting_but(&[1, 3], at);
        assert_eq!(sadb.expire(at), [(4, "deactivated")]);
    }

    #[test]
    fn the_shortened_lifetime_has_a_floor_and_a_ceiling() {
        let secs = |lifetime| shortened(Duration::from_secs(lifetime)).as_secs();
        assert_eq!((secs(120), secs(3_600), secs(86_400), secs(30 * 86_400)), (90, 180, 3_600, 3_600));
    }

    #[test]
    fn selectors_become_ranges_and_text() {
        let range = |selector: Selector| AddressRange::from_selector(&selector).map(|range| range.to_string());
        assert_eq!(range(Selector::from_subnet("10.1.0.0".parse().unwrap(), 16)).as_deref(), Some("10.1.0.0/16"));
        assert_eq!(range(Selector::from_ip("fe80::1".parse().unwrap())).as_deref(), Some("fe80::1"));
        assert_eq!(range(Selector::any_ipv4()).as_deref(), Some("0.0.0.0/0"));
        let odd = Selector { id_type: IdType::IPV4_RANGE, port: 0, data: vec![10, 0, 0, 1, 10, 0, 0, 5] };
        assert_eq!(range(odd).as_deref(), Some("10.0.0.1-10.0.0.5"));
        let backwards = Selector { id_type: IdType::IPV4_RANGE, port: 0, data: vec![10, 0, 0, 5, 10, 0, 0, 1] };
        assert_eq!(range(backwards), None);
        assert_eq!(range(Selector { id_type: IdType::IPV4_ADDR, port: 0, data: vec![10, 0, 0] }), None);
        assert_eq!(range(Selector { id_type: IdType::IPV4_SUBNET, port: 0, data: vec![0; 7] }), None);
    }
}
