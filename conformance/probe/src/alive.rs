//! Controls: a drop is proven by showing that the subject still works, never by silence alone.

use hallmark_core::Duration;

use crate::gm::{GmScript, ProbeGm, Registration};
use crate::ks::{AckSeen, ProbeKs};
use crate::step::{Fault, Step};
use crate::world::World;

/// Shows that a key server is alive: another end of the tester runs phase 1 and PULL from scratch.
///
/// # Errors
/// Says where the registration stopped.
pub fn key_server(world: &mut dyn World, tester: u8) -> Result<Registration, Fault> {
    ProbeGm::new(world, tester).register(world)
}

/// Shows that a key server with an unusual setup is alive: the end of the tester follows this script, but speaks from
/// its own address.
///
/// # Errors
/// Says where the registration stopped.
pub fn key_server_as(world: &mut dyn World, tester: u8, script: &GmScript) -> Result<Registration, Fault> {
    let own = GmScript::new(world, tester);
    let script = GmScript { tester: own.tester, me: own.me, ..script.clone() };
    ProbeGm::with_script(world, script).register(world)
}

/// Shows that a key server still holds a phase 1 SA: a PULL under it succeeds.
///
/// # Errors
/// Says where the PULL stopped.
pub fn phase1_sa(world: &mut dyn World, gm: &mut ProbeGm) -> Result<Registration, Fault> {
    gm.untamper();
    gm.pull(world)
}

/// Shows that a registered group member is alive: it acknowledges a valid PUSH with the next sequence number. The KEK
/// must ask for acknowledgements, as that of the standard script does.
///
/// # Errors
/// `Silent` when no valid acknowledgement comes.
pub fn group_member(world: &mut dyn World, ks: &mut ProbeKs, patience: Duration) -> Result<AckSeen, Fault> {
    let start = world.now();
    let push = ks.push_fresh_tek(world)?;
    ks.await_ack(world, &push, start + patience)
        .ok_or_else(|| Fault::Silent { step: Step::Ack, waited: world.now().saturating_since(start) })
}

/// Shows that a group member that is not registered is alive: it registers when the key server answers rightly.
///
/// # Errors
/// Says where the registration stopped.
pub fn unregistered_member(world: &mut dyn World, ks: &mut ProbeKs, patience: Duration) -> Result<(), Fault> {
    ks.untamper();
    ks.answer_all();
    ks.await_registration(world, patience).map(|_| ())
}
