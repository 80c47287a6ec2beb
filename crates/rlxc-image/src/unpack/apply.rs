//! One archive, entry by entry, into a tree.

use std::collections::{HashMap, HashSet};
use std::ffi::{CString, OsStr};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::SFlag;
use tar::{Entry, EntryType};

use super::sparse::Sparse;
use super::stream::{Limits, Stream};
use super::tree::{self, Tree};
use super::{Layout, Options, Unpacked, glob, name};
use crate::error::{Error, Result};

/// Unpacks an archive (plain or compressed by gzip, xz or zstd) into the tree.
///
/// # Errors
/// [`Error::Hostile`] and [`Error::Format`] for what an honest archive does not have; the errno of
/// what failed. Part of the archive may have been unpacked then.
pub fn apply(source: impl Read, tree: &Tree, options: &Options) -> Result<Unpacked> {
    let limits = Limits {
        bytes: options.max_bytes,
        ..Limits::default()
    };
    let damaged = |error: std::io::Error| Error::format("the archive", error);
    let mut stream = Stream::new(source, limits).map_err(damaged)?;
    let mut unpacker = Unpacker {
        tree,
        options,
        limits,
        links: HashMap::new(),
        seen: HashSet::new(),
        directories: Vec::new(),
        written: 0,
        done: Unpacked::default(),
    };
    stream.entries(|entry| unpacker.entry(entry), damaged)?;
    let (sha256, stream) = stream.finish().map_err(damaged)?;
    if options.layout == Layout::System && !stream.has_end_mark() {
        return Err(Error::format("the archive", "is truncated: it has no end"));
    }
    let bytes = stream.length();
    unpacker.finish_directories()?;
    let mut done = unpacker.done;
    done.bytes = bytes;
    done.sha256 = sha256;
    Ok(done)
}

struct Unpacker<'a> {
    tree: &'a Tree,
    options: &'a Options,
    limits: Limits,
    /// Links that this archive has laid
    links: HashMap<PathBuf, PathBuf>,
    /// What this archive has made, with the parents
    seen: HashSet<PathBuf>,
    /// Modes and times of directories, set at the end: entries in them change the time
    directories: Vec<(PathBuf, Meta)>,
    written: u64,
    done: Unpacked,
}

#[derive(Clone, Copy)]
struct Meta {
    owner: (u32, u32),
    mode: u32,
    mtime: i64,
}

