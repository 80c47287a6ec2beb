//! `liblxc.so.1`: the C interface of LXC on top of the rlxc crate.
//!
//! No logic of its own: each function turns C values into Rust ones, calls [`rlxc::Container`], and
//! turns the result back. What fails sets the container's `error_num` and `error_string`.
//!
//! Strings that the caller frees come from the C allocator. No panic leaves the library.
//!
//! # References
//! LXC's `lxccontainer.h` (API of 7.0.0).
#![allow(unsafe_code)]
// Exported by name to C, not to Rust.
#![allow(unreachable_pub)]

mod abi;
mod attach;
mod carried;
mod checkpoint;
mod config;
mod copies;
mod globals;
mod lend;
mod life;
mod log;
mod memory;
mod query;
mod rexec;
mod tools;
mod variadic;

pub use abi::lxc_container;
