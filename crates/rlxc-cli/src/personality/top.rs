//! `rlxc` without a verb, and `rlxc help`.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use super::getopt::help;
use super::{command, run};
use crate::help_topics::{TOPICS, Topic};
use crate::verbs::{VERBS, Verb};

/// `rlxc` without a verb, with an unknown one, or asking for help.
pub(crate) fn top(first: &str, words: &[OsString]) -> ExitCode {
    match first {
        "" | "rlxc" => printed(overview(&mut std::io::stdout())),
        "-h" | "--help" | "help" => match words.get(1).map(|w| w.to_string_lossy()) {
            None => printed(overview(&mut std::io::stdout())),
            Some(word) => help_on(&word),
        },
        "-V" | "--version" => {
            let version = env!("CARGO_PKG_VERSION");
            let line = format!("rlxc {version} (LXC {})", rlxc::VERSION);
            printed(writeln!(std::io::stdout(), "{line}"))
        }
        other if words.len() == 1 && other.contains('/') => {
            printed(overview(&mut std::io::stdout()))
        }
        other => {
            let names = VERBS.iter().map(|v| v.name).chain(["help"]);
            unknown("verb", other, names)
        }
    }
}

/// The status of a call that only prints.
fn printed(result: std::io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("rlxc: cannot write the output: {error}");
            let text = crate::context::without_codes(&text);
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::from(1)
        }
    }
}

/// `rlxc help WORD`: a verb's options, or a topic.
fn help_on(word: &str) -> ExitCode {
    if let Some(verb) = Verb::of_name(word) {
        return printed(command(verb, false).print_long_help());
    }
    if let Some(verb) = word.strip_prefix("lxc-").and_then(Verb::of_lxc) {
        let text = help(word, verb, &mut command(verb, true));
        return printed(write!(std::io::stdout(), "{text}"));
    }
    if let Some(topic) = Topic::of_name(word) {
        return printed(write!(std::io::stdout(), "{}", topic.text));
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
