//! Unpacking archives that nobody vouches for.
//!
//! [`apply()`] writes one tar archive into a [`Tree`]; [`confined`] has it done by a child process
//! that sees nothing but the tree, has no network and only the capabilities it needs.

mod apply;
mod child;
mod glob;
mod limits;
mod name;
mod sparse;
mod squashfs;
mod stream;
pub mod tree;

pub use apply::apply;
pub use child::{confined, confined_file, serve};
pub use squashfs::serve_squashfs;
pub(crate) use stream::Stream;
pub use stream::{Compression, Limits};
pub use tree::Tree;

use serde::{Deserialize, Serialize};

/// The path of an image archive's entry; see `name`.
pub(crate) fn clean_name(name: &[u8]) -> crate::Result<std::path::PathBuf> {
    name::clean(name, Layout::System)
}

/// Whose rules an archive follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// A whole system by tar: no name twice, no link in a parent's path
    System,
    /// A layer of an OCI image: whiteouts, and names that replace those of lower layers
    Layer,
}

/// How to unpack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Options {
    /// The rules
    pub layout: Layout,
    /// In a user namespace: devices below /dev are left out, others refused
    pub userns: bool,
    /// Patterns of what is left out
    pub excludes: Vec<String>,
    /// Bytes that may come out at most
    pub max_bytes: u64,
}

impl Options {
    /// For this process's user namespace.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            userns: crate::userns::inside(),
            excludes: Vec::new(),
            max_bytes: Limits::default().bytes,
        }
    }
}

/// What was unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpacked {
    /// Entries made
    pub entries: u64,
    /// Size of the archive after decompression
    pub bytes: u64,
    /// SHA-256 of the archive after decompression: an OCI layer's diff id
    pub sha256: String,
    /// Devices left out since the container's /dev is made at its start
    pub devices_left_out: u64,
}
