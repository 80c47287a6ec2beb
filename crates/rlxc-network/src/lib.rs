//! Links, addresses and routes of a container, unprivileged NICs and their quota, the host bridge.
//!
//! A start, seen from the runtime (the monitor is single-threaded; the init child is its clone):
//!
//! ```no_run
//! # use std::os::fd::AsFd;
//! # fn run(nics: &std::collections::BTreeMap<u32, rlxc_config::Nic>, pid: i32) -> rlxc_network::Result<()> {
//! use rlxc_network::{Container, Context, Netlink, netns, setup_host, setup_inside};
//!
//! // Plan time, no privilege: wrong values are named by key.
//! rlxc_network::check(nics)?;
//! // Monitor, once the child has its network namespace:
//! let netns = netns::of_pid(pid)?; // keep it open until teardown
//! let mut host = Netlink::open()?;
//! let context = Context::new("c1", "/var/lib/lxc");
//! let container = Container { netns: netns.as_fd(), pid };
//! let created = setup_host(&mut host, nics, container, &context)?;
//! // Send `created.inside` (serde) to the child; there, in its namespace:
//! let ready = setup_inside(&created.inside)?;
//! // At the end; stop does not wait for the kernel to delete pairs:
//! let errors = created.teardown(&mut host, &context, Some(netns.as_fd()));
//! // … and after everybody was told that the container stopped:
//! created.finish(&mut host)?;
//! # drop((ready, errors)); Ok(()) }
//! ```

mod context;
mod created;
mod error;
mod host;
mod inside;
mod interface;
pub mod journal;
pub mod live;
pub mod lxcnet;
pub mod names;
pub mod netlink;
pub mod netns;
pub mod ovs;
mod plan;
mod procnet;
mod script;
mod sysctl;
pub mod user_nic;

pub use context::{Container, Context};
pub use created::{Created, CreatedNic, Undo};
pub use error::{Error, Result};
pub use host::{setup_host, setup_host_with};
pub use inside::{DefaultRoute, Inside, InsideNic, Ready, setup_inside, setup_with};
pub use netlink::Netlink;
pub use plan::{check, kind_name, shares_host};
