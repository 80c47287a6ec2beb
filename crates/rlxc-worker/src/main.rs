//! Runs one storage job in a mapped user namespace or a private mount namespace, started by exec.

fn main() {}
