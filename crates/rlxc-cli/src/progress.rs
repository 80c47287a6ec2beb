//! How far a long job is: a bar on a terminal, events for programs; and the end of it by Ctrl-C.

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rlxc::Progress;
use serde_json::json;

use crate::context::{Context, Failure};
use crate::output::Format;

/// How often something new is shown.
const TICK: Duration = Duration::from_millis(100);

/// Does a job that tells how far it is. A signal that would end this process ends the job first, so that nothing
/// half-made is left; then the job's error says that it was interrupted.
///
/// # Errors
/// The job's.
pub(crate) fn with_progress<T>(
    context: &Context,
    job: impl FnOnce(Arc<Progress>) -> rlxc::Result<T>,
) -> Result<T, Failure> {
    let bar = !context.common.quiet && !context.lxc && std::io::stderr().is_terminal();
    let events = context.common.format == Format::Json && !context.lxc;
    cancellable(bar, events, job)
}

/// As [`with_progress`], of a job that has something of its own to show.
///
/// # Errors
/// The job's.
pub(crate) fn unless_interrupted<T>(
    job: impl FnOnce(Arc<Progress>) -> rlxc::Result<T>,
) -> Result<T, Failure> {
    cancellable(false, false, job)
}

fn cancellable<T>(
    bar: bool,
    events: bool,
    job: impl FnOnce(Arc<Progress>) -> rlxc::Result<T>,
) -> Result<T, Failure> {
    let progress = Arc::new(Progress::default());
    progress.wanted.store(bar || events, Ordering::Relaxed);
    // A signal that is ignored, as by nohup(1), would arrive all the same once it is blocked.
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .filter(|signal| !rlxc_sys::signal::is_ignored(*signal as i32))
        .collect();
    let before = SigSet::thread_get_mask().map_err(|e| Failure::new(e.desc()))?;
    // Before any thread is started: all of them inherit it.
    signals.thread_block().map_err(|e| Failure::new(e.desc()))?;
    let done = std::thread::scope(|scope| {
        let (shown, show) = channel::<()>();
        let (watched, watch) = std::io::pipe()?;
        scope.spawn({
            let progress = progress.clone();
            move || cancel_on_signal(&signals, &watched, &progress)
        });
        let look = progress.clone();
        match (bar, events) {
            (_, true) => drop(scope.spawn(move || print_events(&look, &show))),
            (true, _) => drop(scope.spawn(move || draw_bar(&look, &show))),
            // Nobody looks.
            _ => {}
        }
        let done = job(progress.clone());
        // Both threads end when their other end is closed.
        drop((shown, watch));
        Ok::<_, std::io::Error>(done)
    });
    let _ = before.thread_set_mask();
    let done = done?;
    if events {
        let event = match &done {
            Ok(_) => event("done", &progress),
            Err(error) => json!({"event": "failed", "error": error.to_string()}),
        };
        writeln!(std::io::stdout(), "{event}")?;
    }
    Ok(done?)
}

fn cancel_on_signal(signals: &SigSet, ended: &impl AsFd, progress: &Progress) {
    let Ok(fd) = SignalFd::with_flags(signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
    else {
        return;
    };
    loop {
        let mut fds = [
            PollFd::new(fd.as_fd(), PollFlags::POLLIN),
            PollFd::new(ended.as_fd(), PollFlags::POLLIN),
        ];
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            continue;
        }
        if matches!(fd.read_signal(), Ok(Some(_))) {
            progress.cancel();
        }
        let over = fds[1].revents().is_some_and(|events| !events.is_empty());
        if over {
            return;
        }
    }
}

fn waits(end: &Receiver<()>) -> bool {
    end.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout)
}

fn event(name: &str, progress: &Progress) -> serde_json::Value {
    let [entries, bytes, total_entries, total_bytes] = progress.figures();
    let known = |total: u64| (total > 0).then_some(total);
    json!({
        "event": name,
        "entries": entries,
        "bytes": bytes,
        "total_entries": known(total_entries),
        "total_bytes": known(total_bytes),
    })
}

fn print_events(progress: &Progress, end: &Receiver<()>) {
    while waits(end) {
        if writeln!(std::io::stdout(), "{}", event("progress", progress)).is_err() {
            return;
        }
    }
}

/// Nothing is drawn for what is done at once.
fn draw_bar(progress: &Progress, end: &Receiver<()>) {
    if !waits(end) || !waits(end) || !waits(end) {
        return;
    }
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let counting = "{spinner} {pos} entries, {msg}";
    let known = "[{bar:30}] {percent:>3}% {msg}, {eta} left";
    let style = |template: &str| {
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
    };
    bar.set_style(style(counting));
    let begin = std::time::Instant::now();
    let mut is_known = false;
    while waits(end) {
        let [entries, bytes, total_entries, total_bytes] = progress.figures();
        if total_entries > 0 && !is_known {
            is_known = true;
            bar.set_style(style(known));
        }
        // Small files cost by number, large ones by size: half of the way is told by each.
        let part = |done: u64, all: u64| (done.min(all) * 5000).checked_div(all).unwrap_or(5000);
        match is_known {
            true => {
                bar.set_length(10_000);
                bar.set_position(part(entries, total_entries) + part(bytes, total_bytes));
            }
            false => bar.set_position(entries),
        }
        let seconds = begin.elapsed().as_secs().max(1);
        bar.set_message(format!(
            "{entries} entries, {}/s",
            mebibytes(bytes / seconds)
        ));
        bar.tick();
    }
    bar.finish_and_clear();
}

fn mebibytes(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes % (1 << 20)) * 10) >> 20)
}
