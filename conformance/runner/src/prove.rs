//! The proof that the suite judges right: every case against every defect and every variant of the reference.
//!
//! A defect is caught by a case that fails or warns; a variant is punished by a case that does anything but pass. This
//! module makes the attempts; what they prove is concluded from the matrix that is made of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use hallmark_catalogue::{CaseInfo, Verdict};
use hallmark_suite::Case;

use crate::schedule::{Plan, Worlds, run_case};

/// Names one switch of the reference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Switch {
    /// Nothing is switched on.
    Conforming,
    /// A wrong behaviour.
    Defect(&'static str),
    /// A legal difference.
    Variant(&'static str),
}

/// What to prove.
#[derive(Clone, Debug)]
pub struct ProofPlan {
    /// The cases.
    pub cases: Vec<&'static Case>,
    /// The defects that are to be caught.
    pub defects: Vec<&'static str>,
    /// The variants that no case may punish.
    pub variants: Vec<&'static str>,
    /// Whether every case runs against every switch, or only against the defects that it declares and the variants that
    /// concern it.
    pub full: bool,
    /// Tells whether a variant can change anything for a case.
    pub concerns: fn(&str, &CaseInfo) -> bool,
    /// Decides every random choice.
    pub seed: u64,
    /// Attempts that run at once.
    pub jobs: usize,
}

/// Makes the worlds in which a switch is on.
pub trait Switchboard: Sync {
    /// Lends the worlds for a switch; `None` for a name that the reference does not know.
    fn worlds(&self, switch: Switch) -> Option<Box<dyn Worlds + '_>>;
}

/// Is one cell of the kill matrix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cell {
    /// The case.
    pub case: &'static str,
    /// What became of it.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

impl Cell {
    /// Tells whether the case caught the defect.
    #[must_use]
    pub const fn caught(&self) -> bool {
        matches!(self.verdict, Verdict::Fail | Verdict::Warn)
    }

    /// Tells whether the case did to a conforming subject what none deserves.
    #[must_use]
    pub const fn punished(&self) -> bool {
        !matches!(self.verdict, Verdict::Pass | Verdict::Info)
    }
}

/// What the attempts came to, in the order of the plan, whatever the number of jobs was.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// The cases against the conforming reference.
    pub conforming: Vec<Cell>,
    /// The cases against each defect.
    pub defects: BTreeMap<&'static str, Vec<Cell>>,
    /// The cases against each variant.
    pub variants: BTreeMap<&'static str, Vec<Cell>>,
    /// Whether the proof was stopped before its end.
    pub stopped: bool,
}

/// Runs the proof. `progress` hears of each attempt: how many are done, how many there are, which one.
pub fn prove(
    plan: &ProofPlan,
    switchboard: &dyn Switchboard,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize, Switch, &Cell),
) -> Proof {
    let mut proof = Proof {
        defects: plan.defects.iter().map(|name| (*name, Vec::new())).collect(),
        variants: plan.variants.iter().map(|name| (*name, Vec::new())).collect(),
        ..Proof::default()
    };
    let attempts = attempts(plan);
    let case_plan = Plan { cases: Vec::new(), seed: plan.seed, jobs: 1, repeat: 1, retries: 0, max_fail: None };
    let next = AtomicUsize::new(0);
    let mut cells: BTreeMap<usize, Cell> = BTreeMap::new();
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..plan.jobs.clamp(1, attempts.len().max(1)) {
            let sender = sender.clone();
            let (next, attempts, case_plan) = (&next, &attempts, &case_plan);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some((switch, case)) = attempts.get(index) else { break };
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let Some(worlds) = switchboard.worlds(*switch) else { continue };
                    let Some(finished) = run_case(case, case_plan, &*worlds, stop) else { break };
                    let result = finished.result;
                    let cell = Cell { case: case.info.id, verdict: result.verdict, reason: result.reason };
                    if sender.send((index, cell)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (index, cell) in receiver {
            if let Some((switch, _)) = attempts.get(index) {
                progress(cells.len() + 1, attempts.len(), *switch, &cell);
            }
            cells.insert(index, cell);
        }
    });
    proof.stopped = stop.load(Ordering::SeqCst);
    for (index, cell) in cells {
        match attempts.get(index).map(|(switch, _)| *switch) {
            Some(Switch::Conforming) => proof.conforming.push(cell),
            Some(Switch::Defect(name)) => proof.defects.entry(name).or_default().push(cell),
            Some(Switch::Variant(name)) => proof.variants.entry(name).or_default().push(cell),
            None => {}
        }
    }
    proof
}

/// Lists what is to be tried: first the conforming reference, then the declared catches, then the rest.
fn attempts(plan: &ProofPlan) -> Vec<(Switch, &'static Case)> {
    let all = |switch: Switch| plan.cases.iter().map(move |case| (switch, *case));
    let declares = |case: &Case, defect: &str| case.info.catches.contains(&defect);
    let mut attempts: Vec<(Switch, &'static Case)> = all(Switch::Conforming).collect();
    for defect in &plan.defects {
        attempts.extend(all(Switch::Defect(defect)).filter(|(_, case)| declares(case, defect)));
    }
    for variant in &plan.variants {
        let concerned = |case: &Case| plan.full || (plan.concerns)(variant, &case.info);
        attempts.extend(all(Switch::Variant(variant)).filter(|(_, case)| concerned(case)));
    }
    if plan.full {
        for defect in &plan.defects {
            attempts.extend(all(Switch::Defect(defect)).filter(|(_, case)| !declares(case, defect)));
        }
    }
    attempts
}
