//! Giving the user namespace of a process its maps.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use caps::{CapSet, Capability};
use nix::unistd::{getegid, geteuid};
use rlxc_config::{IdKind, IdMap};

use crate::{Caller, Error, Result, idmap};

/// Writes the maps of process `pid`, which has just entered a new user namespace.
///
/// A caller with CAP_SETUID and CAP_SETGID writes /proc/PID/{uid,gid}_map itself, one write each. Anyone else may do so
/// for a map of just the own ids (for gids setgroups is denied first, user_namespaces(7)); for all other maps newuidmap
/// and newgidmap are run, found on PATH, by exec and not by a shell. (LXC runs the tools for root too, who then needs
/// lines in /etc/subuid and /etc/subgid; here root does not.)
///
/// # Errors
/// What is missing or who refused, with the tool's own words.
pub fn write_id_maps(pid: i32, maps: &[IdMap]) -> Result<()> {
    idmap::validate(maps)?;
    let privileged = holds(Capability::CAP_SETUID) && holds(Capability::CAP_SETGID);
    if privileged || only_own_ids(maps, geteuid().as_raw(), getegid().as_raw()) {
        return write_directly(pid, maps, privileged);
    }
    let uid_tool = find_tool(IdKind::Uid)?;
    let gid_tool = find_tool(IdKind::Gid)?;
    run_tool(&uid_tool, IdKind::Uid, pid, maps)?;
    run_tool(&gid_tool, IdKind::Gid, pid, maps)
}

/// Checks, before anything is started, that [`write_id_maps`] can work for the calling process, which is `caller`.
///
/// # Errors
/// The missing tool or range, with the remedy.
pub fn check_writable(maps: &[IdMap], caller: &Caller) -> Result<()> {
    idmap::validate(maps)?;
    let privileged = holds(Capability::CAP_SETUID) && holds(Capability::CAP_SETGID);
    if privileged || only_own_ids(maps, caller.uid, caller.gid) {
        return Ok(());
    }
    find_tool(IdKind::Uid)?;
    find_tool(IdKind::Gid)?;
    crate::subid::check_delegated(maps, caller)
}

fn holds(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}

/// What an unprivileged process may write itself: at most one map a kind, of its own id alone.
fn only_own_ids(maps: &[IdMap], uid: u32, gid: u32) -> bool {
    let one = |kind, own| {
        let mut of_kind = idmap::of_kind(maps, kind);
        of_kind.clone().count() <= 1 && of_kind.all(|map| map.range == 1 && map.hostid == own)
    };
    one(IdKind::Uid, uid) && one(IdKind::Gid, gid)
}

fn write_directly(pid: i32, maps: &[IdMap], privileged: bool) -> Result<()> {
    for kind in [IdKind::Uid, IdKind::Gid] {
        let text: String = idmap::of_kind(maps, kind)
            .map(|map| format!("{} {} {}\n", map.nsid, map.hostid, map.range))
            .collect();
        if text.is_empty() {
            continue;
        }
        if kind == IdKind::Gid && !privileged {
            write_file(&format!("/proc/{pid}/setgroups"), "deny")?;
        }
        write_file(&format!("/proc/{pid}/{}id_map", idmap::letter(kind)), &text)?;
    }
    Ok(())
}

fn write_file(path: &str, text: &str) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .open(path)
        // One write: the kernel takes a map once only.
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| Error::WriteMap {
            path: path.into(),
            text: text.trim_end().replace('\n', ", "),
            source,
        })
}

fn tool_name(kind: IdKind) -> &'static str {
    match kind {
        IdKind::Uid => "newuidmap",
        IdKind::Gid => "newgidmap",
    }
}

/// The tool on PATH, if it can do its work: setuid root or with file capabilities.
fn find_tool(kind: IdKind) -> Result<PathBuf> {
    let tool = tool_name(kind);
    let path = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let found = env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(tool))
        .find(|file| {
            fs::metadata(file)
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
        .ok_or(Error::MapTool {
            tool,
            problem: "is not on PATH",
            remedy: "install the package with it (uidmap or shadow-utils)",
        })?;
    if privileged_file(&found) {
        return Ok(found);
    }
    Err(Error::MapTool {
        tool,
        problem: "is neither setuid root nor has it file capabilities",
        remedy: "as root run chmod u+s on it",
    })
}

fn privileged_file(path: &Path) -> bool {
    let setuid_root = fs::metadata(path)
        .is_ok_and(|meta| meta.uid() == 0 && meta.permissions().mode() & 0o4000 != 0);
    // What the capabilities are is the tool's own matter; that it has some is what is looked at.
    setuid_root || rlxc_sys::fs_caps::has_file_capabilities(path)
}

fn run_tool(path: &Path, kind: IdKind, pid: i32, maps: &[IdMap]) -> Result<()> {
    let mut command = Command::new(path);
    command.arg(pid.to_string());
    for map in idmap::of_kind(maps, kind) {
        command.args([map.nsid, map.hostid, map.range].map(|number| number.to_string()));
    }
    if command.get_args().len() == 1 {
        return Ok(());
    }
    let output = command.output().map_err(|source| Error::MapToolRun {
        path: path.into(),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stdout));
    let words: Vec<String> = std::iter::once(tool_name(kind).to_owned())
        .chain(
            command
                .get_args()
                .map(|arg| arg.to_string_lossy().into_owned()),
        )
        .collect();
    Err(Error::MapToolFailed {
        tool: tool_name(kind),
        output: said.trim().replace('\n', "; "),
        command: words.join(" "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_ids_go_without_help() {
        let (uid, gid) = (1000, 1001);
        assert!(only_own_ids(&idmap::single(0, 1000, 0, 1001), uid, gid));
        assert!(!only_own_ids(&idmap::single(0, 1000, 0, 1000), uid, gid));
        let mut two = idmap::single(0, 1000, 0, 1001);
        two.push(IdMap {
            kind: IdKind::Uid,
            nsid: 1,
            hostid: 100_000,
            range: 1,
        });
        assert!(!only_own_ids(&two, uid, gid));
    }
}
