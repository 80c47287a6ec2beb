//! A btrfs subvolume, by ioctl.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::unistd::{UnlinkatFlags, unlinkat};
use rlxc_sys::btrfs;

use super::{Backend, Driver, Place, Specs};
use crate::copy::Progress;
use crate::error::{Error, Result};
use crate::mounted::{Mounted, Options};
use crate::remove::remove_tree;
use crate::rootfs::Rootfs;
use crate::tool;

#[derive(Debug)]
pub(super) struct Btrfs;

/// Whether a path lies on btrfs.
pub(super) fn is_btrfs(path: &Path) -> bool {
    use nix::sys::statfs::{BTRFS_SUPER_MAGIC, statfs};
    statfs(path).is_ok_and(|fs| fs.filesystem_type() == BTRFS_SUPER_MAGIC)
}

/// Whether a subvolume's top is there.
pub(super) fn is_subvolume_at(path: &Path) -> bool {
    is_btrfs(path) && File::open(path).is_ok_and(|dir| btrfs::is_subvolume(&dir))
}

impl Driver for Btrfs {
    fn detect(&self, path: &str) -> bool {
        is_subvolume_at(Path::new(path))
    }

    fn name(&self, place: &Place<'_>, _: &Specs, _: Option<&Rootfs>) -> Result<Rootfs> {
        Ok(Rootfs::at(Backend::Btrfs, &place.rootfs()))
    }

    fn exists(&self, rootfs: &Rootfs) -> Result<bool> {
        Ok(Path::new(&rootfs.path).exists())
    }

    fn create(&self, rootfs: &Rootfs, _: &Specs) -> Result<()> {
        let path = Path::new(&rootfs.path);
        let (dir, name) = parent(path)?;
        btrfs::create_subvolume(&dir, &name).map_err(|error| match error.raw_os_error() {
            Some(number) if number == Errno::ENOTTY as i32 => Error::RootfsPath {
                path: rootfs.to_string(),
                reason: "is not on a btrfs file system",
            },
            _ => Error::at("make the btrfs subvolume", path)(error),
        })?;
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
            .map_err(Error::at("set the mode of", path))
    }

    fn mount(&self, rootfs: &Rootfs, _: &Options) -> Result<Mounted> {
        Mounted::directory(Path::new(&rootfs.path))
    }

    fn share(&self, from: &Rootfs, to: &Rootfs, _: &Specs) -> Result<()> {
        let source = File::open(&from.path).map_err(Error::at("open", &from.path))?;
        let (dir, name) = parent(Path::new(&to.path))?;
        btrfs::snapshot(&dir, &name, &source)
            .map_err(Error::at("make the btrfs snapshot", &to.path))?;
        // A snapshot stops at the subvolumes within, and leaves empty directories in their places.
        let copy = File::open(&to.path).map_err(Error::at("open", &to.path))?;
        share_nested(&source, &copy, Path::new(&from.path))
    }

    /// On one file system the blocks of a full copy are shared too.
    fn duplicate(
        &self,
        from: &Rootfs,
        to: &Rootfs,
        specs: &Specs,
        progress: &Progress,
    ) -> Result<bool> {
        match self.share(from, to, specs) {
            Ok(()) => Ok(true),
            Err(error) if error.errno() == Errno::EXDEV as i32 => {
                send(Path::new(&from.path), Path::new(&to.path), progress)
            }
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Rootfs, to: &Rootfs) -> Result<()> {
        super::dir::rename(&from.path, &to.path)
    }

    fn destroy(&self, rootfs: &Rootfs) -> Result<()> {
        destroy(Path::new(&rootfs.path))
    }
}

fn parent(path: &Path) -> Result<(File, Vec<u8>)> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::at("use", path)(Errno::EINVAL));
    };
    let file = File::open(dir).map_err(Error::at("open", dir))?;
    Ok((file, name.as_bytes().to_vec()))
}

/// The read-only snapshot that is sent, in the original's directory and then in the copy's.
const SENT: &str = "rootfs.send";

