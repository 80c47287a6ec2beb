//! The keys of LXC before 2.1 (config-keys, section 8; lxc-update-config(1)).

/// Old name, new name; names that end in `.` or are followed by `.` are families.
const RENAMED: [(&str, &str); 26] = [
    ("lxc.id_map", "lxc.idmap"),
    ("lxc.pts", "lxc.pty.max"),
    ("lxc.tty", "lxc.tty.max"),
    ("lxc.devttydir", "lxc.tty.dir"),
    ("lxc.aa_profile", "lxc.apparmor.profile"),
    ("lxc.aa_allow_incomplete", "lxc.apparmor.allow_incomplete"),
    ("lxc.se_context", "lxc.selinux.context"),
    ("lxc.mount", "lxc.mount.fstab"),
    ("lxc.utsname", "lxc.uts.name"),
    ("lxc.seccomp", "lxc.seccomp.profile"),
    ("lxc.console", "lxc.console.path"),
    ("lxc.haltsignal", "lxc.signal.halt"),
    ("lxc.rebootsignal", "lxc.signal.reboot"),
    ("lxc.stopsignal", "lxc.signal.stop"),
    ("lxc.syslog", "lxc.log.syslog"),
    ("lxc.loglevel", "lxc.log.level"),
    ("lxc.logfile", "lxc.log.file"),
    ("lxc.init_cmd", "lxc.init.cmd"),
    ("lxc.init_uid", "lxc.init.uid"),
    ("lxc.init_gid", "lxc.init.gid"),
    ("lxc.limit", "lxc.prlimit"),
    ("lxc.rootfs", "lxc.rootfs.path"),
    ("lxc.network", "lxc.net"),
    (
        "lxc.rootfs.backend",
        "a prefix of lxc.rootfs.path (BACKEND:PATH)",
    ),
    ("lxc.pivotdir", "gone: it has no effect"),
    ("lxc.kmsg", "gone: it has no effect"),
];

/// What a legacy key is called now; `None` if `key` never was a key.
pub fn replacement(key: &str) -> Option<String> {
    if let Some(new) = RENAMED
        .iter()
        .find(|(old, _)| *old == key)
        .map(|(_, new)| *new)
    {
        return Some(new.to_owned());
    }
    if let Some(resource) = key.strip_prefix("lxc.limit.") {
        return Some(format!("lxc.prlimit.{resource}"));
    }
    let rest = key.strip_prefix("lxc.network.")?;
    let numbered = rest.starts_with(|c: char| c.is_ascii_digit());
    Some(if numbered {
        format!("lxc.net.{}", addresses(rest))
    } else {
        format!("lxc.net.N.{}", addresses(rest))
    })
}

/// `ipv4` and `ipv6` became `ipv4.address` and `ipv6.address`.
fn addresses(rest: &str) -> String {
    if rest.ends_with("ipv4") || rest.ends_with("ipv6") {
        format!("{rest}.address")
    } else {
        rest.to_owned()
    }
}
