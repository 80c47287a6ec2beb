//! Findings about this host and its kernel: what is not there, or has no effect.

use std::path::Path;

use super::kernel::Kernel;
use super::lints::{Found, Lint};
use super::{Place, Severity};
use crate::config::{IdKind, NicKind};

/// What a program other than root may map.
const SUBORDINATE: [(IdKind, &str, &str); 2] = [
    (IdKind::Uid, "/etc/subuid", "u"),
    (IdKind::Gid, "/etc/subgid", "g"),
];

impl Lint<'_> {
    /// What this host lacks.
    pub(super) fn host(&self, found: &mut Found) {
        self.files(found);
        self.kernel(&Kernel::running(), found);
        self.controllers(found);
        self.links(found);
        if !nix::unistd::geteuid().is_root() {
            self.subordinate_ids(found);
        }
    }

    fn files(&self, found: &mut Found) {
        for key in [
            "lxc.seccomp.profile",
            "lxc.mount.fstab",
            "lxc.console.path",
            "lxc.rootfs.mount",
        ] {
            if let Some(place) = self
                .last(key)
                .filter(|p| p.value() != "none" && !Path::new(p.value()).exists())
            {
                found.push(missing(place, place.value(), None));
            }
        }
        let rootfs = &self.checker.config.rootfs;
        if let (Some(place), Some(path)) = (self.last("lxc.rootfs.path"), &rootfs.path)
            && matches!(
                rootfs.backend.as_deref(),
                None | Some("dir" | "btrfs" | "loop")
            )
            && path.starts_with('/')
            && !Path::new(path).exists()
        {
            found.push(missing(place, path, None));
        }
        for place in self.all("lxc.hook.") {
            let program = place
                .value()
                .split_ascii_whitespace()
                .next()
                .unwrap_or_default();
            if program.starts_with('/') && !Path::new(program).exists() {
                found.push(missing(place, program, Some((0, program.len()))));
            }
        }
    }

    /// Limits of controllers that the kernel does not have or has switched off.
    fn controllers(&self, found: &mut Found) {
        let (prefix, known): (&str, Vec<String>) = if self.options.unified {
            let text = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
            let own = ["cgroup", "devices", "freezer"].map(str::to_owned);
            let words = text.unwrap_or_default();
            let words = words.split_ascii_whitespace().map(str::to_owned);
            ("lxc.cgroup2.", words.chain(own).collect())
        } else {
            let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
            let lists = text.lines().filter_map(|line| line.split(':').nth(1));
            let words = lists.flat_map(|list| list.split(',').map(str::to_owned));
            ("lxc.cgroup.", words.collect())
        };
        if known.len() < 4 {
            // Not mounted, or nothing is known: the hierarchy is another finding.
            return;
        }
        for place in self.all(prefix) {
            let key = &place.text[place.key.0..place.key.1];
            let file = key.strip_prefix(prefix).unwrap_or_default();
            let controller = file.split('.').next().unwrap_or_default();
            if crate::keys::is_cgroup_setting(key) || known.iter().any(|k| k == controller) {
                continue;
            }
            found.push(place.about_key(
                Severity::Warning,
                "no-controller",
                format!("this host has no cgroup controller {controller}"),
            ));
        }
    }

    fn links(&self, found: &mut Found) {
        let names = || {
            let links = std::fs::read_dir("/sys/class/net").into_iter().flatten();
            links.filter_map(|link| link.ok()?.file_name().into_string().ok())
        };
        for (index, nic) in &self.checker.config.net {
            let (Some(link), Some(place)) =
                (&nic.link, self.last(&format!("lxc.net.{index}.link")))
            else {
                continue;
            };
            let there = match (link.strip_suffix('+'), &nic.kind) {
                (Some(start), NicKind::Phys) => names().any(|name| name.starts_with(start)),
                _ => names().any(|name| name == *link),
            };
            if !there {
                found.push(place.about_value(
                    Severity::Warning,
                    "missing-link",
                    format!("this host has no interface {link}"),
                    None,
                ));
            }
        }
    }

    /// Maps beyond what /etc/subuid and /etc/subgid grant to the caller.
    fn subordinate_ids(&self, found: &mut Found) {
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        let name = nix::unistd::User::from_uid(uid).ok().flatten();
        let names = [name.map(|user| user.name), Some(uid.to_string())];
        for (kind, file, letter) in SUBORDINATE {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let ranges: Vec<(u64, u64)> = text
                .lines()
                .filter_map(|line| {
                    let mut parts = line.split(':');
                    let owner = parts.next()?;
                    let (start, count) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
                    names
                        .iter()
                        .flatten()
                        .any(|n| n == owner)
                        .then_some((start, count))
                })
                .collect();
            let own = match kind {
                IdKind::Uid => uid.as_raw(),
                IdKind::Gid => gid.as_raw(),
            };
            let granted = |start: u64, count: u64| {
                count == 1 && start == u64::from(own)
                    || ranges
                        .iter()
                        .any(|(from, n)| start >= *from && start + count <= from + n)
            };
            let maps = self.checker.config.idmap.iter().filter(|m| m.kind == kind);
            for map in maps.filter(|m| !granted(m.hostid.into(), m.range.into())) {
                if let Some(place) = self.last("lxc.idmap") {
                    let last = u64::from(map.hostid) + u64::from(map.range).saturating_sub(1);
                    let line = format!("{letter} {} {} {}", map.nsid, map.hostid, map.range);
                    let finding = place.about_key(
                        Severity::Error,
                        "not-granted",
                        format!(
                            "{file} does not grant the ids {} to {last} of \"{line}\"",
                            map.hostid
                        ),
                    );
                    found.push(finding.help(format!(
                        "root can grant them: usermod --add-sub{letter}ids {}-{last} USER",
                        map.hostid
                    )));
                }
            }
        }
    }
}

pub(super) fn missing(
    place: &Place,
    path: &str,
    span: Option<(usize, usize)>,
) -> super::Diagnostic {
    place.about_value(
        Severity::Warning,
        "missing-path",
        format!("{path} does not exist on this host"),
        span,
    )
}
