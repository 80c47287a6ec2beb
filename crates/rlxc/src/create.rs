//! Making a container: its directory, its storage, its template.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::unistd::{getegid, geteuid};
use rlxc_config::{Config, GlobalConfig, IdKind, IdMap, paths};
use rlxc_monitor::lock::{Partial, PartialState};
use rlxc_namespace::idmap;
use rlxc_storage::{Backend, Job, Place, Progress, Rootfs, Specs, Task};

use crate::container::Container;
use crate::error::{Error, Result};

/// What [`Container::create`] makes.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// A template's name or path; `None` or `none`: only directory and configuration
    pub template: Option<String>,
    /// The template's own arguments
    pub arguments: Vec<String>,
    /// The storage's type, `best`, or a comma list that is tried in order; `None`: dir
    pub backend: Option<String>,
    /// The storage's size, names and so on
    pub specs: Specs,
    /// The template's standard input and outputs are /dev/null
    pub quiet: bool,
    /// For who wants to stop it
    pub progress: Option<Arc<Progress>>,
}

impl Container {
    /// Makes the container: default configuration (unless one is loaded), storage, template.
    ///
    /// # Errors
    /// [`Error::Refused`] when it exists or is being made; whatever failed, nothing is left then.
    pub fn create(&mut self, options: &CreateOptions) -> Result<()> {
        let _lock = self.lock()?;
        self.clean_leftover()?;
        let template = options.template.as_deref().filter(|name| *name != "none");
        // As with LXC a saved configuration alone can still be given its root file system.
        if self.config_file().exists()
            && template.is_none()
            && let Some(document) = &self.document
        {
            return Ok(document.save(self.config_file())?);
        }
        if self.config_file().exists() && self.has_rootfs()? {
            let message = format!("container {} exists already", self.name());
            return Err(Error::refused(Errno::EEXIST, message));
        }
        let template = template.map(find_template).transpose()?;
        if self.document.is_none() {
            let file = GlobalConfig::load().default_config();
            match file.exists() {
                true => self.load_config(Some(&file))?,
                false => self.document = Some(rlxc_config::Document::new()),
            }
        }
        let partial = self.begin()?;
        if let Err(error) = self.fill(options, template.as_deref(), &partial) {
            self.undo();
            return Err(error);
        }
        partial.finish()?;
        let _ = std::fs::remove_file(self.dir().join(FOREIGN));
        Ok(())
    }

    /// Whether its configuration, in memory or else saved, names storage that is there.
    fn has_rootfs(&self) -> Result<bool> {
        let saved;
        let container = match &self.document {
            Some(_) => self,
            None => {
                saved = Self::new(self.name(), Some(self.lxcpath()))?;
                &saved
            }
        };
        let rootfs = rootfs_of(container.config()?)?;
        Ok(rootfs.is_some_and(|rootfs| {
            !Path::new(&rootfs.path).is_absolute() || Path::new(&rootfs.path).exists()
        }))
    }

    /// Removes what a killed create or copy left.
    pub(crate) fn clean_leftover(&self) -> Result<()> {
        match Partial::look(&self.dir())? {
            PartialState::Absent => Ok(()),
            PartialState::InProgress => {
                let message = format!("container {} is being made", self.name());
                Err(Error::refused(Errno::EBUSY, message))
            }
            PartialState::Leftover => {
                tracing::warn!("Removing the unfinished container {}", self.name());
                let mut container = Self::without_config(self.name(), Some(self.lxcpath()))?;
                if container.is_defined() {
                    // A half-written one says as much as it can.
                    let _ = container.load_config(None);
                }
                container.remove_storage_and_dir()
            }
        }
    }

