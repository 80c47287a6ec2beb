//! Whether somebody may pass through a directory, by its mode and its access control list.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// The directories on the way to `path`, itself excluded, from the top, that `uid` with the group
/// `gid` may not pass.
pub(super) fn closed_to(path: &Path, uid: u32, gid: u32) -> Vec<PathBuf> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut closed: Vec<PathBuf> = path
        .ancestors()
        .skip(1)
        .filter(|dir| !dir.as_os_str().is_empty() && !may_pass(dir, uid, gid))
        .map(Path::to_owned)
        .collect();
    closed.reverse();
    closed
}

/// What cannot be looked at counts as open: another check tells of it.
fn may_pass(dir: &Path, uid: u32, gid: u32) -> bool {
    let Ok(meta) = std::fs::metadata(dir) else {
        return true;
    };
    if uid == 0 {
        return true;
    }
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let acl = open(dir, flags, Mode::empty())
        .ok()
        .and_then(|fd| rlxc_sys::fs::get_xattr(fd, c"system.posix_acl_access").ok());
    if let Some(entries) = acl.as_deref().and_then(parse) {
        return by_list(&entries, uid, gid, meta.uid(), meta.gid());
    }
    let shift = match (meta.uid() == uid, meta.gid() == gid) {
        (true, _) => 6,
        (false, true) => 3,
        (false, false) => 0,
    };
    meta.mode() >> shift & EXECUTE != 0
}

const EXECUTE: u32 = 1;

/// An entry of the list: tag, permissions, id.
type Entry = (u16, u16, u32);

const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// acl(5) in its extended attribute: version 2, then entries of eight bytes.
fn parse(bytes: &[u8]) -> Option<Vec<Entry>> {
    let rest = bytes.strip_prefix(&2_u32.to_le_bytes())?;
    let entry = |part: &[u8]| match *part {
        [t0, t1, p0, p1, i0, i1, i2, i3] => Some((
            u16::from_le_bytes([t0, t1]),
            u16::from_le_bytes([p0, p1]),
            u32::from_le_bytes([i0, i1, i2, i3]),
        )),
        _ => None,
    };
    rest.chunks(8).map(entry).collect()
}

fn by_list(entries: &[Entry], uid: u32, gid: u32, owner: u32, group: u32) -> bool {
    let of = |tag: u16, id: Option<u32>| {
        let fits = |e: &&Entry| e.0 == tag && id.is_none_or(|id| e.2 == id);
        entries.iter().find(fits).map(|e| e.1)
    };
    let executes = |permissions: u16| u32::from(permissions) & EXECUTE != 0;
    let masked = |permissions| executes(permissions & of(MASK, None).unwrap_or(7));
    if uid == owner {
        return of(USER_OBJ, None).is_some_and(executes);
    }
    if let Some(own) = of(USER, Some(uid)) {
        return masked(own);
    }
    let own_group = of(GROUP_OBJ, None).filter(|_| gid == group);
    match own_group.or(of(GROUP, Some(gid))) {
        Some(permissions) => masked(permissions),
        None => of(OTHER, None).is_some_and(executes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_of_the_user_counts_within_the_mask() {
        let list = |mask| {
            vec![
                (USER_OBJ, 7, u32::MAX),
                (USER, 1, 100_000),
                (GROUP_OBJ, 0, u32::MAX),
                (MASK, mask, u32::MAX),
                (OTHER, 0, u32::MAX),
            ]
        };
        assert!(by_list(&list(1), 100_000, 100_000, 1000, 1000));
        assert!(!by_list(&list(0), 100_000, 100_000, 1000, 1000));
        assert!(!by_list(&list(1), 100_001, 100_000, 1000, 1000));
        assert!(by_list(&list(0), 1000, 1000, 1000, 1000));
    }

    #[test]
    fn a_list_that_is_none_is_not_taken_for_one() {
        assert!(parse(&[1, 0, 0, 0]).is_none());
        assert!(parse(&[2, 0, 0, 0, 1]).is_none());
        assert_eq!(
            parse(&[2, 0, 0, 0, 1, 0, 7, 0, 9, 0, 0, 0]),
            Some(vec![(1, 7, 9)])
        );
    }
}
