//! Reading and writing one file of a cgroup.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};

use crate::error::{Error, Result};

/// Whether the process, as its effective user, may write to `path`: one system call, faccessat2(2).
pub(crate) fn writable(path: &Path) -> std::result::Result<(), Errno> {
    faccessat(AT_FDCWD, path, AccessFlags::W_OK, AtFlags::AT_EACCESS)
}

/// Refuses names with `/`, `.` and `..`: a file stays in its cgroup.
pub(crate) fn check_file(name: &str) -> Result<()> {
    match name.is_empty() || name.contains(['/', '\0']) || name == "." || name == ".." {
        true => Err(Error::Name(name.into())),
        false => Ok(()),
    }
}

/// Refuses absolute paths and `..`.
pub(crate) fn check_dir(path: &str) -> Result<()> {
    let normal = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    match !path.is_empty() && Path::new(path).components().all(normal) && !path.contains('\0') {
        true => Ok(()),
        false => Err(Error::Name(path.into())),
    }
}

/// Reads a file of the cgroup `dir`, without the last newline.
///
/// # Errors
/// [`Error::Name`] for a name with a slash, [`Error::Read`] with the kernel's answer.
pub fn get(dir: &Path, file: &str) -> Result<String> {
    check_file(file)?;
    let path = dir.join(file);
    let mut text = fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

/// Writes `value` to a file of the cgroup `dir` in one write(2).
///
/// # Errors
/// [`Error::Name`] for a name with a slash, [`Error::Write`] with the kernel's answer.
pub fn set(dir: &Path, file: &str, value: &str) -> Result<()> {
    check_file(file)?;
    let path = dir.join(file);
    let open = OpenOptions::new().write(true).open(&path);
    open.and_then(|mut f| f.write_all(value.as_bytes()))
        .map_err(|source| Error::Write {
            path,
            value: value.into(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_cgroup_are_refused() {
        for bad in ["", ".", "..", "a/b", "../x", "/x"] {
            assert!(check_file(bad).is_err(), "{bad}");
        }
        assert!(check_file("memory.max").is_ok());
        for bad in ["", "/x", "a/../b", ".."] {
            assert!(check_dir(bad).is_err(), "{bad}");
        }
        assert!(check_dir("a/b").is_ok());
    }
}