    /// The container's directory with the mark that it is unfinished.
    pub(crate) fn begin(&self) -> Result<Partial> {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        let dir = self.dir();
        let mut builder = std::fs::DirBuilder::new();
        std::fs::create_dir_all(self.lxcpath()).map_err(Error::path("make", self.lxcpath()))?;
        match builder.mode(0o770).create(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::path("make", dir)(error));
            }
            _ => {}
        }
        let mode = std::fs::Permissions::from_mode(0o770);
        std::fs::set_permissions(&dir, mode).map_err(Error::path("set the mode of", &dir))?;
        Ok(Partial::create(&dir)?)
    }

    /// The way back after a failure; what cannot be removed is left marked for the next command.
    pub(crate) fn undo(&self) {
        // A wish to stop has been granted by now; the way back must not be stopped too.
        if let Err(error) = self.remove_storage_and_dir() {
            tracing::error!("{error} - Failed to remove the unfinished {}", self.name());
        }
    }

    fn fill(
        &mut self,
        options: &CreateOptions,
        template: Option<&Path>,
        partial: &Partial,
    ) -> Result<()> {
        let Some(template) = template else {
            return self.save_unlocked();
        };
        let rootfs = self.make_storage(options)?;
        self.give_to_mapped_root(&rootfs)?;
        self.run_template(options, template, &rootfs, partial)?;
        self.put_header(options, template)?;
        self.document = None;
        self.load_config(None)
    }

    pub(crate) fn save_unlocked(&self) -> Result<()> {
        match &self.document {
            Some(document) => Ok(document.save_unsynced(self.config_file())?),
            None => Err(Error::NoConfig(self.name().to_owned())),
        }
    }

    /// The kinds of storage to try, in order.
    fn backends(&self, wanted: Option<&str>) -> Result<Vec<Backend>> {
        match wanted.filter(|words| !words.is_empty()) {
            None | Some("none") => Ok(vec![Backend::Dir]),
            Some("best") => Ok(rlxc_storage::best(self.lxcpath())),
            Some(words) => {
                let words = words.split(',').map(str::trim).filter(|w| !w.is_empty());
                words.map(|word| Ok(word.parse()?)).collect()
            }
        }
    }

    fn make_storage(&mut self, options: &CreateOptions) -> Result<Rootfs> {
        let mut failed = None;
        for backend in self.backends(options.backend.as_deref())? {
            match self.make_on(backend, options) {
                Ok(rootfs) => return Ok(rootfs),
                Err(error) => {
                    tracing::info!("{error} - No root file system of type {backend}");
                    failed = Some(error);
                }
            }
        }
        let none = || Error::refused(Errno::EINVAL, "no type of storage was given");
        Err(failed.unwrap_or_else(none))
    }

    /// The configuration says what is being made before it is: so a create that is killed can be cleaned up.
    fn make_on(&mut self, backend: Backend, options: &CreateOptions) -> Result<Rootfs> {
        let lxcpath = self.lxcpath().to_owned();
        let name = self.name().to_owned();
        let place = Place {
            lxcpath: &lxcpath,
            name: &name,
        };
        let specs = specs_at(&place, backend, &options.specs);
        let rootfs = Rootfs::plan(backend, &place, &specs, None)?;
        let foreign = self.lies_outside(&rootfs) && rootfs.exists()?;
        if foreign {
            // Somebody's directory (--dir): it is used, but it is not ours to remove if this fails.
            std::fs::write(self.dir().join(FOREIGN), "")
                .map_err(Error::path("write", self.dir().join(FOREIGN)))?;
        }
        let old = self.document.clone();
        self.set_item("lxc.rootfs.path", &rootfs.to_string())?;
        self.save_unlocked()?;
        // By the caller, who owns the container's directory; handed to the mapped root afterwards.
        let made = rlxc_storage::run(&Job {
            tasks: vec![Task::Create {
                rootfs: rootfs.to_string(),
                specs,
            }],
            progress: options.progress.clone(),
            ..Job::default()
        });
        if let Err(error) = made {
            if !foreign && let Err(left) = rootfs.destroy() {
                tracing::warn!("{left} - Failed to remove {rootfs}");
            }
            self.document = old;
            return Err(error.into());
        }
        // Be the storage there or elsewhere: LXC has a place for it in the container's directory.
        let usual = self.dir().join("rootfs");
        if !usual.exists() {
            use std::os::unix::fs::DirBuilderExt;
            let made = std::fs::DirBuilder::new().mode(0o755).create(&usual);
            made.map_err(Error::path("make", &usual))?;
        }
        Ok(rootfs)
    }

    /// With id maps the container's root owns the directory and what is in it so far.
    pub(crate) fn give_to_mapped_root(&self, rootfs: &Rootfs) -> Result<()> {
        let maps = self.config_or_default().idmap;
        if maps.is_empty() {
            return Ok(());
        }
        let by_root = geteuid().is_root();
        // Root can do it from here; others only inside of the maps.
        let (uid, gid) = match by_root {
            true => (root_of(&maps, IdKind::Uid), root_of(&maps, IdKind::Gid)),
            false => (0, 0),
        };
        let own = |path: PathBuf, gid: Option<u32>, recursive: bool| Task::Own {
            path,
            uid,
            gid,
            recursive,
        };
        let dir = self.dir();
        let inside = ["rootfs", "overlay"].map(|name| dir.join(name));
        let inside = inside.into_iter().filter(|path| path.exists());
        let mut tasks: Vec<Task> = inside.map(|path| own(path, Some(gid), true)).collect();
        if rootfs.backend.capabilities().block || rootfs.backend == Backend::Zfs {
            tasks.push(Task::OwnTop {
                rootfs: rootfs.to_string(),
                uid,
                gid,
            });
        }
        // The group stays the caller's, so that both may enter (mode 0770).
        tasks.push(own(dir, None, false));
        let maps = match by_root {
            true => Vec::new(),
            false => job_maps(&maps)?,
        };
        Ok(rlxc_storage::run(&Job {
            maps,
            tasks,
            ..Job::default()
        })?)
    }

    /// With id maps the container's directory belongs to its root; the group stays the caller's.
    pub(crate) fn give_dir_to_mapped_root(&self, maps: &[IdMap]) -> Result<()> {
        if maps.is_empty() {
            return Ok(());
        }
        let by_root = geteuid().is_root();
        let own = Task::Own {
            path: self.dir(),
            uid: if by_root {
                root_of(maps, IdKind::Uid)
            } else {
                0
            },
            gid: None,
            recursive: false,
        };
        let maps = match by_root {
            true => Vec::new(),
            false => job_maps(maps)?,
        };
        Ok(rlxc_storage::run(&Job {
            maps,
            tasks: vec![own],
            ..Job::default()
        })?)
    }

    fn run_template(
        &self,
        options: &CreateOptions,
        template: &Path,
        rootfs: &Rootfs,
        partial: &Partial,
    ) -> Result<()> {
        let config = self.config()?;
        // A directory needs no mount: the template writes where the files will stay.
        let (mount, dest) = match rootfs.backend {
            Backend::Dir | Backend::Btrfs => (None, PathBuf::from(&rootfs.path)),
            _ => {
                let usual = config.rootfs_mount();
                let at = match usual.is_dir() {
                    true => usual,
                    false => self.dir().join("rootfs"),
                };
                (Some((rootfs.to_string(), at.clone())), at)
            }
        };
        let mut args = vec![
            format!("--path={}", self.dir().display()),
            format!("--name={}", self.name()),
            format!("--rootfs={}", dest.display()),
        ];
        args.extend(options.arguments.iter().cloned());
        let mut maps = Vec::new();
        if !config.idmap.is_empty() {
            let own = own_ids(&config.idmap)?;
            args.extend(["--mapped-uid".to_owned(), own.uid.to_string()]);
            args.extend(["--mapped-gid".to_owned(), own.gid.to_string()]);
            maps = own.maps;
        }
        let task = Task::Exec {
            program: template.to_owned(),
            args,
            environment: Vec::new(),
            quiet: options.quiet,
        };
        // As with LXC a template that outlives us still counts as making the container: nobody cleans up around it.
        let held = partial.file().try_clone().ok().map(Arc::new);
        Ok(rlxc_storage::run(&Job {
            held,
            maps,
            mount,
            tasks: vec![task],
            progress: options.progress.clone(),
            ..Job::default()
        })?)
    }

    /// Says before the configuration which template made it.
    fn put_header(&self, options: &CreateOptions, template: &Path) -> Result<()> {
        let file = self.config_file();
        let text = std::fs::read(file).map_err(Error::path("read", file))?;
        let sum = std::process::Command::new("sha1sum").arg(template).output();
        let sum = sum.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
        let sum = sum.unwrap_or_default();
        let nesting = Path::new(paths::DATADIR).join("lxc/config/nesting.conf");
        // One line each: an argument's line break must not become a configuration line.
        let arguments = shown(&options.arguments).replace(['\n', '\r', '\0'], " ");
        let mut whole = format!(
            "# Template used to create this container: {}\n\
             # Parameters passed to the template: {arguments}\n\
             # Template script checksum (SHA-1): {}\n\
             # For additional config options, please look at lxc.container.conf(5)\n\n\
             # Uncomment the following line to support nesting containers:\n\
             #lxc.include = {}\n\
             # (Be aware this has security implications)\n\n",
            template.display(),
            sum.split_whitespace().next().unwrap_or_default(),
            nesting.display()
        )
        .into_bytes();
        whole.extend(text);
        std::fs::write(file, whole).map_err(Error::path("write", file))
    }
}

