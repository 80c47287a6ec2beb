//! `lxc.idmap`, `lxc.include`, `lxc.namespace.*`, `lxc.time.offset.*`.

use super::{Fault, KeyRow, lines};
use crate::config::{IdKind, Namespace, NamespaceSet};
use crate::error::ValueError;
use crate::value::{self, Offset};

pub(super) const IDMAP_INCLUDE: &[KeyRow] = &[
    row!("lxc.idmap", list; "u|g NSID HOSTID RANGE", "none (no user namespace)", "2.1",
        "Maps a range of user (u) or group (g) ids of the container to ids of the host.", "u 0 100000 65536",
        |c, _, v| {
            if v.is_empty() { c.idmap.clear(); } else { c.idmap.push(value::idmap(v)?); }
            Ok(())
        },
        |c, _| Ok(c.idmap.iter()
            .map(|m| format!("{} {} {} {}", if m.kind == IdKind::Uid { 'u' } else { 'g' }, m.nsid, m.hostid, m.range))
            .collect::<Vec<_>>().join("\n")),
        |c, _| { c.idmap.clear(); Ok(()) }),
    row!("lxc.include"; "a file, or a directory whose *.conf files are read", "none", "1.0",
        "Reads another configuration file in place.", "/usr/share/lxc/config/common.conf",
        // The document reads the file itself; only the empty value comes here.
        |_, _, _| Ok(()),
        |_, _| Err(Fault::NotReadable),
        |_, _| Ok(())),
];

/// A namespace by its name in lower case.
pub(crate) fn by_name(name: &str) -> Option<Namespace> {
    Namespace::ALL.into_iter().find(|ns| ns.name() == name)
}

fn add(set: &mut NamespaceSet, other: NamespaceSet, value: &str) -> Result<(), Fault> {
    if value.is_empty() {
        *set = NamespaceSet::default();
        return Ok(());
    }
    if !other.is_empty() {
        return Err(
            ValueError::expected("only one of lxc.namespace.clone and lxc.namespace.keep").into(),
        );
    }
    // As in LXC the names before a wrong one stay.
    for word in value.split([' ', '\t']).filter(|w| !w.is_empty()) {
        let ns = by_name(&word.to_ascii_lowercase()).ok_or_else(|| {
            ValueError::expected("user, mnt, pid, uts, ipc, net, cgroup or time").at(value, word)
        })?;
        set.insert(ns);
    }
    Ok(())
}

fn shown(set: NamespaceSet) -> String {
    lines(set.iter().map(Namespace::name))
}

macro_rules! offset_key {
    ($name:literal, $seconds:ident, $nanos:ident, $doc:literal) => {
        row!($name; "a whole number with unit h, m, s, ms, us or ns", "0", "4.0.0", $doc, "7200s",
            |c, _, v| {
                if v.is_empty() {
                    (c.time_offset.$seconds, c.time_offset.$nanos) = (0, 0);
                    return Ok(());
                }
                match value::time_offset(v)? {
                    Offset::Seconds(seconds) => c.time_offset.$seconds = seconds,
                    Offset::Nanoseconds(nanos) => c.time_offset.$nanos = nanos,
                }
                Ok(())
            },
            |c, _| Ok(match (c.time_offset.$seconds, c.time_offset.$nanos) {
                (0, nanos) => format!("{nanos}ns"),
                (seconds, _) => format!("{seconds}s"),
            }),
            |c, _| { (c.time_offset.$seconds, c.time_offset.$nanos) = (0, 0); Ok(()) })
    };
}

pub(super) const ROWS: &[KeyRow] = &[
    row!("lxc.namespace.clone", list; "user mnt pid uts ipc net cgroup time, separated by blanks", "all that the configuration needs", "2.1",
        "The namespaces that the container gets of its own; replaces the default set.", "mnt pid uts ipc net",
        |c, _, v| { let keep = c.namespace_keep; add(&mut c.namespace_clone, keep, v) },
        |c, _| Ok(shown(c.namespace_clone)),
        |c, _| { c.namespace_clone = NamespaceSet::default(); Ok(()) }),
    row!("lxc.namespace.keep", list; "user mnt pid uts ipc net cgroup time, separated by blanks", "none", "2.1",
        "The namespaces that the container keeps of its starter.", "net",
        |c, _, v| { let clone = c.namespace_clone; add(&mut c.namespace_keep, clone, v) },
        |c, _| Ok(shown(c.namespace_keep)),
        |c, _| { c.namespace_keep = NamespaceSet::default(); Ok(()) }),
    row!("lxc.namespace.share.", prefix; "a container's name, a pid, or the path of a namespace file", "unset", "3.0",
        "Joins a namespace (the key's last part) of another container or process.", "net = c2",
        |c, rest, v| {
            let ns = by_name(rest).ok_or(Fault::Unknown)?;
            if v.is_empty() { c.namespace_share.remove(&ns); } else { c.namespace_share.insert(ns, v.to_owned()); }
            Ok(())
        },
        |c, rest| {
            let ns = by_name(rest).ok_or(Fault::Unknown)?;
            Ok(c.namespace_share.get(&ns).cloned().unwrap_or_else(|| "(null)".to_owned()))
        },
        |c, rest| { c.namespace_share.remove(&by_name(rest).ok_or(Fault::Unknown)?); Ok(()) }),
    offset_key!(
        "lxc.time.offset.boot",
        boot_s,
        boot_ns,
        "Offset of the boot-time clock in the container (makes a time namespace)."
    ),
    offset_key!(
        "lxc.time.offset.monotonic",
        monotonic_s,
        monotonic_ns,
        "Offset of the monotonic clock in the container (makes a time namespace)."
    ),
];
