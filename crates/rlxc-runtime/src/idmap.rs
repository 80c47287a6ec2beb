//! The id maps of the container's user namespace.

use rlxc_config::{IdKind, IdMap};
use rlxc_namespace::Caller;

use crate::error::{Context, StartError};
use crate::plan::Plan;

const STEP: &str = "id maps";

/// Checks, before anything is made, that the maps can be written by this process, and that init has an id in them.
pub(crate) fn check(plan: &Plan) -> Result<(), StartError> {
    let maps = &plan.id_maps;
    if maps.is_empty() {
        return Ok(());
    }
    let caller = Caller {
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        name: plan.user.clone(),
    };
    rlxc_namespace::map_writer::check_writable(maps, &caller).at(STEP, "lxc.idmap")?;
    for (kind, letter, key, id) in [
        (IdKind::Uid, 'u', "lxc.init.uid", plan.init.uid),
        (IdKind::Gid, 'g', "lxc.init.gid", plan.init.gid),
    ] {
        let is_mapped = |id: u32| {
            maps.iter()
                .any(|map| map.kind == kind && id.wrapping_sub(map.nsid) < map.range)
        };
        // The set-up is done as root of the namespace, or as init's user where it has none.
        if !is_mapped(id) {
            let error = StartError::new(STEP, key, format!("no lxc.idmap = {letter} … holds {id}"));
            return Err(error.remedy(format!("add lxc.idmap = {letter} {id} HOSTID RANGE")));
        }
    }
    Ok(())
}

/// Gives process `pid` its maps.
pub(crate) fn write(pid: i32, maps: &[IdMap]) -> Result<(), StartError> {
    rlxc_namespace::write_id_maps(pid, maps).at(STEP, "lxc.idmap")
}
