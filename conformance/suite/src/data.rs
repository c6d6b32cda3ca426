//! The kit of cases about traffic: a member with hosts on its LAN, and another member beyond the WAN.
//!
//! [`DataScene`] starts a member whose policy permits 10.1.0.0/16 to 10.2.0.0/16 and back, lets it register, and then
//! sends packets through it: [`DataScene::expect_esp`] from the LAN, [`DataScene::expect_inner`] from the WAN,
//! [`DataScene::expect_clear`] from either side. What must not pass goes through [`DataScene::expect_nothing`], which
//! never believes silence alone: in the same direction and under the same SA a regular packet must pass before and
//! after ([`Control`]), and the check says how it is known. [`DataScene::lan_to_wan`] and [`DataScene::wan_to_lan`] give
//! everything that came, for a case that judges by itself.

mod history;
mod judge;
mod passed;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hallmark_core::Duration;
use hallmark_probe::data::{Clear, EspSeen, Ledger, Opener, Sender};
use hallmark_probe::group::{Flow as Entry, SidPlan, Tek};
use hallmark_probe::ks::{PushSent, PushSpec};
use hallmark_probe::world::{Carried, Side};
use hallmark_probe::{KsScript, Step};

pub use history::total;
pub use judge::Control;
pub use passed::Passed;

use crate::cx::{Cx, Flow, Stop};
pub use crate::rule::Rule;
use crate::scene::GmScene;
use crate::setup::GmSetup;
use history::History;
use judge::Silence;

/// A host on the member's LAN.
pub const LAN_HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 10));
/// A host behind another member.
pub const WAN_HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 2, 0, 20));
/// A host on the member's LAN, IPv6.
pub const LAN_HOST6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10));
/// A host behind another member, IPv6.
pub const WAN_HOST6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x20));
/// A host that the standard policy says nothing about.
pub const OTHER_HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 16, 0, 30));

/// How long a member may take to install what its registration has brought.
const INSTALLATION: Duration = Duration::from_secs(1);
/// How long a packet may take through the member: a process whose clock runs twenty times as fast has 150 ms.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long is listened for more after what was awaited has come.
const LINGER: Duration = Duration::from_millis(100);
/// How long nothing must come when nothing is to come; what makes it credible is the packet that passes afterwards.
const QUIET: Duration = Duration::from_secs(1);

/// A group member with a data plane, and what is around it.
pub struct DataScene {
    /// The member and its key server.
    pub scene: GmScene,
    /// Which regular packets show that the data plane works.
    pub control: Control,
    /// Numbers and IVs of everything that was opened so far.
    pub ledger: Ledger,
    peer: Option<Sender>,
    opener: Opener,
    /// Everything that left the WAN and could be opened, with dummy packets.
    history: History,
    /// Silences that are credible only once the member has registered.
    waiting: Vec<Silence>,
    controls: u16,
}

impl DataScene {
    /// Starts a member with the standard setup against the standard script, and lets it register.
    ///
    /// # Errors
    /// `Inconclusive` when it does not register.
    pub fn standard(cx: &mut Cx<'_>) -> Flow<Self> {
        Self::with(cx, |_| {}, |_| {})
    }

    /// Starts a member with a changed setup against a changed script, and lets it register. The setup has a `[data]`
    /// part, and the first TEK permits traffic in both directions.
    ///
    /// # Errors
    /// `Inconclusive` when it does not register.
    pub fn with(cx: &mut Cx<'_>, setup: impl FnOnce(&mut GmSetup), script: impl FnOnce(&mut KsScript)) -> Flow<Self> {
        let mut scene = Self::unregistered(cx, setup, script)?;
        scene.register(cx)?;
        Ok(scene)
    }

    /// Starts a member that nobody answers yet.
    ///
    /// # Errors
    /// As the world says.
    pub fn unregistered(
        cx: &mut Cx<'_>,
        setup: impl FnOnce(&mut GmSetup),
        script: impl FnOnce(&mut KsScript),
    ) -> Flow<Self> {
        let mut prepared = GmSetup::standard(cx.world);
        prepared.data();
        setup(&mut prepared);
        let mut scripted = KsScript::new(cx.world, 0);
        if let Some(tek) = scripted.group.teks.first_mut() {
            tek.flows = both_ways(&Entry::standard());
        }
        script(&mut scripted);
        let scene = GmScene::start(cx, prepared, scripted)?;
        Ok(Self {
            scene,
            control: Control::Protected,
            ledger: Ledger::default(),
            peer: None,
            opener: Opener::default(),
            history: History::default(),
            waiting: Vec::new(),
            controls: 0,
        })
    }

    /// Lets the member register, and settles the silences that waited for it.
    ///
    /// # Errors
    /// `Inconclusive` when it does not register.
    pub fn register(&mut self, cx: &mut Cx<'_>) -> Flow {
        self.scene.ks.answer_all();
        self.scene.register(cx)?;
        // The last message is on its way still, and what it brings has to be installed.
        let until = cx.world.now() + INSTALLATION;
        cx.world.rest(until);
        self.learn()?;
        self.settle(cx)
    }

