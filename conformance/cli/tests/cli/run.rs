//! `hallmark run` from outside: exit codes, the run folder, determinism, and what is left of a run that was killed.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::common::{Bench, installed, project};
use serde_json::Value;

/// A case that passes, and a defect that it catches.
const CASE: &str = "PULLK-003";

fn a_defect(bench: &Bench, case: &str) -> String {
    let cases = bench.run(&["list", case, "--format", "json"]).json();
    cases[0]["catches"][0].as_str().unwrap().to_owned()
}

#[test]
fn a_passing_run_ends_with_0_and_a_failing_one_with_1() {
    let bench = Bench::new();
    let good = bench.run(&["run", CASE, "--seed", "7", "--out", "good"]);
    assert_eq!(good.code, 0, "{}{}", good.out, good.err);
    assert!(good.out.contains("1 of 1 passed"), "{}", good.out);
    let defect = a_defect(&bench, CASE);
    let bad = bench.run(&["run", CASE, "--seed", "7", "--out", "bad", "--defect", &defect, "--deny", "warn"]);
    assert_eq!(bad.code, 1, "{}{}", bad.out, bad.err);
    assert!(bad.out.contains("next    hallmark rerun bad --failed"), "{}", bad.out);
    let results = bench.json("bad/results.json");
    assert!(results["cases"][0]["reproduce"].as_str().unwrap().contains(&format!("--seed 7 --defect {defect}")));
    assert_eq!(results["exit_code"], 1);

    let gate = bench.run(&["diff", "good", "bad", "--fail-on", "regression"]);
    let regressed = results["cases"][0]["verdict"] == "fail";
    assert_eq!(gate.code, if regressed { 7 } else { 0 }, "{}", gate.out);
    assert_eq!(bench.run(&["diff", "good", "good", "--fail-on", "regression,new-fail,lost-coverage"]).code, 0);
}

#[test]
fn what_is_wrong_on_the_command_line_ends_with_2_and_a_suggestion() {
    let bench = Bench::new();
    for (args, part) in [
        (vec!["run", "PULK-003"], "did you mean `PULLK-003`"),
        (vec!["run", "aera(gdoi.push)"], "did you mean `area`"),
        (vec!["run", "area(gdoi.psh)"], "did you mean"),
        (vec!["run", CASE, "--defect", "no_such_defect"], "no defect is called"),
        (vec!["run", CASE, "--variant", "no_such_variant"], "no variant is called"),
        (vec!["run", CASE, "--target", "prozess"], "did you mean `process`"),
        (vec!["run", CASE, "--target", "udp:192.0.2.1"], "hallmark setup"),
        (vec!["run", CASE, "--shard", "hash:5/4"], "between 1 and 4"),
        (vec!["run", CASE, "--waivers", "none.toml"], "none.toml"),
        (vec!["run", CASE, "--clock-rate", "20"], "virtual time"),
        (vec!["run", CASE, "--report", "xml:out.xml"], "junit"),
        (vec!["explain", "PULLK-03"], "did you mean"),
        (vec!["list", "level(mst)"], "did you mean `MUST`"),
        (vec!["schema", "result"], "did you mean `results`"),
        (vec!["diff", "here", "there"], "here: there is no such run"),
        (vec!["rerun", "nowhere"], "nowhere: there is no such run"),
        (vec!["catalogue", "trace", "--spec", "gdio"], "did you mean `gdoi`"),
        (vec!["prove", "--defect", "no_such_defect"], "no defect is called"),
        (vec!["ks", "--config", "none.toml"], "none.toml"),
        (vec!["rum"], "run"),
    ] {
        let answer = bench.run(&args);
        assert_eq!(answer.code, 2, "{args:?}: {}{}", answer.out, answer.err);
        assert!(answer.err.contains(part), "{args:?}: {}", answer.err);
    }
    assert!(!bench.root.join("runs").exists(), "nothing was run, so nothing was written");
}

