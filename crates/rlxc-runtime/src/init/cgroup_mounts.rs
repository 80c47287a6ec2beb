//! `lxc.mount.auto = cgroup…`: what of the cgroup tree is seen inside.
//!
//! | host | own cgroup namespace | none |
//! |---|---|---|
//! | cgroup2 alone, or `cgroup2:*` | cgroup2 at /sys/fs/cgroup | a tmpfs with the own cgroup at its path; `-full`: the whole tree |
//! | v1, hybrid | only with force: a tmpfs, each hierarchy below it | the same, hierarchy by hierarchy |
//!
//! Without a namespace `ro` is read-only as a whole, `mixed` but for the own cgroup, `rw` not at all.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rlxc_cgroup::{Hierarchy, Layout, Version};
use rlxc_config::{Namespace, auto_mount};
use rlxc_sys::mount::{self, FsContext, MountAttr, attr};

use super::mounts::{NO_EXTRAS, kernel_fs, set_read_only};
use super::{Result, Setup};
use crate::error::{Context, StartError};
use crate::plan::{MountStep, Plan};
use crate::root::Root;

const STEP: &str = "mount /sys/fs/cgroup";
const TARGET: &str = "sys/fs/cgroup";

/// What is to be writable inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Nothing.
    Ro,
    /// The own cgroup.
    Mixed,
    /// All that is mounted.
    Rw,
}

/// The bits of one `lxc.mount.auto` line.
#[derive(Debug, Clone, Copy)]
struct Wish {
    full: bool,
    access: Access,
    v2: bool,
    forced: bool,
}

impl Wish {
    fn new(bits: u32) -> Self {
        let v2 = bits & auto_mount::CGROUP2_MASK;
        let (full, access) = match (v2, bits & auto_mount::CGROUP_MASK) {
            (auto_mount::CGROUP2_RO, _) => (false, Access::Ro),
            (auto_mount::CGROUP2_RW, _) => (false, Access::Mixed),
            (_, auto_mount::CGROUP_RO) => (false, Access::Ro),
            (_, auto_mount::CGROUP_RW) => (false, Access::Rw),
            (_, auto_mount::CGROUP_FULL_RO) => (true, Access::Ro),
            (_, auto_mount::CGROUP_FULL_RW) => (true, Access::Rw),
            (_, auto_mount::CGROUP_FULL_MIXED) => (true, Access::Mixed),
            _ => (false, Access::Mixed),
        };
        let v2 = v2 != 0;
        Self {
            full,
            access,
            v2,
            forced: v2 || bits & auto_mount::CGROUP_FORCE != 0 || host_is_unified(),
        }
    }
}

fn wishes(plan: &Plan) -> impl Iterator<Item = Wish> + '_ {
    plan.mounts.iter().filter_map(|step| match step {
        MountStep::Cgroup { bits } => Some(Wish::new(*bits)),
        _ => None,
    })
}

fn has_namespace(plan: &Plan) -> bool {
    plan.namespaces.clone.contains(Namespace::Cgroup)
}

/// Whether [`mount_all`] does anything: without force the container's init mounts what it wants.
pub(super) fn wanted(plan: &Plan) -> bool {
    wishes(plan).any(|wish| !has_namespace(plan) || wish.forced)
}

/// The host's hierarchies: to be asked before the cgroup namespace is entered, which hides their paths.
pub(super) fn host_layout(plan: &Plan) -> Result<Option<Layout>> {
    match wanted(plan) && has_namespace(plan) {
        true => Layout::detect().at(STEP, "").map(Some),
        false => Ok(None),
    }
}

/// Carries the steps out, in the container's cgroup and cgroup namespace.
pub(super) fn mount_all(setup: &Setup<'_>, host: Option<&Layout>) -> Result<()> {
    for wish in wishes(setup.plan) {
        match (has_namespace(setup.plan), host) {
            (true, _) if !wish.forced => {}
            (true, _) if wish.v2 || host_is_unified() => unified(setup, wish)?,
            (true, host) => each(setup, wish, host)?,
            // Now the child is in its cgroup, which its own file names.
            (false, _) => bound(setup, wish, &Layout::detect().at(STEP, "")?)?,
        }
    }
    Ok(())
}

fn attrs(access: Access) -> u64 {
    match access {
        Access::Ro => NO_EXTRAS | attr::RDONLY,
        Access::Mixed | Access::Rw => NO_EXTRAS,
    }
}

/// cgroup2 as the container's own namespace shows it.
fn unified(setup: &Setup<'_>, wish: Wish) -> Result<()> {
    match kernel_fs(&setup.root, "cgroup2", TARGET, attrs(wish.access)) {
        // No sysfs in the container and none wanted: nowhere to mount.
        Err(error) if error.errno == Some(Errno::EROFS as i32) => {
            tracing::warn!("{error}");
            Ok(())
        }
        other => other.map(drop),
    }
}

/// A tmpfs with a fresh mount of each hierarchy, whose root is the namespace's.
fn each(setup: &Setup<'_>, wish: Wish, host: Option<&Layout>) -> Result<()> {
    let top = tmpfs(setup)?;
    for hierarchy in host.iter().flat_map(|layout| &layout.hierarchies) {
        let name = name(hierarchy);
        let about = format!("/{TARGET}/{name}");
        let fstype = match hierarchy.version {
            Version::V1 => "cgroup",
            Version::V2 => "cgroup2",
        };
        let context = FsContext::open(fstype).at(STEP, fstype)?;
        context
            .set_all(&hierarchy.controllers.join(","))
            .at(STEP, &about)?;
        let tree = context
            .source("none")
            .and_then(|context| context.mount(attrs(wish.access)))
            .at(STEP, &about)?;
        put(&top, &tree, &name)?;
        links(&top, &name)?;
    }
    Ok(())
}

