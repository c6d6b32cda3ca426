//! The usual beginning and end of a case: start the subject, see it work, and at the end see it work again.

use hallmark_core::Duration;
use hallmark_probe::gm::{ProbeGm, Push, Registration};
use hallmark_probe::ks::{AckSeen, Member, ProbeKs, PushSent, PushSpec};
use hallmark_probe::world::Role;
use hallmark_probe::{KsScript, alive};

use crate::cx::{Cx, Flow, Stop};
use crate::setup::{GmSetup, KsSetup};

/// How long a group member may take to register after its start, or to come back after a refusal.
const REGISTRATION: Duration = Duration::from_secs(120);
/// How long a rekey acknowledgement is waited for: RFC 8263 allows 5 s.
pub const ACK_WINDOW: Duration = Duration::from_secs(6);

/// The tester end that proves that a key server is alive after the probe; cases leave it alone.
const WITNESS: u8 = 11;

/// A key server under test.
pub struct KsScene {
    /// What it was configured to.
    pub setup: KsSetup,
}

impl KsScene {
    /// Starts a key server with the standard setup.
    ///
    /// # Errors
    /// As the world says.
    pub fn standard(cx: &mut Cx<'_>) -> Flow<Self> {
        let setup = KsSetup::standard(cx.world);
        Self::start(cx, setup)
    }

    /// Starts a key server.
    ///
    /// # Errors
    /// As the world says.
    pub fn start(cx: &mut Cx<'_>, setup: KsSetup) -> Flow<Self> {
        cx.world.start(0, Role::Ks, &setup.to_toml())?;
        Ok(Self { setup })
    }

    /// Makes the n-th tester end a group member, not yet registered.
    pub fn member(&self, cx: &mut Cx<'_>, n: u8) -> ProbeGm {
        ProbeGm::new(cx.world, n)
    }

    /// Makes the n-th tester end a group member and runs phase 1 with it: the control before a probe of PULL.
    ///
    /// # Errors
    /// `Inconclusive` when phase 1 does not complete.
    pub fn phase1(&self, cx: &mut Cx<'_>, n: u8) -> Flow<ProbeGm> {
        let mut member = self.member(cx, n);
        member.phase1(cx.world).map_err(|fault| Stop::Inconclusive(format!("phase 1 before the probe: {fault}")))?;
        cx.alive_before("phase 1 completed");
        Ok(member)
    }

    /// Makes the n-th tester end a registered group member: the control before most probes.
    ///
    /// # Errors
    /// `Inconclusive` when the registration does not complete.
    pub fn register(&self, cx: &mut Cx<'_>, n: u8) -> Flow<(ProbeGm, Registration)> {
        let mut member = self.member(cx, n);
        let registration = member
            .register(cx.world)
            .map_err(|fault| Stop::Inconclusive(format!("registration before the probe: {fault}")))?;
        cx.alive_before("registration completed");
        Ok((member, registration))
    }

    /// Waits so many seconds at most for the next PUSH to a registered member.
    ///
    /// # Errors
    /// `Inconclusive` when none comes.
    pub fn push(&self, cx: &mut Cx<'_>, member: &mut ProbeGm, secs: u64) -> Flow<Push> {
        let deadline = cx.in_secs(secs);
        let push = member.await_push(cx.world, deadline);
        cx.have(push, format!("no PUSH came within {secs} s"))
    }

    /// Ends the case: an end of the tester that took no part registers from scratch.
    ///
    /// # Errors
    /// None; what it finds is the control after the probe.
    pub fn finish(&self, cx: &mut Cx<'_>) -> Flow {
        let mut witness = self.member(cx, WITNESS);
        self.finish_with(cx, &mut witness)
    }

    /// Ends the case with a witness whose script the case has fitted to an unusual setup.
    ///
    /// # Errors
    /// None; what it finds is the control after the probe.
    pub fn finish_with(&self, cx: &mut Cx<'_>, witness: &mut ProbeGm) -> Flow {
        witness.script.patience = Duration::from_secs(20);
        match witness.register(cx.world) {
            Ok(_) => cx.alive_after("a member that took no part in the probe registered"),
            Err(fault) => {
                cx.dead_after(&format!("a member that took no part in the probe could not register: {fault}"))
            }
        }
        Ok(())
    }
}

