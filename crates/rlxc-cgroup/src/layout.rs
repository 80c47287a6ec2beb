//! The machine's cgroup hierarchies, from mountinfo and /proc/PID/cgroup.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where every system mounts its cgroups.
const MAIN: &str = "/sys/fs/cgroup";

/// Which cgroup interface a hierarchy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// cgroup v1: one hierarchy a set of controllers.
    V1,
    /// cgroup2.
    V2,
}

/// The machine's layout as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// No hierarchy is mounted.
    None,
    /// v1 only.
    Legacy,
    /// v1 and cgroup2.
    Hybrid,
    /// cgroup2 only.
    Unified,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hierarchy {
    /// v1 or v2.
    pub version: Version,
    /// v1: the controllers, or `name=NAME`; v2: empty (they depend on the directory).
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// This process's cgroup, relative to the mount (empty: the mount itself).
    pub own: PathBuf,
    /// Pid 1's cgroup without `/init.scope`, relative to the mount, if it is below the mount.
    pub init: Option<PathBuf>,
}

/// All hierarchies that this process can reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The layout's kind.
    pub mode: Mode,
    /// Each hierarchy once, v1 first come first.
    pub hierarchies: Vec<Hierarchy>,
}

impl Layout {
    /// Reads /proc/self/mountinfo, /proc/self/cgroup and /proc/1/cgroup.
    ///
    /// # Errors
    /// [`Error::Read`] when /proc/self is not there. No cgroups at all is [`Mode::None`].
    pub fn detect() -> Result<Self> {
        let read = |path: &str| {
            std::fs::read(path)
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .map_err(|source| Error::Read {
                    path: path.into(),
                    source,
                })
        };
        let init = read("/proc/1/cgroup").unwrap_or_default();
        Ok(Self::parse(
            &read("/proc/self/mountinfo")?,
            &read("/proc/self/cgroup")?,
            &init,
        ))
    }

    /// The layout that these texts describe.
    #[must_use]
    pub fn parse(mountinfo: &str, own: &str, init: &str) -> Self {
        // With the ids of the mounts that each is mounted on, its own first.
        let mut visible: Vec<(Vec<u32>, Hierarchy)> = Vec::new();
        let mut parents: HashMap<u32, u32> = HashMap::new();
        for line in mountinfo.lines() {
            let mut fields = line.split(' ');
            let mut id = || fields.next()?.parse::<u32>().ok();
            let (Some(id), Some(parent)) = (id(), id()) else {
                continue;
            };
            parents.insert(id, parent);
            // A later mount hides what is at its place and below it, but for what is mounted on it
            // (the root and others may be listed after what was moved into them).
            if let Some(place) = fields.nth(2).map(unescape) {
                let place = Path::new(&place);
                visible.retain(|(on, h)| {
                    on.contains(&id) || place == Path::new("/") || !h.mount.starts_with(place)
                });
            }
            if let Some(found) = parse_mount(line, own, init) {
                let mut on = vec![id];
                while let Some(next) = on.last().and_then(|last| parents.get(last)) {
                    if on.contains(next) {
                        break;
                    }
                    on.push(*next);
                }
                visible.push((on, found));
            }
        }
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        for (_, found) in visible {
            let same =
                |h: &Hierarchy| h.version == found.version && h.controllers == found.controllers;
            if !hierarchies.iter().any(same) {
                hierarchies.push(found);
            }
        }
        // Where cgroup2 has the main place, a v1 hierarchy beside it (net_cls of a VPN client, say)
        // is somebody's own and not for containers.
        if hierarchies
            .iter()
            .any(|h| h.version == Version::V2 && h.mount == Path::new(MAIN))
        {
            hierarchies.retain(|h| h.version == Version::V2);
        }
        let has = |version| hierarchies.iter().any(|h| h.version == version);
        let mode = match (has(Version::V1), has(Version::V2)) {
            (false, false) => Mode::None,
            (true, false) => Mode::Legacy,
            (true, true) => Mode::Hybrid,
            (false, true) => Mode::Unified,
        };
        Self { mode, hierarchies }
    }
}

