//! btrfs ioctls: subvolumes, snapshots, tree search, send.
