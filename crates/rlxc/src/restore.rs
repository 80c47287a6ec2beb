//! A container as it was when a snapshot was taken: as a new one, or in place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use rlxc_storage::{Backend, Job, Place, Progress, Rootfs, Task};
use serde::{Deserialize, Serialize};

use crate::clone::CopyOptions;
use crate::container::Container;
use crate::create::{job_maps, rootfs_of};
use crate::destroy::{remove_empty_dir, remove_file, unnamed_dependants};
use crate::error::{Error, Result};
use crate::rename::write_whole;

/// In the container's directory: what was put together is whole, and takes its place.
const JOURNAL: &str = "restore.journal";

/// In what is put together: the configuration that the container will have.
const FINAL_CONFIG: &str = "config.final";

/// What takes whose place.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    /// The root file system until now, if it goes although nothing takes its very place
    #[serde(default)]
    gone: Option<String>,
    /// The restored one, where it was put together
    staged: String,
    /// And where it belongs
    place: String,
    /// Entries of the container's directory that are replaced
    parts: Vec<String>,
}

impl Container {
    /// Makes a container out of a snapshot: a new one, or (under its own name) this one as it was.
    ///
    /// # Errors
    /// As [`Container::copy_to`]; [`Error::Refused`] when others depend on the storage that is to be replaced.
    pub fn restore_snapshot(&mut self, snapshot: &str, name: Option<&str>) -> Result<()> {
        self.restore_snapshot_with(snapshot, name, None)
    }

    /// As [`Container::restore_snapshot`], with a view of how far it is.
    ///
    /// # Errors
    /// As [`Container::restore_snapshot`].
    pub fn restore_snapshot_with(
        &mut self,
        snapshot: &str,
        name: Option<&str>,
        progress: Option<Arc<Progress>>,
    ) -> Result<()> {
        let from = self.open_snapshot(snapshot)?;
        let Some(rootfs) = rootfs_of(self.config()?)? else {
            let message = "the container has no storage to restore";
            return Err(Error::refused(Errno::EINVAL, message));
        };
        let of_snapshot = rootfs_of(from.config()?)?.map(|rootfs| rootfs.backend);
        let share = of_snapshot == Some(rootfs.backend) && rootfs.backend.can_snapshot();
        let options = CopyOptions {
            name: Some(name.unwrap_or(self.name()).to_owned()),
            lxcpath: Some(self.lxcpath().to_owned()),
            snapshot: share,
            maybe_snapshot: true,
            // As LXC: on the storage that the container is on, which a snapshot need not be.
            backend: Some(rootfs.backend.name().to_owned()),
            size: rootfs.like().ok().and_then(|specs| specs.fssize),
            progress,
            ..CopyOptions::default()
        };
        match name.is_some_and(|name| name != self.name()) {
            true => from.copy_to(&options).map(drop),
            false => self.restore_in_place(&from, &rootfs, options),
        }
    }

    fn staging(&self) -> PathBuf {
        self.dir().join(Place::RESTORE_DIR)
    }

    /// The restored container is put together in the container's directory, and takes its place when it is whole: one
    /// small file says that it is.
    fn restore_in_place(&mut self, from: &Self, old: &Rootfs, options: CopyOptions) -> Result<()> {
        let _lock = self.lock()?;
        self.must_be_stopped()?;
        let dependants = self.dependants()?;
        let unnamed = unnamed_dependants(&self.dir().join("lxc_snapshots"))?;
        // The clones of a data set can be made independent of it; a volume takes its snapshots with it.
        let snapshots = match old.backend {
            Backend::Lvm => old.needed_by()?,
            _ => Vec::new(),
        };
        let needed = !dependants.is_empty() || unnamed.is_some() || !snapshots.is_empty();
        if needed && old.backend != Backend::Overlay {
            let names = dependants.iter().map(|d| d.display().to_string());
            let names: Vec<_> = names.chain(unnamed).chain(snapshots).collect();
            let message = format!("{} has clones: {}", self.name(), names.join(", "));
            return Err(Error::refused(Errno::EBUSY, message));
        }
        let staging = self.staging();
        self.drop_staging()?;
        std::fs::create_dir(&staging).map_err(Error::path("make", &staging))?;
        let mut copy = Self::without_config(self.name(), Some(&staging))?;
        let made = from.copy_locked(&mut copy, &options);
        let journal = made.and_then(|()| self.journal_of(&copy, old));
        let journal = match journal {
            Ok(journal) => journal,
            Err(error) => {
                remove_empty_dir(&staging);
                return Err(error);
            }
        };
        let file = self.dir().join(JOURNAL);
        let text = serde_json::to_vec(&journal).map_err(std::io::Error::other);
        write_whole(&file, &text.map_err(Error::path("write", &file))?)?;
        self.complete_restore(&journal)?;
        self.document = None;
        self.load_config(None)
    }

