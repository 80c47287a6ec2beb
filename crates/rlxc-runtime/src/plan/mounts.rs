//! From `lxc.autodev` and `lxc.mount.*` to an ordered list of mounts.

use std::path::Path;

use rlxc_config::{Config, MountEntry, auto_mount};

use super::{MountStep, PlanError, SysMode};

pub(super) fn steps(
    config: &Config,
    lxcpath: &Path,
    name: &str,
) -> Result<Vec<MountStep>, PlanError> {
    let bits = config.mounts.auto.bits;
    let mut steps = Vec::new();
    if config.autodev.enabled {
        let size = match config.autodev.tmpfs_size {
            0 => 500_000,
            size => size,
        };
        steps.push(MountStep::Dev { size });
    }
    auto_proc_and_sys(config, bits, &mut steps);
    if let Some((host, container)) = &config.mounts.auto.shmounts {
        steps.push(MountStep::Shared {
            host: host.clone(),
            container: container.trim_start_matches('/').to_owned(),
        });
    }
    if let Some(path) = &config.mounts.fstab {
        fstab(path, &mut steps)?;
    }
    let nesting = config.apparmor.allow_nesting.then_some([
        "proc dev/.lxc/proc proc create=dir,optional 0 0",
        "sys dev/.lxc/sys sysfs create=dir,optional 0 0",
    ]);
    let entries = config.mounts.entries.iter();
    for line in entries.chain(nesting.into_iter().flatten()) {
        push_entry(&mut steps, "lxc.mount.entry", line)?;
    }
    if bits & (auto_mount::CGROUP_MASK | auto_mount::CGROUP2_MASK) != 0 {
        let bits = cgroup_bits(config, bits);
        steps.push(MountStep::Cgroup { bits });
    }
    confine_targets(config, lxcpath, name, &mut steps);
    Ok(steps)
}

fn auto_proc_and_sys(config: &Config, bits: u32, steps: &mut Vec<MountStep>) {
    match bits & auto_mount::PROC_MASK {
        0 => {}
        auto_mount::PROC_RW => steps.push(MountStep::Proc {
            mixed: false,
            net: false,
        }),
        _ => steps.push(MountStep::Proc {
            mixed: true,
            net: keeps_capability(config, "net_admin", 12),
        }),
    }
    match bits & auto_mount::SYS_MASK {
        0 => {}
        auto_mount::SYS_RW => steps.push(MountStep::Sys(SysMode::Rw)),
        auto_mount::SYS_RO => steps.push(MountStep::Sys(SysMode::Ro)),
        _ => steps.push(MountStep::Sys(SysMode::Mixed)),
    }
}

/// Whether a capability is left in the bounding set by `lxc.cap.*`.
fn keeps_capability(config: &Config, name: &str, number: u32) -> bool {
    let named = |list: &[String]| {
        list.iter()
            .any(|entry| entry.eq_ignore_ascii_case(name) || entry.parse() == Ok(number))
    };
    match &config.caps.keep {
        Some(keep) => named(keep),
        None => !named(&config.caps.drop),
    }
}

/// A bare `cgroup` or `cgroup-full` is writable with CAP_SYS_ADMIN, else mixed; without that
/// capability the container's init cannot mount them itself, so the mount is forced.
fn cgroup_bits(config: &Config, bits: u32) -> u32 {
    let admin = keeps_capability(config, "sys_admin", 21);
    let group = match (bits & auto_mount::CGROUP_MASK, admin) {
        (auto_mount::CGROUP_NOSPEC, true) => auto_mount::CGROUP_RW,
        (auto_mount::CGROUP_NOSPEC, false) => auto_mount::CGROUP_MIXED,
        (auto_mount::CGROUP_FULL_NOSPEC, true) => auto_mount::CGROUP_FULL_RW,
        (auto_mount::CGROUP_FULL_NOSPEC, false) => auto_mount::CGROUP_FULL_MIXED,
        (group, _) => group,
    };
    let force = if admin { 0 } else { auto_mount::CGROUP_FORCE };
    group | bits & (auto_mount::CGROUP2_MASK | auto_mount::CGROUP_FORCE) | force
}

fn fstab(path: &Path, steps: &mut Vec<MountStep>) -> Result<(), PlanError> {
    let text = std::fs::read_to_string(path).map_err(|source| PlanError::Fstab {
        path: path.to_owned(),
        source,
    })?;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            push_entry(steps, &format!("{}:{}", path.display(), number + 1), line)?;
        }
    }
    Ok(())
}

fn push_entry(steps: &mut Vec<MountStep>, origin: &str, line: &str) -> Result<(), PlanError> {
    match MountEntry::parse(line) {
        Ok(entry) if leads_out(&entry.target) && !entry.optional => {
            return Err(PlanError::MountEntry {
                origin: format!("{origin} = {line}"),
                reason: "the target leads out of the rootfs".into(),
            });
        }
        Ok(entry) => steps.push(MountStep::Entry {
            origin: origin.to_owned(),
            entry,
        }),
        Err(error) => {
            return Err(PlanError::MountEntry {
                origin: format!("{origin} = {line}"),
                reason: error.to_string(),
            });
        }
    }
    Ok(())
}

/// Whether a path has more `..` than directories before them.
fn leads_out(target: &str) -> bool {
    let mut depth = 0_i32;
    target.split('/').any(|part| {
        depth += match part {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        depth < 0
    })
}

/// Makes the targets of mount entries relative to the rootfs. LXC takes an absolute target only
/// if it names the container's rootfs; others are ignored with a warning.
fn confine_targets(config: &Config, lxcpath: &Path, name: &str, steps: &mut Vec<MountStep>) {
    let own = lxcpath.join(name).join("rootfs");
    let own = own.to_string_lossy().into_owned();
    let path = config.rootfs.path.clone().filter(|path| !path.is_empty());
    steps.retain_mut(|step| {
        let MountStep::Entry { origin, entry } = step else {
            return true;
        };
        if !entry.target.starts_with('/') || path.is_none() {
            entry.target = entry.target.trim_start_matches('/').to_owned();
            return true;
        }
        let prefixes = [Some(&own), path.as_ref()];
        let inside = prefixes.into_iter().flatten().find_map(|prefix| {
            let rest = entry.target.strip_prefix(prefix.as_str())?;
            (rest.is_empty() || rest.starts_with('/'))
                .then(|| rest.trim_start_matches('/').to_owned())
        });
        match inside {
            Some(rest) => {
                entry.target = rest;
                true
            }
            None => {
                tracing::warn!("{origin}: ignored: {} is not in the rootfs", entry.target);
                false
            }
        }
    });
}
