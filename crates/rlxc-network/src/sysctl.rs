//! Per-link settings below /proc/sys/net, of the namespace the caller is in.

use std::path::PathBuf;

use crate::error::{Error, Result};

/// Internet protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

fn path(family: Family, link: &str, setting: &str) -> PathBuf {
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    // Interface names hold no '/': a name cannot lead elsewhere.
    PathBuf::from(format!("/proc/sys/net/{family}/conf/{link}/{setting}"))
}

/// Writes a setting of `link`.
pub(crate) fn set(family: Family, link: &str, setting: &str, value: &str) -> Result<()> {
    let path = path(family, link, setting);
    std::fs::write(&path, value).map_err(|source| Error::File {
        op: "write",
        path,
        source,
    })
}

/// Checks that a setting of `link` is on.
pub(crate) fn is_on(family: Family, link: &str, setting: &str) -> Result<bool> {
    let path = path(family, link, setting);
    let text = std::fs::read_to_string(&path).map_err(|source| Error::File {
        op: "read",
        path,
        source,
    })?;
    Ok(text.trim() != "0")
}
