use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, SFlag, mknodat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use rlxc_runtime::control::{DeviceAccess, change_device};

use crate::container::Container;
use crate::error::{Error, Result};

impl Container {
    /// Makes a device node inside (`inside`: under which path, default the same) and allows it.
    ///
    /// # Errors
    /// [`Error::NotRunning`], [`Error::Path`], [`Error::Control`].
    pub fn add_device_node(&self, path: &Path, inside: Option<&Path>) -> Result<()> {
        let device = Device::look(inside.filter(|p| p.exists()).unwrap_or(path))
            .or_else(|_| Device::look(path))?;
        let inside = inside.unwrap_or(path);
        change_device(&self.client(), device.access, true)?;
        let (dir, name) = self.open_parent(inside, true)?;
        let bits = Mode::from_bits_truncate(device.mode & 0o7777);
        match mknodat(&dir, name, device.kind, bits, device.number) {
            // One that is there already is allowed from now on.
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(Error::path("make the device node", inside)(errno)),
        }
    }

    /// Removes a device node inside and denies it.
    ///
    /// # Errors
    /// As [`Container::add_device_node`].
    pub fn remove_device_node(&self, path: &Path, inside: Option<&Path>) -> Result<()> {
        let device = Device::look(path)?;
        let inside = inside.unwrap_or(path);
        let (dir, name) = self.open_parent(inside, false)?;
        unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir)
            .map_err(Error::path("remove the device node", inside))?;
        Ok(change_device(&self.client(), device.access, false)?)
    }

    /// Opens the directory of a path inside, resolved in the container's root, never out of it.
    fn open_parent<'a>(&self, path: &'a Path, make: bool) -> Result<(File, &'a Path)> {
        let failed = |operation| Error::path::<Errno>(operation, path);
        let pid = self.need_init_pid()?;
        let root = File::open(format!("/proc/{pid}/root"))
            .map_err(Error::path("open the root of", self.dir()))?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::refused(
                Errno::EINVAL,
                format!("{} is no path of a device node", path.display()),
            ));
        };
        let how = OpenHow::new()
            .flags(OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let parent = match parent.as_os_str().is_empty() {
            true => Path::new("/"),
            false => parent,
        };
        let mut dir =
            File::from(openat2(&root, "/", how).map_err(failed("open the container's root for"))?);
        for part in parent
            .components()
            .filter(|c| matches!(c, std::path::Component::Normal(_)))
        {
            let part = Path::new(part.as_os_str());
            let next = match openat2(&dir, part, in_dir()) {
                Err(Errno::ENOENT) if make => {
                    nix::sys::stat::mkdirat(&dir, part, Mode::from_bits_truncate(0o755))
                        .map_err(failed("make the directory of"))?;
                    openat2(&dir, part, in_dir())
                }
                other => other,
            };
            dir = File::from(next.map_err(failed("open the directory of"))?);
        }
        Ok((dir, Path::new(name)))
    }
}

/// One step down, through no link at all: /dev of a container has none in the way.
fn in_dir() -> OpenHow {
    OpenHow::new()
        .flags(OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_BENEATH)
}

struct Device {
    kind: SFlag,
    mode: u32,
    number: u64,
    access: DeviceAccess,
}

impl Device {
    fn look(path: &Path) -> Result<Self> {
        let meta = std::fs::metadata(path).map_err(Error::path("look at the device", path))?;
        let block = meta.file_type().is_block_device();
        if !block && !meta.file_type().is_char_device() {
            return Err(Error::refused(
                Errno::ENODEV,
                format!("{} is no device", path.display()),
            ));
        }
        let number = meta.rdev();
        let part = |n: u64| u32::try_from(n).ok();
        Ok(Self {
            kind: if block {
                SFlag::S_IFBLK
            } else {
                SFlag::S_IFCHR
            },
            mode: meta.mode(),
            number,
            access: DeviceAccess {
                block,
                major: part(nix::sys::stat::major(number)),
                minor: part(nix::sys::stat::minor(number)),
                read: true,
                write: true,
                mknod: true,
            },
        })
    }
}
