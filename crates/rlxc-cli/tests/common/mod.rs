//! A place of its own for a test: an lxcpath, LXC's names for our program, busybox containers.
// Each test file uses a part of it.
#![allow(dead_code)]

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Our program.
pub(crate) const RLXC: &str = env!("CARGO_BIN_EXE_rlxc");

/// Removed with all of its containers at the end.
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
}

/// What a program said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) status: Option<i32>,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            out: text(&output.stdout),
            err: text(&output.stderr),
            status: output.status.code(),
        }
    }
}

impl Place {
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let dir = std::env::temp_dir().join(format!("rlxc-cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("bin"))?;
        std::fs::create_dir_all(dir.join("lxc"))?;
        for verb in rlxc_cli::verbs::VERBS.iter().filter(|verb| verb.lxc) {
            symlink(RLXC, dir.join("bin").join(format!("lxc-{}", verb.name)))?;
        }
        Ok(Self { dir })
    }

    pub(crate) fn lxcpath(&self) -> PathBuf {
        self.dir.join("lxc")
    }

    /// LXC's tool of that name, by us.
    pub(crate) fn ours(&self, tool: &str) -> PathBuf {
        self.dir.join("bin").join(tool)
    }

    pub(crate) fn define(&self, name: &str, config: &str) -> io::Result<()> {
        std::fs::create_dir_all(self.lxcpath().join(name))?;
        std::fs::write(self.lxcpath().join(name).join("config"), config)
    }

    /// A busybox system container without a network.
    pub(crate) fn busybox(&self, name: &str) -> io::Result<bool> {
        self.busybox_with(name, "lxc.net.0.type = empty\n")
    }

    pub(crate) fn busybox_with(&self, name: &str, config: &str) -> io::Result<bool> {
        self.define(name, config)?;
        let dir = self.lxcpath().join(name);
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates/lxc-busybox");
        let made = Command::new(template)
            .arg("--name")
            .arg(name)
            .arg("--path")
            .arg(&dir)
            .arg("--rootfs")
            .arg(dir.join("rootfs"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        Ok(made.success())
    }

    /// Runs a program with our lxcpath put before any `--`.
    pub(crate) fn run(&self, program: impl AsRef<Path>, words: &[&str]) -> io::Result<Said> {
        let (options, command) = match words.iter().position(|w| *w == "--") {
            Some(at) => words.split_at(at),
            None => (words, &[][..]),
        };
        let output = Command::new(program.as_ref())
            .args(options)
            .arg("-P")
            .arg(self.lxcpath())
            .args(command)
            .stdin(Stdio::null())
            .output()?;
        Ok(output.into())
    }

    /// `rlxc` with a line of words.
    pub(crate) fn rlxc(&self, line: &str) -> io::Result<Said> {
        let words: Vec<&str> = line.split(' ').collect();
        self.run(RLXC, &words)
    }

    /// As [`Place::rlxc`]; the test ends when it fails.
    pub(crate) fn must(&self, line: &str) -> io::Result<String> {
        let said = self.rlxc(line)?;
        assert_eq!(said.status, Some(0), "{line}: {said:?}");
        Ok(said.out)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let active = self.run(RLXC, &["ls", "-1", "--active"]);
        for name in active.map(|said| said.out).unwrap_or_default().lines() {
            let _ = self.run(RLXC, &["stop", "-k", "-n", name]);
        }
        let containers = std::fs::read_dir(self.lxcpath()).into_iter().flatten();
        let names = containers.flatten().map(|entry| entry.file_name());
        let names: Vec<String> = names.map(|n| n.to_string_lossy().into_owned()).collect();
        let _ = std::fs::remove_dir_all(&self.dir);
        // LXC's tools, which many calls are compared with, leave some of theirs.
        rlxc_tests::cgroups::remove_left(&names);
    }
}

/// What tests with running containers cannot do without.
pub(crate) fn missing() -> Option<&'static str> {
    let beside = |name| Path::new(RLXC).with_file_name(name).is_file();
    if !nix::unistd::geteuid().is_root() {
        return Some("root");
    }
    if !beside("rlxc-monitor") {
        return Some("rlxc-monitor (cargo build -p rlxc-container-monitor)");
    }
    if !beside("rlxc-worker") {
        return Some("rlxc-worker (cargo build -p rlxc-worker)");
    }
    if !Path::new("/usr/bin/lxc-info").exists() {
        return Some("LXC's tools");
    }
    if !Path::new("/bin/busybox").exists() {
        return Some("a static busybox");
    }
    None
}

/// Waits until `done`, at most ten seconds.
pub(crate) fn eventually(mut done: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}
