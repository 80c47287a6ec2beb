//! Snapshots: take, list, restore, remove.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use rlxc_storage::{Change, Job, Progress, Task};

use crate::clone::CopyOptions;
use crate::container::Container;
use crate::create::{job_maps, rootfs_of};
use crate::destroy::remove_empty_dir;
use crate::error::{Error, Result};

/// One snapshot of a container.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Snapshot {
    /// `snapN`
    pub name: String,
    /// The file with the comment, if there is one
    pub comment: Option<PathBuf>,
    /// When it was taken, local time: `%Y:%m:%d %H:%M:%S`
    pub timestamp: String,
    /// The directory that holds it
    pub lxcpath: PathBuf,
}

impl Container {
    /// Where the snapshots are: `LXCPATHsnaps/NAME` where that old place exists, else `LXCPATH/NAME/snaps`.
    pub fn snapshot_path(&self) -> PathBuf {
        let mut old = self.lxcpath().as_os_str().to_owned();
        old.push("snaps");
        match Path::new(&old).is_dir() {
            true => Path::new(&old).join(self.name()),
            false => self.dir().join("snaps"),
        }
    }

    /// All snapshots, lowest number first.
    ///
    /// # Errors
    /// [`Error::Path`].
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let place = self.snapshot_path();
        let entries = match std::fs::read_dir(&place) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::path("read", place)(error)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let dir = entry.map_err(Error::path("read", &place))?.path();
            let whole = dir.join("config").is_file() && !dir.join("partial").exists();
            let Some(name) = dir
                .file_name()
                .and_then(|name| name.to_str())
                .filter(|_| whole)
            else {
                continue;
            };
            let comment = Some(dir.join("comment")).filter(|file| file.is_file());
            all.push(Snapshot {
                name: name.to_owned(),
                comment,
                timestamp: std::fs::read_to_string(dir.join("ts")).unwrap_or_default(),
                lxcpath: place.clone(),
            });
        }
        all.sort_by_key(|snapshot| (snapshot.name.len(), snapshot.name.clone()));
        Ok(all)
    }

    /// Takes a snapshot of the stopped container; `comment` is a file whose text is kept. Returns its number.
    ///
    /// # Errors
    /// As [`Container::copy_to`].
    pub fn snapshot(&self, comment: Option<&Path>) -> Result<u32> {
        self.snapshot_with(comment, None)
    }

    /// As [`Container::snapshot`], with a view of how far it is.
    ///
    /// # Errors
    /// As [`Container::copy_to`].
    pub fn snapshot_with(
        &self,
        comment: Option<&Path>,
        progress: Option<Arc<Progress>>,
    ) -> Result<u32> {
        let _lock = self.lock()?;
        self.must_be_stopped()?;
        let place = self.snapshot_path();
        let Some(rootfs) = rootfs_of(self.config()?)? else {
            let message = format!(
                "{} has no root file system to take a snapshot of",
                self.name()
            );
            return Err(Error::refused(Errno::EINVAL, message));
        };
        if !rootfs.backend.capabilities().snapshot {
            let message = format!("storage of type {} has no snapshots", rootfs.backend);
            return Err(Error::refused(Errno::EOPNOTSUPP, message));
        }
        std::fs::create_dir_all(&place).map_err(Error::path("make", &place))?;
        let free = (0..).find(|n| {
            let name = format!("snap{n}");
            if let Ok(one) = Self::without_config(&name, Some(&place)) {
                // What a killed command left takes no number.
                one.recover();
            }
            let dir = place.join(name);
            !dir.join("config").exists() && !dir.join("partial").exists()
        });
        let number = free.unwrap_or(u32::MAX);
        let mut copy = Self::without_config(&format!("snap{number}"), Some(&place))?;
        let options = CopyOptions {
            snapshot: true,
            maybe_snapshot: true,
            keep_backend: true,
            keep_name: true,
            keep_mac: true,
            progress,
            ..CopyOptions::default()
        };
        let _theirs = copy.lock()?;
        let taken = self.copy_finished_by(&mut copy, &options, |copy| {
            let file = copy.dir().join("ts");
            std::fs::write(&file, now()).map_err(Error::path("write", &file))?;
            if let Some(from) = comment {
                let to = copy.dir().join("comment");
                std::fs::copy(from, to).map_err(Error::path("copy", from))?;
            }
            Ok(())
        });
        taken.inspect_err(|_| remove_empty_dir(&place))?;
        Ok(number)
    }

    /// Removes what a killed command left of snapshots that it was taking or removing.
    pub(crate) fn clean_snapshots(&self) {
        let place = self.snapshot_path();
        for entry in std::fs::read_dir(&place).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if let Some(name) = name.to_str()
                && let Ok(snapshot) = Self::without_config(name, Some(&place))
            {
                snapshot.recover();
                snapshot.remove_empty();
            }
        }
    }

    pub(crate) fn open_snapshot(&self, name: &str) -> Result<Self> {
        let snapshot = Self::new(name, Some(&self.snapshot_path()))?;
        match snapshot.is_defined() {
            true => Ok(snapshot),
            false => Err(Error::NotDefined {
                name: name.to_owned(),
                lxcpath: self.snapshot_path(),
            }),
        }
    }

    /// What changed in the root file system since a snapshot was taken.
    ///
    /// # Errors
    /// [`Error::NotDefined`], [`Error::Storage`].
    pub fn snapshot_diff(&self, name: &str) -> Result<Vec<Change>> {
        let snapshot = self.open_snapshot(name)?;
        let (Some(old), Some(new)) = (rootfs_of(snapshot.config()?)?, rootfs_of(self.config()?)?)
        else {
            return Ok(Vec::new());
        };
        let maps = &self.config()?.idmap;
        Ok(rlxc_storage::changes(&Job {
            // Root may look at everything from here.
            maps: match nix::unistd::geteuid().is_root() {
                true => Vec::new(),
                false => job_maps(maps)?,
            },
            tasks: vec![Task::Diff {
                old: old.to_string(),
                new: new.to_string(),
                mapped: !maps.is_empty(),
            }],
            ..Job::default()
        })?)
    }

    /// Removes a snapshot.
    ///
    /// # Errors
    /// As [`Container::destroy`].
    pub fn destroy_snapshot(&self, name: &str) -> Result<()> {
        self.open_snapshot(name)?.destroy()
    }

    /// Removes all snapshots.
    ///
    /// # Errors
    /// As [`Container::destroy`].
    pub fn destroy_all_snapshots(&self) -> Result<()> {
        self.clean_snapshots();
        let all = self.snapshots()?;
        all.iter()
            .try_for_each(|snapshot| self.destroy_snapshot(&snapshot.name))?;
        remove_empty_dir(&self.snapshot_path());
        Ok(())
    }
}

/// The local time as LXC writes it.
fn now() -> String {
    let [year, month, day, hour, minute, second] = rlxc_sys::clock::local_now().unwrap_or_default();
    format!("{year}:{month:02}:{day:02} {hour:02}:{minute:02}:{second:02}")
}
