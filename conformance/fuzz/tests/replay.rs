//! Runs every stored input and a fixed set of mutations: what was mended stays mended, and the fuzz targets still run.

use hallmark_fuzz::{Mutator, TARGETS, stored, target};

/// Builds without optimisation make fewer mutations, so that the test stays short.
const SHARE: u32 = if cfg!(debug_assertions) { 8 } else { 1 };

fn replay(name: &str) {
    let target = target(name).expect("a target");
    let stored = stored(name).expect("the corpus can be read");
    assert!(!stored.is_empty(), "{name} has no stored input");
    for (input, octets) in &stored {
        named(name, input, || (target.run)(octets));
    }
    let pool = stored.into_iter().map(|(_, octets)| octets).collect();
    let mut mutator = Mutator::new(20_261_123, pool, target.words);
    for n in 0..target.mutations.div_ceil(SHARE) {
        let octets = mutator.next_input();
        named(name, &format!("mutation {n}"), || (target.run)(&octets));
    }
}

fn named(name: &str, input: &str, run: impl FnOnce()) {
    if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        panic!("{name}: {input}: {}", text.unwrap_or_default());
    }
}

macro_rules! replays {
    ($($test:ident: $target:literal,)*) => {
        $(
            #[test]
            fn $test() {
                replay($target);
            }
        )*

        #[test]
        fn every_target_is_replayed() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$($target),*]);
        }
    };
}

replays! {
    ip_packets_neither_panic_nor_change: "wire_ip",
    phase_1_payloads_neither_panic_nor_change: "wire_isakmp",
    gdoi_payloads_neither_panic_nor_change: "wire_gdoi",
    the_raw_tree_loses_nothing: "raw",
    captures_neither_panic_nor_change: "capture",
    dissections_come_to_an_end: "dissect",
    filters_print_as_they_parse: "filter",
    accepted_server_configurations_run: "ks_config",
    accepted_member_configurations_run: "gm_config",
    waivers_are_read_or_refused: "waivers",
    a_key_server_keeps_its_limits: "ks_responder",
    a_group_member_keeps_its_limits: "gm_member",
    what_is_behind_the_cryptography_is_read_or_refused: "decrypt_then_parse",
    members_open_what_is_right_and_nothing_else: "data_decapsulate",
    a_compiled_policy_says_what_its_rules_say: "data_policy",
    joined_packets_are_made_of_their_fragments: "data_reassemble",
    what_depends_on_size_stays_in_bounds: "data_size",
}

#[test]
fn a_mistake_far_to_the_right_is_told() {
    let far = " ".repeat(70_000);
    hallmark_fuzz::fuzz_filter(format!("id(a){far}!!").as_bytes());
    hallmark_fuzz::fuzz_ks_config(format!("schema = {far}!").as_bytes());
    hallmark_fuzz::fuzz_gm_config(format!("schema = {far}!").as_bytes());
}

#[test]
fn long_names_and_expressions_in_a_filter_take_no_time() {
    let begin = std::time::Instant::now();
    hallmark_fuzz::fuzz_filter(format!("req(GDOI-PUSH-{})", "0".repeat(4_000)).as_bytes());
    hallmark_fuzz::fuzz_filter(format!("title(/{}/)", "verdict(fail)".repeat(5_000)).as_bytes());
    assert!(begin.elapsed() < std::time::Duration::from_secs(2), "{:?}", begin.elapsed());
}
