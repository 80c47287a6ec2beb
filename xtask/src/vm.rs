//! `cargo xtask vm-test`: what this machine cannot show (pure cgroup2 with every controller, LVM,
//! AppArmor, a second kernel version), in one boot of a VM on a copy-on-write view of this machine.
//!
//! `--check A,B` runs the checks whose names contain one of these, `--filter TEST` only tests that
//! contain TEST, `--limit MINUTES` is what one check may take, `--timeout MINUTES` what all may,
//! `--list` names the checks, `--command CMD` runs that instead. The whole output stays in
//! `vm/last.log` beside the programs that were built.

mod checks;
mod machine;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::{host, suite};
use checks::{CHECKS, Check};
use machine::Machine;

/// What the script prints when it has come to its end.
const END: &str = "vm-test: end";
const FAILED: &str = "vm-test: failed: ";
const BEGIN: &str = "== ";

/// Builds, boots once, runs, counts.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let option = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1).map(String::as_str)
    };
    if args.iter().any(|arg| arg == "--list") {
        CHECKS.iter().for_each(|check| println!("{}", check.name()));
        return Ok(());
    }
    let minutes = |name, usual| {
        let given = option(name).map_or(Ok(usual), str::parse::<u64>);
        given.map_err(|e| format!("{name}: {e}"))
    };
    let (limit, minutes) = (minutes("--limit", 20)?, minutes("--timeout", 60)?);
    let machine = Machine::prepare()?;
    host::run(host::cargo().args(["build", "--quiet", "--workspace", "--bins", "--lib"]))?;
    let work = match option("--command") {
        Some(command) => format!("{}{command}\n", in_memory(&machine, &programs()?)?),
        None => {
            let wanted = option("--check").unwrap_or_default();
            let is_wanted = |check: &&Check| wanted.split(',').any(|w| check.name().contains(w));
            let chosen: Vec<&Check> = CHECKS.iter().filter(is_wanted).collect();
            if chosen.is_empty() {
                return Err(format!("no check is called {wanted:?}"));
            }
            let mut work = String::new();
            let mut programs = programs()?;
            for check in chosen {
                let binary = built(check)?;
                work += &steps(check, &binary, option("--filter"), limit);
                programs.push(binary);
            }
            in_memory(&machine, &programs)? + &work
        }
    };
    let script = machine.place().join("guest.sh");
    std::fs::write(
        &script,
        format!("{}{work}echo '{END}'\n", include_str!("vm/guest.sh")),
    )
    .map_err(|e| format!("{}: {e}", script.display()))?;

    let begin = Instant::now();
    println!("vm: booting {}", machine.version());
    let mut tally = suite::Tally::default();
    let mut ended = false;
    let mut failed_before = 0;
    let kept = machine.place().join("last.log");
    let mut log = File::create(&kept).map_err(|e| format!("{}: {e}", kept.display()))?;
    let mut timed: Vec<(String, Instant)> = Vec::new();
    let booted = machine.boot(&script, Duration::from_secs(minutes * 60), |line| {
        suite::count(line, &mut tally);
        if let Some(name) = line.strip_prefix(FAILED) {
            // A binary that died says nothing itself; one with failed tests has named them.
            if tally.failed.len() == failed_before {
                tally.failed.push(name.to_owned());
            }
            failed_before = tally.failed.len();
        }
        if let Some(name) = line.strip_prefix(BEGIN) {
            timed.push((name.to_owned(), Instant::now()));
        }
        ended |= line == END;
        let _ = writeln!(log, "{line}");
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}");
    });
    let ends = timed.iter().skip(1).map(|(_, begin)| *begin);
    for ((name, begin), end) in timed.iter().zip(ends.chain([Instant::now()])) {
        println!("vm: {name}: {} s", end.duration_since(*begin).as_secs());
    }
    println!("vm: {} s", begin.elapsed().as_secs());
    if !ended {
        let last = timed.last().map_or("its boot", |(name, _)| name);
        tally.failed.push(format!("the VM ended early, in {last}"));
    }
    let result = booted.and(suite::report(&tally, ended));
    result.map_err(|error| format!("{error} (the output: {})", kept.display()))
}

/// The programs and libraries that this build made for the tests.
fn programs() -> Result<Vec<PathBuf>, String> {
    let folder = host::bin_dir("debug");
    let entries = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let made = entries.flatten().filter(|entry| {
        use std::os::unix::fs::PermissionsExt as _;
        entry
            .metadata()
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    });
    Ok(made.map(|entry| entry.path()).collect())
}

/// The VM reads its root over 9p, page by page and anew for each start of a program: programs without
/// their symbols are copied into its memory and mounted in their own places.
fn in_memory(machine: &Machine, programs: &[PathBuf]) -> Result<String, String> {
    let folder = machine.place().join("programs");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut lines = format!(
        "mkdir /run/programs; cp -a {}/. /run/programs/\n",
        folder.display()
    );
    for (number, program) in programs.iter().enumerate() {
        let copy = folder.join(number.to_string());
        host::run(
            std::process::Command::new("strip")
                .arg("-o")
                .arg(&copy)
                .arg(program),
        )?;
        lines += &format!(
            "mount --bind /run/programs/{number} {}\n",
            program.display()
        );
    }
    Ok(lines)
}

/// The script's lines for one check.
fn steps(check: &Check, binary: &Path, filter: Option<&str>, minutes: u64) -> String {
    let folder = host::root();
    let folder = match check.package {
        "rlxc-tests" => folder.join("tests"),
        package => folder.join("crates").join(package),
    };
    let name = check.name();
    let words: Vec<&str> = match filter {
        Some(filter) => vec![filter],
        None => check.only.to_vec(),
    };
    format!(
        "echo '{BEGIN}{name}'; cd {folder} && CARGO_MANIFEST_DIR={folder} timeout -k 10 {minutes}m {binary} \
         --test-threads=1 --show-output {words} || echo '{FAILED}{name}'\n",
        folder = folder.display(),
        binary = binary.display(),
        words = words.join(" "),
    )
}

/// Builds the check's test binary and gives its path.
fn built(check: &Check) -> Result<PathBuf, String> {
    let mut command = host::cargo();
    command.args(["test", "--quiet", "--no-run", "--message-format=json"]);
    command.args(["-p", check.package, "--test", check.test]);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cargo test: {e}"))?;
    if !output.status.success() {
        return Err(format!("{}/{} does not build", check.package, check.test));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mark = "\"executable\":\"";
    text.lines()
        .filter(|line| line.contains("\"kind\":[\"test\"]"))
        .filter_map(|line| line.split_once(mark)?.1.split('"').next())
        .map(|path| Path::new(path).to_path_buf())
        .next_back()
        .ok_or_else(|| format!("{}/{}: cargo named no binary", check.package, check.test))
}
