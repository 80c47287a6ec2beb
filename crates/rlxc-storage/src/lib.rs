//! Root file system backends, the copy engine, and the jobs that run in another user or mount namespace.

mod backend;
mod copy;
mod error;
mod job;
mod pool;
mod remove;

pub use backend::{Backend, Rootfs};
pub use copy::{Progress, copy_tree};
pub use error::{Error, Result};
pub use job::{Job, Outcome, Task, run};
pub use remove::remove_tree;
