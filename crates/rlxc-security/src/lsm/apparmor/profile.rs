//! The text of a generated profile (apparmor.d(5)).
//!
//! What it allows and refuses is what LXC's generated profile does: the two are exchangeable, and so are the
//! `lxc.apparmor.raw` lines that people have written for it.

use std::fmt::Write;
use std::path::Path;

use super::paths::{Covers, all_but};

/// What the kernel's AppArmor can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// Mounts are mediated
    pub mount: bool,
    /// The making of user namespaces is mediated
    pub userns: bool,
    /// Profiles can be stacked, so a container can have a policy namespace of its own
    pub stacking: bool,
    /// This process is in a policy namespace already
    pub stacked: bool,
}

impl Features {
    /// Reads them below `securityfs` (/sys/kernel/security/apparmor).
    #[must_use]
    pub fn probe(securityfs: &Path) -> Self {
        let text = |path: &str| std::fs::read_to_string(securityfs.join(path)).unwrap_or_default();
        let yes = |path: &str| text(path).trim() == "yes";
        Self {
            mount: securityfs.join("features/mount/mask").exists(),
            userns: securityfs
                .join("features/namespaces/userns_create")
                .exists()
                || securityfs.join("features/namespaces/mask").exists(),
            stacking: yes("features/domain/stack")
                && can_stack_on_exec(text("features/domain/version").trim()),
            stacked: yes(".ns_stacked"),
        }
    }

    /// Whether a container gets a policy namespace: they are not nested in one another.
    #[must_use]
    pub fn own_namespaces(&self) -> bool {
        self.stacking && !self.stacked
    }
}

/// Stacks in other policy namespaces came with version 1.2.
fn can_stack_on_exec(version: &str) -> bool {
    let mut numbers = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let pair = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    pair >= (1, 2)
}

/// What a profile is generated for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The profile's name
    pub profile: &'a str,
    /// Policy namespace of the container, if it has one
    pub namespace: Option<&'a str>,
    /// `lxc.apparmor.allow_nesting`
    pub nesting: bool,
    /// Whether the container has id maps, or its starter is in a user namespace already
    pub unprivileged: bool,
    /// Whether the kernel has cgroup namespaces
    pub cgroup_namespaces: bool,
    /// Whether the parser knows rules for user namespaces, and the kernel asks for them
    pub userns_rule: bool,
    /// `lxc.apparmor.raw`
    pub raw: &'a [String],
}

/// All but mounts: everything in general, signals and traces from anywhere but only to one another.
const GENERAL: &str = "  capability,
  dbus,
  file,
  network,
  umount,
  unix,
  signal (receive),
  signal peer=@{profile_name},
  ptrace (readby, tracedby),
  ptrace peer=@{profile_name},
";

