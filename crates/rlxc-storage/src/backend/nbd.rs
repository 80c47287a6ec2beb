//! A disk image served by qemu-nbd.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Backend, Driver, Place, Specs, block};
use crate::error::{Error, Result};
use crate::mounted::{Mounted, Options};
use crate::rootfs::Rootfs;
use crate::tool;

#[derive(Debug)]
pub(super) struct Nbd;

/// How long the kernel may take to show a partition.
const PATIENCE: Duration = Duration::from_secs(5);

/// `FILE[:PARTITION]`
fn parts(path: &str) -> (&str, Option<u32>) {
    let split = path.rsplit_once(':');
    match split.and_then(|(file, number)| Some((file, number.parse().ok()?))) {
        Some((file, number)) => (file, Some(number)),
        None => (path, None),
    }
}

/// The device, which is disconnected when nobody needs it any more.
struct Device(PathBuf);

impl Drop for Device {
    fn drop(&mut self) {
        if let Err(error) = tool::run("qemu-nbd", &["-d", &self.0.to_string_lossy()]) {
            tracing::warn!("{error} - Failed to disconnect {}", self.0.display());
        }
    }
}

/// The first device that serves nothing.
fn free() -> Result<PathBuf> {
    let mut any = false;
    for number in 0..256 {
        let block = PathBuf::from(format!("/sys/block/nbd{number}"));
        if !block.exists() {
            break;
        }
        any = true;
        if !block.join("pid").exists() {
            return Ok(PathBuf::from(format!("/dev/nbd{number}")));
        }
    }
    Err(Error::RootfsPath {
        path: "nbd".to_owned(),
        reason: match any {
            true => "needs a network block device, and all of them are in use",
            false => "needs the kernel's module nbd: load it with modprobe nbd max_part=16",
        },
    })
}

fn attach(path: &str) -> Result<(Device, PathBuf)> {
    let (file, partition) = parts(path);
    std::fs::metadata(file).map_err(Error::at("look at the image", file))?;
    let device = free()?;
    tool::run("qemu-nbd", &["-c", &device.to_string_lossy(), file])?;
    let held = Device(device.clone());
    let Some(number) = partition else {
        return Ok((held, device));
    };
    let wanted = PathBuf::from(format!("{}p{number}", device.display()));
    let until = Instant::now() + PATIENCE;
    while !wanted.exists() {
        if Instant::now() > until {
            let missing = nix::errno::Errno::ENOENT;
            return Err(Error::at("find the partition", wanted)(missing));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((held, wanted))
}

impl Driver for Nbd {
    fn detect(&self, path: &str) -> bool {
        let (file, partition) = parts(path);
        partition.is_some() && Path::new(file).is_file()
    }

    fn name(&self, _: &Place<'_>, _: &Specs, _: Option<&Rootfs>) -> Result<Rootfs> {
        Err(Backend::Nbd.cannot("be made; only existing images can be used"))
    }

    fn exists(&self, rootfs: &Rootfs) -> Result<bool> {
        Ok(Path::new(parts(&rootfs.path).0).exists())
    }

    fn create(&self, _: &Rootfs, _: &Specs) -> Result<()> {
        Err(Backend::Nbd.cannot("be made; only existing images can be used"))
    }

    fn mount(&self, rootfs: &Rootfs, options: &Options) -> Result<Mounted> {
        let (held, device) = attach(&rootfs.path)?;
        Ok(block::mount(&device, options)?.holding(held))
    }

    fn rename(&self, _: &Rootfs, _: &Rootfs) -> Result<()> {
        Err(Backend::Nbd.cannot("be renamed"))
    }

    /// As LXC: the image belongs to the user.
    fn destroy(&self, _: &Rootfs) -> Result<()> {
        Err(Backend::Nbd.cannot(
            "be removed; set lxc.rootfs.managed = 0 to keep the image, and remove it yourself",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_stands_behind_the_last_colon() {
        assert_eq!(parts("/a/b.qcow2:1"), ("/a/b.qcow2", Some(1)));
        assert_eq!(parts("/a/b:c.raw"), ("/a/b:c.raw", None));
        assert_eq!(parts("/a"), ("/a", None));
    }
}
