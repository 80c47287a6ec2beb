//! capget/capset and bounding/ambient sets by mask.
