//! The policy, compiled for questions about packets.

use std::net::IpAddr;

use hallmark_wire::ip::protocol;

use crate::behaviour::{Behaviour, Defect};
use crate::classifier::{Classifier, FlowKey};
use crate::config::Config;
use crate::flow::{Decision, NO_RULE};
use crate::policy::{Action, AddressRange, Policy, PortRange, Rule, Selector};
use crate::reason::Reason;
use crate::status::{Count, RuleStatus};

/// UDP ports of key management (ESP-097).
const CONTROL_PORTS: [u16; 3] = [848, 500, 4500];
const UDP: u8 = 17;

/// Holds the compiled lists.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// Local denies, then the key server's rules.
    merged: Classifier,
    /// The key server's rules alone: what members of the group may send each other.
    group: Classifier,
    /// What passes a closed member.
    exceptions: Classifier,
    exception_rules: Vec<Rule>,
    pub(crate) rules: Vec<LiveRule>,
    local: usize,
    /// The policy numbers in use; their positions are the slots.
    pub(crate) slots: Vec<u32>,
    /// Only under a defect: the key server's permits.
    permits: Option<Classifier>,
    /// The list as it would be without ports, where it has any: what later fragments may belong to.
    portless: Option<Classifier>,
    /// The same without protocols, for fragments that do not tell theirs.
    vague: Option<Classifier>,
    own: Option<(u128, bool)>,
    bypass_own_control: bool,
}

/// One rule with what it decided about.
#[derive(Clone, Debug)]
pub(crate) struct LiveRule {
    pub(crate) rule: Rule,
    pub(crate) local: bool,
    pub(crate) out: Count,
    pub(crate) clear_in: Count,
}

/// What the answer depends on besides the rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Stance {
    /// Before registration, or after it with revert and without keys.
    pub(crate) unregistered: bool,
    /// Before registration only the exceptions pass.
    pub(crate) closes: bool,
    /// Everything is sent in clear.
    pub(crate) sends_clear: bool,
    /// Clear packets of the permit class are accepted.
    pub(crate) accepts_clear: bool,
}

impl Tables {
    /// Compiles the lists. Counts of rules that stay are taken over from `before`.
    pub(crate) fn compile(config: &Config, policy: &Policy, before: &Self, first: bool) -> Self {
        let behaviour = &config.behaviour;
        let mut local: Vec<Rule> = config.local_deny.clone();
        if behaviour.has(Defect::LocalDenyIgnored) {
            local.clear();
        }
        let mut group: Vec<Rule> = policy.rules.clone();
        if behaviour.has(Defect::DenyLostOnRekey) && !first {
            group.retain(|rule| rule.action != Action::Deny);
        }
        if behaviour.has(Defect::DenyFirstRuleOnly) {
            let mut denies = 0;
            group.retain(|rule| {
                denies += u32::from(rule.action == Action::Deny);
                rule.action != Action::Deny || denies == 1
            });
        }
        if behaviour.has(Defect::RuleOrderReversed) {
            group.reverse();
        }
        for rule in local.iter_mut().chain(&mut group) {
            rule.selector = misread(rule.selector, behaviour);
        }
        let mut slots: Vec<u32> = policy.sas.iter().map(|sa| sa.policy).collect();
        slots.extend(group.iter().filter_map(|rule| match rule.action {
            Action::Permit { policy } => Some(policy),
            Action::Deny => None,
        }));
        slots.sort_unstable();
        slots.dedup();
        let rules: Vec<LiveRule> = local
            .iter()
            .map(|rule| (rule, true))
            .chain(group.iter().map(|rule| (rule, false)))
            .map(|(rule, local)| {
                let known = before.rules.iter().find(|live| live.local == local && live.rule == *rule);
                let (out, clear_in) = known.map(|live| (live.out, live.clear_in)).unwrap_or_default();
                LiveRule { rule: rule.clone(), local, out, clear_in }
            })
            .collect();
        let mut merged: Vec<Rule> = rules.iter().map(|live| live.rule.clone()).collect();
        let permits = behaviour.has(Defect::DenyIgnored).then(|| {
            let permits: Vec<Rule> =
                merged.iter().map(|rule| Rule { action: rule.action, selector: without_deny(rule) }).collect();
            Classifier::compile(&permits)
        });
        if behaviour.has(Defect::LocalPermitIgnored) {
            // Matches nothing, and keeps its place.
            for rule in rules_of_local(&mut merged, local.len()) {
                rule.selector = without_deny(&Rule::deny(rule.selector));
            }
        }
        let has_ports = |rule: &Rule| !rule.selector.src_ports.is_any() || !rule.selector.dst_ports.is_any();
        // What a later fragment may belong to: the permits alone, since a deny in front of one may not be meant for it.
        let possible = |protocol: bool| {
            let loose = |rule: &Rule| {
                let kept = rule.selector.protocol.filter(|_| protocol);
                let ports = (PortRange::ANY, PortRange::ANY);
                let selector = Selector { src_ports: ports.0, dst_ports: ports.1, protocol: kept, ..rule.selector };
                let permit = matches!(rule.action, Action::Permit { .. });
                Rule { action: rule.action, selector: if permit { selector } else { without_deny(rule) } }
            };
            Classifier::compile(&merged.iter().map(loose).collect::<Vec<Rule>>())
        };
        let portless = merged.iter().any(has_ports).then(|| possible(true));
        let vague =
            merged.iter().any(|rule| has_ports(rule) || rule.selector.protocol.is_some()).then(|| possible(false));
        Self {
            merged: Classifier::compile(&merged),
            group: Classifier::compile(&group),
            exceptions: Classifier::compile(&config.fail_close_exceptions),
            exception_rules: config.fail_close_exceptions.clone(),
            local: local.len(),
            rules,
            slots,
            permits,
            portless,
            vague,
            own: config.address.map(|address| (crate::classifier::number(address), address.is_ipv4())),
            bypass_own_control: config.bypass_own_control,
        }
    }