#[test]
fn nothing_selected_is_loud_unless_a_shard_may_be_empty() {
    let bench = Bench::new();
    let none = bench.run(&["run", "role(ks) and role(gm)"]);
    assert_eq!(none.code, 4, "{}", none.err);
    assert!(none.err.contains("--why"), "{}", none.err);
    assert_eq!(bench.run(&["list", "none()"]).code, 4);
    let empty: Vec<&str> = (1..=2)
        .map(|part| if part == 1 { "slice:1/2" } else { "slice:2/2" })
        .filter(|shard| bench.run(&["run", CASE, "--dry-run", "--shard", shard]).code == 4)
        .collect();
    assert_eq!(empty.len(), 1, "one case is in exactly one of two shards");
    assert_eq!(bench.run(&["run", CASE, "--shard", empty[0]]).code, 4);
    assert_eq!(bench.run(&["run", CASE, "--shard", empty[0], "--allow-empty"]).code, 0);
}

#[test]
fn a_dry_run_has_no_verdicts() {
    let bench = Bench::new();
    let answer = bench.run(&["run", "area(gdoi.pull)", "--dry-run"]);
    assert_eq!(answer.code, 0);
    assert!(answer.out.contains(CASE) && answer.out.contains("nothing was judged"), "{}", answer.out);
    for word in ["pass", "fail "] {
        assert!(!answer.out.contains(&format!("{word} [")), "{}", answer.out);
    }
    assert!(!bench.root.join("runs").exists());
}

