//! The command line: `rlxc VERB`, and every `lxc-*` tool when called by its name.
//!
//! A verb is one file below `verbs/` and one row of [`verbs::VERBS`]. Both personalities share its
//! options; `personality` gives them LXC's manners (abbreviated long options, getopt's messages,
//! help on standard error, LXC's exit statuses).

mod context;
pub mod examples;
mod help_topics;
pub mod install;
mod output;
mod personality;
mod progress;
pub mod verbs;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

pub use context::{Common, Context, Failure, Outcome};
pub use help_topics::{TOPICS, Topic};
pub use output::Format;
pub use personality::{command, top_command};
pub use verbs::completion_script;

use verbs::Verb;

/// The program's `main`.
pub fn main() -> ExitCode {
    // A reader that has seen enough ends us silently, as it does other programs.
    let _ = rlxc_sys::process::default_signal(nix::libc::SIGPIPE);
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let called = words.first().map(Path::new).and_then(Path::file_name);
    let called = called
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    if let Some(verb) = called.strip_prefix("lxc-").and_then(Verb::of_lxc) {
        return personality::run(verb, called, true, words);
    }
    if words.len() > 1 {
        words.remove(0);
    }
    let first = words
        .first()
        .map(|w| w.to_string_lossy().into_owned())
        .unwrap_or_default();
    if let Some(verb) = first.strip_prefix("lxc-").and_then(Verb::of_lxc) {
        return personality::run(verb, first.clone(), true, words);
    }
    match Verb::of_name(&first) {
        Some(verb) => personality::run(verb, format!("rlxc {first}"), false, words),
        None => personality::top(&first, &words),
    }
}
