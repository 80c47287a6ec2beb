//! Findings about the kernel: what it does not have, does not know, or ignores.

use std::collections::HashSet;
use std::path::PathBuf;

use super::lints::{Found, Lint};
use super::{Place, Severity};
use crate::config::{MountEntry, Namespace};
use crate::keys::security::CAPABILITIES;

/// What is known of a kernel.
#[derive(Debug)]
pub(super) struct Kernel {
    /// Where its /proc and /sys are.
    root: PathBuf,
}

/// Keys that only say something where a part of the kernel is there: beginning, proof, part.
const PARTS: [(&str, &str, &str); 4] = [
    (
        "lxc.apparmor.",
        "/sys/kernel/security/apparmor",
        "AppArmor is not active in this kernel",
    ),
    (
        "lxc.selinux.",
        "/sys/fs/selinux/enforce",
        "SELinux is not active in this kernel",
    ),
    (
        "lxc.seccomp.",
        "/proc/sys/kernel/seccomp/actions_avail",
        "seccomp is not active in this kernel",
    ),
    ("lxc.keyring.", "/proc/keys", "this kernel has no keyrings"),
];

impl Kernel {
    /// The one that runs.
    pub(super) fn running() -> Self {
        Self { root: "/".into() }
    }

    fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    fn has(&self, absolute: &str) -> bool {
        self.path(absolute).exists()
    }

    fn word(&self, absolute: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.path(absolute)).ok()?;
        Some(text.trim().to_owned())
    }

    /// Whether it is at least that version; an unknown one is.
    fn is(&self, wanted: (u32, u32)) -> bool {
        let release = self.word("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut parts = release.split(|c: char| !c.is_ascii_digit());
        let mut next = || parts.next().and_then(|part| part.parse::<u32>().ok());
        match (next(), next()) {
            (Some(major), Some(minor)) => (major, minor) >= wanted,
            _ => true,
        }
    }

    fn has_namespace(&self, namespace: Namespace) -> bool {
        let most = match namespace {
            Namespace::User => self.word("/proc/sys/user/max_user_namespaces"),
            _ => None,
        };
        self.has(&format!("/proc/self/ns/{}", namespace.name())) && most.as_deref() != Some("0")
    }
}

