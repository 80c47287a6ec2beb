//! Images, servers and containers' directories that the tests make for themselves.
#![allow(
    dead_code,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used
)]

pub mod archive;
pub mod oci;
pub mod server;
pub mod site;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

#[allow(unused_imports)]
pub use archive::{Entry, gzip, sha256, tar, xz, zstd};
#[allow(unused_imports)]
pub use server::{Certificates, Reply, Request, Server};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A directory that goes away with the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("rlxc-img-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    let root = std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    if !root {
        println!("skipped: root (owners of files are set)");
    }
    root
}

/// A container's directory as lxc-create prepares it for a template.
pub struct Container {
    pub scratch: Scratch,
    certificates: Option<PathBuf>,
}

pub const CONFIG: &str = "lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\n\
    lxc.apparmor.profile = unconfined\nlxc.rootfs.path = dir:/somewhere\n";

impl Container {
    pub fn new() -> Self {
        let scratch = Scratch::new();
        std::fs::create_dir(scratch.path("rootfs")).unwrap();
        scratch.write("config", CONFIG);
        Self {
            scratch,
            certificates: None,
        }
    }

    pub fn trusting(certificates: &Certificates) -> Self {
        Self {
            certificates: Some(certificates.authority()),
            ..Self::new()
        }
    }

    pub fn rootfs(&self) -> PathBuf {
        self.scratch.path("rootfs")
    }

    pub fn cache(&self) -> PathBuf {
        self.scratch.path("cache")
    }

    pub fn config(&self) -> String {
        std::fs::read_to_string(self.scratch.path("config")).unwrap()
    }

    pub fn command(&self, template: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rlxc-image"));
        command
            .arg(template)
            .arg("--name=rlxc-img-c")
            .arg(format!("--path={}", self.scratch.0.display()))
            .arg(format!("--rootfs={}", self.rootfs().display()))
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.scratch.path("home"))
            .env("LXC_CACHE_PATH", self.cache());
        if let Some(file) = &self.certificates {
            command.env("SSL_CERT_FILE", file);
        }
        command
    }

    pub fn run(&self, template: &str, arguments: &[&str]) -> Output {
        self.command(template).args(arguments).output().unwrap()
    }

    /// What lies in the root file system.
    pub fn entries(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.rootfs())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.rootfs().join(path)).unwrap()
    }
}

pub fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

pub fn ok(output: &Output) -> String {
    let text = text(output);
    assert!(output.status.success(), "{}: {text}", output.status);
    text
}

/// The message of a run that must fail.
pub fn failure(output: &Output) -> String {
    let text = text(output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    text
}

/// The path of a program, or the line that says it is missing.
pub fn program(name: &str) -> Option<PathBuf> {
    let found = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists());
    if found.is_none() {
        println!("skipped: {name}");
    }
    found
}
