//! Snapshots: take, list, restore, remove.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rlxc_storage::Backend;

use crate::clone::CopyOptions;
use crate::container::Container;
use crate::create::rootfs_of;
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
        let place = self.snapshot_path();
        std::fs::create_dir_all(&place).map_err(Error::path("make", &place))?;
        let free = (0..).find(|n| !place.join(format!("snap{n}/config")).exists());
        let number = free.unwrap_or(u32::MAX);
        let copy = self.copy_to(&CopyOptions {
            name: Some(format!("snap{number}")),
            lxcpath: Some(place),
            snapshot: true,
            maybe_snapshot: true,
            keep_backend: true,
            keep_name: true,
            keep_mac: true,
            ..CopyOptions::default()
        })?;
        let finish = || -> Result<()> {
            let file = copy.dir().join("ts");
            std::fs::write(&file, now()?).map_err(Error::path("write", &file))?;
            if let Some(from) = comment {
                let to = copy.dir().join("comment");
                std::fs::copy(from, to).map_err(Error::path("copy", from))?;
            }
            Ok(())
        };
        finish().inspect_err(|_| copy.undo())?;
        Ok(number)
    }

    fn open_snapshot(&self, name: &str) -> Result<Self> {
        let snapshot = Self::new(name, Some(&self.snapshot_path()))?;
        match snapshot.is_defined() {
            true => Ok(snapshot),
            false => Err(Error::NotDefined {
                name: name.to_owned(),
                lxcpath: self.snapshot_path(),
            }),
        }
    }

    /// Makes a container out of a snapshot: a new one, or (under its own name) this one as it was.
    ///
    /// # Errors
    /// As [`Container::copy_to`]; [`Error::Refused`] when others depend on the storage that is to be replaced.
    pub fn restore_snapshot(&mut self, snapshot: &str, name: Option<&str>) -> Result<()> {
        let from = self.open_snapshot(snapshot)?;
        let options = CopyOptions {
            name: Some(name.unwrap_or(self.name()).to_owned()),
            lxcpath: Some(self.lxcpath().to_owned()),
            snapshot: rootfs_of(from.config()?)?.is_some_and(|r| r.backend.can_snapshot()),
            maybe_snapshot: true,
            keep_backend: true,
            ..CopyOptions::default()
        };
        match name.is_some_and(|name| name != self.name()) {
            true => from.copy_to(&options).map(drop),
            false => self.restore_in_place(&from, options),
        }
    }

    /// The restored container is made beside the present one and takes its place when it is whole.
    fn restore_in_place(&mut self, from: &Self, options: CopyOptions) -> Result<()> {
        self.must_be_stopped()?;
        let Some(rootfs) = rootfs_of(self.config()?)? else {
            return Err(Error::refused(
                Errno::EINVAL,
                "the container has no storage to restore",
            ));
        };
        if !self.dependants()?.is_empty() && rootfs.backend != Backend::Overlay {
            let message = format!("container {} has clones that need its storage", self.name());
            return Err(Error::refused(Errno::EBUSY, message));
        }
        let _lock = self.lock()?;
        let beside = format!(".{}.restore", self.name());
        let mut copy = Self::without_config(&beside, Some(self.lxcpath()))?;
        let options = CopyOptions {
            keep_name: true,
            keep_mac: true,
            ..options
        };
        from.copy_locked(&mut copy, &options)?;
        // An overlay's lower directory may be this container's own rootfs, on which the snapshots rest too.
        let parts: &[&str] = match rootfs.backend {
            Backend::Overlay => &["overlay", "config"],
            _ => &["rootfs", "config"],
        };
        let text = std::fs::read_to_string(copy.config_file())
            .map_err(Error::path("read", copy.config_file()))?;
        let (old, new) = (copy.dir(), self.dir());
        let text = text.replace(&*old.to_string_lossy(), &new.to_string_lossy());
        std::fs::write(copy.config_file(), text)
            .map_err(Error::path("write", copy.config_file()))?;
        for part in parts {
            let (fresh, place) = (old.join(part), new.join(part));
            if !fresh.exists() {
                continue;
            }
            let aside = old.join(format!("{part}.old"));
            if place.exists() {
                std::fs::rename(&place, &aside).map_err(Error::path("move", &place))?;
            }
            std::fs::rename(&fresh, &place).map_err(Error::path("move", &fresh))?;
        }
        self.document = None;
        self.load_config(None)?;
        copy.forget_dependences()?;
        let tasks = vec![rlxc_storage::Task::Remove { path: old.clone() }];
        let maps = crate::create::job_maps(&self.config()?.idmap)?;
        let job = rlxc_storage::Job {
            maps,
            mount: None,
            tasks,
        };
        Ok(rlxc_storage::run(&job)?)
    }

    /// Removes a snapshot.
    ///
    /// # Errors
    /// As [`Container::destroy`].
    pub fn destroy_snapshot(&self, name: &str) -> Result<()> {
        self.open_snapshot(name)?.destroy()?;
        // Kept while there are others.
        let _ = std::fs::remove_dir(self.snapshot_path());
        Ok(())
    }

    /// Removes all snapshots.
    ///
    /// # Errors
    /// As [`Container::destroy`].
    pub fn destroy_all_snapshots(&self) -> Result<()> {
        let all = self.snapshots()?;
        all.iter()
            .try_for_each(|snapshot| self.destroy_snapshot(&snapshot.name))
    }
}

/// The local time as LXC writes it; date(1) knows the time zone's rules.
fn now() -> Result<String> {
    let output = std::process::Command::new("date")
        .arg("+%Y:%m:%d %H:%M:%S")
        .output();
    let output = output.map_err(Error::path("run", "date"))?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}
