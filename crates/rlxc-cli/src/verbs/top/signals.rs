//! Signals while a screen is taken: what ends or stops the program gives the terminal back first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, pthread_sigmask, raise};
use nix::unistd::Pid;

/// What is known to the thread that waits for signals, and to the one that draws.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Another program has the terminal: what is typed there is not meant for us
    pub(super) lent: AtomicBool,
    /// The screen was given back and taken again: all of it has to be drawn anew
    again: AtomicBool,
}

impl Taken {
    /// Whether all has to be drawn anew; asked once.
    pub(super) fn again(&self) -> bool {
        self.again.swap(false, Ordering::Relaxed)
    }
}

/// From now on a signal that ends the program calls `leave` first; one that stops it calls `leave`,
/// and `enter` when it goes on.
pub(super) fn watch(
    leave: impl Fn() + Send + 'static,
    enter: impl Fn() + Send + 'static,
) -> Arc<Taken> {
    let deadly = [
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
    ];
    // Ignored ones too: a screen without its terminal is nobody's.
    let set: SigSet = deadly.into_iter().chain([Signal::SIGTSTP]).collect();
    // Before the thread is made, which inherits it; programs that are started do not.
    let _ = pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&set), None);
    let taken = Arc::new(Taken::default());
    let shared = Arc::clone(&taken);
    std::thread::spawn(move || {
        while let Ok(signal) = set.wait() {
            let lent = shared.lent.load(Ordering::Relaxed);
            let from_keys = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP].contains(&signal);
            if lent && from_keys {
                continue;
            }
            if !lent {
                leave();
            }
            if signal == Signal::SIGTSTP {
                let _ = raise(Signal::SIGSTOP);
                enter();
                shared.again.store(true, Ordering::Relaxed);
                // Wakes whoever waits for keys.
                let _ = kill(Pid::this(), Signal::SIGWINCH);
                continue;
            }
            let _ = rlxc_sys::process::default_signal(signal as i32);
            let mut only = SigSet::empty();
            only.add(signal);
            let _ = pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&only), None);
            let _ = raise(signal);
        }
    });
    taken
}
