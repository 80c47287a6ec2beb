//! What differs between two trees: the entries that came, went and changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use serde::{Deserialize, Serialize};

use crate::backend::{Backend, parted};
use crate::error::{Error, Result};
use crate::mounted::Options;
use crate::rootfs::Rootfs;
use crate::walk::Spot;

mod scope;

use scope::{DIRECTORY, Scope, Touched, list};

/// What happened to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It came
    Added,
    /// It went
    Removed,
    /// Its type, contents, owner, mode or attributes changed
    Changed,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What happened
    pub kind: ChangeKind,
    /// Inside the root file system
    pub path: PathBuf,
}

/// What makes `new` differ from `old`, sorted by path. A directory that came or went stands for all that is in it.
///
/// Regular files of one size and modification time count as the same, as with rsync; of those that differ in time only,
/// or whose time cannot be trusted, the bytes are compared. No link is followed.
///
/// # Errors
/// [`Error::Path`].
pub fn diff_trees(old: &OwnedFd, new: &OwnedFd) -> Result<Vec<Change>> {
    let spot = |fd: &OwnedFd| {
        fd.try_clone()
            .map(Spot::top)
            .map_err(Error::at("open", "/"))
    };
    walk(spot(old)?, spot(new)?, Scope::All, None)
}

/// As [`diff_trees`], for two root file systems. Of overlays on the same lower directories only what either of them
/// wrote is looked at. `mapped`: their containers have user namespaces.
///
/// # Errors
/// As [`diff_trees`], and as mounting them.
pub(crate) fn diff(old: &Rootfs, new: &Rootfs, mapped: bool) -> Result<Vec<Change>> {
    let reading = Options {
        user_marks: mapped,
        ..Options::reading()
    };
    let (before, after) = (old.mount(&reading)?, new.mount(&reading)?);
    let (from, to) = (before.top()?, after.top()?);
    let parted = match (old.backend, new.backend) {
        (Backend::Btrfs, Backend::Btrfs) => related(&from, &to).map(|(_, born)| born),
        (Backend::Zfs, Backend::Zfs) => parted(old, new),
        _ => None,
    };
    let scope = match (old.backend, new.backend) {
        (Backend::Overlay, Backend::Overlay) => {
            let ((lower, upper), (other, other_upper)) = (old.layers()?, new.layers()?);
            let spot = |path: &Path| {
                let opened = nix::fcntl::open(path, DIRECTORY, Mode::empty());
                opened.map(Spot::top).map_err(Error::at("open", path))
            };
            match lower == other {
                true => Scope::Layers([Some(spot(&upper)?), Some(spot(&other_upper)?)]),
                false => Scope::All,
            }
        }
        (Backend::Btrfs, Backend::Btrfs) => match touched(&from, &to) {
            Some(touched) => Scope::Touched(Arc::new(touched)),
            None => Scope::All,
        },
        _ => Scope::All,
    };
    walk(Spot::top(from), Spot::top(to), scope, parted)
}

/// If one of two btrfs subvolumes was made as a snapshot of the other: in which transaction, and when.
fn related(old: &OwnedFd, new: &OwnedFd) -> Option<(u64, i64)> {
    use rlxc_sys::btrfs::subvolume;
    let (old, new) = (subvolume(old).ok()?, subvolume(new).ok()?);
    match (old.parent == new.uuid, new.parent == old.uuid) {
        (true, _) => Some((old.made, old.born)),
        (_, true) => Some((new.made, new.born)),
        _ => None,
    }
}

/// What was touched since one of two btrfs subvolumes was made as a snapshot of the other. `None`: it was not, or that
/// cannot be found out: then all is compared.
fn touched(old: &OwnedFd, new: &OwnedFd) -> Option<Touched> {
    use rlxc_sys::btrfs;
    let (since, _) = related(old, new)?;
    let mut touched = Touched::default();
    for side in [old, new] {
        // Subvolumes within have transactions of their own.
        if !btrfs::subvolumes(side).ok()?.is_empty() {
            return None;
        }
        nix::unistd::syncfs(side).ok()?;
        for inode in btrfs::changed_since(side, since).ok()? {
            match inode {
                btrfs::SUBVOLUME_INODE => touched.add(Path::new("")),
                inode => {
                    let paths = btrfs::paths_of(side, inode).ok()?;
                    paths.iter().for_each(|path| touched.add(path));
                }
            }
        }
    }
    Some(touched)
}

