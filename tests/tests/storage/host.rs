//! A private mount namespace with real storage in it, which ends with the test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rlxc_tests::{bin_dir, is_root, ok, run, skipped};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// What the containers of a test lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Directories on the machine's own file system
    Dir,
    /// An overlay from the start
    Overlay,
    /// A btrfs on a loop device
    Btrfs,
    /// An image for each container
    Loop,
    /// A pool of zfs-fuse, by a daemon of the test's own
    Zfs,
    /// Volumes in a thin pool
    Lvm,
    /// Volumes without one
    LvmThick,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::Overlay => "overlay",
            Self::Btrfs => "btrfs",
            Self::Loop => "loop",
            Self::Zfs => "zfs",
            Self::Lvm | Self::LvmThick => "lvm",
        }
    }

    fn is_lvm(self) -> bool {
        matches!(self, Self::Lvm | Self::LvmThick)
    }
}

/// The namespace, held by a process that sleeps in it.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) kind: Kind,
    holder: Child,
    daemon: Option<Child>,
    dir: PathBuf,
    number: u32,
}

fn program(name: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .any(|dir| Path::new(dir).join(name).exists())
}

/// In memory where there is enough of it: many small files are made and removed.
fn base() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let room = nix::sys::statvfs::statvfs(memory)
        .map_or(0, |fs| fs.blocks_available() * fs.fragment_size());
    let is_tmpfs = nix::sys::statfs::statfs(memory)
        .is_ok_and(|fs| fs.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC);
    match is_tmpfs && room > 2 << 30 {
        true => memory.to_owned(),
        false => PathBuf::from("/var/tmp"),
    }
}

