//! What the tests of starting share: a busybox rootfs, a plan, a look at what is left behind.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    missing_docs
)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use rlxc_config::{Config, Nic, auto_mount};
use rlxc_monitor::Client;
use rlxc_runtime::{HostFacts, Mode, Plan, PlanInput, StartError, Started, start};

/// One container of a test: everything is removed when it is dropped.
#[derive(Debug)]
pub struct Container {
    pub name: String,
    pub lxcpath: PathBuf,
    pub config: Config,
    pub argv: Vec<String>,
    pub mode: Mode,
    pub daemonize: bool,
    pub close_all_fds: bool,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The reason why containers cannot be tested here.
pub fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("root".into());
    }
    if !Path::new("/bin/busybox").exists() {
        return Some("/bin/busybox (package busybox-static)".into());
    }
    build_monitor();
    None
}

/// Ends the test with a line about what it needs.
#[macro_export]
macro_rules! need_root {
    () => {
        if let Some(what) = common::missing() {
            println!("skipped: {what}");
            return;
        }
    };
}

fn build_monitor() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let status = Command::new(env!("CARGO"))
            .args(["build", "-q", "--workspace", "--bins"])
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .status();
        assert!(status.expect("cargo").success());
    });
}

impl Container {
    pub fn new(test: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let lxcpath = PathBuf::from(format!("/tmp/rlxc-start-{}-{number}", std::process::id()));
        let name = format!("{test}-{}", std::process::id());
        let rootfs = lxcpath.join(&name).join("rootfs");
        busybox(&rootfs);
        let mut config = Config::default();
        config.rootfs.path = Some(rootfs.to_string_lossy().into_owned());
        let mount = lxcpath.join("mnt");
        std::fs::create_dir_all(&mount).expect("a mount point");
        config.rootfs.mount = Some(mount.to_string_lossy().into_owned());
        config.uts_name = Some(test.to_owned());
        config.mounts.auto.bits = auto_mount::PROC_MIXED | auto_mount::SYS_MIXED;
        config.pty_max = 1024;
        config.tty.max = 2;
        config.apparmor.profile = Some("unconfined".into());
        config.net.insert(0, Nic::default());
        Self {
            name,
            lxcpath,
            config,
            argv: vec!["/bin/sleep".into(), "1000".into()],
            mode: Mode::Start,
            daemonize: true,
            close_all_fds: true,
        }
    }

    pub fn rootfs(&self) -> PathBuf {
        self.lxcpath.join(&self.name).join("rootfs")
    }

    pub fn command(&mut self, words: &[&str]) -> &mut Self {
        self.argv = words.iter().map(|w| (*w).to_owned()).collect();
        self
    }

    pub fn plan(&self) -> Plan {
        let input = PlanInput {
            name: &self.name,
            lxcpath: &self.lxcpath,
            config: &self.config,
            argv: self.argv.clone(),
            mode: self.mode,
            daemonize: self.daemonize,
        };
        let mut plan = Plan::compute(input, &HostFacts::detect()).expect("a plan");
        plan.log_file = Some(self.lxcpath.join("log"));
        plan.log_level = Some(0);
        plan.close_all_fds |= self.close_all_fds;
        plan
    }

    pub fn start(&self) -> Result<Started, StartError> {
        start(&self.plan())
    }

    /// Runs a shell script in the foreground and returns what it wrote to /out.
    pub fn output(&mut self, script: &str) -> String {
        let script = format!("exec > /out 2>&1; {script}");
        self.argv = vec!["/bin/sh".into(), "-c".into(), script];
        self.daemonize = false;
        let started = self
            .start()
            .unwrap_or_else(|e| panic!("{e}\n{}", self.log()));
        assert!(started.status.is_some());
        std::fs::read_to_string(self.rootfs().join("out")).expect("/out")
    }

    pub fn client(&self) -> Client {
        Client::new(&self.lxcpath, &self.name)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.lxcpath.join("log")).unwrap_or_default()
    }

    /// Everything of this container that the system still has.
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let path = self.lxcpath.to_string_lossy().into_owned();
        left.extend(
            mounts
                .lines()
                .filter(|l| l.contains(&path))
                .map(str::to_owned),
        );
        let sockets = std::fs::read_to_string("/proc/net/unix").expect("sockets");
        left.extend(
            sockets
                .lines()
                .filter(|l| l.contains(&path))
                .map(str::to_owned),
        );
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.contains("[lxc monitor]") && line.contains(&path) {
                left.push(line);
            }
        }
        let found = Command::new("find")
            .args([
                "/sys/fs/cgroup",
                "-maxdepth",
                "3",
                "-name",
                &format!("*{}*", self.name),
            ])
            .output()
            .expect("find");
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        left.extend(found.lines().map(str::to_owned));
        left
    }

    /// Nothing is left, at the latest after the monitor has had time to end.
    pub fn assert_clean(&self) {
        let mut left = Vec::new();
        for _ in 0..100 {
            left = self.leftovers();
            if left.is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("left behind: {left:#?}\n{}", self.log());
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.client().stop();
        let _ = std::fs::remove_dir_all(&self.lxcpath);
    }
}

/// A rootfs of one static busybox.
pub fn busybox(rootfs: &Path) {
    for dir in [
        "bin", "sbin", "dev", "proc", "sys", "tmp", "etc", "root", "var",
    ] {
        std::fs::create_dir_all(rootfs.join(dir)).expect("a directory");
    }
    std::fs::copy("/bin/busybox", rootfs.join("bin/busybox")).expect("busybox");
    let applets = "sh sleep cat ls mount umount id hostname true false stat readlink echo grep env tty kill reboot test touch mkdir ps sed head wc trap";
    for name in applets.split_whitespace() {
        let _ = symlink("busybox", rootfs.join("bin").join(name));
    }
    symlink("../bin/busybox", rootfs.join("sbin/init")).expect("a link");
}
