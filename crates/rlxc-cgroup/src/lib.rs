//! Control groups in v1, v2 and hybrid layouts: layout, creation, limits, freezer, devices, statistics, delegation.
