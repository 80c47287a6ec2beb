//! Which part of the system acts on a key: the last column of the table of keys.

/// A key or the beginning of a family, and who acts on it. Longer names win.
const ROOMS: &[(&str, &str)] = &[
    (
        "lxc.apparmor",
        "start, attach (where the kernel has AppArmor)",
    ),
    ("lxc.arch", "start, attach"),
    ("lxc.autodev", "start"),
    ("lxc.cap", "start, attach"),
    ("lxc.cgroup", "start (where the host has v1 hierarchies)"),
    ("lxc.cgroup.dir", "start, attach"),
    ("lxc.cgroup.relative", "start"),
    ("lxc.cgroup2", "start (where the host has cgroup v2 alone)"),
    ("lxc.console", "start, console"),
    ("lxc.environment", "start, hooks, attach"),
    ("lxc.environment.hooks", "hooks"),
    ("lxc.environment.runtime", "start"),
    ("lxc.ephemeral", "end of the container"),
    ("lxc.execute.cmd", "execute"),
    ("lxc.group", "autostart, ls"),
    ("lxc.hook", "the configuration itself: clears hooks"),
    ("lxc.hook.autodev", "start"),
    ("lxc.hook.clone", "copy"),
    ("lxc.hook.destroy", "destroy"),
    ("lxc.hook.mount", "start"),
    ("lxc.hook.post-stop", "end of the container"),
    ("lxc.hook.pre-mount", "start"),
    ("lxc.hook.pre-start", "start"),
    ("lxc.hook.start", "start"),
    ("lxc.hook.start-host", "start"),
    ("lxc.hook.stop", "end of the container"),
    ("lxc.hook.version", "hooks"),
    ("lxc.idmap", "start, attach, create, copy, destroy"),
    ("lxc.include", "the configuration itself: reads a file"),
    ("lxc.init", "start"),
    ("lxc.keyring.session", "start"),
    ("lxc.log", "start, and the library's log"),
    ("lxc.monitor.signal.pdeath", "start"),
    ("lxc.monitor.unshare", "start"),
    ("lxc.mount", "start"),
    ("lxc.mount.entry", "start, copy"),
    ("lxc.mount.fstab", "start, copy"),
    ("lxc.namespace", "start, attach"),
    ("lxc.net", "the configuration itself: clears networks"),
    ("lxc.net.", "start, end of the container, info"),
    ("lxc.no_new_privs", "start, attach"),
    ("lxc.prlimit", "start, attach"),
    ("lxc.proc", "start"),
    ("lxc.pty.max", "start"),
    ("lxc.rootfs", "start, create, copy, snapshot, destroy"),
    ("lxc.rootfs.managed", "destroy, snapshot"),
    ("lxc.rootfs.mount", "start"),
    ("lxc.rootfs.options", "start"),
    (
        "lxc.sched.core",
        "start (where the kernel has core scheduling)",
    ),
    ("lxc.seccomp", "start, attach"),
    (
        "lxc.selinux",
        "start, attach (where the kernel has SELinux)",
    ),
    ("lxc.signal.halt", "stop"),
    ("lxc.signal.reboot", "stop --reboot"),
    ("lxc.signal.stop", "stop --kill"),
    ("lxc.start", "autostart"),
    ("lxc.sysctl", "start"),
    ("lxc.time.offset", "start"),
    ("lxc.tty", "start, console"),
    ("lxc.uts.name", "start, copy"),
];

/// Who acts on a key of the table.
pub(crate) fn acted_on_by(key: &str) -> Option<&'static str> {
    let fits = |name: &str| {
        key.strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || name.ends_with('.') || rest.starts_with('.'))
    };
    ROOMS
        .iter()
        .filter(|(name, _)| fits(name))
        .max_by_key(|(name, _)| name.len())
        .map(|(_, room)| *room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KEY_TABLE;

    #[test]
    fn every_key_is_acted_on_and_no_row_is_idle() {
        for row in KEY_TABLE.iter() {
            assert!(acted_on_by(row.name).is_some(), "{}", row.name);
        }
        for (name, _) in ROOMS {
            assert!(
                KEY_TABLE.iter().any(|row| row.name.starts_with(name)),
                "{name}"
            );
        }
        assert_eq!(acted_on_by("lxc.hook.clone"), Some("copy"));
        assert_eq!(
            acted_on_by("lxc.cgroup.dir.monitor.pivot"),
            Some("start, attach")
        );
        assert_eq!(acted_on_by("lxc.nope"), None);
    }
}
