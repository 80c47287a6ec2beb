//! A monitor that was killed: what is left is found, and taken over or cleaned away.

mod common;

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Place, eventually, missing};

/// A host interface of our own.
struct Link(String);

impl Link {
    fn new(letter: &str) -> io::Result<Option<Self>> {
        let name = format!("rlxcc{letter}{}", std::process::id() % 1_000_000);
        let made = Command::new("ip")
            .args(["link", "add", &name, "type", "veth"])
            .stderr(Stdio::null())
            .status()?;
        Ok(made.success().then_some(Self(name)))
    }

    fn is_here(&self) -> bool {
        Path::new("/sys/class/net").join(&self.0).exists()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["link", "del", &self.0])
            .stderr(Stdio::null())
            .status();
    }
}

fn monitor_of(place: &Place, name: &str) -> Option<i32> {
    let title = format!("[lxc monitor] {} {name}", place.lxcpath().display());
    let entries = std::fs::read_dir("/proc").ok()?.flatten();
    let mut pids = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (line.trim_end() == title).then_some(pid)
    });
    pids.next()
}

fn cgroups_of(name: &str) -> Vec<std::path::PathBuf> {
    let roots = std::fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten();
    let dirs = roots.map(|root| root.path().join(format!("lxc.payload.{name}")));
    dirs.filter(|dir| dir.exists()).collect()
}

/// A container whose init has outlived its monitor.
fn orphan(place: &Place, name: &str, more: &str) -> io::Result<()> {
    let config = format!("lxc.monitor.signal.pdeath = SIGCONT\nlxc.tty.max = 2\n{more}");
    place.busybox_with(name, &config)?;
    place.must(&format!("start {name}"))?;
    kill_monitor(place, name)
}

fn kill_monitor(place: &Place, name: &str) -> io::Result<()> {
    let Some(monitor) = monitor_of(place, name) else {
        panic!("no monitor")
    };
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(monitor),
        nix::sys::signal::Signal::SIGKILL,
    )?;
    let stopped = || {
        let said = place.rlxc(&format!("info -s -H {name}"));
        said.is_ok_and(|said| said.out == "STOPPED\n")
    };
    assert!(eventually(stopped));
    Ok(())
}

fn init_of(place: &Place, name: &str) -> io::Result<String> {
    place.must(&format!("info -p -H {name}"))
}

#[test]
fn a_running_container_gets_a_new_monitor_and_everything_works_again() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let Some(link) = Link::new("a")? else {
        println!("skipped: ip and veth interfaces");
        return Ok(());
    };
    let place = Place::new("adopt")?;
    let name = format!("rlxc-cli-ado-{}", std::process::id());
    let net = format!(
        "lxc.net.0.type = phys\nlxc.net.0.link = {}\nlxc.net.0.name = eth7\n",
        link.0
    );
    orphan(&place, &name, &net)?;
    let said = place.rlxc(&format!("recover {name}"))?;
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.err.contains("has a monitor again"), "{said:?}");
    let init = init_of(&place, &name)?;
    // LXC's own tools see a container like any other.
    let theirs = |tool: &str, words: &[&str]| {
        place.run(
            Path::new("/usr/bin").join(tool),
            &[&["-n", &name], words].concat(),
        )
    };
    assert_eq!(theirs("lxc-info", &["-s", "-H"])?.out, "RUNNING\n");
    assert_eq!(theirs("lxc-info", &["-p", "-H"])?.out, init);
    let said = theirs("lxc-attach", &["--", "/bin/hostname"])?;
    assert_eq!(said.out, format!("{name}\n"), "{said:?}");
    let said = theirs("lxc-cgroup", &["pids.current"])?;
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(
        place.must(&format!("attach {name} -- /bin/echo here"))?,
        "here\n"
    );
    place.must(&format!("freeze {name}"))?;
    assert_eq!(theirs("lxc-info", &["-s", "-H"])?.out, "FROZEN\n");
    // A monitor that takes over finds it frozen, and another can follow that one.
    kill_monitor(&place, &name)?;
    place.must(&format!("recover {name}"))?;
    assert_eq!(place.must(&format!("info -s -H {name}"))?, "FROZEN\n");
    assert_eq!(init_of(&place, &name)?, init);
    assert_eq!(theirs("lxc-unfreeze", &[])?.status, Some(0));
    let said = theirs("lxc-stop", &["-k"])?;
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(eventually(|| link.is_here()), "the link has its name again");
    assert!(cgroups_of(&name).is_empty(), "{:?}", cgroups_of(&name));
    let said = place.rlxc(&format!("recover {name}"))?;
    assert!(said.err.contains("nothing is left"), "{said:?}");
    Ok(())
}

#[test]
fn without_a_record_init_is_found_by_its_cgroup_and_its_root() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("adopt-bare")?;
    let name = format!("rlxc-cli-adb-{}", std::process::id());
    orphan(&place, &name, "lxc.net.0.type = empty\n")?;
    let record = Path::new("/run/lxc/running")
        .join(place.lxcpath().strip_prefix("/").unwrap_or(Path::new("")))
        .join(&name);
    assert!(record.exists(), "{} is missing", record.display());
    std::fs::remove_file(&record)?;
    // Of the same name elsewhere: its root is another.
    let other = Place::new("adopt-other")?;
    other.busybox(&name)?;
    let said = other.rlxc(&format!("recover {name}"))?;
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(said.err.contains("another root file system"), "{said:?}");
    let said = place.rlxc(&format!("recover {name}"))?;
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.err.contains("no record"), "{said:?}");
    assert_eq!(
        place.must(&format!("attach {name} -- /bin/echo here"))?,
        "here\n"
    );
    // A reboot from within is one, if the new monitor looks before the host's init has reaped the
    // old init; else it is a halt. Nothing between the two is left.
    let init = init_of(&place, &name)?;
    place.rlxc(&format!("attach {name} -- /bin/busybox reboot -f"))?;
    let settled = || {
        let state = place.rlxc(&format!("info -s -H {name}"));
        let pid = place.rlxc(&format!("info -p -H {name}"));
        match state.map(|said| said.out).unwrap_or_default().as_str() {
            "RUNNING\n" => pid.is_ok_and(|said| !said.out.is_empty() && said.out != init),
            "STOPPED\n" => cgroups_of(&name).is_empty(),
            _ => false,
        }
    };
    assert!(
        eventually(settled),
        "{:?}",
        place.rlxc(&format!("info {name}"))
    );
    place.rlxc(&format!("stop -k {name}"))?;
    assert!(!record.exists());
    Ok(())
}

