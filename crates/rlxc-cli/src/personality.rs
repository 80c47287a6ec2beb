//! Two manners for one set of options: LXC's (getopt) and rlxc's own.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use rlxc_log::Level;

use crate::context::{Common, Context, Failure};
use crate::verbs::{VERBS, Verb};

/// The complete clap command of a verb, also for completions and man pages.
pub fn command(verb: &Verb, lxc: bool) -> Command {
    let name = if lxc {
        format!("lxc-{}", verb.name)
    } else {
        format!("rlxc-{}", verb.name)
    };
    let mut command = Command::new(verb.name)
        .bin_name(name)
        .about(verb.about)
        .version(rlxc::VERSION);
    command = (verb.options)(command);
    command = Common::augment_args(command);
    if verb.short_rcfile {
        command = command.mut_arg("rcfile", |arg| arg.short('f'));
    }
    if verb.name == "config" {
        // lxc-config's -l is its own.
        command = command.mut_arg("logpriority", |arg| arg.short(None));
    }
    let order = |i: usize| 1000 + i;
    command = command
        .mut_arg("logfile", |a| a.display_order(order(0)))
        .mut_arg("logpriority", |a| a.display_order(order(1)))
        .mut_arg("quiet", |a| a.display_order(order(2)))
        .mut_arg("lxcpath", |a| a.display_order(order(3)))
        .mut_arg("rcfile", |a| a.display_order(order(4)))
        .mut_arg("format", |a| a.hide(lxc || !verb.lists));
    if lxc {
        command = command
            .disable_help_flag(true)
            .disable_version_flag(true)
            .infer_long_args(true)
            .arg(
                flag("help", "Print this help")
                    .short('?')
                    .short_alias('h')
                    .display_order(order(5)),
            )
            .arg(flag("usage", "Print the options in short").display_order(order(6)))
            .arg(flag("version", "Print the version").display_order(order(7)));
    }
    command.args_override_self(true)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

/// The command `rlxc` with all verbs, for help, completions and man pages.
pub fn top_command() -> Command {
    let verbs = VERBS
        .iter()
        .map(|verb| command(verb, false).name(verb.name));
    Command::new("rlxc")
        .about("Makes, runs and looks after Linux containers")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommands(verbs)
}

/// Parses the words of one verb and carries it out.
pub(crate) fn run(verb: &Verb, tool: String, lxc: bool, words: Vec<OsString>) -> ExitCode {
    let words = (verb.rewrite)(words);
    let mut command = command(verb, lxc);
    if !lxc {
        command = command.bin_name(format!("rlxc {}", verb.name));
    }
    let matches = match command.try_get_matches_from_mut(words) {
        Ok(matches) => matches,
        Err(error) if !lxc => return own_complaint(&error),
        Err(error) => return getopt_complaint(&tool, verb, &mut command, &error),
    };
    if lxc && let Some(code) = asked_for_help(&tool, verb, &mut command, &matches) {
        return code;
    }
    let common = match Common::from_arg_matches(&matches) {
        Ok(common) => common,
        Err(error) => return own_complaint(&error),
    };
    let context = Context { tool, lxc, common };
    if let Err(failure) = start_log(&context) {
        context.report(&failure);
        return ExitCode::from(1);
    }
    match (verb.run)(&matches, &context) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            context.report(&failure);
            ExitCode::from(failure.status)
        }
    }
}

/// LXC's logging: `-o` a file, `-l` a level; the level alone writes the default file.
fn start_log(context: &Context) -> Result<(), Failure> {
    let common = &context.common;
    // An unknown word counts as not set, as in LXC.
    let level: Option<Level> = common
        .logpriority
        .as_deref()
        .and_then(|word| word.parse().ok());
    let name = common.name.clone().unwrap_or_default();
    let path = match (&common.logfile, level) {
        (Some(path), _) => Some(path.clone()),
        (None, Some(_)) if !name.is_empty() => Some(default_log(context, &name)),
        _ => None,
    };
    let file = match path {
        Some(path) => Some(rlxc_log::open(&path).map_err(|error| {
            let cause = std::error::Error::source(&error)
                .map(|c| format!(": {c}"))
                .unwrap_or_default();
            Failure::new(format!("{error}{cause}"))
        })?),
        None => None,
    };
    let settings = rlxc_log::Settings {
        prefix: context.tool.clone(),
        name,
        level,
        file,
        syslog: None,
        stderr: !common.quiet && context.lxc,
    };
    let _ = rlxc_log::install(settings);
    Ok(())
}