impl Lint<'_> {
    /// Keys that this kernel does not carry out.
    pub(super) fn kernel(&self, kernel: &Kernel, found: &mut Found) {
        self.parts(kernel, found);
        self.namespaces(kernel, found);
        self.capabilities(kernel, found);
        self.written_files(kernel, found);
        self.mapped_mounts(kernel, found);
        self.scheduling(kernel, found);
        if !kernel.has("/proc/net/if_inet6") {
            let ipv6 = self.all("lxc.net.").into_iter().filter(|place| {
                let sub = key(place).splitn(4, '.').nth(3).unwrap_or_default();
                sub.starts_with("ipv6.") || sub == "veth.ipv6.route"
            });
            found.extend(ipv6.map(|place| {
                place.about_key(
                    Severity::Warning,
                    "no-effect",
                    "this kernel has no IPv6, or has it switched off",
                )
            }));
        }
    }

    fn parts(&self, kernel: &Kernel, found: &mut Found) {
        for (prefix, proof, what) in PARTS {
            if kernel.has(proof) {
                continue;
            }
            let mut seen = HashSet::new();
            let lines = self.all(prefix).into_iter().rev();
            let said = lines.filter(|place| {
                seen.insert(key(place))
                    && !matches!(place.value(), "unconfined" | "unchanged" | "0")
            });
            found.extend(said.map(|place| {
                place.about_key(
                    Severity::Note,
                    "no-effect",
                    format!("{what}: {} has no effect", key(place)),
                )
            }));
        }
    }

    fn namespaces(&self, kernel: &Kernel, found: &mut Found) {
        let mut lacks = |place: &Place, namespace: Namespace| {
            if !kernel.has_namespace(namespace) {
                let name = namespace.name();
                found.push(place.about_key(
                    Severity::Error,
                    match namespace {
                        Namespace::Time => "no-time-namespace",
                        _ => "no-namespace",
                    },
                    format!("this kernel has no {name} namespaces, or permits none"),
                ));
            }
        };
        for place in self.all("lxc.time.offset.") {
            lacks(place, Namespace::Time);
        }
        if let Some(place) = self.last("lxc.idmap") {
            lacks(place, Namespace::User);
        }
        for namespace in Namespace::ALL {
            if let Some(place) = self.last(&format!("lxc.namespace.share.{}", namespace.name())) {
                lacks(place, namespace);
            }
            let place = self.last("lxc.namespace.clone");
            let cloned = self.checker.config.namespace_clone;
            if let Some(place) = place.filter(|_| cloned.contains(namespace)) {
                lacks(place, namespace);
            }
        }
    }

    fn capabilities(&self, kernel: &Kernel, found: &mut Found) {
        let config = &self.checker.config;
        let last = kernel.word("/proc/sys/kernel/cap_last_cap");
        let last: Option<usize> = last.and_then(|text| text.parse().ok());
        let unknown = |name: &String| {
            let number = CAPABILITIES.iter().position(|known| known == name);
            let number = number.or_else(|| name.parse().ok());
            number.zip(last).is_some_and(|(number, last)| number > last)
        };
        let drop = config.caps.drop.iter().map(|name| ("lxc.cap.drop", name));
        let keep = config.caps.keep.iter().flatten();
        let all = drop.chain(keep.map(|name| ("lxc.cap.keep", name)));
        for (key, name) in all.filter(|(_, name)| unknown(name)) {
            if let Some(place) = self.last(key) {
                found.push(place.about_key(
                    Severity::Note,
                    "no-effect",
                    format!("this kernel does not know the capability {name}"),
                ));
            }
        }
    }

    /// Files of /proc that something is to be written to.
    fn written_files(&self, kernel: &Kernel, found: &mut Found) {
        for (prefix, below) in [("lxc.sysctl.", "/proc/sys"), ("lxc.proc.", "/proc/self")] {
            for place in self.all(prefix) {
                let name = key(place).strip_prefix(prefix).unwrap_or_default();
                let path = format!("{below}/{}", name.replace('.', "/"));
                // Some are only there in the container, once a module or an interface is.
                if !path.contains("..") && !kernel.has(&path) {
                    found.push(place.about_key(
                        Severity::Warning,
                        "missing-path",
                        format!("{path} does not exist on this host"),
                    ));
                }
            }
        }
    }

    /// `idmap=` of mounts and of the rootfs.
    fn mapped_mounts(&self, kernel: &Kernel, found: &mut Found) {
        if kernel.is((5, 12)) {
            return;
        }
        let options = self.last("lxc.rootfs.options").into_iter();
        let options = options.filter(|place| place.value().contains("idmap="));
        let entries = self.all("lxc.mount.entry").into_iter();
        let entries = entries.filter(|place| {
            MountEntry::parse(place.value()).is_ok_and(|entry| entry.idmap.is_some())
        });
        found.extend(options.chain(entries).map(|place| {
            place.about_value(
                Severity::Error,
                "no-idmapped-mounts",
                "this kernel has no idmapped mounts: they came with Linux 5.12",
                None,
            )
        }));
    }

    /// Core scheduling needs Linux 5.14, and cores with several threads that are in use.
    fn scheduling(&self, kernel: &Kernel, found: &mut Found) {
        let asked = self.checker.config.sched_core;
        let Some(place) = self.last("lxc.sched.core").filter(|_| asked) else {
            return;
        };
        let message = if !kernel.is((5, 14)) {
            "this kernel has no core scheduling: it came with Linux 5.14"
        } else if kernel.word("/sys/devices/system/cpu/smt/active").as_deref() == Some("0") {
            "no core of this host runs several threads: there is no core scheduling"
        } else {
            return;
        };
        found.push(place.about_key(Severity::Error, "no-core-scheduling", message));
    }
}

