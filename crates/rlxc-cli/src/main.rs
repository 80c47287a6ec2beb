//! The command line: rlxc VERB, and every lxc-* tool by multicall.

fn main() {}
