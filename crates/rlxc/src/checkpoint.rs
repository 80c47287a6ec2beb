//! Checkpoints by the `criu` program.
//!
//! # References
//! criu(8).

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rlxc_config::MountEntry;

use crate::container::Container;
use crate::error::{Error, Result};

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
        }
    }
}

/// The features that [`criu_features`] knows, by their bits in LXC's header.
const FEATURES: [(u64, &str); 2] = [(1, "mem_dirty_track"), (2, "lazy_pages")];

/// Which of the `wanted` features (bits of LXC's header) criu and the kernel have.
///
/// # Errors
/// [`Error::Program`] when criu cannot be run at all.
pub fn criu_features(wanted: u64) -> Result<u64> {
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
    /// [`Error::NotRunning`]; [`Error::Program`] with what criu said.
    pub fn migrate(&self, action: Migrate, options: &MigrateOptions) -> Result<()> {
        let pid = self.need_init_pid()?;
        std::fs::create_dir_all(&options.directory).map_err(Error::path(
            "make the checkpoint directory",
            &options.directory,
        ))?;
        let name = match action {
            Migrate::PreDump => "pre-dump",
            Migrate::Dump => "dump",
        };
        let mut words = common(name, options);
        self.add_target(&mut words, pid, options)?;
        add_dump(&mut words, action, options);
        let log = options.directory.join(format!("{name}.log"));
        run_criu(&words, &log)
    }

    /// Starts the container from a checkpoint.
    ///
    /// # Errors
    /// [`Error::Running`]; [`Error::Refused`]: this version cannot restore.
    pub fn restore(&self, options: &MigrateOptions) -> Result<()> {
        self.must_be_stopped()?;
        Err(Error::Refused {
            message: format!(
                "restoring {} from {} is not possible: a restored container would have no monitor in this version",
                self.name(),
                options.directory.display()
            ),
            errno: nix::errno::Errno::ENOSYS as i32,
            remedy: Some(
                "restore with LXC's lxc-checkpoint, which reads the same images".to_owned(),
            ),
        })
    }

    /// What is to be dumped, and what of it lies outside.
    fn add_target(
        &self,
        words: &mut Vec<OsString>,
        pid: i32,
        options: &MigrateOptions,
    ) -> Result<()> {
        words.extend(["-t".into(), pid.to_string().into()]);
        if let Some(cgroup) = self.freezer_directory() {
            words.extend(["--freeze-cgroup".into(), cgroup.into()]);
        }
        for entry in self.bind_mounts() {
            let target = entry.target.trim_start_matches('/');
            words.extend([
                "--external".into(),
                format!("mnt[/{target}]:{target}").into(),
            ]);
        }
        words.extend(["--ext-mount-map".into(), "/dev/console:console".into()]);
        // The console's other end stays outside: criu gets its name, a restore finds it in the file.
        if let Ok(meta) = std::fs::metadata(format!("/proc/{pid}/root/dev/console")) {
            let tty = format!("tty[{:x}:{:x}]", meta.rdev(), meta.dev());
            let file = options.directory.join("tty.info");
            std::fs::write(&file, &tty).map_err(Error::path("write", &file))?;
            words.extend(["--external".into(), tty.into()]);
        }
        Ok(())
    }

    /// The mount entries that show something of the host.
    fn bind_mounts(&self) -> Vec<MountEntry> {
        let bind = nix::mount::MsFlags::MS_BIND.bits();
        let config = self.config_or_default();
        let entries = config.mounts.entries.iter();
        entries
            .filter_map(|line| MountEntry::parse(line).ok())
            .filter(|entry| entry.flags & bind != 0)
            .collect()
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
        words.extend(["--prev-images-dir".into(), dir.into()]);
    }
    if options.predump_dir.is_some() || action == Migrate::PreDump {
        words.push("--track-mem".into());
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
    if action == Migrate::Dump {
        if options.skip_in_flight {
            words.push("--skip-in-flight".into());
        }
        if !options.stop {
            words.push("--leave-running".into());
        }
    }
}

fn common(action: &str, options: &MigrateOptions) -> Vec<OsString> {
    let log = options.directory.join(format!("{action}.log"));
    let mut words: Vec<OsString> = [
        action,
        "--tcp-established",
        "--file-locks",
        "--link-remap",
        "--manage-cgroups=full",
        "--ext-mount-map",
        "auto",
        "--enable-external-sharing",
        "--enable-external-masters",
        "--enable-fs",
        "hugetlbfs",
        "--enable-fs",
        "tracefs",
        "-D",
    ]
    .iter()
    .map(OsString::from)
    .collect();
    words.extend([options.directory.clone().into(), "-o".into(), log.into()]);
    if let Some(script) = &options.action_script {
        words.extend(["--action-script".into(), script.clone().into()]);
    }
    if options.verbose {
        words.push("-v4".into());
    }
    words
}

fn failed(reason: String, remedy: &str) -> Error {
    Error::Program {
        program: "criu",
        reason,
        remedy: Some(remedy.to_owned()),
    }
}

fn run_criu(words: &[OsString], log: &Path) -> Result<()> {
    let output = Command::new("criu")
        .args(words.iter().map(OsStr::new))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string(), "install criu"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = match said.trim() {
        "" => last_error(log),
        said => said.to_owned(),
    };
    let remedy = format!(
        "see {}; criu check --all tells what the kernel lacks",
        log.display()
    );
    Err(failed(format!("{}: {said}", output.status), &remedy))
}

/// criu writes its reasons to the log alone.
fn last_error(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rfind(|line| line.contains("Error"));
    line.unwrap_or("it gave no reason").trim().to_owned()
}
