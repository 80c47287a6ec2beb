//! Links, addresses and routes of a container, unprivileged NICs and their quota, the host bridge.
