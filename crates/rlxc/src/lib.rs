//! The Container API and what works on many: create, copy, rename, snapshots, list, autostart.
//!
//! ```no_run
//! use rlxc::{Container, StartOptions};
//!
//! let mut web = Container::new("web", None)?;
//! web.set_item("lxc.start.auto", "1")?;
//! web.save_config(None)?;
//! let started = web.start(&StartOptions::default())?;
//! assert_eq!(web.init_pid()?, Some(started.init));
//! # Ok::<(), rlxc::Error>(())
//! ```

mod adopt;
mod autostart;
mod cgroup;
mod checkpoint;
mod clone;
mod container;
mod control;
mod create;
mod destroy;
mod device;
mod error;
mod extensions;
mod global;
mod list;
mod mount;
mod network;
mod recover;
mod remedy;
mod rename;
mod restore;
mod share;
mod snapshot;
mod start;

pub use adopt::Adopted;
pub use autostart::{AutostartEntry, AutostartFilter, autostart_batches, autostart_order};
pub use checkpoint::{Migrate, MigrateOptions, criu_features};
pub use clone::CopyOptions;
pub use container::Container;
pub use create::CreateOptions;
pub use error::{Error, Result};
pub use extensions::{API_EXTENSIONS, has_api_extension};
pub use global::{VERSION, default_lxcpath, global_config_item, global_config_keys};
pub use list::{list_active, list_all, list_defined};
pub use recover::Leftovers;
pub use share::{Owners, Share};
pub use snapshot::Snapshot;
pub use start::{StartFailure, StartOptions};

pub use rlxc_cgroup::{Pressure, Stats, Waiting};
pub use rlxc_config as config;
pub use rlxc_monitor as monitor;
pub use rlxc_monitor::{Client, State, StateSet};
pub use rlxc_network::live::Family;
pub use rlxc_runtime::attach;
pub use rlxc_runtime::control::{self as runtime_control, Halt, Outcome, Reception};
pub use rlxc_runtime::monitor::main as monitor_main;
pub use rlxc_runtime::terminal;
pub use rlxc_runtime::{Mode, Plan, StartError, Started, Timing};
pub use rlxc_storage::{Backend, Capabilities, Change, ChangeKind, Progress, Specs};
pub use rlxc_sys::carried;

/// The whole life of the storage worker, for an object that carries it: its exit status.
#[must_use]
pub fn worker_main(arguments: &[String]) -> i32 {
    rlxc_storage::Job::serve(arguments)
}