#[test]
fn a_run_folder_holds_what_a_verdict_rests_on() {
    let bench = Bench::new();
    let answer = bench.run(&["run", CASE, "--seed", "3", "--status-json", "--report", "junit-strict:ci/junit.xml"]);
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    let status: Value = serde_json::from_str(answer.out.lines().last().unwrap()).unwrap();
    assert_eq!((&status["exit_code"], &status["summary"]["pass"]), (&0.into(), &1.into()));
    let run = status["run"].as_str().unwrap();
    assert!(run.starts_with("runs/") && run.contains("-lab-"), "{run}");
    for name in [
        "run.json",
        "events.ndjson",
        "results.json",
        "results.ctrf.json",
        "results.tap",
        "results.csv",
        "junit.xml",
        "junit.strict.xml",
        "report.md",
        "frozen/catalogue.json",
        "frozen/target.json",
    ] {
        assert!(bench.root.join(run).join(name).is_file(), "{name}");
    }
    let case = format!("{run}/tests/{CASE}/1");
    for name in [
        "trace.pcapng",
        "ladder.txt",
        "steps.json",
        "keys.json",
        "harness.log",
        "verdict.json",
        "reproduce.sh",
        "subject-1.toml",
        "wireshark/ikev1_decryption_table",
    ] {
        assert!(bench.root.join(&case).join(name).is_file(), "{name}");
    }
    assert!(bench.read(&format!("{case}/ladder.txt")).contains("PULL 2: HASH NONCE SA  HASH(2) ok"));
    let manifest = bench.json(&format!("{run}/run.json"));
    assert!(manifest["files"].as_object().unwrap().len() > 15);
    assert_eq!(manifest["seed"], "3");
    assert_eq!(bench.read("ci/junit.xml"), bench.read(&format!("{run}/junit.strict.xml")));

    // The evidence opens again with its own keys.
    let trace = format!("{case}/trace.pcapng");
    let dissected = bench.run(&["dissect", &trace]);
    assert_eq!(dissected.code, 0, "{}", dissected.out);

    if installed("xmllint") {
        let schema = project("fixtures/schema/junit-10.xsd");
        let checked = Command::new("xmllint")
            .args(["--noout", "--schema"])
            .arg(schema)
            .arg(bench.root.join("ci/junit.xml"))
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn keys_stand_apart_or_nowhere_when_asked() {
    let bench = Bench::new();
    for (policy, here, apart) in [("sidecar", false, true), ("none", false, false)] {
        assert_eq!(bench.run(&["run", CASE, "--keys", policy, "--out", policy]).code, 0);
        let tests = format!("{policy}/tests/{CASE}/1");
        for name in ["keys.json", "subject-1.toml"] {
            assert_eq!(bench.root.join(&tests).join(name).exists(), here, "{policy} {name}");
            assert_eq!(
                bench.root.join(format!("{policy}/keys/{CASE}/1")).join(name).exists(),
                apart,
                "{policy} {name}"
            );
        }
        assert!(bench.root.join(tests).join("trace.pcapng").exists());
    }
}

#[test]
fn two_runs_with_one_seed_differ_in_nothing_but_time() {
    let bench = Bench::new();
    let filter = "area(gdoi.pull) or area(gdoi.seq) or area(gdoi.fragmentation)";
    for (out, jobs) in [("a", "1"), ("b", "3")] {
        let answer = bench.run(&["run", filter, "--seed", "11", "--jobs", jobs, "--out", out, "--ui", "quiet"]);
        assert!(answer.code <= 1, "{}{}", answer.out, answer.err);
    }
    let (mut a, mut b) = (bench.json("a/results.json"), bench.json("b/results.json"));
    for results in [&mut a, &mut b] {
        forget_times(results);
        assert!(results["cases"].as_array().unwrap().len() > 20);
    }
    assert_eq!(a, b);
    let mut compared = 0;
    for case in a["cases"].as_array().unwrap() {
        let folder = case["evidence"].as_str().unwrap();
        for name in ["trace.pcapng", "ladder.txt", "steps.json", "keys.json", "harness.log", "subject-1.toml"] {
            let read = |run: &str| std::fs::read(bench.root.join(run).join(folder).join(name)).ok();
            assert_eq!(read("a"), read("b"), "{folder}/{name}");
            compared += 1;
        }
    }
    assert!(compared > 120);
    let other = bench.run(&["run", CASE, "--seed", "12", "--out", "c"]);
    assert_eq!(other.code, 0);
    let ladder = |run: &str| std::fs::read(bench.root.join(format!("{run}/tests/{CASE}/1/trace.pcapng"))).unwrap();
    assert_ne!(ladder("a"), ladder("c"), "another seed makes other packets");
}

/// Takes out what tells when, how long and where a run was.
fn forget_times(results: &mut Value) {
    for key in ["id", "started", "ended", "wall_ms"] {
        results["run"][key] = Value::Null;
    }
    for case in results["cases"].as_array_mut().unwrap() {
        case["wall_ms"] = Value::Null;
    }
}

#[test]
fn a_killed_run_leaves_a_readable_event_log_and_can_be_gone_on_with() {
    let bench = Bench::new();
    let mut child = bench
        .command(&["run", "area(gdoi)", "--seed", "5", "--jobs", "1", "--out", "killed", "--ui", "plain"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let passed = lines.by_ref().map_while(Result::ok).filter(|line| line.contains(" [")).take(3).count();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(passed, 3);
    assert!(!bench.root.join("killed/results.json").exists());

    let report = bench.run(&["report", "killed", "--format", "json"]);
    assert_eq!(report.code, 0, "{}", report.err);
    let results = report.json();
    let judged = results["cases"].as_array().unwrap().len();
    assert!(judged >= 3, "every verdict that was shown is in the log");
    assert!(results["summary"]["not_run"].as_u64().unwrap() > 50);
    assert_eq!(results["run"]["interrupted"], true);
    assert!(bench.root.join("killed/junit.xml").is_file());

    let rest = bench.run(&["rerun", "killed", "--not-run", "--dry-run"]);
    assert_eq!(rest.code, 0, "{}", rest.err);
    let again = bench.run(&["report", "killed"]);
    assert!(again.out.contains("hallmark rerun killed --not-run"), "{}", again.out);
}

#[test]
fn an_interrupted_run_writes_what_is_there_and_ends_with_5() {
    let bench = Bench::new();
    let mut child = bench
        .command(&["run", "area(gdoi)", "--seed", "5", "--jobs", "1", "--out", "cut", "--ui", "plain"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.by_ref().map_while(Result::ok).filter(|line| line.contains(" [")).take(2).count();
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let code = child.wait().unwrap().code();
    let results = bench.json("cut/results.json");
    let failed = results["summary"]["fail"].as_u64().unwrap() > 0;
    assert_eq!(code, Some(if failed { 1 } else { 5 }), "{}", rest.join("\n"));
    assert!(results["summary"]["not_run"].as_u64().unwrap() > 0);
    assert_eq!(results["not_run"][0]["reason"], "interrupted");
    assert!(bench.root.join("cut/junit.strict.xml").is_file());
}

#[test]
fn a_run_stops_at_the_allowed_number_of_failures() {
    let bench = Bench::new();
    let defect = a_defect(&bench, CASE);
    let args = [
        "run",
        "area(gdoi.pull)",
        "--defect",
        &defect,
        "--max-fail",
        "1",
        "--jobs",
        "1",
        "--out",
        "x",
        "--ui",
        "quiet",
    ];
    let answer = bench.run(&args);
    let results = bench.json("x/results.json");
    if results["summary"]["fail"] == 0 {
        // The defect only warns: then nothing stops the run.
        assert_eq!(results["summary"]["not_run"], 0);
    } else {
        assert_eq!(answer.code, 1);
        assert!(results["summary"]["not_run"].as_u64().unwrap() > 0);
        assert_eq!(results["not_run"][0]["reason"], "stopped by --max-fail");
    }
}

#[test]
fn a_run_never_writes_over_another_one() {
    let bench = Bench::new();
    assert_eq!(bench.run(&["run", CASE, "--out", "x"]).code, 0);
    let again = bench.run(&["run", CASE, "--out", "x"]);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("already"), "{}", again.err);
}

#[test]
fn a_waiver_excuses_exactly_the_failure_that_it_names() {
    let bench = Bench::new();
    let defect = a_defect(&bench, CASE);
    let args = |out: &'static str| {
        ["run", CASE, "--seed", "7", "--defect", &defect, "--deny", "warn", "--out", out].map(str::to_owned)
    };
    let run = |extra: &[&str], out: &'static str| {
        let args = args(out);
        let mut all: Vec<&str> = args.iter().map(String::as_str).collect();
        all.extend(extra);
        bench.run(&all).code
    };
    assert_eq!(run(&[], "plain"), 1);
    let waiver = bench.run(&["waiver", "add", "plain", CASE, "--issue", "https://example.org/1", "--owner", "j.doe"]);
    assert_eq!(waiver.code, 0, "{}", waiver.err);
    bench.write("waivers.toml", &format!("schema = \"hallmark.waivers/1\"\n{}", waiver.out));
    assert_eq!(bench.run(&["waiver", "lint", "waivers.toml"]).out, "");
    assert_eq!(run(&["--waivers", "waivers.toml"], "waived"), 0);
    let results = bench.json("waived/results.json");
    assert!(results["cases"][0]["overlay"].as_str().unwrap().starts_with('x'));
    assert!(bench.run(&["waiver", "list", "waivers.toml"]).out.contains(CASE));
    assert_eq!(bench.run(&["waiver", "due", "waivers.toml", "--days", "30"]).code, 0);
    assert_eq!(bench.run(&["waiver", "due", "waivers.toml", "--days", "100"]).code, 7);
    // The same waiver over a sound subject is a surprise, and one for nothing is an error.
    assert_eq!(bench.run(&["run", CASE, "--waivers", "waivers.toml", "--out", "healed"]).code, 1);
    bench.write("waivers.toml", &waiver.out.replace(CASE, "PULLK-999"));
    assert_eq!(bench.run(&["waiver", "lint", "waivers.toml"]).code, 1);
    assert_eq!(run(&["--waivers", "waivers.toml"], "unmatched"), 2);
}

#[test]
fn a_rerun_takes_the_failed_cases_with_target_and_seed() {
    let bench = Bench::new();
    let defect = a_defect(&bench, CASE);
    let other = "PULLK-004";
    let first = bench.run(&["run", CASE, other, "--seed", "9", "--defect", &defect, "--deny", "warn", "--out", "one"]);
    assert_eq!(first.code, 1, "{}", first.out);
    let again = bench.run(&["rerun", "one", "--out", "two", "--deny", "warn"]);
    assert_eq!(again.code, 1, "{}{}", again.out, again.err);
    let (one, two) = (bench.json("one/results.json"), bench.json("two/results.json"));
    let bad = |results: &Value| -> Vec<Value> {
        results["cases"].as_array().unwrap().iter().filter(|case| case["verdict"] != "pass").cloned().collect()
    };
    let reasons = |cases: Vec<Value>| cases.into_iter().map(|case| case["reason"].clone()).collect::<Vec<_>>();
    assert_eq!(reasons(bad(&one)), reasons(bad(&two)));
    assert_eq!(two["cases"].as_array().unwrap().len(), bad(&two).len(), "what passed is not run again");
    assert_eq!(two["run"]["seed"], "9");
}
