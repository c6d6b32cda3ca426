//! Runs cases, several at a time, and gives each its verdict.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use hallmark_catalogue::{CaseResult, Decision, Outcome, TroubleKind, decide};
use hallmark_core::Rng;
use hallmark_probe::world::World;
use hallmark_suite::{Case, Cx, Stop};

use crate::transcript::Transcript;

/// Makes the world that one attempt at a case runs in. Every attempt gets a fresh one.
pub trait Worlds: Sync {
    /// Makes a world whose every random choice comes from `rng`.
    ///
    /// # Errors
    /// Gives the reason as text when the world cannot be built: the attempt is an error, not a verdict.
    fn make<'a>(&'a self, case: &Case, rng: Rng) -> Result<Box<dyn RecordedWorld + 'a>, String>;
}

/// A world that keeps what happened in it.
pub trait RecordedWorld: World {
    /// Ends the world and hands over what it recorded.
    fn finish(self: Box<Self>) -> Transcript;
    /// Lends this as a plain world.
    fn as_world(&mut self) -> &mut (dyn World + '_);
}

/// What to run and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The cases, in the order in which they start.
    pub cases: Vec<&'static Case>,
    /// Decides every random choice together with the case id and the attempt.
    pub seed: u64,
    /// Cases that run at once.
    pub jobs: usize,
    /// Further attempts at a case that ended as error or inconclusive; a failure is never tried again.
    pub retries: u32,
    /// Ends the run after so many failures.
    pub max_fail: Option<usize>,
}

/// Is one finished case with what is needed to write its evidence.
pub struct Finished {
    /// The case.
    pub case: &'static Case,
    /// Its result; the evidence path and reproduce command are still empty.
    pub result: CaseResult,
    /// One record per attempt.
    pub transcripts: Vec<Transcript>,
}

/// Tells how a run goes.
pub enum Progress<'a> {
    /// A case starts.
    Started(&'static Case),
    /// A case has its verdict.
    Finished(&'a Finished),
}

/// Runs the plan. Results come through `progress` as they are there, and are returned in the order of the plan, so
/// that they do not depend on the number of jobs. A case without a result (stopped early) is missing.
pub fn run(
    plan: &Plan,
    worlds: &dyn Worlds,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Vec<CaseResult> {
    enum Message {
        Started(usize),
        Done(usize, Box<Finished>),
    }
    let next = AtomicUsize::new(0);
    let mut results: BTreeMap<usize, CaseResult> = BTreeMap::new();
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..plan.jobs.max(1) {
            let sender = sender.clone();
            let next = &next;
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(case) = plan.cases.get(index) else { break };
                    if stop.load(Ordering::SeqCst) || sender.send(Message::Started(index)).is_err() {
                        break;
                    }
                    let finished = run_case(case, plan, worlds);
                    if sender.send(Message::Done(index, Box::new(finished))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut failures = 0;
        for message in receiver {
            match message {
                Message::Started(index) => progress(Progress::Started(plan.cases[index])),
                Message::Done(index, finished) => {
                    progress(Progress::Finished(&finished));
                    failures += usize::from(finished.result.is_unexpected(false));
                    results.insert(index, finished.result);
                    if plan.max_fail.is_some_and(|limit| failures >= limit) {
                        stop.store(true, Ordering::SeqCst);
                    }
                }
            }
        }
    });
    results.into_values().collect()
}

/// Runs one case with its retries.
pub fn run_case(case: &'static Case, plan: &Plan, worlds: &dyn Worlds) -> Finished {
    let started = std::time::Instant::now();
    let mut attempts: Vec<(Outcome, Decision)> = Vec::new();
    let mut transcripts = Vec::new();
    let mut world_ms = 0;
    for attempt in 0..=plan.retries {
        let rng = Rng::from_u64(plan.seed).fork(&format!("{}/{attempt}", case.info.id));
        let (outcome, transcript) = run_attempt(case, worlds, rng);
        let decision = decide(&case.info, &outcome);
        world_ms = transcript.duration().as_millis() as u64;
        let again = decision.verdict.may_be_retried();
        attempts.push((outcome, decision));
        transcripts.push(transcript);
        if !again {
            break;
        }
    }
    let mut result = CaseResult::from_attempts(&case.info, attempts).expect("at least one attempt was made");
    result.wall_ms = started.elapsed().as_millis() as u64;
    result.world_ms = world_ms;
    Finished { case, result, transcripts }
}

fn run_attempt(case: &'static Case, worlds: &dyn Worlds, rng: Rng) -> (Outcome, Transcript) {
    let mut world = match worlds.make(case, rng) {
        Ok(world) => world,
        Err(why) => {
            let mut outcome = Outcome::default();
            outcome.trouble(TroubleKind::Infra, why);
            return (outcome, Transcript::default());
        }
    };
    let mut cx = Cx::new(world.as_world());
    let ended = catch_unwind(AssertUnwindSafe(|| (case.run)(&mut cx)));
    let mut outcome = cx.close();
    match ended {
        Ok(Ok(()) | Err(Stop::Judged)) => {}
        Ok(Err(Stop::Inconclusive(why))) => outcome.trouble(TroubleKind::Inconclusive, why),
        Ok(Err(Stop::NotHere(why))) => outcome.not_applicable("world", why),
        Ok(Err(Stop::NotSupported(leaf, value))) => outcome.not_applicable(leaf, value),
        Err(panic) => outcome.trouble(TroubleKind::Infra, format!("the case panicked: {}", panic_text(&*panic))),
    }
    (outcome, world.finish())
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
