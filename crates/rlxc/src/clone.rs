//! Copies of containers: full, sharing storage, renamed.

use std::io::Read;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rlxc_config::{Document, HookKind};
use rlxc_storage::{Backend, Job, Rootfs, Task};

use crate::container::Container;
use crate::create::{job_maps, rootfs_of};
use crate::destroy::{read_pairs, write_pairs};
use crate::error::{Error, Result};

/// What [`Container::copy_to`] makes.
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    /// The copy's name; `None`: the original's (below another lxcpath)
    pub name: Option<String>,
    /// The copy's lxcpath; `None`: the original's
    pub lxcpath: Option<PathBuf>,
    /// Share what is unchanged
    pub snapshot: bool,
    /// With `snapshot`: where sharing is impossible, copy
    pub maybe_snapshot: bool,
    /// The storage's type; `None`: the original's, or overlay for a snapshot of a directory
    pub backend: Option<String>,
    /// Never change the storage's type
    pub keep_backend: bool,
    /// Keep `lxc.uts.name` and /etc/hostname
    pub keep_name: bool,
    /// Keep the network addresses
    pub keep_mac: bool,
    /// Copy although it runs
    pub allow_running: bool,
    /// Arguments for the clone hooks
    pub hook_arguments: Vec<String>,
}

impl Container {
    /// Copies the container.
    ///
    /// # Errors
    /// [`Error::Running`]; [`Error::Refused`] when the target exists or the storage cannot; nothing is left of a copy
    /// that failed.
    pub fn copy_to(&self, options: &CopyOptions) -> Result<Self> {
        let name = options.name.as_deref().unwrap_or(self.name());
        let lxcpath = options.lxcpath.as_deref().unwrap_or(self.lxcpath());
        let mut copy = Self::without_config(name, Some(lxcpath))?;
        if copy.dir() == self.dir() {
            return Err(Error::refused(
                Errno::EEXIST,
                "a copy needs another name or lxcpath",
            ));
        }
        let _ours = self.lock()?;
        let _theirs = copy.lock()?;
        self.copy_locked(&mut copy, options)?;
        Ok(copy)
    }

    pub(crate) fn copy_locked(&self, copy: &mut Self, options: &CopyOptions) -> Result<()> {
        if !options.allow_running {
            self.must_be_stopped()?;
        }
        copy.clean_leftover()?;
        if copy.config_file().exists() {
            let message = format!("container {} exists already", copy.name());
            return Err(Error::refused(Errno::EEXIST, message));
        }
        let storage = self.plan_storage(copy, options)?;
        let partial = copy.begin()?;
        if let Err(error) = self.fill_copy(copy, storage, options) {
            copy.undo();
            return Err(error);
        }
        Ok(partial.finish()?)
    }

    fn plan_storage(
        &self,
        copy: &Self,
        options: &CopyOptions,
    ) -> Result<Option<(Rootfs, Vec<Task>)>> {
        let Some(source) = rootfs_of(self.config()?)? else {
            return Ok(None);
        };
        let wanted = match (&options.backend, options.snapshot, source.backend) {
            (Some(name), _, _) => name.parse()?,
            (None, true, Backend::Dir) if !options.keep_backend => Backend::Overlay,
            (None, _, backend) => backend,
        };
        let share = options.snapshot && (wanted.can_snapshot() || !options.maybe_snapshot);
        let dir = copy.dir();
        let make = |path: &Path| Task::MakeDir {
            path: path.to_owned(),
            mode: 0o755,
        };
        let rootfs = dir.join("rootfs");
        let (upper, work) = (dir.join("overlay/delta"), dir.join("overlay/work"));
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let layers = vec![make(&rootfs), make(&upper), make(&work)];
        let copied = |to: &Path| -> Result<Task> {
            Ok(Task::Copy {
                from: source.writable("be copied by this version")?,
                to: to.to_owned(),
            })
        };
        Ok(Some(match (source.backend, wanted, share) {
            (Backend::Dir, Backend::Overlay, true) => {
                (Rootfs::overlay(&source.path, &upper), layers)
            }
            (Backend::Overlay, Backend::Overlay, _) => {
                let mut tasks = layers;
                tasks.push(copied(&upper)?);
                (Rootfs::overlay(source.layers()?.0, &upper), tasks)
            }
            (Backend::Btrfs, Backend::Btrfs, true) => {
                let from = PathBuf::from(&source.path);
                let task = Task::Snapshot {
                    from,
                    to: rootfs.clone(),
                };
                (
                    Rootfs {
                        backend: wanted,
                        path: text(&rootfs),
                    },
                    vec![task],
                )
            }
            (Backend::Dir | Backend::Btrfs, Backend::Dir, false) => {
                let tasks = vec![make(&rootfs), copied(&rootfs)?];
                (
                    Rootfs {
                        backend: wanted,
                        path: text(&rootfs),
                    },
                    tasks,
                )
            }
            (Backend::Dir | Backend::Btrfs, Backend::Btrfs, false) => {
                let tasks = vec![
                    Task::Subvolume {
                        path: rootfs.clone(),
                    },
                    copied(&rootfs)?,
                ];
                (
                    Rootfs {
                        backend: wanted,
                        path: text(&rootfs),
                    },
                    tasks,
                )
            }
            (from, to, share) => {
                let how = if share { "snapshot" } else { "copy" };
                let message =
                    format!("no {how} from storage of type {from} to {to} in this version");
                return Err(Error::refused(Errno::EOPNOTSUPP, message));
            }
        }))
    }

