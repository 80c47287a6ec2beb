//! A directory tree that nothing written through it can leave.
//!
//! Every entry is made relative to a descriptor of its parent, and parents are opened by openat2
//! from the tree's root: no name of an archive can lead out, whatever links it has laid before.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstatat, mkdirat, mknodat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, LinkatFlags, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};

/// The root of a tree, and how links within it are taken.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    /// Links in a parent's path are an error instead of being resolved within the tree
    strict: bool,
}

/// Deeper nesting than any real system has.
const DEEPEST: usize = 256;

impl Tree {
    /// The tree at `path`, which must be a directory and no link.
    ///
    /// # Errors
    /// The errno of open(2).
    pub fn open(path: &Path, strict: bool) -> nix::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = nix::fcntl::open(path, flags, Mode::empty())?;
        Ok(Self { root, strict })
    }

    /// The descriptor of the root.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    fn how(&self, flags: OFlag) -> OpenHow {
        let mut resolve = ResolveFlag::RESOLVE_IN_ROOT
            | ResolveFlag::RESOLVE_NO_MAGICLINKS
            | ResolveFlag::RESOLVE_NO_XDEV;
        if self.strict {
            resolve |= ResolveFlag::RESOLVE_NO_SYMLINKS;
        }
        OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(resolve)
    }

    /// A directory of the tree.
    ///
    /// # Errors
    /// The errno of openat2(2): `ELOOP` for a link where none may be, `ENOTDIR`, `ENOENT`.
    pub fn directory(&self, path: &Path) -> nix::Result<OwnedFd> {
        if path.as_os_str().is_empty() {
            return self.root.try_clone().map_err(|_| Errno::EMFILE);
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        openat2(&self.root, path, self.how(flags))
    }

    /// As [`Tree::directory`]; what is missing is made with mode 0755.
    ///
    /// # Errors
    /// As [`Tree::directory`], and those of mkdirat(2).
    pub fn make_directories(&self, path: &Path) -> nix::Result<OwnedFd> {
        self.make_directories_with(path, |_, _| {})
    }

    fn make_directories_with(
        &self,
        path: &Path,
        made: impl Fn(&OwnedFd, &OwnedFd),
    ) -> nix::Result<OwnedFd> {
        match self.directory(path) {
            Err(Errno::ENOENT) => {}
            other => return other,
        }
        let mut done = PathBuf::new();
        for name in path.components() {
            let parent = self.directory(&done)?;
            done.push(name);
            match mkdirat(&parent, name.as_os_str(), Mode::from_bits_truncate(0o755)) {
                Ok(()) => made(&parent, &self.directory(&done)?),
                Err(Errno::EEXIST) => {}
                Err(error) => return Err(error),
            }
        }
        self.directory(path)
    }

    /// A regular file of the tree, opened for reading; links within the tree are followed.
    ///
    /// # Errors
    /// The errno of openat2(2); `EINVAL` for what is no regular file.
    pub fn read_file(&self, path: &Path) -> nix::Result<File> {
        // Without O_NONBLOCK a fifo would make us wait for ever.
        let fd = openat2(
            &self.root,
            path,
            self.how(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY),
        )?;
        let stat = nix::sys::stat::fstat(&fd)?;
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => Ok(File::from(fd)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The text of a small file.
    ///
    /// # Errors
    /// As [`Tree::read_file`]; `EFBIG` above `limit` bytes.
    pub fn read_small(&self, path: &Path, limit: u64) -> nix::Result<Vec<u8>> {
        let mut text = Vec::new();
        let file = self.read_file(path)?;
        let read = file.take(limit + 1).read_to_end(&mut text);
        read.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))?;
        match text.len() as u64 > limit {
            true => Err(Errno::EFBIG),
            false => Ok(text),
        }
    }

    /// Puts a file in place of whatever has that name: a new file, renamed over it, so that no link
    /// is ever written through. An existing file's mode and owner are kept; a new one belongs to whom
    /// its directory belongs to, which is a container's root where ids are mapped.
    ///
    /// # Errors
    /// The errno of the calls.
    pub fn replace_file(&self, path: &Path, content: &[u8], mode: u32) -> nix::Result<()> {
        let (dir, name) = split(path)?;
        let parent = self.make_directories_with(dir, |above, new| own_as_parent(above, new))?;
        let old = fstatat(&parent, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok();
        let old = old.filter(|stat| is(stat, SFlag::S_IFREG));
        let mode = old.as_ref().map_or(mode, |stat| stat.st_mode & 0o7777);
        let mut temporary = OsStr::new(".rlxc-new-").to_owned();
        temporary.push(name.as_bytes().len().to_string());
        let _ = unlinkat(&parent, temporary.as_os_str(), UnlinkatFlags::NoRemoveDir);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let fd = openat(
            &parent,
            temporary.as_os_str(),
            flags | OFlag::O_CLOEXEC,
            Mode::from_bits_truncate(mode),
        )?;
        let mut file = File::from(fd);
        let put = file
            .write_all(content)
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))
            .and_then(|()| match &old {
                Some(stat) => nix::unistd::fchown(
                    &file,
                    Some(Uid::from_raw(stat.st_uid)),
                    Some(Gid::from_raw(stat.st_gid)),
                ),
                None => {
                    own_as_parent(&parent, &file);
                    Ok(())
                }
            })
            .and_then(|()| nix::sys::stat::fchmod(&file, Mode::from_bits_truncate(mode)))
            .and_then(|()| renameat(&parent, temporary.as_os_str(), &parent, name));
        if put.is_err() {
            let _ = unlinkat(&parent, temporary.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
        put
    }

    /// The parent's descriptor and the last name.
    ///
    /// # Errors
    /// As [`Tree::directory`]; `EINVAL` for the root itself.
    pub fn parent_of<'a>(&self, path: &'a Path, make: bool) -> nix::Result<(OwnedFd, &'a OsStr)> {
        let (dir, name) = split(path)?;
        let parent = match make {
            true => self.make_directories(dir)?,
            false => self.directory(dir)?,
        };
        Ok((parent, name))
    }

    /// Removes everything in the tree, not the root itself.
    ///
    /// # Errors
    /// The first errno; what can be removed is.
    pub fn clear(&self) -> nix::Result<()> {
        remove_children(&self.root, &mut |_| false, Path::new(""), 0).map(|_| ())
    }
}

