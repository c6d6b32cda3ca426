//! What a group member hands to its datapath beside the SAs: the access list in order, the protection against replayed
//! data with the clock of the group, and the direction.

use hallmark_core::{Duration, Pseudotime};

use crate::sadb::{Sa, TrafficSelector};

/// Is the protection against replayed data that a group uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Replay {
    /// None.
    #[default]
    None,
    /// ESP sequence numbers in a sliding window of so many packets.
    Counter {
        /// Packets.
        window: u16,
    },
    /// Time stamps of the group's clock (TBAR).
    Time {
        /// How far a stamp may be off, either way.
        window: Duration,
        /// The clock of the group.
        pseudotime: Pseudotime,
    },
    /// Time stamps of the wall clock (IP-D3P).
    D3p {
        /// The whole window, centred on the receiver's clock.
        window: Duration,
    },
}

/// Says what the members of a group do with the SAs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupDirection {
    /// Send protected, accept protected.
    #[default]
    Both,
    /// Send in clear, accept both: the step before a group is switched over (getvpn §5.5).
    ReceiveOnly,
}

/// Is one entry of the access list of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AclRule {
    /// What becomes of the traffic.
    pub action: AclAction,
    /// The traffic.
    pub selector: TrafficSelector,
}

/// Says what becomes of traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AclAction {
    /// It stays in clear.
    Deny,
    /// It is protected by the SAs of this policy, see [`Acl::policy_of`]; without a usable one it is dropped.
    Permit {
        /// The number.
        policy: u32,
    },
}

/// Is the access list of a group, in order: the first entry that matches decides (getvpn §5.3).
///
/// Each list of selectors that shared an SPI is one policy. Policies have numbers, which stay the same over rekeys, so
/// that an SA and its successor are known to carry the same traffic.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Acl {
    rules: Vec<AclRule>,
    policies: Vec<(u32, Vec<TrafficSelector>)>,
    next_policy: u32,
}

/// Is an entry of the access list as the SA payload has it: `None` denies, an SPI permits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) spi: Option<u32>,
    pub(crate) selector: TrafficSelector,
}

impl Acl {
    /// Gives the entries in order.
    #[must_use]
    pub fn rules(&self) -> &[AclRule] {
        &self.rules
    }

    /// Gives the number of the policy whose traffic an SA carries; `None` for an SA whose policy is no longer there.
    #[must_use]
    pub fn policy_of(&self, sa: &Sa) -> Option<u32> {
        self.policies.iter().find(|(_, selectors)| *selectors == sa.selectors).map(|(number, _)| *number)
    }

    /// Takes over a list. `named` has the selectors of each SPI in it, `held` the SAs that are there. A registration brings the whole list. A PUSH does so when a deny entry
    /// is on either list; otherwise it may bring the part that is due, and the rest stays as long as an SA of `held`
    /// carries it.
    pub(crate) fn update(
        &mut self,
        entries: &[Entry],
        named: &[(u32, &[TrafficSelector])],
        held: &[&Sa],
        registration: bool,
    ) {
        let old = std::mem::take(self);
        let mut new = Self { next_policy: old.next_policy, ..Self::default() };
        let selectors_of = |spi: u32| named.iter().find(|(known, _)| *known == spi).map(|(_, selectors)| *selectors);
        for entry in entries {
            let action = match entry.spi {
                None => AclAction::Deny,
                Some(spi) => match selectors_of(spi) {
                    Some(selectors) => AclAction::Permit { policy: new.number_for(&old, selectors) },
                    None => continue,
                },
            };
            new.push(AclRule { action, selector: entry.selector });
        }
        let denies = |rules: &[AclRule]| rules.iter().any(|rule| rule.action == AclAction::Deny);
        let whole = registration || denies(&old.rules) || denies(&new.rules);
        for (number, selectors) in &old.policies {
            let known = new.policies.iter().any(|(other, _)| other == number);
            let replaced = new.policies.iter().any(|(_, other)| overlap(selectors, other));
            let alive = held.iter().any(|sa| sa.selectors == *selectors);
            if whole || known || replaced || !alive {
                continue;
            }
            new.policies.push((*number, selectors.clone()));
            let rules = old.rules.iter().filter(|rule| rule.action == AclAction::Permit { policy: *number });
            rules.for_each(|rule| new.push(*rule));
        }
        // A registration keeps the numbers of SAs that live on beside the new ones: they still open packets.
        let lingering = old.policies.iter().filter(|(_, selectors)| held.iter().any(|sa| sa.selectors == *selectors));
        for (number, selectors) in lingering {
            if !new.policies.iter().any(|(_, other)| other == selectors) {
                new.policies.push((*number, selectors.clone()));
            }
        }
        *self = new;
    }

    /// Finds or makes the number of a policy. A changed list goes on under the number of the one that it replaces, so
    /// that packets under the SA before are still known to belong to it.
    fn number_for(&mut self, old: &Self, selectors: &[TrafficSelector]) -> u32 {
        let same = |known: &[(u32, Vec<TrafficSelector>)]| {
            known.iter().find(|(_, other)| other == selectors).map(|(number, _)| *number)
        };
        if let Some(number) = same(&self.policies) {
            return number;
        }
        let taken = |number: u32| self.policies.iter().any(|(other, _)| *other == number);
        let successor = || {
            let mut candidates =
                old.policies.iter().filter(|(number, other)| !taken(*number) && overlap(selectors, other));
            candidates.next().map(|(number, _)| *number)
        };
        let number = same(&old.policies).or_else(successor).unwrap_or(self.next_policy);
        if number == self.next_policy {
            self.next_policy = self.next_policy.wrapping_add(1);
        }
        self.policies.push((number, selectors.to_vec()));
        number
    }

    /// Adds an entry unless the same one stands in front of it already.
    fn push(&mut self, rule: AclRule) {
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
    }
}

/// Tells whether some traffic matches both lists, as far as addresses say it.
pub(crate) fn overlap(one: &[TrafficSelector], other: &[TrafficSelector]) -> bool {
    let meet = |a: crate::sadb::AddressRange, b: crate::sadb::AddressRange| a.first <= b.last && b.first <= a.last;
    one == other || one.iter().any(|a| other.iter().any(|b| meet(a.src, b.src) && meet(a.dst, b.dst)))
}

impl std::fmt::Display for AclRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.action == AclAction::Deny { "deny " } else { "permit " })?;
        std::fmt::Display::fmt(&self.selector, f)
    }
}