    /// Writes the restored configuration for its final place.
    fn journal_of(&self, copy: &Self, old: &Rootfs) -> Result<Journal> {
        let Some(staged) = rootfs_of(copy.config()?)? else {
            return Err(Error::refused(Errno::EINVAL, "the snapshot has no storage"));
        };
        let (from, to) = (copy.dir(), self.dir());
        let place = match staged.backend {
            // A volume takes over the name of the one until now.
            Backend::Lvm | Backend::Zfs => old.clone(),
            _ => {
                let path = staged
                    .path
                    .replace(&*from.to_string_lossy(), &to.to_string_lossy());
                Rootfs::new(staged.backend, &path)?
            }
        };
        let text =
            std::fs::read(copy.config_file()).map_err(Error::path("read", copy.config_file()))?;
        let text = String::from_utf8_lossy(&text)
            .replace(&staged.to_string(), &place.to_string())
            .replace(&*from.to_string_lossy(), &to.to_string_lossy());
        // Beside the copy's own, which says what is to be destroyed should this be the last step.
        let ready = from.join(FINAL_CONFIG);
        write_whole(&ready, text.as_bytes())?;
        let mode = std::fs::metadata(copy.config_file()).map(|meta| meta.permissions());
        mode.and_then(|mode| std::fs::set_permissions(&ready, mode))
            .map_err(Error::path("set the mode of", &ready))?;
        let parts: &[&str] = match staged.backend {
            // An overlay's lower directory may be this container's own rootfs, on which the snapshots rest too.
            Backend::Overlay => &["overlay"],
            Backend::Dir | Backend::Btrfs => &["rootfs"],
            Backend::Loop => &["rootdev"],
            _ => &[],
        };
        Ok(Journal {
            gone: self.is_apart(old).then(|| old.to_string()),
            staged: staged.to_string(),
            place: place.to_string(),
            parts: parts.iter().map(|part| (*part).to_owned()).collect(),
        })
    }

    /// Whether a root file system is the container's, but neither lies in its directory nor the other way round: what is
    /// restored comes to lie in the directory, and the old one ends, as with LXC.
    fn is_apart(&self, rootfs: &Rootfs) -> bool {
        let managed = self.config_or_default().rootfs.managed;
        let whole = |path: &Path| std::fs::canonicalize(path).ok();
        match (
            rootfs.own_path().as_deref().and_then(whole),
            whole(&self.dir()),
        ) {
            (Some(path), Some(dir)) => {
                managed && !path.starts_with(&dir) && !dir.starts_with(&path)
            }
            _ => false,
        }
    }

