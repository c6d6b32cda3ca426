//! Reassembly of fragmented messages (section 9). Fragments are not authenticated, so they get little: one set for
//! each SA, one budget for all of them, and a whole message always wins.

use std::collections::BTreeMap;

use hallmark_core::{Duration, Instant, Limits, Now};
use hallmark_wire::isakmp::{Fragment, Header, PayloadType};

use super::exchange::Refusal;
use super::sa::{Path, SaId};
use super::timer::Timer;
use super::{IkeEndpoint, code};
use crate::behaviour::{Behaviour, Defect};

/// Life of an incomplete set (IKE-FRAG-008: at most 90 s).
const LIFE: Duration = Duration::from_secs(30);
/// Largest reassembled message (IKE-FRAG-007).
const MESSAGE_OCTETS: usize = 64 << 10;

/// Holds incomplete messages.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    sets: BTreeMap<SaId, Set>,
    octets: usize,
}

#[derive(Debug)]
struct Set {
    id: u16,
    parts: BTreeMap<u8, Vec<u8>>,
    last: Option<u8>,
    octets: usize,
    started: Instant,
}

impl Reassembly {
    pub(super) fn sets(&self) -> usize {
        self.sets.len()
    }

    pub(super) const fn octets(&self) -> usize {
        self.octets
    }

    pub(super) fn forget(&mut self, sa: SaId) -> bool {
        let gone = self.sets.remove(&sa);
        self.octets = self.octets.saturating_sub(gone.as_ref().map_or(0, |set| set.octets));
        gone.is_some()
    }

    fn oldest(&self, except: SaId) -> Option<SaId> {
        self.sets.iter().filter(|(id, _)| **id != except).min_by_key(|(_, set)| set.started).map(|(id, _)| *id)
    }

    /// Takes a fragment; gives the message when it was the last one missing.
    fn add(
        &mut self,
        sa: SaId,
        fragment: Fragment,
        now: Instant,
        limits: &Limits,
        behaviour: &Behaviour,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        // REQ IKE-FRAG-007
        if usize::from(fragment.number) > limits.fragments_per_message {
            return Err(Refusal::keep(code::FRAGMENT_LIMIT).with(format!("number {}", fragment.number)));
        }
        // REQ IKE-FRAG-011: a set with another id makes place for this one.
        if self.sets.get(&sa).is_some_and(|set| set.id != fragment.id) {
            self.forget(sa);
        }
        while self.octets + fragment.data.len() > limits.reassembly_octets {
            let Some(oldest) = self.oldest(sa) else { return Err(Refusal::keep(code::FRAGMENT_LIMIT).with("budget")) };
            self.forget(oldest);
        }
        let (number, is_last) = (fragment.number, fragment.is_last());
        let fresh = || Set { id: fragment.id, parts: BTreeMap::new(), last: None, octets: 0, started: now };
        let set = self.sets.entry(sa).or_insert_with(fresh);
        // REQ IKE-FRAG-003
        if behaviour.has(Defect::IkeFragmentOrderMatters) && usize::from(number) != set.parts.len() + 1 {
            self.forget(sa);
            return Err(Refusal::keep(code::FRAGMENT_SET).with("order"));
        }
        // REQ IKE-FRAG-005: two different ends, or a number beyond the end.
        let highest = set.parts.last_key_value().map_or(0, |(n, _)| *n);
        let contradicts = match (set.last, is_last) {
            (Some(last), true) => last != number,
            (Some(last), false) => number > last,
            (None, true) => number < highest,
            (None, false) => false,
        };
        if contradicts && !behaviour.has(Defect::IkeTwoLastFragmentsAccepted) {
            self.forget(sa);
            return Err(Refusal::keep(code::FRAGMENT_SET));
        }
        if set.octets + fragment.data.len() > MESSAGE_OCTETS {
            self.forget(sa);
            return Err(Refusal::keep(code::FRAGMENT_LIMIT).with("message"));
        }
        if is_last {
            set.last = Some(number);
        }
        // The first copy of a number counts.
        if let std::collections::btree_map::Entry::Vacant(place) = set.parts.entry(number) {
            set.octets += fragment.data.len();
            self.octets += fragment.data.len();
            place.insert(fragment.data);
        }
        let complete = set.last.is_some_and(|last| set.parts.range(..=last).count() == usize::from(last));
        if !complete {
            return Ok(None);
        }
        let last = set.last.unwrap_or(0);
        let whole = set.parts.range(..=last).flat_map(|(_, data)| data.iter().copied()).collect();
        self.forget(sa);
        Ok(Some(whole))
    }
}

