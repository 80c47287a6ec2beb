//! Root file systems from images, for LXC's templates `download`, `local` and `oci`.
//!
//! - [`index`], [`server`], [`http`]: image servers with a simplestreams index, over HTTPS; resumed
//!   downloads; [`digest`]s; [`openpgp`] signatures without a GPG program
//! - [`oci`]: images from a layout directory, an archive or a registry
//! - [`unpack`]: archives that nobody vouches for, into a tree that they cannot leave
//! - [`template`]: LXC's calling convention and the container's configuration
//!
//! A crate of its own with a program of its own: neither the container runtime nor `rlxc` carries
//! TLS, decompressors and parsers of other people's formats.

pub mod cache;
pub mod digest;
pub mod download;
mod error;
pub mod http;
pub mod index;
pub mod local;
pub mod metadata;
mod null;
pub mod oci;
pub mod openpgp;
mod progress;
pub mod server;
pub mod template;
mod trust;
pub mod unpack;
mod userns;

pub use error::{Error, Result};
