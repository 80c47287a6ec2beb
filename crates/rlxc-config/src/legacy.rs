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

/// Keys without a successor: their lines are removed.
const REMOVED: [&str; 3] = ["lxc.rootfs.backend", "lxc.pivotdir", "lxc.kmsg"];

/// What a line says: everything before the key (blanks, `#`), the key, the rest from `=` or blank on.
fn parts(line: &str) -> Option<(&str, &str, &str)> {
    let start = line.len() - line.trim_start_matches([' ', '\t', '#']).len();
    let (lead, tail) = line.split_at(start);
    let end = tail.find(|c: char| c == '=' || c.is_whitespace())?;
    let (key, rest) = tail.split_at(end);
    key.starts_with("lxc.").then_some((lead, key, rest))
}

/// The text of a configuration from before LXC 2.1 with today's keys, comments included.
///
/// Networks without a number get one: each `lxc.network.type` begins the next. Beyond what LXC's own
/// lxc-update-config does, `lxc.limit.RESOURCE` and the addresses of numbered networks are renamed
/// too, and `lxc.rootfs.backend` may stand after `lxc.rootfs`. Bytes that are not UTF-8 stay.
pub fn update_legacy(text: &[u8]) -> Vec<u8> {
    let backend = text
        .split(|b| *b == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok())
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(parts)
        .find(|(_, key, _)| *key == "lxc.rootfs.backend")
        .map(|(_, _, rest)| value_of(rest).1.to_owned())
        .filter(|backend| !backend.is_empty())
        .unwrap_or_else(|| "dir".to_owned());
    let mut networks = 0usize;
    let mut out = Vec::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive(|b| *b == b'\n') {
        // Keys are ASCII; a line in another encoding is taken apart up to its first such byte.
        let (head, tail) = match std::str::from_utf8(line) {
            Ok(line) => (line, &[][..]),
            Err(e) => {
                let (valid, rest) = line.split_at(e.valid_up_to());
                (std::str::from_utf8(valid).unwrap_or_default(), rest)
            }
        };
        let Some((lead, key, rest)) = parts(head) else {
            out.extend_from_slice(line);
            continue;
        };
        if REMOVED.contains(&key) {
            continue;
        }
        let (key, rest) = converted(key, rest, &backend, &mut networks);
        for part in [lead, &key, &rest] {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(tail);
    }
    out
}

/// The text before a value, and the value.
fn value_of(rest: &str) -> (&str, &str) {
    let start = rest.len() - rest.trim_start_matches([' ', '\t', '=']).len();
    let (before, value) = rest.split_at(start);
    (before, value.trim_end())
}

fn converted(key: &str, rest: &str, backend: &str, networks: &mut usize) -> (String, String) {
    if key == "lxc.rootfs" {
        let (before, value) = value_of(rest);
        let end = &rest[before.len() + value.len()..];
        return (
            "lxc.rootfs.path".to_owned(),
            format!("{before}{backend}:{value}{end}"),
        );
    }
    let Some(sub) = key.strip_prefix("lxc.network.") else {
        return (
            replacement(key).unwrap_or_else(|| key.to_owned()),
            rest.to_owned(),
        );
    };
    if sub.starts_with(|c: char| c.is_ascii_digit()) {
        return (format!("lxc.net.{}", addresses(sub)), rest.to_owned());
    }
    // In comments too: a block that is commented out keeps a number of its own.
    if sub == "type" {
        *networks += 1;
    }
    (
        format!("lxc.net.{}.{}", networks.saturating_sub(1), addresses(sub)),
        rest.to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_keys_get_their_new_names() {
        let old = "# lxc.utsname = x\n lxc.utsname=web\nlxc.rootfs = /r\nlxc.rootfs.mount = /mnt\nlxc.rootfs.backend = overlay\n\
            lxc.mount = /f\nlxc.mount.entry = a b c\nlxc.network.type = veth\nlxc.network.ipv4 = 10.0.0.2/24\n\
            lxc.network.ipv4.gateway = auto\nlxc.network.type = macvlan\nlxc.network.2.ipv6 = fc00::1\nlxc.limit.nofile = 4\n\
            #lxc.kmsg = 0\nlxc.tty\t= 4\nlxc.hook.start = /x lxc.utsname\nother\n";
        let new = "# lxc.uts.name = x\n lxc.uts.name=web\nlxc.rootfs.path = overlay:/r\nlxc.rootfs.mount = /mnt\n\
            lxc.mount.fstab = /f\nlxc.mount.entry = a b c\nlxc.net.0.type = veth\nlxc.net.0.ipv4.address = 10.0.0.2/24\n\
            lxc.net.0.ipv4.gateway = auto\nlxc.net.1.type = macvlan\nlxc.net.2.ipv6.address = fc00::1\nlxc.prlimit.nofile = 4\n\
            lxc.tty.max\t= 4\nlxc.hook.start = /x lxc.utsname\nother\n";
        assert_eq!(
            String::from_utf8(update_legacy(old.as_bytes())).unwrap(),
            new
        );
    }

    #[test]
    fn a_new_configuration_and_foreign_bytes_stay() {
        let text = b"lxc.uts.name = \xe9\n# \xff\nlxc.console.logfile = /x\nlxc.tty.max = 1";
        assert_eq!(update_legacy(text), text);
        assert_eq!(
            update_legacy(b"lxc.utsname = \xe9\n"),
            b"lxc.uts.name = \xe9\n"
        );
    }
}
