//! setns with pidfds, time namespaces, ns ioctls (NS_GET_USERNS).