/// Marks, in a container that is being made, that its root file system was there before.
pub(crate) const FOREIGN: &str = "partial.foreign";

/// Says, in a copy that is being made, of what: there may be something to be taken back over there.
pub(crate) const SOURCE: &str = "partial.source";

/// What the backend has to know besides what the user chose: data sets have their place in the file system.
pub(crate) fn specs_at(place: &Place<'_>, backend: Backend, specs: &Specs) -> Specs {
    let mut specs = specs.clone();
    if backend != Backend::Dir {
        specs.dir = Some(place.rootfs());
    }
    specs
}

/// The id on the host that is root inside.
fn root_of(maps: &[IdMap], kind: IdKind) -> u32 {
    let of = idmap::of_kind(maps, kind).find(|map| map.nsid == 0);
    of.map_or(0, |map| map.hostid)
}

/// A template's arguments for the configuration's header, which many may read: without passwords.
fn shown(arguments: &[String]) -> String {
    let mut words = Vec::new();
    let mut secret = false;
    for word in arguments {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        words.push(match (std::mem::take(&mut secret), name) {
            (true, _) => "***".to_owned(),
            (false, "--password") if word.contains('=') && !value.is_empty() => {
                "--password=***".to_owned()
            }
            (false, "--password") => {
                secret = true;
                word.clone()
            }
            _ => word.clone(),
        });
    }
    words.join(" ")
}

