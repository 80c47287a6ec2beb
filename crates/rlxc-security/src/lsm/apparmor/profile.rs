//! The text of a generated profile (apparmor.d(5)).

use std::fmt::Write;
use std::path::Path;

/// What the kernel's AppArmor can mediate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Features {
    pub mount: bool,
    pub network: bool,
    pub signal: bool,
    pub ptrace: bool,
    pub unix: bool,
    pub dbus: bool,
    pub userns: bool,
    pub stacking: bool,
}

impl Features {
    /// Reads them below `securityfs` (/sys/kernel/security/apparmor).
    #[must_use]
    pub fn probe(securityfs: &Path) -> Self {
        let features = securityfs.join("features");
        let has = |path: &str| features.join(path).exists();
        let yes = |path: &str| {
            std::fs::read_to_string(features.join(path)).is_ok_and(|text| text.trim() == "yes")
        };
        Self {
            mount: has("mount/mask"),
            network: has("network") || has("network_v8"),
            signal: has("signal"),
            ptrace: has("ptrace"),
            unix: has("network/af_unix"),
            dbus: has("dbus"),
            userns: has("namespaces/mask"),
            stacking: yes("domain/stack") && yes("namespaces/profile"),
        }
    }
}

/// What a profile is generated for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The profile's name
    pub profile: &'a str,
    /// Policy namespace of nested containers
    pub namespace: Option<&'a str>,
    /// `lxc.apparmor.allow_nesting`
    pub nesting: bool,
    /// Whether the container has id maps
    pub unprivileged: bool,
    /// `lxc.apparmor.raw`
    pub raw: &'a [String],
}

const BASE: &str = "  capability,\n  file,\n  umount,\n  pivot_root,\n";