    /// Decides about a packet from the LAN (getvpn.md §5.3, §5.6).
    pub(crate) fn decide_out(&self, key: &FlowKey, stance: Stance, behaviour: &Behaviour) -> (Decision, u32) {
        if self.is_own_control(key) && !behaviour.has(Defect::OwnControlEncrypted) {
            if behaviour.has(Defect::OwnControlDropped) && stance.unregistered && stance.closes {
                return (Decision::Drop(Reason::FailClose), NO_RULE);
            }
            return (Decision::Clear, NO_RULE);
        }
        if stance.unregistered {
            return (self.decide_unregistered(key, stance, behaviour), NO_RULE);
        }
        if behaviour.has(Defect::FailCloseKept) && stance.closes && self.is_exception(key) {
            return (Decision::Clear, NO_RULE);
        }
        if !stance.sends_clear && self.may_be_permitted(key, behaviour) {
            return (Decision::Drop(Reason::FragmentPorts), NO_RULE);
        }
        let Some((rule, action)) = self.first(key, behaviour) else {
            return match behaviour.has(Defect::NoMatchDropped) {
                true => (Decision::Drop(Reason::Discarded), NO_RULE),
                false if behaviour.has(Defect::NoMatchEncrypted) => (Decision::Protect(0), NO_RULE),
                false => (Decision::Clear, NO_RULE),
            };
        };
        let decision = match action {
            _ if stance.sends_clear => Decision::Clear,
            Action::Deny => Decision::Clear,
            // Only a key server may permit; a local permit drops, so that nothing leaks.
            Action::Permit { .. } if (rule as usize) < self.local => Decision::Drop(Reason::LocalPermit),
            Action::Permit { policy } => Decision::Protect(self.slot(policy)),
        };
        (decision, rule)
    }

