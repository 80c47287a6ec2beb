//! Measures what `cargo xtask bench` prints about configurations.
//!
//! `measure load FILE RUNS`: nanoseconds of each load, one a line. `measure memory FILE`: bytes that the
//! process grew by at most, per byte of text. `measure items KEYS`: nanoseconds to set and to get one
//! key of a configuration with that many.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use rlxc_config::Document;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut out = std::io::stdout().lock();
    match words.as_slice() {
        ["load", file, runs] => {
            for _ in 0..runs.parse()? {
                let start = Instant::now();
                let mut document = Document::new();
                document.load_file(Path::new(file))?;
                writeln!(out, "{}", start.elapsed().as_nanos())?;
            }
        }
        ["memory", file] => {
            let text = std::fs::metadata(file)?.len();
            let before = peak()?;
            let mut document = Document::new();
            document.load_file(Path::new(file))?;
            let grown = peak()?.saturating_sub(before) * 1024;
            writeln!(out, "{:.2}", grown as f64 / text as f64)?;
            drop(document);
        }
        ["items", keys] => {
            let (set, get) = items(keys.parse()?)?;
            writeln!(out, "{set}\n{get}")?;
        }
        _ => return Err("load FILE RUNS, memory FILE or items KEYS".into()),
    }
    Ok(())
}

/// Kilobytes that the process held at most.
fn peak() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("VmHWM is missing")?.parse()?)
}

/// Nanoseconds of one set and one get among so many other keys.
fn items(keys: usize) -> Result<(u128, u128)> {
    const CALLS: u128 = 2000;
    let mut document = Document::new();
    for n in 0..keys {
        document.set(&format!("lxc.sysctl.a{n}"), "1")?;
        document.set(&format!("lxc.prlimit.a{n}"), "1")?;
        document.set(&format!("lxc.net.{n}.type"), "veth")?;
        document.set("lxc.mount.entry", "a b none bind 0 0")?;
    }
    let single = [
        "lxc.tty.max",
        "lxc.sysctl.a0",
        "lxc.net.0.mtu",
        "lxc.uts.name",
    ];
    let start = Instant::now();
    for n in 0..CALLS as usize {
        document.set(single[n % single.len()], "4")?;
    }
    let set = start.elapsed().as_nanos() / CALLS;
    let start = Instant::now();
    for n in 0..CALLS as usize {
        std::hint::black_box(document.get(single[n % single.len()])?);
    }
    Ok((set, start.elapsed().as_nanos() / CALLS))
}
