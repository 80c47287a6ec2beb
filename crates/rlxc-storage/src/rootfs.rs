//! `lxc.rootfs.path`, understood.

use std::fmt;
use std::path::{Path, PathBuf};

use rlxc_config::Config;

use crate::backend::{Backend, detect};
use crate::error::{Error, Result};

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
        let path = config.rootfs.path.as_deref();
        let Some(path) = path.filter(|path| !path.is_empty()) else {
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
        Self::new(detect(text)?, text)
    }

    /// A root file system of that type.
    ///
    /// # Errors
    /// [`Error::RootfsPath`] when the path has not the form that the type wants.
    pub fn new(backend: Backend, path: &str) -> Result<Self> {
        let rootfs = Self {
            backend,
            path: path.to_owned(),
        };
        if backend == Backend::Overlay {
            rootfs.layers()?;
        }
        Ok(rootfs)
    }

    /// One that is at `path` in the file system: a directory, a subvolume, an image.
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
        let bad = || Error::RootfsPath {
            path: self.to_string(),
            reason: "is not of the form overlay:LOWER:UPPER",
        };
        let (lower, upper) = self.path.rsplit_once(":/").ok_or_else(bad)?;
        if lower.is_empty() {
            return Err(bad());
        }
        Ok((lower, Path::new("/").join(upper)))
    }

    /// What of it lies in the file system and is its own: a directory, a subvolume, an overlay's upper directory, an
    /// image. `None` for devices and data sets.
    #[must_use]
    pub fn own_path(&self) -> Option<PathBuf> {
        match self.backend {
            Backend::Dir | Backend::Btrfs | Backend::Loop => Some(PathBuf::from(&self.path)),
            Backend::Overlay => self.layers().ok().map(|(_, upper)| upper),
            Backend::Lvm | Backend::Zfs | Backend::Nbd | Backend::Rbd => None,
        }
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
        for bad in ["overlay:/only", "overlay::/only", "overlay:a:b"] {
            assert!(Rootfs::parse(bad).is_err(), "{bad}");
        }
        Ok(())
    }

    #[test]
    fn a_path_without_type_is_looked_at() -> Result<()> {
        assert_eq!(Rootfs::parse("/")?.path, "/");
        assert!(Rootfs::parse("/no-such-place/x").is_err());
        assert!(Rootfs::parse("floppy:/x").is_err());
        Ok(())
    }
}