    fn fill_copy(
        &self,
        copy: &mut Self,
        storage: Option<(Rootfs, Vec<Task>)>,
        options: &CopyOptions,
    ) -> Result<()> {
        let document = self
            .document
            .as_ref()
            .ok_or_else(|| Error::NoConfig(self.name().to_owned()))?;
        let text = rewrite(document, &self.dir(), &copy.dir(), options)?;
        let mut new = Document::new();
        new.load_text(copy.config_file(), &text)?;
        copy.document = Some(new);
        if let Some((rootfs, _)) = &storage {
            copy.set_item("lxc.rootfs.path", &rootfs.to_string())?;
        }
        let uts = match options.keep_name {
            true => self.config()?.uts_name.clone(),
            false => Some(copy.name().to_owned()),
        };
        if let Some(uts) = uts {
            copy.set_item("lxc.uts.name", &uts)?;
        }
        self.copy_files(copy)?;
        copy.save_unlocked()?;
        if let Some((rootfs, tasks)) = storage {
            self.copy_storage(copy, &rootfs, tasks, options)?;
        }
        for script in copy
            .config()?
            .hooks
            .by_kind
            .get(&HookKind::Clone)
            .into_iter()
            .flatten()
        {
            let variables = [("LXC_SRC_NAME", self.name().to_owned())];
            copy.run_hook(script, HookKind::Clone, &variables, &options.hook_arguments)?;
        }
        Ok(())
    }

    fn copy_storage(
        &self,
        copy: &Self,
        rootfs: &Rootfs,
        tasks: Vec<Task>,
        options: &CopyOptions,
    ) -> Result<()> {
        let mut tasks = tasks;
        let shares = rootfs.backend == Backend::Overlay;
        if !options.keep_name && !shares {
            tasks.push(Task::Overwrite {
                root: rootfs.writable("be written to")?,
                file: PathBuf::from("/etc/hostname"),
                text: format!("{}\n", copy.name()),
            });
        }
        let maps = job_maps(&self.config()?.idmap)?;
        rlxc_storage::run(&Job {
            maps,
            mount: None,
            tasks,
        })?;
        if shares {
            self.record_dependence(copy, rootfs.layers()?.0)?;
        }
        Ok(())
    }

    /// The original whose directory lies below the overlay must stay as long as the copy.
    fn record_dependence(&self, copy: &Self, lower: &str) -> Result<()> {
        let mut on = vec![(
            self.lxcpath().to_string_lossy().into_owned(),
            self.name().to_owned(),
        )];
        if !lower
            .split(':')
            .any(|dir| Path::new(dir).starts_with(self.dir()))
        {
            // A copy of a copy: both rest on the same original.
            on = read_pairs(&self.dir().join("lxc_rdepends"))?;
        }
        write_pairs(&copy.dir().join("lxc_rdepends"), &on)?;
        let own = (
            copy.lxcpath().to_string_lossy().into_owned(),
            copy.name().to_owned(),
        );
        for (path, name) in on {
            let file = PathBuf::from(path).join(name).join("lxc_snapshots");
            let mut pairs = read_pairs(&file)?;
            if !pairs.contains(&own) {
                pairs.push(own.clone());
                write_pairs(&file, &pairs)?;
            }
        }
        Ok(())
    }

