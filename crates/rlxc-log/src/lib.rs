//! LXC-format log lines from tracing events, one write(2) each.
//!
//! [`LogSubscriber`] takes no lock and keeps no span registry: an event becomes one line in a
//! local buffer and one write, so that a process that was just cloned can log as well. Programs
//! install it with [`install`]; nothing is installed by loading the library.
//!
//! # References
//! lxc.container.conf(5), LOGGING; Debian's `lxc-start --logfile`.

mod file;
mod filter;
mod level;
mod line;
mod rotate;
mod subscriber;
mod switch;

pub use file::{LogError, default_path, open};
pub use filter::{BadFilter, Filter};
pub use level::{Level, UnknownLevel};
pub use line::{LINE_MAX, Line};
pub use subscriber::{LogSubscriber, Settings, descriptors, install};
pub use switch::replace;
