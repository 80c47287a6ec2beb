//! What this machine is: who runs, where the tree is, which packages and users the tests need.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// The folder that holds the built programs of `profile` (`debug` or `release`).
pub(crate) fn bin_dir(profile: &str) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join(profile)
}

/// `cargo` with the repository as its working directory, and with no signal ignored: a script's background job ignores
/// SIGINT and SIGQUIT, what nohup(1) runs SIGHUP, and so would the programs that tests want to end by them.
pub(crate) fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = match ignores_signals() {
        true => {
            let mut env = Command::new("env");
            env.arg("--default-signal").arg(cargo);
            env
        }
        false => Command::new(cargo),
    };
    command.current_dir(root());
    command
}

/// Whether this process was told to ignore signals; SIGPIPE it ignores by itself.
fn ignores_signals() -> bool {
    const SIGPIPE: u64 = 1 << 12;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & !SIGPIPE != 0)
}

/// Runs `command` with its output shown; an error names it and its status.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}").replace('"', "");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown}: {status}")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    effective_uid() == Some(0)
}

/// The effective uid, from /proc/self/status.
pub(crate) fn effective_uid() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The path of a program on PATH, or in the folders that a user's PATH often lacks.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/bin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// Debian packages that the suite uses: what needs it, and the package.
const PACKAGES: &[(&str, &str)] = &[
    (
        "/usr/share/gocode/src/golang.org/x/sys/unix",
        "golang-golang-x-sys-dev",
    ),
    ("/usr/lib/llvm-14/lib/libclang.so.1", "libclang-14-dev"),
    ("/usr/bin/pkg-config", "pkg-config"),
    ("/usr/bin/lxd", "lxd"),
    ("/usr/bin/lxc", "lxd-client"),
    ("/bin/busybox", "busybox-static"),
    ("/usr/bin/newuidmap", "uidmap"),
    ("/usr/bin/lxc-start", "lxc"),
    ("/usr/share/lxc/templates/lxc-busybox", "lxc-templates"),
    ("/usr/bin/lxc-test-exit-code", "lxc-tests"),
    ("/usr/bin/sudo", "sudo"),
    ("/usr/bin/sqfs2tar", "squashfs-tools-ng"),
    ("/usr/share/selinux/devel/Makefile", "selinux-policy-dev"),
    (
        "/usr/lib/python3/dist-packages/lxc/__init__.py",
        "python3-lxc",
    ),
    ("/usr/include/lxc/lxccontainer.h", "lxc-dev"),
    ("/sbin/mkfs.btrfs", "btrfs-progs"),
    ("/sbin/mkfs.ext4", "e2fsprogs"),
    ("/sbin/mkfs.xfs", "xfsprogs"),
    ("/sbin/ip", "iproute2"),
    ("/usr/sbin/dnsmasq", "dnsmasq-base"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/bin/rsync", "rsync"),
    ("/usr/sbin/zpool", "zfs-fuse"),
    ("/sbin/lvm", "lvm2"),
    ("/usr/bin/openssl", "openssl"),
    ("/usr/bin/gpg", "gpg"),
    ("/usr/bin/qemu-nbd", "qemu-utils"),
    ("/usr/bin/setfattr", "attr"),
    ("/usr/bin/setfacl", "acl"),
    ("/sbin/setcap", "libcap2-bin"),
    ("/usr/bin/strace", "strace"),
    ("/usr/bin/tmux", "tmux"),
    ("/usr/bin/gcc", "gcc"),
    ("/usr/bin/g++", "g++"),
    ("/usr/bin/valgrind", "valgrind"),
    ("/usr/bin/lua5.2", "lua5.2"),
    ("/usr/share/doc/lua-lxc", "lua-lxc"),
    ("/usr/bin/go", "golang-go"),
    (
        "/usr/share/gocode/src/gopkg.in/lxc/go-lxc.v2",
        "golang-gopkg-lxc-go-lxc.v2-dev",
    ),
];

/// Installs the missing packages (root with apt-get only) and makes the test users.
pub(crate) fn set_up() -> Result<(), String> {
    if !is_root() {
        println!("set-up: not root: using what is installed");
        return Ok(());
    }
    need(PACKAGES);
    user("rlxc-ids", true)?;
    user("rlxc-noids", false)
}

/// Installs the packages whose file is missing: root with apt-get only.
pub(crate) fn need(packages: &[(&str, &str)]) {
    if !is_root() || find_program("apt-get").is_none() {
        println!("set-up: not root with apt-get: using what is installed");
        return;
    }
    let missing: Vec<&str> = packages
        .iter()
        .filter(|(file, _)| !Path::new(file).exists())
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() {
        install(&missing);
    }
}

/// A failed installation is not fatal: the tests that need the package say that they are skipped.
fn install(packages: &[&str]) {
    println!("set-up: apt-get install {}", packages.join(" "));
    let quiet = |command: &mut Command| {
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    quiet(Command::new("apt-get").args(["-qq", "update"]));
    let options = ["-qq", "-y", "--no-install-recommends", "install"];
    if !quiet(Command::new("apt-get").args(options).args(packages)) {
        for package in packages {
            if !quiet(Command::new("apt-get").args(options).arg(package)) {
                println!("set-up: {package} could not be installed");
            }
        }
    }
}

/// A user for rootless tests, with or without subordinate ids.
fn user(name: &str, with_ids: bool) -> Result<(), String> {
    let passwd = std::fs::read_to_string("/etc/passwd").map_err(|e| format!("/etc/passwd: {e}"))?;
    let prefix = format!("{name}:");
    if !passwd.lines().any(|line| line.starts_with(&prefix)) {
        run(Command::new("useradd").args(["--create-home", "--shell", "/bin/sh", name]))?;
    }
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let mut lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with(&prefix))
            .collect();
        let range = format!("{name}:1200000:65536");
        if with_ids {
            lines.push(&range);
        }
        let mut wanted = lines.join("\n");
        wanted.push('\n');
        if wanted != text {
            std::fs::write(file, wanted).map_err(|e| format!("{file}: {e}"))?;
        }
    }
    Ok(())
}
