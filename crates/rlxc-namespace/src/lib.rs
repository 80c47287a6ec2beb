//! Namespaces and id maps: choosing, creating, mapping, joining.