impl IkeEndpoint {
    /// Takes a message that is a fragment; gives the whole message when it is complete.
    pub(super) fn fragment(
        &mut self,
        now: Now,
        sa: SaId,
        header: &Header,
        message: &[u8],
        path: Path,
    ) -> Option<Vec<u8>> {
        match self.try_fragment(now, sa, header, message) {
            Ok(Some(whole)) => {
                self.timers.cancel(sa, Timer::Reassembly);
                Some(whole)
            }
            Ok(None) => None,
            Err(refusal) => {
                self.reject(refusal.code, path.peer, refusal.detail);
                None
            }
        }
    }

    fn try_fragment(
        &mut self,
        now: Now,
        sa: SaId,
        header: &Header,
        message: &[u8],
    ) -> Result<Option<Vec<u8>>, Refusal> {
        // REQ IKE-FRAG-001
        if !self.config.fragmentation {
            return Err(Refusal::keep(code::FRAGMENT_UNKNOWN));
        }
        let behaviour = &self.config.behaviour;
        let body = message.get(Header::LEN..).unwrap_or_default();
        let first = hallmark_wire::isakmp::Chain::decode(header.next, body, &self.limits).map(|chain| {
            let alone = chain.len() == 1 && chain.trailing().is_empty();
            (chain.find(PayloadType::FRAGMENT).map(|p| p.body), alone)
        });
        let (payload, alone) = first?;
        // REQ IKE-FRAG-004
        let payload = payload.filter(|_| alone || behaviour.has(Defect::IkeFragmentZeroAccepted));
        let fragment = Fragment::decode(payload.ok_or(Refusal::keep(code::FRAGMENT_FORM))?)?;
        let whole = self.reassembly.add(sa, fragment, now.mono, &self.limits, behaviour)?;
        // REQ IKE-FRAG-008
        if self.timers.deadline(sa, Timer::Reassembly).is_none() && !behaviour.has(Defect::IkeFragmentsKept) {
            self.timers.set(sa, Timer::Reassembly, now.mono + LIFE);
        }
        if let Some(exchange) = self.exchanges.get_mut(&sa) {
            exchange.fragments_seen = true;
        }
        if let Some(established) = self.sas.get_mut(&sa) {
            established.fragments_seen = true;
        }
        let Some(mut whole) = whole else { return Ok(None) };
        // REQ IKE-FRAG-009: the message inside has to belong to the same SA.
        let inner = Header::decode(&whole)?;
        let same = inner.cookies() == header.cookies();
        if !same && !self.config.behaviour.has(Defect::IkeFragmentInnerUnchecked) {
            return Err(Refusal::keep(code::FRAGMENT_INNER));
        }
        // The defect takes the outer header's word for it.
        if let Some(cookies) = whole.get_mut(..16).filter(|_| !same) {
            cookies.copy_from_slice(&header.cookies());
        }
        Ok(Some(whole))
    }

    pub(super) fn reassembly_due(&mut self, sa: SaId) {
        if self.reassembly.forget(sa) {
            let exchange = self.exchanges.get(&sa).map(|x| x.path.peer);
            if let Some(peer) = exchange.or_else(|| self.sas.get(&sa).map(|x| x.path.peer)) {
                self.reject(code::FRAGMENT_TIMEOUT, peer, "");
            }
        }
    }
}