    /// Decides about a clear packet from the WAN: what its answer would be protected with should have protected it.
    // REQ ESP-096 REQ ESP-099
    pub(crate) fn decide_clear_in(&self, key: &FlowKey, stance: Stance, behaviour: &Behaviour) -> (Decision, u32) {
        if self.is_own_control(key) {
            if behaviour.has(Defect::OwnControlDropped) && stance.unregistered && stance.closes {
                return (Decision::Drop(Reason::FailClose), NO_RULE);
            }
            return (Decision::Clear, NO_RULE);
        }
        let swap = if is_multicast(key) {
            behaviour.has(Defect::MulticastRulesSwapped)
        } else {
            !behaviour.has(Defect::InboundNotMirrored)
        };
        let sought = if swap { key.mirrored() } else { *key };
        if stance.unregistered {
            if behaviour.has(Defect::FailCloseInboundOpen) {
                return (Decision::Clear, NO_RULE);
            }
            return (self.decide_unregistered(&sought, stance, behaviour), NO_RULE);
        }
        if !stance.accepts_clear && self.may_be_permitted(&sought, behaviour) {
            return (Decision::Drop(Reason::FragmentPorts), NO_RULE);
        }
        let Some((rule, action)) = self.first(&sought, behaviour) else { return (Decision::Clear, NO_RULE) };
        let decision = match action {
            Action::Deny if behaviour.has(Defect::DenyInboundDropped) => Decision::Drop(Reason::ClearRefused),
            Action::Deny => Decision::Clear,
            Action::Permit { .. } if stance.accepts_clear || behaviour.has(Defect::ClearInboundAccepted) => {
                Decision::Clear
            }
            Action::Permit { policy } => Decision::Protect(self.slot(policy)),
        };
        (decision, rule)
    }

    /// Decides which SAs may have carried an opened packet: addresses are taken as they were sent (esp.md §6.1).
    // REQ ESP-054
    pub(crate) fn decide_opened(&self, key: &FlowKey) -> (Decision, u32) {
        let Some(index) = self.group.lookup(key) else { return (Decision::Drop(Reason::SelectorMismatch), NO_RULE) };
        let rule = index.saturating_add(self.local as u32);
        match self.rules.get(rule as usize).map(|live| live.rule.action) {
            Some(Action::Permit { policy }) => (Decision::Protect(self.slot(policy)), rule),
            _ => (Decision::Drop(Reason::SelectorMismatch), rule),
        }
    }

    /// Tells whether a packet is key management of this member itself.
    // REQ ESP-097
    fn is_own_control(&self, key: &FlowKey) -> bool {
        self.bypass_own_control
            && key.protocol == UDP
            && self.own.is_some_and(|(own, version4)| {
                version4 == key.version4
                    && (key.src == own && CONTROL_PORTS.contains(&key.src_port)
                        || key.dst == own && CONTROL_PORTS.contains(&key.dst_port)
                        // Later fragments carry no ports. Those to the member itself do not pass through here.
                        || key.fragment && key.src == own)
            })
    }

    fn decide_unregistered(&self, key: &FlowKey, stance: Stance, behaviour: &Behaviour) -> Decision {
        if !stance.closes {
            return match behaviour.has(Defect::FailOpenDrops) {
                true => Decision::Drop(Reason::FailClose),
                false => Decision::Clear,
            };
        }
        if behaviour.has(Defect::FailopenLeak) {
            return Decision::Clear;
        }
        if behaviour.has(Defect::DenyInFailcloseOnlyLocal)
            && self.merged.lookup(key).is_some_and(|index| (index as usize) < self.local)
        {
            return Decision::Clear;
        }
        // A local deny is compared with the exceptions too, so they alone decide.
        match self.is_exception(key) && !behaviour.has(Defect::FailCloseNoExceptions) {
            true => Decision::Clear,
            false => Decision::Drop(Reason::FailClose),
        }
    }

    fn is_exception(&self, key: &FlowKey) -> bool {
        let index = self.exceptions.lookup(key);
        index.and_then(|index| self.exception_rules.get(index as usize)).is_some_and(|r| r.action == Action::Deny)
    }

    /// Tells whether a later fragment, which carries no ports, may belong to a datagram that an entry with ports
    /// protects: then it neither leaves in clear nor comes in (RFC 4301 §7.3).
    fn may_be_permitted(&self, key: &FlowKey, behaviour: &Behaviour) -> bool {
        // Destination options between fragment header and payload: the protocol is in the first piece only.
        let untold = !key.version4
            && matches!(key.protocol, protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS);
        let list = if untold { &self.vague } else { &self.portless };
        let Some(list) = list.as_ref().filter(|_| key.fragment) else { return false };
        if behaviour.has(Defect::PortlessFragmentsClear) {
            return false;
        }
        let Some(possible) = list.lookup(key) else { return false };
        let certain = self.merged.lookup(key);
        let action = self.rules.get(possible as usize).map(|live| live.rule.action);
        certain.is_none_or(|certain| possible < certain) && matches!(action, Some(Action::Permit { .. }))
    }

