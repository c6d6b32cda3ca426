//! What the scheduler owes to a verdict: order, retries, panics, lost cases, and an end that comes from outside.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use hallmark_catalogue::{CaseInfo, Need, Verdict};
use hallmark_core::{Datagram, Instant, Now, Rng};
use hallmark_probe::world::{Party, Role};
use hallmark_runner::lab_world::LabWorlds;
use hallmark_runner::{Entry, LabSubject, LabSubjects, Plan, Progress, RecordedWorld, Watch, Worlds, run};
use hallmark_suite::{Case, Cx, Flow, Stop};

/// A subject that answers each datagram with its octets in reverse, once.
#[derive(Default)]
struct Echo {
    out: VecDeque<Datagram>,
    log: VecDeque<String>,
    deadline: Option<Instant>,
}

impl LabSubject for Echo {
    fn handle_datagram(&mut self, now: Now, datagram: &Datagram) {
        let mut payload = datagram.payload.clone();
        payload.reverse();
        self.out.push_back(Datagram::new(datagram.dst, datagram.src, payload));
        self.log.push_back(format!("{} octets", datagram.payload.len()));
        self.deadline = Some(now.mono + Duration::from_secs(3_000));
    }

    fn handle_timeout(&mut self, _: Now) {
        self.deadline = None;
        self.log.push_back("time is up".to_owned());
    }

    fn poll_transmit(&mut self) -> Option<Datagram> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    fn poll_log(&mut self) -> Option<String> {
        self.log.pop_front()
    }

    fn multicast_groups(&self) -> Vec<IpAddr> {
        Vec::new()
    }

    fn command(&mut self, now: Now, request: &str) -> Result<String, String> {
        self.handle_timeout(now);
        Ok(request.to_owned())
    }
}

struct Echoes;

impl LabSubjects for Echoes {
    fn start(&self, _: Role, config: &str, _: [u8; 32], _: Now) -> Result<Box<dyn LabSubject>, String> {
        if config == "wrong" { Err("line 1: wrong".to_owned()) } else { Ok(Box::new(Echo::default())) }
    }
}

/// A lab without data ports in which a case may take only so long in real time.
struct Hurried(LabWorlds<Echoes>, Duration);

impl Worlds for Hurried {
    fn make<'a>(&'a self, case: &Case, rng: Rng, watch: Watch<'a>) -> Result<Box<dyn RecordedWorld + 'a>, String> {
        self.0.make(case, rng, watch)
    }

    fn lacks(&self, case: &CaseInfo) -> Option<(String, String)> {
        case.needs.contains(&Need::Datapath).then(|| ("world.datapath".to_owned(), "false".to_owned()))
    }

    fn patience(&self, _: &CaseInfo) -> Duration {
        self.1
    }
}

const fn case(id: &'static str, run: fn(&mut Cx<'_>) -> Flow) -> Case {
    let info = CaseInfo { id, area: "test", requirements: &["GDOI-P1-001"], ..CaseInfo::BLANK };
    Case { info, run }
}

/// Sends some random octets and gives what comes back.
fn ask(cx: &mut Cx<'_>) -> Flow<Vec<u8>> {
    let payload = cx.world.rng().vec(20);
    let (from, to): (SocketAddr, SocketAddr) = (cx.tester(0), cx.subject());
    cx.world.send(Datagram::new(from, to, payload.clone()));
    let deadline = cx.in_secs(1);
    let answer = cx.world.recv_at(Party::Tester(0), deadline);
    let answer = cx.have(answer, "no answer")?;
    cx.require(answer.payload.iter().rev().eq(payload.iter()), "another answer")?;
    Ok(answer.payload)
}

fn good(cx: &mut Cx<'_>) -> Flow {
    cx.world.start(0, Role::Ks, "")?;
    ask(cx)?;
    cx.alive_before("it answered");
    cx.check("echo.reverse", &["GDOI-P1-001"], true, "x", "x");
    ask(cx)?;
    cx.alive_after("it answered");
    Ok(())
}

fn bad(cx: &mut Cx<'_>) -> Flow {
    cx.world.start(0, Role::Ks, "")?;
    ask(cx)?;
    cx.alive_before("it answered");
    cx.check("echo.reverse", &["GDOI-P1-001"], false, "x", "y");
    Ok(())
}