impl Unpacker<'_> {
    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<()> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            return Ok(());
        }
        let mut raw = entry.path_bytes().into_owned();
        let sparse = Sparse::of(entry).map_err(|error| Error::hostile(&raw, error.to_string()))?;
        if let Some(sparse) = &sparse {
            raw = sparse.name.clone();
        }
        let path = name::clean(&raw, self.options.layout)?;
        self.done.entries += 1;
        if self.done.entries > self.limits.entries {
            return Err(Error::hostile(&raw, "is one of too many entries"));
        }
        let bytes = path.as_os_str().as_bytes();
        let mut patterns = self.options.excludes.iter();
        if patterns.any(|pattern| glob::excludes(pattern.as_bytes(), bytes)) {
            return Ok(());
        }
        let meta = self.meta(entry, &raw)?;
        if path.as_os_str().is_empty() {
            return match kind {
                EntryType::Directory => {
                    self.directories.push((path, meta));
                    Ok(())
                }
                _ => Err(Error::hostile(&raw, "takes the place of the root itself")),
            };
        }
        self.check_parents(&raw, &path)?;
        if self.options.layout == Layout::Layer && self.whiteout(&raw, &path)? {
            return Ok(());
        }
        self.check_twice(&raw, &path, kind)?;
        self.make(entry, &raw, &path, kind, meta, sparse)?;
        self.remember(&path);
        Ok(())
    }

    fn meta<R: Read>(&self, entry: &mut Entry<'_, R>, raw: &[u8]) -> Result<Meta> {
        let header = entry.header();
        let bad = |error: std::io::Error| Error::hostile(raw, format!("has a bad header: {error}"));
        let id = |value: u64| {
            let id = u32::try_from(value).ok().filter(|id| *id != u32::MAX);
            id.ok_or_else(|| Error::hostile(raw, format!("has the owner {value}")))
        };
        let owner = (
            id(header.uid().map_err(bad)?)?,
            id(header.gid().map_err(bad)?)?,
        );
        let mode = header.mode().map_err(bad)? & 0o7777;
        let mtime = header.mtime().map_err(bad)?;
        let mut mtime = i64::try_from(mtime).unwrap_or_default();
        if let Ok(Some(extensions)) = entry.pax_extensions() {
            for extension in extensions.flatten() {
                if extension.key_bytes() == b"mtime"
                    && let Ok(value) = extension.value()
                    && let Ok(seconds) = value.split('.').next().unwrap_or_default().parse()
                {
                    mtime = seconds;
                }
            }
        }
        Ok(Meta { owner, mode, mtime })
    }

    /// No parent may be a link that this very archive has laid and that could lead out.
    fn check_parents(&self, raw: &[u8], path: &Path) -> Result<()> {
        for parent in path.ancestors().skip(1) {
            let Some(target) = self.links.get(parent) else {
                continue;
            };
            let outward = target.is_absolute()
                || target
                    .components()
                    .any(|part| part == std::path::Component::ParentDir);
            if self.options.layout == Layout::System || outward {
                let (parent, target) = (parent.display(), target.display());
                let reason =
                    format!("lies below the link {parent} -> {target} of the same archive");
                return Err(Error::hostile(raw, reason));
            }
        }
        Ok(())
    }

    /// Carries out a whiteout; false when the entry is none.
    fn whiteout(&self, raw: &[u8], path: &Path) -> Result<bool> {
        let file_name = path.file_name().unwrap_or_default().as_bytes();
        let Some(hidden) = file_name.strip_prefix(b".wh.") else {
            return Ok(false);
        };
        let parent_path = path.parent().unwrap_or_else(|| Path::new(""));
        let parent = match self.tree.directory(parent_path) {
            Ok(parent) => parent,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(true),
            Err(error) => return Err(failed("open the parent of", path, error)),
        };
        let mut keep = |path: &Path| self.seen.contains(path);
        let removed = match hidden {
            b".wh..opq" => readable(&parent)
                .and_then(|dir| tree::remove_children(&dir, &mut keep, parent_path, 0))
                .map(|_| ()),
            // Bookkeeping of aufs.
            other if other.starts_with(b".wh.") => Ok(()),
            b"" | b"." | b".." => return Err(Error::hostile(raw, "hides no name")),
            hidden => {
                let hidden = OsStr::from_bytes(hidden);
                tree::remove(&parent, hidden, &mut keep, &parent_path.join(hidden), 0).map(|_| ())
            }
        };
        removed.map_err(|error| failed("hide what lies at", path, error))?;
        Ok(true)
    }

    fn check_twice(&self, raw: &[u8], path: &Path, kind: EntryType) -> Result<()> {
        if self.links.contains_key(path) {
            return Err(Error::hostile(raw, "comes twice, first as a link"));
        }
        let twice = self.options.layout == Layout::System
            && kind != EntryType::Directory
            && self.seen.contains(path);
        match twice {
            true => Err(Error::hostile(raw, "comes twice")),
            false => Ok(()),
        }
    }

    fn make<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        raw: &[u8],
        path: &Path,
        kind: EntryType,
        meta: Meta,
        sparse: Option<Sparse>,
    ) -> Result<()> {
        let at = |what| move |error| failed(what, path, error);
        let (parent, name) = self
            .tree
            .parent_of(path, true)
            .map_err(|error| match error {
                Errno::ELOOP => Error::hostile(raw, "lies below a link"),
                Errno::ENOTDIR => Error::hostile(raw, "lies below something that is no directory"),
                Errno::EXDEV => Error::hostile(raw, "lies below a mount point"),
                error => failed("make the parents of", path, error),
            })?;
        let old = tree::look(&parent, name).map_err(at("look at"))?;
        let is_directory = old.is_some_and(|stat| tree::is(&stat, SFlag::S_IFDIR));
        if kind == EntryType::Directory && is_directory {
            self.directories.push((path.to_owned(), meta));
            return Ok(());
        }
        if old.is_some() {
            if self.options.layout == Layout::System && self.seen.contains(path) {
                return Err(Error::hostile(raw, "takes the place of another entry"));
            }
            let mut none = |_: &Path| false;
            tree::remove(&parent, name, &mut none, path, 0).map_err(at("replace"))?;
        }
        match kind {
            EntryType::Directory => {
                tree::new_directory(&parent, name).map_err(at("make the directory"))?;
                self.directories.push((path.to_owned(), meta));
                return Ok(());
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                return self.file(entry, raw, path, (&parent, name), meta, sparse);
            }
            EntryType::Link => return self.hardlink(entry, raw, path, (&parent, name)),
            EntryType::Symlink => {
                let target = self.link_target(entry, raw)?;
                tree::new_symlink(&parent, name, &target).map_err(at("make the link"))?;
                let target = PathBuf::from(OsStr::from_bytes(&target));
                self.links.insert(path.to_owned(), target);
                return tree::set_meta(&parent, name, meta.owner, None, meta.mtime)
                    .map_err(|error| owner_failed(path, meta, error));
            }
            EntryType::Fifo => {
                tree::new_node(&parent, name, SFlag::S_IFIFO, (0, 0))
                    .map_err(at("make the fifo"))?;
            }
            EntryType::Char | EntryType::Block => {
                if !self.device(entry, raw, path, (&parent, name), kind)? {
                    return Ok(());
                }
            }
            other => {
                let reason = format!("is of the unknown type {:?}", char::from(other.as_byte()));
                return Err(Error::hostile(raw, reason));
            }
        }
        tree::set_meta(&parent, name, meta.owner, Some(meta.mode), meta.mtime)
            .map_err(|error| owner_failed(path, meta, error))
    }

    fn file<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        raw: &[u8],
        path: &Path,
        (parent, name): (impl AsFd, &OsStr),
        meta: Meta,
        sparse: Option<Sparse>,
    ) -> Result<()> {
        let size = entry.size();
        self.written = self.written.saturating_add(size);
        if self.written > self.limits.bytes {
            let reason = format!("makes more than {} MiB", self.limits.bytes >> 20);
            return Err(Error::hostile(raw, reason));
        }
        let at = |what| move |error| failed(what, path, error);
        let mut file = tree::new_file(&parent, name).map_err(at("make the file"))?;
        let copied = match sparse {
            Some(sparse) => sparse.copy(entry, &mut file),
            None => copy_with_holes(entry, &mut file),
        };
        copied
            .map_err(|error| Error::format(format!("the archive's {}", path.display()), error))?;
        let (uid, gid) = meta.owner;
        let owner = (
            nix::unistd::Uid::from_raw(uid),
            nix::unistd::Gid::from_raw(gid),
        );
        nix::unistd::fchown(&file, Some(owner.0), Some(owner.1))
            .map_err(|error| owner_failed(path, meta, error))?;
        // Changing the owner clears both: after it.
        self.attributes(entry, raw, &file)?;
        let mode = nix::sys::stat::Mode::from_bits_truncate(meta.mode);
        nix::sys::stat::fchmod(&file, mode).map_err(at("set the mode of"))?;
        let time = nix::sys::time::TimeSpec::new(meta.mtime, 0);
        nix::sys::stat::futimens(&file, &time, &time).map_err(at("set the time of"))
    }

    /// The attributes that an image may set: users' own, and file capabilities.
    fn attributes<R: Read>(
        &self,
        entry: &mut Entry<'_, R>,
        raw: &[u8],
        file: &std::fs::File,
    ) -> Result<()> {
        let extensions = entry.pax_extensions();
        let Some(extensions) =
            extensions.map_err(|error| Error::hostile(raw, error.to_string()))?
        else {
            return Ok(());
        };
        for extension in extensions.flatten() {
            let Some(name) = extension.key_bytes().strip_prefix(b"SCHILY.xattr.") else {
                continue;
            };
            if name != b"security.capability" && !name.starts_with(b"user.") {
                continue;
            }
            let Ok(name) = CString::new(name) else {
                return Err(Error::hostile(raw, "has a NUL in an attribute's name"));
            };
            match rlxc_sys::fs::set_xattr_of_open(file, &name, extension.value_bytes()) {
                Ok(()) => {}
                // The file system knows none: as tar, the file without them.
                Err(error) if error.raw_os_error() == Some(nix::libc::EOPNOTSUPP) => {}
                Err(error) => {
                    let reason = format!("has the attribute {name:?}: {error}");
                    return Err(Error::hostile(raw, reason));
                }
            }
        }
        Ok(())
    }

    fn link_target<R: Read>(&self, entry: &Entry<'_, R>, raw: &[u8]) -> Result<Vec<u8>> {
        match entry.link_name_bytes() {
            Some(target) if target.is_empty() || target.contains(&0) || target.len() > 4095 => {
                Err(Error::hostile(raw, "is a link with a bad target"))
            }
            Some(target) => Ok(target.into_owned()),
            None => Err(Error::hostile(raw, "is a link without a target")),
        }
    }

    fn hardlink<R: Read>(
        &mut self,
        entry: &Entry<'_, R>,
        raw: &[u8],
        path: &Path,
        to: (impl AsFd, &OsStr),
    ) -> Result<()> {
        let target = self.link_target(entry, raw)?;
        let target = name::clean(&target, self.options.layout)
            .map_err(|_| Error::hostile(raw, "is a hard link to something outside"))?;
        self.check_parents(raw, &target)?;
        let missing = |_| {
            let reason = format!("is a hard link to {}, which is not there", target.display());
            Error::hostile(raw, reason)
        };
        let (parent, name) = self.tree.parent_of(&target, false).map_err(missing)?;
        let stat = tree::look(&parent, name).map_err(missing)?;
        if stat.is_none_or(|stat| tree::is(&stat, SFlag::S_IFDIR)) {
            return Err(missing(Errno::ENOENT));
        }
        tree::new_hardlink((&parent, name), to)
            .map_err(|error| failed("make the hard link", path, error))?;
        if let Ok(leads) = tree::link_target(&parent, name) {
            self.links.insert(path.to_owned(), leads);
        }
        Ok(())
    }

    /// Makes a device node; false when it is left out.
    fn device<R: Read>(
        &mut self,
        entry: &Entry<'_, R>,
        raw: &[u8],
        path: &Path,
        (parent, name): (impl AsFd, &OsStr),
        kind: EntryType,
    ) -> Result<bool> {
        let header = entry.header();
        let number = |value: std::io::Result<Option<u32>>| value.ok().flatten();
        let device = number(header.device_major()).zip(number(header.device_minor()));
        let device = device.ok_or_else(|| Error::hostile(raw, "is a device without a number"))?;
        let below_dev = path.starts_with("dev");
        if self.options.userns {
            if below_dev {
                self.done.devices_left_out += 1;
                return Ok(false);
            }
            return Err(Error::hostile(
                raw,
                "is a device node outside /dev, which a user namespace cannot make",
            ));
        }
        let (kind, harmless) = match kind {
            EntryType::Char => (SFlag::S_IFCHR, HARMLESS.contains(&device)),
            _ => (SFlag::S_IFBLK, false),
        };
        if !below_dev && !harmless {
            let reason = format!("is the device {}:{} outside /dev", device.0, device.1);
            return Err(Error::hostile(raw, reason));
        }
        tree::new_node(parent, name, kind, device)
            .map_err(|error| failed("make the device node", path, error))?;
        Ok(true)
    }

    fn remember(&mut self, path: &Path) {
        for path in path.ancestors() {
            if path.as_os_str().is_empty() || !self.seen.insert(path.to_owned()) {
                break;
            }
        }
    }

    fn finish_directories(&self) -> Result<()> {
        let mut last: HashMap<&Path, Meta> = HashMap::new();
        for (path, meta) in &self.directories {
            last.insert(path, *meta);
        }
        let mut paths: Vec<&Path> = last.keys().copied().collect();
        // Children first: a parent without search permission would hide them.
        paths.sort_by(|a, b| b.cmp(a));
        for path in paths {
            let meta = last[path];
            let dir = self.tree.directory(path).and_then(|dir| readable(&dir));
            let dir = match dir {
                // Replaced or removed by a later entry.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue,
                other => other.map_err(|error| failed("open", path, error))?,
            };
            let (uid, gid) = meta.owner;
            let owner = (
                nix::unistd::Uid::from_raw(uid),
                nix::unistd::Gid::from_raw(gid),
            );
            nix::unistd::fchown(&dir, Some(owner.0), Some(owner.1))
                .map_err(|error| owner_failed(path, meta, error))?;
            let mode = nix::sys::stat::Mode::from_bits_truncate(meta.mode);
            nix::sys::stat::fchmod(&dir, mode)
                .map_err(|error| failed("set the mode of", path, error))?;
            let time = nix::sys::time::TimeSpec::new(meta.mtime, 0);
            nix::sys::stat::futimens(&dir, &time, &time)
                .map_err(|error| failed("set the time of", path, error))?;
        }
        Ok(())
    }
}

