//! The usual beginning and end of a case: start the subject, see it work, and at the end see it work again.

use hallmark_core::Duration;
use hallmark_probe::gm::{ProbeGm, Push, Registration};
use hallmark_probe::world::Role;

use crate::cx::{Cx, Flow, Stop};
use crate::setup::KsSetup;

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
            Err(fault) => cx.dead_after(&format!("a member that took no part in the probe could not register: {fault}")),
        }
        Ok(())
    }
}
