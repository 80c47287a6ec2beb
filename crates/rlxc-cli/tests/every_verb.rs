//! What holds for every verb: outputs that cannot be written, names that are none, signals while it waits.

mod common;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, RLXC, eventually, missing};

/// Calls that print something, each verb's at least once; of the container `one`, which runs, unless they need none.
const PRINTING: [&str; 58] = [
    "ls",
    "ls -1",
    "ls -f",
    "ls --format json",
    "ls --format yaml",
    "ls --format csv",
    "info one",
    "info one -H -S",
    "info one --format yaml",
    "info one -c lxc.uts.name",
    "stats one",
    "stats one --format json",
    "snapshot one -L",
    "snapshot one -L --format json",
    "autostart -L -a -A -r",
    "autostart -L -a -A -r --format csv",
    "cgroup one cpuset.cpus",
    "checkconfig",
    "checkconfig --format json",
    "config",
    "config -l",
    "config -l --format json",
    "config lxc.lxcpath",
    "config lxc.lxcpath --format json",
    "config keys",
    "config keys --format csv",
    "config explain lxc.idmap",
    "config explain lxc.idmap --format json",
    "config show one",
    "config show one --all --format yaml",
    "config check one",
    "config check one --format json",
    "doctor",
    "doctor --format json",
    "explain one",
    "explain one --format json",
    "net status",
    "net status --format json",
    "share one",
    "share one --format json",
    "top --format json",
    "top -b",
    "recover one --format json",
    "start two --dry-run",
    "start two --dry-run --format json",
    "execute two --dry-run -- true",
    "attach one -- echo hello",
    "attach one -- ls /",
    "update-config",
    "completions bash",
    "completions verbs",
    "completions complete rlxc st",
    "help",
    "help ls",
    "help lxc-ls",
    "help rootless",
    "help lxc.idmap",
    "unshare -s UTSNAME -- echo hello",
];

/// Calls whose output another program writes, or that say what they have to say by their status too.
const OTHERS_WRITE: [&str; 2] = ["attach one -- ls /", "doctor"];

fn two_containers(place: &Place) -> io::Result<()> {
    place.busybox_with(
        "one",
        "lxc.net.0.type = empty\nlxc.mount.entry = /tmp tmp none bind 0 0\n",
    )?;
    place.busybox("two")?;
    place.must("start one").map(drop)
}

fn call(place: &Place, line: &str, stdout: Stdio) -> io::Result<std::process::Output> {
    let words: Vec<&str> = line.split(' ').collect();
    let (options, command) = match words.iter().position(|word| *word == "--") {
        Some(at) => words.split_at(at),
        None => (&words[..], &[][..]),
    };
    let mut program = Command::new("timeout");
    program.args(["20", RLXC]).args(options);
    let no_path = ["help", "completions"].contains(&words[0]);
    if !no_path {
        program.arg("-P").arg(place.lxcpath());
    }
    program.args(command).stdin(Stdio::null()).stdout(stdout);
    program.output()
}