/// Kernel knobs that are the host's, whoever is root inside. Of /proc/sys a container may write what its namespaces
/// have for themselves, as with LXC: net, and of kernel domainname, hostname, msg*, sem and shm*. A deny rule has no
/// exceptions, so the others are named by what they do not begin with.
const KERNEL_FILES: &str = "
  deny @{PROC}/sysrq-trigger rwklx,
  deny @{PROC}/kcore rwklx,
  deny @{PROC}/mem rwklx,
  deny @{PROC}/kmem rwklx,
  deny @{PROC}/acpi/** wklx,
  deny @{PROC}/bus/** wklx,
  deny @{PROC}/sys/[^kn]*{,/**} wklx,
  deny @{PROC}/sys/kernel/[^dhms]*{,/**} wklx,
  deny @{PROC}/sys/kernel/{dm*,ha*,hot*,hu*,ma*,mo*,sc*,sec*,sof*,sp*,st*,sy*}{,/**} wklx,
  deny /sys/[^fdck]*{,/**} wklx,
  deny /sys/class/[^n]*{,/**} wklx,
  deny /sys/devices/[^v]*{,/**} wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/kernel/debug/{,**} rwklx,
  deny /sys/kernel/security/{,**} rwklx,
  deny /sys/module/** wklx,
  deny /sys/power/** wklx,
";

/// Mounts of a container that has root's real rights.
const PRIVILEGED_MOUNTS: &str = "
  mount fstype=proc -> /proc/{,**},
  mount fstype=sysfs options=(ro) -> /sys/{,**},
  mount fstype=sysfs options=(rw,nosuid,nodev,noexec,remount) -> /sys/,
  mount fstype=tmpfs,
  mount fstype=hugetlbfs,
  mount fstype=mqueue,
  mount fstype=fuse,
  mount fstype=fuse.*,
  mount fstype=fusectl -> /sys/fs/fuse/connections/,
  mount fstype=binfmt_misc -> /proc/sys/fs/binfmt_misc/,
  mount fstype=cgroup -> /sys/fs/cgroup/{,**},
  mount fstype=cgroup2 -> /sys/fs/cgroup/{,**},
  mount options=(rw,bind),
  mount options=(rw,rbind),
  mount options=(ro,bind),
  mount options=(ro,remount),
  mount options=(ro,remount,bind),
  mount options=(rw,make-slave),
  mount options=(rw,make-rslave),
  mount options=(rw,make-shared),
  mount options=(rw,make-rshared),
  mount options=(rw,make-private),
  mount options=(rw,make-rprivate),
  mount options=(rw,make-unbindable),
  mount options=(rw,make-runbindable),
  deny mount fstype=debugfs,
  deny mount fstype=tracefs,
  deny mount fstype=devpts,
";

/// The profile for `request`, with the rules that the kernel's `features` can carry.
#[must_use]
pub fn text(request: &Request<'_>, features: &Features) -> String {
    let name = request.profile;
    let mut text = format!(
        "#include <tunables/global>\n\
         profile \"{name}\" flags=(attach_disconnected,mediate_deleted) {{\n{BASE}"
    );
    let mut rule = |wanted: bool, line: &str| {
        if wanted {
            text.push_str(line);
        }
    };
    rule(features.network, "  network,\n");
    rule(features.unix, "  unix,\n");
    rule(features.dbus, "  dbus,\n");
    rule(features.userns, "  userns,\n");
    // Whoever is unconfined may signal and trace inwards; those inside only one another.
    let peers = |kind: &str, directions: &str| {
        format!(
            "  {kind} ({directions}) peer=unconfined,\n  {kind} peer=\"{name}\",\n  {kind} peer=\"{name}//*\",\n"
        )
    };
    rule(features.signal, &peers("signal", "receive"));
    rule(features.ptrace, &peers("ptrace", "readby,tracedby"));
    text.push_str(KERNEL_FILES);
    if features.mount {
        // With id maps the kernel itself allows only what is safe in a user namespace.
        let mounts = if request.unprivileged || request.nesting {
            "  mount,\n"
        } else {
            PRIVILEGED_MOUNTS
        };
        text.push_str(mounts);
    }
    if request.nesting {
        nesting(&mut text, request, features);
    }
    for line in request.raw {
        // A String takes every write.
        let _ = writeln!(text, "  {line}");
    }
    text.push_str("}\n");
    text
}

fn nesting(text: &mut String, request: &Request<'_>, features: &Features) {
    if let Some(namespace) = request.namespace {
        let _ = writeln!(
            text,
            "  change_profile -> \":{namespace}:*\",\n  change_profile -> \":{namespace}://*\","
        );
        if features.signal {
            let _ = writeln!(text, "  signal peer=\":{namespace}:*\",");
        }
        if features.ptrace {
            let _ = writeln!(text, "  ptrace peer=\":{namespace}:*\",");
        }
    } else {
        let _ = writeln!(text, "  change_profile -> \"{}\",", request.profile);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(raw: &[String]) -> Request<'_> {
        Request {
            profile: "lxc-c1_</var/lib/lxc>",
            namespace: None,
            nesting: false,
            unprivileged: false,
            raw,
        }
    }

    #[test]
    fn rules_follow_the_kernels_features() {
        let none = text(&request(&[]), &Features::default());
        assert!(
            !none.contains("mount fstype") && !none.contains("network") && !none.contains("signal")
        );
        let some = Features {
            mount: true,
            network: true,
            signal: true,
            ..Features::default()
        };
        let some = text(&request(&[]), &some);
        assert!(some.contains("deny mount fstype=debugfs") && some.contains("network,"));
        assert!(some.contains("signal (receive) peer=unconfined"));
    }

    #[test]
    fn raw_lines_and_nesting_are_in() {
        let raw = ["mount fstype=ext4,".to_owned()];
        let features = Features {
            mount: true,
            ..Features::default()
        };
        let all = text(
            &Request {
                nesting: true,
                namespace: Some("lxc-c1_<-var-lib-lxc>"),
                ..request(&raw)
            },
            &features,
        );
        assert!(all.contains("  mount fstype=ext4,\n") && all.contains("  mount,\n"));
        assert!(all.contains("change_profile -> \":lxc-c1_<-var-lib-lxc>:*\""));
    }
}
