#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hallmark_fuzz::fuzz_data_decapsulate(data));
