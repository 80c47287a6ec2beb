//! A directory of the host.

use std::path::{Path, PathBuf};

use super::{Driver, Place, Specs, make_dir};
use crate::error::{Error, Result};
use crate::mounted::{Mounted, Options};
use crate::remove::remove_tree;
use crate::rootfs::Rootfs;

#[derive(Debug)]
pub(super) struct Dir;

impl Driver for Dir {
    fn detect(&self, path: &str) -> bool {
        Path::new(path).is_dir() && !super::btrfs::is_subvolume_at(Path::new(path))
    }

    fn name(&self, place: &Place<'_>, specs: &Specs, _: Option<&Rootfs>) -> Result<Rootfs> {
        let path = specs.dir.clone().unwrap_or_else(|| place.rootfs());
        Ok(Rootfs::at(super::Backend::Dir, &path))
    }

    fn exists(&self, rootfs: &Rootfs) -> Result<bool> {
        Ok(Path::new(&rootfs.path).exists())
    }

    fn create(&self, rootfs: &Rootfs, _: &Specs) -> Result<()> {
        make_dir(Path::new(&rootfs.path), 0o755)
    }

    fn mount(&self, rootfs: &Rootfs, _: &Options) -> Result<Mounted> {
        Mounted::directory(Path::new(&rootfs.path))
    }

    fn rename(&self, from: &Rootfs, to: &Rootfs) -> Result<()> {
        rename(&from.path, &to.path)
    }

    fn destroy(&self, rootfs: &Rootfs) -> Result<()> {
        let path = PathBuf::from(&rootfs.path);
        if !path.is_absolute() || path.components().count() < 3 {
            // Nobody keeps a container in /usr; a wrong line in a configuration may say so.
            return Err(Error::RootfsPath {
                path: rootfs.to_string(),
                reason: "is not removed: it is the root or a directory directly below it",
            });
        }
        remove_tree(&path)
    }
}

/// rename(2); repeated it finds nothing to do.
pub(super) fn rename(from: &str, to: &str) -> Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && Path::new(to).exists() => {
            Ok(())
        }
        other => other.map_err(Error::at("move", from)),
    }
}
