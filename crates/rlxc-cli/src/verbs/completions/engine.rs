//! What fits at the end of a command line.

use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use rlxc::config::KEY_TABLE;
use rlxc::{list_active, list_all};

use super::super::ls_cells::Column;
use crate::help_topics::TOPICS;
use crate::personality;
use crate::verbs::{VERBS, Verb};

/// A word that fits, with what it means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) word: String,
    pub(super) about: String,
}

/// Stands for file names, which shells complete themselves.
const FILES: &str = ":files";

fn candidate(word: impl Into<String>, about: impl Into<String>) -> Candidate {
    Candidate {
        word: word.into(),
        about: about.into(),
    }
}

fn files() -> Vec<Candidate> {
    vec![candidate(FILES, "")]
}

fn words(list: &[&str]) -> Vec<Candidate> {
    list.iter().map(|word| candidate(*word, "")).collect()
}

/// All that fits for the last of `line`, the line's words from the program's name on.
pub(super) fn complete(line: &[String]) -> Vec<Candidate> {
    let [program, before @ .., current] = line else {
        return Vec::new();
    };
    let program = program.rsplit('/').next().unwrap_or_default();
    let all = match program.strip_prefix("lxc-").and_then(Verb::of_lxc) {
        Some(verb) => of_verb(verb, true, before, current),
        None => match before {
            [] => verbs(),
            [help] if help == "help" => topics(),
            [name, rest @ ..] => match Verb::of_name(name) {
                Some(verb) => of_verb(verb, false, rest, current),
                None => Vec::new(),
            },
        },
    };
    let typed = match current.as_str() {
        "=" => "",
        current => current,
    };
    let fits = |c: &Candidate| c.word == FILES || c.word.starts_with(typed);
    all.into_iter().filter(fits).collect()
}

fn verbs() -> Vec<Candidate> {
    let each = VERBS.iter().map(|verb| candidate(verb.name, verb.about));
    each.chain([candidate("help", "Explains a verb or a topic")])
        .collect()
}

fn topics() -> Vec<Candidate> {
    let topics = TOPICS.iter().map(|t| candidate(t.name, t.about));
    verbs().into_iter().chain(topics).collect()
}

/// The line so far, taken apart.
#[derive(Default)]
struct Parsed<'a> {
    /// The option that waits for a value
    pending: Option<&'a Arg>,
    /// The container's name first, by whatever way it was given
    positional: Vec<&'a str>,
    /// By `-n`
    named: bool,
    lxcpath: Option<PathBuf>,
    /// After `--`: a command of its own
    command: bool,
}

impl<'a> Parsed<'a> {
    fn name(&mut self, name: &'a str) {
        if self.named {
            self.positional.remove(0);
        }
        self.named = true;
        self.positional.insert(0, name);
    }
}

fn of_verb(verb: &Verb, lxc: bool, before: &[String], current: &str) -> Vec<Candidate> {
    let command = personality::command(verb, lxc);
    let parsed = parse(&command, before);
    if parsed.command {
        return files();
    }
    if let Some(option) = parsed.pending {
        let current = if current == "=" { "" } else { current };
        return in_list(current, values(verb, option, &parsed));
    }
    if current == "=" {
        return Vec::new();
    }
    // zsh and fish leave `--option=value` in one piece.
    if let Some((long, typed)) = current.split_once('=').filter(|(o, _)| o.starts_with("--")) {
        let Some(option) = find(&command, long).filter(|arg| arg.get_action().takes_values())
        else {
            return Vec::new();
        };
        let found = in_list(typed, values(verb, option, &parsed));
        return prefixed(&format!("{long}="), found);
    }
    if current.starts_with('-') {
        return options(&command);
    }
    positional(verb, &parsed)
}

/// Words that go on where a list has come to: after the last `|` or `,` of what was typed.
fn in_list(typed: &str, found: Vec<Candidate>) -> Vec<Candidate> {
    match typed.rfind(['|', ',']) {
        Some(at) => prefixed(&typed[..=at], found),
        None => found,
    }
}

fn prefixed(before: &str, mut found: Vec<Candidate>) -> Vec<Candidate> {
    for candidate in found.iter_mut().filter(|c| c.word != FILES) {
        candidate.word.insert_str(0, before);
    }
    found
}

fn find<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let mut options = command.get_arguments();
    match word.strip_prefix("--") {
        Some(long) => options.find(|arg| {
            let aliases = arg.get_all_aliases().unwrap_or_default();
            arg.get_long() == Some(long) || aliases.contains(&long)
        }),
        None => {
            let letter = word.chars().last();
            options.find(|arg| letter.is_some() && arg.get_short() == letter)
        }
    }
}

