//! The LXC configuration language: parser, key table, typed values, lossless editing, diagnostics.
//!
//! The text is the truth: a [`Document`] keeps the lines as the user wrote them, and the typed
//! [`Config`] is derived from it, by one table of keys ([`KEY_TABLE`]).
//!
//! ```
//! use rlxc_config::Document;
//!
//! let mut document = Document::new();
//! document.set("lxc.uts.name", "web")?;
//! document.set("lxc.net.0.type", "veth")?;
//! assert_eq!(document.get("lxc.net.0.type")?, "veth");
//! assert_eq!(document.text(), "lxc.uts.name = web\nlxc.net.0.type = veth\n");
//! # Ok::<(), rlxc_config::KeyError>(())
//! ```
//!
//! # References
//! lxc.container.conf(5), lxc.conf(5), lxc-usernet(5).

mod check;
mod config;
mod document;
mod effective;
mod error;
mod explain;
mod global;
mod hwaddr;
mod keys;
mod legacy;
mod line;
mod load;
mod mount_entry;
pub mod paths;
mod reader;
mod save;
mod signal;
mod text;
mod usernet;
mod v1;
mod value;

pub use check::{CheckOptions, Diagnostic, Severity, check, check_text, check_with, render};
pub use config::*;
pub use document::Document;
pub use effective::Effective;
pub use error::{KeyError, LineError, LoadError, Location, ValueError};
pub use explain::{Explanation, KeyInfo, all_keys, explain, key_table_markdown};
pub use global::{GLOBAL_KEYS, GlobalConfig, GlobalError};
pub use hwaddr::fill_text as fill_hwaddr;
pub use keys::net::{NetKeyRow, SUBKEYS as NET_KEY_TABLE};
pub use keys::security::CAPABILITIES;
pub use keys::{KEY_TABLE, KeyRow, key_is_supported, nearest_key};
pub use legacy::{replacement as legacy_replacement, update_legacy};
pub use load::{MAX_DEPTH, MAX_FILE, MAX_FILES, MAX_TOTAL};
pub use mount_entry::mount_flag;
pub use save::save as replace_file;
pub use signal::Signal;
pub use usernet::{Usernet, UsernetName, UsernetRule};
pub use v1::{V1Limits, Warning};
pub use value::number;
