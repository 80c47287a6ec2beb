//! SELinux: labels by procfs attributes, without libselinux.

use std::fs;
use std::path::Path;

use crate::{Error, Result};

/// Whether SELinux is active: its file system is mounted with a policy loaded.
#[must_use]
pub fn enabled() -> bool {
    Path::new("/sys/fs/selinux/policyvers").exists()
        && fs::read_to_string("/proc/self/attr/current").is_ok()
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
