//! Hands the targets to libFuzzer. CIMWRIGHT_FUZZ_TARGET names the one that is wanted.
#![no_main]

use cimwright_fuzz::{Target, find};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("CIMWRIGHT_FUZZ_TARGET").unwrap_or_default();
    find(&name).unwrap_or_else(|| panic!("CIMWRIGHT_FUZZ_TARGET names no target: {name:?}"))
});

fuzz_target!(|data: &[u8]| {
    (TARGET.run)(data);
});
