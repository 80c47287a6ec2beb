//! Configurations: loading and single items by the functions of both liblxc.so.1, throughput, memory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{median, print_row};
use crate::host;

/// Lines of the file of 100 includes.
const LINES: usize = 10_000;
const INCLUDES: usize = 100;
/// Lines of the long file: some 30 MB.
const LONG: usize = 500_000;

/// Installed LXC's library, by the loader's search.
const PEER: &str = "liblxc.so.1";

/// The line of that number: mounts, environment, comments, device rules, kernel parameters.
fn line(number: usize) -> String {
    match number % 5 {
        0 => format!(
            "lxc.mount.entry = /srv/data/{number:06} srv/data/{number:06} none bind,optional,create=dir 0 0\n"
        ),
        1 => format!("lxc.environment = VARIABLE_NUMBER_{number:06}=value of the variable\n"),
        2 => "# a comment that says what the next line is good for\n".to_owned(),
        3 => format!("lxc.cgroup2.devices.allow = c {number}:* rwm\n"),
        _ => "lxc.net.0.mtu = 1500\n".to_owned(),
    }
}

fn write(path: PathBuf, text: &str) -> Result<PathBuf, String> {
    std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

fn answer(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{command:?}: {}: {said}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first is the warm-up, as [`median`] expects it.
fn times(command: &mut Command) -> Result<Vec<Duration>, String> {
    let said = answer(command)?;
    let times: Option<Vec<_>> = said
        .lines()
        .map(|line| line.parse().ok().map(Duration::from_nanos))
        .collect();
    times
        .filter(|t| t.len() > 1)
        .ok_or_else(|| format!("{command:?} said {said}"))
}

/// The rows about configurations alone: needs no privilege.
pub(super) fn only(args: &[String]) -> Result<(), String> {
    let place = std::env::temp_dir().join(format!("rlxc-bench-config-{}", std::process::id()));
    let result = super::count(args).and_then(|runs| rows(&place, runs));
    std::fs::remove_dir_all(&place).map_err(|e| format!("{}: {e}", place.display()))?;
    result
}

/// Builds the measuring program, writes the files below `place`, prints the rows.
pub(super) fn rows(place: &Path, runs: usize) -> Result<(), String> {
    let build = [
        "build",
        "--quiet",
        "--release",
        "-p",
        "rlxc-config",
        "--example",
        "measure",
    ];
    host::run(host::cargo().args(build))?;
    let program = host::bin_dir("release").join("examples/measure");
    let dir = place.join("config");
    std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;

    let mut text = String::from("lxc.net.0.type = veth\n");
    for part in 0..INCLUDES {
        let lines: String = (0..LINES / INCLUDES)
            .map(|n| line(part * 100 + n))
            .collect();
        let file = write(dir.join(format!("{part}.conf")), &lines)?;
        text += &format!("lxc.include = {}\n", file.display());
    }
    let included = write(dir.join("included"), &text)?;
    let start = "lxc.net.0.type = veth\n".to_owned();
    let short: String = std::iter::once(start.clone())
        .chain((0..LINES).map(line))
        .collect();
    let short = write(dir.join("short"), &short)?;
    let long: String = std::iter::once(start).chain((0..LONG).map(line)).collect();
    let bytes = long.len();
    let long = write(dir.join("long"), &long)?;

    let count = (runs + 1).to_string();
    let caller = caller(&dir)?;
    let call = |library: &Path, words: &[&str]| {
        let mut command = Command::new(&caller);
        command.arg(library).args(words);
        command
    };
    let ours = host::bin_dir("release").join("liblxc.so");
    let peer = Path::new(PEER);
    let has_peer = call(peer, &["items", "0"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !has_peer {
        println!("configurations: skipped: {PEER} (package liblxc1) is not installed");
    }
    for (name, file) in [
        ("load, 10,000 lines, 100 includes", &included),
        ("load, 10,000 lines, one file", &short),
    ] {
        if has_peer {
            let file = file.display().to_string();
            let words = ["load", &file, &count];
            let took = times(&mut call(&ours, &words))?;
            print_row(name, took, times(&mut call(peer, &words))?);
        }
    }
    let took = median(times(
        Command::new(&program).arg("load").arg(&long).arg("6"),
    )?);
    println!(
        "{:<34} {:>8.0} MB/s",
        format!("load, one file of {} MB", bytes / 1_000_000),
        bytes as f64 / 1e6 / took.as_secs_f64()
    );
    let grown = answer(Command::new(&program).arg("memory").arg(&long))?;
    println!(
        "{:<34} {:>8} times the text",
        "memory at most, while loading",
        grown.trim()
    );
    for keys in ["10", "1000"] {
        let among = keys.parse::<usize>().unwrap_or(0) * 4;
        let took = |library| answer(&mut call(library, &["items", keys]));
        let ours = took(&ours)?;
        let peer = if has_peer { took(peer)? } else { String::new() };
        let mut peer = peer.lines();
        for (what, ours) in ["set", "get"].iter().zip(ours.lines()) {
            let name = format!("{what} an item among {among} lines");
            let peer = peer.next().unwrap_or("-");
            let ratio = match (ours.parse::<f64>(), peer.parse::<f64>()) {
                (Ok(a), Ok(b)) => format!("{:.2}", a / b.max(1.0)),
                _ => String::new(),
            };
            println!("{name:<34} {ours:>9} ns {peer:>9} ns {ratio:>8}");
        }
    }
    Ok(())
}

/// Builds our library, and the program that calls either.
fn caller(dir: &Path) -> Result<PathBuf, String> {
    host::run(host::cargo().args(["build", "--quiet", "--release", "-p", "liblxc", "--lib"]))?;
    let program = dir.join("caller");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-std=gnu11", "-O2", "-Wall", "-o"])
        .arg(&program)
        .arg(host::root().join("xtask/src/bench/config.c"))
        .arg("-I")
        .arg(host::root().join("crates/liblxc/include"))
        .arg("-ldl");
    host::run(&mut compiler)?;
    Ok(program)
}
