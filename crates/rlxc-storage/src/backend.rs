use std::fmt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use rlxc_config::Config;

use crate::error::{Error, Result};

/// A kind of root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// A directory
    Dir,
    /// Lower directories and a writable upper one
    Overlay,
    /// A btrfs subvolume
    Btrfs,
    /// A file with a file system in it
    Loop,
    /// A logical volume
    Lvm,
    /// A ZFS data set
    Zfs,
    /// A disk image served by qemu-nbd
    Nbd,
    /// A RADOS block device
    Rbd,
}

impl Backend {
    /// LXC's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::Overlay => "overlay",
            Self::Btrfs => "btrfs",
            Self::Loop => "loop",
            Self::Lvm => "lvm",
            Self::Zfs => "zfs",
            Self::Nbd => "nbd",
            Self::Rbd => "rbd",
        }
    }

    /// Whether this build makes, copies and removes such storage.
    #[must_use]
    pub fn is_managed(self) -> bool {
        matches!(self, Self::Dir | Self::Overlay | Self::Btrfs)
    }

    /// Whether a copy can share what is unchanged.
    #[must_use]
    pub fn can_snapshot(self) -> bool {
        matches!(self, Self::Overlay | Self::Btrfs | Self::Lvm | Self::Zfs)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = Error;

    /// `overlayfs` is the old name of `overlay`.
    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "dir" => Self::Dir,
            "overlay" | "overlayfs" => Self::Overlay,
            "btrfs" => Self::Btrfs,
            "loop" => Self::Loop,
            "lvm" => Self::Lvm,
            "zfs" => Self::Zfs,
            "nbd" => Self::Nbd,
            "rbd" => Self::Rbd,
            _ => {
                return Err(Error::Unsupported {
                    backend: name.to_owned(),
                    operation: "be used: the types are dir, overlay, btrfs, loop, lvm, zfs, nbd and rbd",
                });
            }
        })
    }
}

/// A container's root file system: `lxc.rootfs.path`, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rootfs {
    /// What it is
    pub backend: Backend,
    /// Where it is, without the type
    pub path: String,
}

impl fmt::Display for Rootfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.backend, self.path)
    }
}

impl Rootfs {
    /// Reads `lxc.rootfs.path`; `None` when there is none. Without a type in it, the type is found by looking.
    ///
    /// # Errors
    /// [`Error::RootfsPath`] when it cannot be found out.
    pub fn resolve(config: &Config) -> Result<Option<Self>> {
        let Some(path) = config
            .rootfs
            .path
            .as_deref()
            .filter(|path| !path.is_empty())
        else {
            return Ok(None);
        };
        match &config.rootfs.backend {
            Some(backend) => Self::new(backend.parse()?, path).map(Some),
            None => Self::parse(path).map(Some),
        }
    }

    /// Reads `TYPE:PATH`, or a path whose type is found by looking.
    ///
    /// # Errors
    /// [`Error::RootfsPath`].
    pub fn parse(text: &str) -> Result<Self> {
        if !text.starts_with('/')
            && let Some((backend, path)) = text.split_once(':')
        {
            return Self::new(backend.parse()?, path);
        }
        Self::new(probe(text)?, text)
    }

    fn new(backend: Backend, path: &str) -> Result<Self> {
        let rootfs = Self {
            backend,
            path: path.to_owned(),
        };
        if backend == Backend::Overlay {
            rootfs.layers()?;
        }
        Ok(rootfs)
    }

    /// A directory-like root file system at `path`.
    #[must_use]
    pub fn at(backend: Backend, path: &Path) -> Self {
        Self {
            backend,
            path: path.to_string_lossy().into_owned(),
        }
    }

    /// An overlay: `LOWER[:LOWER…]:UPPER`.
    #[must_use]
    pub fn overlay(lower: &str, upper: &Path) -> Self {
        Self {
            backend: Backend::Overlay,
            path: format!("{lower}:{}", upper.display()),
        }
    }

