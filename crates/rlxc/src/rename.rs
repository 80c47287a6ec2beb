//! Another name for a container: in place where that is possible, else a copy and the end of the original.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rlxc_config::{Document, HookKind};
use rlxc_storage::{Backend, Job, Place, Rootfs, Specs, Task};
use serde::{Deserialize, Serialize};

use crate::clone::{CopyOptions, rewrite};
use crate::container::Container;
use crate::create::{maps_for, rootfs_of, specs_at};
use crate::destroy::{lock_list, read_pairs, remove_file, unnamed_dependants, write_pairs};
use crate::error::{Error, Result};

/// In the container's directory, as long as a renaming is not complete.
const JOURNAL: &str = "rename.journal";
/// The configuration under the new name.
const NEW_CONFIG: &str = "rename.config";

/// What is to be done when the directory has its new name.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    old: String,
    new: String,
    /// A volume outside of the directory that takes a new name too: from, to
    volume: Option<(String, String)>,
}

impl Container {
    /// Gives the stopped container another name.
    ///
    /// The directory is renamed, and with it all that is in it; a volume elsewhere gets a new name too. When that is
    /// interrupted, the next command that looks at the container completes it. With clone or destroy hooks, and with
    /// storage in other places, it is a copy and the end of the original, as always in LXC.
    ///
    /// # Errors
    /// [`Error::Refused`] with snapshots or dependants; as [`Container::copy_to`].
    pub fn rename(&mut self, name: &str) -> Result<()> {
        if !self.is_defined() {
            return Err(Error::NotDefined {
                name: self.name().to_owned(),
                lxcpath: self.lxcpath().to_owned(),
            });
        }
        let unnamed = unnamed_dependants(&self.dir().join("lxc_snapshots"))?;
        let needed = !self.dependants()?.is_empty() || unnamed.is_some();
        if !self.snapshots()?.is_empty() || needed {
            let message = format!("container {} has snapshots or clones", self.name());
            return Err(Error::refused(Errno::EBUSY, message));
        }
        let mut new = Self::without_config(name, Some(self.lxcpath()))?;
        match self.rename_plan(&new)? {
            Some(journal) => {
                self.rename_in_place(&mut new, &journal)?;
                *self = new;
            }
            None => {
                let copy = self.copy_to(&CopyOptions {
                    name: Some(name.to_owned()),
                    keep_mac: true,
                    keep_backend: true,
                    ..CopyOptions::default()
                })?;
                self.destroy()?;
                *self = copy;
            }
        }
        Ok(())
    }

    /// What in-place renaming means for the storage; `None` where there has to be a copy.
    fn rename_plan(&self, new: &Self) -> Result<Option<Journal>> {
        let config = self.config()?;
        let has = |kind| {
            config
                .hooks
                .by_kind
                .get(&kind)
                .is_some_and(|h| !h.is_empty())
        };
        let own_config = self.config_file() == self.dir().join("config");
        if has(HookKind::Clone) || has(HookKind::Destroy) || !own_config || !config.rootfs.managed {
            return Ok(None);
        }
        let mut journal = Journal {
            old: self.name().to_owned(),
            new: new.name().to_owned(),
            volume: None,
        };
        let Some(rootfs) = rootfs_of(config)? else {
            return Ok(Some(journal));
        };
        match rootfs.backend {
            Backend::Nbd | Backend::Rbd => return Ok(None),
            Backend::Lvm | Backend::Zfs => {
                let place = Place {
                    lxcpath: new.lxcpath(),
                    name: new.name(),
                };
                let specs = specs_at(&place, rootfs.backend, &Specs::default());
                let target = Rootfs::plan(rootfs.backend, &place, &specs, Some(&rootfs))?;
                journal.volume = Some((rootfs.to_string(), target.to_string()));
            }
            _ if self.lies_outside(&rootfs) => return Ok(None),
            _ => {}
        }
        Ok(Some(journal))
    }

    fn rename_in_place(&self, new: &mut Self, journal: &Journal) -> Result<()> {
        if new.dir() == self.dir() {
            return Err(Error::refused(
                Errno::EEXIST,
                "a container needs another name",
            ));
        }
        let _both = self.lock_both(new)?;
        self.must_be_stopped()?;
        new.clean_leftover()?;
        new.remove_empty();
        if new.dir().exists() {
            let message = format!("{} exists already", new.dir().display());
            return Err(Error::refused(Errno::EEXIST, message));
        }
        self.write_new_config(new, journal)?;
        let file = self.dir().join(JOURNAL);
        let text = serde_json::to_vec(journal).map_err(std::io::Error::other);
        write_whole(&file, &text.map_err(Error::path("write", &file))?)?;
        if let Err(error) = std::fs::rename(self.dir(), new.dir()) {
            self.forget_rename()?;
            return Err(Error::path("move", self.dir())(error));
        }
        // The monitor's socket and the locks go by the name; the old lock file stays, as LXC's does.
        new.complete_rename(journal)?;
        new.load_config(None)
    }

