//! `lxc-usernsexec`: a command in a new user and mount namespace.

use std::ffi::OsString;

use rlxc_config::{IdKind, IdMap, Namespace};

use crate::{Caller, Error, Result, idmap, map_writer, subid, tool};

/// What to run, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `-m`; empty = the caller's first subordinate ranges at 0
    pub maps: Vec<IdMap>,
    /// `-s`: the caller's own ids are mapped too, each at the lowest free id inside (as LXC's tool does it)
    pub map_self: bool,
    /// `-u`
    pub uid: u32,
    /// `-g`
    pub gid: u32,
    /// The command; empty = /bin/sh
    pub command: Vec<OsString>,
}

/// Runs the command and returns its exit status (128 + signal if a signal ended it).
///
/// # Errors
/// When the maps cannot be written, or the process is not single-threaded (`EBUSY`). What fails in the child is
/// given to `report` there
/// and gives status 1; a command that cannot be executed 126 or 127.
pub fn run(options: &Options, report: &dyn Fn(&Error)) -> Result<i32> {
    let caller = Caller::current();
    let mut maps = match options.maps.as_slice() {
        [] => subid::default_maps(&caller)?,
        maps => maps.to_vec(),
    };
    if options.map_self {
        maps = idmap::with_own_ids(&maps, caller.uid, caller.gid)?.maps;
    }
    map_writer::check_writable(&maps, &caller)?;
    let shell = [OsString::from("/bin/sh")];
    let command = if options.command.is_empty() {
        &shell[..]
    } else {
        &options.command
    };
    let flags = Namespace::User.clone_flag() | Namespace::Mnt.clone_flag();
    // An id that no map holds cannot be taken; with maps of one kind only the other one stays.
    let wanted = |kind, id| idmap::of_kind(&maps, kind).next().is_some().then_some(id);
    let (uid, gid) = (
        wanted(IdKind::Uid, options.uid),
        wanted(IdKind::Gid, options.gid),
    );
    let child = tool::Held::spawn(flags, || {
        tool::inside(report, || {
            // While all capabilities are still there.
            tool::make_mounts_slave()?;
            tool::switch_ids(uid, gid)?;
            Ok(tool::exec(command))
        })
    })?;
    if let Err(error) = map_writer::write_id_maps(child.pid, &maps) {
        child.abandon();
        return Err(error);
    }
    tool::wait(child.release()?)
}