#[test]
fn whoever_reads_nothing_ends_the_program_without_a_word() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("reader")?;
    two_containers(&place)?;
    let mut wrong = Vec::new();
    for line in PRINTING {
        let (reader, writer) = io::pipe()?;
        drop(reader);
        let end = call(&place, line, writer.into())?;
        let said = String::from_utf8_lossy(&end.stderr).into_owned();
        // timeout(1) tells of the program's signal by its status, or by its own end.
        let piped = end.status.signal() == Some(13) || end.status.code() == Some(128 + 13);
        // A program inside has its own way of dealing with it.
        let fine = OTHERS_WRITE.contains(&line) || piped;
        if !fine || said.contains("panicked") {
            wrong.push(format!("{line}: {:?} {said}", end.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn a_full_disk_is_an_error_and_a_closed_output_is_none() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("full")?;
    two_containers(&place)?;
    let mut wrong = Vec::new();
    for line in PRINTING {
        let full = OpenOptions::new().write(true).open("/dev/full")?;
        let end = call(&place, line, full.into())?;
        let said = String::from_utf8_lossy(&end.stderr).into_owned();
        let told = said.contains("No space left on device") && !said.contains("os error");
        let failed = end
            .status
            .code()
            .is_some_and(|code| code != 0 && code != 101);
        let fine = OTHERS_WRITE.contains(&line) || told && failed;
        if !fine || said.contains("panicked") {
            wrong.push(format!("full: {line}: {:?} {said}", end.status));
        }
        if line == "top -b" {
            continue;
        }
        let shell = format!(
            "exec timeout 20 {RLXC} {} -P {} {} >&- <&- 2>/dev/null",
            line.split(" -- ").next().unwrap_or_default(),
            place.lxcpath().display(),
            line.split_once(" -- ")
                .map_or(String::new(), |(_, rest)| format!("-- {rest}"))
        );
        let shell = match line.split(' ').next() {
            Some("help" | "completions") => format!("exec {RLXC} {line} >&- <&- 2>/dev/null"),
            _ => shell,
        };
        let code = Command::new("sh").args(["-c", &shell]).status()?.code();
        let fine = match line.split(' ').next() {
            Some("doctor" | "net" | "attach" | "unshare") => {
                !matches!(code, None | Some(101 | 124))
            }
            _ => code == Some(0),
        };
        if !fine {
            wrong.push(format!("closed: {line}: {code:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// A call of each verb that names a container, without the name.
const NAMING: [&str; 26] = [
    "attach -- true",
    "autostart -L",
    "cgroup cpuset.cpus",
    "checkpoint -D /nonexistent",
    "console",
    "copy -N rlxc-cli-new",
    "device add /dev/null",
    "destroy",
    "doctor",
    "execute -- true",
    "explain",
    "freeze",
    "info",
    "ls -1",
    "recover",
    "set lxc.uts.name=x",
    "share /tmp",
    "snapshot -L",
    "start",
    "stats",
    "stop",
    "top --format json",
    "unfreeze",
    "wait -s RUNNING -t 0",
    "create -t bogus-template",
    "update-config",
];

#[test]
fn names_that_are_none_are_refused_by_every_verb_and_shown_safely() -> io::Result<()> {
    let place = Place::new("names")?;
    let long = "n".repeat(5000);
    let names: [&[u8]; 11] = [
        b"caf\xe9",
        b"two\nlines",
        b"esc\x1b[31m",
        b"-dash",
        b"--",
        b"..",
        b".",
        b"a/b",
        b"",
        b" ",
        long.as_bytes(),
    ];
    let mut wrong = Vec::new();
    for line in NAMING {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut programs = vec![(RLXC.into(), Some(verb))];
        let tool = place.ours(&format!("lxc-{verb}"));
        if tool.exists() {
            programs.push((tool, None));
        }
        for name in names {
            for (program, verb) in &programs {
                let mut command = Command::new("timeout");
                command.arg("20").arg(program).args(*verb);
                let mut option = b"--name=".to_vec();
                option.extend(name);
                command.arg(OsString::from_vec(option));
                command.arg("-P").arg(place.lxcpath());
                command.args(rest.split(' ').filter(|word| !word.is_empty()));
                let end = command.stdin(Stdio::null()).output()?;
                let shown = [end.stdout, end.stderr].concat();
                let text = String::from_utf8_lossy(&shown).into_owned();
                let code = end.status.code();
                let raw = text.contains('\u{1b}') || text.contains("two\nlines");
                if raw || text.contains("panicked") || matches!(code, None | Some(101 | 124)) {
                    let name = String::from_utf8_lossy(&name[..name.len().min(12)]).into_owned();
                    wrong.push(format!("{program:?} {line} {name:?}: {code:?} {text}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Nothing was made on the way, there or elsewhere.
    let made: Vec<_> = std::fs::read_dir(place.lxcpath())?.collect::<Result<_, _>>()?;
    assert!(made.is_empty(), "{made:?}");
    Ok(())
}

/// What waits, and whether Ctrl-C ends it by the signal itself.
const WAITING: [&str; 11] = [
    "wait one -s STOPPED",
    "wait one --ready",
    "wait one --ready -t 60",
    "monitor",
    "monitor --format csv",
    "stop one --nokill -t 50",
    "stop one -t 50",
    "stop one -r",
    "top -b",
    "create made -t TEMPLATE",
    "start slow",
];

#[test]
fn ctrl_c_ends_every_verb_that_waits() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("ctrl-c-all")?;
    // An init that hears nothing, and a start that takes its time.
    let deaf = "lxc.net.0.type = empty\nlxc.signal.halt = SIGUSR2\nlxc.signal.reboot = SIGUSR2\n";
    place.busybox_with("one", deaf)?;
    let rootfs = place.lxcpath().join("one/rootfs");
    script(
        &rootfs.join("sbin/deaf"),
        "#!/bin/sh\nwhile true; do sleep 1; done\n",
    )?;
    // By its words it looks as if it were still booting.
    let words = ["set", "one", "lxc.init.cmd=/sbin/deaf /etc/init.d/rcS "];
    assert_eq!(place.run(RLXC, &words)?.status, Some(0));
    let hook = place.dir.join("hook");
    script(&hook, "#!/bin/sh\nexec sleep 5\n")?;
    let slow = format!(
        "lxc.net.0.type = empty\nlxc.group = slow\nlxc.hook.pre-start = {}\n",
        hook.display()
    );
    place.busybox_with("slow", &slow)?;
    let template = place.dir.join("template");
    script(&template, "#!/bin/sh\nexec sleep 30\n")?;
    place.must("start one")?;
    let mut wrong = Vec::new();
    for line in WAITING {
        let line = line.replace("TEMPLATE", &template.display().to_string());
        let mut child = Command::new("env")
            .args(["--default-signal", RLXC])
            .args(line.split(' '))
            .arg("-P")
            .arg(place.lxcpath())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        std::thread::sleep(Duration::from_millis(400));
        if let Some(status) = child.try_wait()? {
            wrong.push(format!("{line}: has not waited: {status}"));
            continue;
        }
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        let begun = Instant::now();
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT)?;
        let ended = eventually(|| matches!(child.try_wait(), Ok(Some(_))));
        if !ended {
            wrong.push(format!("{line}: goes on"));
            child.kill()?;
        }
        let status = child.wait()?;
        if status.signal() != Some(2) && status.code() != Some(1) && status.code() != Some(130) {
            wrong.push(format!("{line}: {status} after {:?}", begun.elapsed()));
        }
    }
    let _ = place.run(place.ours("lxc-monitor"), &["-Q"]);
    // A start that nobody waits for goes on, as LXC's does; of what was half-made nothing stays.
    let there = || {
        let said = place.rlxc("info slow -s -H");
        said.is_ok_and(|said| said.out == "RUNNING\n")
    };
    if !(eventually(there) || eventually(there)) {
        wrong.push(format!("slow: {:?}", place.rlxc("info slow")?));
    }
    place.rlxc("stop -k slow")?;
    let said = place.rlxc("ls -1")?;
    if said.out != "one\nslow\n" {
        wrong.push(format!("left: {said:?}"));
    }
    place.rlxc("stop -k one")?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn script(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}
