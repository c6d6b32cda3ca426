//! Fuzz targets for everything that reads what others wrote.
//!
//! Each target is an ordinary function over octets that panics when something is wrong: a decoder that panics, a value
//! that does not survive encoding and decoding, a machine that spins or grows beyond its limits. [`TARGETS`] lists
//! them; three things drive them:
//!
//! * `tests/replay.rs` runs every stored input and a fixed number of mutations of each target, the same in every run;
//! * `cargo run --release -p hallmark-fuzz --bin mutate -- --target wire_gdoi --secs 600 --seed 7` mutates for a while
//!   and keeps what fails; `--write-seeds` makes the stored inputs anew, `--replay FILE` runs one of them;
//! * libFuzzer, which is guided by coverage, where cargo-fuzz is installed:
//!   `RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir conformance/fuzz/libfuzzer wire_gdoi fixtures/corpus/wire_gdoi`.
//!
//! The stored inputs lie in `fixtures/corpus`, a folder for each target.

mod data;
mod dissect;
mod edit;
mod input;
mod invariants;
mod machines;
mod mutate;
mod sealed;
mod seeds;
mod session;
mod text;
mod wire;

use std::path::PathBuf;

pub use data::{fuzz_data_decapsulate, fuzz_data_policy, fuzz_data_reassemble, fuzz_data_size};
pub use dissect::fuzz_dissect;
pub use machines::{fuzz_decrypt_then_parse, fuzz_gm_member, fuzz_ks_responder};
pub use mutate::Mutator;
pub use seeds::seeds;
pub use text::{fuzz_filter, fuzz_gm_config, fuzz_ks_config, fuzz_waivers};
pub use wire::{fuzz_capture, fuzz_raw, fuzz_wire_gdoi, fuzz_wire_ip, fuzz_wire_isakmp};

/// Is one fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is also that of its corpus.
    pub name: &'static str,
    /// Runs one input; a panic is a finding.
    pub run: fn(&[u8]),
    /// Mutations that the replay test makes, in proportion to what one costs.
    pub mutations: u32,
    /// Words that a mutation may put in.
    pub words: &'static [&'static str],
}

/// Lists the targets.
pub const TARGETS: &[Target] = &[
    Target { name: "wire_ip", run: fuzz_wire_ip, mutations: 40_000, words: &[] },
    Target { name: "wire_isakmp", run: fuzz_wire_isakmp, mutations: 40_000, words: &[] },
    Target { name: "wire_gdoi", run: fuzz_wire_gdoi, mutations: 40_000, words: &[] },
    Target { name: "raw", run: fuzz_raw, mutations: 40_000, words: &[] },
    Target { name: "capture", run: fuzz_capture, mutations: 20_000, words: &[] },
    Target { name: "dissect", run: fuzz_dissect, mutations: 2_000, words: &[] },
    Target { name: "filter", run: fuzz_filter, mutations: 20_000, words: text::FILTER_WORDS },
    Target { name: "ks_config", run: fuzz_ks_config, mutations: 5_000, words: text::CONFIG_WORDS },
    Target { name: "gm_config", run: fuzz_gm_config, mutations: 5_000, words: text::CONFIG_WORDS },
    Target { name: "waivers", run: fuzz_waivers, mutations: 10_000, words: text::FILTER_WORDS },
    Target { name: "ks_responder", run: fuzz_ks_responder, mutations: 3_000, words: &[] },
    Target { name: "gm_member", run: fuzz_gm_member, mutations: 3_000, words: &[] },
    Target { name: "decrypt_then_parse", run: fuzz_decrypt_then_parse, mutations: 3_000, words: &[] },
    Target { name: "data_decapsulate", run: fuzz_data_decapsulate, mutations: 5_000, words: &[] },
    Target { name: "data_policy", run: fuzz_data_policy, mutations: 10_000, words: &[] },
    Target { name: "data_reassemble", run: fuzz_data_reassemble, mutations: 10_000, words: &[] },
    Target { name: "data_size", run: fuzz_data_size, mutations: 10_000, words: &[] },
];

/// Finds a target by its name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Gives the folder of stored inputs of a target.
#[must_use]
pub fn corpus(target: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/corpus")).join(target)
}

/// Reads the stored inputs of a target with their names, in the order of the names.
///
/// # Errors
/// When the folder cannot be read.
pub fn stored(target: &str) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(corpus(target))? {
        let entry = entry?;
        inputs.push((entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?));
    }
    inputs.sort();
    Ok(inputs)
}
