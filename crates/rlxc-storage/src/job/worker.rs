//! The worker's side: into the namespaces, then the tasks.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, setgroups, setresgid, setresuid};

use super::tasks::settle;
use super::{Job, Outcome, detach_mounts, perform, report, tell};
use crate::copy::Progress;
use crate::diff::Change;
use crate::error::{Error, Result};
use crate::mounted::Options;
use crate::rootfs::Rootfs;

const CLONE_NEWNS: u64 = 0x0002_0000;
const CLONE_NEWUSER: u64 = 0x1000_0000;

pub(super) fn serve(args: &[String]) -> i32 {
    let parsed = || -> Option<(OwnedFd, Job)> {
        let number: i32 = args.first()?.parse().ok()?;
        let job = serde_json::from_slice(args.get(1)?.as_bytes()).ok()?;
        let fd = rlxc_sys::exec::duplicate(number).ok()?;
        // The programs that a job runs must not hold it.
        nix::unistd::close(number).ok()?;
        Some((fd, job))
    };
    let Some((result, job)) = parsed() else {
        return 2;
    };
    if !die_with(job.caller) {
        return 1;
    }
    if job.maps.is_empty() {
        let done = work(&job, &result, || {
            rlxc_sys::namespace::unshare(CLONE_NEWNS)
                .map_err(Error::at("make a mount namespace for", "/"))
        });
        let status = i32::from(done.is_err());
        report(&done, &result);
        return status;
    }
    match mapped(&job, &result) {
        Ok(status) => status,
        Err(error) => {
            report(&Err(error), &result);
            1
        }
    }
}

/// A caller that was killed has lost its lock: what it began must not go on. Whether it is still there.
fn die_with(caller: i32) -> bool {
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    // It may have ended before that was said.
    nix::unistd::getppid().as_raw() == caller
}

/// Mounts first, since what mounts for us may only see the mount namespace that we come from.
fn work(job: &Job, result: &OwnedFd, enter: impl FnOnce() -> Result<()>) -> Result<Vec<Change>> {
    let mounted = match &job.mount {
        Some((rootfs, target)) => {
            let rootfs = Rootfs::parse(rootfs)?;
            let mounted = rootfs.mount(&Options::default())?;
            Some((mounted, target, rootfs))
        }
        None => None,
    };
    let home = match &mounted {
        Some((mounted, ..)) if mounted.ends_at_home() => {
            let own = "/proc/self/ns/mnt";
            Some(std::fs::File::open(own).map_err(Error::at("open", own))?)
        }
        _ => None,
    };
    enter()?;
    detach_mounts()?;
    if let Some((mounted, target, _)) = &mounted {
        mounted.attach(target)?;
    }
    let mut done = perform_all(job, result);
    if let (Ok(_), Some((mounted, _, rootfs))) = (&done, &mounted)
        && let Err(error) = settle(rootfs, mounted)
    {
        done = Err(error);
    }
    if let Some(home) = home {
        // What was mounted over there is unmounted over there; all that was mounted here ends with this namespace.
        nix::sched::setns(home, nix::sched::CloneFlags::CLONE_NEWNS)
            .map_err(Error::at("go back to the mount namespace of", "/proc/self"))?;
    }
    done
}

fn perform_all(job: &Job, result: &OwnedFd) -> Result<Vec<Change>> {
    let progress = Progress::default();
    progress.wanted.store(job.report, Ordering::Relaxed);
    let ended = AtomicBool::new(false);
    let mut found = Vec::new();
    std::thread::scope(|scope| {
        if job.report {
            let news = || {
                while !ended.load(Ordering::Relaxed) {
                    std::thread::sleep(std::time::Duration::from_millis(100));
                    let figures = Some(progress.figures());
                    tell(
                        &Outcome {
                            figures,
                            ..Outcome::default()
                        },
                        result,
                    );
                }
            };
            let _ = std::thread::Builder::new().spawn_scoped(scope, news);
        }
        let done = job
            .tasks
            .iter()
            .try_for_each(|task| perform(task, &progress, &mut found));
        ended.store(true, Ordering::Relaxed);
        done.map(|()| found)
    })
}

/// Does the job as the root of a user namespace with the job's maps.
fn mapped(job: &Job, result: &OwnedFd) -> Result<i32> {
    let failed = |what| Error::at(what, "/proc/self");
    let (mut wait, mut go) = std::io::pipe().map_err(failed("make a pipe for"))?;
    let theirs = result
        .try_clone()
        .map_err(failed("duplicate a descriptor of"))?;
    let own = nix::unistd::getpid().as_raw();
    let child = rlxc_sys::fork::spawn(CLONE_NEWUSER | CLONE_NEWNS, move || {
        if !die_with(own) {
            return 1;
        }
        let mut byte = [0u8];
        if wait.read_exact(&mut byte).is_err() {
            return 1;
        }
        let done = become_root().and_then(|()| work(job, &theirs, || Ok(())));
        let status = i32::from(done.is_err());
        report(&done, &theirs);
        status
    });
    let child = child.map_err(failed("make a user namespace for"))?;
    rlxc_namespace::write_id_maps(child, &job.maps)?;
    go.write_all(&[1]).map_err(failed("talk to a child of"))?;
    match waitpid(Pid::from_raw(child), None) {
        Ok(WaitStatus::Exited(_, status)) => Ok(status),
        _ => Ok(1),
    }
}

fn become_root() -> Result<()> {
    let failed = || Error::at("become root in the user namespace of", "/proc/self");
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    // Refused where setgroups is denied, which is as well.
    let _ = setgroups(&[gid]);
    setresgid(gid, gid, gid).map_err(failed())?;
    setresuid(uid, uid, uid).map_err(failed())?;
    // It was forgotten with the ids.
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    Ok(())
}
