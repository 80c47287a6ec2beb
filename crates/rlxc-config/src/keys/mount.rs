//! `lxc.mount.*` and `lxc.rootfs.*`.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;

use super::{Fault, KeyRow, lines, text};
use crate::config::{AutoMounts, auto_mount as bit};
use crate::error::ValueError;
use crate::paths;
use crate::value;

/// Where shared mounts appear in the container when the token names no place.
const SHMOUNTS_TARGET: &str = "/dev/.lxc-mounts";

/// Token, the mask that it replaces, the bits that it sets.
const TOKENS: [(&str, u32, u32); 30] = [
    ("proc", bit::PROC_MASK, bit::PROC_MIXED),
    ("proc:mixed", bit::PROC_MASK, bit::PROC_MIXED),
    ("proc:rw", bit::PROC_MASK, bit::PROC_RW),
    ("sys", bit::SYS_MASK, bit::SYS_MIXED),
    ("sys:mixed", bit::SYS_MASK, bit::SYS_MIXED),
    ("sys:ro", bit::SYS_MASK, bit::SYS_RO),
    ("sys:rw", bit::SYS_MASK, bit::SYS_RW),
    ("cgroup", CGROUPS, bit::CGROUP_NOSPEC),
    ("cgroup:mixed", CGROUPS, bit::CGROUP_MIXED),
    ("cgroup:ro", CGROUPS, bit::CGROUP_RO),
    ("cgroup:rw", CGROUPS, bit::CGROUP_RW),
    (
        "cgroup:force",
        CGROUPS,
        bit::CGROUP_NOSPEC | bit::CGROUP_FORCE,
    ),
    (
        "cgroup:mixed:force",
        CGROUPS,
        bit::CGROUP_MIXED | bit::CGROUP_FORCE,
    ),
    (
        "cgroup:ro:force",
        CGROUPS,
        bit::CGROUP_RO | bit::CGROUP_FORCE,
    ),
    (
        "cgroup:rw:force",
        CGROUPS,
        bit::CGROUP_RW | bit::CGROUP_FORCE,
    ),
    ("cgroup-full", CGROUPS, bit::CGROUP_FULL_NOSPEC),
    ("cgroup-full:mixed", CGROUPS, bit::CGROUP_FULL_MIXED),
    ("cgroup-full:ro", CGROUPS, bit::CGROUP_FULL_RO),
    ("cgroup-full:rw", CGROUPS, bit::CGROUP_FULL_RW),
    (
        "cgroup-full:force",
        CGROUPS,
        bit::CGROUP_FULL_NOSPEC | bit::CGROUP_FORCE,
    ),
    (
        "cgroup-full:mixed:force",
        CGROUPS,
        bit::CGROUP_FULL_MIXED | bit::CGROUP_FORCE,
    ),
    (
        "cgroup-full:ro:force",
        CGROUPS,
        bit::CGROUP_FULL_RO | bit::CGROUP_FORCE,
    ),
    (
        "cgroup-full:rw:force",
        CGROUPS,
        bit::CGROUP_FULL_RW | bit::CGROUP_FORCE,
    ),
    ("cgroup2", CGROUPS, bit::CGROUP2_RW | bit::CGROUP_FORCE),
    (
        "cgroup2:force",
        CGROUPS,
        bit::CGROUP2_RW | bit::CGROUP_FORCE,
    ),
    ("cgroup2:rw", CGROUPS, bit::CGROUP2_RW | bit::CGROUP_FORCE),
    (
        "cgroup2:rw:force",
        CGROUPS,
        bit::CGROUP2_RW | bit::CGROUP_FORCE,
    ),
    ("cgroup2:ro", CGROUPS, bit::CGROUP2_RO | bit::CGROUP_FORCE),
    (
        "cgroup2:ro:force",
        CGROUPS,
        bit::CGROUP2_RO | bit::CGROUP_FORCE,
    ),
    ("shmounts:", bit::SHMOUNTS, bit::SHMOUNTS),
];
/// A cgroup token replaces what any other one has set.
const CGROUPS: u32 = bit::CGROUP_MASK | bit::CGROUP2_MASK | bit::CGROUP_FORCE;

