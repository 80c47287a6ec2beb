//! Project tasks: demo, test, bench, install, vm-test.

fn main() {}
