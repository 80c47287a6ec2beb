//! LXC's command-socket protocol, container states, state clients and the lxc-monitord protocol.
//!
//! Both ends of every conversation live here: [`server`] is what a container's monitor plugs into
//! its event loop, [`client`] is what every tool asks a running container with, [`events`] is the
//! stream of state changes that `lxc-monitor` shows. [`protocol`] holds the frames as pure
//! encode and decode functions, so that nothing else interprets bytes.

pub mod active;
pub mod client;
mod error;
pub mod events;
pub mod lock;
pub mod name;
pub mod protocol;
pub mod rundir;
pub mod server;
mod state;
mod wire;

pub use active::{active_containers, is_name_used_elsewhere};
pub use client::Client;
pub use error::Error;
pub use name::socket_name;
pub use protocol::Command;
pub use server::{Handler, Listener, Server};
pub use state::{State, StateSet, UnknownState};

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;
