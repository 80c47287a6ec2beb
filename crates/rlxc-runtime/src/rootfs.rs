//! From `lxc.rootfs.*` to a tree at `lxc.rootfs.mount`.

use std::os::fd::OwnedFd;
use std::path::Path;

use rlxc_sys::mount;

use crate::error::{Context, StartError};
use crate::plan::{Plan, RootfsPlan};
use crate::root::Root;

/// Where the rootfs comes from, found out by the monitor.
#[derive(Debug, Default)]
pub(crate) struct Source {}

impl Source {
    pub(crate) fn resolve(plan: &Plan) -> Result<Self, StartError> {
        let step = "rootfs";
        let Some(rootfs) = &plan.rootfs else {
            return Ok(Self {});
        };
        let path = &rootfs.mount;
        std::fs::metadata(path)
            .at_path(step, path)
            .map_err(|error| {
                error.remedy("make that directory, or name another one in lxc.rootfs.mount")
            })?;
        let source = &rootfs.source;
        let meta = std::fs::metadata(source).at(step, format!("lxc.rootfs.path = {source}"))?;
        if !meta.is_dir() {
            return Err(StartError::new(step, source, "is not a directory"));
        }
        Ok(Self {})
    }

    pub(crate) fn mount(
        &self,
        rootfs: &RootfsPlan,
        tree: Option<OwnedFd>,
    ) -> Result<(), StartError> {
        let step = "rootfs";
        let source = Path::new(&rootfs.source);
        let tree = match tree {
            Some(tree) => tree,
            None => mount::open_tree_at(source, mount::OPEN_TREE_CLONE | mount::AT_RECURSIVE)
                .at_path(step, source)?,
        };
        let target = Root::open_host(&rootfs.mount).at_path(step, &rootfs.mount)?;
        mount::attach(&tree, &target).at_path(step, &rootfs.mount)
    }
}
