//! The statistics beside those of the crate cgroups-rs, on the same cgroup.
//!
//! cgroups-rs reads the typed figures of v1 and of pure cgroup2 well; see the crate's page for
//! why it is no part of what is shipped.
#![allow(missing_docs, clippy::unwrap_used)]

use std::process::{Child, Command};
use std::time::Duration;

use cgroups_rs::fs::cpuacct::CpuAcctController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use cgroups_rs::fs::{Cgroup, hierarchies};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rlxc_cgroup::{Cgroups, Layout, Mode, Request, Stats};

/// Ends the process and removes the cgroups, also when an assertion fails.
struct Load {
    child: Child,
    cgroups: Cgroups,
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.cgroups.destroy_payload(Duration::from_secs(5));
        let _ = self.cgroups.remove_monitor(Duration::from_secs(5));
    }
}

#[test]
fn statistics_agree_with_cgroups_rs() {
    let layout = Layout::detect().unwrap();
    if !nix::unistd::geteuid().is_root() || layout.mode == Mode::None {
        println!("skipped: root and mounted cgroups");
        return;
    }
    let name = format!("rlxc-cgroups-rs-{}", std::process::id());
    let request = Request {
        name: name.clone(),
        ..Request::default()
    };
    let mut cgroups = Cgroups::create_monitor(&layout, &request).unwrap();
    cgroups.create_payload().unwrap();
    // Waits for its cgroup, so that all it uses is counted there; then works, and stands still.
    let work = "read x; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; kill -STOP $$";
    let child = Command::new("sh")
        .args(["-c", work])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut load = Load { child, cgroups };
    let pid = i32::try_from(load.child.id()).unwrap();
    load.cgroups.enter_payload(pid).unwrap();
    drop(load.child.stdin.take());
    while !stopped(pid) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let theirs = Cgroup::load(hierarchies::auto(), format!("lxc.payload.{name}"));
    let ours = settled(&load.cgroups);
    if layout.mode != Mode::Unified {
        let cpu: &CpuAcctController = theirs.controller_of().unwrap();
        assert_eq!(ours.cpu_ns, Some(cpu.cpuacct().usage));
    }
    let memory: &MemController = theirs.controller_of().unwrap();
    assert_eq!(ours.memory, Some(memory.memory_stat().usage_in_bytes));
    let pids: &PidController = theirs.controller_of().unwrap();
    assert_eq!(ours.pids, Some(pids.get_pid_current().unwrap()));
    assert_eq!(ours.pids, Some(1));
    kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
}

fn stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| rest.starts_with(" T"))
}

/// The kernel counts in batches: figures that two readings share stand.
fn settled(cgroups: &Cgroups) -> Stats {
    let mut last = cgroups.stats();
    loop {
        std::thread::sleep(Duration::from_millis(20));
        let now = cgroups.stats();
        if now == last {
            return now;
        }
        last = now;
    }
}
