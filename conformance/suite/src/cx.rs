//! What a case is handed: the world it runs in, and the book that it writes its judgements into.

use std::fmt::Display;
use std::net::SocketAddr;

use hallmark_catalogue::{Check, CheckResult, Confidence, Outcome};
use hallmark_core::{Duration, Instant};
use hallmark_probe::step::Fault;
use hallmark_probe::world::{Party, Unavailable, World};

/// Ends a case early. A case that ran to its end returns `Ok(())` whatever its checks say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    /// A precondition or control was not met: no verdict about the subject is possible.
    Inconclusive(String),
    /// The world has no such facility: the case does not apply here.
    NotHere(String),
    /// The subject was declared not to support this: leaf and value of the declaration.
    NotSupported(String, String),
    /// A check that the rest of the case rests on has failed; its failure is already in the book.
    Judged,
}

impl From<Unavailable> for Stop {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::NotHere(why) => Self::NotHere(why),
            Unavailable::Failed(why) => Self::Inconclusive(why),
        }
    }
}

/// What a case and its helpers return.
pub type Flow<T = ()> = Result<T, Stop>;

/// Turns a failure of the tester itself into the end of the case.
pub(crate) fn sent<T>(result: Result<T, Fault>) -> Flow<T> {
    result.map_err(|fault| Stop::Inconclusive(fault.to_string()))
}

/// The world and the book of one case.
pub struct Cx<'w> {
    /// Where the case runs.
    pub world: &'w mut dyn World,
    outcome: Outcome,
}

impl<'w> Cx<'w> {
    /// Opens the book.
    #[must_use]
    pub fn new(world: &'w mut dyn World) -> Self {
        Self { world, outcome: Outcome::default() }
    }

    /// Closes the book and gives what stands in it.
    #[must_use]
    pub fn close(self) -> Outcome {
        self.outcome
    }

    /// Judges something that was seen. `id` names the check for good (`push.cookies-are-kek-spi`); its level is that of
    /// the strongest requirement cited. Returns whether it held.
    pub fn check(&mut self, id: &str, requirements: &[&str], ok: bool, expected: &str, observed: impl Display) -> bool {
        let check = Check::new(id, requirements).at(self.world.now());
        self.record(check.saw(ok, expected, observed.to_string()))
    }

    /// Judges something that is a failure under any rule: a crash, a hang, unbounded growth, disclosed keys, or a state
    /// change by unauthenticated or invalid input.
    pub fn grave(&mut self, id: &str, requirements: &[&str], ok: bool, expected: &str, observed: impl Display) -> bool {
        let check = Check::new(id, requirements).grave().at(self.world.now());
        self.record(check.saw(ok, expected, observed.to_string()))
    }

    /// Judges something that was not to come. Silence alone proves nothing: call it only where the same SA is shown to
    /// be alive before and after (the valid message that follows is answered), which is what its confidence says.
    pub fn silence(
        &mut self,
        id: &str,
        requirements: &[&str],
        ok: bool,
        expected: &str,
        observed: impl Display,
    ) -> bool {
        let check = Check::new(id, requirements).at(self.world.now());
        self.record(check.silence(ok, expected, observed.to_string(), Confidence::WireAndControl))
    }

    /// Judges a silence whose breach is a state change by unauthenticated or invalid input, or a disclosure.
    pub fn grave_silence(
        &mut self,
        id: &str,
        requirements: &[&str],
        ok: bool,
        expected: &str,
        observed: impl Display,
    ) -> bool {
        let check = Check::new(id, requirements).grave().at(self.world.now());
        self.record(check.silence(ok, expected, observed.to_string(), Confidence::WireAndControl))
    }

    /// Keeps a check that was built by hand (another level, a pinned signature, another confidence).
    pub fn record(&mut self, check: CheckResult) -> bool {
        let ok = check.ok;
        self.world.note(&format!("{} {}: {}", if ok { "held" } else { "NOT HELD" }, check.id, check.observed));
        self.outcome.record(check);
        ok
    }

    /// Keeps a number that is not judged.
    pub fn measure(&mut self, name: &str, value: f64, unit: &str) {
        self.outcome.measurements.push(hallmark_catalogue::Measurement {
            name: name.to_owned(),
            value,
            unit: unit.to_owned(),
        });
    }

    /// Notes that the subject was seen to work before the probe.
    pub fn alive_before(&mut self, how: &str) {
        self.world.note(&format!("control before: {how}"));
        self.outcome.alive_before(how);
    }

    /// Notes that the subject was seen to work after the probe. A case of several scenes has several such controls; one
    /// that failed is not made good by a subject that was started anew.
    pub fn alive_after(&mut self, how: &str) {
        if matches!(self.outcome.after, hallmark_catalogue::Control::Dead(_)) {
            return;
        }
        self.world.note(&format!("control after: {how}"));
        self.outcome.alive_after(how);
    }

    /// Notes that the subject did not work after the probe.
    pub fn dead_after(&mut self, what: &str) {
        self.world.note(&format!("control after FAILED: {what}"));
        self.outcome.after = hallmark_catalogue::Control::Dead(what.to_owned());
    }

    /// Lends what was found out so far.
    #[must_use]
    pub fn outcome(&mut self) -> &mut Outcome {
        &mut self.outcome
    }

    /// Demands a precondition.
    ///
    /// # Errors
    /// `Inconclusive` when it is not met.
    pub fn require(&self, met: bool, why: impl Display) -> Flow {
        if met { Ok(()) } else { Err(Stop::Inconclusive(why.to_string())) }
    }

    /// Unwraps what has to be there for the case to go on.
    ///
    /// # Errors
    /// `Inconclusive` when it is missing.
    pub fn have<T>(&self, value: Option<T>, why: impl Display) -> Flow<T> {
        value.ok_or_else(|| Stop::Inconclusive(why.to_string()))
    }

    /// Gives the time so many seconds from now.
    #[must_use]
    pub fn in_secs(&self, secs: u64) -> Instant {
        self.world.now() + Duration::from_secs(secs)
    }

    /// Lets so many seconds pass; what arrives meanwhile is recorded in the evidence and dropped.
    pub fn wait_secs(&mut self, secs: u64) {
        let until = self.in_secs(secs);
        while self.world.recv(until).is_some() {}
    }

    /// Gives the address of the n-th tester end.
    #[must_use]
    pub fn tester(&self, n: u8) -> SocketAddr {
        self.world.address(Party::Tester(n))
    }

    /// Gives the address of the subject.
    #[must_use]
    pub fn subject(&self) -> SocketAddr {
        self.world.address(Party::Subject(0))
    }

    /// Gives the first multicast group that the case may use.
    #[must_use]
    pub fn multicast(&self) -> SocketAddr {
        self.world.address(Party::Group(0))
    }
}
