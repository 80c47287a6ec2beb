//! Checkpoints by the `criu` program.
//!
//! # References
//! criu(8).

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use rlxc_runtime::Started;
use rlxc_runtime::criu::{self, Criu, Images, RestorePlan};

use crate::container::Container;
use crate::error::{Error, Result};
use crate::start::StartOptions;

/// What `migrate` is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrate {
    /// Copy memory, leave it running
    PreDump,
    /// Write everything
    Dump,
}

/// LXC's `struct migrate_opts`.
#[derive(Debug, Clone)]
pub struct MigrateOptions {
    /// Where the images are
    pub directory: PathBuf,
    /// Let criu say much
    pub verbose: bool,
    /// Do not leave it running
    pub stop: bool,
    /// Earlier images, relative to `directory`
    pub predump_dir: Option<PathBuf>,
    /// Address and port of a page server
    pub page_server: Option<(String, String)>,
    /// Script that criu calls at each action
    pub action_script: Option<PathBuf>,
    /// Size limit of deleted files that are saved, in bytes; 0: criu's own
    pub ghost_limit: u64,
    /// The files have the same inode numbers where it is restored
    pub preserves_inodes: bool,
    /// Leave out TCP connections that are just being made
    pub skip_in_flight: bool,
    /// A restore lasts as long as the container
    pub foreground: bool,
    /// The log of the restored container's monitor, as for a start
    pub log: StartOptions,
}

impl Default for MigrateOptions {
    fn default() -> Self {
        Self {
            directory: PathBuf::new(),
            verbose: false,
            stop: false,
            predump_dir: None,
            page_server: None,
            action_script: None,
            ghost_limit: 0,
            preserves_inodes: false,
            skip_in_flight: true,
            foreground: false,
            log: StartOptions::default(),
        }
    }
}

impl MigrateOptions {
    fn images(&self) -> Images {
        Images {
            directory: self.directory.clone(),
            verbose: self.verbose,
            action_script: self.action_script.clone(),
        }
    }
}

/// The features that [`criu_features`] knows, by their bits in LXC's header.
const FEATURES: [(u64, &str); 2] = [(1, "mem_dirty_track"), (2, "lazy_pages")];

/// Which of the `wanted` features (bits of LXC's header) criu and the kernel have; none when one of them
/// is not known here.
///
/// # Errors
/// [`Error::Program`] when criu cannot be run at all.
pub fn criu_features(wanted: u64) -> Result<u64> {
    let known = FEATURES.iter().fold(0, |all, (bit, _)| all | bit);
    if wanted & !known != 0 {
        return Ok(0);
    }
    let mut found = 0;
    for (bit, name) in FEATURES.into_iter().filter(|(bit, _)| wanted & bit != 0) {
        let status = Command::new("criu")
            .args(["check", "--feature", name])
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(|error| failed(error.to_string(), "install criu"))?;
        if status.success() {
            found |= bit;
        }
    }
    Ok(found)
}

