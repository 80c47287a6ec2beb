//! LXC's command-socket protocol, container states, state clients and the lxc-monitord protocol.