impl Host {
    /// `None`, with the line that says why, if that cannot be here.
    pub(crate) fn new(kind: Kind) -> Option<Self> {
        if !is_root() {
            skipped("root (mounts and devices)");
            return None;
        }
        let needs: &[(&str, &str)] = match kind {
            Kind::Dir | Kind::Overlay => &[],
            Kind::Btrfs => &[("mkfs.btrfs", "btrfs-progs")],
            Kind::Loop => &[("mkfs.ext4", "e2fsprogs")],
            Kind::Zfs => &[("zfs-fuse", "zfs-fuse")],
            Kind::Lvm | Kind::LvmThick => &[("lvcreate", "lvm2"), ("mkfs.ext4", "e2fsprogs")],
        };
        let all = needs
            .iter()
            .chain(&[("busybox", "busybox-static"), ("rlxc", "")]);
        for (name, package) in all.filter(|(name, _)| *name != "rlxc") {
            if !program(name) {
                skipped(&format!("{name} (package {package})"));
                return None;
            }
        }
        if !bin_dir().join("rlxc-monitor").exists() || !bin_dir().join("rlxc-worker").exists() {
            skipped("rlxc's programs are not built");
            return None;
        }
        if matches!(kind, Kind::Btrfs | Kind::Loop) && !Path::new("/dev/loop-control").exists() {
            skipped("loop devices");
            return None;
        }
        // A node of that name may be there without the driver.
        let misc = std::fs::read_to_string("/proc/misc").unwrap_or_default();
        if kind.is_lvm() && !misc.contains("device-mapper") {
            skipped("device mapper (logical volumes run in the VM: cargo xtask vm-test)");
            return None;
        }
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let dir = base().join(format!(
            "rlxc-sto-{}-{}-{number}",
            kind.name(),
            std::process::id()
        ));
        std::fs::create_dir(&dir).ok()?;
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--kill-child", "--"])
            .args(["/bin/sh", "-c", "echo ready; exec sleep 3600"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take()?)
            .read_line(&mut line)
            .ok()?;
        let mut host = Self {
            kind,
            holder,
            daemon: None,
            dir,
            number,
        };
        host.fill().then_some(host)
    }

    fn fill(&mut self) -> bool {
        let top = self.dir.display().to_string();
        let c = self.lxcpath().display().to_string();
        ok(&self.sh(&format!("mkdir -p {c}; cd {top}; : > empty.conf")));
        std::fs::write(self.dir.join("template"), TEMPLATE).unwrap();
        ok(&self.sh(&format!("chmod 755 {top}/template")));
        match self.kind {
            Kind::Dir | Kind::Overlay | Kind::Loop => {}
            Kind::Btrfs => {
                let script = format!(
                    "cd {top}; truncate -s 512M image; mkfs.btrfs -q image; mount -o loop image c"
                );
                let output = self.sh(&script);
                if !output.status.success() {
                    skipped("btrfs in the kernel");
                    return false;
                }
            }
            Kind::Zfs => return self.start_zfs(),
            Kind::Lvm | Kind::LvmThick => return self.make_group(),
        }
        true
    }

    /// A volume group on a loop device, which goes with the test.
    fn make_group(&self) -> bool {
        // Not on the machine's own file system, which the VM sees through a slow door.
        let thin = match self.kind {
            Kind::Lvm => format!("lvcreate -q -L 300M -T {}/lxc >&2", self.pool()),
            _ => String::new(),
        };
        let script = format!(
            "truncate -s 700M {0}; D=$(losetup -f --show {0}); echo $D > {0}.device
             pvcreate -q $D >&2; vgcreate -q {1} $D >&2; {thin}",
            self.path("volumes").display(),
            self.pool()
        );
        let output = self.sh(&script);
        if !output.status.success() {
            let text = rlxc_tests::said(&output);
            let why = text.lines().rfind(|line| !line.contains("leaked on"));
            skipped(&format!(
                "logical volumes: {}",
                why.unwrap_or_default().trim()
            ));
        }
        output.status.success()
    }

    /// A daemon of its own: its socket and its locks lie on file systems that only this namespace sees.
    fn start_zfs(&mut self) -> bool {
        ok(&self.sh(
            "for d in /run/zfs /var/lock/zfs /var/lib/zfs; do mkdir -p $d; mount -t tmpfs tmpfs $d; done",
        ));
        let daemon = self
            .command("zfs-fuse")
            .arg("--no-daemon")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.daemon = daemon.ok();
        let script = format!(
            "for i in $(seq 100); do [ -S /run/zfs/zfs_socket ] && break; sleep 0.1; done
             truncate -s 256M {0}/image && zpool create -m none {1} {0}/image",
            self.dir.display(),
            self.pool()
        );
        let output = self.sh(&script);
        if !output.status.success() {
            skipped(&format!("a zpool: {}", rlxc_tests::said(&output)));
        }
        output.status.success()
    }

    /// The name of the pool, or volume group.
    pub(crate) fn pool(&self) -> String {
        match self.kind {
            Kind::Zfs => format!("rlxcsto{}", std::process::id()),
            _ => format!("rlxcsto{}-{}", std::process::id(), self.number),
        }
    }

    /// The volumes of the group or pool, or the subvolumes; nothing where there is no such thing.
    pub(crate) fn volumes(&self) -> Vec<String> {
        let list = match self.kind {
            Kind::Zfs => format!("zfs list -H -t all -o name -r {}", self.pool()),
            Kind::Lvm | Kind::LvmThick => format!("lvs --noheadings -o lv_name {}", self.pool()),
            Kind::Btrfs => format!(
                "btrfs subvolume list {} | sed 's/.* //'",
                self.lxcpath().display()
            ),
            _ => return Vec::new(),
        };
        let text = ok(&self.sh(&list));
        let mut all: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        // What they lie in.
        all.retain(|name| *name != self.pool() && !(self.kind == Kind::Lvm && name == "lxc"));
        all.sort();
        all
    }

    /// Makes the root file system of a container in a directory large enough for an operation to last.
    pub(crate) fn enlarge(&self, name: &str, files: u32) {
        let dir = self.lxcpath().join(name).join("rootfs/many");
        for n in 0..files {
            let below = dir.join((n % 40).to_string());
            std::fs::create_dir_all(&below).unwrap();
            std::fs::write(below.join(n.to_string()), n.to_string()).unwrap();
        }
    }

    /// All names and contents of a tree that is not on a file system of its own.
    pub(crate) fn sum(&self, below: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        let top = self.lxcpath().join(below);
        let mut stack = vec![top.clone()];
        while let Some(dir) = stack.pop() {
            for entry in std::fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                let meta = path.symlink_metadata().unwrap();
                let text = match meta.is_file() {
                    true => std::fs::read(&path).unwrap(),
                    false => Vec::new(),
                };
                if meta.is_dir() {
                    stack.push(path.clone());
                }
                all.insert(path.strip_prefix(&top).unwrap().to_owned(), text);
            }
        }
        all
    }

    pub(crate) fn lxcpath(&self) -> PathBuf {
        self.dir.join("c")
    }