/// `parted`: when one side was made out of the other, sharing its inodes, in seconds.
fn walk(old: Spot, new: Spot, scope: Scope, parted: Option<i64>) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    let mut stack = vec![(PathBuf::from("/"), old, new, scope)];
    while let Some((path, old, new, scope)) = stack.pop() {
        let here = scope.visit(&path)?;
        let pair = match (old.open(), new.open()) {
            (Ok(old), Ok(new)) => Pair {
                old: Arc::new(old),
                new: Arc::new(new),
            },
            // Another process took it away meanwhile.
            (Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP), _)
            | (_, Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)) => continue,
            (Err(errno), _) | (_, Err(errno)) => return Err(Error::at("open", &path)(errno)),
        };
        let (before, after) = (
            entries(&pair.old, here.names.as_ref(), &path)?,
            entries(&pair.new, here.names.as_ref(), &path)?,
        );
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            push(&mut changes, ChangeKind::Removed, &path, name);
        }
        for (name, stat) in &after {
            let below = path.join(name);
            let Some(was) = before.get(name) else {
                push(&mut changes, ChangeKind::Added, &path, name);
                continue;
            };
            let touched = here.is_touched(&below);
            // In the very second when the sides parted an inode may have been changed with no other time to show.
            let settled = !touched && parted.is_some_and(|at| stat.st_ctime < at - 1);
            let how = (touched, settled);
            if differs(&pair, name, was, stat, how).map_err(Error::at("compare", &below))? {
                push(&mut changes, ChangeKind::Changed, &path, name);
            }
            if kind(was) != SFlag::S_IFDIR || kind(stat) != SFlag::S_IFDIR {
                continue;
            }
            let same = was.st_ino == stat.st_ino;
            if let Some(scope) = here.child(&below, name, same)
                && let Ok(name) = CString::new(name.as_bytes())
            {
                let (old, new) = (old.child(&pair.old, &name), new.child(&pair.new, &name));
                stack.push((below, old, new, scope));
            }
        }
    }
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}

/// Directories of both sides that belong together.
struct Pair {
    old: Arc<OwnedFd>,
    new: Arc<OwnedFd>,
}

fn push(changes: &mut Vec<Change>, kind: ChangeKind, dir: &Path, name: &OsStr) {
    let path = dir.join(name);
    changes.push(Change { kind, path });
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// The entries of a directory, or those of them that are wanted.
fn entries(
    dir: &OwnedFd,
    wanted: Option<&BTreeSet<OsString>>,
    shown: &Path,
) -> Result<BTreeMap<OsString, FileStat>> {
    let names = match wanted {
        Some(names) => names.iter().cloned().collect(),
        None => {
            let text = |name: CString| OsStr::from_bytes(name.to_bytes()).to_owned();
            list(dir, shown)?.into_iter().map(text).collect::<Vec<_>>()
        }
    };
    let mut all = BTreeMap::new();
    for name in names {
        match fstatat(dir, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                all.insert(name, stat);
            }
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(Error::below("look at", shown, name.as_bytes(), errno)),
        }
    }
    Ok(all)
}

fn differs(
    pair: &Pair,
    name: &OsStr,
    was: &FileStat,
    is: &FileStat,
    (touched, settled): (bool, bool),
) -> std::result::Result<bool, Errno> {
    let (old, new) = (&*pair.old, &*pair.new);
    let identity = |s: &FileStat| (s.st_ino, s.st_ctime, s.st_ctime_nsec, s.st_size, s.st_mode);
    if settled && identity(was) == identity(is) {
        // In a snapshot of a btrfs or ZFS the entry itself is older than the snapshot: nothing has touched it since.
        return Ok(false);
    }
    let rights = |s: &FileStat| (s.st_mode, s.st_uid, s.st_gid);
    if rights(was) != rights(is) {
        return Ok(true);
    }
    if kind(is) == SFlag::S_IFLNK {
        return Ok(readlinkat(old, name)? != readlinkat(new, name)?);
    }
    if kind(is) == SFlag::S_IFCHR || kind(is) == SFlag::S_IFBLK {
        return Ok(was.st_rdev != is.st_rdev);
    }
    if kind(is) != SFlag::S_IFREG {
        return Ok(attributes(old, name)? != attributes(new, name)?);
    }
    if was.st_size != is.st_size {
        return Ok(true);
    }
    let time = |s: &FileStat| (s.st_mtime, s.st_mtime_nsec);
    let whole_seconds = is.st_mtime_nsec == 0;
    let suspect = touched || whole_seconds || written_when_copied(was, is);
    if (time(was) != time(is) || suspect) && bytes_differ(old, new, name)? {
        return Ok(true);
    }
    Ok(attributes(old, name)? != attributes(new, name)?)
}

