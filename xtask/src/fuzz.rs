//! `cargo xtask fuzz`: the fuzz target with the stable compiler, from the corpus in the repository.
//!
//! cargo-fuzz wants a nightly compiler for its sanitizers; the coverage that libFuzzer steers by comes
//! from flags that the stable one has.

use std::path::Path;

use crate::host;

const TARGET: &str = "x86_64-unknown-linux-gnu";

const FLAGS: &str = "--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Builds the target and runs it for `--seconds` (60).
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let seconds = args
        .iter()
        .position(|arg| arg == "--seconds")
        .and_then(|at| args.get(at + 1));
    let seconds: u32 = seconds
        .map_or(Ok(60), |n| n.parse())
        .map_err(|e| format!("--seconds: {e}"))?;
    if host::find_program("c++").is_none() {
        return Err("libFuzzer is built from C++: apt-get install g++".to_owned());
    }
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let mut build = host::cargo();
    build
        .args(["build", "--quiet", "--release", "--target", TARGET])
        .current_dir(&fuzz)
        .env("RUSTFLAGS", FLAGS);
    host::run(&mut build)?;

    // What the run finds new is of this machine; the corpus in the repository is kept by hand.
    let found = fuzz.join("target/found");
    std::fs::create_dir_all(&found).map_err(|e| format!("{}: {e}", found.display()))?;
    let program = fuzz.join("target").join(TARGET).join("release/config");
    let mut target = std::process::Command::new(program);
    target
        .current_dir(&fuzz)
        .arg(format!("-max_total_time={seconds}"))
        .args(["-timeout=10", "-rss_limit_mb=2048", "-max_len=4096"])
        .args(["-dict=config.dict", "-artifact_prefix=target/"])
        .args(["-print_final_stats=1", "target/found", "corpus/config"]);
    host::run(&mut target)
}