    /// A path below the place of the test.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.join(below)
    }

    /// A command in the namespace.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()))
            .arg("--")
            .arg(program)
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn sh(&self, script: &str) -> Output {
        run(self.command("/bin/sh").args(["-euc", script]))
    }

    /// `rlxc VERB -P LXCPATH ARGS`.
    pub(crate) fn rlxc(&self, verb: &str, args: &[&str]) -> Output {
        let mut command = self.command(bin_dir().join("rlxc"));
        command.arg(verb).arg("-P").arg(self.lxcpath()).args(args);
        run(&mut command)
    }

    /// The peer's `lxc-TOOL -P LXCPATH ARGS`.
    pub(crate) fn lxc(&self, tool: &str, args: &[&str]) -> Output {
        let mut command = self.command(format!("/usr/bin/lxc-{tool}"));
        command.arg("-P").arg(self.lxcpath()).args(args);
        run(&mut command)
    }

    /// The arguments that make a container on this storage.
    pub(crate) fn create_args(&self, name: &str) -> Vec<String> {
        let path = |below: &str| self.path(below).display().to_string();
        let mut args = vec!["-n".to_owned(), name.to_owned()];
        args.extend(["-f".to_owned(), path("empty.conf")]);
        args.extend(["-t".to_owned(), path("template")]);
        args.extend(["-B".to_owned(), self.kind.name().to_owned()]);
        match self.kind {
            Kind::Zfs => args.extend(["--zfsroot".to_owned(), self.pool()]),
            Kind::Loop => args.extend(["--fssize".to_owned(), "40M".to_owned()]),
            Kind::Lvm | Kind::LvmThick => {
                args.extend(["--vgname".to_owned(), self.pool()]);
                args.extend(["--fssize".to_owned(), "40M".to_owned()]);
            }
            _ => {}
        }
        args
    }

    pub(crate) fn create(&self, name: &str) {
        let args = self.create_args(name);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        ok(&self.rlxc("create", &args));
    }

    /// What a program prints that is run in the container.
    #[track_caller]
    pub(crate) fn inside(&self, name: &str, script: &str) -> String {
        let args = ["-n", name, "--", "/bin/busybox", "sh", "-c", script];
        ok(&self.rlxc("execute", &args))
    }

    /// A container's configuration without comments, in which the lxcpath is called PATH.
    pub(crate) fn config(&self, below: &str) -> String {
        let file = self.lxcpath().join(below).join("config");
        let text = ok(&run(self.command("cat").arg(&file)));
        let lines = text
            .lines()
            .filter(|l| !l.is_empty() && !l.starts_with('#'));
        let text: Vec<&str> = lines.collect();
        let text = text.join("\n");
        text.replace(&self.lxcpath().display().to_string(), "PATH")
    }

    /// Whether there is something at a path below the lxcpath.
    pub(crate) fn has(&self, below: &str) -> bool {
        let path = self.lxcpath().join(below);
        run(self.command("test").arg("-e").arg(path))
            .status
            .success()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let path = self.lxcpath();
        let names = self.sh(&format!("ls -A {}", path.display()));
        for name in String::from_utf8_lossy(&names.stdout).lines() {
            if self.has(&format!("{name}/config")) {
                let _ = self.rlxc("stop", &["-k", "-n", name]);
            }
        }
        if self.kind == Kind::Zfs {
            let _ = self.sh(&format!("zpool destroy -f {}", self.pool()));
        }
        if self.kind.is_lvm() {
            let file = self.path("volumes.device").display().to_string();
            let _ = self.sh(&format!(
                "set +e; vgremove -ff -y {}; D=$(cat {file}); pvremove -ff -y $D; losetup -d $D",
                self.pool()
            ));
        }
        if let Some(daemon) = &mut self.daemon {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.id()).unwrap_or(0));
            if pid.as_raw() > 0 {
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            }
            let _ = daemon.wait();
        }
        if self.kind == Kind::Btrfs {
            let _ = self.sh(&format!("umount {}", path.display()));
        }
        let _ = self.sh(&format!("rm -rf {}", self.dir.display()));
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A system that is small, and starts.
pub(crate) const TEMPLATE: &str = r#"#!/bin/sh
set -e
for a; do case $a in --rootfs=*) r=${a#*=};; --path=*) p=${a#*=};; --name=*) n=${a#*=};; esac; done
mkdir -p $r/etc $r/bin $r/sbin $r/dev $r/proc $r/sys $r/tmp
cp /bin/busybox $r/bin/busybox
for word in sh cat dd ls ln grep stat mkdir rm chmod sleep sync; do ln -s busybox $r/bin/$word; done
ln -s ../bin/busybox $r/sbin/init
echo $n > $r/etc/hostname
echo one > $r/file
echo 'lxc.net.0.type = empty' >> $p/config
"#;
