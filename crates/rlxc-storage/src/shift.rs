//! Owners under other id maps: what belongs to an id of the container belongs to the same id of the copy.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstat};
use nix::unistd::{Gid, Uid, fchownat};
use rlxc_config::{IdKind, IdMap};
use rlxc_namespace::idmap::{to_host, to_inside};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::walk::Spot;

/// The id that files of unknown owners show.
const OVERFLOW: u32 = 65534;

/// From the ids of one set of maps to those of another; no maps: the host's own ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shift {
    /// The original's maps
    pub from: Vec<IdMap>,
    /// The copy's
    pub to: Vec<IdMap>,
}

impl Shift {
    /// The new id on the host. One that the original's maps do not have is nobody's there, and so in the copy.
    fn id(&self, kind: IdKind, id: u32) -> std::result::Result<u32, Errno> {
        let inside = match self.from.is_empty() {
            true => id,
            false => to_inside(&self.from, kind, id).unwrap_or(OVERFLOW),
        };
        if self.to.is_empty() {
            return Ok(inside);
        }
        to_host(&self.to, kind, inside)
            .or_else(|| to_host(&self.to, kind, OVERFLOW))
            .ok_or(Errno::EOVERFLOW)
    }

    /// The same entry under the copy's maps.
    pub(crate) fn stat(&self, stat: &FileStat) -> std::result::Result<FileStat, Errno> {
        let mut stat = *stat;
        stat.st_uid = self.id(IdKind::Uid, stat.st_uid)?;
        stat.st_gid = self.id(IdKind::Gid, stat.st_gid)?;
        Ok(stat)
    }

    /// An extended attribute's value; those that name ids are rewritten.
    pub(crate) fn xattr(&self, name: &CStr, value: Vec<u8>) -> std::result::Result<Vec<u8>, Errno> {
        match name.to_bytes() {
            b"security.capability" => self.capabilities(value),
            b"system.posix_acl_access" | b"system.posix_acl_default" => self.acl(value),
            _ => Ok(value),
        }
    }

    /// `struct vfs_ns_cap_data`: the id of the root for whom the capabilities count stands at its end (revision 3); in
    /// revision 2 it is the host's.
    fn capabilities(&self, mut value: Vec<u8>) -> std::result::Result<Vec<u8>, Errno> {
        const SHORT: usize = 20;
        const REVISION: std::ops::Range<usize> = 3..4;
        let root = match (value.len(), value.get(REVISION)) {
            (SHORT, Some([2])) => 0,
            (24, Some([3])) => u32::from_le_bytes(value[SHORT..].try_into().unwrap_or_default()),
            _ => return Ok(value),
        };
        let root = self.id(IdKind::Uid, root)?;
        value.truncate(SHORT);
        value[REVISION].copy_from_slice(&[if root == 0 { 2 } else { 3 }]);
        if root != 0 {
            value.extend(root.to_le_bytes());
        }
        Ok(value)
    }

    /// Four bytes of version, then entries: tag, permissions (two bytes each), id.
    fn acl(&self, mut value: Vec<u8>) -> std::result::Result<Vec<u8>, Errno> {
        const USER: u16 = 0x02;
        const GROUP: u16 = 0x08;
        let entries = value.get_mut(4..).unwrap_or_default();
        for entry in entries.chunks_exact_mut(8) {
            let kind = match u16::from_le_bytes([entry[0], entry[1]]) {
                USER => IdKind::Uid,
                GROUP => IdKind::Gid,
                _ => continue,
            };
            let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            entry[4..].copy_from_slice(&self.id(kind, id)?.to_le_bytes());
        }
        Ok(value)
    }
}

struct Task {
    spot: Spot,
    path: PathBuf,
}

struct Job<'a> {
    shift: &'a Shift,
    device: u64,
    /// Entries with several names are changed once.
    done: Mutex<HashSet<(u64, u64)>>,
}

/// Gives the whole tree below (and with) `top` to the owners of the copy. Mounted file systems are not entered, no link
/// is followed.
///
/// # Errors
/// [`Error::Path`].
pub(crate) fn shift_tree(top: OwnedFd, shown: &Path, shift: &Shift) -> Result<()> {
    let stat = fstat(&top).map_err(Error::at("look at", shown))?;
    let job = Job {
        shift,
        device: stat.st_dev,
        done: Mutex::default(),
    };
    let first = Task {
        spot: Spot::top(top),
        path: shown.to_owned(),
    };
    Pool::run(first, |pool, task| job.directory(pool, &task))
}

