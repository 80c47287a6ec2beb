//! `cargo xtask fuzz`: a fuzz target with the stable compiler, from its corpus in the repository.
//!
//! cargo-fuzz wants a nightly compiler for its sanitizers; the coverage that libFuzzer steers by comes
//! from flags that the stable one has.

use std::path::Path;

use crate::host;

const TARGET: &str = "x86_64-unknown-linux-gnu";

const FLAGS: &str = "--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The targets: a corpus each, and where words help a dictionary.
const TARGETS: [&str; 2] = ["config", "image"];

/// Builds the target (`--target NAME`, else `config`) and runs it for `--seconds` (60).
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let value = |name: &str| {
        let at = args.iter().position(|arg| arg == name);
        at.and_then(|at| args.get(at + 1))
    };
    let seconds: u32 = value("--seconds")
        .map_or(Ok(60), |n| n.parse())
        .map_err(|e| format!("--seconds: {e}"))?;
    let name = value("--target").map_or(TARGETS[0], String::as_str);
    if !TARGETS.contains(&name) {
        return Err(format!("--target: one of {}", TARGETS.join(", ")));
    }
    if host::find_program("c++").is_none() {
        return Err("libFuzzer is built from C++: apt-get install g++".to_owned());
    }
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let mut build = host::cargo();
    build
        .args([
            "build",
            "--quiet",
            "--release",
            "--target",
            TARGET,
            "--bin",
            name,
        ])
        .current_dir(&fuzz)
        .env("RUSTFLAGS", FLAGS);
    host::run(&mut build)?;

    // What the run finds new is of this machine; the corpus in the repository is kept by hand.
    let found = fuzz.join("target/found").join(name);
    std::fs::create_dir_all(&found).map_err(|e| format!("{}: {e}", found.display()))?;
    let program = fuzz.join("target").join(TARGET).join("release").join(name);
    let mut target = std::process::Command::new(program);
    target
        .current_dir(&fuzz)
        .arg(format!("-max_total_time={seconds}"))
        .args(["-timeout=10", "-rss_limit_mb=2048", "-max_len=16384"])
        .args(["-artifact_prefix=target/", "-print_final_stats=1"]);
    let words = format!("{name}.dict");
    if fuzz.join(&words).is_file() {
        target.arg(format!("-dict={words}"));
    }
    target
        .arg(format!("target/found/{name}"))
        .arg(format!("corpus/{name}"));
    let mut child = target.spawn().map_err(|e| format!("{name}: {e}"))?;
    let status = child.wait().map_err(|e| format!("{name}: {e}"))?;
    // What the target of images has made in memory.
    let _ = std::fs::remove_dir_all(format!("/dev/shm/rlxc-fuzz-{}", child.id()));
    match status.success() {
        true => Ok(()),
        false => Err(format!(
            "{name}: {status}; what led to it is in fuzz/target"
        )),
    }
}
