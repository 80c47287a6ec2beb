use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use nix::sys::statvfs::{FsFlags, fstatvfs};

use super::AttachError;

/// Makes the running executable unreachable for writing, by executing it again through a read-only
/// mount of its own. Does nothing when that has happened already, or when the caller is not root.
///
/// To be called first thing by a single-threaded program that will attach to a privileged
/// container: what runs there could otherwise open the host's binary for writing through
/// `/proc/PID/exe` (CVE-2019-5736).
///
/// # Errors
/// [`AttachError::Call`] when the mount cannot be made; the caller may go on, with a warning.
pub fn reexec_read_only() -> Result<(), AttachError> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let exe = File::open("/proc/self/exe").map_err(AttachError::path("open", "/proc/self/exe"))?;
    let flags = fstatvfs(&exe).map_err(AttachError::call("look at the own executable"))?;
    if flags.flags().contains(FsFlags::ST_RDONLY) {
        return Ok(());
    }
    let mount = read_only(&exe).map_err(AttachError::call("make a read-only view of ourselves"))?;
    let arguments = std::env::args_os().filter_map(|arg| CString::new(arg.into_vec()).ok());
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        let mut variable = name.into_vec();
        variable.push(b'=');
        variable.extend(value.into_vec());
        CString::new(variable).ok()
    });
    let error = rlxc_sys::exec::exec_fd(
        mount.as_fd(),
        &arguments.collect::<Vec<_>>(),
        &environment.collect::<Vec<_>>(),
    );
    Err(AttachError::call("execute a read-only view of ourselves")(
        error,
    ))
}

/// A detached, read-only mount of one file.
fn read_only(exe: &File) -> io::Result<OwnedFd> {
    use rlxc_sys::mount::{MountAttr, clone_tree, set_attr};
    let mount = clone_tree(exe, false)?;
    let attr = MountAttr {
        set: rlxc_sys::mount::attr::RDONLY,
        ..MountAttr::default()
    };
    set_attr(&mount, false, &attr)?;
    Ok(mount)
}