    /// Waits until the member, whose key server says nothing, has tried to register: it runs.
    ///
    /// # Errors
    /// `Inconclusive` when it does not try.
    pub fn await_attempt(&mut self, cx: &mut Cx<'_>) -> Flow {
        self.scene.ks.reply(Step::Main2, hallmark_probe::Reply::Silent);
        let deadline = cx.in_secs(120);
        let tried = self.scene.ks.await_step(cx.world, Step::Main1, deadline).is_some();
        cx.require(tried, "the member does not try to register")?;
        cx.alive_before("it tries to register");
        Ok(())
    }

    /// Lends the other member: its next packet under the newest TEK of the group.
    ///
    /// # Errors
    /// `Inconclusive` before registration.
    pub fn peer(&mut self) -> Flow<&mut Sender> {
        self.peer.as_mut().ok_or_else(|| Stop::Inconclusive("the member is not registered".to_owned()))
    }

    /// Makes the other member send under this TEK from now on.
    ///
    /// # Errors
    /// `Inconclusive` when it is no ESP.
    pub fn send_under(&mut self, tek: &Tek) -> Flow {
        let sender = Sender::new(tek).map_err(|fault| Stop::Inconclusive(fault.to_string()))?;
        self.peer = Some(sender.stamping(self.scene.ks.script.group.replay));
        self.opener.add(tek).map_err(|fault| Stop::Inconclusive(fault.to_string()))
    }

    /// Gives the newest TEK of the group.
    ///
    /// # Errors
    /// `Inconclusive` when there is none.
    pub fn tek(&self) -> Flow<Tek> {
        let tek = self.scene.ks.script.group.teks.first().cloned();
        tek.ok_or_else(|| Stop::Inconclusive("the group has no TEK".to_owned()))
    }

    /// Pushes new keys for the same policy; the member must acknowledge. The other member sends under the first of
    /// them from now on, and keeps the number that its old SA has come to in the value that is returned.
    ///
    /// # Errors
    /// `Inconclusive` when it does not acknowledge.
    pub fn rekey(&mut self, cx: &mut Cx<'_>) -> Flow<Option<Sender>> {
        let push = self.scene.ks.push_fresh_teks(cx.world).map_err(|fault| Stop::Inconclusive(fault.to_string()))?;
        self.taken(cx, &push)
    }

    /// Pushes what a case asks for; the member must acknowledge. The other member goes on under the first TEK of the
    /// group then.
    ///
    /// # Errors
    /// `Inconclusive` when it does not acknowledge.
    pub fn push(&mut self, cx: &mut Cx<'_>, spec: PushSpec) -> Flow<Option<Sender>> {
        let push = self.scene.push(cx, spec)?;
        self.taken(cx, &push)
    }

    fn taken(&mut self, cx: &mut Cx<'_>, push: &PushSent) -> Flow<Option<Sender>> {
        let acked = self.scene.ack(cx, push).is_some();
        cx.require(acked, "the rekey was not acknowledged")?;
        let before = self.peer.take();
        self.learn()?;
        Ok(before)
    }

    /// Takes over what the key server hands out now.
    fn learn(&mut self) -> Flow {
        for tek in &self.scene.ks.script.group.teks {
            self.opener.add(tek).map_err(|fault| Stop::Inconclusive(fault.to_string()))?;
        }
        let first = self.scene.ks.script.group.teks.first().cloned();
        match first {
            Some(tek) => self.send_under(&tek),
            None => Ok(()),
        }
    }

    /// Makes a datagram from the LAN that the standard policy permits.
    #[must_use]
    pub fn outbound() -> Clear {
        Clear::udp(SocketAddr::new(LAN_HOST, 40_000), SocketAddr::new(WAN_HOST, 5_001), &[0x61; 64])
    }

    /// Makes a datagram from beyond the WAN that the standard policy permits.
    #[must_use]
    pub fn inbound() -> Clear {
        Clear::udp(SocketAddr::new(WAN_HOST, 5_001), SocketAddr::new(LAN_HOST, 40_000), &[0x62; 64])
    }

    /// Seals a packet as the other member does.
    ///
    /// # Errors
    /// `Inconclusive` before registration.
    pub fn seal(&mut self, cx: &mut Cx<'_>, inner: &[u8]) -> Flow<Vec<u8>> {
        let peer = self.peer()?;
        peer.seal(cx.world, inner).map_err(|fault| Stop::Inconclusive(fault.to_string()))
    }

    /// Lets a packet arrive at a port and gives everything that comes of it, on both sides.
    ///
    /// # Errors
    /// As the world says.
    pub fn pass(&mut self, cx: &mut Cx<'_>, from: Side, packet: &[u8]) -> Flow<Passed> {
        self.pass_all(cx, from, &[packet.to_vec()])
    }

    /// Lets packets arrive at a port, one right after the other, and gives everything that comes of them.
    ///
    /// # Errors
    /// As the world says.
    pub fn pass_all(&mut self, cx: &mut Cx<'_>, from: Side, packets: &[Vec<u8>]) -> Flow<Passed> {
        self.drain(cx);
        for packet in packets {
            cx.world.inject(0, from, packet.clone())?;
        }
        Ok(self.collect(cx, from.other(), PATIENCE, 1))
    }

