//! Making a container: its directory, its storage, its template.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{getegid, geteuid};
use rlxc_config::{Config, GlobalConfig, IdKind, IdMap, paths};
use rlxc_monitor::lock::{Partial, PartialState};
use rlxc_namespace::idmap;
use rlxc_storage::{Backend, Job, Rootfs, Task};

use crate::container::Container;
use crate::error::{Error, Result};

/// What [`Container::create`] makes.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// A template's name or path; `None` or `none`: only directory and configuration
    pub template: Option<String>,
    /// The template's own arguments
    pub arguments: Vec<String>,
    /// `dir`, `overlay`, `btrfs`, or `best`; `None`: dir
    pub backend: Option<String>,
    /// Another directory for the root file system (dir only)
    pub dir: Option<PathBuf>,
    /// The template's standard input and outputs are /dev/null
    pub quiet: bool,
}

impl Container {
    /// Makes the container: default configuration (unless one is loaded), storage, template.
    ///
    /// # Errors
    /// [`Error::Refused`] when it exists or is being made; whatever failed, nothing is left then.
    pub fn create(&mut self, options: &CreateOptions) -> Result<()> {
        let _lock = self.lock()?;
        self.clean_leftover()?;
        if self.config_file().exists() {
            let message = format!("container {} exists already", self.name());
            return Err(Error::refused(Errno::EEXIST, message));
        }
        let template = options.template.as_deref().filter(|name| *name != "none");
        let template = template.map(find_template).transpose()?;
        if self.document.is_none() {
            let file = GlobalConfig::load().default_config();
            match file.exists() {
                true => self.load_config(Some(&file))?,
                false => self.document = Some(rlxc_config::Document::new()),
            }
        }
        let partial = self.begin()?;
        let made = self.fill(options, template.as_deref());
        if let Err(error) = made {
            self.undo();
            return Err(error);
        }
        Ok(partial.finish()?)
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
                let document = match self.config_file().exists() {
                    true => Self::new(self.name(), Some(self.lxcpath())),
                    false => Self::without_config(self.name(), Some(self.lxcpath())),
                };
                let container = document
                    .or_else(|_| Self::without_config(self.name(), Some(self.lxcpath())))?;
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
        if let Err(error) = self.remove_storage_and_dir() {
            tracing::error!("{error} - Failed to remove the unfinished {}", self.name());
        }
    }

    fn fill(&mut self, options: &CreateOptions, template: Option<&Path>) -> Result<()> {
        let Some(template) = template else {
            return self.save_unlocked();
        };
        let rootfs = self.make_storage(options)?;
        self.set_item("lxc.rootfs.path", &rootfs.to_string())?;
        self.save_unlocked()?;
        self.give_to_mapped_root()?;
        self.run_template(options, template, &rootfs)?;
        self.put_header(options, template)?;
        self.document = None;
        self.load_config(None)
    }

    pub(crate) fn save_unlocked(&self) -> Result<()> {
        match &self.document {
            Some(document) => Ok(document.save(self.config_file())?),
            None => Err(Error::NoConfig(self.name().to_owned())),
        }
    }

    fn make_storage(&self, options: &CreateOptions) -> Result<Rootfs> {
        let dir = self.dir();
        let default = || dir.join("rootfs");
        let backend = match options.backend.as_deref() {
            None | Some("best") => Backend::Dir,
            Some(name) => name.parse()?,
        };
        let make = |path: PathBuf| Task::MakeDir { path, mode: 0o755 };
        let (rootfs, tasks) = match backend {
            Backend::Dir => {
                let path = options.dir.clone().unwrap_or_else(default);
                (Rootfs::at(backend, &path), vec![make(path)])
            }
            Backend::Btrfs => {
                let path = default();
                let rootfs = Rootfs::at(backend, &path);
                (rootfs, vec![Task::Subvolume { path }])
            }
            Backend::Overlay => {
                let upper = dir.join("overlay/delta");
                let rootfs = Rootfs::overlay(&default().to_string_lossy(), &upper);
                let work = dir.join("overlay/work");
                (rootfs, vec![make(default()), make(upper), make(work)])
            }
            other => {
                return Err(rlxc_storage::Error::Unsupported {
                    backend: other.to_string(),
                    operation: "be created by this version; use dir, overlay or btrfs",
                }
                .into());
            }
        };
        // By the caller, who owns the container's directory; handed to the mapped root afterwards.
        rlxc_storage::run(&Job {
            tasks,
            ..Job::default()
        })?;
        Ok(rootfs)
    }

    /// With id maps the container's root owns the directory and what is in it so far.
    pub(crate) fn give_to_mapped_root(&self) -> Result<()> {
        let maps = self.config_or_default().idmap;
        if maps.is_empty() {
            return Ok(());
        }
        let dir = self.dir();
        let chown = |owner: &str, recursive: bool, paths: Vec<PathBuf>| Task::Exec {
            program: PathBuf::from("/bin/chown"),
            args: ["--no-dereference", owner]
                .into_iter()
                .chain(recursive.then_some("-R"))
                .map(str::to_owned)
                .chain(paths.iter().map(|path| path.to_string_lossy().into_owned()))
                .collect(),
            environment: Vec::new(),
            quiet: false,
        };
        let inside = ["rootfs", "overlay"].map(|name| dir.join(name));
        let inside: Vec<PathBuf> = inside.into_iter().filter(|path| path.exists()).collect();
        let mut tasks = Vec::new();
        if !inside.is_empty() {
            tasks.push(chown("0:0", true, inside));
        }
        // The group stays the caller's, so that both may enter (mode 0770).
        tasks.push(chown("0", false, vec![dir]));
        let maps = job_maps(&maps)?;
        Ok(rlxc_storage::run(&Job {
            maps,
            mount: None,
            tasks,
        })?)
    }

    fn run_template(
        &self,
        options: &CreateOptions,
        template: &Path,
        rootfs: &Rootfs,
    ) -> Result<()> {
        let config = self.config()?;
        // A directory needs no mount: the template writes where the files will stay.
        let (mount, dest) = match rootfs.backend {
            Backend::Dir | Backend::Btrfs => (None, PathBuf::from(&rootfs.path)),
            _ => {
                let at = config.rootfs_mount();
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
        Ok(rlxc_storage::run(&Job {
            maps,
            mount,
            tasks: vec![task],
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
        let arguments = options.arguments.join(" ").replace(['\n', '\r', '\0'], " ");
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

/// The maps in which the caller's own files can be reached too.
fn own_ids(maps: &[IdMap]) -> Result<idmap::WithOwnIds> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let own = idmap::with_own_ids(maps, uid, gid).map_err(rlxc_storage::Error::from)?;
    debug_assert!(idmap::of_kind(&own.maps, IdKind::Uid).next().is_some());
    Ok(own)
}

/// As [`own_ids`], for a job: none for none.
pub(crate) fn job_maps(maps: &[IdMap]) -> Result<Vec<IdMap>> {
    match maps.is_empty() {
        true => Ok(Vec::new()),
        false => Ok(own_ids(maps)?.maps),
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
