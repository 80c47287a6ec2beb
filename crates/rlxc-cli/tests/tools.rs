//! The same calls to LXC's tools and to ours on the same containers: output, errors and status.
//!
//! What LXC's error lines name of its source (file, function, line) is masked, pids and times are
//! too. Where LXC 7.0.0, which we stand for, differs from the installed one, no line stands here.

mod common;

use std::io;
use std::path::Path;
use std::process::Command;

use common::{Place, RLXC, Said, missing};

/// Masks `FILE: FUNCTION: LINE` of an error line, and numbers of processes.
fn masked(text: &str) -> String {
    let line = |line: &str| {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for at in 0..words.len().saturating_sub(2) {
            let is_file = words[at].ends_with(".c:") || words[at].ends_with(".rs:");
            let is_number = words[at + 2].bytes().all(|b| b.is_ascii_digit());
            if is_file && is_number {
                words[at] = "FILE:".into();
                words[at + 1] = "FUNCTION:".into();
                words[at + 2] = "LINE".into();
            }
        }
        words.join(" ")
    };
    text.lines().map(|l| line(l) + "\n").collect()
}

fn both(place: &Place, line: &str) -> io::Result<(Said, Said)> {
    let words: Vec<&str> = line.split(' ').collect();
    let theirs = place.run(Path::new("/usr/bin").join(words[0]), &words[1..])?;
    let ours = place.run(place.ours(words[0]), &words[1..])?;
    Ok((ours, theirs))
}

/// How the two differ in output and status; with `errors`, in what they complain of too.
fn difference(place: &Place, line: &str, errors: bool) -> io::Result<Option<String>> {
    let (ours, theirs) = both(place, line)?;
    let differs = ours.out != theirs.out
        || ours.status != theirs.status
        || errors && masked(&ours.err) != masked(&theirs.err);
    Ok(differs.then(|| format!("{line}\n  ours   {ours:?}\n  theirs {theirs:?}")))
}

fn walk(place: &Place, lines: &[&str], errors: bool) -> io::Result<()> {
    let mut different = Vec::new();
    for line in lines {
        // The kernel goes on booking memory for a moment after a container was frozen.
        let mut found = difference(place, line, errors)?;
        for _ in 0..5 {
            if found.is_some() {
                std::thread::sleep(std::time::Duration::from_millis(100));
                found = difference(place, line, errors)?;
            }
        }
        different.extend(found);
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    Ok(())
}

/// The same complaint, word for word, with the name and the status.
const COMPLAINTS: [&str; 58] = [
    "lxc-start nobody",
    "lxc-start",
    "lxc-stop",
    "lxc-stop nobody",
    "lxc-stop web",
    "lxc-stop -k web",
    "lxc-stop -k -t 3 web",
    "lxc-stop -k --nokill web",
    "lxc-stop -k -r web",
    "lxc-stop --nolock web",
    "lxc-unfreeze web",
    "lxc-unfreeze nobody",
    "lxc-freeze",
    "lxc-cgroup web cpuset.cpus",
    "lxc-cgroup nobody cpuset.cpus",
    "lxc-cgroup web",
    "lxc-cgroup",
    "lxc-wait",
    "lxc-wait web",
    "lxc-wait web -s NOPE",
    "lxc-wait nobody -s STOPPED",
    "lxc-wait web -s RUNNING -t 0",
    "lxc-console web",
    "lxc-console nobody",
    "lxc-console web -t abc",
    "lxc-console",
    "lxc-attach",
    "lxc-attach web -s BAD -- true",
    "lxc-attach web -eBAD -- true",
    "lxc-attach web -u abc -- true",
    "lxc-attach web -a bogus -- true",
    "lxc-device web",
    "lxc-device web add /dev/null",
    "lxc-device nobody add /dev/null",
    "lxc-device web foo /dev/null",
    "lxc-checkpoint web",
    "lxc-checkpoint nobody -D /nonexistent",
    "lxc-checkpoint -r nobody -D /nonexistent",
    "lxc-checkpoint -r -s web -D /nonexistent",
    "lxc-checkpoint -F web -D /nonexistent",
    "lxc-destroy nobody",
    "lxc-destroy",
    "lxc-execute nobody",
    "lxc-execute nobody -- true",
    "lxc-execute",
    "lxc-info",
    "lxc-info nobody",
    "lxc-info web -c lxc.nonsense",
    "lxc-copy",
    "lxc-create",
    "lxc-create web -t none",
    "lxc-snapshot",
    "lxc-snapshot web -L",
    "lxc-autostart -t x",
    "lxc-autostart -r -s",
    "lxc-top",
    "lxc-top -b",
    "lxc-ls --filter=[ -1",
];

#[test]
fn complaints_are_lxcs_word_for_word() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("complaints")?;
    place.define("web", "lxc.uts.name = web\n")?;
    walk(&place, &COMPLAINTS, true)?;
    // getopt's own words, then the help: the first line is compared, without the program's place.
    for line in [
        "lxc-start --bogus x",
        "lxc-start -x",
        "lxc-ls --running=5x -Z",
    ] {
        let (ours, theirs) = both(&place, line)?;
        let first = |said: &Said| {
            let line = said.err.lines().next().unwrap_or_default().to_owned();
            line.rsplit('/').next().unwrap_or_default().to_owned()
        };
        assert_eq!(first(&ours), first(&theirs), "{line}");
        assert_eq!(ours.status, theirs.status, "{line}");
        let usage = |said: &Said| said.err.lines().any(|l| l.starts_with("Usage: lxc-"));
        assert!(usage(&ours) && usage(&theirs), "{line}");
    }
    Ok(())
}

