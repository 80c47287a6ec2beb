//! A small container that the installed LXC has started, for tests of what we do to one.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rlxc_config::Config;
use rlxc_runtime::attach::{AttachOptions, AttachTask, arguments, attach};

const APPLETS: &[&str] = &[
    "sh", "sleep", "id", "cat", "env", "pwd", "tty", "true", "false", "stty", "ls", "hostname",
    "readlink", "touch", "test", "seq", "kill", "ps", "dd", "init", "grep", "getty",
];

/// A container; stopped and removed when dropped.
pub struct Peer {
    pub lxcpath: PathBuf,
    pub name: String,
}

/// Why the tests cannot run, after saying so.
fn skip(missing: &str) -> Option<Peer> {
    println!("skipped: {missing}");
    None
}

impl Peer {
    /// Starts a container with `extra` configuration, or says what is missing.
    pub fn start(test: &str, extra: &str) -> Option<Self> {
        let peer = Self::define(test, extra)?;
        let started = peer.lxc("lxc-start", &[]);
        if !started.0 {
            println!(
                "skipped: the installed LXC cannot start a container: {}",
                started.1
            );
            return None;
        }
        Some(peer)
    }

    pub fn define(test: &str, extra: &str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            return skip("root");
        }
        if Command::new("lxc-start").arg("--version").output().is_err() {
            return skip("lxc-start (package lxc)");
        }
        if !Path::new("/bin/busybox").exists() {
            return skip("/bin/busybox (package busybox-static)");
        }
        let lxcpath = PathBuf::from(format!("/tmp/rlxc-attach-{test}-{}", std::process::id()));
        let name = format!("rlxc-attach-{test}-{}", std::process::id());
        let dir = lxcpath.join(&name);
        let rootfs = dir.join("rootfs");
        for sub in [
            "bin", "dev", "proc", "sys", "etc", "tmp", "root", "sbin", "run",
        ] {
            fs::create_dir_all(rootfs.join(sub)).unwrap();
        }
        fs::copy("/bin/busybox", rootfs.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("/bin/busybox", rootfs.join("bin").join(applet)).unwrap();
        }
        fs::write(
            rootfs.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/tmp:/bin/ash\n",
        )
        .unwrap();
        fs::write(rootfs.join("tmp/not-executable"), "x").unwrap();
        fs::write(rootfs.join("tmp/script"), "echo script $1\n").unwrap();
        fs::set_permissions(rootfs.join("tmp/script"), PermissionsExt::from_mode(0o755)).unwrap();
        fs::set_permissions(&lxcpath, PermissionsExt::from_mode(0o755)).unwrap();
        let config = format!(
            "lxc.rootfs.path = dir:{}\nlxc.uts.name = peer\nlxc.net.0.type = empty\n\
             lxc.init.cmd = /bin/sleep 10000\nlxc.tty.max = 2\nlxc.pty.max = 64\n\
             lxc.mount.auto = proc:mixed sys:ro\nlxc.signal.halt = SIGKILL\n{extra}\n",
            rootfs.display()
        );
        fs::write(dir.join("config"), config).unwrap();
        Some(Self { lxcpath, name })
    }

    /// Runs one of LXC's tools on it: success, output.
    pub fn lxc(&self, tool: &str, args: &[&str]) -> (bool, String) {
        // Whoever runs the tests may ignore SIGINT; LXC has the container's init ignore it too then.
        let output = Command::new("env")
            .args(["--default-signal", tool])
            .args([
                "-P".as_ref(),
                self.lxcpath.as_os_str(),
                "-n".as_ref(),
                self.name.as_ref(),
            ])
            .args(args)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        (output.status.success(), text)
    }

    pub fn client(&self) -> rlxc_monitor::Client {
        rlxc_monitor::Client::new(&self.lxcpath, &self.name)
    }

    pub fn rootfs(&self) -> PathBuf {
        self.lxcpath.join(&self.name).join("rootfs")
    }

    /// Attaches with standard output in a pipe: raw wait status and output.
    pub fn run_with(
        &self,
        config: &Config,
        options: AttachOptions,
        argv: &[&str],
    ) -> (i32, String) {
        let (read, write) = pipe();
        let options = AttachOptions {
            stdout: write.as_raw_fd(),
            ..options
        };
        let task = AttachTask::Exec(arguments(argv).unwrap());
        let attached = attach(&self.lxcpath, &self.name, config, &options, task).unwrap();
        drop(write);
        let mut text = String::new();
        fs::File::from(read).read_to_string(&mut text).unwrap();
        (attached.wait().unwrap(), text)
    }

    pub fn run(&self, options: AttachOptions, argv: &[&str]) -> (i32, String) {
        self.run_with(&Config::default(), options, argv)
    }

    /// Output of a program that must succeed.
    pub fn output(&self, argv: &[&str]) -> String {
        let (status, text) = self.run(AttachOptions::default(), argv);
        assert_eq!(status, 0, "{argv:?}: {text}");
        text
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.lxc("lxc-stop", &["-k"]);
        let _ = self.lxc("lxc-wait", &["-s", "STOPPED", "-t", "5"]);
        let _ = fs::remove_dir_all(&self.lxcpath);
        rlxc_tests::cgroups::remove_left(&[&self.name]);
    }
}

pub fn pipe() -> (OwnedFd, OwnedFd) {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap()
}
