//! Two manners for one set of options: LXC's (getopt) and rlxc's own.

mod getopt;
mod top;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use rlxc_log::Level;

use crate::context::{Common, Context, Failure};
use crate::output::Format;
use crate::verbs::{VERBS, Verb};
use getopt::{asked_for_help, getopt_complaint};

pub(crate) use top::top;

/// What every tool has.
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

/// LXC's tools that share none of the others' options.
const APART: [&str; 4] = ["checkconfig", "config", "update-config", "usernsexec"];

/// Options of one verb alone that LXC's tool lacks.
const OWN: [(&str, &[&str]); 4] = [
    ("autostart", &["within", "jobs"]),
    ("config", &["no_host", "all"]),
    ("copy", &["zfsroot", "vgname", "idmap", "owner"]),
    ("snapshot", &["diff"]),
];

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
    let mut foreign = vec![
        "format", "dry_run", "timings", "ready", "strict", "no_pty", "pty",
    ];
    foreign.extend(
        OWN.iter()
            .filter(|(of, _)| *of == verb.name)
            .flat_map(|(_, ids)| *ids),
    );
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
                "pty" => bare.default_value("auto"),
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
    let words = match lxc && verb.name == "config" {
        true => only_item(words),
        false => (verb.rewrite)(words),
    };
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
    if !lxc && !verb.lists && common.format != Format::Table {
        let _ = writeln!(
            std::io::stderr(),
            "{tool} lists nothing that --format could shape"
        );
        return ExitCode::from(1);
    }
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

/// lxc-config looks at its first word alone: an option that it does not know is an item that it does not know.
fn only_item(mut words: Vec<OsString>) -> Vec<OsString> {
    words.truncate(2);
    let known = ["-l", "-h", "--help"].map(OsString::from);
    if words.get(1).is_some_and(|word| !known.contains(word)) {
        words.insert(1, "--".into());
    }
    words
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
    let file = match &path {
        Some(path) => Some(rlxc_log::open(path).map_err(|error| {
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
        path,
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