/// The maps in which the caller's own files can be reached too.
fn own_ids(maps: &[IdMap]) -> Result<idmap::WithOwnIds> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let own = idmap::with_own_ids(maps, uid, gid).map_err(rlxc_storage::Error::from)?;
    debug_assert!(idmap::of_kind(&own.maps, IdKind::Uid).next().is_some());
    Ok(own)
}

impl Container {
    /// Whether a root file system is a directory outside of the container's own.
    pub(crate) fn lies_outside(&self, rootfs: &Rootfs) -> bool {
        let path = rootfs.own_path();
        path.is_some_and(|path| !path.starts_with(self.dir()))
    }
}

/// As [`own_ids`], for a job: none for none.
pub(crate) fn job_maps(maps: &[IdMap]) -> Result<Vec<IdMap>> {
    match maps.is_empty() {
        true => Ok(Vec::new()),
        false => Ok(own_ids(maps)?.maps),
    }
}

/// The maps for work on a root file system: root needs none to read and write what others own, but an overlay has to be
/// mounted as the container mounts it.
pub(crate) fn maps_for(rootfs: &Rootfs, maps: &[IdMap]) -> Result<Vec<IdMap>> {
    match geteuid().is_root() && rootfs.backend != Backend::Overlay {
        true => Ok(Vec::new()),
        false => job_maps(maps),
    }
}

/// The root file system of a configuration.
pub(crate) fn rootfs_of(config: &Config) -> Result<Option<Rootfs>> {
    Ok(Rootfs::resolve(config)?)
}

/// An absolute path, or the name of one of the templates beside or below DATADIR.
fn find_template(name: &str) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let path = match name.starts_with('/') {
        true => PathBuf::from(name),
        false if name.contains('/') => {
            let message = format!("'{name}' is no template: neither a name nor an absolute path");
            return Err(Error::refused(Errno::EINVAL, message));
        }
        false => Path::new(paths::DATADIR).join(format!("lxc/templates/lxc-{name}")),
    };
    let meta = std::fs::metadata(&path).map_err(Error::path("find the template", &path))?;
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
        let message = format!("the template {} cannot be executed", path.display());
        return Err(Error::refused(Errno::EACCES, message));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn passwords_stay_out_of_the_header() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let header = shown(&words(
            "-u x --password secret --dhcp --password=secret -d y",
        ));
        assert_eq!(header, "-u x --password *** --dhcp --password=*** -d y");
    }
}