/// Interfaces of the kernel that are the host's, whoever is root inside.
const KERNEL_FILES: &str = "  deny @{PROC}/acpi/** rwklx,
  deny @{PROC}/bus/** wklx,
  deny @{PROC}/kcore rwklx,
  deny @{PROC}/sysrq-trigger rwklx,
  deny /sys/firmware/efi/efivars/** rwklx,
  deny /sys/kernel/debug/{,**} rwklx,
";

/// File systems that show or keep nothing of others, and those that the kernel has one place for.
const FILE_SYSTEMS: &str = "  mount fstype={tmpfs,hugetlbfs,mqueue,fuse,fuse.*},
  mount fstype=proc -> /proc/,
  mount fstype=sysfs -> /sys/,
  mount options=(rw, nosuid, nodev, noexec, remount) -> /sys/,
  mount options=(ro, nosuid, nodev, noexec, remount, strictatime) -> /sys/fs/cgroup/,
  mount fstype=binfmt_misc -> /proc/sys/fs/binfmt_misc/,
  mount fstype=efivarfs -> /sys/firmware/efi/efivars/,
  mount fstype=fusectl -> /sys/fs/fuse/connections/,
  mount fstype=securityfs -> /sys/kernel/security/,
  mount fstype=debugfs -> /sys/kernel/debug/,
  # What is tried often, and not worth a line in the log
  deny mount fstype=debugfs -> /var/lib/ureadahead/debugfs/,
  deny mount options=(ro, remount) -> /,
  deny mount options=(ro, remount, silent) -> /,
";

const CGROUPS: &str = "  mount fstype={cgroup,cgroup2} -> /sys/fs/cgroup/**,\n";

/// With the rights that id maps leave, the kernel's own checks do the rest.
const UNPRIVILEGED: &str = "  pivot_root,
  mount options=(rw, bind),
  mount options=(rw, rbind),
  mount options=(ro, remount),
";

/// Containers in the container: they need nearly all, so all mounts are allowed. The whole instances of proc and sysfs
/// exist only so that the kernel lets others be mounted.
const NESTING: &str = "  pivot_root,
  ptrace,
  signal,
  deny /dev/.lxc/{proc,sys}/** rw,
  mount,
";

const PROPAGATION: [&str; 8] = [
    "make-slave",
    "make-rslave",
    "make-shared",
    "make-rshared",
    "make-private",
    "make-rprivate",
    "make-unbindable",
    "make-runbindable",
];

/// The profile for `request`.
#[must_use]
pub fn text(request: &Request<'_>) -> String {
    let name = request.profile;
    let mut text = format!(
        "#include <tunables/global>\nprofile \"{name}\" flags=(attach_disconnected,mediate_deleted) {{\n"
    );
    text.push_str(&base(match request.namespace {
        Some(_) => Base::WithPolicies,
        None => Base::Generated,
    }));
    if request.userns_rule {
        text.push_str("  userns,\n");
    }
    if request.cgroup_namespaces {
        text.push_str(CGROUPS);
    }
    if let Some(namespace) = request.namespace {
        // A String takes every write.
        let _ = writeln!(
            text,
            "  change_profile -> \":{namespace}:*\",\n  change_profile -> \":{namespace}://*\","
        );
    }
    if request.nesting {
        text.push_str(NESTING);
        if request.namespace.is_none() {
            let _ = writeln!(text, "  change_profile -> \"{name}\",");
        }
    }
    if request.unprivileged {
        text.push_str(UNPRIVILEGED);
        propagation(&mut text, "**");
    }
    for line in request.raw {
        let _ = writeln!(text, "  {line}");
    }
    text.push_str("}\n");
    text
}

/// Whom the rules are for that all profiles begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// A generated profile
    Generated,
    /// One of a container that may load profiles, into a policy namespace of its own
    WithPolicies,
    /// The named profiles: the abstraction `container-base`
    Named,
}

/// What every profile for containers begins with. The abstraction `container-base` is the text for [`Base::Named`].
#[must_use]
pub fn base(base: Base) -> String {
    let mut text = format!("{GENERAL}{KERNEL_FILES}");
    kernel_settings(&mut text, base);
    text.push_str(FILE_SYSTEMS);
    propagation(&mut text, "/");
    mounts_of_what_is_there(&mut text, base);
    text
}

/// Of /proc/sys and /sys a container may write what its namespaces have for themselves.
fn kernel_settings(text: &mut String, base: Base) {
    use Covers::{Prefix, Tree};
    let sysctls = [
        ("kernel/domainname", Tree),
        ("kernel/hostname", Tree),
        ("kernel/msg", Prefix),
        ("kernel/sem", Prefix),
        ("kernel/shm", Prefix),
        ("net", Tree),
    ];
    let mut devices = vec![
        ("class/net", Tree),
        ("devices/virtual/net", Tree),
        ("fs/cgroup", Tree),
    ];
    if base == Base::WithPolicies {
        devices.push(("kernel/security/apparmor", Tree));
    }
    let roots = [all_but("/proc/sys/", &sysctls), all_but("/sys/", &devices)];
    for pattern in roots.iter().flatten() {
        let _ = writeln!(text, "  deny {pattern} wklx,");
    }
    text.push_str(match base {
        Base::Generated => "  deny /sys/k*{,/**} rwklx,\n",
        Base::WithPolicies => "",
        Base::Named => "  deny /sys/kernel/security/** rwklx,\n",
    });
}

fn propagation(text: &mut String, target: &str) {
    for option in PROPAGATION {
        let _ = writeln!(text, "  mount options=(rw, {option}) -> {target},");
    }
}

/// Bind mounts, moves and read-only remounts of everything but /proc, /sys and what of /dev leads there: at another
/// place the rules on files would not hold for them.
fn mounts_of_what_is_there(text: &mut String, base: Base) {
    use Covers::Tree;
    let most = all_but("/", &[("dev/.lxc", Tree), ("proc", Tree), ("sys", Tree)]);
    let with_what_is_below = all_but("/", &[("dev", Tree), ("proc", Tree), ("sys", Tree)]);
    for (option, sources) in [
        ("bind", &most),
        ("rbind", &with_what_is_below),
        ("move", &most),
    ] {
        for source in sources {
            let _ = writeln!(text, "  mount options=(rw, {option}) {source},");
        }
    }
    // A rule's options are all the options of a mount, so there is one rule for each combination.
    let targets = match base {
        Base::Named => String::new(),
        _ => format!(" -> {}", alternatives(&most)),
    };
    for combination in 0..8 {
        let flags = ["nodev", "nosuid", "noexec"]
            .iter()
            .enumerate()
            .filter(|(bit, _)| combination & (1 << bit) != 0)
            .fold(String::new(), |all, (_, flag)| all + ", " + flag);
        for times in ["", ", noatime", ", strictatime"] {
            let _ = writeln!(
                text,
                "  mount options=(ro, remount, bind{flags}{times}){targets},"
            );
        }
    }
}

/// One pattern for all.
fn alternatives(patterns: &[String]) -> String {
    format!("{{{}}}", patterns.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: [&str; 2] = ["mount fstype=ext4,", "deny /forbidden rwklx,"];

    fn request(raw: &[String]) -> Request<'_> {
        Request {
            profile: "lxc-c1_</var/lib/lxc>",
            namespace: None,
            nesting: false,
            unprivileged: false,
            cgroup_namespaces: true,
            userns_rule: false,
            raw,
        }
    }

    /// All combinations that there are.
    fn variants(raw: &[String]) -> Vec<Request<'_>> {
        let flags = [false, true];
        let namespaces = [None, Some("lxc-c1_<-var-lib-lxc>")];
        let mut all = Vec::new();
        for namespace in namespaces {
            for nesting in flags {
                for unprivileged in flags {
                    for cgroup_namespaces in flags {
                        for raw in [&[][..], raw] {
                            all.push(Request {
                                namespace,
                                nesting,
                                unprivileged,
                                cgroup_namespaces,
                                ..request(raw)
                            });
                        }
                    }
                }
            }
        }
        all
    }

    /// The abstraction and the generated profiles are one text: an edit of one is an edit of both.
    #[test]
    fn the_abstraction_is_the_base_of_named_profiles() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../dist/apparmor/abstractions/container-base"
        );
        let wanted = format!(
            "  # What containers may do, and what of the kernel is the host's alone; RLXC_BLESS=1 with the tests of\n  \
             # rlxc-security writes this file anew.\n\n{}",
            base(Base::Named)
        );
        if std::env::var_os("RLXC_BLESS").is_some() {
            std::fs::write(file, &wanted).expect("written");
        }
        let found = std::fs::read_to_string(file).expect("the abstraction");
        assert!(found == wanted, "RLXC_BLESS=1 writes {file} anew");
    }

    #[test]
    fn what_is_asked_for_is_in_and_nothing_else() {
        let raw = RAW.map(str::to_owned);
        for request in variants(&raw) {
            let text = text(&request);
            let has = |line: &str| text.lines().any(|found| found.trim() == line);
            assert_eq!(has("mount,"), request.nesting);
            assert_eq!(has("deny /forbidden rwklx,"), !request.raw.is_empty());
            assert_eq!(has("mount options=(rw, bind),"), request.unprivileged);
            assert_eq!(
                has("mount fstype={cgroup,cgroup2} -> /sys/fs/cgroup/**,"),
                request.cgroup_namespaces
            );
            assert_eq!(
                has("deny /sys/k*{,/**} rwklx,"),
                request.namespace.is_none()
            );
            assert_eq!(
                has("change_profile -> \":lxc-c1_<-var-lib-lxc>:*\","),
                request.namespace.is_some()
            );
        }
    }

    #[test]
    fn features_are_read_from_the_kernels_files() {
        let dir = std::env::temp_dir().join(format!("rlxc-security-feat-{}", std::process::id()));
        let file = |name: &str, text: &str| {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, text).expect("a file");
        };
        file("features/domain/stack", "yes\n");
        file("features/domain/version", "1.1\n");
        assert_eq!(Features::probe(&dir), Features::default());
        file("features/domain/version", "1.2\n");
        file("features/mount/mask", "mount umount\n");
        assert!(Features::probe(&dir).own_namespaces() && Features::probe(&dir).mount);
        file(".ns_stacked", "yes\n");
        assert!(!Features::probe(&dir).own_namespaces());
        std::fs::remove_dir_all(&dir).expect("cleaned up");
    }
}
