use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, faccessat};

use crate::container::trim_slashes;
use crate::error::{Error, Result};

/// Names of the containers defined below `lxcpath`, sorted: directories with a `config`, not
/// beginning with a dot. One pass over the directory, one look at each entry; nothing is parsed.
///
/// # Errors
/// [`Error::Path`] when the lxcpath cannot be read.
pub fn list_defined(lxcpath: &Path) -> Result<Vec<String>> {
    let failed = |operation| Error::path::<nix::errno::Errno>(operation, lxcpath);
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut dir =
        nix::dir::Dir::open(lxcpath, flags, Mode::empty()).map_err(failed("read the lxcpath"))?;
    let root = nix::fcntl::open(lxcpath, flags, Mode::empty()).map_err(failed("open"))?;
    let mut names = Vec::new();
    for entry in dir.iter() {
        let entry = entry.map_err(failed("read the lxcpath"))?;
        let name = entry.file_name().to_bytes();
        let maybe_dir = !matches!(entry.file_type(), Some(nix::dir::Type::File));
        if name.starts_with(b".") || !maybe_dir {
            continue;
        }
        let config = [name, b"/config"].concat();
        let config = std::ffi::OsStr::from_bytes(&config);
        if faccessat(&root, config, AccessFlags::F_OK, AtFlags::AT_EACCESS).is_ok() {
            names.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Names of the containers that run below `lxcpath`, sorted; from one read of /proc/net/unix.
///
/// # Errors
/// [`Error::Monitor`] when that cannot be read.
pub fn list_active(lxcpath: &Path) -> Result<Vec<String>> {
    Ok(rlxc_monitor::active_containers(&trim_slashes(lxcpath))?)
}

/// The union of [`list_defined`] and [`list_active`], sorted. An lxcpath that does not exist holds
/// no defined containers.
///
/// # Errors
/// As both.
pub fn list_all(lxcpath: &Path) -> Result<Vec<String>> {
    let mut names: BTreeSet<String> = match list_defined(lxcpath) {
        Ok(names) => names.into_iter().collect(),
        Err(Error::Path { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            BTreeSet::new()
        }
        Err(error) => return Err(error),
    };
    names.extend(list_active(lxcpath)?);
    Ok(names.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_with_a_config_are_containers() -> std::io::Result<()> {
        let dir = std::env::temp_dir().join(format!("rlxc-list-{}", std::process::id()));
        for name in ["b", "a", ".hidden", "empty"] {
            std::fs::create_dir_all(dir.join(name))?;
            if name != "empty" {
                std::fs::write(dir.join(name).join("config"), "")?;
            }
        }
        std::fs::write(dir.join("file"), "")?;
        let names = list_defined(&dir);
        std::fs::remove_dir_all(&dir)?;
        assert_eq!(names.ok(), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert!(list_defined(&dir).is_err());
        Ok(())
    }
}
