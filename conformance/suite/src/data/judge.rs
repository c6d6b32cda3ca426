//! What is expected of a packet, and how silence becomes credible.

use hallmark_catalogue::{CheckResult, Confidence};
use hallmark_probe::data::{Clear, EspSeen, differences};
use hallmark_probe::world::Side;

use super::passed::describe;
use super::{DataScene, PATIENCE, Passed, QUIET};
use crate::cx::{Cx, Flow, Stop};
use crate::rule::Rule;

/// Which regular packets show that the data plane works in a direction, before and after a silence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Control {
    /// A packet of the permit class: from the LAN it must leave as ESP, from the WAN the other member seals it.
    Protected,
    /// As `Protected`, with packets that fit the case's policy.
    ProtectedAs {
        /// From the LAN.
        out: Clear,
        /// The inner packet from the WAN.
        back: Clear,
    },
    /// Packets that must pass in clear, where there is no SA: a class that is denied or excepted.
    InClear {
        /// From the LAN.
        out: Clear,
        /// From the WAN.
        back: Clear,
    },
    /// Nothing passes in this state: the silence is believed once the member has registered and a packet of the same
    /// direction passes ([`DataScene::register`] and [`DataScene::finish`] see to it).
    Registration,
}

/// A silence that is not credible yet.
pub(super) struct Silence {
    rule: Rule,
    from: Side,
    ok: bool,
    /// Whether a counter of the subject moved meanwhile.
    counted: bool,
    expected: String,
    observed: String,
}

impl DataScene {
    /// Sends a packet from the LAN that must leave the WAN as one ESP packet that holds it, with nothing changed but
    /// the TTL, and as nothing else. Gives the ESP packet.
    ///
    /// # Errors
    /// `Judged` when it does not.
    pub fn expect_esp(&mut self, cx: &mut Cx<'_>, rule: &Rule, what: &str, packet: &Clear) -> Flow<EspSeen> {
        let octets = packet.octets();
        let passed = self.lan_to_wan(cx, &octets)?;
        let seen = self.one_esp(&passed, &octets);
        let observed = match &seen {
            Ok(seen) => format!("{what}: ESP under SPI {:08x}", seen.spi),
            Err(why) => format!("{what}: {why}"),
        };
        rule.judge(cx, seen.is_ok(), "one ESP packet that holds it", observed);
        if let Ok(seen) = &seen {
            self.ledger.follow(seen);
        }
        seen.map_err(|_| Stop::Judged)
    }

    /// Lets an ESP packet arrive from the WAN of which exactly the inner packet must leave the LAN, with nothing changed
    /// but the TTL. Gives the packet as it left.
    ///
    /// # Errors
    /// `Judged` when it does not.
    pub fn expect_inner(
        &mut self,
        cx: &mut Cx<'_>,
        rule: &Rule,
        what: &str,
        esp: &[u8],
        inner: &[u8],
    ) -> Flow<Vec<u8>> {
        let passed = self.wan_to_lan(cx, esp)?;
        inner_came(cx, rule, what, &passed, inner)
    }

    /// Lets packets arrive from the WAN, one right after the other, of which together exactly the inner packet must
    /// leave the LAN: the fragments of an ESP packet. Gives the packet as it left.
    ///
    /// # Errors
    /// `Judged` when it does not.
    pub fn expect_joined(
        &mut self,
        cx: &mut Cx<'_>,
        rule: &Rule,
        what: &str,
        pieces: &[Vec<u8>],
        inner: &[u8],
    ) -> Flow<Vec<u8>> {
        let passed = self.pass_all(cx, Side::Wan, pieces)?;
        inner_came(cx, rule, what, &passed, inner)
    }

    /// Seals a packet as the other member does, and goes on as [`DataScene::expect_inner`].
    ///
    /// # Errors
    /// `Judged` when it does not pass.
    pub fn expect_opened(&mut self, cx: &mut Cx<'_>, rule: &Rule, what: &str, inner: &Clear) -> Flow<Vec<u8>> {
        let octets = inner.octets();
        let esp = self.seal(cx, &octets)?;
        self.expect_inner(cx, rule, what, &esp, &octets)
    }

