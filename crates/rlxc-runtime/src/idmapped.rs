//! Idmapped mounts: detached trees that the monitor prepares and its child attaches.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rlxc_config::{IdmapSource, Namespace};
use rlxc_sys::mount::{self, MountAttr, attr};

use crate::error::{Context, StartError};
use crate::plan::{MountStep, Plan};

const STEP: &str = "idmapped mounts";

/// The trees: the rootfs, if it is idmapped, and the mount entries' in their order.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    pub(crate) rootfs: Option<OwnedFd>,
    pub(crate) entries: Vec<OwnedFd>,
}

/// `idmap=container` or `idmap=/path` of `lxc.rootfs.options`.
pub(crate) fn of_rootfs(plan: &Plan) -> Option<IdmapSource> {
    let options = plan.rootfs.as_ref()?.options.as_ref()?;
    let value = options.split(',').find_map(|o| o.strip_prefix("idmap="))?;
    Some(match value {
        "container" => IdmapSource::Container,
        path => IdmapSource::Path(path.into()),
    })
}

/// Whether what is to be idmapped can be; before anything is created.
pub(crate) fn check(plan: &Plan) -> Result<(), StartError> {
    if let (Some(source), Some(rootfs)) = (of_rootfs(plan), &plan.rootfs) {
        let about = format!("lxc.rootfs.options ({})", rootfs.source);
        if !Path::new(&rootfs.source).is_dir() {
            let what = "only a directory can be idmapped as the rootfs";
            return Err(StartError::new(STEP, about, what));
        }
        check_source(plan, &source, &about)?;
    }
    for step in &plan.mounts {
        if let MountStep::Entry { origin, entry } = step
            && let Some(source) = &entry.idmap
        {
            let about = format!("{} on /{} ({origin})", entry.source, entry.target);
            check_source(plan, source, &about)?;
        }
    }
    Ok(())
}

fn check_source(plan: &Plan, source: &IdmapSource, about: &str) -> Result<(), StartError> {
    let namespaces = &plan.namespaces;
    let has_user = namespaces.clone.contains(Namespace::User)
        || namespaces.share.contains_key(&Namespace::User);
    match source {
        IdmapSource::Container if !has_user => {
            Err(
                StartError::new(STEP, about, "the container has no user namespace")
                    .remedy("set lxc.idmap, or name a user namespace file after idmap="),
            )
        }
        IdmapSource::Path(path) if !path.exists() => Err(StartError::new(
            STEP,
            about,
            "the user namespace file does not exist",
        )),
        _ => Ok(()),
    }
}

/// Makes all trees that the plan wants; `pid` is in the container's user namespace.
pub(crate) fn prepare(plan: &Plan, pid: i32) -> Result<Trees, StartError> {
    let mut trees = Trees::default();
    if let (Some(source), Some(rootfs)) = (of_rootfs(plan), &plan.rootfs) {
        let about = format!("lxc.rootfs.options ({})", rootfs.source);
        trees.rootfs = Some(tree(pid, &source, Path::new(&rootfs.source), true, &about)?);
    }
    for step in &plan.mounts {
        let MountStep::Entry { origin, entry } = step else {
            continue;
        };
        let Some(source) = &entry.idmap else { continue };
        let recursive = entry.flags & nix::mount::MsFlags::MS_REC.bits() != 0;
        let about = format!("{} on /{} ({origin})", entry.source, entry.target);
        let path = Path::new(&entry.source);
        trees
            .entries
            .push(tree(pid, source, path, recursive, &about)?);
    }
    Ok(trees)
}

fn tree(
    pid: i32,
    source: &IdmapSource,
    path: &Path,
    recursive: bool,
    about: &str,
) -> Result<OwnedFd, StartError> {
    let userns = match source {
        IdmapSource::Container => format!("/proc/{pid}/ns/user").into(),
        IdmapSource::Path(path) => path.clone(),
    };
    let userns = File::open(&userns).at(STEP, format!("{about}: {}", userns.display()))?;
    let mut flags = mount::OPEN_TREE_CLONE;
    if recursive {
        flags |= mount::AT_RECURSIVE;
    }
    let tree = mount::open_tree_at(path, flags).at(STEP, about)?;
    let change = MountAttr {
        set: attr::IDMAP,
        userns: Some(userns.as_fd()),
        ..MountAttr::default()
    };
    mount::set_attr(&tree, recursive, &change)
        .at(STEP, about)
        .map_err(|error| {
            error.remedy("the file system, or a mount below it, cannot be idmapped, or the caller is not root on it")
        })?;
    Ok(tree)
}