impl Job<'_> {
    fn directory(&self, pool: &Pool<Task, Error>, task: &Task) -> Result<()> {
        let path = &task.path;
        let dir = task.spot.open().map_err(Error::at("open", path))?;
        let stat = fstat(&dir).map_err(Error::at("look at", path))?;
        if stat.st_dev != self.device && stat.st_ino != rlxc_sys::btrfs::SUBVOLUME_INODE {
            return Ok(());
        }
        self.entry(&dir, &stat)
            .map_err(Error::at("set the owner of", path))?;
        let dir = Arc::new(dir);
        let scan = dir.try_clone().map_err(Error::at("open", path))?;
        let mut scan = Dir::from_fd(scan).map_err(Error::at("read", path))?;
        for entry in scan.iter() {
            let entry = entry.map_err(Error::at("read", path))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let below = || {
                path.join(
                    <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name.to_bytes()),
                )
            };
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let opened =
                openat(&dir, name, flags, Mode::empty()).map_err(Error::at("open", below()))?;
            let stat = fstat(&opened).map_err(Error::at("look at", below()))?;
            if kind(&stat) == SFlag::S_IFDIR {
                pool.push(Task {
                    spot: task.spot.child(&dir, name),
                    path: below(),
                });
                continue;
            }
            let again = stat.st_nlink > 1 && !self.first(&stat);
            if !again {
                self.entry(&opened, &stat)
                    .map_err(Error::at("set the owner of", below()))?;
            }
        }
        Ok(())
    }

    fn first(&self, stat: &FileStat) -> bool {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.insert((stat.st_dev, stat.st_ino))
    }

    /// The owner first: its change takes set-id bits and capabilities away.
    fn entry(&self, entry: &OwnedFd, stat: &FileStat) -> std::result::Result<(), Errno> {
        let new = self.shift.stat(stat)?;
        let kept = kept_attributes(entry);
        let (uid, gid) = (Uid::from_raw(new.st_uid), Gid::from_raw(new.st_gid));
        fchownat(entry, c"", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH)?;
        if kind(stat) == SFlag::S_IFLNK {
            return Ok(());
        }
        if stat.st_mode & 0o6000 != 0 {
            // fchmod(2) does not take an O_PATH descriptor; its name in /proc leads to the same object.
            let proc = format!("/proc/self/fd/{}", entry.as_raw_fd());
            let mode = Mode::from_bits_truncate(stat.st_mode);
            let follow = FchmodatFlags::FollowSymlink;
            fchmodat(nix::fcntl::AT_FDCWD, proc.as_str(), mode, follow)?;
        }
        for (name, value) in kept {
            let value = self.shift.xattr(&name, value)?;
            rlxc_sys::fs::set_xattr(entry, &name, &value)
                .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
        }
        Ok(())
    }
}

/// The attributes in which ids stand.
fn kept_attributes(entry: &OwnedFd) -> Vec<(std::ffi::CString, Vec<u8>)> {
    let names = rlxc_sys::fs::list_xattrs(entry).unwrap_or_default();
    let named = names.into_iter().filter(|name| {
        let name = name.to_bytes();
        name == b"security.capability" || name.starts_with(b"system.posix_acl_")
    });
    named
        .filter_map(|name| {
            let value = rlxc_sys::fs::get_xattr(entry, &name).ok()?;
            Some((name, value))
        })
        .collect()
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(hostid: u32) -> Vec<IdMap> {
        let map = |kind| IdMap {
            kind,
            nsid: 0,
            hostid,
            range: 65536,
        };
        vec![map(IdKind::Uid), map(IdKind::Gid)]
    }

    #[test]
    fn ids_go_from_one_map_to_the_other() {
        let shift = |from: Vec<IdMap>, to: Vec<IdMap>| Shift { from, to };
        let id = |s: &Shift, id| s.id(IdKind::Uid, id);
        let there = shift(maps(100_000), maps(300_000));
        assert_eq!(id(&there, 100_033), Ok(300_033));
        assert_eq!(id(&there, 5), Ok(365_534), "not the container's: nobody");
        assert_eq!(id(&shift(Vec::new(), maps(300_000)), 0), Ok(300_000));
        assert_eq!(id(&shift(maps(100_000), Vec::new()), 100_007), Ok(7));
        let one = |hostid| {
            let map = IdMap {
                kind: IdKind::Uid,
                nsid: 0,
                hostid,
                range: 1,
            };
            vec![map]
        };
        assert_eq!(
            id(&shift(maps(100_000), one(9)), 100_001),
            Err(Errno::EOVERFLOW)
        );
    }

    #[test]
    fn capabilities_and_acls_name_the_new_ids() {
        let shift = Shift {
            from: Vec::new(),
            to: maps(300_000),
        };
        let mut v2 = vec![1, 0, 0, 2];
        v2.extend([7; 16]);
        let v3 = shift.capabilities(v2.clone());
        let mut expected = vec![1, 0, 0, 3];
        expected.extend([7; 16]);
        expected.extend(300_000u32.to_le_bytes());
        assert_eq!(v3, Ok(expected.clone()));
        let back = Shift {
            from: maps(300_000),
            to: Vec::new(),
        };
        assert_eq!(back.capabilities(expected), Ok(v2));
        let mut acl = vec![2, 0, 0, 0];
        for (tag, id) in [(1u16, u32::MAX), (2, 33), (8, 44)] {
            acl.extend(tag.to_le_bytes());
            acl.extend(6u16.to_le_bytes());
            acl.extend(id.to_le_bytes());
        }
        let ids = shift.acl(acl).map(|value| {
            let of = |entry: &[u8]| u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            value[4..].chunks_exact(8).map(of).collect::<Vec<_>>()
        });
        assert_eq!(ids, Ok(vec![u32::MAX, 300_033, 300_044]));
        assert_eq!(shift.acl(vec![1]), Ok(vec![1]));
    }
}
