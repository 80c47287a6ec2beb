//! What an ordinary user's containers need.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::Group;
use rlxc::config::{IdKind, paths};
use rlxc_namespace::subordinate_ids;

use super::super::checkconfig::{has_privilege, in_path};
use super::mend::Mend;
use super::whom::Whom;
use super::{Finding, access, fatal, finding, host, read, warning};

pub(super) fn look(whom: &Whom, lxcpath: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(subordinate(whom, IdKind::Uid, "/etc/subuid"));
    findings.extend(subordinate(whom, IdKind::Gid, "/etc/subgid"));
    findings.push(id_tool("newuidmap"));
    findings.push(id_tool("newgidmap"));
    findings.extend(delegation(whom));
    findings.extend(default_config(whom));
    findings.extend(network(whom));
    findings.extend(hidden_processes());
    findings.extend(way(whom, lxcpath));
    findings
}

/// Room for a system's ids, and nobody else's among them.
fn subordinate(whom: &Whom, kind: IdKind, file: &str) -> Vec<Finding> {
    let ranges = subordinate_ids(&whom.caller, kind).unwrap_or_default();
    let most = ranges.iter().map(|range| range.count).max().unwrap_or(0);
    let problem = (most < 65536).then(|| {
        let name = whom.name();
        let wrong = match most {
            0 => format!("{name} has none"),
            most => format!("{name} has {most} at most in one range"),
        };
        let why = "a system container maps 65536 ids; without them it has just the caller's own";
        let line = format!("{name}:{}:65536", free_range());
        warning(wrong, why, "").mended_by(Mend::append(file, line))
    });
    let mut findings = vec![finding(format!("subordinate ids in {file}"), problem)];
    if let Some(other) = shared_with(whom, file) {
        let why = "containers of both could touch each other's files";
        let remedy = format!("give one of them another range in {file}");
        let problem = warning(format!("{other} has some of the same ids"), why, remedy);
        findings.push(finding(
            format!("ranges of others in {file}"),
            Some(problem),
        ));
    }
    findings
}

/// `OWNER:FIRST:COUNT`
fn entries(file: &str) -> Vec<(String, u64, u64)> {
    let text = read(file).unwrap_or_default();
    let entry = |line: &str| {
        let mut parts = line.trim().split(':');
        let owner = parts.next()?.to_owned();
        Some((
            owner,
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
        ))
    };
    text.lines().filter_map(entry).collect()
}

/// Above all ranges of both files, from 100000 on.
fn free_range() -> u64 {
    let all = entries("/etc/subuid")
        .into_iter()
        .chain(entries("/etc/subgid"));
    // Ranges of a billion ids are those of other managers, at the end: room is before them.
    let used: Vec<(u64, u64)> = all
        .map(|(_, first, count)| (first, first + count))
        .collect();
    let mut first = 100_000;
    while let Some((_, end)) = used
        .iter()
        .find(|(begin, end)| *begin < first + 65536 && first < *end)
    {
        first = *end;
    }
    first
}

fn shared_with(whom: &Whom, file: &str) -> Option<String> {
    let number = whom.caller.uid.to_string();
    let is_own = |owner: &str| owner == whom.name() || owner == number;
    let (own, others): (Vec<_>, Vec<_>) = entries(file)
        .into_iter()
        .partition(|(owner, ..)| is_own(owner));
    let meets = |a: &(String, u64, u64), b: &(String, u64, u64)| a.1 < b.1 + b.2 && b.1 < a.1 + a.2;
    let found = others
        .iter()
        .find(|other| own.iter().any(|o| meets(o, other)));
    found.map(|(owner, ..)| owner.clone())
}

fn id_tool(tool: &str) -> Finding {
    let why = "only it may write a map with more than the own id";
    let problem = match in_path(tool) {
        None => Some(warning("not installed", why, "apt-get install uidmap")),
        Some(path) if !has_privilege(&path) => {
            let wrong = "neither setuid root nor with file capabilities";
            let chmod = ["chmod", "u+s", &path.to_string_lossy()];
            Some(warning(wrong, why, "").mended_by(Mend::run(&chmod)))
        }
        Some(_) => None,
    };
    finding(tool, problem)
}

/// Only the caller's own cgroup can be looked at.
fn delegation(whom: &Whom) -> Option<Finding> {
    if whom.other || host::mounts(&["cgroup2"]).is_empty() || !host::mounts(&["cgroup"]).is_empty()
    {
        return None;
    }
    let own = read("/proc/self/cgroup").unwrap_or_default();
    let path = own.lines().find_map(|line| line.strip_prefix("0::"));
    let dir = format!("/sys/fs/cgroup{}", path.unwrap_or("/"));
    let writable = nix::unistd::access(Path::new(&dir), nix::unistd::AccessFlags::W_OK).is_ok();
    let problem = (!writable).then(|| {
        warning(
            format!("{dir} does not belong to {}", whom.name()),
            "a rootless container gets no cgroup of its own, so no limits",
            "systemd-run --user --scope -p Delegate=yes -- rlxc start NAME",
        )
    });
    Some(finding("delegation of the own cgroup", problem))
}

