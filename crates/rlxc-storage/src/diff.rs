//! What differs between two trees: the entries that came, went and changed.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::mounted::Options;
use crate::rootfs::Rootfs;

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
/// the bytes are compared. No link is followed.
///
/// # Errors
/// [`Error::Path`].
pub fn diff_trees(old: &OwnedFd, new: &OwnedFd) -> Result<Vec<Change>> {
    walk(Pair::of(old, new)?, None)
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
    let written = match (old.backend, new.backend) {
        (Backend::Overlay, Backend::Overlay) => {
            let ((lower, upper), (other, other_upper)) = (old.layers()?, new.layers()?);
            let open = |path: &Path| {
                nix::fcntl::open(path, DIRECTORY, Mode::empty()).map_err(Error::at("open", path))
            };
            match lower == other {
                true => Some((Some(open(&upper)?), Some(open(&other_upper)?))),
                false => None,
            }
        }
        _ => None,
    };
    let (old, new) = (before.top()?, after.top()?);
    walk(Pair::of(&old, &new)?, written)
}

/// Directories of both sides that belong together.
struct Pair {
    old: OwnedFd,
    new: OwnedFd,
}

impl Pair {
    fn of(old: &OwnedFd, new: &OwnedFd) -> Result<Self> {
        let clone = |fd: &OwnedFd| fd.try_clone().map_err(Error::at("open", "/"));
        Ok(Self {
            old: clone(old)?,
            new: clone(new)?,
        })
    }
}

/// The upper layers' directories, where there are any: what is in neither is the same on both sides.
type Written = Option<(Option<OwnedFd>, Option<OwnedFd>)>;

fn walk(top: Pair, written: Written) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    let mut stack = vec![(PathBuf::from("/"), top, written)];
    while let Some((path, pair, written)) = stack.pop() {
        let (mut before, mut after) = (entries(&pair.old, &path)?, entries(&pair.new, &path)?);
        if let Some((a, b)) = &written {
            let mut names = std::collections::BTreeSet::new();
            for layer in [a, b].into_iter().flatten() {
                names.extend(entries(layer, &path)?.into_keys());
            }
            before.retain(|name, _| names.contains(name));
            after.retain(|name, _| names.contains(name));
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            push(&mut changes, ChangeKind::Removed, &path, name);
        }
        for (name, stat) in &after {
            let below = path.join(name);
            let Some(was) = before.get(name) else {
                push(&mut changes, ChangeKind::Added, &path, name);
                continue;
            };
            if differs(&pair, name, was, stat).map_err(Error::at("compare", &below))? {
                push(&mut changes, ChangeKind::Changed, &path, name);
            }
            if kind(was) == SFlag::S_IFDIR && kind(stat) == SFlag::S_IFDIR {
                let open = |at: &OwnedFd| openat(at, name.as_os_str(), DIRECTORY, Mode::empty());
                if let (Ok(old), Ok(new)) = (open(&pair.old), open(&pair.new)) {
                    let written = written.as_ref().and_then(|(a, b)| {
                        let below =
                            |layer: &Option<OwnedFd>| layer.as_ref().and_then(|l| open(l).ok());
                        let (a, b) = (below(a), below(b));
                        // An opaque directory hides what lies below it: then all has to be looked at.
                        let whole = [&a, &b].into_iter().flatten().any(is_opaque);
                        (!whole).then_some((a, b))
                    });
                    stack.push((below, Pair { old, new }, written));
                }
            }
        }
    }
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}

fn is_opaque(layer: &OwnedFd) -> bool {
    [c"trusted.overlay.opaque", c"user.overlay.opaque"]
        .iter()
        .any(|name| rlxc_sys::fs::get_xattr(layer, name).is_ok_and(|value| value == b"y"))
}

const DIRECTORY: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

fn push(changes: &mut Vec<Change>, kind: ChangeKind, dir: &Path, name: &OsStr) {
    let path = dir.join(name);
    changes.push(Change { kind, path });
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

fn entries(dir: &OwnedFd, shown: &Path) -> Result<BTreeMap<OsString, FileStat>> {
    let scan = openat(dir, ".", DIRECTORY, Mode::empty()).map_err(Error::at("open", shown))?;
    let mut scan = Dir::from_fd(scan).map_err(Error::at("read", shown))?;
    let mut all = BTreeMap::new();
    for entry in scan.iter() {
        let entry = entry.map_err(Error::at("read", shown))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                all.insert(OsStr::from_bytes(name.to_bytes()).to_owned(), stat);
            }
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(Error::below("look at", shown, name.to_bytes(), errno)),
        }
    }
    Ok(all)
}

fn differs(
    pair: &Pair,
    name: &OsStr,
    was: &FileStat,
    is: &FileStat,
) -> std::result::Result<bool, Errno> {
    let (old, new) = (&pair.old, &pair.new);
    let identity = |s: &FileStat| (s.st_ino, s.st_ctime, s.st_ctime_nsec, s.st_size, s.st_mode);
    if identity(was) == identity(is) && is.st_ctime_nsec != 0 {
        // In a snapshot of a btrfs or ZFS the entry itself is older than the snapshot: nothing has touched it since.
        // Where times are whole seconds, a change in the same second would not show.
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
    if (time(was) != time(is) || whole_seconds) && bytes_differ(old, new, name)? {
        return Ok(true);
    }
    Ok(attributes(old, name)? != attributes(new, name)?)
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
