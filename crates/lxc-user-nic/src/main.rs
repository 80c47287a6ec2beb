//! Creates and deletes network interfaces for unprivileged users within their quota (setuid-safe).

fn main() {}
