#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starsnap_fuzz::catalog::table_file(data));