    fn write_new_config(&self, new: &Self, journal: &Journal) -> Result<()> {
        let document = self
            .document
            .as_ref()
            .ok_or_else(|| Error::NoConfig(self.name().to_owned()))?;
        let keep = CopyOptions {
            keep_mac: true,
            ..CopyOptions::default()
        };
        let (old_dir, new_dir) = (self.dir(), new.dir());
        let text = rewrite(document, &old_dir, &new_dir, &keep)?;
        let mut config = Document::new();
        config.load_text(new.config_file(), &text)?;
        if let Some(rootfs) = rootfs_of(self.config()?)? {
            let moved = match &journal.volume {
                Some((_, to)) => to.clone(),
                None => moved_rootfs(&rootfs, &old_dir, &new_dir)?.to_string(),
            };
            config.set("lxc.rootfs.path", &moved)?;
        }
        config.set("lxc.uts.name", new.name())?;
        if let Some(fstab) = self.config()?.mounts.fstab.as_ref().map(PathBuf::from) {
            let fstab = match fstab.strip_prefix(&old_dir) {
                Ok(below) => new_dir.join(below),
                Err(_) => fstab,
            };
            config.set("lxc.mount.fstab", &fstab.to_string_lossy())?;
        }
        Ok(config.save(&old_dir.join(NEW_CONFIG))?)
    }

    /// Every step may have been done already.
    fn complete_rename(&self, journal: &Journal) -> Result<()> {
        if let Some((from, to)) = &journal.volume {
            let to = Rootfs::parse(to)?;
            Rootfs::parse(from)?.rename(&to)?;
            rlxc_storage::set_place(&to, &self.dir().join("rootfs"))?;
        }
        let (prepared, config) = (self.dir().join(NEW_CONFIG), self.dir().join("config"));
        match std::fs::rename(&prepared, &config) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::path("move", prepared)(error));
            }
            _ => {}
        }
        let own = self.lxcpath().to_string_lossy().into_owned();
        for (path, name) in read_pairs(&self.dir().join("lxc_rdepends"))? {
            let file = Path::new(&path).join(name).join("lxc_snapshots");
            let _lock = lock_list(&file)?;
            let mut pairs = read_pairs(&file)?;
            for pair in &mut pairs {
                if pair.0 == own && pair.1 == journal.old {
                    pair.1.clone_from(&journal.new);
                }
            }
            if !pairs.is_empty() {
                write_pairs(&file, &pairs)?;
            }
        }
        let mut renamed = Self::without_config(self.name(), Some(self.lxcpath()))?;
        renamed.load_config(None)?;
        if let Some(rootfs) = rootfs_of(renamed.config()?)? {
            let named = rlxc_storage::run(&Job {
                maps: maps_for(&rootfs, &renamed.config()?.idmap)?,
                tasks: vec![Task::Overwrite {
                    rootfs: rootfs.to_string(),
                    file: PathBuf::from("/etc/hostname"),
                    text: journal.new.clone(),
                }],
                ..Job::default()
            });
            // The container has its new name all the same.
            if let Err(error) = named {
                tracing::warn!("{error} - Failed to write /etc/hostname of {}", self.name());
            }
        }
        self.forget_rename()
    }

    fn forget_rename(&self) -> Result<()> {
        remove_file(&self.dir().join(JOURNAL))?;
        remove_file(&self.dir().join(NEW_CONFIG))
    }

    /// Completes, or forgets, a renaming that was interrupted.
    pub(crate) fn recover_rename(&self) -> Result<()> {
        let file = self.dir().join(JOURNAL);
        let Ok(text) = std::fs::read(&file) else {
            return Ok(());
        };
        let _lock = self.lock()?;
        let journal: Journal = serde_json::from_slice(&text)
            .map_err(|error| Error::path("read", &file)(std::io::Error::from(error)))?;
        // Somebody else may have done it while this waited for the lock.
        if !file.exists() {
            return Ok(());
        }
        match journal.new == self.name() {
            true => self.complete_rename(&journal),
            false => self.forget_rename(),
        }
    }
}

/// A root file system in the container's directory, when that has its new name.
fn moved_rootfs(rootfs: &Rootfs, old: &Path, new: &Path) -> Result<Rootfs> {
    let moved = |path: &Path| match path.strip_prefix(old) {
        Ok(below) => new.join(below),
        Err(_) => path.to_owned(),
    };
    Ok(match rootfs.backend {
        Backend::Overlay => {
            let (lower, upper) = rootfs.layers()?;
            let lower = lower.split(':').map(|dir| moved(Path::new(dir)));
            let lower: Vec<_> = lower
                .map(|dir| dir.to_string_lossy().into_owned())
                .collect();
            Rootfs::overlay(&lower.join(":"), &moved(&upper))
        }
        backend => Rootfs::at(backend, &moved(Path::new(&rootfs.path))),
    })
}

/// A file that is there whole or not at all; one that is replaced keeps its mode.
pub(crate) fn write_whole(file: &Path, text: &[u8]) -> Result<()> {
    let new = file.with_extension("tmp");
    std::fs::write(&new, text).map_err(Error::path("write", &new))?;
    if let Ok(meta) = std::fs::metadata(file) {
        std::fs::set_permissions(&new, meta.permissions())
            .map_err(Error::path("set the mode of", &new))?;
    }
    std::fs::rename(&new, file).map_err(Error::path("write", file))
}