fn panics(_: &mut Cx<'_>) -> Flow {
    panic!("the case is wrong");
}

fn misconfigured(cx: &mut Cx<'_>) -> Flow {
    cx.world.start(0, Role::Ks, "wrong")?;
    Ok(())
}

fn endless(cx: &mut Cx<'_>) -> Flow {
    cx.world.start(0, Role::Ks, "")?;
    loop {
        let until = cx.in_secs(1);
        cx.world.rest(until);
    }
}

fn at_last(cx: &mut Cx<'_>) -> Flow {
    static TRIES: AtomicU32 = AtomicU32::new(0);
    if TRIES.fetch_add(1, Ordering::SeqCst) < 2 {
        return Err(Stop::Inconclusive("not yet".to_owned()));
    }
    good(cx)
}

fn waits(cx: &mut Cx<'_>) -> Flow {
    cx.world.start(0, Role::Ks, "")?;
    ask(cx)?;
    cx.wait_secs(86_400);
    let answer = cx.world.command(0, "{}")?;
    cx.require(answer == "{}", "another answer")?;
    cx.world.crash(0)?;
    let silent = ask(cx) == Err(Stop::Inconclusive("no answer".to_owned()));
    cx.require(silent, "a crashed subject answered")?;
    let refused = cx.world.command(0, "{}").is_err();
    cx.require(refused, "a crashed subject took a command")?;
    good(cx)
}

static GOOD: Case = case("T-001", good);
static BAD: Case = case("T-002", bad);
static PANICS: Case = case("T-003", panics);
static MISCONFIGURED: Case = case("T-004", misconfigured);
static ENDLESS: Case = case("T-005", endless);
static AT_LAST: Case = case("T-006", at_last);
static WAITS: Case = case("T-007", waits);
static ALSO_GOOD: Case = case("T-008", good);
static BEYOND: Case = Case { info: CaseInfo { id: "T-009", needs: &[Need::Datapath], ..CaseInfo::BLANK }, run: panics };

fn plan(cases: &[&'static Case]) -> Plan {
    Plan { cases: cases.to_vec(), seed: 7, jobs: 1, repeat: 1, retries: 0, max_fail: None }
}

fn lab() -> LabWorlds<Echoes> {
    LabWorlds { subjects: Echoes }
}

fn verdicts(plan: &Plan) -> Vec<(String, Verdict, String)> {
    let results = run(plan, &lab(), &AtomicBool::new(false), &mut |_| {});
    results.into_iter().map(|result| (result.id, result.verdict, result.reason)).collect()
}

#[test]
fn results_stand_in_the_order_of_the_plan_whatever_the_number_of_jobs() {
    let cases = [&WAITS, &BAD, &GOOD, &ALSO_GOOD];
    let one = verdicts(&plan(&cases));
    let many = verdicts(&Plan { jobs: 4, ..plan(&cases) });
    assert_eq!(one, many);
    let words: Vec<Verdict> = one.iter().map(|(_, verdict, _)| *verdict).collect();
    assert_eq!(words, [Verdict::Pass, Verdict::Fail, Verdict::Pass, Verdict::Pass], "{one:?}");
}

#[test]
fn one_seed_makes_one_transcript_and_each_case_and_attempt_its_own() {
    let record = |seed: u64, cases: &[&'static Case]| {
        let mut texts = Vec::new();
        let plan = Plan { seed, repeat: 2, ..plan(cases) };
        run(&plan, &lab(), &AtomicBool::new(false), &mut |progress| {
            if let Progress::Finished(finished) = progress {
                texts.extend(finished.transcripts.iter().map(hallmark_runner::Transcript::canonical));
            }
        });
        texts
    };
    let texts = record(7, &[&GOOD, &ALSO_GOOD]);
    assert_eq!(texts, record(7, &[&GOOD, &ALSO_GOOD]));
    assert_eq!(texts[2..], record(7, &[&ALSO_GOOD]), "a case does not depend on its neighbours");
    let mut different = texts;
    different.extend(record(8, &[&GOOD]));
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 6);
}

