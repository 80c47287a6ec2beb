//! Control groups in v1, v2 and hybrid layouts: layout, creation, limits, freezer, devices, removal.
//!
//! [`Layout::detect`] finds the hierarchies; [`Cgroups`] are one container's directories in them.
//! The difference between v1 and v2 is data ([`Version`] of a tree), not two code paths.
//!
//! # Why not cgroups-rs
//! That crate (0.5.1) has typed knobs and statistics for v1 or v2, found by path. It stops at hybrid
//! layouts, name clashes, delegation, device programs, events, and directories that only a
//! descriptor reaches (a container's, handed out by its monitor); and it brings 90 packages, with an
//! asynchronous D-Bus stack and second versions of nix, bitflags and thiserror, which this
//! workspace's dependency rules refuse. What it does well is small here: [`Stats`] is one pass over
//! file names, and a knob is a file ([`get`], [`set`]).
//!
//! # cgroups-rs
//! The crate cgroups-rs reads the typed figures of v1 and of pure cgroup2 well, and is the oracle of
//! the statistics here (`tests/cgroups_rs.rs`). It is not in what is shipped: it takes one hierarchy
//! kind for the whole machine (a hybrid layout has two), looks below /sys/fs/cgroup only, creates
//! without noticing a clash, has no delegation, no device program for cgroup2 and no events, and
//! brings D-Bus and an asynchronous executor into every program that links it.

mod cgroups;
pub mod devices;
mod error;
mod file;
mod freezer;
mod layout;
mod remove;
mod stats;

pub use cgroups::{Cgroups, Request, Skipped, Tree};
pub use error::{Error, Result};
pub use file::{get, set};
pub use layout::{Hierarchy, Layout, Mode, Version};
pub use remove::remove;
pub use remove::remove_left;
pub use stats::{Pressure, Stats};
