//! Broadcasts container events of one lxcpath to lxc-monitor clients.

fn main() {}
