//! Holds the house up: which crate may depend on which, and how long a file may grow.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each crate may use of ours, in the order of the floors. A missing entry is a failure: a new crate says here
/// where it stands.
const ALLOWED: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("wire", &["core"]),
    ("simd", &[]),
    ("crypto", &["core", "wire", "simd"]),
    ("control", &["core", "wire", "crypto"]),
    ("datapath", &["core", "wire", "crypto"]),
    ("lab", &["core", "wire"]),
    ("net", &["core", "wire"]),
    ("node", &["core", "wire", "crypto", "control", "datapath", "net"]),
    ("catalogue", &["core"]),
    ("evidence", &["core", "wire"]),
    ("probe", &["core", "wire", "crypto", "evidence", "catalogue"]),
    ("suite", &["core", "wire", "crypto", "catalogue", "evidence", "probe"]),
    ("runner", &["core", "wire", "crypto", "lab", "net", "catalogue", "evidence", "probe", "suite"]),
    ("dissect", &["core", "wire", "crypto", "evidence"]),
    ("report", &["core", "wire", "catalogue", "evidence"]),
    ("fuzz", &["core", "wire", "crypto", "control", "datapath", "catalogue", "node", "dissect"]),
    (
        "cli",
        &[
            "core",
            "wire",
            "crypto",
            "control",
            "datapath",
            "node",
            "net",
            "lab",
            "catalogue",
            "evidence",
            "probe",
            "suite",
            "runner",
            "report",
            "dissect",
        ],
    ),
    ("perf", &["core", "wire", "simd", "crypto", "control", "datapath", "node", "net", "probe"]),
];

/// Crates without socket, thread, file, clock or randomness of the operating system.
const SANS_IO: &[&str] =
    &["core", "wire", "simd", "crypto", "control", "datapath", "lab", "catalogue", "probe", "suite"];

/// What a sans-I/O crate never names outside its tests.
const IO_WORDS: &[&str] = &[
    "std::net::UdpSocket",
    "std::net::TcpStream",
    "std::thread",
    "std::fs",
    "std::process",
    "SystemTime",
    "std::time::Instant",
    "std::env::var",
    "getrandom",
    "socket2",
    "tokio",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies two folders deep").to_path_buf()
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn short(name: &str) -> Option<&str> {
    name.strip_prefix("hallmark-")
}

#[test]
fn every_arrow_points_down() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut faults = Vec::new();
    for package in metadata()["packages"].as_array().expect("packages") {
        let Some(name) = package["name"].as_str().and_then(short) else { continue };
        let Some(may) = allowed.get(name) else {
            faults.push(format!("{name} has no place in the house yet"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let Some(used) = dependency["name"].as_str().and_then(short) else { continue };
            // Tests may look at anything; what ships may not.
            if dependency["kind"].is_null() && !may.contains(&used) {
                faults.push(format!("{name} must not depend on {used}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_judge_never_reaches_the_judged() {
    let packages = metadata();
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages["packages"].as_array().expect("packages") {
        let Some(name) = package["name"].as_str().and_then(short) else { continue };
        let direct = package["dependencies"].as_array().expect("dependencies").iter();
        let direct = direct.filter(|d| d["kind"].is_null()).filter_map(|d| d["name"].as_str().and_then(short));
        uses.insert(name.to_owned(), direct.map(str::to_owned).collect());
    }
    for judge in ["probe", "suite", "evidence"] {
        let mut seen = BTreeSet::new();
        let mut todo = vec![judge.to_owned()];
        while let Some(name) = todo.pop() {
            if seen.insert(name.clone()) {
                todo.extend(uses.get(&name).into_iter().flatten().cloned());
            }
        }
        for judged in ["control", "datapath", "node"] {
            assert!(!seen.contains(judged), "{judge} reaches {judged}");
        }
    }
}

#[test]
fn sans_io_crates_name_no_socket_thread_file_or_clock() {
    let mut faults = Vec::new();
    for package in metadata()["packages"].as_array().expect("packages") {
        let Some(name) = package["name"].as_str().and_then(short) else { continue };
        if !SANS_IO.contains(&name) {
            continue;
        }
        let manifest = Path::new(package["manifest_path"].as_str().expect("path"));
        let files = rust_files(&manifest.parent().expect("folder").join("src"));
        let sources: String = files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect();
        for file in files {
            let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let for_tests_only = sources.contains(&format!("#[cfg(test)]\nmod {stem};"));
            if for_tests_only || file.components().any(|part| part.as_os_str() == "tests") {
                continue;
            }
            let text = std::fs::read_to_string(&file).expect("source is readable");
            let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (number, line) in shipped.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                if let Some(word) = IO_WORDS.iter().find(|word| code.contains(**word)) {
                    faults.push(format!("{}:{}: {word} in a sans-I/O crate", file.display(), number + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_file_outgrows_a_reader() {
    let mut faults = Vec::new();
    for folder in ["reference", "conformance", "interop", "perf"] {
        for file in rust_files(&root().join(folder)) {
            let lines = std::fs::read_to_string(&file).expect("source is readable").lines().count();
            let table = file.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "cases")))
                || file.ends_with("tests.rs");
            let limit = if table { 2_000 } else { 1_000 };
            if lines > limit {
                faults.push(format!("{} has {lines} lines, {limit} is the limit", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return files };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if entry.file_name() != "target" {
                files.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
