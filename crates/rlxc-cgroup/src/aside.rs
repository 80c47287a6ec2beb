//! Making room in a cgroup2 that is to hand its controllers down: processes live in leaves only.
//!
//! Whoever starts a container in a cgroup of its own (a delegated subtree, a systemd scope) sits in
//! that very cgroup, and so the kernel refuses to enable controllers there. All its processes are
//! then moved to the leaf `init` below it, as LXC does in the scope that it asks systemd for.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::file;
use crate::layout::{Hierarchy, Version};

/// The leaf that the processes of a base are moved to.
const LEAF: &str = "init";

/// How often the processes are moved: some may be forked meanwhile.
const TRIES: u32 = 10;

/// The cgroup below which a caller makes its containers' that does not use pid 1's: its own one, or
/// the one above when an earlier start has moved the caller aside.
pub(crate) fn own_base(hierarchy: &Hierarchy) -> PathBuf {
    let own = hierarchy.mount.join(&hierarchy.own);
    if hierarchy.version != Version::V2 || !hierarchy.own.ends_with(LEAF) {
        return own;
    }
    let above = own.parent().filter(|above| {
        let files = ["", "cgroup.procs", "cgroup.subtree_control"];
        files
            .iter()
            .all(|file| file::writable(&above.join(file)).is_ok())
            // Without controllers it is an attempt that has failed, and is to say again why.
            && (file::get(above, "cgroup.subtree_control").is_ok_and(|on| !on.is_empty())
                || file::get(above, "cgroup.procs").is_ok_and(|pids| pids.is_empty()))
    });
    match above {
        Some(above) => above.to_path_buf(),
        None => own,
    }
}

/// Enables in `dir`'s children every controller that `dir` has and that is not enabled yet.
pub(crate) fn enable_controllers(dir: &Path) -> Result<()> {
    let have = file::get(dir, "cgroup.controllers")?;
    let on = file::get(dir, "cgroup.subtree_control")?;
    let on: Vec<&str> = on.split_ascii_whitespace().collect();
    let missing = have.split_ascii_whitespace().filter(|c| !on.contains(c));
    let line: Vec<String> = missing.map(|c| format!("+{c}")).collect();
    match line.is_empty() {
        true => Ok(()),
        false => file::set(dir, "cgroup.subtree_control", &line.join(" ")),
    }
}

/// Enables the controllers in a base, whose processes are moved aside if they are in the way.
pub(crate) fn enable_in_base(base: &Path) -> Result<()> {
    let busy = |error: &Error| error.errno() == Some(Errno::EBUSY as i32);
    let mut done = enable_controllers(base);
    for _ in 0..TRIES {
        match &done {
            Err(error) if busy(error) => {}
            _ => break,
        }
        move_aside(base)?;
        done = enable_controllers(base);
    }
    done
}

fn move_aside(base: &Path) -> Result<()> {
    let leaf = base.join(LEAF);
    match fs::create_dir(&leaf) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            return Err(Error::Make { path: leaf, source });
        }
        _ => {}
    }
    let processes = file::get(base, "cgroup.procs")?;
    tracing::info!(
        "the processes of {} are moved to {}: its controllers are handed down",
        base.display(),
        leaf.display()
    );
    // 0 is a process of another pid namespace, which cannot be named here.
    for pid in processes.lines().filter(|pid| *pid != "0") {
        match file::set(&leaf, "cgroup.procs", pid) {
            // It has ended meanwhile.
            Err(error) if error.errno() == Some(Errno::ESRCH as i32) => {}
            done => done?,
        }
    }
    Ok(())
}
