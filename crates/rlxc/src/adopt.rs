//! A container that runs without a monitor gets a new one.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rlxc_runtime::adopt::{Facts, load};
use rlxc_runtime::{Plan, StartError, Started};

use crate::container::Container;
use crate::error::Result;
use crate::recover::Leftovers;
use crate::start::StartOptions;

/// How a container got its new monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The new monitor's and init's pids
    pub started: Started,
    /// Whether the old monitor had left a record. Without one the configuration of now stands for
    /// that of the start, and links are not given back at the end.
    pub recorded: bool,
}

impl Container {
    /// Gives the container, whose monitor was killed while its init lived on, a new monitor:
    /// everything works again as before. What is left is as [`Container::leftovers`] told.
    ///
    /// # Errors
    /// [`crate::Error::Start`] says what is in the way; nothing has been changed then.
    pub fn adopt(&self, left: &Leftovers) -> Result<Adopted> {
        let record = load(self.lxcpath(), self.name())?;
        if let Some((facts, plan)) = &record
            && facts.check().is_ok()
        {
            let started = rlxc_runtime::adopt(plan, facts)?;
            return Ok(Adopted {
                started,
                recorded: true,
            });
        }
        let plan = self.plan(&StartOptions::default())?;
        let found = self.find_init(&plan, left);
        // Why the recorded init cannot be taken is the better answer.
        let init = match (found, &record) {
            (Err(_), Some((facts, _))) => facts.check().map(|()| facts.init),
            (found, _) => found,
        }?;
        let facts = Facts::of_process(&plan, init)?;
        let started = rlxc_runtime::adopt(&plan, &facts)?;
        Ok(Adopted {
            started,
            recorded: false,
        })
    }

    /// The one process that is the first of a pid namespace right below ours and has the
    /// container's root file system.
    fn find_init(&self, plan: &Plan, left: &Leftovers) -> std::result::Result<i32, StartError> {
        let none = |why: String| StartError::new("take over", self.name(), why);
        let pids = left.processes.iter().map(|(pid, _)| *pid);
        let firsts: Vec<i32> = pids.filter(|pid| is_first(*pid)).collect();
        if firsts.is_empty() {
            return Err(none(match left.processes.len() {
                0 => "no process of it runs".to_owned(),
                count => format!(
                    "of its {count} processes none is the first of a pid namespace: init has ended"
                ),
            }));
        }
        let fitting: Vec<i32> = firsts
            .iter()
            .copied()
            .filter(|pid| has_root_of(plan, *pid))
            .collect();
        match fitting.as_slice() {
            [one] => Ok(*one),
            [] => Err(none(format!(
                "process {} has another root file system than {}",
                firsts[0],
                plan.rootfs
                    .as_ref()
                    .map_or("/", |rootfs| rootfs.source.as_str())
            ))),
            many => Err(none(format!(
                "processes {many:?} may all be its init: containers of that name in several lxcpaths have lost their monitors"
            ))),
        }
    }
}

/// Whether a process is the first of a pid namespace right below ours.
pub(crate) fn is_first(pid: i32) -> bool {
    let pids = pids_of(&pid.to_string());
    pids.len() == pids_of("self").len() + 1 && pids.last() == Some(&1)
}

/// The numbers of a process in its pid namespaces, ours first.
fn pids_of(process: &str) -> Vec<i32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let words = line.unwrap_or_default().split_ascii_whitespace();
    words.filter_map(|word| word.parse().ok()).collect()
}

/// Whether a process may have the plan's root file system: known for a directory, not ruled out for
/// the others.
fn has_root_of(plan: &Plan, pid: i32) -> bool {
    let Some(rootfs) = &plan.rootfs else {
        return true;
    };
    let is_dir = rootfs
        .backend
        .as_deref()
        .is_none_or(|backend| backend == "dir");
    let Ok(expected) = std::fs::metadata(Path::new(&rootfs.source)) else {
        return true;
    };
    if !is_dir || !expected.is_dir() {
        return true;
    }
    std::fs::metadata(format!("/proc/{pid}/root/."))
        .is_ok_and(|root| (root.dev(), root.ino()) == (expected.dev(), expected.ino()))
}