/// null, zero, full, random, urandom, tty, console, ptmx: whoever may open them gains nothing.
const HARMLESS: [(u32, u32); 8] = [
    (1, 3),
    (1, 5),
    (1, 7),
    (1, 8),
    (1, 9),
    (5, 0),
    (5, 1),
    (5, 2),
];

fn readable(dir: &std::os::fd::OwnedFd) -> nix::Result<std::os::fd::OwnedFd> {
    use nix::fcntl::OFlag;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::openat(dir, ".", flags, nix::sys::stat::Mode::empty())
}

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Copies an entry; runs of zeros become holes.
fn copy_with_holes(from: &mut impl Read, to: &mut std::fs::File) -> std::io::Result<()> {
    let mut buffer = vec![0; ZEROS.len()];
    let mut length = 0u64;
    let mut hole = false;
    loop {
        let got = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => got,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        length += got as u64;
        hole = got >= 4096 && buffer[..got] == ZEROS[..got];
        match hole {
            true => to.seek(SeekFrom::Start(length)).map(|_| ())?,
            false => to.write_all(&buffer[..got])?,
        }
    }
    match hole {
        true => to.set_len(length),
        false => Ok(()),
    }
}

fn failed(what: &'static str, path: &Path, error: Errno) -> Error {
    Error::path(what, Path::new("/").join(path))(error)
}

fn owner_failed(path: &Path, meta: Meta, error: Errno) -> Error {
    let (uid, gid) = meta.owner;
    match error {
        Errno::EINVAL => Error::message(format!(
            "/{} belongs to {uid}:{gid}, which the container's id map does not hold; \
             give it a larger range (lxc.idmap, /etc/subuid, /etc/subgid)",
            path.display()
        )),
        Errno::EPERM => Error::message(format!(
            "/{} cannot be given to {uid}:{gid}: {error}; unpacking needs root, \
             or a container with id maps (lxc.idmap)",
            path.display()
        )),
        error => failed("set the owner of", path, error),
    }
}
