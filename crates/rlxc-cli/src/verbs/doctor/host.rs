//! What every container needs of the host.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use rlxc::config::paths;

use super::mend::Mend;
use super::whom::Whom;
use super::{Finding, Problem, fatal, finding, read, warning};

pub(super) fn look(lxcpath: &Path, whom: &Whom) -> Vec<Finding> {
    let mut findings = vec![
        user_namespaces(),
        apparmor_restriction(),
        overlay(),
        seccomp(),
        control_groups(),
        program(
            "the monitor program",
            "rlxc-monitor",
            "every container has one such process",
        ),
        program(
            "the storage program",
            "rlxc-worker",
            "it makes, copies and removes root file systems",
        ),
        directory(lxcpath, whom),
    ];
    findings.extend(mount_options(lxcpath));
    findings.extend(forwarding());
    findings.extend(large_logs(lxcpath));
    findings
}

/// From here on a log is worth a word.
const LARGE_LOG: u64 = 100 << 20;

/// Logs that nobody rotates: LXC's default one of each container, and the common directory's.
fn large_logs(lxcpath: &Path) -> Option<Finding> {
    let common = Path::new(paths::LOCALSTATEDIR).join("log/lxc");
    let mut dirs: Vec<PathBuf> = vec![common];
    let entries = std::fs::read_dir(lxcpath).into_iter().flatten().flatten();
    dirs.extend(entries.map(|entry| entry.path()));
    let files = dirs.iter().flat_map(std::fs::read_dir).flatten().flatten();
    let large = files.filter(|entry| {
        let is_log = entry.path().extension().is_some_and(|end| end == "log");
        let meta = entry.metadata();
        is_log && meta.is_ok_and(|meta| meta.is_file() && meta.len() >= LARGE_LOG)
    });
    let paths: Vec<String> = large
        .map(|entry| entry.path().display().to_string())
        .collect();
    let first = paths.first()?;
    let wrong = match paths.len() {
        1 => format!("{first} has grown beyond 100 MiB"),
        count => format!("{first} and {} more have grown beyond 100 MiB", count - 1),
    };
    let remedy = format!(
        "truncate -s 0 {}\nand raise lxc.log.level, or let logrotate take them with copytruncate",
        paths.join(" ")
    );
    let why = "nothing else keeps them from filling the disk";
    Some(finding("log files", Some(warning(wrong, why, remedy))))
}

fn user_namespaces() -> Finding {
    let why = "containers of ordinary users live in user namespaces";
    let forbidden = |key: &str, value: &str| {
        let setting = format!("{key}={value}");
        warning(format!("{key} forbids them"), why, "")
            .mended_by(Mend::run(&["sysctl", "-w", &setting]))
    };
    let problem = if !Path::new("/proc/self/ns/user").exists() {
        let remedy = "use a kernel with CONFIG_USER_NS";
        Some(warning("the kernel has none", why, remedy))
    } else if read("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") {
        Some(forbidden("user.max_user_namespaces", "15000"))
    } else if read("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        Some(forbidden("kernel.unprivileged_userns_clone", "1"))
    } else {
        None
    };
    finding("user namespaces", problem)
}

/// Not mended unasked: the restriction protects the host.
fn apparmor_restriction() -> Finding {
    let restricted = read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    let problem = (restricted.as_deref() == Some("1")).then(|| {
        let remedy = "give rlxc a profile with `userns,`\nor: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
        let wrong = "AppArmor takes away the privileges of programs without a profile";
        warning(wrong, "a rootless start fails with EPERM at its first mount", remedy)
    });
    finding("AppArmor and user namespaces", problem)
}

fn overlay() -> Finding {
    let known = read("/proc/filesystems")
        .is_some_and(|text| text.lines().any(|l| l.ends_with("\toverlay")));
    let why = "snapshots and ephemeral copies of directories use it";
    let problem = (!known)
        .then(|| warning("not loaded", why, "").mended_by(Mend::run(&["modprobe", "overlay"])));
    finding("overlay", problem)
}

fn seccomp() -> Finding {
    let there = read("/proc/self/status").is_some_and(|text| text.contains("Seccomp:"));
    let problem = (!there).then(|| {
        let remedy = "use a kernel with CONFIG_SECCOMP_FILTER";
        warning(
            "the kernel has none",
            "lxc.seccomp.profile cannot be applied",
            remedy,
        )
    });
    finding("seccomp filters", problem)
}

/// Mount points of a type of file system.
pub(super) fn mounts(kinds: &[&str]) -> Vec<String> {
    let table = read("/proc/self/mounts").unwrap_or_default();
    let words = table
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    words
        .filter(|w| w.get(2).is_some_and(|kind| kinds.contains(kind)))
        .map(|w| w[1].to_owned())
        .collect()
}

