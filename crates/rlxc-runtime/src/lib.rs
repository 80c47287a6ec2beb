//! A container's life: plan, start, init, mounts, /dev, consoles, hooks, attach, stop, reboot.
//!
//! [`Plan::compute`] says what a start is going to do; [`start()`] has a monitor do it. The monitor
//! is the program `rlxc-monitor`, whose `main` is [`monitor::main`]: it carries the plan out step
//! by step, serves the command socket while the container runs, and takes everything down again.

pub mod adopt;
pub mod attach;
mod cgroup;
pub mod control;
pub mod criu;
mod error;
mod hooks;
mod idmap;
mod idmapped;
mod init;
mod locate;
pub mod monitor;
mod network;
pub mod plan;
mod report;
mod root;
mod rootfs;
mod scope;
mod security;
mod share;
mod start;
mod sync;
pub mod terminal;

pub use error::StartError;
pub use locate::monitor_program;
pub use plan::{HostFacts, Mode, Plan, PlanError, PlanInput};
pub use report::Timing;
pub use root::Root;
pub use start::{Started, adopt, start, start_exec};