/// Sends the subvolume to another btrfs. `false`: that cannot be, since it holds others, or without privilege or tool.
fn send(from: &Path, to: &Path, progress: &Progress) -> Result<bool> {
    let source = File::open(from).map_err(Error::at("open", from))?;
    let nested = btrfs::subvolumes(&source).map_err(Error::at("list the subvolumes of", from))?;
    let privileged = nix::unistd::geteuid().is_root() && super::is_initial_user_namespace();
    if !nested.is_empty() || !privileged || tool::find("btrfs").is_none() {
        return Ok(false);
    }
    let ((home, _), (target, name)) = (parent(from)?, parent(to)?);
    let (sent, received) = (from.with_file_name(SENT), to.with_file_name(SENT));
    // One that is left of a copy that was killed.
    let _ = btrfs::destroy_subvolume(&home, SENT.as_bytes());
    btrfs::snapshot_read_only(&home, SENT.as_bytes(), &source)
        .map_err(Error::at("make the btrfs snapshot", &sent))?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let there = text(received.parent().unwrap_or(Path::new("/")));
    let done = tool::pipe(
        ("btrfs", &["send", "-q", &text(&sent)]),
        ("btrfs", &["receive", "-q", &there]),
        progress,
    );
    let done = done.and_then(|()| {
        let read_only = File::open(&received).map_err(Error::at("open", &received))?;
        btrfs::snapshot(&target, &name, &read_only)
            .map_err(Error::at("make the btrfs snapshot", to))
    });
    let _ = btrfs::destroy_subvolume(&target, SENT.as_bytes());
    let _ = btrfs::destroy_subvolume(&home, SENT.as_bytes());
    done.map(|()| true)
}

/// Opens a directory inside a tree that its owner may be changing: no link leads out of it.
fn open_below(top: &File, path: &Path) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    let path = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    };
    openat2(top, path, how)
}

fn share_nested(source: &File, copy: &File, shown: &Path) -> Result<()> {
    let nested = btrfs::subvolumes(source).map_err(Error::at("list the subvolumes of", shown))?;
    for below in nested {
        let path = shown.join(&below);
        let failed = |operation| Error::at(operation, &path);
        let Some(name) = below.file_name() else {
            continue;
        };
        let original = open_below(source, &below).map_err(failed("open"))?;
        let dir = open_below(copy, below.parent().unwrap_or(Path::new("")))
            .map_err(failed("open the copy's directory of"))?;
        match unlinkat(&dir, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(failed("make room for the copy of")(errno)),
        }
        btrfs::snapshot(&dir, name.as_bytes(), &original)
            .map_err(Error::at("make the btrfs snapshot of", &path))?;
        let inner = open_below(copy, &below).map_err(failed("open the copy of"))?;
        share_nested(&File::from(original), &File::from(inner), &path)?;
    }
    Ok(())
}

/// Deepest first; where the kernel leaves deleting subvolumes to root, they are emptied and removed like directories.
fn destroy(path: &Path) -> Result<()> {
    // Deleting a subvolume would silently unmount what is mounted within.
    if let Some(mounted) = crate::remove::mount_below(path) {
        return Err(Error::MountBelow(mounted));
    }
    let top = match File::open(path) {
        Ok(top) => top,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::at("open", path)(error)),
    };
    if btrfs::is_subvolume(&top) {
        let (dir, name) = parent(path)?;
        if delete(&dir, &name, &top) {
            return Ok(());
        }
    }
    drop(top);
    remove_tree(path)
}

/// Whether the subvolume and those within it could be deleted.
fn delete(dir: &File, name: &[u8], top: &File) -> bool {
    let Ok(nested) = btrfs::subvolumes(top) else {
        return false;
    };
    for below in nested {
        let (Some(parent), Some(name)) = (below.parent(), below.file_name()) else {
            return false;
        };
        let opened = open_below(top, parent).and_then(|dir| Ok((dir, open_below(top, &below)?)));
        let Ok((dir, inner)) = opened else {
            return false;
        };
        if !delete(&File::from(dir), name.as_bytes(), &File::from(inner)) {
            return false;
        }
    }
    btrfs::destroy_subvolume(dir, name).is_ok()
}