    fn first(&self, key: &FlowKey, behaviour: &Behaviour) -> Option<(u32, Action)> {
        let index = self.merged.lookup(key)?;
        let action = self.rules.get(index as usize)?.rule.action;
        if action == Action::Deny && behaviour.has(Defect::DenyIgnored) {
            // The permit that the deny was to make an exception from, or any SA there is.
            let permit = self.permits.as_ref().and_then(|permits| permits.lookup(key));
            let action = permit.and_then(|permit| Some(self.rules.get(permit as usize)?.rule.action));
            return Some((index, action.unwrap_or(Action::Permit { policy: self.slots.first().copied()? })));
        }
        Some((index, action))
    }

    fn slot(&self, policy: u32) -> u16 {
        self.slots.binary_search(&policy).unwrap_or(usize::from(u16::MAX)) as u16
    }

    /// Shows the rules.
    pub(crate) fn status(&self) -> Vec<RuleStatus> {
        self.rules
            .iter()
            .map(|live| RuleStatus {
                local: live.local,
                permit: match live.rule.action {
                    Action::Permit { policy } => Some(policy),
                    Action::Deny => None,
                },
                text: live.rule.to_string(),
                out: live.out,
                clear_in: live.clear_in,
            })
            .collect()
    }
}

/// Lends the permits among the local entries, which stand first.
fn rules_of_local(merged: &mut [Rule], local: usize) -> impl Iterator<Item = &mut Rule> {
    merged.iter_mut().take(local).filter(|rule| rule.action != Action::Deny)
}

/// Tells whether a packet goes to a multicast group or to everybody.
pub(crate) const fn is_multicast(key: &FlowKey) -> bool {
    if key.version4 { key.dst as u32 >> 28 == 0xe || key.dst as u32 == u32::MAX } else { key.dst >> 120 == 0xff }
}

/// Makes a deny match nothing: its ranges end before they begin.
fn without_deny(rule: &Rule) -> Selector {
    let mut selector = rule.selector;
    if rule.action == Action::Deny {
        selector.src_ports = PortRange { first: 1, last: 0 };
        selector.protocol = Some(u8::MAX);
    }
    selector
}

/// Reads a selector as a member with a defect does.
fn misread(mut selector: Selector, behaviour: &Behaviour) -> Selector {
    if behaviour.is_conforming() {
        return selector;
    }
    if behaviour.has(Defect::PortsIgnored) {
        (selector.src_ports, selector.dst_ports) = (PortRange::ANY, PortRange::ANY);
    }
    if behaviour.has(Defect::SourcePortForDestination) && !selector.dst_ports.is_any() {
        (selector.src_ports, selector.dst_ports) = (selector.dst_ports, PortRange::ANY);
    }
    if behaviour.has(Defect::PortZeroLiteral) {
        let literal = |ports: PortRange| if ports.is_any() { PortRange::one(0) } else { ports };
        (selector.src_ports, selector.dst_ports) = (literal(selector.src_ports), literal(selector.dst_ports));
    }
    if behaviour.has(Defect::ProtocolIgnored) {
        selector.protocol = None;
    }
    if behaviour.has(Defect::MaskOneBitShort) {
        (selector.src, selector.dst) = (twice_as_wide(selector.src), twice_as_wide(selector.dst));
    }
    if behaviour.has(Defect::RangeEndExcluded) {
        (selector.src, selector.dst) = (without_last(selector.src), without_last(selector.dst));
    }
    selector
}

fn twice_as_wide(range: AddressRange) -> AddressRange {
    match (range.first, range.last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let width = last.to_bits().wrapping_sub(first.to_bits()).wrapping_add(1);
            let last = IpAddr::V4((last.to_bits() | width).into());
            AddressRange { first: IpAddr::V4((first.to_bits() & !width).into()), last }
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            let width = last.to_bits().wrapping_sub(first.to_bits()).wrapping_add(1);
            let last = IpAddr::V6((last.to_bits() | width).into());
            AddressRange { first: IpAddr::V6((first.to_bits() & !width).into()), last }
        }
        _ => range,
    }
}

fn without_last(range: AddressRange) -> AddressRange {
    let last = match range.last {
        IpAddr::V4(last) => IpAddr::V4(last.to_bits().saturating_sub(1).into()),
        IpAddr::V6(last) => IpAddr::V6(last.to_bits().saturating_sub(1).into()),
    };
    AddressRange { last, ..range }
}
