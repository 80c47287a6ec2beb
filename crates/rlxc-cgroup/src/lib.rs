//! Control groups in v1, v2 and hybrid layouts: layout, creation, limits, freezer, devices, removal.
//!
//! [`Layout::detect`] finds the hierarchies; [`Cgroups`] are one container's directories in them.
//! The difference between v1 and v2 is data ([`Version`] of a tree), not two code paths.
//!
//! # cgroups-rs
//! That crate (0.5.1) has typed knobs and statistics for v1 or pure cgroup2, found by path. What it
//! does well is the oracle of the statistics here (`tests/cgroups_rs.rs`). It stops at hybrid
//! layouts, name clashes, delegation, device programs, events, and directories that only a
//! descriptor reaches (a container's, handed out by its monitor); and it would bring 90 packages,
//! with an asynchronous D-Bus stack and second versions of nix, bitflags and thiserror, into every
//! program that links it. So it is not in what is shipped: [`Stats`] is one pass over file names,
//! and a knob is a file ([`get`], [`set`]).

mod aside;
mod cgroups;
mod device_access;
pub mod devices;
mod entrance;
mod error;
mod file;
mod freezer;
mod layout;
mod life;
mod limits;
mod remove;
mod request;
mod stats;
mod tree;

pub use cgroups::Cgroups;
pub use entrance::Entrance;
pub use error::{Error, Result};
pub use file::{get, set};
pub use layout::{Hierarchy, Layout, Mode, Version};
pub use remove::{Left, processes, remove};
pub use request::Request;
pub use stats::{Pressure, Stats, Waiting};
pub use tree::{Skipped, Tree};
