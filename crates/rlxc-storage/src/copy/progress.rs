//! How far a copy is, and the wish to stop it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use crate::error::{Error, Result};

/// What a copy did so far; shared with who shows it or stops it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Entries made: files, directories and all others
    pub entries: AtomicU64,
    /// Bytes in regular files
    pub bytes: AtomicU64,
    /// Entries that there are in all; 0 as long as that is unknown
    pub total_entries: AtomicU64,
    /// Bytes that there are in all
    pub total_bytes: AtomicU64,
    /// Whether somebody looks: only then is counted in advance
    pub wanted: AtomicBool,
    cancelled: AtomicBool,
    worker: AtomicI32,
}

impl Progress {
    /// Makes the copy end with [`Error::Cancelled`] soon.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        let worker = self.worker.load(Ordering::SeqCst);
        if worker > 0 {
            let pid = nix::unistd::Pid::from_raw(worker);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// Whether [`Progress::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The job is done by that process (0: by this one).
    pub(crate) fn set_worker(&self, pid: i32) {
        self.worker.store(pid, Ordering::SeqCst);
        if pid > 0 && self.is_cancelled() {
            self.cancel();
        }
    }

    /// The four figures: entries, bytes, and how many there are in all.
    pub fn figures(&self) -> [u64; 4] {
        [
            &self.entries,
            &self.bytes,
            &self.total_entries,
            &self.total_bytes,
        ]
        .map(|figure| figure.load(Ordering::Relaxed))
    }

    pub(crate) fn set_figures(&self, figures: [u64; 4]) {
        let all = [
            &self.entries,
            &self.bytes,
            &self.total_entries,
            &self.total_bytes,
        ];
        for (figure, value) in all.into_iter().zip(figures) {
            figure.store(value, Ordering::Relaxed);
        }
    }
}

/// Counts the entries of a tree and the bytes in its files, without following links or entering mounts.
///
/// # Errors
/// [`Error::Path`]; entries that vanish meanwhile are none.
pub fn count_tree(top: &Path, progress: &Progress) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let device = std::fs::symlink_metadata(top)
        .map_err(Error::at("look at", top))?
        .dev();
    let mut stack = vec![top.to_owned()];
    let (mut entries, mut bytes) = (0, 0);
    while let Some(dir) = stack.pop() {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let Ok(list) = std::fs::read_dir(&dir) else {
            continue;
        };
        for entry in list.flatten() {
            let Ok(meta) = entry.metadata() else {
                continue;
            };
            entries += 1;
            if meta.is_dir() && meta.dev() == device {
                stack.push(entry.path());
            } else if meta.is_file() {
                bytes += meta.len();
            }
        }
    }
    progress.total_bytes.store(bytes, Ordering::Relaxed);
    progress.total_entries.store(entries, Ordering::Relaxed);
    Ok(())
}
