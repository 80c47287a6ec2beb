//! Root file system backends behind one trait, the copy engine, and the jobs that run in another user or mount
//! namespace.

mod backend;
mod copy;
mod diff;
mod error;
mod job;
mod mounted;
mod pool;
mod remove;
mod rootfs;
mod shift;
mod tool;
mod walk;

pub use backend::{
    Backend, Capabilities, DEFAULT_SIZE, Place, Specs, best, forget_copy, release_clones,
    rests_on_original, set_place,
};
pub use copy::{Progress, copy_between, copy_tree, count_tree};
pub use diff::{Change, ChangeKind, diff_trees};
pub use error::{Error, Result};
pub use job::{Job, Task, changes, run};
pub use mounted::{Mounted, Options};
pub use remove::remove_tree;
pub use rootfs::Rootfs;
pub use shift::Shift;
