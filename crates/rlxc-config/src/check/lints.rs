//! Findings about the configuration as a whole, and about this host.

use std::path::{Component, Path};

use super::{CheckOptions, Checker, Diagnostic, Place, Severity};
use crate::MountEntry;
use crate::config::{IdKind, NicKind};
use crate::mount_entry::mount_flag;
use crate::signal::Signal;

pub(super) fn run(checker: &mut Checker, options: CheckOptions) {
    let mut found = Vec::new();
    let lint = Lint { checker, options };
    lint.cgroups(&mut found);
    lint.ids(&mut found);
    lint.networks(&mut found);
    lint.mounts(&mut found);
    lint.pairs(&mut found);
    lint.signals(&mut found);
    if options.host {
        lint.host(&mut found);
    }
    checker.found.extend(found);
}

pub(super) struct Lint<'a> {
    pub(super) checker: &'a Checker,
    pub(super) options: CheckOptions,
}

pub(super) type Found = Vec<Diagnostic>;

impl<'a> Lint<'a> {
    pub(super) fn last(&self, key: &str) -> Option<&'a Place> {
        self.checker.places.get(key)?.last()
    }

    /// Every line of keys that begin with `prefix`, in the order of files and lines.
    pub(super) fn all(&self, prefix: &str) -> Vec<&'a Place> {
        let mut places: Vec<_> = self
            .checker
            .places
            .iter()
            .filter(|(key, _)| key.starts_with(prefix))
            .flat_map(|(_, places)| places)
            .collect();
        places.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        places
    }

    fn cgroups(&self, found: &mut Found) {
        let config = &self.checker.config;
        let severity = if self.options.strict_cgroup {
            Severity::Error
        } else {
            Severity::Warning
        };
        let asked = self.options.host || self.options.strict_cgroup;
        if !asked {
            // Which hierarchies there are is a question about the host.
        } else if self.options.unified {
            let v1 = self.all("lxc.cgroup.").into_iter().filter(|place| {
                let key = &place.text[place.key.0..place.key.1];
                !key.starts_with("lxc.cgroup.dir") && key != "lxc.cgroup.relative"
            });
            found.extend(v1.map(|place| {
                place
                    .about_key(
                        severity,
                        "cgroup-v1",
                        "this host has cgroup v2 alone: a v1 limit has no effect",
                    )
                    .help("use lxc.cgroup2.FILE")
            }));
        } else if config.cgroup1.is_empty() {
            found.extend(self.all("lxc.cgroup2.").into_iter().map(|place| {
                place
                    .about_key(
                        severity,
                        "cgroup-v2",
                        "this host has v1 hierarchies: a v2 limit has no effect",
                    )
                    .help("use lxc.cgroup.FILE")
            }));
        }
        let dirs = &config.cgroup;
        if let (Some(_), Some(place)) = (
            &dirs.dir,
            self.last("lxc.cgroup.dir.monitor")
                .or(self.last("lxc.cgroup.dir.container")),
        ) {
            found.push(place.about_key(
                Severity::Error,
                "contradiction",
                "lxc.cgroup.dir excludes lxc.cgroup.dir.monitor and .container",
            ));
        }
        for (one, other) in [
            ("lxc.cgroup.dir.monitor", "lxc.cgroup.dir.container"),
            ("lxc.cgroup.dir.container", "lxc.cgroup.dir.monitor"),
            ("lxc.cgroup.dir.container.inner", "lxc.cgroup.dir.container"),
        ] {
            if let (Some(place), None) = (self.last(one), self.last(other)) {
                found.push(place.about_key(
                    Severity::Error,
                    "incomplete",
                    format!("{one} needs {other}"),
                ));
            }
        }
    }

    fn ids(&self, found: &mut Found) {
        let config = &self.checker.config;
        let Some(place) = self.last("lxc.idmap").filter(|_| !config.idmap.is_empty()) else {
            return;
        };
        for (kind, letter) in [(IdKind::Uid, "u"), (IdKind::Gid, "g")] {
            let maps: Vec<_> = config.idmap.iter().filter(|map| map.kind == kind).collect();
            if maps.is_empty() {
                found.push(place.about_key(
                    Severity::Error,
                    "incomplete",
                    format!("there is no lxc.idmap = {letter} …: both kinds of ids must be mapped"),
                ));
                continue;
            }
            let mapped = |id: u32| maps.iter().any(|m| id >= m.nsid && id - m.nsid < m.range);
            let wanted: Vec<(u32, &str)> = match kind {
                IdKind::Uid => vec![(config.init.uid, "lxc.init.uid")],
                IdKind::Gid => std::iter::once((config.init.gid, "lxc.init.gid"))
                    .chain(
                        config
                            .init
                            .groups
                            .iter()
                            .flatten()
                            .map(|g| (*g, "lxc.init.groups")),
                    )
                    .collect(),
            };
            for (id, key) in wanted.into_iter().filter(|(id, _)| !mapped(*id)) {
                found.push(self.last(key).unwrap_or(place).about_value(
                    Severity::Error,
                    "unmapped-id",
                    format!("{key} is {id}, which lxc.idmap does not map"),
                    None,
                ));
            }
            for (at, map) in maps.iter().enumerate() {
                let overlap = |a: u32, b: u32, other: u32| {
                    u64::from(a) < u64::from(b) + u64::from(other)
                        && u64::from(b) < u64::from(a) + u64::from(map.range)
                };
                if maps[..at].iter().any(|m| {
                    overlap(map.nsid, m.nsid, m.range) || overlap(map.hostid, m.hostid, m.range)
                }) {
                    found.push(place.about_value(
                        Severity::Error,
                        "overlap",
                        format!(
                            "the map {letter} {} {} {} overlaps another one",
                            map.nsid, map.hostid, map.range
                        ),
                        None,
                    ));
                }
            }
        }
    }

    fn networks(&self, found: &mut Found) {
        for (index, nic) in &self.checker.config.net {
            let prefix = format!("lxc.net.{index}.");
            let places = self.all(&prefix);
            let Some(first) = places.first() else {
                continue;
            };
            let typed = self.last(&format!("{prefix}type"));
            if typed.is_none() && nic.kind == NicKind::Empty && !nic.untyped {
                found.push(first.about_key(
                    Severity::Warning,
                    "no-type",
                    format!("{prefix}type is not set: the network is an empty one"),
                ));
            }
            // A refused type has been told of already.
            if nic.untyped && typed.is_none() {
                found.push(first.about_key(
                    Severity::Error,
                    "no-type",
                    format!("{prefix}type is cleared or wrong: the container cannot start"),
                ));
            }
            let needs_link = matches!(
                nic.kind,
                NicKind::Macvlan(_) | NicKind::Ipvlan(..) | NicKind::Vlan(_) | NicKind::Phys
            );
            if let Some(place) = typed.filter(|_| needs_link && nic.link.is_none()) {
                found.push(place.about_value(
                    Severity::Error,
                    "no-link",
                    format!("a network of this type needs {prefix}link"),
                    None,
                ));
            }
            for (family, gateway, none) in [
                (
                    "ipv4",
                    nic.ipv4_gateway.address.is_some() || nic.ipv4_gateway.auto,
                    nic.ipv4.is_empty(),
                ),
                (
                    "ipv6",
                    nic.ipv6_gateway.address.is_some() || nic.ipv6_gateway.auto,
                    nic.ipv6.is_empty(),
                ),
            ] {
                if let Some(place) = self
                    .last(&format!("{prefix}{family}.gateway"))
                    .filter(|_| gateway && none)
                {
                    found.push(place.about_key(
                        Severity::Warning,
                        "no-address",
                        format!("a gateway without {prefix}{family}.address cannot be reached"),
                    ));
                }
            }
        }
    }

    fn mounts(&self, found: &mut Found) {
        for place in self.all("lxc.mount.entry") {
            let Ok(entry) = MountEntry::parse(place.value()) else {
                continue;
            };
            let span = place
                .value()
                .find(&entry.target)
                .map(|at| (at, entry.target.len()));
            if escapes(&entry.target) {
                found.push(place.about_value(
                    Severity::Error,
                    "outside-rootfs",
                    "the target leads out of the rootfs",
                    span,
                ));
            } else if entry.target.starts_with('/') && !self.below_rootfs(&entry.target) {
                found.push(
                    place
                        .about_value(
                            Severity::Warning,
                            "absolute-target",
                            "an absolute target that is not below the rootfs is ignored",
                            span,
                        )
                        .help(format!("write {}", entry.target.trim_start_matches('/'))),
                );
            }
            let bound = entry.flags & mount_flag::BIND != 0
                && entry.source.starts_with('/')
                && !entry.relative;
            if self.options.host && bound && !entry.optional && !Path::new(&entry.source).exists() {
                found.push(
                    place
                        .about_value(
                            Severity::Warning,
                            "missing-path",
                            format!("{} does not exist on this host", entry.source),
                            place
                                .value()
                                .find(&entry.source)
                                .map(|at| (at, entry.source.len())),
                        )
                        .help("add the option optional if it need not exist"),
                );
            }
        }
    }

    fn below_rootfs(&self, target: &str) -> bool {
        let rootfs = &self.checker.config.rootfs;
        rootfs.path.is_none()
            || target.contains("/rootfs")
            || rootfs
                .path
                .as_ref()
                .is_some_and(|path| target.starts_with(path.as_str()))
    }

    /// Numbers that LXC takes, and no kernel.
    fn signals(&self, found: &mut Found) {
        const LAST: i32 = 64;
        for (key, severity) in [
            ("lxc.signal.halt", Severity::Warning),
            ("lxc.signal.reboot", Severity::Warning),
            ("lxc.signal.stop", Severity::Warning),
            // The start itself would fail.
            ("lxc.monitor.signal.pdeath", Severity::Error),
        ] {
            let Some(place) = self.last(key) else {
                continue;
            };
            if let Ok(Signal(number)) = Signal::parse(place.value())
                && number > LAST
            {
                let message = format!("there is no signal {number}: they go up to {LAST}");
                found.push(place.about_value(severity, "no-signal", message, None));
            }
        }
    }

    /// Keys that need or exclude each other.
    fn pairs(&self, found: &mut Found) {
        let config = &self.checker.config;
        let generated = config.apparmor.profile.as_deref() == Some("generated");
        for key in ["lxc.apparmor.raw", "lxc.apparmor.allow_nesting"] {
            if let Some(place) = self.last(key).filter(|p| !generated && p.value() != "0") {
                found.push(place.about_key(
                    Severity::Warning,
                    "no-effect",
                    format!("{key} has an effect only with lxc.apparmor.profile = generated"),
                ));
            }
        }
        let unset = |key| self.last(key).is_none();
        for (key, needed) in [
            ("lxc.console.rotate", "lxc.console.logfile"),
            ("lxc.rootfs.options", "lxc.rootfs.path"),
            ("lxc.seccomp.notify.cookie", "lxc.seccomp.notify.proxy"),
        ] {
            if let Some(place) = self.last(key).filter(|_| unset(needed)) {
                found.push(place.about_key(
                    Severity::Warning,
                    "no-effect",
                    format!("{key} has no effect without {needed}"),
                ));
            }
        }
        for (ns, source) in &config.namespace_share {
            if config.namespace_clone.contains(*ns)
                && let Some(place) = self.last(&format!("lxc.namespace.share.{}", ns.name()))
            {
                found.push(place.about_key(Severity::Error, "contradiction",
                    format!("the {} namespace cannot be both new (lxc.namespace.clone) and that of {source}", ns.name())));
            }
        }
    }
}

/// Whether `..` leads above the start.
fn escapes(target: &str) -> bool {
    let mut depth = 0i64;
    Path::new(target).components().any(|part| {
        match part {
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            _ => {}
        }
        depth < 0
    })
}
