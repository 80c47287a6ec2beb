use std::path::PathBuf;

use rlxc_config::{GLOBAL_KEYS, GlobalConfig};

use crate::error::Result;

/// The LXC version whose interfaces these are.
pub const VERSION: &str = "7.0.0";

/// The value of a key of lxc.conf, or its default; `None` for a key without either.
///
/// # Errors
/// [`crate::Error::Global`] for an unknown key.
pub fn global_config_item(key: &str) -> Result<Option<String>> {
    Ok(GlobalConfig::load().get(key)?)
}

/// The keys of lxc.conf.
pub fn global_config_keys() -> &'static [&'static str] {
    &GLOBAL_KEYS
}

/// `lxc.lxcpath`.
pub fn default_lxcpath() -> PathBuf {
    GlobalConfig::load().lxcpath()
}