impl Container {
    /// Writes a checkpoint by criu (the C API's `checkpoint` and `migrate`).
    ///
    /// # Errors
    /// [`Error::NotRunning`]; [`Error::Refused`] when the directory holds a checkpoint already;
    /// [`Error::Start`] without a fitting criu or with links that it cannot dump; [`Error::Program`] with
    /// what criu said.
    pub fn migrate(&self, action: Migrate, options: &MigrateOptions) -> Result<()> {
        let pid = self.need_init_pid()?;
        let name = match action {
            Migrate::PreDump => "pre-dump",
            Migrate::Dump => "dump",
        };
        if action == Migrate::Dump && options.directory.join("inventory.img").exists() {
            let text = format!("{} holds a checkpoint already", options.directory.display());
            return Err(Error::refused(Errno::EEXIST, text));
        }
        let criu = self.criu()?;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&options.directory)
            .map_err(Error::path(
                "make the checkpoint directory",
                &options.directory,
            ))?;
        let client = self.client();
        let images = options.images();
        let mut words = images.words(name, &mut |controller| {
            client.limit_cgroup(Some(controller)).ok()
        });
        criu::add_mounts(&mut words, &self.config_or_default(), name);
        words.extend(["-t".into(), pid.to_string().into()]);
        if options.skip_in_flight && criu.skips_in_flight() {
            words.push("--skip-in-flight".into());
        }
        if let Some(cgroup) = self.freezer_directory() {
            words.extend(["--freeze-cgroup".into(), cgroup.into()]);
        }
        self.leave_console(&mut words, pid, options)?;
        add_dump(&mut words, action, options);
        run_criu(&criu, &words, &images, name)
    }

    /// Starts the container from a checkpoint.
    ///
    /// # Errors
    /// [`Error::Running`]; [`Error::Start`] with the failed step, and with what criu said.
    pub fn restore(&self, options: &MigrateOptions) -> Result<Started> {
        self.must_be_stopped()?;
        let criu = self.criu()?;
        let start = StartOptions {
            daemonize: !options.foreground,
            ..options.log.clone()
        };
        // The monitor has another working directory.
        let directory = std::fs::canonicalize(&options.directory).map_err(Error::path(
            "find the checkpoint directory",
            &options.directory,
        ))?;
        let mut plan = self.plan(&start)?;
        plan.restore = Some(RestorePlan {
            criu,
            images: Images {
                directory,
                ..options.images()
            },
        });
        self.start_plan(&plan)
    }

    /// The program, if it can serve this container and this caller.
    fn criu(&self) -> Result<Criu> {
        let criu = Criu::find()?;
        if !nix::unistd::geteuid().is_root() {
            let text = "only root can dump or restore a container";
            return Err(Error::refused(Errno::EPERM, text));
        }
        criu::check_links(&self.config_or_default())?;
        Ok(criu)
    }

    /// The console's other end stays outside: criu gets its name, a restore finds it in `tty.info`.
    fn leave_console(
        &self,
        words: &mut Vec<OsString>,
        pid: i32,
        options: &MigrateOptions,
    ) -> Result<()> {
        let config = self.config_or_default();
        if config.console.path.as_deref() == Some("none") {
            return Ok(());
        }
        let console = format!("/proc/{pid}/root/dev/console");
        let meta = std::fs::metadata(&console).map_err(Error::path("look at", &console))?;
        let tty = format!("tty[{:x}:{:x}]", meta.rdev(), meta.dev());
        let file = options.directory.join("tty.info");
        std::fs::write(&file, &tty).map_err(Error::path("write", &file))?;
        words.extend(["--ext-mount-map".into(), "/dev/console:console".into()]);
        words.extend(["--external".into(), tty.into()]);
        Ok(())
    }

    /// The directory of its freezer's cgroup: of v1 where it is mounted, else of v2.
    fn freezer_directory(&self) -> Option<PathBuf> {
        let client = self.client();
        let below = |root: &str, controller: Option<&str>| {
            let path = client.limit_cgroup(controller).ok()?;
            let dir = Path::new(root).join(path.trim_start_matches('/'));
            dir.is_dir().then_some(dir)
        };
        below("/sys/fs/cgroup/freezer", Some("freezer"))
            .or_else(|| below("/sys/fs/cgroup", None))
            .or_else(|| below("/sys/fs/cgroup/unified", None))
    }
}

/// The options of both kinds of dump.
fn add_dump(words: &mut Vec<OsString>, action: Migrate, options: &MigrateOptions) {
    if let Some(dir) = &options.predump_dir {
        words.extend(["--prev-images-dir".into(), dir.into(), "--track-mem".into()]);
    }
    if let Some((address, port)) = &options.page_server {
        words.extend(["--page-server".into(), "--address".into(), address.into()]);
        words.extend(["--port".into(), port.into()]);
    }
    if !options.preserves_inodes {
        words.push("--force-irmap".into());
    }
    if options.ghost_limit > 0 {
        let limit = options.ghost_limit.to_string();
        words.extend(["--ghost-limit".into(), limit.into()]);
    }
    if action == Migrate::Dump && !options.stop {
        words.push("--leave-running".into());
    }
}

fn failed(reason: String, remedy: &str) -> Error {
    Error::Program {
        program: "criu",
        reason,
        remedy: Some(remedy.to_owned()),
    }
}

fn run_criu(criu: &Criu, words: &[OsString], images: &Images, action: &str) -> Result<()> {
    let child = Command::new(&criu.program)
        .args(words.iter().map(OsStr::new))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string(), "install criu"))?;
    criu::escape_cgroups(i32::try_from(child.id()).unwrap_or(0));
    let output = child
        .wait_with_output()
        .map_err(|error| failed(error.to_string(), "try again"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = images.reason(action, &String::from_utf8_lossy(&output.stderr));
    let remedy = format!(
        "see {}; criu check --all tells what the kernel lacks",
        images.log(action).display()
    );
    Err(failed(format!("{}: {said}", output.status), &remedy))
}
