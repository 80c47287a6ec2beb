//! The id maps of the container's user namespace.

use rlxc_config::IdMap;

use crate::error::{Context, StartError};

const STEP: &str = "id maps";

/// Checks, before anything is made, that the maps can be written by this process.
pub(crate) fn check(maps: &[IdMap]) -> Result<(), StartError> {
    if maps.is_empty() {
        return Ok(());
    }
    rlxc_namespace::map_writer::check_writable(maps).at(STEP, "lxc.idmap")
}

/// Gives process `pid` its maps.
pub(crate) fn write(pid: i32, maps: &[IdMap]) -> Result<(), StartError> {
    rlxc_namespace::write_id_maps(pid, maps).at(STEP, "lxc.idmap")
}
