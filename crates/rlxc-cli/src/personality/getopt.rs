//! LXC's manner: what getopt says, help and usage in LXC's form.

use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command};

use super::COMMON;
use crate::verbs::Verb;

/// What getopt says, then the help; a value that is wrong ends without it.
pub(super) fn getopt_complaint(
    tool: &str,
    called: &str,
    verb: &Verb,
    command: &mut Command,
    error: &clap::Error,
) -> ExitCode {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let option = said(ContextKind::InvalidArg).unwrap_or_default();
    let bare = option
        .split([' ', '=', '['])
        .next()
        .unwrap_or_default()
        .to_owned();
    let missing = said(ContextKind::InvalidValue).is_none_or(|v| v.is_empty());
    let line = match (error.kind(), bare.strip_prefix("--")) {
        (ErrorKind::UnknownArgument, Some(long)) => match abbreviated(command, long).as_slice() {
            many @ [_, _, ..] => format!(
                "option '{bare}' is ambiguous; possibilities: {}",
                many.join(" ")
            ),
            _ => format!("unrecognized option '{bare}'"),
        },
        (ErrorKind::UnknownArgument, None) if bare.len() > 1 && bare.starts_with('-') => {
            format!("invalid option -- '{}'", &bare[1..])
        }
        (ErrorKind::TooManyValues, Some(_)) => {
            format!("option '{bare}' doesn't allow an argument")
        }
        (ErrorKind::InvalidValue, Some(_)) if missing => {
            format!("option '{bare}' requires an argument")
        }
        (ErrorKind::InvalidValue, None) if missing && bare.starts_with('-') => {
            format!("option requires an argument -- '{}'", &bare[1..])
        }
        (ErrorKind::InvalidValue | ErrorKind::ValueValidation, _) => {
            let _ = writeln!(std::io::stderr(), "{tool}: could not parse command line");
            return ExitCode::from(1);
        }
        _ => error
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned(),
    };
    let text = help(tool, verb, command);
    let _ = write!(std::io::stderr(), "{called}: {line}\n{text}");
    ExitCode::from(1)
}

/// The options that a word may be short for, as getopt lists them.
fn abbreviated(command: &Command, word: &str) -> Vec<String> {
    let visible = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let longs = visible.filter_map(Arg::get_long);
    let fitting = longs.filter(|long| long.starts_with(word));
    fitting.map(|long| format!("'--{long}'")).collect()
}

pub(super) fn asked_for_help(
    tool: &str,
    verb: &Verb,
    command: &mut Command,
    matches: &ArgMatches,
) -> Option<ExitCode> {
    if matches.get_flag("help") {
        let _ = write!(std::io::stderr(), "{}", help(tool, verb, command));
    } else if matches.get_flag("usage") {
        let _ = write!(std::io::stderr(), "{}", usage(tool, command));
    } else if matches.get_flag("version") {
        let _ = writeln!(std::io::stdout(), "{}", rlxc::VERSION);
    } else {
        return None;
    }
    Some(ExitCode::SUCCESS)
}

/// The long help in LXC's form.
pub(super) fn help(tool: &str, verb: &Verb, command: &mut Command) -> String {
    command.build();
    let mut text = format!(
        "Usage: {tool} {}\n\n{}\n\nOptions :\n",
        verb.usage, verb.about
    );
    let shown = |arg: &&Arg| !arg.is_hide_set() && !arg.is_positional();
    let (common, mut own): (Vec<&Arg>, Vec<&Arg>) = command
        .get_arguments()
        .filter(shown)
        .partition(|arg| COMMON.contains(&arg.get_id().as_str()) && arg.get_id() != "rcfile");
    own.sort_by_key(|arg| arg.get_id() != "name");
    let list = |args: &[&Arg]| {
        let mut text = String::new();
        for arg in args {
            let name = option_text(arg);
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            text.push_str(&match name.len() {
                0..=32 => format!("  {name:<33}{help}\n"),
                _ => format!("  {name}\n  {:<33}{help}\n", ""),
            });
        }
        text
    };
    text.push_str(&list(&own));
    text.push_str("\nCommon options :\n");
    text.push_str(&list(&common));
    text.push_str(&format!(
        "\nSee the {tool} man page for further information.\n\n"
    ));
    text
}

fn option_text(arg: &Arg) -> String {
    let value = arg
        .get_value_names()
        .filter(|_| arg.get_action().takes_values())
        .map(|names| format!("={}", names[0]))
        .unwrap_or_default();
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}{value}"),
        (Some(short), None) => format!("-{short}{value}"),
        (None, Some(long)) => format!("    --{long}{value}"),
        (None, None) => String::new(),
    }
}

fn usage(tool: &str, command: &mut Command) -> String {
    command.build();
    let mut text = format!("Usage: {tool} ");
    let shown = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !arg.is_positional());
    for (at, arg) in shown.enumerate() {
        let words = option_text(arg).trim_start().replace(", ", "|");
        text.push_str(&format!("[{words}] "));
        if at % 5 == 4 {
            text.push_str("\n\t");
        }
    }
    text.push('\n');
    text
}