fn add_token(auto: &mut AutoMounts, value: &str, token: &str) -> Result<(), Fault> {
    if let Some(rest) = token.strip_prefix("shmounts:") {
        let (host, target) = rest.split_once(':').unwrap_or((rest, SHMOUNTS_TARGET));
        if host.is_empty() || target.is_empty() {
            return Err(ValueError::expected("shmounts:HOSTPATH[:CONTAINERPATH]")
                .at(value, token)
                .into());
        }
        auto.bits |= bit::SHMOUNTS;
        auto.shmounts = Some((host.to_owned(), target.to_owned()));
        return Ok(());
    }
    let (_, mask, bits) = TOKENS.iter().find(|(name, ..)| *name == token).ok_or_else(|| {
        ValueError::expected("proc, sys, cgroup, cgroup-full or cgroup2, each with :mixed, :ro or :rw, or shmounts:PATH")
            .at(value, token)
    })?;
    auto.bits = auto.bits & !mask | bits;
    Ok(())
}

/// LXC's canonical tokens: nothing for forced or v2 cgroups, nothing for shared mounts.
fn shown_auto(bits: u32) -> String {
    let mut words = Vec::new();
    match bits & bit::PROC_MASK {
        bit::PROC_RW => words.push("proc:rw"),
        bit::PROC_MIXED => words.push("proc:mixed"),
        _ => {}
    }
    match bits & bit::SYS_MASK {
        bit::SYS_RO => words.push("sys:ro"),
        bit::SYS_RW => words.push("sys:rw"),
        bit::SYS_MIXED => words.push("sys:mixed"),
        _ => {}
    }
    let cgroup = bits & CGROUPS;
    let token = TOKENS[7..23]
        .iter()
        .find(|(name, _, b)| *b == cgroup && !name.ends_with(":force"));
    words.extend(token.map(|(name, ..)| *name));
    words.join(" ")
}

/// All that is set, in tokens that set the same again.
pub(crate) fn written_auto(auto: &AutoMounts) -> String {
    let mut words: Vec<String> = shown_auto(auto.bits & !CGROUPS)
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let cgroups = auto.bits & CGROUPS;
    let token = TOKENS.iter().find(|(.., bits)| *bits == cgroups);
    words.extend(token.map(|(name, ..)| (*name).to_owned()));
    if let Some((host, target)) = &auto.shmounts {
        words.push(format!("shmounts:{host}:{target}"));
    }
    words.join(" ")
}

pub(super) const ROWS: &[KeyRow] = &[
    row!("lxc.mount.auto", list; "proc sys cgroup cgroup-full cgroup2 shmounts:PATH, with :mixed, :ro, :rw, :force", "none", "1.0",
        "Standard file systems that are mounted in the container.", "proc:mixed sys:mixed cgroup:mixed",
        |c, _, v| {
            if v.is_empty() { c.mounts.auto = AutoMounts::default(); return Ok(()); }
            // As in LXC the tokens before a wrong one stay.
            v.split([' ', '\t']).filter(|w| !w.is_empty())
                .try_for_each(|token| add_token(&mut c.mounts.auto, v, token))
        },
        |c, _| Ok(shown_auto(c.mounts.auto.bits)),
        |c, _| { c.mounts.auto = AutoMounts::default(); Ok(()) }),
    row!("lxc.mount.entry", list; "a line as in fstab(5)", "none", "0.1",
        "A mount made in the container; a target without leading / is below its rootfs.",
        "/srv/data srv/data none bind,create=dir 0 0",
        |c, _, v| {
            if v.is_empty() { c.mounts.entries.clear(); } else { c.mounts.entries.push(v); }
            Ok(())
        },
        |c, _| Ok(lines(c.mounts.entries.iter())),
        |c, _| { c.mounts.entries.clear(); Ok(()) }),
    row!("lxc.mount.fstab"; "a path", "unset", "2.1",
        "File in the form of fstab(5) with mounts for the container.", "/etc/lxc/fstab",
        |c, _, v| {
            c.mounts.fstab = text(&value::path(v)?).map(Into::into);
            // LXC clears the value and fails all the same.
            if v.is_empty() { return Err(ValueError::expected("a path").into()); }
            Ok(())
        },
        |c, _| Ok(c.mounts.fstab.as_deref().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()),
        |c, _| { c.mounts.fstab = None; Ok(()) }),
];

