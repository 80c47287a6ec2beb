//! The new mount API: fsopen, open_tree, move_mount, mount_setattr.
