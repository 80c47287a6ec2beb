//! The Container API and what works on many: create, copy, rename, snapshots, list, autostart.
