//! Writing the id maps of a new user namespace.

use std::path::PathBuf;
use std::process::Command;

use nix::unistd::{Gid, Uid};
use rlxc_config::{IdKind, IdMap};

use crate::error::{Context, StartError};

const STEP: &str = "id maps";

/// Writes the maps of process `pid`: directly as root or for the caller's own ids, else by
/// newuidmap(1) and newgidmap(1).
pub(crate) fn write(pid: i32, maps: &[IdMap]) -> Result<(), StartError> {
    let direct = Uid::effective().is_root() || only_own(maps);
    for kind in [IdKind::Gid, IdKind::Uid] {
        let of_kind: Vec<&IdMap> = maps.iter().filter(|map| map.kind == kind).collect();
        if direct {
            write_file(pid, kind, &of_kind)?;
        } else {
            run_tool(pid, kind, &of_kind)?;
        }
    }
    Ok(())
}

/// Whether only the caller's own ids are mapped, which the kernel lets everybody do.
fn only_own(maps: &[IdMap]) -> bool {
    maps.iter().all(|map| {
        let own = match map.kind {
            IdKind::Uid => Uid::effective().as_raw(),
            IdKind::Gid => Gid::effective().as_raw(),
        };
        map.range == 1 && map.hostid == own
    })
}

fn write_file(pid: i32, kind: IdKind, maps: &[&IdMap]) -> Result<(), StartError> {
    let text: String = maps
        .iter()
        .map(|map| format!("{} {} {}\n", map.nsid, map.hostid, map.range))
        .collect();
    if kind == IdKind::Gid && !Uid::effective().is_root() {
        let path = format!("/proc/{pid}/setgroups");
        std::fs::write(&path, "deny").at(STEP, path)?;
    }
    let path = match kind {
        IdKind::Uid => format!("/proc/{pid}/uid_map"),
        IdKind::Gid => format!("/proc/{pid}/gid_map"),
    };
    if text.is_empty() {
        return Ok(());
    }
    std::fs::write(&path, &text).at(STEP, format!("{path}: {}", text.trim_end()))
}

fn run_tool(pid: i32, kind: IdKind, maps: &[&IdMap]) -> Result<(), StartError> {
    let (tool, file) = match kind {
        IdKind::Uid => ("newuidmap", "/etc/subuid"),
        IdKind::Gid => ("newgidmap", "/etc/subgid"),
    };
    if maps.is_empty() {
        return Ok(());
    }
    let mut command = Command::new(find(tool)?);
    command.arg(pid.to_string());
    for map in maps {
        command.args([map.nsid, map.hostid, map.range].map(|n| n.to_string()));
    }
    let output = command.output().at(STEP, tool)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().replace('\n', "; ");
    let ranges: Vec<String> = maps
        .iter()
        .map(|map| format!("{} {} {}", map.nsid, map.hostid, map.range))
        .collect();
    let message = format!("failed to write mapping \"{}\": {said}", ranges.join(", "));
    Err(StartError::new(STEP, tool, message).remedy(format!(
        "give the user that range in {file}, and see that {tool} is setuid root"
    )))
}

/// The tool on PATH or at its usual places.
fn find(tool: &str) -> Result<PathBuf, StartError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/bin", "/usr/local/bin"].map(PathBuf::from);
    let dirs = std::env::split_paths(&path).chain(usual);
    let mut files = dirs.map(|dir| dir.join(tool));
    files.find(|file| file.is_file()).ok_or_else(|| {
        StartError::new(STEP, tool, "the program is missing")
            .remedy("install Debian's package uidmap, or leave lxc.idmap out for a container with a single id")
    })
}
