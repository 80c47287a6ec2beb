//! Any bytes as a configuration: the promises are in `body.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../body.rs"]
mod body;

fuzz_target!(|data: &[u8]| body::run(data));
