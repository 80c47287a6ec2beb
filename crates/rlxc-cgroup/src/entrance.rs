//! Entering cgroups without the kernel's grace period.
//!
//! Who moves a process by its pid (`cgroup.procs`) holds up every fork and exit of the machine
//! meanwhile, and the kernel waits a grace period for that, some 10 to 20 ms unless somebody has
//! just waited for another. Two ways need none: in v1, a process of one thread writes "0" into
//! `tasks`, since nothing can happen to a thread that moves itself; in v2, a process is born in its
//! cgroup (CLONE_INTO_CGROUP).
//!
//! # References
//! cgroup_procs_write_start() and cgroup_css_set_fork() of the kernel's kernel/cgroup/cgroup.c;
//! clone(2).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::layout::Version;

/// The cgroups of a process to come, one a hierarchy, opened.
#[derive(Debug, Default)]
pub struct Entrance {
    tasks: Vec<(PathBuf, File)>,
    unified: Option<(PathBuf, OwnedFd)>,
}

impl Entrance {
    pub(crate) fn open<'a>(dirs: impl Iterator<Item = (Version, &'a Path)>) -> Result<Self> {
        let mut entrance = Self::default();
        for (version, dir) in dirs {
            match version {
                Version::V1 => {
                    let path = dir.join("tasks");
                    let file = open_for_write(&path, "0")?;
                    entrance.tasks.push((path, file));
                }
                Version::V2 => {
                    let file = File::open(dir).map_err(|source| Error::Read {
                        path: dir.into(),
                        source,
                    })?;
                    entrance.unified = Some((dir.join("cgroup.procs"), file.into()));
                }
            }
        }
        Ok(entrance)
    }

    /// The cgroup2 directory, for CLONE_INTO_CGROUP.
    #[must_use]
    pub fn birth_place(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(|(_, fd)| fd.as_fd())
    }

    /// Moves the calling process, which must have one thread only, into the v1 cgroups.
    ///
    /// # Errors
    /// [`Error::Write`] with the kernel's answer.
    pub fn enter_v1(&self) -> Result<()> {
        for (path, file) in &self.tasks {
            write(path, file, "0")?;
        }
        Ok(())
    }

    /// Moves a process that was not born there into the cgroup2, for the price of a grace period.
    ///
    /// # Errors
    /// [`Error::Write`] with the kernel's answer.
    pub fn enter_v2(&self, pid: i32) -> Result<()> {
        let Some((path, _)) = &self.unified else {
            return Ok(());
        };
        let value = pid.to_string();
        write(path, &open_for_write(path, &value)?, &value)
    }
}

fn open_for_write(path: &Path, value: &str) -> Result<File> {
    let file = OpenOptions::new().write(true).open(path);
    file.map_err(|source| Error::Write {
        path: path.into(),
        value: value.into(),
        source,
    })
}

fn write(path: &Path, mut file: &File, value: &str) -> Result<()> {
    file.write_all(value.as_bytes())
        .map_err(|source| Error::Write {
            path: path.into(),
            value: value.into(),
            source,
        })
}
