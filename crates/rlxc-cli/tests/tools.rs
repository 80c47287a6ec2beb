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
    // A container in the container.
    let rootfs = place.lxcpath().join("one/rootfs");
    let same = rootfs.join(place.lxcpath().strip_prefix("/").unwrap_or(Path::new("")));
    for dir in [same.join("inner"), rootfs.join("var/lib/lxc/own")] {
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("config"), "lxc.group = deep\n")?;
    }
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
        // rlxc looks where the container's own tools would.
        let nested = place.must("ls --nesting -1")?;
        assert_eq!(nested, "one\n\\own\ntwo\n");
        // LXC 5.0.2 crashes at a container in a container: what its 7.0.0 prints.
        for (words, shown) in [
            (&["--nesting", "-1"][..], "one\n\\inner\ntwo\n"),
            (
                &["--nesting=1", "-f", "-F", "NAME,STATE,GROUPS"],
                "NAME   STATE   GROUPS   \none    RUNNING sql      \n\\inner STOPPED deep     \ntwo    STOPPED sql, web \n",
            ),
        ] {
            let said = place.run(place.ours("lxc-ls"), words)?;
            assert_eq!(
                (said.out.as_str(), said.status),
                (shown, Some(0)),
                "{said:?}"
            );
        }
        walk(&place, &LIVE_COMPLAINTS, true)?;
        // Frozen, its figures stand still.
        place.must("freeze one")?;
        walk(&place, &FROZEN, false)?;
        place.must("unfreeze one")?;
        place.must("stop -k one")?;
    }
    Ok(())
}

const LIVE: [&str; 48] = [
    "lxc-ls --nesting=0 -1",
    "lxc-ls --nesting --running -1",
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

/// What LXC's tools accept or refuse: the same output and status, whatever the words on the way.
const REFUSED_OR_NOT: [&str; 91] = [
    "lxc-ls -f -F ,",
    "lxc-ls -f -F NAME,",
    "lxc-ls -f -F NAME,NAME",
    "lxc-ls -F NAME",
    "lxc-ls -f -g onboot",
    "lxc-ls -f -g onboot,sql",
    "lxc-ls -g ,",
    "lxc-ls -1 -g onboot,",
    "lxc-ls -1 -g onboot -g x",
    "lxc-ls web db",
    "lxc-ls -n web",
    "lxc-ls --filter=web --filter=db",
    "lxc-ls --nesting",
    "lxc-ls --nesting=2 -f",
    "lxc-ls --nesting=x",
    "lxc-ls --defined --active",
    "lxc-ls --fancy-format NAME --fancy",
    "lxc-info -n web -s -p -i -S",
    "lxc-info -n web -s -i",
    "lxc-info web -H",
    "lxc-info web -SH",
    "lxc-info web -c lxc.uts.name -c lxc.start.auto -H",
    "lxc-info web -c lxc.uts.name -s",
    "lxc-info web -c lxc.uts.name -s -H",
    "lxc-info web -c lxc.net",
    "lxc-info web -c lxc.cap.drop",
    "lxc-info web -c lxc",
    "lxc-info web -c lxc.cgroup",
    "lxc-info db -c lxc.group -H",
    "lxc-info web db",
    "lxc-info nobody -c lxc.uts.name",
    "lxc-info ../web",
    "lxc-info web --rcfile /nonexistent/x -c lxc.group",
    "lxc-info web -l NONSENSE -s",
    "lxc-wait web -s STOPPED|",
    "lxc-wait web -s stopped",
    "lxc-wait web -s STOPPED|RUNNING",
    "lxc-wait web -s RUNNING -t 1",
    "lxc-wait web -s RUNNING -t x",
    "lxc-wait web -s THAWED -t 0",
    "lxc-wait web -s ABORTING|STARTING|STOPPING|FREEZING -t 0",
    "lxc-wait web -s RUNNING -t 0 extra",
    "lxc-autostart -L",
    "lxc-autostart -L -a -A",
    "lxc-autostart -L -g onboot,",
    "lxc-autostart -L -g onboot -g sql -A",
    "lxc-autostart -L -g sql,onboot, -A",
    "lxc-autostart -L -k -a -A",
    "lxc-autostart -L -r -a",
    "lxc-autostart -s -k",
    "lxc-autostart -k -r",
    "lxc-autostart -t -5 -s",
    "lxc-autostart web -L",
    "lxc-autostart -n web -L",
    "lxc-autostart -s -t 10x",
    "lxc-snapshot web",
    "lxc-snapshot web -L -C",
    "lxc-snapshot web -C",
    "lxc-snapshot web -N new",
    "lxc-snapshot web -d snap0",
    "lxc-copy web -R",
    "lxc-copy web -R -N web -s",
    "lxc-copy web -N x -B bogus",
    "lxc-copy nobody -e",
    "lxc-copy web -e -m bogus=1",
    "lxc-cgroup web memory.limit_in_bytes 5",
    "lxc-device web del /dev/null",
    "lxc-device nobody add eth0",
    "lxc-checkpoint web -D /x -p -s",
    "lxc-attach web -e CAP -- true",
    "lxc-attach web -s MOUNT|BAD -- true",
    "lxc-attach web -g x -- true",
    "lxc-execute nobody -s lxc.uts.name=x -- true",
    "lxc-execute nobody -u x -- true",
    "lxc-start web -c /nonexistent/x/y",
    "lxc-start nobody -s foo",
    "lxc-start nobody -p /nonexistent/x",
    "lxc-stop web -r",
    "lxc-stop web -W",
    "lxc-stop web -t x",
    "lxc-stop web -k -W",
    "lxc-stop nobody -k",
    "lxc-freeze nobody",
    "lxc-console web -t -2",
    "lxc-console web -e abc",
    "lxc-console web -e ^1",
    "lxc-create xx",
    "lxc-create xx -t bogus",
    "lxc-create xx -t none -B bogus",
    "lxc-create xx -t none --zfsroot x",
    "lxc-create xx -t none -f /nonexistent/x",
];

#[test]
fn odd_calls_end_as_with_lxc() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("odd")?;
    place.define(
        "web",
        "lxc.uts.name = web\nlxc.start.auto = 1\nlxc.start.order = 5\nlxc.start.delay = 2\n",
    )?;
    place.define("db", "lxc.group = onboot,sql\nlxc.group = x\n")?;
    walk(&place, &REFUSED_OR_NOT, false)
}