fn parse<'a>(command: &'a Command, before: &'a [String]) -> Parsed<'a> {
    let mut parsed = Parsed::default();
    for word in before {
        if parsed.command {
            break;
        }
        // bash hands `--format=json` over as three words.
        if word == "=" && parsed.pending.is_some() {
            continue;
        }
        if let Some(option) = parsed.pending.take() {
            match option.get_id().as_str() {
                "lxcpath" => parsed.lxcpath = Some(PathBuf::from(word)),
                "name" => parsed.name(word),
                _ => {}
            }
            continue;
        }
        match word.split_once('=') {
            _ if word == "--" => parsed.command = true,
            Some(("--lxcpath", path)) => parsed.lxcpath = Some(PathBuf::from(path)),
            Some(("--name", name)) => parsed.name(name),
            Some((option, _)) if option.starts_with('-') => {}
            _ if word.starts_with('-') && word.len() > 1 => {
                let waits = |arg: &&Arg| {
                    arg.get_action().takes_values()
                        && arg.get_num_args().is_none_or(|n| n.min_values() > 0)
                };
                parsed.pending = find(command, word).filter(waits);
            }
            _ => parsed.positional.push(word),
        }
    }
    parsed
}

fn options(command: &Command) -> Vec<Candidate> {
    let mut found = Vec::new();
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let about = about.replace(['\n', '\t'], " ");
        if let Some(long) = arg.get_long() {
            found.push(candidate(format!("--{long}"), &about));
        }
        if let Some(short) = arg.get_short() {
            found.push(candidate(format!("-{short}"), &about));
        }
    }
    found
}

const STATES: [&str; 8] = [
    "STOPPED", "STARTING", "RUNNING", "STOPPING", "ABORTING", "FREEZING", "FROZEN", "THAWED",
];
const NAMESPACES: [&str; 8] = [
    "MOUNT", "PID", "UTSNAME", "IPC", "USER", "NETWORK", "CGROUP", "TIME",
];
const BACKENDS: [&str; 9] = [
    "best", "btrfs", "dir", "loop", "lvm", "none", "overlay", "rbd", "zfs",
];
const LEVELS: [&str; 9] = [
    "TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "ERROR", "CRIT", "ALERT", "FATAL",
];

/// What fits as the value of an option.
fn values(verb: &Verb, option: &Arg, parsed: &Parsed<'_>) -> Vec<Candidate> {
    let possible = option.get_possible_values();
    if !possible.is_empty() && option.get_action().takes_values() {
        return possible
            .iter()
            .map(|value| candidate(value.get_name(), ""))
            .collect();
    }
    match (verb.name, option.get_id().as_str()) {
        ("ls" | "monitor", "name") => Vec::new(),
        (_, "name" | "share_net" | "share_ipc" | "share_uts" | "share_pid") => {
            containers(verb, parsed)
        }
        ("wait", "state") => words(&STATES),
        (_, "namespaces") => words(&NAMESPACES),
        (_, "bdev" | "backingstorage") => words(&BACKENDS),
        ("ls", "fancy_format") => words(&Column::names()),
        ("info", "config") => keys(""),
        (_, "define") => keys("="),
        (_, "logpriority") => words(&LEVELS),
        ("top", "sort") => words(&["n", "c", "b", "m", "s", "k"]),
        ("create", "template") => templates(),
        ("snapshot", "restore" | "destroy") => snapshots(parsed),
        _ => files(),
    }
}

fn positional(verb: &Verb, parsed: &Parsed<'_>) -> Vec<Candidate> {
    let first = parsed.positional.first().copied();
    match (verb.name, parsed.positional.len()) {
        ("ls" | "monitor" | "checkconfig" | "autostart" | "top", _) => Vec::new(),
        ("completions", 0) => words(&["bash", "zsh", "fish", "containers", "verbs"]),
        ("net", 0) => words(&["up", "down", "restart", "reload", "status"]),
        ("config", 0) => {
            let verbs = words(&["check", "explain", "show", "keys"]);
            let items = rlxc::global_config_keys().iter();
            verbs
                .into_iter()
                .chain(items.map(|key| candidate(*key, "")))
                .collect()
        }
        ("config", 1) if first == Some("explain") => keys(""),
        ("config", _) => containers(verb, parsed),
        ("unshare" | "usernsexec" | "update-config", _) => files(),
        ("device", 1) => words(&["add", "del"]),
        ("set", 1..) => {
            let humane = ["memory=", "cpu=", "pids="];
            words(&humane).into_iter().chain(keys("=")).collect()
        }
        (_, 0) => containers(verb, parsed),
        _ => files(),
    }
}

