//! What one container needs: its configuration, its root file system, its init, its links.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rlxc::Container;
use rlxc::config::{Config, IdKind};

use super::user::closed;
use super::whom::Whom;
use super::{Finding, fatal, finding, warning};

pub(super) fn look(name: &str, lxcpath: &Path, whom: &Whom) -> Vec<Finding> {
    let what = format!("configuration of {name}");
    let container = match Container::new(name, Some(lxcpath)) {
        Ok(container) if container.document.is_none() => {
            let wrong = format!("there is none: {}", container.config_file().display());
            let problem = fatal(
                wrong,
                "there is nothing to start",
                format!("rlxc create {name}"),
            );
            return vec![finding(what, Some(problem))];
        }
        Ok(container) => container,
        Err(error) => {
            let failure = crate::context::Failure::from(error);
            let remedy = format!("rlxc config check {name}");
            let problem = fatal(failure.message, "it cannot start so", remedy);
            return vec![finding(what, Some(problem))];
        }
    };
    let mut findings = vec![finding(what, None)];
    findings.extend(unfinished(&container));
    let Ok(config) = container.config() else {
        return findings;
    };
    findings.extend(links(config));
    if let Some(rootfs) = config.rootfs.path.as_deref() {
        findings.extend(root(name, rootfs, config, whom));
    }
    if let Ok(Some(failure)) = container.last_failure() {
        let wrong = format!("failed at: {}", failure.error.step);
        let remedy = format!("rlxc explain {name}");
        let problem = warning(wrong, "the reason may still be there", remedy);
        findings.push(finding(format!("the last start of {name}"), Some(problem)));
    }
    findings
}

/// What create leaves behind when it is killed.
fn unfinished(container: &Container) -> Option<Finding> {
    let file = container.dir().join("partial");
    file.exists().then(|| {
        let wrong = "creating it was not finished";
        let why = "its root file system may not be whole";
        let remedy = format!("rlxc destroy {0} and create it again", container.name());
        finding(file.display().to_string(), Some(fatal(wrong, why, remedy)))
    })
}

/// Bridges and parents that the configuration names.
fn links(config: &Config) -> Vec<Finding> {
    let named = config.net.values().filter_map(|nic| nic.link.as_deref());
    let missing = named
        .filter(|link| !link.contains('/') && !Path::new("/sys/class/net").join(link).exists());
    missing
        .map(|link| {
            let remedy = match link {
                "lxcbr0" => "rlxc net up".to_owned(),
                link => format!("ip link add {link} type bridge && ip link set {link} up"),
            };
            let problem = fatal(
                "there is no such interface",
                "a network of the container hangs on it",
                remedy,
            );
            finding(format!("interface {link}"), Some(problem))
        })
        .collect()
}

fn root(name: &str, path: &str, config: &Config, whom: &Whom) -> Vec<Finding> {
    let what = format!("root file system of {name}");
    let dir = PathBuf::from(path.strip_prefix("dir:").unwrap_or(path));
    // Other kinds are devices, images and pairs of directories.
    if !dir.is_absolute() || path.starts_with("overlay") || path.starts_with("loop:") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let root_of = |kind| {
        let map = config
            .idmap
            .iter()
            .find(|m| m.kind == kind && m.nsid == 0)?;
        Some(map.hostid)
    };
    if let (Some(uid), Some(gid)) = (root_of(IdKind::Uid), root_of(IdKind::Gid)) {
        findings.extend(closed(&dir, uid, gid, whom));
    }
    let Ok(meta) = std::fs::metadata(&dir) else {
        let wrong = format!("{} does not exist", dir.display());
        let problem = fatal(wrong, "there is nothing to start", "mend lxc.rootfs.path");
        findings.push(finding(what, Some(problem)));
        return findings;
    };
    let problem = foreign(&dir, meta.uid(), config).or_else(|| init(&dir, config));
    findings.push(finding(what, problem));
    findings
}

/// A root file system whose owner is not among the mapped ids belongs to nobody inside.
fn foreign(dir: &Path, owner: u32, config: &Config) -> Option<super::Problem> {
    let mapped = |m: &&rlxc::config::IdMap| {
        m.kind == IdKind::Uid && owner >= m.hostid && owner - m.hostid < m.range
    };
    let idmapped = config
        .rootfs
        .options
        .as_deref()
        .is_some_and(|o| o.contains("idmap="));
    if config.idmap.is_empty() || idmapped || config.idmap.iter().any(|m| mapped(&m)) {
        return None;
    }
    let wrong = format!(
        "{} belongs to {owner}, which the container does not map",
        dir.display()
    );
    let why = "all files are those of nobody inside, and init cannot write";
    Some(fatal(wrong, why, "lxc.rootfs.options = idmap=container"))
}

/// init is there, can be executed, and is for this machine.
fn init(dir: &Path, config: &Config) -> Option<super::Problem> {
    let command = config.init.cmd.as_deref().or(config.execute_cmd.as_deref());
    let program = command
        .and_then(|line| line.split_whitespace().next())
        .unwrap_or("/sbin/init");
    let why = "it is the container's first program";
    let remedy = "set lxc.init.cmd to a program of the container";
    let Some((file, meta)) = resolve(dir, Path::new(program)) else {
        return Some(fatal(format!("{program} is not there"), why, remedy));
    };
    if meta.mode() & 0o111 == 0 {
        return Some(fatal(format!("{program} is not executable"), why, remedy));
    }
    let mut head = [0; 20];
    let read = std::fs::File::open(file).and_then(|mut file| file.read_exact(&mut head));
    if read.is_err() || !head.starts_with(b"\x7fELF") {
        return None;
    }
    let machine = u16::from_le_bytes([head[18], head[19]]);
    let own = own_machine()?;
    // Both kinds of x86 and of ARM run side by side.
    let fits = machine == own || matches!((own, machine), (62, 3) | (183, 40));
    (!fits).then(|| {
        let wrong =
            format!("{program} is for another processor (ELF machine {machine}, here {own})");
        fatal(
            wrong,
            why,
            "use an image for this machine, or install qemu-user-static",
        )
    })
}

fn own_machine() -> Option<u16> {
    let mut head = [0; 20];
    std::fs::File::open("/proc/self/exe")
        .ok()?
        .read_exact(&mut head)
        .ok()?;
    Some(u16::from_le_bytes([head[18], head[19]]))
}

/// Follows links as inside, never out of the root.
fn resolve(root: &Path, path: &Path) -> Option<(PathBuf, std::fs::Metadata)> {
    use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
    use std::os::fd::AsRawFd;
    let dir = std::fs::File::open(root).ok()?;
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = std::fs::File::from(openat2(&dir, path, how).ok()?);
    let meta = file.metadata().ok()?;
    let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    Some((real, meta))
}
