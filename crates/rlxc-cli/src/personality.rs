//! Two manners for one set of options: LXC's (getopt) and rlxc's own.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use rlxc_log::Level;

use crate::context::{Common, Context, Failure};
use crate::help_topics::{TOPICS, Topic};
use crate::verbs::{VERBS, Verb};

/// LXC's tools that share none of the others' options.
const APART: [&str; 4] = ["checkconfig", "config", "update-config", "usernsexec"];

/// LXC's tools that take no container's name.
const NAMELESS: [&str; 6] = [
    "autostart",
    "checkconfig",
    "config",
    "unshare",
    "update-config",
    "usernsexec",
];

/// The complete clap command of a verb, also for completions and man pages.
pub fn command(verb: &Verb, lxc: bool) -> Command {
    let mut command = Command::new(verb.name)
        .bin_name(match lxc {
            true => format!("lxc-{}", verb.name),
            false => format!("rlxc {}", verb.name),
        })
        .version(rlxc::VERSION);
    command = (verb.options)(command);
    command = match lxc {
        true => command.override_usage(format!("lxc-{} {}", verb.name, verb.usage)),
        false => command.override_usage(format!(
            "rlxc {} [OPTIONS] {}",
            verb.name,
            verb.usage
                .replace("--name=NAME", "NAME")
                .replace("[OPTION...] ", "")
        )),
    };
    let own: Vec<char> = command.get_arguments().filter_map(Arg::get_short).collect();
    let verbose = command.get_arguments().all(|arg| arg.get_id() != "verbose");
    command = Common::augment_args(command);
    if verb.short_rcfile {
        command = command.mut_arg("rcfile", |arg| arg.short('f'));
    }
    if verb.name == "config" {
        // lxc-config's -l is its own.
        command = command.mut_arg("logpriority", |arg| arg.short(None));
    }
    for (at, id) in COMMON.iter().enumerate().take(5) {
        command = command.mut_arg(id, |a| a.display_order(1000 + at));
    }
    command = command.mut_arg("name", |a| a.display_order(999));
    if lxc {
        command = with_lxc_options(verb, command);
    } else {
        command = command.mut_arg("format", |a| a.hide(!verb.lists));
        if NAMELESS.contains(&verb.name) {
            command = command.mut_arg("name", |a| a.hide(true));
        }
        if verbose {
            let arg = Arg::new("verbosity")
                .long("verbose")
                .action(ArgAction::Count)
                .help("Tell more on standard error (twice or thrice: still more)")
                .display_order(1005);
            command = command.arg(match own.contains(&'v') {
                true => arg,
                false => arg.short('v'),
            });
        }
    }
    if !lxc {
        command = command.after_help(crate::examples::text(verb.name));
    }
    // Options bring descriptions of their own along; the verb's is the one that counts.
    command
        .about(verb.about)
        .long_about(None)
        .args_override_self(true)
}

