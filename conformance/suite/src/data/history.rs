//! What a member has sent since it registered, and what it tells of itself.

use hallmark_core::Duration;
use hallmark_probe::KsScript;
use hallmark_probe::data::{Clear, EspSeen, Finding, Forge, Ledger};
use hallmark_probe::world::{Carried, Side};
use serde_json::Value;

use super::{DataScene, PATIENCE, Passed};
use crate::cx::{Cx, Flow, Stop};
use crate::setup::GmSetup;

/// Breaches that are kept.
const BREACHES: usize = 32;

/// Follows the numbers and IVs of everything that left the WAN, dummy packets among them, which take a number too.
#[derive(Default)]
pub(super) struct History {
    ledger: Ledger,
    breaches: Vec<Finding>,
    dummies: u64,
}

impl DataScene {
    /// As [`DataScene::with`], but `None` when the member does not register: for policy that it need not support.
    ///
    /// # Errors
    /// As the world says.
    pub fn optional(
        cx: &mut Cx<'_>,
        setup: impl FnOnce(&mut GmSetup),
        script: impl FnOnce(&mut KsScript),
    ) -> Flow<Option<Self>> {
        let mut scene = Self::unregistered(cx, setup, script)?;
        match scene.register(cx) {
            Ok(()) => Ok(Some(scene)),
            Err(Stop::Inconclusive(why)) => {
                cx.world.note(&why);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    /// Seals a packet as the other member does, but for what the case wants otherwise.
    ///
    /// # Errors
    /// `Inconclusive` before registration, or when the tester cannot seal it so.
    pub fn forge(&mut self, cx: &mut Cx<'_>, inner: &[u8], forge: &Forge) -> Flow<Clear> {
        let peer = self.peer()?;
        peer.forge(cx.world, inner, forge).map_err(|fault| Stop::Inconclusive(fault.to_string()))
    }

    /// Lets packets arrive at a port, one right after the other, and waits until one has left the other side for each
    /// of them.
    ///
    /// # Errors
    /// As the world says.
    pub fn pass_many(&mut self, cx: &mut Cx<'_>, from: Side, packets: &[Vec<u8>]) -> Flow<Passed> {
        self.drain(cx);
        for packet in packets {
            cx.world.inject(0, from, packet.clone())?;
        }
        let patience = PATIENCE + Duration::from_millis(100 * packets.len() as u64);
        Ok(self.collect(cx, from.other(), patience, packets.len()))
    }

    /// Lends what was wrong with sequence numbers and IVs so far, in everything that left the WAN (the first 32
    /// breaches).
    #[must_use]
    pub fn breaches(&self) -> &[Finding] {
        &self.history.breaches
    }

    /// Counts the dummy packets that have left the WAN so far.
    #[must_use]
    pub const fn dummies(&self) -> u64 {
        self.history.dummies
    }

    /// Gives what the member's console shows of its data plane.
    ///
    /// # Errors
    /// `NotHere` without a console, `Inconclusive` when there is no data plane in its status.
    pub fn plane(&self, cx: &mut Cx<'_>) -> Flow<Value> {
        let text = cx.world.command(0, "{\"cmd\":\"status\"}")?;
        let status: Value =
            serde_json::from_str(&text).map_err(|error| Stop::Inconclusive(format!("the status: {error}")))?;
        let data = status.pointer("/status/data").or_else(|| status.get("data")).cloned();
        cx.have(data, "the status shows no data plane")
    }

    /// Takes in a packet that left a port; tells whether it is a dummy.
    pub(super) fn take_in(&mut self, side: Side, carried: &Carried) -> bool {
        if side == Side::Lan {
            return false;
        }
        let Ok(seen) = self.open(carried) else { return false };
        let found = self.history.ledger.follow(&seen);
        let room = BREACHES.saturating_sub(self.history.breaches.len());
        self.history.breaches.extend(found.into_iter().take(room));
        let dummy = EspSeen::is_dummy(&seen);
        self.history.dummies += u64::from(dummy);
        dummy
    }
}

/// Adds up a number over the list at a place of a JSON value: the counters of all SAs, for example.
#[must_use]
pub fn total(value: &Value, list: &str, field: &str) -> u64 {
    let items = value.pointer(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item.pointer(field).and_then(Value::as_u64)).sum()
}