/// Whether a file was last written about when its copy in the snapshot was made (which its change time tells): then it
/// may have been written once more within the same tick of the clock, with the same time.
fn written_when_copied(copy: &FileStat, file: &FileStat) -> bool {
    // The coarsest tick of a kernel is ten milliseconds.
    const TICKS: i128 = 20_000_000;
    let nanoseconds =
        |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    let copied = nanoseconds(copy.st_ctime, copy.st_ctime_nsec);
    let written = nanoseconds(file.st_mtime, file.st_mtime_nsec);
    (copied - written).abs() < TICKS
}

/// Extended attributes, but for those with which an overlay marks its layers.
fn attributes(
    dir: &OwnedFd,
    name: &OsStr,
) -> std::result::Result<BTreeMap<CString, Vec<u8>>, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fd = openat(dir, name, flags, Mode::empty())?;
    let names = rlxc_sys::fs::list_xattrs(&fd).unwrap_or_default();
    let names = names.into_iter().filter(|name| {
        let name = name.to_bytes();
        !name.starts_with(b"trusted.overlay.") && !name.starts_with(b"user.overlay.")
    });
    Ok(names
        .filter_map(|name| Some((name.clone(), rlxc_sys::fs::get_xattr(&fd, &name).ok()?)))
        .collect())
}

fn bytes_differ(old: &OwnedFd, new: &OwnedFd, name: &OsStr) -> std::result::Result<bool, Errno> {
    use std::io::Read;
    let open = |dir: &OwnedFd| {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        openat(dir, name, flags, Mode::empty()).map(std::fs::File::from)
    };
    let (mut old, mut new) = (open(old)?, open(new)?);
    let failed = |error: std::io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    let mut buffers = (vec![0u8; 128 * 1024], vec![0u8; 128 * 1024]);
    loop {
        let a = fill(&mut old, &mut buffers.0).map_err(failed)?;
        let b = fill(&mut new, &mut buffers.1).map_err(failed)?;
        if a != b || buffers.0[..a] != buffers.1[..b] {
            return Ok(true);
        }
        if a == 0 {
            return Ok(false);
        }
    }

    fn fill(file: &mut std::fs::File, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut at = 0;
        while at < buffer.len() {
            match file.read(&mut buffer[at..])? {
                0 => break,
                n => at += n,
            }
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_went_and_changed_is_found() -> std::io::Result<()> {
        let dir = std::env::temp_dir().join(format!("rlxc-sto-diff-{}", std::process::id()));
        let (a, b) = (dir.join("a"), dir.join("b"));
        for top in [&a, &b] {
            std::fs::create_dir_all(top.join("d/e"))?;
            std::fs::write(top.join("d/same"), "x")?;
            std::fs::write(top.join("d/e/size"), "1")?;
            std::os::unix::fs::symlink("one", top.join("link"))?;
        }
        std::fs::create_dir(a.join("gone"))?;
        std::fs::write(a.join("gone/inside"), "")?;
        std::fs::write(b.join("d/e/size"), "22")?;
        std::fs::write(b.join("d/new\n"), "")?;
        std::fs::remove_file(b.join("link"))?;
        std::os::unix::fs::symlink("two", b.join("link"))?;
        let open = |path: &Path| std::fs::File::open(path).map(OwnedFd::from);
        let changes = diff_trees(&open(&a)?, &open(&b)?);
        let nothing = diff_trees(&open(&a)?, &open(&a)?);
        std::fs::remove_dir_all(&dir)?;
        let changes = changes.map_err(|e| std::io::Error::other(e.to_string()))?;
        let seen: Vec<_> = changes
            .iter()
            .map(|c| (c.kind, c.path.to_string_lossy().into_owned()))
            .collect();
        let text = |s: &str| s.to_owned();
        assert_eq!(
            seen,
            [
                (ChangeKind::Changed, text("/d/e/size")),
                (ChangeKind::Added, text("/d/new\n")),
                (ChangeKind::Removed, text("/gone")),
                (ChangeKind::Changed, text("/link")),
            ]
        );
        assert!(nothing.is_ok_and(|changes| changes.is_empty()));
        Ok(())
    }
}
