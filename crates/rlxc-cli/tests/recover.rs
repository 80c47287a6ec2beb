//! A monitor that was killed: what is left is found, and cleaned away.

mod common;

use std::io;
use std::process::{Command, Stdio};

use common::{Place, eventually, missing};

/// A host interface of our own.
struct Link(String);

impl Link {
    fn new() -> io::Result<Option<Self>> {
        let name = format!("rlxcc{}", std::process::id() % 1_000_000);
        let made = Command::new("ip")
            .args(["link", "add", &name, "type", "veth"])
            .stderr(Stdio::null())
            .status()?;
        Ok(made.success().then_some(Self(name)))
    }

    fn is_here(&self) -> bool {
        std::path::Path::new("/sys/class/net")
            .join(&self.0)
            .exists()
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

#[test]
fn after_a_killed_monitor_processes_cgroups_and_links_are_given_back() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let Some(link) = Link::new()? else {
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
    let said = place.rlxc(&format!("recover {name}"))?;
    assert_eq!(
        said.status,
        Some(1),
        "processes are not killed unasked: {said:?}"
    );
    assert!(said.err.contains("processes: "), "{said:?}");
    assert!(said.err.contains("--yes"), "{said:?}");
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
