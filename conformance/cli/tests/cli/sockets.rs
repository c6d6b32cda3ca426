//! The same cases over real sockets: the reference as processes, another program, a device that runs already.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use crate::common::Bench;
use serde_json::Value;

fn verdicts(results: &Value) -> Vec<(String, String)> {
    let cases = results["cases"].as_array().unwrap();
    cases.iter().map(|c| (c["id"].as_str().unwrap().to_owned(), c["verdict"].as_str().unwrap().to_owned())).collect()
}

/// Cases that take a moment at 20 times the speed of time.
const QUICK: &str = "cost(<=5s) and area(gdoi.pull) and not needs(virtual-time)";

#[test]
fn a_process_gets_the_verdicts_of_the_lab() {
    let bench = Bench::new();
    let lab = bench.run(&["run", QUICK, "--seed", "2", "--out", "lab", "--ui", "quiet"]);
    let process =
        bench.run(&["run", QUICK, "--seed", "2", "--out", "process", "--target", "process", "--port", "10901"]);
    assert_eq!(process.code, lab.code, "{}{}", process.out, process.err);
    let (lab, process) = (verdicts(&bench.json("lab/results.json")), verdicts(&bench.json("process/results.json")));
    assert!(lab.len() >= 3, "{}", lab.len());
    assert_eq!(lab, process);
}

#[test]
fn a_defect_is_caught_in_a_process_too() {
    let bench = Bench::new();
    let cases = bench.run(&["list", QUICK, "--format", "json"]).json();
    let case = cases[0]["id"].as_str().unwrap();
    let defect = cases[0]["catches"][0].as_str().unwrap();
    let args =
        ["run", case, "--target", "process", "--port", "10902", "--defect", defect, "--deny", "warn", "--out", "x"];
    let answer = bench.run(&args);
    assert_eq!(answer.code, 1, "{}{}", answer.out, answer.err);
}

#[test]
fn another_program_is_started_by_the_published_contract() {
    let bench = Bench::new();
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {}/args\nexec {} \"$@\"\n",
        bench.root.display(),
        env!("CARGO_BIN_EXE_hallmark")
    );
    bench.write("vendor.sh", &script);
    std::fs::set_permissions(bench.root.join("vendor.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let answer = bench.run(&["run", "PULLK-003", "--target", "exec:./vendor.sh", "--port", "10903", "--out", "x"]);
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    assert!(bench.read("args").starts_with("ks --config /"), "{}", bench.read("args"));
    let broken = bench.run(&["run", "PULLK-003", "--target", "exec:/bin/false", "--port", "10904", "--out", "y"]);
    assert_eq!(broken.code, 6, "a subject that does not start is found out before the run: {}", broken.out);
    assert!(broken.err.contains("did not say that it is ready"), "{}", broken.err);
    assert!(!bench.root.join("y").exists(), "nothing was judged, so there is no run");
}

#[test]
fn a_device_that_runs_already_is_judged_by_the_cases_that_fit_its_configuration() {
    let bench = Bench::new();
    let (device, tester) = ("127.99.1.1:10905", "127.99.1.2:10905");
    let testers: Vec<String> = (2..=13).map(|n| format!("127.99.1.{n}:10905")).collect();
    let testers = testers.join(",");
    let setup = bench.run(&["setup", "ks", "--subject", device, "--tester", &testers]);
    assert_eq!(setup.code, 0, "{}", setup.err);
    bench.write("setup.toml", &setup.out);
    let mut ks = bench
        .command(&["ks", "--config", "setup.toml", "--follow-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(ks.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.contains("\"ready\":true"), "{ready}");
    let target = format!("udp:{device}");
    let judged = bench.run(&[
        "run",
        "PULLK-003",
        "PULLK-014",
        "--target",
        &target,
        "--role",
        "ks",
        "--setup",
        "setup.toml",
        "--tester",
        &testers,
        "--out",
        "x",
    ]);
    drop(ks.stdin.take());
    ks.wait().unwrap();
    assert_eq!(judged.code, 0, "{}{}", judged.out, judged.err);
    let results = bench.json("x/results.json");
    assert_eq!(verdicts(&results)[0].1, "pass");
    assert!(results["cases"][0]["reproduce"].as_str().unwrap().contains(tester));
    let refused = bench.run(&["run", "PULLK-003", "--target", &target, "--role", "ks"]);
    assert_eq!(refused.code, 2);
}
