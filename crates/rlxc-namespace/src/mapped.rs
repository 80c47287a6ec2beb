//! A piece of work inside a user namespace with given maps.

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
