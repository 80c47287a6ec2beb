//! Every kind of storage, every operation, on real file systems; LXC's own tools on what we made, and ours on what
//! they made.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod changes;
mod faults;
mod host;
mod hostile;
mod kills;
mod rootless;
mod same_as_lxc;
mod send;
mod table;
mod together;
mod volumes;