#[test]
fn a_case_that_panics_is_an_error_and_no_verdict_on_the_subject() {
    let results = verdicts(&plan(&[&PANICS, &GOOD]));
    assert_eq!(results[0].1, Verdict::Error);
    assert!(results[0].2.contains("the case is wrong"), "{}", results[0].2);
    assert_eq!(results[1].1, Verdict::Pass, "the next case goes on");
}

#[test]
fn a_subject_that_does_not_start_is_inconclusive_with_its_own_words() {
    let results = verdicts(&plan(&[&MISCONFIGURED]));
    assert_eq!(results[0].1, Verdict::Inconclusive);
    assert!(results[0].2.contains("line 1: wrong"), "{}", results[0].2);
}

#[test]
fn only_what_has_no_verdict_is_tried_again() {
    let tried = |case: &'static Case, retries: u32| {
        let results = run(&Plan { retries, ..plan(&[case]) }, &lab(), &AtomicBool::new(false), &mut |_| {});
        (results[0].verdict, results[0].attempts.len())
    };
    assert_eq!(tried(&BAD, 5), (Verdict::Fail, 1));
    assert_eq!(tried(&GOOD, 5), (Verdict::Pass, 1));
    assert_eq!(tried(&AT_LAST, 5), (Verdict::Pass, 3));
    assert_eq!(tried(&MISCONFIGURED, 2), (Verdict::Inconclusive, 3));
}

#[test]
fn a_case_that_never_ends_is_lost_and_says_so() {
    let worlds = Hurried(lab(), Duration::from_millis(200));
    let results = run(&plan(&[&ENDLESS, &GOOD]), &worlds, &AtomicBool::new(false), &mut |_| {});
    assert_eq!(results[0].verdict, Verdict::Error);
    assert!(results[0].reason.contains("did not end within"), "{}", results[0].reason);
    assert_eq!(results[1].verdict, Verdict::Pass);
}

#[test]
fn a_run_that_is_stopped_has_no_result_for_what_did_not_end() {
    let stop = AtomicBool::new(false);
    let results = run(&plan(&[&GOOD, &ENDLESS, &ALSO_GOOD]), &lab(), &stop, &mut |progress| {
        if let Progress::Started(case) = progress
            && case.info.id == ENDLESS.info.id
        {
            stop.store(true, Ordering::SeqCst);
        }
    });
    let ids: Vec<&str> = results.iter().map(|result| result.id.as_str()).collect();
    assert_eq!(ids, [GOOD.info.id]);
}

#[test]
fn the_allowed_number_of_failures_ends_a_run() {
    let plan = Plan { max_fail: Some(1), ..plan(&[&GOOD, &BAD, &ENDLESS]) };
    let results = run(&plan, &lab(), &AtomicBool::new(false), &mut |_| {});
    assert_eq!(results.len(), 2);
}

#[test]
fn what_a_world_cannot_do_does_not_apply_and_is_not_run() {
    let without = Hurried(lab(), Duration::from_secs(10));
    let results = run(&plan(&[&BEYOND]), &without, &AtomicBool::new(false), &mut |_| {});
    assert_eq!(results[0].verdict, Verdict::Na);
    assert!(results[0].reason.contains("world.datapath"), "{}", results[0].reason);
}

#[test]
fn a_record_tells_what_was_sent_received_said_and_done() {
    let mut kinds = Vec::new();
    run(&plan(&[&WAITS]), &lab(), &AtomicBool::new(false), &mut |progress| {
        if let Progress::Finished(finished) = progress {
            for entry in &finished.transcripts[0].entries {
                kinds.push(match entry {
                    Entry::Carried { .. } => "carried",
                    Entry::Datagram { sent: true, .. } => "sent",
                    Entry::Datagram { .. } => "received",
                    Entry::Packet { .. } => "packet",
                    Entry::Note { .. } => "note",
                    Entry::Log { .. } => "log",
                    Entry::Console { .. } => "console",
                });
            }
            finished.result.reproduce = "again".to_owned();
        }
    });
    assert_eq!(&kinds[..4], ["console", "sent", "log", "received"]);
    assert!(kinds.contains(&"note"));
}
