//! The LXC configuration language: parser, key table, typed values, lossless editing, diagnostics.
//!
//! The text is the truth: a [`Document`](document) keeps the lines as the user wrote them, and the
//! typed [`Config`] is derived from it.
//!
//! # References
//! lxc.container.conf(5), lxc.conf(5), lxc-usernet(5).

mod config;
pub mod paths;

pub use config::*;
