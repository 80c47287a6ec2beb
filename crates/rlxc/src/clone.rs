//! Copies of containers: full, sharing storage, renamed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use rlxc_config::{Document, HookKind, IdMap};
use rlxc_monitor::lock::DiskLock;
use rlxc_storage::{Backend, Job, Place, Progress, Rootfs, Shift, Specs, Task};

use crate::container::Container;
use crate::create::{SOURCE, job_maps, maps_for, rootfs_of, specs_at};
use crate::destroy::{count_dependant, lock_list, read_pairs, remove_file, write_pairs};
use crate::error::{Error, Result};

mod ids;

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
    /// Size of the new volume in bytes; `None`: the original's
    pub size: Option<u64>,
    /// ZFS: the data set to make the copy below; `None`: beside the original
    pub zfsroot: Option<String>,
    /// LVM: the volume group; `None`: the original's
    pub vgname: Option<String>,
    /// The copy's id maps, to whose ids its files are given; `None`: the original's
    pub idmap: Option<Vec<IdMap>>,
    /// The uid and gid of the user to whom the copy is to belong; `None`: the caller
    pub owner: Option<(u32, u32)>,
    /// For who wants to see how far it is, or to stop it
    pub progress: Option<Arc<Progress>>,
}

/// How the copy's storage comes to be.
pub(crate) struct StoragePlan {
    pub(crate) source: Rootfs,
    pub(crate) target: Rootfs,
    share: bool,
    specs: Specs,
    shift: Option<Shift>,
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
        let _both = self.lock_both(&copy)?;
        self.copy_locked(&mut copy, options)?;
        Ok(copy)
    }

    /// The locks of two containers, always in the same order: two commands for the same two never wait for each other.
    pub(crate) fn lock_both(&self, other: &Self) -> Result<[DiskLock; 2]> {
        let (first, second) = match self.dir() < other.dir() {
            true => (self, other),
            false => (other, self),
        };
        Ok([first.lock()?, second.lock()?])
    }

    pub(crate) fn copy_locked(&self, copy: &mut Self, options: &CopyOptions) -> Result<()> {
        self.copy_finished_by(copy, options, |_| Ok(()))
    }

    /// As [`Container::copy_locked`]; `last` belongs to it: the copy is whole only after that.
    pub(crate) fn copy_finished_by(
        &self,
        copy: &mut Self,
        options: &CopyOptions,
        last: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        if !options.allow_running {
            self.must_be_stopped()?;
        }
        copy.clean_leftover()?;
        if copy.config_file().exists() {
            let message = format!("container {} exists already", copy.name());
            return Err(Error::refused(Errno::EEXIST, message));
        }
        if options.owner.is_some() && !copy.lxcpath().is_dir() {
            let message = format!(
                "{} is not there: let the new owner make it",
                copy.lxcpath().display()
            );
            return Err(Error::refused(Errno::ENOENT, message));
        }
        let storage = self.plan_storage(copy, options)?;
        let partial = copy.begin()?;
        let done = self
            .fill_copy(copy, storage, options)
            .and_then(|()| last(copy));
        if let Err(error) = done {
            if copy.config_file().exists() {
                // What clone hooks have made outside, destroy hooks take away.
                if let Err(error) = copy.run_destroy_hooks() {
                    tracing::warn!("{error}");
                }
            }
            copy.undo();
            return Err(error);
        }
        partial.finish()?;
        remove_file(&copy.dir().join(SOURCE))
    }

    /// The type of the copy's storage, as LXC chooses it.
    fn choose_backend(
        &self,
        copy: &Self,
        source: Backend,
        options: &CopyOptions,
    ) -> Result<Backend> {
        let elsewhere = copy.lxcpath() != self.lxcpath();
        Ok(match &options.backend {
            Some(name) => name.parse()?,
            None if options.snapshot && source == Backend::Dir && !options.keep_backend => {
                Backend::Overlay
            }
            // Another lxcpath may be another disk, group or pool.
            None if elsewhere && !(options.snapshot && source.can_snapshot()) => Backend::Dir,
            None => source,
        })
    }

    fn plan_storage(&self, copy: &Self, options: &CopyOptions) -> Result<Option<StoragePlan>> {
        let Some(source) = rootfs_of(self.config()?)? else {
            return Ok(None);
        };
        let wanted = self.choose_backend(copy, source.backend, options)?;
        let over_dir = (source.backend, wanted) == (Backend::Dir, Backend::Overlay);
        let can_share = over_dir || (source.backend == wanted && wanted.can_snapshot());
        // A snapshot (or what is restored from one) must not end with what it was taken of.
        let stands_alone = !options.maybe_snapshot || !rlxc_storage::rests_on_original(&source)?;
        let share = options.snapshot && can_share && (over_dir || stands_alone);
        let refused = |text: String| Err(Error::refused(Errno::EOPNOTSUPP, text));
        if options.snapshot && !can_share && !options.maybe_snapshot {
            return refused(format!(
                "storage of type {} cannot share its data with a copy of type {wanted}; a full copy can be made",
                source.backend
            ));
        }
        if wanted == Backend::Overlay && !share && source.backend != Backend::Overlay {
            return refused(
                "a copy of type overlay shares the original's data: ask for a snapshot copy (-s)"
                    .to_owned(),
            );
        }
        let shift = self.plan_shift(wanted, share, options)?;
        let place = Place {
            lxcpath: copy.lxcpath(),
            name: copy.name(),
        };
        let of_source = match wanted.capabilities().sized {
            true => source.like().unwrap_or_default(),
            false => Specs::default(),
        };
        let same = source.backend == wanted;
        let specs = Specs {
            fssize: options.size.or(of_source.fssize),
            fstype: of_source.fstype,
            vg: options.vgname.clone().or(of_source.vg.filter(|_| same)),
            zfsroot: options.zfsroot.clone(),
            ..Specs::default()
        };
        let specs = specs_at(&place, wanted, &specs);
        let target = Rootfs::plan(wanted, &place, &specs, Some(&source))?;
        Ok(Some(StoragePlan {
            source,
            target,
            share,
            specs,
            shift,
        }))
    }

    fn fill_copy(
        &self,
        copy: &mut Self,
        storage: Option<StoragePlan>,
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
        if let Some(maps) = &options.idmap {
            copy.set_maps(&text, maps)?;
        }
        if let Some(plan) = &storage {
            copy.set_item("lxc.rootfs.path", &plan.target.to_string())?;
        }
        if !options.keep_name {
            let name = copy.name().to_owned();
            copy.set_item("lxc.uts.name", &name)?;
        }
        self.copy_files(copy)?;
        copy.save_unlocked()?;
        copy.give_dir_to_mapped_root(&copy.config()?.idmap)?;
        if let Some(plan) = &storage {
            self.copy_storage(copy, plan, options)?;
        }
        let hooks = copy.config()?.hooks.by_kind.get(&HookKind::Clone).cloned();
        let mut variables = vec![("LXC_SRC_NAME", self.name().to_owned())];
        if let Some(path) = copy.directory_rootfs()? {
            variables.push(("LXC_ROOTFS_MOUNT", path.display().to_string()));
        }
        let hooks = hooks.unwrap_or_default();
        let hooks = hooks.iter().map(|script| {
            copy.hook_task(script, HookKind::Clone, &variables, &options.hook_arguments)
        });
        copy.run_mounted(hooks.collect())?;
        match options.owner {
            Some(owner) => copy.give_to_owner(&copy.config()?.idmap, owner),
            None => Ok(()),
        }
    }

    /// The root file system that is a plain directory: hooks find it in its place, without a mount.
    fn directory_rootfs(&self) -> Result<Option<PathBuf>> {
        let rootfs = rootfs_of(self.config()?)?.filter(|rootfs| rootfs.backend == Backend::Dir);
        Ok(rootfs.map(|rootfs| rootfs.path.into()))
    }

    /// Does tasks with the root file system mounted at `lxc.rootfs.mount`, unless it is a plain directory.
    pub(crate) fn run_mounted(&self, tasks: Vec<Task>) -> Result<()> {
        if tasks.is_empty() {
            return Ok(());
        }
        let config = self.config()?;
        let at = config.rootfs_mount();
        let mount = match self.directory_rootfs()? {
            Some(_) => None,
            None => rootfs_of(config)?.filter(|_| at.is_dir()),
        };
        Ok(rlxc_storage::run(&Job {
            maps: job_maps(&config.idmap)?,
            mount: mount.map(|rootfs| (rootfs.to_string(), at)),
            tasks,
            ..Job::default()
        })?)
    }

    fn copy_storage(&self, copy: &Self, plan: &StoragePlan, options: &CopyOptions) -> Result<()> {
        let dir = copy.dir();
        let make = |path: PathBuf| Task::MakeDir { path, mode: 0o755 };
        let mut tasks = Vec::new();
        let upper = dir.join("overlay");
        if plan.target.backend == Backend::Overlay {
            tasks.push(make(upper));
        }
        if !matches!(plan.target.backend, Backend::Btrfs | Backend::Dir) {
            // The mount point that LXC expects there.
            tasks.push(make(dir.join("rootfs")));
        }
        tasks.push(Task::Copy {
            from: plan.source.to_string(),
            to: plan.target.to_string(),
            share: plan.share,
            specs: plan.specs.clone(),
            shift: plan.shift.clone(),
            mapped: !self.config()?.idmap.is_empty(),
        });
        if !options.keep_name {
            tasks.push(Task::Overwrite {
                rootfs: plan.target.to_string(),
                file: PathBuf::from("/etc/hostname"),
                text: copy.name().to_owned(),
            });
        }
        if plan.source.backend == Backend::Zfs {
            let file = dir.join(SOURCE);
            std::fs::write(&file, plan.source.to_string()).map_err(Error::path("write", &file))?;
        }
        let maps = maps_for(&plan.target, &self.config()?.idmap)?;
        rlxc_storage::run(&Job {
            maps,
            tasks,
            progress: options.progress.clone(),
            ..Job::default()
        })?;
        self.record_dependence(copy, plan, options)
    }

    /// The originals whose storage the copy rests on must stay as long as it does: `lxc_rdepends` names them, and
    /// their `lxc_snapshots` the copy. Snapshots go with their container, which is not named.
    fn record_dependence(
        &self,
        copy: &Self,
        plan: &StoragePlan,
        options: &CopyOptions,
    ) -> Result<()> {
        if copy.lxcpath().ends_with(Place::RESTORE_DIR) {
            // It takes the place of one whose dependences are recorded.
            return Ok(());
        }
        let pair = |container: &Self| {
            let lxcpath = container.lxcpath().to_string_lossy().into_owned();
            (lxcpath, container.name().to_owned())
        };
        let overlay = plan.target.backend == Backend::Overlay;
        let rests = overlay || (plan.share && rlxc_storage::rests_on_original(&plan.target)?);
        if !rests {
            return Ok(());
        }
        let mut on = match plan.source.backend {
            Backend::Overlay => read_pairs(&self.dir().join("lxc_rdepends"))?,
            _ => Vec::new(),
        };
        let own_snapshot = options.keep_backend && copy.lxcpath() == self.snapshot_path();
        if !own_snapshot {
            let of_snapshot = self.lxcpath().ends_with("snaps");
            let lower = match overlay {
                true => plan.target.layers()?.0.to_owned(),
                false => String::new(),
            };
            let owners = lower.split(':').filter_map(|dir| owner_of(Path::new(dir)));
            let ours = (!of_snapshot).then(|| pair(self));
            for owner in owners.chain(ours) {
                if !on.contains(&owner) && owner != pair(copy) {
                    on.push(owner);
                }
            }
        }
        if on.is_empty() {
            return Ok(());
        }
        // The copy's own list first: by it the others are cleaned when this is interrupted.
        write_pairs(&copy.dir().join("lxc_rdepends"), &on)?;
        let own = pair(copy);
        for (path, name) in &on {
            let file = PathBuf::from(path).join(name).join("lxc_snapshots");
            let _lock = lock_list(&file)?;
            if count_dependant(&file, true)? {
                continue;
            }
            let mut pairs = read_pairs(&file)?;
            let there = file.parent().is_some_and(Path::is_dir);
            if there && !pairs.contains(&own) {
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
                if file != to {
                    std::fs::copy(&file, &to).map_err(Error::path("copy", &file))?;
                }
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
}

/// The container in whose directory a root file system lies.
fn owner_of(rootfs: &Path) -> Option<(String, String)> {
    let dir = rootfs
        .ancestors()
        .skip(1)
        .take(2)
        .find(|dir| dir.join("config").is_file())?;
    let name = dir.file_name()?.to_str()?.to_owned();
    Some((dir.parent()?.to_str()?.to_owned(), name))
}

/// The configuration's text for the copy.
pub(crate) fn rewrite(
    document: &Document,
    old: &Path,
    new: &Path,
    options: &CopyOptions,
) -> Result<Vec<u8>> {
    let (old, new) = (old.to_string_lossy(), new.to_string_lossy());
    let mut text = Vec::new();
    for line in document.text_bytes().split_inclusive(|b| *b == b'\n') {
        // Only comments are in other encodings.
        let Ok(line) = std::str::from_utf8(line) else {
            text.extend_from_slice(line);
            continue;
        };
        let line = line.strip_suffix('\n').unwrap_or(line);
        let key = line.split(['=', ' ', '\t']).next().unwrap_or_default();
        let line = match key {
            "lxc.rootfs.path" | "lxc.rootfs" | "lxc.mount.fstab" => continue,
            "lxc.uts.name" | "lxc.utsname" if !options.keep_name => continue,
            "lxc.idmap" | "lxc.id_map" if options.idmap.is_some() => continue,
            _ if key.starts_with("lxc.hook") => moved(line, &old, &new, &["="]),
            "lxc.mount.entry" if line.contains(" overlay") => {
                moved(line, &old, &new, &["upperdir=", "workdir=", "br="])
            }
            _ if key.ends_with(".hwaddr") && !options.keep_mac => new_address(line)?,
            _ => line.to_owned(),
        };
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    Ok(text)
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
