//! The measurement of the ports in small: every kind forwards, and the figures hang together.
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::process::Command;

#[test]
fn every_kind_of_port_forwards_and_is_counted() {
    let output = Command::new(env!("CARGO_BIN_EXE_hallmark-perf"))
        .args(["ports", "--millis", "300", "--rounds", "1", "--size", "64,1400", "--json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && said.contains("needs root") {
        assert!(std::env::var_os("HALLMARK_NOTHING_SKIPPED").is_none(), "nothing may be skipped: {said}");
        println!("skipped: {said}");
        return;
    }
    assert!(output.status.success(), "{said}");
    let lines: Vec<serde_json::Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut wanted = Vec::new();
    for size in [64, 1400] {
        for through in ["bare", "clear", "esp"] {
            wanted.extend(["packet", "xdp", "tun"].map(|kind| (kind.to_owned(), through.to_owned(), size)));
        }
    }
    let word = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap().to_owned();
    let what: Vec<_> = lines
        .iter()
        .map(|line| (word(line, "kind"), word(line, "through"), line["ip_octets"].as_u64().unwrap()))
        .collect();
    assert_eq!(what, wanted);
    for line in &lines {
        let figure = |name: &str| line[name].as_f64().unwrap();
        assert_eq!(line["schema"], "hallmark.perf.ports/1");
        assert!(figure("median_frames_per_sec") > 0.0 && figure("cpu_nanos_per_frame") > 0.0, "{line}");
        assert!(figure("best_frames_per_sec") <= figure("offered_frames_per_sec") * 1.1, "{line}");
        let gbit = figure("best_frames_per_sec") * figure("ip_octets") * 8.0 / 1e9;
        assert!((figure("best_gbit_per_sec") - gbit).abs() < 1e-9, "{line}");
    }
    assert!((lines[0]["ratio_to_first"].as_f64().unwrap() - 1.0).abs() < 1e-9);
}
