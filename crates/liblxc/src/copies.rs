//! Create, copy, rename, snapshots, destroy.

use std::ffi::{c_char, c_int};
use std::os::unix::ffi::OsStrExt as _;

use rlxc::{CopyOptions, CreateOptions, Specs};

use crate::abi::{Handle, apart, call, lxc_container};
use crate::memory::{give, list, path, release, text};

const CREATE_QUIET: c_int = 1;
const CLONE_KEEPNAME: c_int = 1;
const CLONE_KEEPMACADDR: c_int = 2;
const CLONE_SNAPSHOT: c_int = 4;
const CLONE_KEEPBDEVTYPE: c_int = 8;
const CLONE_MAYBE_SNAPSHOT: c_int = 16;
const CLONE_ALLOW_RUNNING: c_int = 64;

/// `struct bdev_specs`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct BdevSpecs {
    fstype: *const c_char,
    fssize: u64,
    zfsroot: *const c_char,
    lvm: [*const c_char; 3],
    dir: *const c_char,
    rbd: [*const c_char; 3],
}

impl BdevSpecs {
    /// What `kind` of storage (one, or a list joined by commas) needs. The rest is not looked at:
    /// programs leave it as it happens to be, and those of LXC 5 do not have the last member.
    ///
    /// # Safety
    /// `specs` is NULL, or each member that the kind needs is there, and NULL or a string.
    unsafe fn read(specs: *const Self, kind: Option<&str>) -> Specs {
        if specs.is_null() {
            return Specs::default();
        }
        let kinds = kind.unwrap_or("dir");
        let is = |name: &str| {
            kinds
                .split(',')
                .any(|kind| kind.trim() == name || kind.trim() == "best")
        };
        let block = ["loop", "lvm", "rbd", "nbd"].into_iter().any(is);
        // SAFETY: by the caller's word.
        let owned = |word| unsafe { text(word) }.map(str::to_owned);
        // SAFETY: by the caller's word; no reference to the whole, which may be shorter.
        let member = |wanted: bool, at: *const *const c_char| match wanted {
            // SAFETY: as above.
            true => owned(unsafe { at.read() }),
            false => None,
        };
        let rbd = kinds.split(',').any(|kind| kind.trim() == "rbd");
        // SAFETY: addresses within the structure, by the caller's word.
        let lvm = |n: usize| {
            // SAFETY: as above.
            member(is("lvm"), unsafe {
                (&raw const (*specs).lvm).cast::<*const c_char>().add(n)
            })
        };
        // SAFETY: as above.
        let rbd = |n: usize| {
            // SAFETY: as above.
            member(rbd, unsafe {
                (&raw const (*specs).rbd).cast::<*const c_char>().add(n)
            })
        };
        let (vg, lv, thinpool) = (lvm(0), lvm(1), lvm(2));
        let (rbdname, rbdpool, rbduser) = (rbd(0), rbd(1), rbd(2));
        Specs {
            // SAFETY: as above.
            fstype: member(block, unsafe { &raw const (*specs).fstype }),
            // SAFETY: by the caller's word.
            fssize: block.then(|| unsafe { (*specs).fssize }).filter(|n| *n > 0),
            // SAFETY: as above.
            zfsroot: member(is("zfs"), unsafe { &raw const (*specs).zfsroot }),
            lv,
            vg,
            thinpool,
            // SAFETY: by the caller's word.
            dir: is("dir").then(|| unsafe { path((*specs).dir) }).flatten(),
            rbdname,
            rbdpool,
            rbduser,
        }
    }
}

