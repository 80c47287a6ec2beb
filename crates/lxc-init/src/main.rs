//! The small init of application containers: reaps, forwards signals, reports its command's status.

fn main() {}
