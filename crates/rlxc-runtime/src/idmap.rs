//! Writing the id maps of a new user namespace.

use rlxc_config::{IdKind, IdMap};

use crate::error::{Context, StartError};

pub(crate) fn write(pid: i32, maps: &[IdMap]) -> Result<(), StartError> {
    let step = "id maps";
    for (kind, file) in [(IdKind::Gid, "gid_map"), (IdKind::Uid, "uid_map")] {
        let text: String = maps
            .iter()
            .filter(|map| map.kind == kind)
            .map(|map| format!("{} {} {}\n", map.nsid, map.hostid, map.range))
            .collect();
        if kind == IdKind::Gid && !nix::unistd::geteuid().is_root() {
            let path = format!("/proc/{pid}/setgroups");
            std::fs::write(&path, "deny").at(step, path)?;
        }
        let path = format!("/proc/{pid}/{file}");
        std::fs::write(&path, text).at(step, path)?;
    }
    Ok(())
}