fn parse_mount(line: &str, own: &str, init: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let mut fields = left.split(' ').skip(3);
    let root = unescape(fields.next()?);
    let mount = PathBuf::from(unescape(fields.next()?));
    let mut right = right.split(' ');
    let version = match right.next()? {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    let options: Vec<&str> = right.nth(1)?.split(',').collect();
    let (controllers, own_path) = own.lines().find_map(|line| {
        let (_, controllers, path) = entry(line)?;
        let is_ours = match version {
            Version::V2 => line.starts_with("0::"),
            Version::V1 => {
                !controllers.is_empty() && controllers.iter().all(|c| options.contains(c))
            }
        };
        is_ours.then_some((controllers, path))
    })?;
    let init_path = init.lines().find_map(|line| {
        let (_, found, path) = entry(line)?;
        (found == controllers).then_some(path)
    });
    let init = init_path.and_then(|path| {
        let path = path.strip_suffix("/init.scope").unwrap_or(path);
        below(&root, if path.is_empty() { "/" } else { path })
    });
    Some(Hierarchy {
        version,
        controllers: controllers.into_iter().map(String::from).collect(),
        own: below(&root, own_path)?,
        init,
        mount,
    })
}

/// `ID:controllers:path`
fn entry(line: &str) -> Option<(&str, Vec<&str>, &str)> {
    let mut fields = line.splitn(3, ':');
    let id = fields.next()?;
    let controllers = fields.next()?.split(',').filter(|c| !c.is_empty());
    Some((id, controllers.collect(), fields.next()?))
}

/// A cgroup's path relative to a mount of `root`; `None` when it is not below (a cgroup namespace
/// whose mount was made outside shows `/..`).
fn below(root: &str, path: &str) -> Option<PathBuf> {
    let rest = Path::new(path).strip_prefix(root).ok()?;
    let up = |p: &Path| p.components().any(|c| c == std::path::Component::ParentDir);
    (!up(rest) && !up(Path::new(root))).then(|| rest.to_path_buf())
}

/// Undoes mountinfo's `\ooo`.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = String::from(parts.next().unwrap_or_default());
    for part in parts {
        let code = part.get(..3).and_then(|o| u8::from_str_radix(o, 8).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                out.push_str(&part[3..]);
            }
            None => {
                out.push('\\');
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        33 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,xattr,name=systemd\n";

    #[test]
    fn a_unified_host_has_one_hierarchy_and_init_scope_is_cut() {
        let layout = Layout::parse(V2, "0::/user.slice/a\n", "0::/init.scope\n");
        assert_eq!(layout.mode, Mode::Unified);
        assert_eq!(layout.hierarchies[0].own, Path::new("user.slice/a"));
        assert_eq!(layout.hierarchies[0].init.as_deref(), Some(Path::new("")));
    }

    #[test]
    fn co_mounted_and_named_hierarchies_come_once() {
        let mounts = format!("{V1}{V1}");
        let own = "2:cpu,cpuacct:/x\n1:name=systemd:/\n0::/\n";
        let layout = Layout::parse(&mounts, own, own);
        assert_eq!(layout.mode, Mode::Legacy);
        assert_eq!(layout.hierarchies.len(), 2);
        assert_eq!(layout.hierarchies[0].controllers, ["cpu", "cpuacct"]);
        assert_eq!(layout.hierarchies[1].controllers, ["name=systemd"]);
    }

    #[test]
    fn both_versions_are_hybrid_and_nothing_is_none() {
        let mounts = format!("{V1}{}", V2.replace("cgroup rw", "cgroup/unified rw"));
        let own = "2:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n";
        assert_eq!(Layout::parse(&mounts, own, "").mode, Mode::Hybrid);
        assert_eq!(Layout::parse("", "", "").mode, Mode::None);
        assert_eq!(
            Layout::parse("rubbish\n1 2 - cgroup\n", "x\n", "").mode,
            Mode::None
        );
    }

    #[test]
    fn mounts_of_a_part_of_the_tree_are_relative_or_left_out() {
        let part = V2.replace("0:26 / ", "0:26 /lxc/c1 ");
        let layout = Layout::parse(&part, "0::/lxc/c1/x\n", "0::/init.scope\n");
        assert_eq!(layout.hierarchies[0].own, Path::new("x"));
        assert_eq!(layout.hierarchies[0].init, None);
        let outside = V2.replace("0:26 / ", "0:26 /../.. ");
        assert_eq!(Layout::parse(&outside, "0::/\n", "").mode, Mode::None);
    }

    #[test]
    fn a_v1_hierarchy_beside_a_unified_host_is_not_for_containers() {
        let mounts =
            format!("{V2}44 30 0:41 / /sys/fs/cgroup/net_cls rw - cgroup net_cls rw,net_cls\n");
        let layout = Layout::parse(&mounts, "3:net_cls:/\n0::/\n", "0::/init.scope\n");
        assert_eq!(layout.mode, Mode::Unified);
        assert_eq!(layout.hierarchies.len(), 1);
    }

    #[test]
    fn in_a_cgroup_namespace_the_own_mount_is_the_root() {
        // As a container sees it that has mounted cgroup2 itself: paths are the namespace's.
        let layout = Layout::parse(V2, "0::/\n", "0::/\n");
        assert_eq!(layout.hierarchies[0].own, Path::new(""));
        assert_eq!(layout.hierarchies[0].init.as_deref(), Some(Path::new("")));
        // Attached from outside: the process is in a leaf that was made for it.
        let layout = Layout::parse(V2, "0::/.lxc\n", "0::/\n");
        assert_eq!(layout.hierarchies[0].own, Path::new(".lxc"));
        // A process that was moved above the namespace's root has no place of its own in it.
        assert_eq!(Layout::parse(V2, "0::/../x\n", "").mode, Mode::None);
    }

    #[test]
    fn a_hidden_mount_does_not_count() {
        let tmpfs = "40 30 0:50 / /sys/fs/cgroup rw - tmpfs none rw\n";
        assert_eq!(
            Layout::parse(&format!("{V2}{tmpfs}"), "0::/\n", "").mode,
            Mode::None
        );
        let own = "2:cpu,cpuacct:/x\n1:name=systemd:/\n0::/\n";
        let layout = Layout::parse(&format!("{V2}{tmpfs}{V1}"), own, own);
        assert_eq!(layout.mode, Mode::Legacy);
    }

    #[test]
    fn what_is_below_a_later_mount_is_hidden_unless_it_is_mounted_on_it() {
        let own = "2:cpu,cpuacct:/x\n1:name=systemd:/\n0::/\n";
        let below = V2.replace("cgroup rw", "cgroup/unified rw");
        let over = V2.replace("30 23", "50 31");
        let layout = Layout::parse(&format!("{V1}{below}{over}"), own, own);
        assert_eq!(layout.mode, Mode::Unified);
        assert_eq!(layout.hierarchies[0].mount, Path::new("/sys/fs/cgroup"));
        // Moved into a /sys and a / that are listed later.
        let moved = "31 23 0:24 / /sys/fs/cgroup rw - tmpfs none rw\n";
        let later = "23 20 0:5 / /sys rw - sysfs sysfs rw\n20 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
        let layout = Layout::parse(&format!("{moved}{V1}{later}"), own, own);
        assert_eq!(layout.mode, Mode::Legacy);
        assert_eq!(layout.hierarchies.len(), 2);
    }

    #[test]
    fn named_hierarchies_and_odd_controllers_keep_their_places() {
        let mounts = "32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            33 31 0:30 / /mnt/my\\040own rw - cgroup none rw,name=mine\n\
            34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let own = "5:memory:/user/1\n4:name=mine:/a b\n0::/u\n";
        let layout = Layout::parse(mounts, own, "5:memory:/\n4:name=mine:/\n0::/init.scope\n");
        assert_eq!(layout.mode, Mode::Hybrid);
        let named = &layout.hierarchies[1];
        assert_eq!(named.controllers, ["name=mine"]);
        assert_eq!(
            (named.mount.as_path(), named.own.as_path()),
            (Path::new("/mnt/my own"), Path::new("a b"))
        );
        assert_eq!(layout.hierarchies[2].init.as_deref(), Some(Path::new("")));
    }

    #[test]
    fn octal_escapes_are_undone() {
        assert_eq!(unescape(r"/a\040b\x"), r"/a b\x");
    }
}
