//! A file of an overlay overwritten without mounting it: the end of a mount waits until all of the upper layer's file
//! system is on the disk.

use std::ffi::{CStr, OsStr};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, mkdirat};
use nix::unistd::{Gid, Uid, fchown};

use crate::error::{Error, Result};
use crate::rootfs::Rootfs;

const DIRECTORY: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// What a name is in one layer.
enum Found {
    Nothing,
    Is(OwnedFd),
    /// A link, a whiteout, a directory that is not merged: for the kernel to judge
    Else,
}

/// Writes the text to `/DIRECTORY/FILE` if that file is there, as a copy of the lower layer's or in place. `false`: it is
/// no plain file in a plain directory, and nothing was done; that needs the mount.
pub(crate) fn overwrite(rootfs: &Rootfs, file: &Path, text: &str) -> Result<bool> {
    let (lower, upper) = rootfs.layers()?;
    let names: Vec<&OsStr> = file
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect();
    let [dir, name] = names[..] else {
        return Ok(false);
    };
    if lower.contains(':') {
        return Ok(false);
    }
    let open = |path: &Path| {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        nix::fcntl::open(path, flags, Mode::empty()).map_err(Error::at("open", path))
    };
    let (lower, top) = (open(Path::new(lower))?, open(&upper)?);
    let shown = || Error::at("write, in the container,", file);
    write(&lower, &top, dir, name, text).map_err(shown())
}

fn write(
    lower: &OwnedFd,
    upper: &OwnedFd,
    dir: &OsStr,
    name: &OsStr,
    text: &str,
) -> nix::Result<bool> {
    let upper_dir = match find(upper, dir, SFlag::S_IFDIR)? {
        Found::Else => return Ok(false),
        Found::Is(upper_dir) if is_marked(&upper_dir) => return Ok(false),
        Found::Is(upper_dir) => Some(upper_dir),
        Found::Nothing => None,
    };
    if let Some(upper_dir) = &upper_dir {
        match find(upper_dir, name, SFlag::S_IFREG)? {
            Found::Else => return Ok(false),
            Found::Is(file) if is_marked(&file) => return Ok(false),
            Found::Is(_) => return replace(upper_dir, name, text),
            Found::Nothing => {}
        }
    }
    let lower_dir = match find(lower, dir, SFlag::S_IFDIR)? {
        Found::Else => return Ok(false),
        // Neither directory nor file.
        Found::Nothing => return Ok(true),
        Found::Is(lower_dir) if is_marked(&lower_dir) => return Ok(false),
        Found::Is(lower_dir) => lower_dir,
    };
    let original = match find(&lower_dir, name, SFlag::S_IFREG)? {
        Found::Else => return Ok(false),
        Found::Nothing => return Ok(true),
        Found::Is(original) => original,
    };
    let upper_dir = match upper_dir {
        Some(upper_dir) => upper_dir,
        None => {
            mkdirat(upper, dir, Mode::S_IRWXU)?;
            let made = openat(upper, dir, DIRECTORY, Mode::empty())?;
            look_like(&lower_dir, &made)?;
            made
        }
    };
    let make = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let copy = openat(&upper_dir, name, make, Mode::S_IRUSR | Mode::S_IWUSR)?;
    look_like(&original, &copy)?;
    fill(copy, text)
}

/// An entry of a directory, if it is of that type.
fn find(dir: &OwnedFd, name: &OsStr, wanted: SFlag) -> nix::Result<Found> {
    // O_NONBLOCK: whoever made the tree may have put a fifo there.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let path = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let is_wanted =
        |stat: &FileStat| SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == wanted;
    let seen = match openat(dir, name, path, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(Found::Nothing),
        other => other?,
    };
    if !is_wanted(&fstat(&seen)?) {
        return Ok(Found::Else);
    }
    let opened = openat(dir, name, flags, Mode::empty())?;
    Ok(match is_wanted(&fstat(&opened)?) {
        true => Found::Is(opened),
        false => Found::Else,
    })
}

fn is_overlays(name: &CStr) -> bool {
    let name = name.to_bytes();
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// Whether the overlay has said something special: that a directory hides the lower one or was moved, that a file has
/// its data below.
fn is_marked(entry: &OwnedFd) -> bool {
    let special = |name: &CStr| {
        let name = name.to_bytes();
        let marks = [&b"opaque"[..], b"redirect", b"metacopy"];
        marks.iter().any(|mark| name.ends_with(mark))
    };
    // Without knowing there may be one.
    rlxc_sys::fs::list_xattrs(entry).map_or(true, |names| {
        names.iter().any(|name| is_overlays(name) && special(name))
    })
}

/// Owner, mode and attributes, as when the kernel copies something up; the order matters, since a change of owner clears
/// set-id bits.
fn look_like(from: &OwnedFd, to: &OwnedFd) -> nix::Result<()> {
    let stat = fstat(from)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fchown(to, Some(uid), Some(gid))?;
    fchmod(to, Mode::from_bits_truncate(stat.st_mode))?;
    for name in rlxc_sys::fs::list_xattrs(from).unwrap_or_default() {
        if is_overlays(&name) {
            continue;
        }
        if let Ok(value) = rlxc_sys::fs::get_xattr(from, &name) {
            // What cannot be kept on this file system the kernel's own copy would not keep either.
            let _ = rlxc_sys::fs::set_xattr(to, &name, &value);
        }
    }
    Ok(())
}

fn replace(dir: &OwnedFd, name: &OsStr, text: &str) -> nix::Result<bool> {
    let flags = OFlag::O_WRONLY | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = openat(dir, name, flags | OFlag::O_CLOEXEC, Mode::empty())?;
    fill(file, text)
}

fn fill(file: OwnedFd, text: &str) -> nix::Result<bool> {
    let written = std::fs::File::from(file).write_all(text.as_bytes());
    let failed = |error: std::io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    written.map(|()| true).map_err(failed)
}
