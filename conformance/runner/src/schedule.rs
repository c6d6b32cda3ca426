//! Runs cases, several at a time, and gives each its verdict.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hallmark_catalogue::{CaseInfo, CaseResult, Check, Decision, Outcome, Subject, TroubleKind, decide};
use hallmark_core::Rng;
use hallmark_probe::world::{Role, Unavailable, World};
use hallmark_suite::setup::{GmSetup, KsSetup};
use hallmark_suite::{Case, Cx, Stop};

use crate::transcript::Transcript;
use crate::watch::{Break, Watch};

/// Makes the world that one attempt at a case runs in. Every attempt gets a fresh one.
pub trait Worlds: Sync {
    /// Makes a world whose every random choice comes from `rng`. Whenever it lets time pass, it asks the watch.
    ///
    /// # Errors
    /// Gives the reason as text when the world cannot be built: the attempt is an error, not a verdict.
    fn make<'a>(&'a self, case: &Case, rng: Rng, watch: Watch<'a>) -> Result<Box<dyn RecordedWorld + 'a>, String>;

    /// Says what such a world lacks for a case, as leaf and value of the declaration of support; such a case does not
    /// apply and is not run.
    fn lacks(&self, case: &CaseInfo) -> Option<(String, String)>;

    /// Says how long one attempt may take in real time before it counts as lost.
    fn patience(&self, case: &CaseInfo) -> Duration;
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
    /// Times that each case is run; every attempt has random choices of its own.
    pub repeat: u32,
    /// Further attempts at a case that ended as error or inconclusive; a failure is never tried again.
    pub retries: u32,
    /// Ends the run after so many failures.
    pub max_fail: Option<usize>,
}

/// Is one finished case with what is needed to write its evidence.
pub struct Finished {
    /// The case.
    pub case: &'static Case,
    /// Its result; who runs the plan may add evidence path, reproduce command and waiver.
    pub result: CaseResult,
    /// One record per attempt.
    pub transcripts: Vec<Transcript>,
}

/// Tells how a run goes.
pub enum Progress<'a> {
    /// A case starts.
    Started(&'static Case),
    /// A case has its verdict. What is changed in the result stays changed.
    Finished(&'a mut Finished),
    /// Nothing happened for a while.
    Waiting,
}

/// How long nothing may happen before that is told.
const TICK: Duration = Duration::from_millis(500);

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
        for _ in 0..plan.jobs.clamp(1, plan.cases.len().max(1)) {
            let sender = sender.clone();
            let next = &next;
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(case) = plan.cases.get(index) else { break };
                    if stop.load(Ordering::SeqCst) || sender.send(Message::Started(index)).is_err() {
                        break;
                    }
                    let Some(finished) = run_case(case, plan, worlds, stop) else { break };
                    if sender.send(Message::Done(index, Box::new(finished))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut failures = 0;
        loop {
            let message = match receiver.recv_timeout(TICK) {
                Ok(message) => message,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    progress(Progress::Waiting);
                    continue;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            };
            match message {
                Message::Started(index) => progress(Progress::Started(plan.cases[index])),
                Message::Done(index, mut finished) => {
                    progress(Progress::Finished(&mut finished));
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

/// Starts a subject once with the standard setup of its role, before anything is judged by it: a program that is not
/// there, or does not know how to start, is no property of any case.
///
/// # Errors
/// Says why it did not start.
pub fn preflight(case: &'static Case, worlds: &dyn Worlds, seed: u64, stop: &AtomicBool) -> Result<(), String> {
    let patience = worlds.patience(&case.info);
    let rng = Rng::from_u64(seed).fork("preflight");
    let mut world = worlds.make(case, rng, Watch::new(stop, Instant::now() + patience))?;
    let (role, config) = match case.info.subject {
        Subject::Ks => (Role::Ks, KsSetup::standard(world.as_world()).to_toml()),
        Subject::Gm => (Role::Gm, GmSetup::standard(world.as_world()).to_toml()),
    };
    let started = catch_unwind(AssertUnwindSafe(|| world.as_world().start(0, role, &config)));
    let transcript = world.finish();
    match started {
        // A device that is configured otherwise runs the cases that fit it; which ones, each case finds out.
        Ok(Ok(()) | Err(Unavailable::NotHere(_))) => Ok(()),
        Ok(Err(Unavailable::Failed(why))) => Err(why),
        Err(_) => Err(transcript.died.unwrap_or_else(|| format!("no answer within {} s", patience.as_secs()))),
    }
}

/// Runs one case with its repetitions and retries; nothing when the run was stopped meanwhile.
pub fn run_case(case: &'static Case, plan: &Plan, worlds: &dyn Worlds, stop: &AtomicBool) -> Option<Finished> {
    let started = Instant::now();
    let mut attempts: Vec<(Outcome, Decision)> = Vec::new();
    let mut transcripts = Vec::new();
    let mut world_ms = 0;
    for _ in 0..plan.repeat.max(1) {
        for _ in 0..=plan.retries {
            let rng = Rng::from_u64(plan.seed).fork(&format!("{}/{}", case.info.id, attempts.len()));
            let (outcome, transcript) = run_attempt(case, worlds, rng, stop)?;
            let decision = decide(&case.info, &outcome);
            world_ms += u64::try_from(transcript.duration().as_millis()).unwrap_or(u64::MAX);
            let again = decision.verdict.may_be_retried();
            attempts.push((outcome, decision));
            transcripts.push(transcript);
            if !again {
                break;
            }
        }
    }
    let mut result = CaseResult::from_attempts(&case.info, attempts)?;
    result.wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    result.world_ms = world_ms;
    Some(Finished { case, result, transcripts })
}

/// Makes one attempt; nothing when the run was stopped meanwhile.
fn run_attempt(case: &'static Case, worlds: &dyn Worlds, rng: Rng, stop: &AtomicBool) -> Option<(Outcome, Transcript)> {
    let mut outcome = Outcome::default();
    if let Some((leaf, value)) = worlds.lacks(&case.info) {
        outcome.not_applicable(leaf, value);
        return Some((outcome, Transcript::default()));
    }
    let patience = worlds.patience(&case.info);
    let mut world = match worlds.make(case, rng, Watch::new(stop, Instant::now() + patience)) {
        Ok(world) => world,
        Err(why) => {
            outcome.trouble(TroubleKind::Infra, why);
            return Some((outcome, Transcript::default()));
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
        Err(panic) => match panic.downcast_ref::<Break>() {
            Some(Break::Stopped) => {
                world.finish();
                return None;
            }
            Some(Break::Overdue) => {
                let what = format!("the case did not end within {} s of real time", patience.as_secs());
                outcome.trouble(TroubleKind::Timeout, what);
            }
            Some(Break::Died) => {}
            None => outcome.trouble(TroubleKind::Infra, format!("the case panicked: {}", panic_text(&*panic))),
        },
    }
    let transcript = world.finish();
    if let Some(how) = &transcript.died {
        // REQ IKE-DOS-007: nothing that a peer sends may end the process.
        outcome.record(Check::new("subject.survives", &["IKE-DOS-007"]).grave().saw(
            false,
            "it keeps running",
            how.as_str(),
        ));
        outcome.alive_before("it had started and said that it was ready");
    }
    if let Some(fault) = &transcript.fault {
        // A world that failed is often why a precondition was not met, and nothing that was seen in it counts.
        if outcome.trouble.as_ref().is_some_and(|trouble| trouble.kind == TroubleKind::Inconclusive) {
            outcome.trouble = None;
        }
        outcome.trouble(TroubleKind::Infra, fault.clone());
    }
    Some((outcome, transcript))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
