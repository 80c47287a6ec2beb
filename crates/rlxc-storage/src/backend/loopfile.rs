//! A file with a file system in it, on a loop device while it is used.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rlxc_sys::loopdev::LoopDevice;

use super::{Backend, Driver, Guess, Place, Specs, block};
use crate::error::{Error, Result};
use crate::mounted::{Mounted, Options};
use crate::rootfs::Rootfs;
use crate::tool;

#[derive(Debug)]
pub(super) struct Loop;

impl Driver for Loop {
    fn detect(&self, path: &str) -> bool {
        Path::new(path).is_file()
    }

    fn name(&self, place: &Place<'_>, specs: &Specs, _: Option<&Rootfs>) -> Result<Rootfs> {
        tool::check_fs_type(specs.fstype())?;
        Ok(Rootfs::at(Backend::Loop, &place.dir().join("rootdev")))
    }

    fn exists(&self, rootfs: &Rootfs) -> Result<bool> {
        Ok(Path::new(&rootfs.path).exists())
    }

    /// Sparse: one byte is written after the size, as LXC does it.
    fn create(&self, rootfs: &Rootfs, specs: &Specs) -> Result<()> {
        let path = Path::new(&rootfs.path);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(Error::at("make the image", path))?;
        file.write_all_at(&[0], specs.size())
            .map_err(Error::at("set the size of the image", path))?;
        drop(file);
        // The mount point that LXC expects there.
        if let Some(dir) = path.parent() {
            super::make_dir(&dir.join("rootfs"), 0o755)?;
        }
        tool::make_fs(specs.fstype(), &rootfs.path)
    }

    fn mount(&self, rootfs: &Rootfs, options: &Options) -> Result<Mounted> {
        let path = Path::new(&rootfs.path);
        let read_only = options.flags & nix::mount::MsFlags::MS_RDONLY.bits() != 0;
        let device = LoopDevice::attach(path, read_only)
            .map_err(Error::at("put on a loop device the image", path))?;
        let mounted = block::mount(&device.path, options)?;
        // The mount holds the device from here on.
        Ok(mounted)
    }

    fn like(&self, rootfs: &Rootfs) -> Result<Specs> {
        let path = Path::new(&rootfs.path);
        let meta = std::fs::metadata(path).map_err(Error::at("look at the image", path))?;
        Ok(Specs {
            fstype: Guess::magic(path).map(str::to_owned),
            // Without the byte that LXC's way of setting the size adds.
            fssize: Some(meta.len() & !511).filter(|n| *n > 0),
            ..Specs::default()
        })
    }

    fn rename(&self, from: &Rootfs, to: &Rootfs) -> Result<()> {
        super::dir::rename(&from.path, &to.path)
    }

    fn destroy(&self, rootfs: &Rootfs) -> Result<()> {
        match std::fs::remove_file(&rootfs.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::at("remove the image", &rootfs.path)(error))
            }
            _ => Ok(()),
        }
    }
}