/// The log file for a level without a file.
pub(crate) fn default_log(context: &Context, name: &str) -> std::path::PathBuf {
    let logdir = std::path::Path::new(rlxc::config::paths::LOCALSTATEDIR).join("log/lxc");
    let root = nix::unistd::geteuid().is_root();
    rlxc_log::default_path(
        &logdir,
        &rlxc::default_lxcpath(),
        &context.lxcpath(),
        name,
        root,
    )
}

fn own_complaint(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(u8::from(error.use_stderr()))
}

fn getopt_complaint(
    tool: &str,
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
        .split([' ', '='])
        .next()
        .unwrap_or_default()
        .to_owned();
    let line = match (error.kind(), bare.strip_prefix("--")) {
        (ErrorKind::UnknownArgument, Some(_)) => format!("unrecognized option '{bare}'"),
        (ErrorKind::UnknownArgument, None) if bare.len() > 1 && bare.starts_with('-') => {
            format!("invalid option -- '{}'", &bare[1..])
        }
        (ErrorKind::InvalidValue, Some(_))
            if said(ContextKind::InvalidValue).is_none_or(|v| v.is_empty()) =>
        {
            format!("option '{bare}' requires an argument")
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
    let _ = write!(std::io::stderr(), "{tool}: {line}\n{text}");
    ExitCode::from(1)
}

fn asked_for_help(
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

const COMMON: [&str; 8] = [
    "logfile",
    "logpriority",
    "quiet",
    "lxcpath",
    "rcfile",
    "help",
    "usage",
    "version",
];

/// The long help in LXC's form.
fn help(tool: &str, verb: &Verb, command: &mut Command) -> String {
    command.build();
    let mut text = format!(
        "Usage: {tool} {}\n\n{}\n\nOptions :\n",
        verb.usage, verb.about
    );
    let shown = |arg: &&Arg| !arg.is_hide_set() && !arg.is_positional();
    let (common, own): (Vec<&Arg>, Vec<&Arg>) = command
        .get_arguments()
        .filter(shown)
        .partition(|arg| COMMON.contains(&arg.get_id().as_str()));
    let mut list = |args: &[&Arg]| {
        for arg in args {
            let name = option_text(arg);
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            text.push_str(&match name.len() {
                0..=32 => format!("  {name:<33}{help}\n"),
                _ => format!("  {name}\n  {:<33}{help}\n", ""),
            });
        }
    };
    list(&own);
    list(&[]);
    let mut rest = String::new();
    std::mem::swap(&mut rest, &mut text);
    let mut text = rest;
    text.push_str("\nCommon options :\n");
    for arg in common {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("  {:<33}{help}\n", option_text(arg)));
    }
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

/// `rlxc` without a verb, with an unknown one, or asking for help.
pub(crate) fn top(first: &str, words: &[OsString]) -> ExitCode {
    match first {
        "" | "rlxc" | "-h" | "--help" | "help" => {
            if let Some(verb) = words
                .get(1)
                .and_then(|w| w.to_str())
                .and_then(Verb::of_name)
            {
                let _ = command(verb, false)
                    .bin_name(format!("rlxc {}", verb.name))
                    .print_long_help();
                return ExitCode::SUCCESS;
            }
            let _ = overview(&mut std::io::stdout());
            ExitCode::SUCCESS
        }
        "-V" | "--version" => {
            let version = env!("CARGO_PKG_VERSION");
            let _ = writeln!(std::io::stdout(), "rlxc {version} (LXC {})", rlxc::VERSION);
            ExitCode::SUCCESS
        }
        other if words.len() == 1 && other.contains('/') => {
            let _ = overview(&mut std::io::stdout());
            ExitCode::SUCCESS
        }
        other => {
            let near = VERBS
                .iter()
                .map(|v| v.name)
                .min_by_key(|name| distance(name, other));
            let near = near.filter(|name| distance(name, other) <= 1 + name.len() / 3);
            let hint = near
                .map(|name| format!("; did you mean '{name}'?"))
                .unwrap_or_default();
            let shown = crate::output::safe(other);
            let _ = writeln!(
                std::io::stderr(),
                "rlxc: there is no verb '{shown}'{hint} (rlxc help lists them)"
            );
            ExitCode::from(1)
        }
    }
}

fn overview(out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "Usage: rlxc VERB [OPTIONS] [NAME] …\n\nVerbs:")?;
    for verb in &VERBS {
        writeln!(out, "  {:<14}{}", verb.name, verb.about)?;
    }
    writeln!(
        out,
        "\nrlxc VERB --help tells a verb's options. Most verbs are also there as lxc-VERB."
    )
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let next = (diagonal + usize::from(ca != *cb))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}