fn control_groups() -> Finding {
    let why = "limits, freezing and clean stops need them";
    let problem = mounts(&["cgroup", "cgroup2"]).is_empty().then(|| {
        let mount = ["mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"];
        fatal("none is mounted", why, "").mended_by(Mend::run(&mount))
    });
    finding("control groups", problem)
}

/// Beside ourselves, or installed.
fn program(what: &str, name: &str, why: &'static str) -> Finding {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.join(name)));
    let installed = Path::new(paths::LIBEXECDIR).join("rlxc").join(name);
    let found = beside.is_some_and(|path| path.is_file()) || installed.is_file();
    let problem = (!found).then(|| {
        let wrong = format!("{} is missing", installed.display());
        fatal(wrong, why, "install rlxc completely")
    });
    finding(what, problem)
}

fn directory(path: &Path, whom: &Whom) -> Finding {
    let why = "containers are directories below it";
    let remedy = "set lxc.lxcpath in lxc.conf, or pass -P";
    let shown = path.to_string_lossy().into_owned();
    let problem = match std::fs::metadata(path) {
        Ok(meta) if !meta.is_dir() => Some(fatal("it is no directory", why, remedy)),
        Ok(meta) if !whom.may_write(&meta) => {
            let wrong = format!("{} cannot write it", whom.name());
            Some(fatal(wrong, "containers cannot be made there", remedy))
        }
        Ok(_) => None,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mend = whom.own(Mend::directory(path));
            Some(warning("it does not exist", why, "").mended_by(mend))
        }
        Err(error) => Some(fatal(error.to_string(), why, remedy)),
    };
    finding(format!("lxcpath {shown}"), problem)
}

/// What a mount forbids, it forbids to all containers below it.
fn mount_options(lxcpath: &Path) -> Option<Finding> {
    let flags = statvfs(lxcpath).ok()?.flags();
    let found = [
        (
            FsFlags::ST_RDONLY,
            "ro",
            "nothing can be made or changed there",
        ),
        (
            FsFlags::ST_NOEXEC,
            "noexec",
            "no program of a container can be executed",
        ),
        (
            FsFlags::ST_NODEV,
            "nodev",
            "device nodes in root file systems do not work",
        ),
        (
            FsFlags::ST_NOSUID,
            "nosuid",
            "su, sudo and ping do not work in containers",
        ),
    ];
    let (flag, word, why) = found.into_iter().find(|(flag, ..)| flags.contains(*flag))?;
    let remedy = match flag {
        FsFlags::ST_RDONLY => "rw",
        FsFlags::ST_NOEXEC => "exec",
        FsFlags::ST_NODEV => "dev",
        _ => "suid",
    };
    let place = mount_of(lxcpath)?;
    let command = format!("mount -o remount,{remedy} {}", place.display());
    let problem = match flag {
        FsFlags::ST_RDONLY | FsFlags::ST_NOEXEC => fatal(format!("mounted {word}"), why, command),
        _ => warning(format!("mounted {word}"), why, command),
    };
    Some(finding(
        format!("the file system of {}", lxcpath.display()),
        Some(problem),
    ))
}

fn mount_of(path: &Path) -> Option<PathBuf> {
    let device = |path: &Path| std::fs::metadata(path).ok().map(|m| m.dev());
    let own = device(path)?;
    let same = path.ancestors().take_while(|dir| device(dir) == Some(own));
    same.last().map(Path::to_owned)
}

/// A firewall of others that drops what the bridge forwards (Docker's, ufw's).
fn forwarding() -> Option<Finding> {
    Path::new("/sys/class/net/lxcbr0").exists().then_some(())?;
    let nft = super::super::checkconfig::in_path("nft")?;
    let list = |chain: &str| {
        let output = std::process::Command::new(&nft)
            .args(["list", "chain", "ip", "filter", chain])
            .stderr(std::process::Stdio::null())
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let text = list("FORWARD")?;
    let problem: Option<Problem> = text.contains("policy drop").then(|| {
        let chain = match list("DOCKER-USER") {
            Some(_) => "DOCKER-USER",
            None => "FORWARD",
        };
        let remedy = format!(
            "iptables -I {chain} -i lxcbr0 -j ACCEPT\niptables -I {chain} -o lxcbr0 -j ACCEPT"
        );
        warning(
            "the FORWARD chain drops by default",
            "containers reach nothing beyond the bridge",
            remedy,
        )
    });
    Some(finding("forwarding for lxcbr0", problem))
}
