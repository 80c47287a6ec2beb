//! Formatting, clippy, docs and the rules for dependencies.

use std::process::Command;

use crate::host;

/// Runs every check; all are run even if one fails.
pub(crate) fn run() -> Result<(), String> {
    let mut failed = Vec::new();
    let mut check = |name: &'static str, result: Result<(), String>| {
        if let Err(message) = result {
            eprintln!("lint: {message}");
            failed.push(name);
        }
    };
    check(
        "rustfmt",
        host::run(host::cargo().args(["fmt", "--all", "--check"])),
    );
    let clippy = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    check("clippy", host::run(host::cargo().args(clippy)));
    let doc = [
        "doc",
        "--quiet",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ];
    check(
        "docs",
        host::run(host::cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings")),
    );
    check("cargo deny", deny());
    if failed.is_empty() {
        println!("lint: rustfmt, clippy, docs and dependency rules are clean");
        Ok(())
    } else {
        Err(format!("lint failed: {}", failed.join(", ")))
    }
}

/// `cargo deny`, installed when it is missing. The advisory database is used where it can be reached.
fn deny() -> Result<(), String> {
    if host::find_program("cargo-deny").is_none() && !home_has_cargo_deny() {
        println!("lint: installing cargo-deny");
        host::run(host::cargo().args(["install", "--quiet", "--locked", "cargo-deny"]))?;
    }
    host::run(host::cargo().args([
        "deny",
        "--log-level",
        "error",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))?;
    let advisories = host::cargo()
        .args(["deny", "--log-level", "error", "check", "advisories"])
        .output()
        .map_err(|e| format!("cargo deny: {e}"))?;
    let text = String::from_utf8_lossy(&advisories.stderr);
    if advisories.status.success() {
        return Ok(());
    }
    if text.contains("failed to fetch advisory database")
        || text.contains("failed to load advisory database")
    {
        println!("skipped: advisories: the advisory database cannot be reached from here");
        return Ok(());
    }
    eprint!("{text}");
    Err("cargo deny check advisories failed".to_owned())
}

fn home_has_cargo_deny() -> bool {
    Command::new("cargo")
        .args(["deny", "--version"])
        .output()
        .is_ok_and(|out| out.status.success())
}
