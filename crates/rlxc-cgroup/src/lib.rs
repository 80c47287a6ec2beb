//! Control groups in v1, v2 and hybrid layouts: layout, creation, limits, freezer, devices, removal.
//!
//! [`Layout::detect`] finds the hierarchies; [`Cgroups`] are one container's directories in them.
//! The difference between v1 and v2 is data ([`Version`] of a tree), not two code paths.

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
