//! Safe, typed wrappers for the kernel calls that nix lacks; with liblxc the only crate with unsafe code.
//!
//! One file a kernel topic. Each function names its manual page; errors are [`std::io::Error`] or
//! [`nix::errno::Errno`], never a panic.
#![allow(unsafe_code)]

pub mod bpf;
pub mod btrfs;
pub mod capability;
pub mod carried;
pub mod child;
pub mod clock;
pub mod exec;
pub mod fork;
pub mod fs;
pub mod fs_caps;
pub mod keyring;
pub mod limits;
pub mod loopdev;
pub mod mount;
pub mod namespace;
pub mod process;
pub mod regex;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod tty;
