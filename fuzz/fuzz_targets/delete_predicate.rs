#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starsnap_fuzz::tablet::delete_predicate(data));
