//! A container that looks at itself, started by Debian's LXC or by us.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;

use rlxc_config::Document;
use rlxc_runtime::{HostFacts, Mode, Plan, PlanInput, StartError, Started, start};

const APPLETS: &str = "sh cat ls env grep readlink id hostname mount umount mknod mkdir sort sed sleep stat test echo \
                       true touch sysctl chmod chown cut ln rm tty ps kill head wc unshare chroot renice dmesg tr \
                       cp rmdir basename od sync insmod date stty";

/// The directory of a test's containers; removed at its end.
pub struct World {
    pub lxcpath: PathBuf,
}

/// What is missing to run containers.
pub fn missing() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("root");
    }
    if !Path::new("/bin/busybox").exists() {
        return Some("/bin/busybox (package busybox-static)");
    }
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        if std::env::var_os("RLXC_VM").is_some() {
            // Built on the host.
            return;
        }
        let built = Command::new(env!("CARGO"))
            .args(["build", "-q", "--workspace", "--bins"])
            .status();
        assert!(built.expect("cargo").success());
    });
    None
}

/// How many seconds a container of LXC's may take: in the VM a profile is compiled for half a minute.
fn patience() -> &'static str {
    match std::env::var_os("RLXC_VM") {
        Some(_) => "180",
        None => "20",
    }
}

pub fn has_peer() -> bool {
    Command::new("lxc-start").arg("--version").output().is_ok()
}

impl World {
    pub fn new(test: &str) -> Self {
        let lxcpath = PathBuf::from(format!("/tmp/rlxc-security-{test}-{}", std::process::id()));
        fs::create_dir_all(lxcpath.join("mnt")).unwrap();
        fs::set_permissions(&lxcpath, PermissionsExt::from_mode(0o755)).unwrap();
        Self { lxcpath }
    }

    /// Makes a container: a busybox rootfs owned by `owner`, with `look` as its init's script.
    pub fn define(&self, name: &str, look: &str, config: &str, owner: u32) -> Inside {
        let dir = self.lxcpath.join(name);
        let rootfs = dir.join("rootfs");
        for sub in "bin sbin dev proc sys tmp etc root var mnt".split(' ') {
            fs::create_dir_all(rootfs.join(sub)).unwrap();
        }
        fs::copy("/bin/busybox", rootfs.join("bin/busybox")).unwrap();
        for applet in APPLETS.split_whitespace() {
            symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
        }
        fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        fs::write(rootfs.join("look"), format!("exec >/out 2>&1\n{look}\n")).unwrap();
        fs::write(rootfs.join("out"), "").unwrap();
        fs::set_permissions(rootfs.join("out"), PermissionsExt::from_mode(0o666)).unwrap();
        if owner != 0 {
            let id = format!("{owner}:{owner}");
            assert!(
                Command::new("chown")
                    .args(["-hR", &id])
                    .arg(&rootfs)
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let config = format!(
            "lxc.rootfs.path = dir:{}\nlxc.rootfs.mount = {}\nlxc.init.cmd = /bin/sh /look\nlxc.console.path = none\n\
             lxc.apparmor.profile = unconfined\n{config}\n",
            rootfs.display(),
            self.lxcpath.join("mnt").display()
        );
        let file = dir.join("config");
        fs::write(&file, config).unwrap();
        Inside {
            lxcpath: self.lxcpath.clone(),
            name: name.to_owned(),
            file,
            rootfs,
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let containers = fs::read_dir(&self.lxcpath).into_iter().flatten().flatten();
        let names = containers.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let names: Vec<String> = names.collect();
        let _ = fs::remove_dir_all(&self.lxcpath);
        rlxc_tests::cgroups::remove_left(&names);
    }
}

pub struct Inside {
    pub lxcpath: PathBuf,
    pub name: String,
    pub file: PathBuf,
    pub rootfs: PathBuf,
}

impl Inside {
    pub fn out(&self) -> String {
        fs::read_to_string(self.rootfs.join("out")).unwrap_or_default()
    }

    fn clear(&self) {
        fs::write(self.rootfs.join("out"), "").unwrap();
    }

    /// What it sees when LXC starts it; LXC's own words if it could not. The ids 100000-165535 are delegated to root
    /// in a mount namespace of the run's own.
    pub fn by_lxc(&self) -> Result<String, String> {
        self.by_lxc_as(Path::new("lxc-start"))
    }

    /// As [`Self::by_lxc`], with another path of its starter.
    pub fn by_lxc_as(&self, lxc_start: &Path) -> Result<String, String> {
        self.clear();
        let delegation = self.lxcpath.join("sub");
        fs::write(&delegation, "root:100000:65536\n").unwrap();
        let script = format!(
            "mount --bind {0} /etc/subuid; mount --bind {0} /etc/subgid; exec {4} -F -P {1} -n {2} -f {3}",
            delegation.display(),
            self.lxcpath.display(),
            self.name,
            self.file.display(),
            lxc_start.display()
        );
        // Only where ids are mapped: a mount namespace of its own changes the propagation of what is seen inside.
        let mapped = fs::read_to_string(&self.file)
            .unwrap()
            .contains("lxc.idmap");
        let direct = format!("exec {}", script.rsplit("exec ").next().unwrap());
        let (wrapper, script) = if mapped {
            (&["unshare", "-m"][..], script)
        } else {
            (&["env"][..], direct)
        };
        let output = Command::new(wrapper[0])
            .args(&wrapper[1..])
            .args(["timeout", "-k", "1", patience(), "sh", "-c", &script])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        match self.out() {
            empty if empty.is_empty() => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            out => Ok(out),
        }
    }

    pub fn plan(&self, daemonize: bool) -> Result<Plan, String> {
        let mut document = Document::new();
        document
            .load_file(&self.file)
            .map_err(|error| error.to_string())?;
        let input = PlanInput {
            name: &self.name,
            lxcpath: &self.lxcpath,
            config: document.config(),
            argv: Vec::new(),
            mode: Mode::Start,
            daemonize,
        };
        let mut plan =
            Plan::compute(input, &HostFacts::detect()).map_err(|error| error.to_string())?;
        plan.log_file = Some(self.lxcpath.join(format!("{}.log", self.name)));
        plan.log_level = Some(0);
        plan.close_all_fds = true;
        Ok(plan)
    }

    pub fn start(&self, daemonize: bool) -> Result<Started, StartError> {
        start(&self.plan(daemonize).unwrap())
    }

    /// What it sees when we start it.
    pub fn by_us(&self) -> Result<String, String> {
        self.clear();
        let plan = self.plan(false)?;
        start(&plan).map_err(|error| format!("{error}\n{}", self.log()))?;
        match self.out() {
            empty if empty.is_empty() => Err(format!("nothing was written\n{}", self.log())),
            out => Ok(out),
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.lxcpath.join(format!("{}.log", self.name))).unwrap_or_default()
    }
}
