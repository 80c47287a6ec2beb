//! liblxc.so.1: the C interface of LXC on top of the rlxc crate.