/// What LXC's tool of that name has: its help and version options, and nothing of ours.
fn with_lxc_options(verb: &Verb, mut command: Command) -> Command {
    let order = |i: usize| 1005 + i;
    let help = flag("help", "Print this help").display_order(order(0));
    command = command
        .disable_help_flag(true)
        .disable_version_flag(true)
        .infer_long_args(true)
        .arg(help.short('?').short_alias('h'))
        .arg(flag("usage", "Print the options in short").display_order(order(1)))
        .arg(flag("version", "Print the version").display_order(order(2)));
    let mut foreign = vec!["format", "dry_run", "timings", "ready", "no_pty"];
    if APART.contains(&verb.name) {
        foreign.extend(COMMON.iter().take(5));
    }
    // lxc-autostart takes a name, and looks at none.
    if NAMELESS.contains(&verb.name) && verb.name != "autostart" {
        foreign.push("name");
    }
    let present: Vec<_> = foreign
        .into_iter()
        .filter(|id| command.get_arguments().any(|arg| arg.get_id() == id))
        .collect();
    for id in present {
        // An argument cannot be taken away, and without names it would be a positional one.
        command = command.mut_arg(id, |arg| {
            let bare = Arg::new(arg.get_id().clone())
                .action(arg.get_action().clone())
                .value_parser(arg.get_value_parser().clone());
            let bare = bare.long(format!("\u{1}{id}")).hide(true);
            match id {
                "format" => bare.default_value("table"),
                _ => bare,
            }
        });
    }
    // What follows an option that wants a value is its value, as getopt has it.
    let valued: Vec<_> = command
        .get_arguments()
        .filter(|arg| !arg.is_positional() && arg.get_action().takes_values())
        .filter(|arg| {
            arg.get_num_args()
                .is_none_or(|count| count.min_values() > 0)
        })
        .map(|arg| arg.get_id().clone())
        .collect();
    for id in valued {
        command = command.mut_arg(id, |arg| arg.allow_hyphen_values(true));
    }
    if verb.name == "autostart" {
        command = command.mut_arg("name", |arg| arg.hide(true));
    }
    if ["unshare", "usernsexec"].contains(&verb.name) {
        command = command.mut_arg("words", |arg| {
            arg.trailing_var_arg(false).allow_hyphen_values(false)
        });
    }
    command
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
    let called = words.first().cloned().unwrap_or_default();
    let called = called.to_string_lossy().into_owned();
    let words = (verb.rewrite)(words);
    let odd = words.iter().find(|word| word.to_str().is_none()).cloned();
    let mut command = command(verb, lxc);
    let matches = match command.try_get_matches_from_mut(words) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::InvalidUtf8 => return not_utf8(&tool, odd),
        Err(error) if !lxc => return own_complaint(&error),
        Err(error) => return getopt_complaint(&tool, &called, verb, &mut command, &error),
    };
    // lxc-config prints two lines of usage, as without an argument.
    let short = verb.name == "config" && lxc && matches.get_flag("help");
    if lxc
        && !short
        && let Some(code) = asked_for_help(&tool, verb, &mut command, &matches)
    {
        return code;
    }
    let common = match Common::from_arg_matches(&matches) {
        Ok(common) => common,
        Err(error) => return own_complaint(&error),
    };
    let context = Context {
        tool,
        called,
        lxc,
        common,
    };
    if let Err(failure) = start_log(verb, &context, &matches) {
        context.say(&format!("{}: {}", context.tool, failure.message));
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

fn not_utf8(tool: &str, word: Option<OsString>) -> ExitCode {
    use std::os::unix::ffi::OsStrExt;
    let word = word.unwrap_or_default();
    let shown = word.as_bytes().escape_ascii();
    let _ = writeln!(
        std::io::stderr(),
        "{tool}: '{shown}' is no text in UTF-8: names of containers and values must be"
    );
    ExitCode::from(1)
}

/// The container that a call is about, as far as the words tell.
fn name_of(verb: &Verb, context: &Context, matches: &ArgMatches) -> String {
    let positional = || {
        if NAMELESS.contains(&verb.name) || ["ls", "monitor"].contains(&verb.name) {
            return None;
        }
        if let Ok(words) = matches.try_get_many::<String>("words") {
            return words?.next().cloned();
        }
        let mut words = matches.try_get_many::<OsString>("words").ok()??;
        words.next()?.to_str().map(str::to_owned)
    };
    let name = context.common.name.clone().or_else(positional);
    // What cannot be a name is no name of a log file either.
    name.filter(|name| !name.contains('/') && name != ".." && name != ".")
        .unwrap_or_default()
}

/// What goes to standard error as log lines: `RLXC_LOG`, else so many -v.
fn stderr_filter(context: &Context, matches: &ArgMatches) -> Option<rlxc_log::Filter> {
    if let Some(text) = std::env::var_os("RLXC_LOG").filter(|text| !text.is_empty()) {
        match text.to_string_lossy().parse() {
            Ok(filter) => return Some(filter),
            Err(error) => context.say(&format!("{}: RLXC_LOG: {error}", context.tool)),
        }
    }
    let level = match matches.try_get_one::<u8>("verbosity").ok().flatten()? {
        0 => return None,
        1 => Level::Info,
        2 => Level::Debug,
        _ => Level::Trace,
    };
    Some(rlxc_log::Filter::of_level(level))
}

/// LXC's logging: `-o` a file, `-l` a level; the level alone writes the default file.
fn start_log(verb: &Verb, context: &Context, matches: &ArgMatches) -> Result<(), Failure> {
    let common = &context.common;
    // An unknown word counts as not set, as in LXC.
    let level: Option<Level> = common
        .logpriority
        .as_deref()
        .and_then(|word| word.parse().ok());
    let name = name_of(verb, context, matches);
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
        name: crate::output::safe(&name),
        level,
        file,
        syslog: None,
        stderr: !common.quiet && context.lxc,
        filter: stderr_filter(context, matches),
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

/// What getopt says, then the help; a value that is wrong ends without it.
fn getopt_complaint(
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
        (ErrorKind::UnknownArgument, Some(_)) => format!("unrecognized option '{bare}'"),
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

/// `rlxc` without a verb, with an unknown one, or asking for help.
pub(crate) fn top(first: &str, words: &[OsString]) -> ExitCode {
    match first {
        "" | "rlxc" => {
            let _ = overview(&mut std::io::stdout());
            ExitCode::SUCCESS
        }
        "-h" | "--help" | "help" => match words.get(1).map(|w| w.to_string_lossy()) {
            None => {
                let _ = overview(&mut std::io::stdout());
                ExitCode::SUCCESS
            }
            Some(word) => help_on(&word),
        },
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
            let names = VERBS.iter().map(|v| v.name).chain(["help"]);
            unknown("verb", other, names)
        }
    }
}

/// `rlxc help WORD`: a verb's options, or a topic.
fn help_on(word: &str) -> ExitCode {
    if let Some(verb) = Verb::of_name(word) {
        let _ = command(verb, false).print_long_help();
        return ExitCode::SUCCESS;
    }
    if let Some(verb) = word.strip_prefix("lxc-").and_then(Verb::of_lxc) {
        let text = help(word, verb, &mut command(verb, true));
        let _ = write!(std::io::stdout(), "{text}");
        return ExitCode::SUCCESS;
    }
    if let Some(topic) = Topic::of_name(word) {
        let _ = write!(std::io::stdout(), "{}", topic.text);
        return ExitCode::SUCCESS;
    }
    if word.starts_with("lxc.") {
        return run(
            match Verb::of_name("config") {
                Some(verb) => verb,
                None => return ExitCode::from(1),
            },
            "rlxc help".to_owned(),
            false,
            ["config", "explain", word].map(OsString::from).to_vec(),
        );
    }
    let topics = TOPICS.iter().map(|topic| topic.name);
    unknown(
        "verb or topic",
        word,
        VERBS.iter().map(|v| v.name).chain(topics),
    )
}

/// Says that there is no such thing, and what is near.
fn unknown<'a>(kind: &str, word: &str, known: impl Iterator<Item = &'a str>) -> ExitCode {
    let near = known
        .map(|name| (distance(name, word), name))
        .min()
        .filter(|(far, name)| *far <= 1 + name.len() / 3);
    let hint = near
        .map(|(_, name)| format!("; did you mean '{name}'?"))
        .unwrap_or_default();
    let shown = crate::output::safe(word);
    let _ = writeln!(
        std::io::stderr(),
        "rlxc: there is no {kind} '{shown}'{hint} (rlxc help lists them)"
    );
    ExitCode::from(1)
}

fn overview(out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "Usage: rlxc VERB [OPTIONS] [NAME] …\n\nVerbs:")?;
    for verb in &VERBS {
        writeln!(out, "  {:<14}{}", verb.name, verb.about)?;
    }
    writeln!(out, "\nTopics:")?;
    for topic in &TOPICS {
        writeln!(out, "  {:<14}{}", topic.name, topic.about)?;
    }
    writeln!(
        out,
        "\nrlxc help VERB, rlxc help TOPIC and rlxc help lxc.KEY tell more. Most verbs are also there as lxc-VERB."
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
