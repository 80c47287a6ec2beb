//! Where run-time files live: locks and the monitor FIFO.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{getegid, geteuid};

use crate::{Error, Result};

/// The build's run-time directory, as in `rlxc_config::paths::RUNDIR`.
pub const RUNDIR: &str = match option_env!("RLXC_RUNDIR") {
    Some(path) => path,
    None => "/run",
};

/// The directory below which `lxc/` keeps run-time files for the caller.
///
/// The build's own (`/run`) if it belongs to the caller's user or group, else `$XDG_RUNTIME_DIR`,
/// else `$HOME/.cache/lxc/run`.
///
/// # Errors
/// [`Error::NoRunDir`] when none of the three is there.
pub fn run_dir() -> Result<PathBuf> {
    choose(
        Path::new(RUNDIR),
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
        std::env::var_os("HOME").map(PathBuf::from),
    )
}

/// Where the monitor of a running container leaves what another monitor needs to take the container
/// over: `RUNDIR/lxc/running/LXCPATH/NAME`.
///
/// # Errors
/// [`Error::NoRunDir`].
pub fn record_path(lxcpath: &Path, name: &str) -> Result<PathBuf> {
    let below = lxcpath.strip_prefix("/").unwrap_or(lxcpath);
    Ok(run_dir()?.join("lxc/running").join(below).join(name))
}

/// As [`record_path`], and makes the directories.
///
/// # Errors
/// [`Error::NoRunDir`]; [`Error::Path`] for a directory that cannot be made or is not the caller's.
pub fn make_record_path(lxcpath: &Path, name: &str) -> Result<PathBuf> {
    Ok(make_dirs(&run_dir()?, Some("running"), lxcpath)?.join(name))
}

fn choose(system: &Path, xdg: Option<PathBuf>, home: Option<PathBuf>) -> Result<PathBuf> {
    if let Ok(meta) = fs::metadata(system)
        && (meta.uid() == geteuid().as_raw() || meta.gid() == getegid().as_raw())
    {
        return Ok(system.to_owned());
    }
    if let Some(dir) = xdg.filter(|dir| dir.is_absolute()) {
        return Ok(dir);
    }
    home.map(|home| home.join(".cache/lxc/run"))
        .ok_or(Error::NoRunDir(RUNDIR))
}

/// `base/lxc/KIND/LXCPATH` (or `base/lxc/LXCPATH` without a kind), made with mode 0755.
///
/// Every directory that is made or found below `base` must be a real directory that belongs to the
/// caller or to root, so that nobody else can put links there (CVE-2015-1331).
pub(crate) fn make_dirs(base: &Path, kind: Option<&str>, lxcpath: &Path) -> Result<PathBuf> {
    let relative = lxcpath.strip_prefix("/").unwrap_or(lxcpath);
    let mut below = PathBuf::from("lxc");
    below.extend(kind);
    below.extend(
        relative
            .components()
            .filter(|c| matches!(c, std::path::Component::Normal(_))),
    );
    let failed = |path: &Path, source| Error::Path {
        operation: "make the run-time directory",
        path: path.to_owned(),
        source,
    };
    if !base.exists() {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(base).map_err(|e| failed(base, e))?;
    }
    let mut dir = base.to_owned();
    for part in below.components() {
        dir.push(part);
        match DirBuilder::new().mode(0o755).create(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(&dir, error));
            }
            _ => check_owner(&dir).map_err(|e| failed(&dir, e))?,
        }
    }
    Ok(dir)
}

fn check_owner(dir: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(dir)?;
    if !meta.is_dir() {
        return Err(Errno::ENOTDIR.into());
    }
    if meta.uid() != 0 && meta.uid() != geteuid().as_raw() {
        return Err(Errno::EPERM.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_directory_is_taken_when_it_is_ours() {
        let dir = std::env::temp_dir().join(format!("rlxc-monitor-run-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        assert_eq!(choose(&dir, Some("/xdg".into()), None).unwrap(), dir);
        let missing = dir.join("missing");
        assert_eq!(
            choose(&missing, Some("/xdg".into()), None).unwrap(),
            Path::new("/xdg")
        );
        assert_eq!(
            choose(&missing, None, Some("/home/u".into())).unwrap(),
            Path::new("/home/u/.cache/lxc/run")
        );
        assert!(matches!(
            choose(&missing, None, None),
            Err(Error::NoRunDir(_))
        ));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_link_among_the_directories_is_refused() {
        let dir = std::env::temp_dir().join(format!("rlxc-monitor-link-{}", std::process::id()));
        fs::create_dir_all(dir.join("lxc")).unwrap();
        std::os::unix::fs::symlink("/tmp", dir.join("lxc/lock")).unwrap();
        let error = make_dirs(&dir, Some("lock"), Path::new("/x")).unwrap_err();
        assert_eq!(error.errno(), Some(nix::errno::Errno::ENOTDIR));
        fs::remove_dir_all(&dir).unwrap();
    }
}