    /// Hook programs and the fstab that lie in the original's directory.
    fn copy_files(&self, copy: &mut Self) -> Result<()> {
        let config = self.config()?.clone();
        let scripts = config.hooks.by_kind.values().flatten();
        let hooks = scripts
            .filter_map(|line| line.split_whitespace().next())
            .map(PathBuf::from);
        let fstab = config.mounts.fstab.as_ref().map(PathBuf::from);
        for file in hooks.chain(fstab.clone()) {
            if let Ok(below) = file.strip_prefix(self.dir()) {
                let to = copy.dir().join(below);
                if let Some(parent) = to.parent() {
                    std::fs::create_dir_all(parent).map_err(Error::path("make", parent))?;
                }
                std::fs::copy(&file, &to).map_err(Error::path("copy", &file))?;
            }
        }
        if let Some(fstab) = fstab {
            let to = match fstab.strip_prefix(self.dir()) {
                Ok(below) => copy.dir().join(below),
                Err(_) => fstab,
            };
            copy.set_item("lxc.mount.fstab", &to.to_string_lossy())?;
        }
        Ok(())
    }

    /// Gives the stopped container another name.
    ///
    /// # Errors
    /// [`Error::Refused`] with snapshots or dependants; as [`Container::copy_to`].
    pub fn rename(&mut self, name: &str) -> Result<()> {
        if !self.snapshots()?.is_empty() || !self.dependants()?.is_empty() {
            let message = format!("container {} has snapshots or clones", self.name());
            return Err(Error::refused(Errno::EBUSY, message));
        }
        let copy = self.copy_to(&CopyOptions {
            name: Some(name.to_owned()),
            keep_mac: true,
            keep_backend: true,
            ..CopyOptions::default()
        })?;
        self.destroy()?;
        *self = copy;
        Ok(())
    }
}

/// The configuration's text for the copy.
fn rewrite(document: &Document, old: &Path, new: &Path, options: &CopyOptions) -> Result<Vec<u8>> {
    let (old, new) = (old.to_string_lossy(), new.to_string_lossy());
    let mut text = String::new();
    for line in String::from_utf8_lossy(document.text_bytes()).lines() {
        let key = line.split(['=', ' ', '\t']).next().unwrap_or_default();
        let line = match key {
            "lxc.rootfs.path" | "lxc.rootfs" | "lxc.uts.name" | "lxc.utsname"
            | "lxc.mount.fstab" => continue,
            _ if key.starts_with("lxc.hook") => moved(line, &old, &new, &["="]),
            "lxc.mount.entry" if line.contains(" overlay") => {
                moved(line, &old, &new, &["upperdir=", "workdir=", "br="])
            }
            _ if key.ends_with(".hwaddr") && !options.keep_mac => new_address(line)?,
            _ => line.to_owned(),
        };
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text.into_bytes())
}

/// Replaces the old directory where it directly follows one of the markers (blanks may lie between).
fn moved(line: &str, old: &str, new: &str, markers: &[&str]) -> String {
    for marker in markers {
        if let Some(at) = line.find(marker) {
            let start = at + marker.len();
            let rest = line[start..].trim_start();
            if let Some(tail) = rest.strip_prefix(old)
                && tail.starts_with('/')
            {
                let head = &line[..line.len() - rest.len()];
                return moved(&format!("{head}{new}{tail}"), old, new, &markers[1..]);
            }
        }
    }
    line.to_owned()
}

/// A new random address in place of the old one.
fn new_address(line: &str) -> Result<String> {
    let Some((key, value)) = line.split_once('=').filter(|(_, v)| v.trim().len() == 17) else {
        return Ok(line.to_owned());
    };
    let blanks = &value[..value.len() - value.trim_start().len()];
    let mut bytes = [0u8; 3];
    let random = Path::new("/dev/urandom");
    std::fs::File::open(random)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(Error::path("read", random))?;
    let [a, b, c] = bytes.map(|byte| byte % 255);
    Ok(format!("{key}={blanks}10:66:6a:{a:02x}:{b:02x}:{c:02x}"))
}