/// A path's directory and its last name.
fn split(path: &Path) -> nix::Result<(&Path, &OsStr)> {
    let name = path.file_name().ok_or(Errno::EINVAL)?;
    Ok((path.parent().unwrap_or_else(|| Path::new("")), name))
}

/// Gives something new to whom its directory belongs to, if that can be.
fn own_as_parent(parent: impl AsFd, new: impl AsFd) {
    if let Ok(stat) = nix::sys::stat::fstat(parent.as_fd()) {
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        let flags = AtFlags::AT_EMPTY_PATH;
        // Without the right to, it stays with whoever made it.
        let _ = fchownat(new.as_fd(), "", Some(uid), Some(gid), flags);
    }
}

/// What is at `name` in `parent`, not following a link.
pub(crate) fn look(parent: impl AsFd, name: &OsStr) -> nix::Result<Option<FileStat>> {
    match fstatat(parent.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the status is that of the given type.
pub(crate) fn is(stat: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == kind
}

/// A new file, open for writing.
pub(crate) fn new_file(parent: impl AsFd, name: &OsStr) -> nix::Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
    let mode = Mode::from_bits_truncate(0o600);
    openat(parent.as_fd(), name, flags | OFlag::O_CLOEXEC, mode).map(File::from)
}

/// A new directory.
pub(crate) fn new_directory(parent: impl AsFd, name: &OsStr) -> nix::Result<()> {
    mkdirat(parent.as_fd(), name, Mode::from_bits_truncate(0o700))
}

/// A new link that says `target`, whatever that is: it is never followed here.
pub(crate) fn new_symlink(parent: impl AsFd, name: &OsStr, target: &[u8]) -> nix::Result<()> {
    symlinkat(OsStr::from_bytes(target), parent.as_fd(), name)
}

/// A new device node or fifo.
pub(crate) fn new_node(
    parent: impl AsFd,
    name: &OsStr,
    kind: SFlag,
    (major, minor): (u32, u32),
) -> nix::Result<()> {
    let device = nix::sys::stat::makedev(u64::from(major), u64::from(minor));
    mknodat(
        parent.as_fd(),
        name,
        kind,
        Mode::from_bits_truncate(0o600),
        device,
    )
}

/// A second name for a file of the tree; a link is linked itself, not what it leads to.
pub(crate) fn new_hardlink(from: (impl AsFd, &OsStr), to: (impl AsFd, &OsStr)) -> nix::Result<()> {
    let flags = LinkatFlags::empty();
    linkat(from.0.as_fd(), from.1, to.0.as_fd(), to.1, flags)
}

/// Owner, mode and time of an entry that is no link, or owner and time of a link.
pub(crate) fn set_meta(
    parent: impl AsFd,
    name: &OsStr,
    (uid, gid): (u32, u32),
    mode: Option<u32>,
    mtime: i64,
) -> nix::Result<()> {
    let parent = parent.as_fd();
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    fchownat(
        parent,
        name,
        Some(uid),
        Some(gid),
        AtFlags::AT_SYMLINK_NOFOLLOW,
    )?;
    if let Some(mode) = mode {
        // After the owner: a change of owner clears set-user-id.
        // Not followed by construction: the caller has just made it.
        let mode = Mode::from_bits_truncate(mode & 0o7777);
        fchmodat(parent, name, mode, FchmodatFlags::FollowSymlink)?;
    }
    let time = TimeSpec::new(mtime, 0);
    let flags = nix::sys::stat::UtimensatFlags::NoFollowSymlink;
    nix::sys::stat::utimensat(parent, name, &time, &time, flags)
}

/// Where a link leads.
pub(crate) fn link_target(parent: impl AsFd, name: &OsStr) -> nix::Result<PathBuf> {
    readlinkat(parent.as_fd(), name).map(PathBuf::from)
}

/// Removes `name` with all below it, except what `keep` says (given paths below `path`); tells
/// whether something was kept.
pub(crate) fn remove(
    parent: impl AsFd,
    name: &OsStr,
    keep: &mut dyn FnMut(&Path) -> bool,
    path: &Path,
    depth: usize,
) -> nix::Result<bool> {
    if keep(path) {
        // It stays, but what lower layers have put below it may still go.
        return match look(parent.as_fd(), name)? {
            Some(stat) if is(&stat, SFlag::S_IFDIR) => {
                let dir = open_below(parent.as_fd(), name)?;
                remove_children(&dir, keep, path, depth).map(|_| true)
            }
            _ => Ok(true),
        };
    }
    match look(parent.as_fd(), name)? {
        None => Ok(false),
        Some(stat) if is(&stat, SFlag::S_IFDIR) => {
            let dir = open_below(parent.as_fd(), name)?;
            let kept = remove_children(&dir, keep, path, depth)?;
            if !kept {
                unlinkat(parent.as_fd(), name, UnlinkatFlags::RemoveDir)?;
            }
            Ok(kept)
        }
        Some(_) => {
            unlinkat(parent.as_fd(), name, UnlinkatFlags::NoRemoveDir)?;
            Ok(false)
        }
    }
}

fn open_below(parent: BorrowedFd<'_>, name: &OsStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Removes what is in a directory; see [`remove`].
pub(crate) fn remove_children(
    dir: &OwnedFd,
    keep: &mut dyn FnMut(&Path) -> bool,
    path: &Path,
    depth: usize,
) -> nix::Result<bool> {
    if depth > DEEPEST {
        return Err(Errno::ELOOP);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing = Dir::openat(dir, ".", flags, Mode::empty())?;
    let names: nix::Result<Vec<(CString, Option<Type>)>> = listing
        .iter()
        .map(|entry| entry.map(|entry| (entry.file_name().to_owned(), entry.file_type())))
        .collect();
    let mut kept = false;
    let mut first = None;
    for (name, _) in names? {
        let name = OsStr::from_bytes(name.to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        match remove(dir, name, keep, &path.join(name), depth + 1) {
            Ok(one) => kept |= one,
            Err(error) => first = first.or(Some(error)),
        }
    }
    match first {
        Some(error) => Err(error),
        None => Ok(kept),
    }
}
