//! SELinux: labels by procfs attributes, without libselinux.

use std::fs;
use std::path::Path;

use crate::{Error, Result};

/// Whether SELinux is active: its file system is mounted with a policy loaded.
#[must_use]
pub fn enabled() -> bool {
    is_selinuxfs(Path::new("/sys/fs/selinux"))
        && fs::read_to_string("/proc/self/attr/current").is_ok()
}

/// What only looks like it, in a container for one, is not believed.
fn is_selinuxfs(path: &Path) -> bool {
    use nix::sys::statfs::{SELINUX_MAGIC, statfs};
    statfs(path).is_ok_and(|stat| stat.filesystem_type() == SELINUX_MAGIC)
}

/// The context of process `pid`.
///
/// # Errors
/// When it cannot be read.
pub fn label_of(pid: i32) -> Result<String> {
    let path = format!("/proc/{pid}/attr/current");
    let text = fs::read_to_string(&path).map_err(|source| Error::Read {
        path: path.into(),
        source,
    })?;
    Ok(text.trim_end_matches(['\0', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_looks_like_selinuxfs_is_not_believed() {
        let fake =
            std::env::temp_dir().join(format!("rlxc-security-selinux-{}", std::process::id()));
        fs::create_dir_all(&fake).ok();
        fs::write(fake.join("policyvers"), "33").ok();
        assert!(!is_selinuxfs(&fake));
        fs::remove_dir_all(&fake).ok();
    }
}
