//! A container's life: plan, start, init, mounts, /dev, consoles, hooks, attach, stop, reboot.

pub mod terminal;
