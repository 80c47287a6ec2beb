//! A bar where there is waiting, on a terminal's standard error only.

use std::fs::File;
use std::io::Seek;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that goes away when it is dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    over: Arc<AtomicBool>,
    watcher: Option<std::thread::JoinHandle<()>>,
}

impl Progress {
    /// Of `total` bytes, if known.
    pub(crate) fn of_bytes(total: Option<u64>, what: &str) -> Self {
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(total, target);
        let template = match total {
            Some(_) => "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            None => "{msg} {spinner} {bytes} {bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        Self {
            bar,
            over: Arc::default(),
            watcher: None,
        }
    }

    /// Of a file that another process reads through the same open file.
    pub(crate) fn of_file(file: &File, what: &str) -> Self {
        let total = file.metadata().map(|meta| meta.len()).ok();
        let mut progress = Self::of_bytes(total, what);
        if progress.bar.is_hidden() {
            return progress;
        }
        if let Ok(mut file) = file.try_clone() {
            let (bar, over) = (progress.bar.clone(), Arc::clone(&progress.over));
            progress.watcher = Some(std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    if let Ok(at) = file.stream_position() {
                        bar.set_position(at);
                    }
                    std::thread::park_timeout(Duration::from_millis(100));
                }
            }));
        }
        progress
    }

    pub(crate) fn at(&self, position: u64) {
        self.bar.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            watcher.thread().unpark();
            let _ = watcher.join();
        }
        self.bar.finish_and_clear();
    }
}