/// Containers that the verb can do something with.
fn containers(verb: &Verb, parsed: &Parsed<'_>) -> Vec<Candidate> {
    let lxcpath = parsed.lxcpath.clone().unwrap_or_else(rlxc::default_lxcpath);
    let active = list_active(&lxcpath).unwrap_or_default();
    let all = list_all(&lxcpath).unwrap_or_default();
    let running = |name: &String| active.binary_search(name).is_ok();
    let wanted = |name: &String| match verb.name {
        "attach" | "cgroup" | "console" | "device" | "freeze" | "stats" | "stop" | "unfreeze" => {
            running(name)
        }
        "start" => !running(name),
        _ => true,
    };
    all.into_iter()
        .filter(|name| wanted(name) && !name.contains(char::is_control))
        .map(|name| {
            let state = if running(&name) { "running" } else { "stopped" };
            candidate(name, state)
        })
        .collect()
}

fn keys(end: &str) -> Vec<Candidate> {
    KEY_TABLE
        .iter()
        .map(|row| {
            candidate(
                format!("{}{end}", row.name),
                row.doc.replace(['\n', '\t'], " "),
            )
        })
        .collect()
}

fn templates() -> Vec<Candidate> {
    let dir = Path::new(rlxc::config::paths::DATADIR).join("lxc/templates");
    let names = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<String> = names
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_prefix("lxc-").map(str::to_owned)
        })
        .chain(["none".to_owned()])
        .collect();
    found.sort();
    found.into_iter().map(|name| candidate(name, "")).collect()
}

fn snapshots(parsed: &Parsed<'_>) -> Vec<Candidate> {
    let lxcpath = parsed.lxcpath.clone().unwrap_or_else(rlxc::default_lxcpath);
    let Some(name) = parsed.positional.first() else {
        return Vec::new();
    };
    let container = rlxc::Container::without_config(name, Some(&lxcpath));
    let found = container.and_then(|container| container.snapshots());
    found
        .unwrap_or_default()
        .into_iter()
        .map(|snapshot| candidate(snapshot.name, snapshot.timestamp))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Vec<String> {
        let line: Vec<String> = line.split(' ').map(str::to_owned).collect();
        complete(&line).into_iter().map(|c| c.word).collect()
    }

    #[test]
    fn verbs_options_and_values_come_from_the_definitions() {
        assert_eq!(of("rlxc sta"), ["start", "stats"]);
        assert_eq!(of("rlxc ls --fr"), ["--frozen"]);
        assert_eq!(of("rlxc ls --format j"), ["json"]);
        assert_eq!(of("rlxc ls --format = y"), ["yaml"]);
        assert_eq!(
            of("/usr/bin/lxc-wait x -s ST"),
            ["STOPPED", "STARTING", "STOPPING"]
        );
        assert_eq!(of("lxc-ls --form"), Vec::<String>::new());
        assert_eq!(of("rlxc start x -o "), [FILES]);
        assert_eq!(of("rlxc attach x -- l"), [FILES]);
        assert_eq!(of("rlxc set x lxc.uts."), ["lxc.uts.name="]);
        assert_eq!(of("rlxc set x mem"), ["memory="]);
        assert_eq!(of("rlxc ls --format=y"), ["--format=yaml"]);
        assert_eq!(of("rlxc wait x -s FROZEN|TH"), ["FROZEN|THAWED"]);
        assert_eq!(of("rlxc ls -F NAME,AU"), ["NAME,AUTOSTART"]);
        assert_eq!(
            of("lxc-attach -n x --namespaces=PID|UT"),
            ["--namespaces=PID|UTSNAME"]
        );
        // What follows a name is no name.
        assert_eq!(of("rlxc start -n x "), [FILES]);
        assert_eq!(of("rlxc start --name=x "), [FILES]);
        assert!(of("rlxc help ").contains(&"rootless".to_owned()));
    }

    #[test]
    fn containers_are_those_below_the_lxcpath_of_the_line() -> std::io::Result<()> {
        let dir = std::env::temp_dir().join(format!("rlxc-cli-complete-{}", std::process::id()));
        for name in ["web", "with blank", "db"] {
            std::fs::create_dir_all(dir.join(name))?;
            std::fs::write(dir.join(name).join("config"), "")?;
        }
        let found = of(&format!("rlxc start -P {} w", dir.display()));
        let running = of(&format!("rlxc stop -P {} ", dir.display()));
        std::fs::remove_dir_all(&dir)?;
        assert_eq!(found, ["web", "with blank"]);
        assert!(running.is_empty(), "none of them runs");
        Ok(())
    }
}