/// Without a namespace: the container's own cgroups, or the whole hierarchies, bound in.
fn bound(setup: &Setup<'_>, wish: Wish, layout: &Layout) -> Result<()> {
    let alone = wish.v2 || host_is_unified();
    let chosen = |h: &&Hierarchy| !wish.v2 || h.version == Version::V2;
    let hierarchies: Vec<&Hierarchy> = layout.hierarchies.iter().filter(chosen).collect();
    if hierarchies.is_empty() {
        return Err(StartError::new(
            STEP,
            "lxc.mount.auto",
            "no cgroup hierarchy of the host is reachable from here",
        )
        .remedy("give the container a cgroup namespace, or leave cgroup out of lxc.mount.auto"));
    }
    let top = match alone && wish.full {
        true => None,
        false => Some(tmpfs(setup)?),
    };
    for hierarchy in hierarchies {
        let name = if alone {
            String::new()
        } else {
            name(hierarchy)
        };
        let own_path = PathBuf::from(&name).join(&hierarchy.own);
        if wish.full {
            let tree = copy(&hierarchy.mount)?;
            if wish.access != Access::Rw {
                set_read_only(&tree, STEP, &name)?;
            }
            match &top {
                Some(top) => put(top, &tree, &name)?,
                None => {
                    let target = setup.root.make_dirs(TARGET).at(STEP, "")?;
                    mount::attach(&tree, &target).at(STEP, format!("/{TARGET}"))?;
                }
            }
        }
        if !wish.full || wish.access == Access::Mixed {
            let own = copy(&hierarchy.mount.join(&hierarchy.own))?;
            if wish.access == Access::Ro {
                set_read_only(&own, STEP, &name)?;
            }
            let below = setup.root.below(TARGET).at(STEP, "")?;
            put(&below, &own, &own_path.to_string_lossy())?;
        }
        if let Some(top) = top.as_ref().filter(|_| !alone) {
            links(top, &name)?;
        }
    }
    match &top {
        Some(top) if wish.access != Access::Rw => set_read_only(top, STEP, TARGET),
        _ => Ok(()),
    }
}

fn tmpfs(setup: &Setup<'_>) -> Result<Root> {
    let target = setup
        .root
        .make_dirs(TARGET)
        .at(STEP, format!("/{TARGET}"))?;
    let context = FsContext::open("tmpfs")
        .and_then(|context| context.source("none"))
        .at(STEP, "tmpfs")?;
    context.set_all("size=10240k,mode=755").at(STEP, "tmpfs")?;
    let tree = context.mount(NO_EXTRAS).at(STEP, "tmpfs")?;
    mount::attach(&tree, &target).at(STEP, format!("/{TARGET}"))?;
    Ok(Root::new(tree))
}

/// Attaches a tree at a directory below `top`; of a cgroup file system the directory is there already.
fn put(top: &Root, tree: impl AsFd, path: &str) -> Result<()> {
    let target = match top.path_fd(path) {
        Ok(target) => Ok(target),
        Err(_) => top.make_dirs(path),
    };
    let about = format!("/{TARGET}/{path}");
    mount::attach(tree, &target.at(STEP, &about)?).at(STEP, &about)
}

fn copy(path: &Path) -> Result<OwnedFd> {
    let about = || path.display().to_string();
    let tree = mount::open_tree_at(path, mount::OPEN_TREE_CLONE).at(STEP, about())?;
    let change = MountAttr {
        set: NO_EXTRAS,
        ..MountAttr::default()
    };
    mount::set_attr(&tree, false, &change).at(STEP, about())?;
    Ok(tree)
}

/// `cpu` and `cpuacct` lead to `cpu,cpuacct`, as programs expect.
fn links(top: &Root, name: &str) -> Result<()> {
    for controller in name.split(',').filter(|part| *part != name) {
        let about = format!("/{TARGET}/{controller}");
        top.link(".", controller, name).at(STEP, about)?;
    }
    Ok(())
}

/// The directory of a hierarchy: what it is called on the host.
fn name(hierarchy: &Hierarchy) -> String {
    let last = hierarchy.mount.file_name();
    last.map_or_else(String::new, |last| last.to_string_lossy().into_owned())
}

fn host_is_unified() -> bool {
    nix::sys::statfs::statfs("/sys/fs/cgroup")
        .is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_say_what_is_mounted_and_what_is_writable() {
        let seen = |bits| {
            let wish = Wish::new(bits);
            (wish.full, wish.access, wish.v2)
        };
        assert_eq!(
            seen(auto_mount::CGROUP_MIXED),
            (false, Access::Mixed, false)
        );
        assert_eq!(seen(auto_mount::CGROUP_RO), (false, Access::Ro, false));
        assert_eq!(seen(auto_mount::CGROUP_RW), (false, Access::Rw, false));
        assert_eq!(
            seen(auto_mount::CGROUP_FULL_MIXED),
            (true, Access::Mixed, false)
        );
        assert_eq!(seen(auto_mount::CGROUP_FULL_RO), (true, Access::Ro, false));
        assert_eq!(seen(auto_mount::CGROUP2_RO), (false, Access::Ro, true));
        assert!(Wish::new(auto_mount::CGROUP2_RW).forced);
        assert!(Wish::new(auto_mount::CGROUP_RW | auto_mount::CGROUP_FORCE).forced);
    }
}