#[test]
fn what_changes_a_container_changes_it_as_with_lxc() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("changes")?;
    let sides = ["rlxo", "rlxt"];
    // LXC leaves its monitor's cgroup in some hierarchies now and then; its container is destroyed.
    let _left = rlxc_tests::cgroups::Left::of(format!("rlxt{}", std::process::id()));
    for side in sides {
        let name = format!("{side}{}", std::process::id());
        place.busybox_with(
            &name,
            "lxc.net.0.type = empty\nlxc.group = g1\nlxc.tty.max = 2\nlxc.environment = FOO=bar\n",
        )?;
    }
    let mut different = Vec::new();
    for line in CHANGES {
        let run = |side: &str| -> io::Result<Said> {
            let name = format!("{side}{}", std::process::id());
            let line = line.replace('@', &name);
            let words: Vec<&str> = line.split(' ').collect();
            let words: Vec<String> = words.iter().map(|word| word.replace('\t', " ")).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let program = match side {
                "rlxo" => place.ours(words[0]),
                _ => Path::new("/usr/bin").join(words[0]),
            };
            let said = place.run(program, &words[1..])?;
            let text = dates_masked(&said.out.replace(&name, "@"));
            Ok(Said { out: text, ..said })
        };
        let (ours, theirs) = (run("rlxo")?, run("rlxt")?);
        if ours.out != theirs.out || ours.status != theirs.status {
            different.push(format!("{line}\n  ours   {ours:?}\n  theirs {theirs:?}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    Ok(())
}

/// `2026:11:23 14:58:33`, as the list of snapshots has it.
fn dates_masked(text: &str) -> String {
    let is_date =
        |word: &str| word.len() >= 8 && word.bytes().all(|b| b.is_ascii_digit() || b == b':');
    let words = text.split(' ').map(|word| match word.trim_end() {
        date if is_date(date) => word.replace(date, "DATE"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Each side has a container of its own, whose name stands for `@`; a tab is a blank in a word.
const CHANGES: [&str; 89] = [
    "lxc-start @",
    "lxc-info @ -s",
    "lxc-attach @ -- sh -c echo\t$FOO\t$container\t$HOME\t$TERM",
    "lxc-attach @ --clear-env --keep-var FOO -- env",
    "lxc-attach @ -v X=1 -v Y=2 -- sh -c echo\t$X$Y",
    "lxc-attach @ -u 1000 -g 1001 -- sh -c id;\tpwd",
    "lxc-attach @ -- sh -c grep\t-E\t\"Cap|Secc|NoNew\"\t/proc/self/status",
    "lxc-attach @ -eCAP -- sh -c grep\tCap\t/proc/self/status",
    "lxc-attach @ -- sh -c kill\t-TERM\t$$",
    "lxc-attach @ -- sh -c kill\t-9\t$$",
    "lxc-attach @ -- /nonexist",
    "lxc-attach @ -- /etc/passwd",
    "lxc-attach @ -- /etc",
    "lxc-attach @ -- sh -c ulimit\t-n;\tumask;\tcat\t/proc/self/oom_score_adj",
    "lxc-cgroup @ pids.max 100",
    "lxc-cgroup @ pids.max",
    "lxc-cgroup @ pids.bogus",
    "lxc-cgroup @ pids.max abc",
    "lxc-cgroup @ ../../pids.max",
    "lxc-cgroup @ pids.max 5 6",
    "lxc-cgroup @ pids.max max\n",
    "lxc-cgroup @ pids.max 7\n8",
    "lxc-cgroup @ pids.max",
    "lxc-cgroup @ pids.max ",
    "lxc-cgroup @ /pids.max",
    "lxc-cgroup @ .",
    "lxc-cgroup @ pids",
    "lxc-cgroup @ nosuch.controller",
    "lxc-cgroup @ cpuset.cpus",
    "lxc-cgroup @ cpuset.cpus 0",
    "lxc-cgroup @ cpuset.cpus",
    "lxc-cgroup @ cpuset.cpus 99",
    "lxc-cgroup @ memory.limit_in_bytes 256M",
    "lxc-cgroup @ memory.limit_in_bytes",
    "lxc-cgroup @ memory.oom_control",
    "lxc-cgroup @ devices.deny c\t1:5\trwm",
    "lxc-cgroup @ devices.list",
    "lxc-cgroup @ devices.allow bogus",
    "lxc-cgroup @ devices.allow c\t1:5",
    "lxc-cgroup @ devices.allow c\t1:5\tr",
    "lxc-cgroup @ devices.list",
    "lxc-cgroup @ freezer.state",
    "lxc-cgroup @ tasks x",
    "lxc-cgroup @ cpu.shares 512",
    "lxc-cgroup @ cpu.shares",
    "lxc-cgroup @ blkio.throttle.read_bps_device 7:0\t1048576",
    "lxc-cgroup @ blkio.throttle.read_bps_device",
    "lxc-device @ add /dev/fuse",
    "lxc-attach @ -- stat -c %t:%T /dev/fuse",
    "lxc-device @ del /dev/fuse",
    "lxc-device @ del /dev/nope",
    "lxc-device @ add nope0",
    "lxc-freeze @",
    "lxc-info @ -s",
    "lxc-unfreeze @",
    "lxc-wait @ -s STOPPED -t 1",
    "lxc-start @",
    "lxc-snapshot @",
    "lxc-destroy @",
    "lxc-copy @ -N @2",
    "lxc-copy @ -R -N @3",
    "lxc-console @ -t 9",
    "lxc-stop @ -t 0 --nokill",
    "lxc-stop @ -W",
    "lxc-stop @ -k",
    "lxc-stop @ -k",
    "lxc-start @ -F -- /bin/false",
    "lxc-start @ -F -- /bin/sh -c kill\t-9\t$$",
    "lxc-start @ -- /bin/nonexist",
    "lxc-start @ -s lxc.rootfs.path=/nope",
    "lxc-start @ -s lxc.uts.name=foo -F -- /bin/hostname",
    "lxc-execute @ -- /bin/sh -c exit\t7",
    "lxc-execute @ -u 1000 -g 1000 -- id",
    "lxc-execute @ -d -- /bin/true",
    "lxc-wait @ -s STOPPED -t 5",
    "lxc-snapshot @",
    "lxc-snapshot @ -L",
    "lxc-snapshot @ -d nope",
    "lxc-snapshot @ -r nope -N @n",
    "lxc-snapshot @ -r snap0 -N @r",
    "lxc-snapshot @ -r snap0 @r2",
    "lxc-destroy @",
    "lxc-destroy @ -s",
    "lxc-destroy @",
    "lxc-copy @r -N @c",
    "lxc-copy @r -N @c",
    "lxc-copy @r -N @k -K",
    "lxc-info @k -c lxc.uts.name",
    "lxc-copy @c -R -N @d",
];