    /// An overlay's lower directories, colon-separated, and its upper directory.
    ///
    /// # Errors
    /// [`Error::RootfsPath`] when it has not that form.
    pub fn layers(&self) -> Result<(&str, PathBuf)> {
        let (lower, upper) = self
            .path
            .rsplit_once(":/")
            .ok_or_else(|| Error::RootfsPath {
                path: self.to_string(),
                reason: "is not of the form overlay:LOWER:UPPER",
            })?;
        Ok((lower, Path::new("/").join(upper)))
    }

    /// The directory that holds what the container wrote.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for block devices and data sets.
    pub fn writable(&self, operation: &'static str) -> Result<PathBuf> {
        match self.backend {
            Backend::Dir | Backend::Btrfs => Ok(PathBuf::from(&self.path)),
            Backend::Overlay => Ok(self.layers()?.1),
            other => Err(Error::Unsupported {
                backend: other.to_string(),
                operation,
            }),
        }
    }

    /// Mounts it at `target` in the caller's mount namespace (meant to be a private one).
    ///
    /// # Errors
    /// [`Error::Path`], [`Error::Unsupported`].
    pub fn mount(&self, target: &Path) -> Result<()> {
        let failed = Error::at("mount the rootfs at", target);
        let none: Option<&str> = None;
        match self.backend {
            Backend::Dir | Backend::Btrfs => {
                let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
                mount(Some(self.path.as_str()), target, none, flags, none).map_err(failed)
            }
            Backend::Overlay => {
                let (lower, upper) = self.layers()?;
                let work = work_dir(&upper);
                let data = format!(
                    "upperdir={},lowerdir={lower},workdir={}",
                    upper.display(),
                    work.display()
                );
                let overlay = |data: &str| {
                    let flags = MsFlags::empty();
                    mount(Some("overlay"), target, Some("overlay"), flags, Some(data))
                };
                // In a user namespace the layers' marks have to be user attributes.
                overlay(&data)
                    .or_else(|errno| match errno {
                        Errno::EPERM => overlay(&format!("{data},userxattr")),
                        other => Err(other),
                    })
                    .map_err(failed)
            }
            other => Err(Error::Unsupported {
                backend: other.to_string(),
                operation: "be mounted here",
            }),
        }
    }
}

/// An overlay's work directory: `work` beside the upper one.
pub(crate) fn work_dir(upper: &Path) -> PathBuf {
    upper.with_file_name("work")
}

/// Makes a directory with exactly that mode, whatever the umask is; it may exist.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(mode);
    builder
        .create(path)
        .map_err(Error::at("make the directory", path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(Error::at("set the mode of", path))
}

fn probe(path: &str) -> Result<Backend> {
    let meta = std::fs::metadata(path).map_err(Error::at("look at the rootfs", path))?;
    if meta.is_dir() {
        let dir = std::fs::File::open(path);
        let subvolume = dir.is_ok_and(|dir| rlxc_sys::btrfs::is_subvolume(&dir));
        return Ok(match subvolume {
            true => Backend::Btrfs,
            false => Backend::Dir,
        });
    }
    if meta.is_file() {
        return Ok(Backend::Loop);
    }
    match path.strip_prefix("/dev/") {
        Some(rest) if rest.starts_with("rbd") => Ok(Backend::Rbd),
        Some(rest) if rest.contains('/') => Ok(Backend::Lvm),
        _ => Err(Error::RootfsPath {
            path: path.to_owned(),
            reason: "is of no known type; write TYPE: before it",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_is_split_at_the_last_colon_and_slash() -> Result<()> {
        let rootfs = Rootfs::parse("overlayfs:/a:/b:/c/delta")?;
        assert_eq!(rootfs.backend, Backend::Overlay);
        assert_eq!(rootfs.layers()?, ("/a:/b", PathBuf::from("/c/delta")));
        assert_eq!(rootfs.to_string(), "overlay:/a:/b:/c/delta");
        assert!(Rootfs::parse("overlay:/only").is_err());
        Ok(())
    }

    #[test]
    fn a_path_without_type_is_looked_at() -> Result<()> {
        assert_eq!(Rootfs::parse("/")?.path, "/");
        assert!(Rootfs::parse("/nonexistent/x").is_err());
        assert!(Rootfs::parse("floppy:/x").is_err());
        Ok(())
    }
}
