//! A user namespace with given maps: for a piece of work inside it, or to be held by a descriptor.

use std::fs::File;

use rlxc_config::{IdMap, Namespace};

use crate::{Caller, Result, idmap, map_writer, tool};

/// Runs `inside` in a child in a new user namespace with `maps` and the caller's own ids: there it has all
/// capabilities over what the caller or an id of the maps owns. Returns its result, or 128 + signal.
///
/// # Errors
/// When the maps cannot be written, or the process is not single-threaded (`EBUSY`).
pub fn run_mapped(maps: &[IdMap], inside: impl FnOnce() -> i32) -> Result<i32> {
    let caller = Caller::current();
    let maps = idmap::with_own_ids(maps, caller.uid, caller.gid)?.maps;
    let child = tool::Held::spawn(Namespace::User.clone_flag(), inside)?;
    if let Err(error) = map_writer::write_id_maps(child.pid, &maps) {
        child.abandon();
        return Err(error);
    }
    tool::wait(child.release()?)
}

/// A user namespace with exactly `maps`, kept by the descriptor: for idmapped mounts.
///
/// # Errors
/// When the maps cannot be written, or the process is not single-threaded (`EBUSY`).
pub fn user_namespace(maps: &[IdMap]) -> Result<File> {
    let child = tool::Held::spawn(Namespace::User.clone_flag(), || 0)?;
    let path = format!("/proc/{}/ns/user", child.pid);
    let opened = map_writer::write_id_maps(child.pid, maps).and_then(|()| {
        File::open(&path).map_err(|error| tool::step(format!("open {path}"), error))
    });
    child.abandon();
    opened
}