#[test]
fn the_terminals_of_a_container_that_was_taken_over_are_new_ones() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("adopt-tty")?;
    let name = format!("rlxc-cli-adt-{}", std::process::id());
    orphan(&place, &name, "lxc.net.0.type = empty\n")?;
    place.must(&format!("recover {name}"))?;
    // What is written to the terminal inside arrives at whoever holds its other end.
    let script = format!(
        "( sleep 1; printf '\\001q' ) | script -qec '{} console -P {} -t 2 {name}' /dev/null",
        common::RLXC,
        place.lxcpath().display()
    );
    let console = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    std::thread::sleep(std::time::Duration::from_millis(400));
    let words = [
        "attach",
        &name,
        "--",
        "/bin/sh",
        "-c",
        "echo from-within >/dev/tty2",
    ];
    let said = place.run(common::RLXC, &words)?;
    assert_eq!(said.status, Some(0), "{said:?}");
    let said = console.wait_with_output()?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(text.contains("from-within"), "{text}");
    place.must(&format!("stop -k {name}")).map(drop)
}

#[test]
fn what_cannot_be_taken_over_is_said_and_left_alone() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("adopt-not")?;
    let name = format!("rlxc-cli-adn-{}", std::process::id());
    place.busybox(&name)?;
    // A process of the container's cgroup, without an init.
    let roots = ["/sys/fs/cgroup/freezer", "/sys/fs/cgroup"].map(Path::new);
    let Some(root) = roots.iter().find(|root| root.join("cgroup.procs").exists()) else {
        println!("skipped: a freezer hierarchy");
        return Ok(());
    };
    let dir = root.join(format!("lxc.payload.{name}"));
    std::fs::create_dir(&dir)?;
    let mut stray = Stray(Command::new("sleep").arg("100").spawn()?, dir.clone());
    std::fs::write(dir.join("cgroup.procs"), stray.0.id().to_string())?;
    let said = place.rlxc(&format!("recover {name}"))?;
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(
        said.err.contains("none is the first of a pid namespace"),
        "{said:?}"
    );
    assert!(said.err.contains("--yes"), "{said:?}");
    assert!(stray.0.try_wait()?.is_none(), "nothing is killed unasked");
    place.must(&format!("recover {name} --yes"))?;
    assert!(!stray.0.wait()?.success(), "it was killed");
    let said = place.rlxc(&format!("recover {name}"))?;
    assert!(said.err.contains("nothing is left"), "{said:?}");
    Ok(())
}

/// A process in a cgroup, both ours.
struct Stray(std::process::Child, std::path::PathBuf);

impl Drop for Stray {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_dir(&self.1);
    }
}

#[test]
fn after_a_killed_monitor_processes_cgroups_and_links_are_given_back() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let Some(link) = Link::new("r")? else {
        println!("skipped: ip and veth interfaces");
        return Ok(());
    };
    let place = Place::new("recover")?;
    let name = format!("rlxc-cli-rec-{}", std::process::id());
    // init outlives its monitor.
    let config = format!(
        "lxc.net.0.type = phys\nlxc.net.0.link = {}\nlxc.net.0.name = eth7\nlxc.monitor.signal.pdeath = SIGCONT\n",
        link.0
    );
    place.busybox_with(&name, &config)?;
    let said = place.rlxc(&format!("recover {name}"))?;
    assert!(said.err.contains("nothing is left"), "{said:?}");
    place.must(&format!("start {name}"))?;
    assert!(!link.is_here(), "the link is in the container");
    let said = place.rlxc(&format!("recover {name}"))?;
    assert!(said.err.contains("nothing to recover"), "{said:?}");
    let Some(monitor) = monitor_of(&place, &name) else {
        panic!("no monitor")
    };
    // Another container of the same name lives elsewhere: it is left alone.
    let other = Place::new("recover-other")?;
    other.busybox(&name)?;
    other.must(&format!("start {name}"))?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(monitor),
        nix::sys::signal::Signal::SIGKILL,
    )?;
    assert!(eventually(|| {
        place
            .rlxc(&format!("info -s -H {name}"))
            .is_ok_and(|said| said.out == "STOPPED\n")
    }));
    let said = place.rlxc(&format!("recover {name} --dry-run"))?;
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.err.contains("processes: "), "{said:?}");
    assert!(said.err.contains("links: "), "{said:?}");
    let said = place.rlxc(&format!("recover {name} --yes"))?;
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(eventually(|| link.is_here()), "the link has its name again");
    assert!(cgroups_of(&name).is_empty(), "{:?}", cgroups_of(&name));
    let other_state = other.rlxc(&format!("info -s -H {name}"))?;
    assert_eq!(other_state.out, "RUNNING\n");
    let said = place.rlxc(&format!("recover {name}"))?;
    assert!(said.err.contains("nothing is left"), "{said:?}");
    place.must(&format!("start {name}"))?;
    place.must(&format!("stop -k {name}")).map(drop)
}
