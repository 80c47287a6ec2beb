//! `cargo xtask test`: every test that this machine can run, with a closing count.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use crate::{host, leftovers, lint};

/// What came out so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: Vec<String>,
    skipped: BTreeSet<String>,
}

/// Sets up, lints, runs, counts.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let flag = |name: &str| args.iter().any(|arg| arg == name);
    let filter = args
        .iter()
        .position(|arg| arg == "--filter")
        .and_then(|at| args.get(at + 1));
    if !flag("--no-setup") {
        host::set_up()?;
    }
    let mut tally = Tally::default();
    if !flag("--no-lint") {
        match lint::run() {
            Ok(()) => tally.passed += 1,
            Err(message) => tally.failed.push(message),
        }
    }
    // The tests run the programs that stand beside them.
    host::run(host::cargo().args(["build", "--quiet", "--workspace", "--bins", "--lib"]))?;

    let before = leftovers::Snapshot::take();
    let done = test_binaries(filter, &mut tally)?;
    if filter.is_none() {
        let left = leftovers::after(&before);
        if left.is_empty() {
            println!("test nothing_is_left_behind ... ok");
            tally.passed += 1;
        } else {
            println!(
                "test nothing_is_left_behind ... FAILED\n  {}",
                left.join("\n  ")
            );
            tally.failed.push("nothing_is_left_behind".to_owned());
        }
    }
    report(&tally, done)
}

/// Runs `cargo test` and reads its lines as they come.
fn test_binaries(filter: Option<&String>, tally: &mut Tally) -> Result<bool, String> {
    let mut command = host::cargo();
    command.args([
        "test",
        "--workspace",
        "--no-fail-fast",
        "--",
        "--show-output",
    ]);
    command.args(filter);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cargo test: {e}"))?;
    let output = child.stdout.take().ok_or("cargo test: no output")?;
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.map_err(|e| format!("cargo test: {e}"))?;
        let line = String::from_utf8_lossy(&line);
        count(&line, tally);
        // A reader that went away must not end the run.
        let _ = writeln!(out, "{line}");
    }
    let status = child.wait().map_err(|e| format!("cargo test: {e}"))?;
    Ok(status.success())
}

/// libtest's own lines, and the one line by which a test says that it could not run here.
pub(crate) fn count(line: &str, tally: &mut Tally) {
    if let Some(reason) = line.trim_start().strip_prefix("skipped: ") {
        tally.skipped.insert(reason.to_owned());
    } else if let Some(rest) = line.strip_prefix("test ") {
        if rest.ends_with("... ok") {
            tally.passed += 1;
        } else if let Some(name) = rest.strip_suffix(" ... FAILED") {
            tally.failed.push(name.to_owned());
        }
    }
}

/// The closing lines; an error unless all that ran has passed.
pub(crate) fn report(tally: &Tally, done: bool) -> Result<(), String> {
    println!();
    for reason in &tally.skipped {
        println!("skipped: {reason}");
    }
    for name in &tally.failed {
        println!("failed: {name}");
    }
    println!(
        "{} passed, {} failed, {} skipped",
        tally.passed,
        tally.failed.len(),
        tally.skipped.len()
    );
    if done && tally.failed.is_empty() {
        Ok(())
    } else {
        Err("the suite failed".to_owned())
    }
}