    /// Lets a packet arrive that must leave the other side in clear, with nothing changed but the TTL. Gives the packet
    /// as it left.
    ///
    /// # Errors
    /// `Judged` when it does not.
    pub fn expect_clear(
        &mut self,
        cx: &mut Cx<'_>,
        rule: &Rule,
        what: &str,
        from: Side,
        packet: &[u8],
    ) -> Flow<Vec<u8>> {
        let passed = self.pass(cx, from, packet)?;
        let came = one_like(&passed, from.other(), packet);
        let observed = format!("{what}: {}", came.as_ref().err().map_or("it passed in clear", String::as_str));
        rule.judge(cx, came.is_ok(), "it passes in clear", observed);
        came.map_err(|_| Stop::Judged)
    }

    /// Lets packets arrive of which nothing must leave the other side. A regular packet of the same direction must pass
    /// before and after ([`DataScene::control`]); without it the silence does not count. Tells whether nothing came.
    ///
    /// # Errors
    /// `Inconclusive` when the regular packet before does not pass, `Judged` when the one after does not: then the
    /// packets have stopped the member.
    pub fn expect_nothing(
        &mut self,
        cx: &mut Cx<'_>,
        rule: &Rule,
        what: &str,
        from: Side,
        packets: &[Vec<u8>],
    ) -> Flow<bool> {
        self.nothing_of(cx, rule, what, from, packets, &|_| true)
    }

    /// Does the same, but only looks at what fits: a case whose packets may bring something else (an ICMP error towards
    /// a host on the other side) says what must not come.
    ///
    /// # Errors
    /// As [`DataScene::expect_nothing`].
    pub fn nothing_of(
        &mut self,
        cx: &mut Cx<'_>,
        rule: &Rule,
        what: &str,
        from: Side,
        packets: &[Vec<u8>],
        fits: &dyn Fn(&[u8]) -> bool,
    ) -> Flow<bool> {
        let deferred = self.control == Control::Registration && self.peer.is_none();
        if !deferred {
            let before = self.control_passes(cx, from)?;
            before.map_err(|why| Stop::Inconclusive(format!("a regular packet before {what}: {why}")))?;
        }
        self.drain(cx);
        let counted = drops(cx);
        for packet in packets {
            cx.world.inject(0, from, packet.clone())?;
        }
        let mut passed = self.collect(cx, from.other(), QUIET, 0);
        let counted = counted.zip(drops(cx)).is_some_and(|(before, after)| after > before);
        passed.of(from.other()).retain(|carried| fits(&carried.packet));
        let ok = passed.of(from.other()).is_empty();
        let observed = format!("{what}: {}", passed.describe(from.other()));
        let expected = format!("nothing towards the {}", from.other());
        let silence = Silence { rule: *rule, from, ok, counted, expected, observed };
        if deferred && ok {
            cx.world.note(&format!("{}: believed once the member has registered", silence.observed));
            self.waiting.push(silence);
            return Ok(true);
        }
        if deferred {
            // It is broken already, and no regular packet was sent that could show anything.
            silence.record(cx, confidence(false, counted));
            return Ok(ok);
        }
        let after = self.control_passes(cx, from)?;
        silence.record(cx, confidence(after.is_ok(), counted));
        self.works_on(cx, rule, what, after)?;
        Ok(ok)
    }

    /// Judges that the member goes on after packets that it had to drop.
    fn works_on(&self, cx: &mut Cx<'_>, rule: &Rule, what: &str, after: Result<(), String>) -> Flow {
        let observed = match &after {
            Ok(()) => format!("{what}: the next regular packet passed"),
            Err(why) => format!("{what}: the next regular packet: {why}"),
        };
        let id = "data.goes-on";
        cx.grave(id, rule.requirements, after.is_ok(), "the next regular packet passes", observed);
        after.map_err(|_| Stop::Judged)
    }

    /// Believes the silences that waited for the registration, if regular packets pass now.
    pub(super) fn settle(&mut self, cx: &mut Cx<'_>) -> Flow {
        if self.control == Control::Registration {
            self.control = Control::Protected;
        }
        for silence in std::mem::take(&mut self.waiting) {
            let alive = self.control_passes(cx, silence.from)?.is_ok();
            let known = confidence(alive, silence.counted);
            silence.record(cx, known);
        }
        Ok(())
    }