    /// Lets packets arrive at a port, one right after the other, and gives everything that comes of them: until `enough`
    /// has come and a little longer, or for the time that a packet may take.
    ///
    /// # Errors
    /// As the world says.
    pub fn pass_until(
        &mut self,
        cx: &mut Cx<'_>,
        from: Side,
        packets: &[Vec<u8>],
        enough: &dyn Fn(&Passed) -> bool,
    ) -> Flow<Passed> {
        self.drain(cx);
        for packet in packets {
            cx.world.inject(0, from, packet.clone())?;
        }
        Ok(self.collect_until(cx, from.other(), PATIENCE, enough))
    }

    /// Sends a packet from the LAN and gives everything that comes of it.
    ///
    /// # Errors
    /// As the world says.
    pub fn lan_to_wan(&mut self, cx: &mut Cx<'_>, packet: &[u8]) -> Flow<Passed> {
        self.pass(cx, Side::Lan, packet)
    }

    /// Lets a packet arrive from the WAN and gives everything that comes of it.
    ///
    /// # Errors
    /// As the world says.
    pub fn wan_to_lan(&mut self, cx: &mut Cx<'_>, packet: &[u8]) -> Flow<Passed> {
        self.pass(cx, Side::Wan, packet)
    }

    /// Opens a packet that left the WAN.
    ///
    /// # Errors
    /// Says why it cannot be opened.
    pub fn open(&self, carried: &Carried) -> Result<EspSeen, String> {
        self.opener.open(carried.at, &carried.packet)
    }

    /// Lends the keys that the key server has handed out so far.
    #[must_use]
    pub const fn opener(&self) -> &Opener {
        &self.opener
    }

    /// Forgets what left the ports before.
    fn drain(&mut self, cx: &mut Cx<'_>) {
        let now = cx.world.now();
        for side in [Side::Lan, Side::Wan] {
            while let Some(carried) = cx.world.carried(0, side, now) {
                self.take_in(side, &carried);
            }
        }
    }

    /// Waits for what leaves the ports: until enough packets have come on one side and a little longer, or for all of
    /// the time.
    fn collect(&mut self, cx: &mut Cx<'_>, side: Side, within: Duration, enough: usize) -> Passed {
        self.collect_until(cx, side, within, &|passed| enough > 0 && passed.packets(side).len() >= enough)
    }

    /// Waits for what leaves the ports: until there is enough on one side and a little longer, or for all of the time.
    fn collect_until(
        &mut self,
        cx: &mut Cx<'_>,
        side: Side,
        within: Duration,
        enough: &dyn Fn(&Passed) -> bool,
    ) -> Passed {
        let mut lingers = false;
        let mut passed = Passed::default();
        let mut deadline = cx.world.now() + within;
        while let Some(carried) = cx.world.carried(0, side, deadline) {
            // Dummy packets may come at any time, and hold nothing.
            if self.take_in(side, &carried) {
                continue;
            }
            passed.of(side).push(carried);
            if !lingers && enough(&passed) {
                lingers = true;
                deadline = cx.world.now() + LINGER;
            }
        }
        let now = cx.world.now();
        while let Some(carried) = cx.world.carried(0, side.other(), now) {
            if !self.take_in(side.other(), &carried) {
                passed.of(side.other()).push(carried);
            }
        }
        passed
    }

    /// Ends the case: regular packets pass in both directions, and a valid PUSH is acknowledged.
    ///
    /// # Errors
    /// `Inconclusive` when the member has never registered and does not now.
    pub fn finish(&mut self, cx: &mut Cx<'_>) -> Flow {
        if self.peer.is_none() {
            self.register(cx)?;
        }
        for side in [Side::Lan, Side::Wan] {
            if let Err(why) = self.control_passes(cx, side)? {
                cx.dead_after(&format!("a regular packet from the {side}: {why}"));
            }
        }
        self.scene.finish(cx)
    }
}

/// Gives a flow and its way back.
#[must_use]
pub fn both_ways(flow: &Entry) -> Vec<Entry> {
    vec![flow.clone(), flow.reverse()]
}

/// Makes the script hand out AES-128-GCM with sender ids instead of AES-CBC.
pub fn with_gcm(script: &mut KsScript, rng: &mut hallmark_core::Rng) {
    with_tek(script, Tek::gcm(rng));
}

/// Makes the script hand out this TEK, for the flows of the one that it had; sender ids where it needs them.
pub fn with_tek(script: &mut KsScript, tek: Tek) {
    let flows = script.group.teks.first().map(|tek| tek.flows.clone()).unwrap_or_default();
    if tek.is_counter_mode() {
        script.group.sids.get_or_insert_with(SidPlan::default);
    }
    script.group.teks = vec![tek.flows(flows)];
}

/// Gives the first TEK of a script these flows, in the order of the list.
pub fn with_flows(script: &mut KsScript, flows: Vec<Entry>) {
    if let Some(tek) = script.group.teks.first_mut() {
        tek.flows = flows;
    }
}
