//! Capabilities, seccomp policies compiled to BPF, AppArmor, SELinux, keyrings, resource limits.
//!
//! Everything that can be wrong is found when it is parsed or compiled; what is left for the child between clone and
//! exec are calls on plain numbers that allocate nothing ([`rlxc_sys`]'s, named in each module's first lines).
//!
//! # Order in the child
//! bounding set, exec label, no_new_privs, seccomp, ids, exec.

pub mod caps;
mod error;
pub mod keyring;
pub mod limits;
pub mod lsm;
pub mod seccomp;

pub use error::{Error, Result};
