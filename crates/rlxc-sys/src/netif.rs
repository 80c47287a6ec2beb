//! Interface ioctls and namespace-id lookups that netlink does not give.