/// The key as it stands in the line.
fn key(place: &Place) -> &str {
    place.text.get(place.key.0..place.key.1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{CheckOptions, Checker};
    use crate::load::Includes;
    use std::path::Path;

    /// A kernel of a few files, which goes with the test.
    struct Made(PathBuf);

    impl Made {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = format!("rlxc-cfg-kernel-{name}-{}", std::process::id());
            let root = std::env::temp_dir().join(root);
            for (path, text) in files {
                let path = root.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Self(root)
        }

        /// Line and code of each finding.
        fn finds(&self, text: &str) -> Vec<(usize, &'static str)> {
            let mut checker = Checker::new();
            let mut includes = Includes::default();
            checker.file(Path::new("c"), text.as_bytes(), &mut includes);
            assert!(checker.found.is_empty(), "{:?}", checker.found);
            let lint = Lint {
                checker: &checker,
                options: CheckOptions::default(),
            };
            let mut found = Vec::new();
            let root = self.0.clone();
            lint.kernel(&Kernel { root }, &mut found);
            let mut found: Vec<_> = found.iter().map(|d| (d.line, d.code)).collect();
            found.sort_unstable();
            found
        }
    }

    impl Drop for Made {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const ASKED: &str = "\
lxc.apparmor.profile = generated
lxc.apparmor.raw = deny /x r,
lxc.apparmor.raw = deny /y r,
lxc.selinux.context = a
lxc.seccomp.allow_nesting = 1
lxc.keyring.session = 1
lxc.time.offset.boot = 1h
lxc.namespace.clone = ipc uts
lxc.namespace.share.cgroup = c2
lxc.idmap = u 0 1 1
lxc.cap.drop = chown bpf
lxc.sysctl.kernel.a = 1
lxc.proc.b = 1
lxc.mount.entry = /a b none bind,idmap=container 0 0
lxc.mount.entry = /a c none bind 0 0
lxc.rootfs.options = ro,idmap=container
lxc.sched.core = 1
lxc.net.0.type = veth
lxc.net.0.ipv4.address = 10.0.0.1/24
lxc.net.0.ipv6.address = fd00::1/64
";

    #[test]
    fn what_an_old_kernel_lacks_is_told_line_by_line() {
        let old = Made::new(
            "old",
            &[
                ("proc/sys/kernel/osrelease", "5.4.0-1-amd64\n"),
                ("proc/sys/kernel/cap_last_cap", "37\n"),
                ("proc/self/ns/uts", ""),
                ("proc/self/ns/user", ""),
                ("proc/sys/user/max_user_namespaces", "0\n"),
            ],
        );
        let expected = [
            (1, "no-effect"),
            (3, "no-effect"),
            (4, "no-effect"),
            (5, "no-effect"),
            (6, "no-effect"),
            (7, "no-time-namespace"),
            (8, "no-namespace"),
            (9, "no-namespace"),
            (10, "no-namespace"),
            (11, "no-effect"),
            (12, "missing-path"),
            (13, "missing-path"),
            (14, "no-idmapped-mounts"),
            (16, "no-idmapped-mounts"),
            (17, "no-core-scheduling"),
            (20, "no-effect"),
        ];
        assert_eq!(old.finds(ASKED), expected);
    }

    #[test]
    fn a_kernel_that_has_everything_gives_no_finding() {
        let mut files = vec![
            ("proc/sys/kernel/osrelease", "6.12.3\n"),
            ("proc/sys/kernel/cap_last_cap", "40\n"),
            ("sys/devices/system/cpu/smt/active", "1\n"),
        ];
        for there in [
            "sys/kernel/security/apparmor",
            "sys/fs/selinux/enforce",
            "proc/sys/kernel/seccomp/actions_avail",
            "proc/keys",
            "proc/sys/kernel/a",
            "proc/self/b",
            "proc/net/if_inet6",
            "proc/self/ns/time",
            "proc/self/ns/ipc",
            "proc/self/ns/uts",
            "proc/self/ns/cgroup",
            "proc/self/ns/user",
        ] {
            files.push((there, "1"));
        }
        assert_eq!(Made::new("new", &files).finds(ASKED), []);
        files[2].1 = "0\n";
        let single = Made::new("single", &files).finds(ASKED);
        assert_eq!(single, [(17, "no-core-scheduling")]);
    }
}
