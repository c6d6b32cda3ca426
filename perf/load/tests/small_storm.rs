//! The whole measurement in small: every member registers, and the figures hang together.

use std::process::Command;

#[test]
fn a_few_members_register_and_are_counted() {
    let output = Command::new(env!("CARGO_BIN_EXE_hallmark-perf"))
        .args(["registration", "--members", "12", "--window", "5", "--group", "ecp256", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["schema"], "hallmark.perf.registration/1");
    assert_eq!(report["members"], 12);
    assert_eq!(report["group"], "ecp256");
    let wall = report["wall_secs"].as_f64().unwrap();
    let rate = report["registrations_per_sec"].as_f64().unwrap();
    assert!((rate * wall - 12.0).abs() < 0.01, "{report}");
    assert!(report["bare_dh_millis"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_group_that_does_not_exist_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_hallmark-perf"))
        .args(["registration", "--group", "modp2049"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no group is called modp2049"));
}