    /// Every step may have been done already.
    fn complete_restore(&self, journal: &Journal) -> Result<()> {
        let dir = self.dir();
        let fresh = self.staging().join(self.name());
        // As the container's root, who owns what is moved.
        let maps = match nix::unistd::geteuid().is_root() {
            true => Vec::new(),
            false => job_maps(&self.config_or_default().idmap)?,
        };
        let moved = |from: &Path, to: &Path| -> Result<()> {
            Ok(rlxc_storage::run(&Job {
                maps: maps.clone(),
                tasks: vec![Task::Move {
                    from: from.to_owned(),
                    to: to.to_owned(),
                }],
                ..Job::default()
            })?)
        };
        for part in &journal.parts {
            let (from, to) = (fresh.join(part), dir.join(part));
            if !from.exists() {
                continue;
            }
            if to.exists() {
                moved(&to, &fresh.join(format!("{part}.old")))?;
            }
            moved(&from, &to)?;
        }
        if journal.parts.is_empty() {
            exchange_volume(journal)?;
            rlxc_storage::set_place(&Rootfs::parse(&journal.place)?, &dir.join("rootfs"))?;
        }
        let config = fresh.join(FINAL_CONFIG);
        if config.exists() {
            moved(&config, self.config_file())?;
        }
        if let Some(gone) = &journal.gone {
            rlxc_storage::run(&Job {
                maps: maps.clone(),
                tasks: vec![Task::Destroy {
                    rootfs: gone.clone(),
                }],
                ..Job::default()
            })?;
        }
        // Nothing of the copy is left where its own configuration says.
        remove_file(&fresh.join("config"))?;
        remove_file(&dir.join(JOURNAL))?;
        self.drop_staging()
    }

    /// Removes what was put together for a restore, or is left of one.
    fn drop_staging(&self) -> Result<()> {
        let staging = self.staging();
        if !staging.exists() {
            return Ok(());
        }
        let fresh = Self::without_config(self.name(), Some(&staging))?;
        if fresh.dir().join("partial").exists() {
            fresh.clean_leftover()?;
        }
        let mut tasks = Vec::new();
        if fresh.is_defined() {
            // Whole, but it never took its place.
            let mut fresh = fresh;
            fresh.load_config(None)?;
            if let Some(rootfs) = rootfs_of(fresh.config()?)? {
                let rootfs = rootfs.to_string();
                // Never the container's own, whatever the copy's configuration says.
                if self.own_rootfs()?.as_ref() != Some(&rootfs) {
                    tasks.push(Task::Destroy { rootfs });
                }
            }
        }
        tasks.push(Task::Remove { path: staging });
        let maps = match nix::unistd::geteuid().is_root() {
            true => Vec::new(),
            false => job_maps(&self.config_or_default().idmap)?,
        };
        Ok(rlxc_storage::run(&Job {
            maps,
            tasks,
            ..Job::default()
        })?)
    }

    /// The root file system that the configuration on disk names: it may not have been read yet.
    fn own_rootfs(&self) -> Result<Option<String>> {
        let mut own = Self::without_config(self.name(), Some(self.lxcpath()))?;
        if !own.is_defined() {
            return Ok(None);
        }
        own.load_config(None)?;
        Ok(rootfs_of(own.config()?)?.map(|rootfs| rootfs.to_string()))
    }

    /// Completes, or undoes, a restore that was interrupted.
    pub(crate) fn recover_restore(&self) -> Result<()> {
        let file = self.dir().join(JOURNAL);
        if !file.exists() && !self.staging().exists() {
            return Ok(());
        }
        let _lock = self.lock()?;
        match std::fs::read(&file) {
            Ok(text) => {
                let journal: Journal = serde_json::from_slice(&text)
                    .map_err(|error| Error::path("read", &file)(std::io::Error::from(error)))?;
                self.complete_restore(&journal)
            }
            Err(_) => self.drop_staging(),
        }
    }
}

/// The restored volume gets the name of the old one, which ends.
fn exchange_volume(journal: &Journal) -> Result<()> {
    let (staged, place) = (
        Rootfs::parse(&journal.staged)?,
        Rootfs::parse(&journal.place)?,
    );
    let aside = Rootfs::new(place.backend, &format!("{}-old", place.path))?;
    if staged.exists()? {
        if place.exists()? {
            place.rename(&aside)?;
        }
        staged.rename(&place)?;
    }
    if aside.exists()? {
        rlxc_storage::release_clones(&aside)?;
        aside.destroy()?;
    }
    Ok(())
}