/// With ids to map, new containers should map them.
fn default_config(whom: &Whom) -> Option<Finding> {
    let first = |kind| {
        let ranges = subordinate_ids(&whom.caller, kind).unwrap_or_default();
        ranges.into_iter().find(|range| range.count >= 65536)
    };
    let (uids, gids) = (first(IdKind::Uid)?, first(IdKind::Gid)?);
    let file = whom.home.join(".config/lxc/default.conf");
    let text = std::fs::read_to_string(&file);
    let what = format!("default configuration {}", file.display());
    let mapped = |text: &String| {
        text.lines()
            .any(|l| l.trim_start().starts_with("lxc.idmap"))
    };
    let problem = match &text {
        Ok(text) if mapped(text) => None,
        Ok(_) => Some(warning(
            "it has no lxc.idmap",
            "new containers would have only the caller's own id",
            format!(
                "add: lxc.idmap = u 0 {} 65536\n     lxc.idmap = g 0 {} 65536",
                uids.first, gids.first
            ),
        )),
        Err(_) => {
            let text = format!(
                "lxc.idmap = u 0 {} 65536\nlxc.idmap = g 0 {} 65536\nlxc.net.0.type = empty\n",
                uids.first, gids.first
            );
            let why = "new containers would have only the caller's own id";
            let mend = whom.own(Mend::create(&file, text));
            Some(warning("it does not exist", why, "").mended_by(mend))
        }
    };
    Some(finding(what, problem))
}

fn network(whom: &Whom) -> Vec<Finding> {
    let path = Path::new(paths::SYSCONFDIR).join("lxc/lxc-usernet");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let groups: Vec<String> = whom
        .groups
        .iter()
        .filter_map(|gid| Some(Group::from_gid((*gid).into()).ok()??.name))
        .collect();
    let is_listed = |line: &str| match line.split_whitespace().next() {
        Some(owner) => match owner.strip_prefix('@') {
            Some(group) => groups.iter().any(|own| own == group),
            None => owner == whom.name(),
        },
        None => false,
    };
    let problem = (!text.lines().any(is_listed)).then(|| {
        let line = format!("{} veth lxcbr0 10", whom.name());
        let wrong = format!("no line for {} in {}", whom.name(), path.display());
        let why = "a rootless container can have no veth on a bridge";
        warning(wrong, why, "").mended_by(Mend::append(&path, line))
    });
    let mut findings = vec![finding("network quota", problem)];
    let helper = Path::new(paths::LIBEXECDIR).join("lxc/lxc-user-nic");
    if helper.exists() && !has_privilege(&helper) {
        let chmod = ["chmod", "u+s", &helper.to_string_lossy()];
        let why = "it makes the links of ordinary users";
        let problem = warning("not setuid root", why, "").mended_by(Mend::run(&chmod));
        findings.push(finding(helper.display().to_string(), Some(problem)));
    }
    findings
}

/// With hidepid nobody finds the container's processes, not even to enter it.
fn hidden_processes() -> Option<Finding> {
    let table = read("/proc/self/mounts")?;
    // The last one lies on top.
    let mut on_proc = table
        .lines()
        .filter(|line| line.split(' ').nth(1) == Some("/proc"));
    let line = on_proc.next_back()?;
    let options = line.split(' ').nth(3)?;
    let hidden = options.split(',').any(|o| {
        matches!(
            o,
            "hidepid=1" | "hidepid=2" | "hidepid=noaccess" | "hidepid=invisible"
        )
    });
    let problem = hidden.then(|| {
        let mend = Mend::run(&["mount", "-o", "remount,hidepid=0", "/proc"]);
        let why = "attach and stop look at the container's init in /proc";
        warning("mounted with hidepid", why, "").mended_by(mend)
    });
    Some(finding("/proc", problem))
}

/// The way to the containers, for the root that they will have outside.
fn way(whom: &Whom, lxcpath: &Path) -> Vec<Finding> {
    let first = |kind| {
        let ranges = subordinate_ids(&whom.caller, kind).unwrap_or_default();
        ranges.first().map(|range| range.first)
    };
    let (Some(uid), Some(gid)) = (first(IdKind::Uid), first(IdKind::Gid)) else {
        return Vec::new();
    };
    closed(&lxcpath.join("NAME"), uid, gid, whom)
}

/// A finding for every directory that is closed to a container's root.
pub(super) fn closed(path: &Path, uid: u32, gid: u32, whom: &Whom) -> Vec<Finding> {
    // Of a path that is not there yet, what is there.
    let there = path.ancestors().find(|p| p.exists()).unwrap_or(path);
    let inner = there.join("x");
    let dirs = access::closed_to(if there == path { path } else { &inner }, uid, gid);
    let why = "the container's root is that user outside and must reach its root file system";
    let each = dirs.into_iter().map(|dir| {
        let shown = dir.to_string_lossy().into_owned();
        let own = std::fs::metadata(&dir).is_ok_and(|m| m.uid() == whom.caller.uid);
        let mend = match in_path("setfacl") {
            Some(_) => Mend::run(&["setfacl", "-m", &format!("u:{uid}:x"), &shown]),
            None => Mend::run(&["chmod", "o+x", &shown]),
        };
        let mend = if own { mend.by_owner() } else { mend };
        let problem = fatal(format!("user {uid} may not pass"), why, "").mended_by(mend);
        finding(format!("directory {shown}"), Some(problem))
    });
    each.collect()
}
