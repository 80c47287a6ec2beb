//! Finding the monitor's program, and opening it so that the container can never write to it.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use rlxc_config::paths;
use rlxc_sys::mount::{self, MountAttr, attr};

use crate::error::{Context, StartError};

const PROGRAM: &str = "rlxc-monitor";
const WORKER: &str = "rlxc-worker";

/// The monitor's program, and the loader to execute it by if it is a library.
pub(crate) fn monitor_to_execute() -> Result<(PathBuf, Option<&'static CStr>), StartError> {
    match monitor_program() {
        Ok(program) => Ok((program, None)),
        Err(error) => rlxc_sys::carried::object()
            .map(|(object, loader)| (object, Some(loader)))
            .ok_or(error),
    }
}

/// The monitor's program: beside the running executable or the loaded library, or installed.
/// The environment has no say in it: the caller may be privileged.
pub fn monitor_program() -> Result<PathBuf, StartError> {
    program(PROGRAM).map_err(|installed| {
        StartError::new(
            "monitor",
            installed.display(),
            "the monitor program is missing",
        )
        .remedy("install rlxc completely, or put rlxc-monitor beside the rlxc program")
    })
}

/// The worker's program: beside the running one or the loaded library, or installed.
pub(crate) fn worker_program() -> Option<PathBuf> {
    program(WORKER).ok()
}

/// The worker's program for the monitor, which cannot look beside itself; see [`destroyer`].
pub(crate) fn worker_near(dir: Option<&Path>) -> Option<PathBuf> {
    let near = dir.map(|dir| dir.join(WORKER));
    let installed = Some(Path::new(paths::LIBEXECDIR).join("rlxc").join(WORKER));
    let mut candidates = [near, installed].into_iter().flatten();
    candidates.find(|path| path.is_file())
}

/// Where a program is, or else where it should be installed.
fn program(name: &str) -> Result<PathBuf, PathBuf> {
    let installed = Path::new(paths::LIBEXECDIR).join("rlxc").join(name);
    let mut candidates = Vec::new();
    for near in [
        std::env::current_exe().ok(),
        rlxc_sys::process::own_object(),
    ] {
        let dir = near.as_deref().and_then(Path::parent);
        candidates.extend(dir.map(|dir| dir.join(name)));
        // Test programs and examples lie one directory deeper than what they test.
        if let Some(parent) = dir.filter(|dir| dir.ends_with("deps") || dir.ends_with("examples")) {
            candidates.extend(parent.parent().map(|dir| dir.join(name)));
        }
    }
    candidates.push(installed.clone());
    let mut candidates = candidates.into_iter();
    candidates.find(|path| path.is_file()).ok_or(installed)
}

/// What destroys a container below `lxcpath` whose name is added to the command: the program `rlxc`
/// in `dir`, where the monitor's program was found, or installed; else the library `object`. The
/// monitor cannot look beside itself: it runs from a mount without a path.
pub(crate) fn destroyer(
    dir: Option<&Path>,
    object: Option<&Path>,
    lxcpath: &Path,
) -> Option<(PathBuf, Command)> {
    let installed = Path::new(paths::LIBEXECDIR).parent();
    let installed = installed.map(|prefix| prefix.join("bin/rlxc"));
    let near = dir.map(|dir| dir.join("rlxc"));
    let mut candidates = [near, installed].into_iter().flatten();
    if let Some(program) = candidates.find(|path| path.is_file()) {
        let mut command = Command::new(&program);
        command.args(["destroy", "-P"]).arg(lxcpath).arg("-n");
        return Some((program, command));
    }
    let (object, loader) = object.zip(rlxc_sys::carried::loader())?;
    let mut command = Command::new(OsStr::from_bytes(loader.to_bytes()));
    command.arg(object);
    command.arg(rlxc_sys::carried::DESTROY).arg(lxcpath);
    Some((object.to_owned(), command))
}

/// The program opened for execution. `/proc/PID/exe` of what runs it is never writable for the
/// container's root (CVE-2019-5736): with privilege it lies on a read-only mount of its own; a
/// user who could write the file gets a sealed copy.
pub(crate) fn open_read_only(program: &Path) -> Result<OwnedFd, StartError> {
    let step = "monitor";
    if let Ok(tree) = mount::open_tree_at(program, mount::OPEN_TREE_CLONE) {
        let change = MountAttr {
            set: attr::RDONLY,
            ..MountAttr::default()
        };
        mount::set_attr(&tree, false, &change).at_path(step, program)?;
        return high(tree).at_path(step, program);
    }
    let writable = nix::unistd::access(program, nix::unistd::AccessFlags::W_OK).is_ok();
    if writable {
        return sealed_copy(program).at_path(step, program);
    }
    let file = File::open(program).at_path(step, program)?;
    high(file.into()).at_path(step, program)
}

fn sealed_copy(program: &Path) -> std::io::Result<OwnedFd> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // MFD_EXEC: some systems make memfds not executable by default; old kernels lack the flag.
    let exec = flags | MFdFlags::from_bits_retain(0x10);
    let fd =
        memfd_create(c"rlxc-monitor", exec).or_else(|_| memfd_create(c"rlxc-monitor", flags))?;
    let mut copy = File::from(fd);
    std::io::copy(&mut File::open(program)?, &mut copy)?;
    copy.flush()?;
    let seals = SealFlag::F_SEAL_SEAL
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE;
    fcntl(&copy, FcntlArg::F_ADD_SEALS(seals))?;
    // Executed by its path below /proc: a descriptor open for writing would make that fail.
    let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
    high(File::open(path)?.into())
}

/// A descriptor with a number that does not collide with those that users hand down.
pub(crate) fn high(fd: OwnedFd) -> std::io::Result<OwnedFd> {
    rlxc_sys::process::duplicate_above(fd.as_fd(), 100)
}

/// The path to execute an open program by.
pub(crate) fn exec_path(program: &OwnedFd) -> CString {
    // No NUL in it: a literal and a number.
    CString::new(format!("/proc/self/fd/{}", program.as_raw_fd())).unwrap_or_default()
}