/// Options of mount entries, which `lxc.rootfs.options` must not hold anywhere: LXC looks no closer.
const OF_ENTRIES: [&str; 4] = ["create=dir", "create=file", "optional", "relative"];

/// Checks `lxc.rootfs.options`: no options of mount entries, and an id map that can be opened.
fn check_options(value: &str) -> Result<(), Fault> {
    for option in OF_ENTRIES {
        if let Some(at) = value.find(option) {
            return Err(
                ValueError::expected("options of a mount, not those of lxc.mount.entry")
                    .at(value, &value[at..at + option.len()])
                    .into(),
            );
        }
    }
    let Some(at) = value.find("idmap=") else {
        return Ok(());
    };
    let option = value[at..].split(',').next().unwrap_or_default();
    let source = option.strip_prefix("idmap=").unwrap_or_default();
    if source == "container" {
        return Ok(());
    }
    // Never blocks, whatever the path names.
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(source)
        .map(drop)
        .map_err(|error| {
            ValueError::new(format!(
                "expected idmap=container or the path of a user namespace: {error}"
            ))
            .at(value, option)
            .into()
        })
}

pub(super) const ROOTFS: &[KeyRow] = &[
    row!("lxc.rootfs.managed"; "0 or 1", "1", "4.0.0",
        "Whether destroy and snapshot may touch the container's storage.", "0",
        |c, _, v| { c.rootfs.managed = v.is_empty() || value::bool01(v)?; Ok(()) },
        |c, _| Ok(u8::from(c.rootfs.managed).to_string()),
        |c, _| { c.rootfs.managed = true; Ok(()) }),
    row!("lxc.rootfs.mount"; "a path", "LIBDIR/lxc/rootfs", "0.8",
        "Directory that the rootfs is mounted on while the container is set up.", "/usr/lib/lxc/rootfs",
        |c, _, v| { c.rootfs.mount = text(&value::path(v)?); Ok(()) },
        |c, _| Ok(c.rootfs.mount.clone().unwrap_or_else(paths::default_rootfs_mount)),
        |c, _| { c.rootfs.mount = None; Ok(()) }),
    row!("lxc.rootfs.options"; "mount options separated by commas; idmap=container", "unset", "1.0",
        "Options that the rootfs is mounted with.", "ro,idmap=container",
        |c, _, v| {
            // As in LXC refused options also forget the old ones.
            c.rootfs.options = None;
            check_options(v)?;
            c.rootfs.options = text(v);
            Ok(())
        },
        |c, _| Ok(c.rootfs.options.clone().unwrap_or_default()),
        |c, _| { c.rootfs.options = None; Ok(()) }),
    row!("lxc.rootfs.path"; "[BACKEND:]PATH; backends dir btrfs loop lvm nbd overlay overlayfs rbd zfs", "unset (the host's root)", "2.1",
        "Root file system of the container.", "dir:/var/lib/lxc/c1/rootfs",
        |c, _, v| {
            let (backend, path) = match v.split_once(':') {
                Some((backend, path)) => (text(backend), path),
                None => (None, v),
            };
            c.rootfs.path = text(&value::path(path)?);
            c.rootfs.backend = backend;
            Ok(())
        },
        |c, _| Ok(c.rootfs.path.clone().unwrap_or_default()),
        |c, _| { (c.rootfs.path, c.rootfs.backend) = (None, None); Ok(()) }),
];