#[test]
fn a_running_container_is_the_same_to_both() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("running")?;
    place.busybox_with(
        "one",
        "lxc.net.0.type = empty\nlxc.group = sql\nlxc.start.auto = 1\nlxc.environment = A=b\n",
    )?;
    place.define(
        "two",
        "lxc.group = sql\nlxc.group = web\nlxc.start.delay = 2\n",
    )?;
    // Each side starts it once: what the tools see must not depend on who did.
    for starter in [RLXC, "/usr/bin/lxc-start"] {
        let words: &[&str] = match starter {
            RLXC => &["start", "one"],
            _ => &["one"],
        };
        let said = place.run(starter, words)?;
        assert_eq!(said.status, Some(0), "{said:?}");
        place.must("wait one --ready -t 20")?;
        walk(&place, &LIVE, false)?;
        walk(&place, &LIVE_COMPLAINTS, true)?;
        // Frozen, its figures stand still.
        place.must("freeze one")?;
        walk(&place, &FROZEN, false)?;
        place.must("unfreeze one")?;
        place.must("stop -k one")?;
    }
    Ok(())
}

const LIVE: [&str; 46] = [
    "lxc-ls",
    "lxc-ls -1",
    "lxc-ls -f",
    "lxc-ls -1 --active",
    "lxc-ls --active -f -F NAME,PID,STATE,INTERFACE",
    "lxc-ls -f -F name,groups,autostart,unprivileged,ipv4,ipv6",
    "lxc-ls --running",
    "lxc-ls --running --frozen",
    "lxc-ls --frozen -f",
    "lxc-ls --stopped -1",
    "lxc-ls --defined",
    "lxc-ls --running --stopped",
    "lxc-ls -g sql -1",
    "lxc-ls -g sql,web -f",
    "lxc-ls -1 --filter=^o[[:alpha:]]e$",
    "lxc-ls -1 (one|two)",
    "lxc-info one -s",
    "lxc-info one -p",
    "lxc-info one -pH",
    "lxc-info one -s -p -H",
    "lxc-info one -i",
    "lxc-info one -c lxc.uts.name",
    "lxc-info one -c lxc.environment -c lxc.group",
    "lxc-info one -H -c lxc.start.auto",
    "lxc-info --na=one --sta",
    "lxc-attach one -- hostname",
    "lxc-attach one -- sh -c exit\t9",
    "lxc-attach one -- false",
    "lxc-attach one --clear-env -- env",
    "lxc-attach one --clear-env --keep-var PATH -- env",
    "lxc-attach one -s MOUNT|PID -- hostname",
    "lxc-attach one -s NETWORK -- ls /sys/class/net",
    "lxc-attach one -s NETWORK -R -- ls /sys/class/net",
    "lxc-attach one -e -- true",
    "lxc-attach one -u 1000 -g 1000 -- id",
    "lxc-attach one -a i686 -- uname -m",
    "lxc-attach one -- pwd",
    "lxc-autostart -L",
    "lxc-autostart -L -s -a -A",
    "lxc-autostart -L -a -A",
    "lxc-autostart -L -k -A -g sql",
    "lxc-autostart -L -r -A -g web,sql",
    "lxc-autostart -L -g sql, -A",
    "lxc-wait one -s RUNNING",
    "lxc-wait one -s RUNNING|STOPPED -t 1",
    "lxc-unfreeze one",
];

const LIVE_COMPLAINTS: [&str; 9] = [
    "lxc-start one",
    "lxc-start one -F",
    "lxc-destroy one",
    "lxc-device one",
    "lxc-device one add",
    "lxc-device one foo /dev/fuse",
    "lxc-checkpoint -r one -D /nonexistent",
    "lxc-stop --nolock one",
    "lxc-info one -c lxc.nonsense",
];

const FROZEN: [&str; 12] = [
    "lxc-info one",
    "lxc-info one -H",
    "lxc-info one -S",
    "lxc-info one -SH",
    "lxc-ls -f",
    "lxc-ls -f --frozen",
    "lxc-ls -f --active -F NAME,STATE,RAM,SWAP,PID",
    "lxc-freeze one",
    "lxc-cgroup one cpuset.cpus",
    "lxc-cgroup one devices.list",
    "lxc-cgroup one pids.max",
    "lxc-wait one -s FROZEN -t 2",
];

#[test]
fn lxc_config_and_unshare_are_the_same() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("plain")?;
    let mut different = Vec::new();
    for line in [
        "lxc-config -l",
        "lxc-config lxc",
        "lxc-config lxc.lxcpath",
        "lxc-config lxc.bdev.zfs.root",
        "lxc-config lxc.cgroup.use",
        "lxc-unshare -s UTSNAME -H foo -- hostname",
        "lxc-unshare -s BAD -- true",
        "lxc-unshare",
        "lxc-unshare -- true",
        "lxc-unshare -s UTSNAME",
        "lxc-unshare -s MOUNT -- true",
        "lxc-usernsexec -m b:0:0:1 -- false",
        "lxc-usernsexec -m u:0:0:10 -m g:0:0:10 -- id -u",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let run = |program: &Path| -> io::Result<Said> {
            let mut command = Command::new(program);
            Ok(command.args(&words[1..]).output()?.into())
        };
        let theirs = run(&Path::new("/usr/bin").join(words[0]))?;
        let ours = run(&place.ours(words[0]))?;
        let same = (ours.out == theirs.out, ours.status == theirs.status);
        if same != (true, true) || masked(&ours.err) != masked(&theirs.err) {
            different.push(format!("{line}\n  ours   {ours:?}\n  theirs {theirs:?}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    Ok(())
}