    /// Sends a regular packet of a direction; says what happened instead when it does not pass.
    pub(super) fn control_passes(&mut self, cx: &mut Cx<'_>, from: Side) -> Flow<Result<(), String>> {
        self.controls = self.controls.wrapping_add(1);
        let (control, ident) = (self.control.clone(), self.controls);
        let (out, back, clear) = match control {
            Control::Protected | Control::Registration => (Self::outbound(), Self::inbound(), false),
            Control::ProtectedAs { out, back } => (out, back, false),
            Control::InClear { out, back } => (out, back, true),
        };
        let packet = if from == Side::Lan { out } else { back }.ident(ident).octets();
        let result = match (from, clear) {
            (Side::Lan, false) => {
                let passed = self.lan_to_wan(cx, &packet)?;
                let seen = self.one_esp(&passed, &packet);
                if let Ok(seen) = &seen {
                    self.ledger.follow(seen);
                }
                seen.map(drop)
            }
            (Side::Wan, false) => {
                let esp = self.seal(cx, &packet)?;
                let passed = self.wan_to_lan(cx, &esp)?;
                one_like(&passed, Side::Lan, &packet).map(drop)
            }
            (_, true) => {
                let passed = self.pass(cx, from, &packet)?;
                one_like(&passed, from.other(), &packet).map(drop)
            }
        };
        Ok(result)
    }

    /// Looks for exactly one ESP packet that holds a packet.
    fn one_esp(&self, passed: &Passed, packet: &[u8]) -> Result<EspSeen, String> {
        let [carried] = passed.wan.as_slice() else { return Err(passed.describe(Side::Wan)) };
        let seen = self.open(carried)?;
        match unlike(packet, &seen.inner).as_slice() {
            [] => Ok(seen),
            fields => Err(format!("ESP whose inner packet is another: {}", fields.join(", "))),
        }
    }

    /// Waits for the time that a packet may take through the member.
    pub fn let_pass(&self, cx: &mut Cx<'_>) {
        let until = cx.world.now() + PATIENCE;
        cx.world.rest(until);
    }
}

impl Silence {
    fn record(self, cx: &mut Cx<'_>, known: Confidence) -> bool {
        let check: CheckResult = self.rule.check(cx).silence(self.ok, self.expected, self.observed, known);
        cx.record(check)
    }
}

/// Says how well a silence is known.
const fn confidence(control: bool, counted: bool) -> Confidence {
    match (control, counted) {
        (true, true) => Confidence::WireAndCounter,
        (true, false) => Confidence::WireAndControl,
        (false, true) => Confidence::CounterOnly,
        (false, false) => Confidence::AbsenceOnly,
    }
}

/// Asks the subject how many packets it has dropped, where it has a console that tells.
fn drops(cx: &mut Cx<'_>) -> Option<u64> {
    let status: String = cx.world.command(0, r#"{"cmd":"status"}"#).ok()?;
    let status: String = status.chars().filter(|c| !c.is_whitespace()).collect();
    let (_, rest) = status.split_once("\"drops\":{")?;
    let (counts, _) = rest.split_once('}')?;
    let counts = counts.split(',').filter_map(|count| count.rsplit_once(':'));
    counts.map(|(_, count)| count.parse::<u64>().ok()).sum()
}

/// Judges that exactly the inner packet left the LAN.
fn inner_came(cx: &mut Cx<'_>, rule: &Rule, what: &str, passed: &Passed, inner: &[u8]) -> Flow<Vec<u8>> {
    let came = one_like(passed, Side::Lan, inner);
    let observed = format!("{what}: {}", came.as_ref().err().map_or("it came", String::as_str));
    rule.judge(cx, came.is_ok(), "the inner packet towards the LAN", observed);
    came.map_err(|_| Stop::Judged)
}

/// Looks for exactly one packet on a side that is the same but for its TTL.
fn one_like(passed: &Passed, side: Side, packet: &[u8]) -> Result<Vec<u8>, String> {
    let packets = passed.packets(side);
    let [came] = packets.as_slice() else { return Err(passed.describe(side)) };
    match unlike(packet, came).as_slice() {
        [] => Ok(came.to_vec()),
        fields => Err(format!("{}, but changed: {}", describe(came), fields.join(", "))),
    }
}

/// Names the fields that differ, apart from the TTL or hop limit.
fn unlike(sent: &[u8], came: &[u8]) -> Vec<String> {
    let mut fields = differences(sent, came);
    fields.retain(|field| !field.starts_with("TTL ") && !field.starts_with("hop limit "));
    fields
}