/// A group member under test, and the tester's key server that it is configured to.
pub struct GmScene {
    /// What it was configured to.
    pub setup: GmSetup,
    /// The tester's key server.
    pub ks: ProbeKs,
}

impl GmScene {
    /// Starts a group member with the standard setup, not yet registered.
    ///
    /// # Errors
    /// As the world says.
    pub fn standard(cx: &mut Cx<'_>) -> Flow<Self> {
        let setup = GmSetup::standard(cx.world);
        let script = KsScript::new(cx.world, 0);
        Self::start(cx, setup, script)
    }

    /// Starts a group member with this setup against a key server with this script.
    ///
    /// # Errors
    /// As the world says.
    pub fn start(cx: &mut Cx<'_>, setup: GmSetup, script: KsScript) -> Flow<Self> {
        let ks = ProbeKs::with_script(cx.world, script);
        cx.world.start(0, Role::Gm, &setup.to_toml())?;
        Ok(Self { setup, ks })
    }

    /// Starts a group member with the standard setup and lets it register.
    ///
    /// # Errors
    /// `Inconclusive` when it does not.
    pub fn registered(cx: &mut Cx<'_>) -> Flow<Self> {
        let mut scene = Self::standard(cx)?;
        scene.register(cx)?;
        Ok(scene)
    }

    /// Lets the group member register: the control before most probes.
    ///
    /// # Errors
    /// `Inconclusive` when it does not.
    pub fn register(&mut self, cx: &mut Cx<'_>) -> Flow<Member> {
        let member = self
            .ks
            .await_registration(cx.world, REGISTRATION)
            .map_err(|fault| Stop::Inconclusive(format!("registration before the probe: {fault}")))?;
        cx.alive_before("registration completed");
        Ok(member)
    }

    /// Sends a PUSH.
    ///
    /// # Errors
    /// `Inconclusive` when the tester itself cannot build it.
    pub fn push(&mut self, cx: &mut Cx<'_>, spec: PushSpec) -> Flow<PushSent> {
        self.ks.push(cx.world, spec).map_err(|fault| Stop::Inconclusive(fault.to_string()))
    }

    /// Waits for the acknowledgement of a PUSH.
    pub fn ack(&mut self, cx: &mut Cx<'_>, push: &PushSent) -> Option<AckSeen> {
        let deadline = cx.world.now() + ACK_WINDOW;
        self.ks.await_ack(cx.world, push, deadline)
    }

    /// Shows in the middle of a case that the member still takes a valid PUSH with the next sequence number.
    ///
    /// # Errors
    /// `Inconclusive` when it does not acknowledge it.
    pub fn still_takes_pushes(&mut self, cx: &mut Cx<'_>) -> Flow {
        alive::group_member(cx.world, &mut self.ks, ACK_WINDOW)
            .map(drop)
            .map_err(|fault| Stop::Inconclusive(format!("a valid PUSH between two probes: {fault}")))
    }

    /// Ends the case of a registered member: a valid PUSH with the next sequence number must be acknowledged.
    ///
    /// # Errors
    /// None; what it finds is the control after the probe.
    pub fn finish(&mut self, cx: &mut Cx<'_>) -> Flow {
        self.ks.untamper();
        self.ks.answer_all();
        match alive::group_member(cx.world, &mut self.ks, ACK_WINDOW) {
            Ok(_) => cx.alive_after("a valid PUSH with the next sequence number was acknowledged"),
            Err(fault) => cx.dead_after(&format!("a valid PUSH with the next sequence number: {fault}")),
        }
        Ok(())
    }

    /// Ends the case of a member that is not registered (any more): it must register when it is answered rightly.
    ///
    /// # Errors
    /// None; what it finds is the control after the probe.
    pub fn finish_by_registration(&mut self, cx: &mut Cx<'_>) -> Flow {
        match alive::unregistered_member(cx.world, &mut self.ks, REGISTRATION * 3) {
            Ok(()) => cx.alive_after("the member registered once it was answered rightly"),
            Err(fault) => cx.dead_after(&format!("the member did not register once it was answered rightly: {fault}")),
        }
        Ok(())
    }
}
