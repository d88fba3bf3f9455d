#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| virtio_fuzz_targets::run("net", input));