pub(crate) unsafe extern "C" fn create(
    c: *mut lxc_container,
    template: *const c_char,
    bdevtype: *const c_char,
    specs: *const BdevSpecs,
    flags: c_int,
    argv: *const *const c_char,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let backend = text(bdevtype);
        let specs = BdevSpecs::read(specs, backend);
        let options = CreateOptions {
            template: text(template).map(str::to_owned),
            arguments: list(argv),
            backend: backend.map(str::to_owned),
            specs,
            quiet: flags & CREATE_QUIET != 0,
            progress: None,
        };
        call(c, false, |inner, _| {
            inner.container.create(&options).map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn destroy(c: *mut lxc_container) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        call(c, false, |inner, _| {
            inner.container.destroy().map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn destroy_with_snapshots(c: *mut lxc_container) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        call(c, false, |inner, _| {
            inner.container.destroy_with_snapshots().map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn rename(c: *mut lxc_container, name: *const c_char) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let Some(name) = text(name) else { return false };
        // The object goes on standing for the old name, as with LXC.
        apart(c, false, true, |container| {
            container.rename(name).map(|()| true)
        })
    }
}

#[allow(clippy::too_many_arguments)]
pub(crate) unsafe extern "C" fn clone(
    c: *mut lxc_container,
    name: *const c_char,
    lxcpath: *const c_char,
    flags: c_int,
    bdevtype: *const c_char,
    _bdevdata: *const c_char,
    newsize: u64,
    hookargs: *const *const c_char,
) -> *mut lxc_container {
    // SAFETY: by the header's contract.
    unsafe {
        let options = CopyOptions {
            name: text(name).map(str::to_owned),
            lxcpath: path(lxcpath),
            snapshot: flags & CLONE_SNAPSHOT != 0,
            maybe_snapshot: flags & CLONE_MAYBE_SNAPSHOT != 0,
            backend: text(bdevtype).map(str::to_owned),
            keep_backend: flags & CLONE_KEEPBDEVTYPE != 0,
            keep_name: flags & CLONE_KEEPNAME != 0,
            keep_mac: flags & CLONE_KEEPMACADDR != 0,
            allow_running: flags & CLONE_ALLOW_RUNNING != 0,
            hook_arguments: list(hookargs),
            size: Some(newsize).filter(|n| *n > 0),
            progress: None,
            ..CopyOptions::default()
        };
        apart(c, std::ptr::null_mut(), true, |container| {
            Ok(Handle::make(container.copy_to(&options)?))
        })
    }
}

pub(crate) unsafe extern "C" fn snapshot(c: *mut lxc_container, comment: *const c_char) -> c_int {
    // SAFETY: by the header's contract.
    unsafe {
        let comment = path(comment);
        call(c, -1, |inner, _| {
            if !inner.container.is_defined() {
                return Ok(-1);
            }
            let number = inner.container.snapshot(comment.as_deref())?;
            Ok(c_int::try_from(number).unwrap_or(-1))
        })
    }
}

/// `struct lxc_snapshot`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct LxcSnapshot {
    name: *mut c_char,
    comment_pathname: *mut c_char,
    timestamp: *mut c_char,
    lxcpath: *mut c_char,
    free: unsafe extern "C" fn(*mut LxcSnapshot),
}

/// Frees the strings, not the structure.
unsafe extern "C" fn free_snapshot(snapshot: *mut LxcSnapshot) {
    if snapshot.is_null() {
        return;
    }
    // SAFETY: not NULL, and its strings are of the C allocator.
    let snapshot = unsafe { &*snapshot };
    for text in [
        snapshot.name,
        snapshot.comment_pathname,
        snapshot.timestamp,
        snapshot.lxcpath,
    ] {
        release(text);
    }
}

pub(crate) unsafe extern "C" fn snapshot_list(
    c: *mut lxc_container,
    result: *mut *mut LxcSnapshot,
) -> c_int {
    if result.is_null() {
        return -1;
    }
    // SAFETY: by the header's contract; the array has room for every snapshot.
    unsafe {
        call(c, -1, |inner, _| {
            if !inner.container.is_defined() {
                return Ok(-1);
            }
            let snapshots = inner.container.snapshots()?;
            if snapshots.is_empty() {
                return Ok(0);
            }
            let array =
                libc::calloc(snapshots.len(), size_of::<LxcSnapshot>()).cast::<LxcSnapshot>();
            if array.is_null() {
                return Ok(-1);
            }
            for (n, snapshot) in snapshots.iter().enumerate() {
                // Where the comment would be, be there one or not.
                let comment = snapshot.lxcpath.join(&snapshot.name).join("comment");
                array.add(n).write(LxcSnapshot {
                    name: give(snapshot.name.as_bytes()),
                    comment_pathname: give(comment.as_os_str().as_bytes()),
                    timestamp: give(snapshot.timestamp.as_bytes()),
                    lxcpath: give(snapshot.lxcpath.as_os_str().as_bytes()),
                    free: free_snapshot,
                });
            }
            *result = array;
            Ok(c_int::try_from(snapshots.len()).unwrap_or(-1))
        })
    }
}

pub(crate) unsafe extern "C" fn snapshot_restore(
    c: *mut lxc_container,
    snapshot: *const c_char,
    name: *const c_char,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let Some(snapshot) = text(snapshot) else {
            return false;
        };
        let name = text(name);
        call(c, false, |inner, _| {
            inner
                .container
                .restore_snapshot(snapshot, name)
                .map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn snapshot_destroy(
    c: *mut lxc_container,
    name: *const c_char,
) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        let Some(name) = text(name) else { return false };
        call(c, false, |inner, _| {
            inner.container.destroy_snapshot(name).map(|()| true)
        })
    }
}

pub(crate) unsafe extern "C" fn snapshot_destroy_all(c: *mut lxc_container) -> bool {
    // SAFETY: by the header's contract.
    unsafe {
        call(c, false, |inner, _| {
            inner.container.destroy_all_snapshots().map(|()| true)
        })
    }
}
