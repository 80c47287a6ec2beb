use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
#[derive(Debug, Clone, Default)]
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
        words.extend(["-t".into(), pid.to_string().into()]);
        words.extend(["--ext-mount-map".into(), "/dev/console:console".into()]);
        if let Some(dir) = &options.predump_dir {
            words.extend([
                "--prev-images-dir".into(),
                dir.clone().into(),
                "--track-mem".into(),
            ]);
        } else if action == Migrate::PreDump {
            words.push("--track-mem".into());
        }
        if let Some((address, port)) = &options.page_server {
            words.push("--page-server".into());
            words.extend([
                "--address".into(),
                address.into(),
                "--port".into(),
                port.into(),
            ]);
        }
        if options.ghost_limit > 0 {
            words.extend([
                "--ghost-limit".into(),
                options.ghost_limit.to_string().into(),
            ]);
        }
        if action == Migrate::Dump && !options.stop {
            words.push("--leave-running".into());
        }
        let log = options.directory.join(format!("{name}.log"));
        run_criu(&words, &log)
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

fn run_criu(words: &[OsString], log: &Path) -> Result<()> {
    let failed = |reason: String, remedy: &str| Error::Program {
        program: "criu",
        reason,
        remedy: Some(remedy.to_owned()),
    };
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
