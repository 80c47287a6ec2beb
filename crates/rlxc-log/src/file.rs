use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A log file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum LogError {
    #[error("cannot create the log directory {path}")]
    CreateDir { path: PathBuf, source: io::Error },
    #[error("cannot open the log file {path}")]
    Open { path: PathBuf, source: io::Error },
}

/// The log file of a container for which only a level was given: `LOGDIR/NAME.log` for root in the
/// default lxcpath, else `LXCPATH/NAME/NAME.log`.
pub fn default_path(
    logdir: &Path,
    default_lxcpath: &Path,
    lxcpath: &Path,
    name: &str,
    root: bool,
) -> PathBuf {
    let file = format!("{name}.log");
    if root && lxcpath == default_lxcpath {
        logdir.join(file)
    } else {
        lxcpath.join(name).join(file)
    }
}

/// Opens a log file for appending, mode 0640, making missing directories (0755).
///
/// # Errors
/// A directory or the file cannot be made or opened.
pub fn open(path: &Path) -> Result<File, LogError> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o755);
        builder
            .create(parent)
            .map_err(|source| LogError::CreateDir {
                path: parent.to_owned(),
                source,
            })?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640);
    // O_NOFOLLOW: the directory may belong to somebody else than the one who logs.
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NOCTTY | libc::O_CLOEXEC);
    options.open(path).map_err(|source| LogError::Open {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_depends_on_who_and_where() {
        let (dir, lxcpath) = (Path::new("/var/log/lxc"), Path::new("/var/lib/lxc"));
        let path = |at: &str, root| default_path(dir, lxcpath, Path::new(at), "c", root);
        assert_eq!(path("/var/lib/lxc", true), Path::new("/var/log/lxc/c.log"));
        assert_eq!(path("/srv", true), Path::new("/srv/c/c.log"));
        assert_eq!(
            path("/var/lib/lxc", false),
            Path::new("/var/lib/lxc/c/c.log")
        );
    }
}
