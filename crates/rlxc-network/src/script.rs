//! `lxc.net.N.script.up` and `.down`: run by /bin/sh on the host's side.

use std::process::{Command, Stdio};

use crate::context::Context;
use crate::error::{Error, Result};

/// Which of the two scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Up,
    Down,
}

/// What a script is told about its nic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) kind: &'a str,
    pub(crate) link: Option<&'a str>,
    pub(crate) peer: Option<&'a str>,
}

/// Quotes a word for the shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What is added to the script's own words.
fn arguments<'a>(context: &'a Context, when: When, subject: &Subject<'a>) -> Vec<&'a str> {
    let mut words = Vec::new();
    if context.hook_version == 0 {
        let when = if when == When::Up { "up" } else { "down" };
        words.extend([context.name.as_str(), "net", when]);
    }
    words.push(subject.kind);
    words.extend(subject.link);
    words.extend(subject.peer);
    words
}

/// The shell line: the script's own words stay as written, what we add is quoted.
fn line(script: &str, arguments: &[&str]) -> String {
    let quoted: Vec<String> = arguments.iter().map(|word| quote(word)).collect();
    format!("exec {script} {}", quoted.join(" "))
}

/// Runs a script; its output goes to the log at DEBUG.
///
/// # Errors
/// [`Error::Spawn`], [`Error::Program`] when it exits with another status than 0.
///
/// # References
/// lxc.container.conf(5), `lxc.net.[i].script.up`.
pub(crate) fn run(
    context: &Context,
    script: &str,
    when: When,
    subject: &Subject<'_>,
) -> Result<()> {
    let name = if when == When::Up { "up" } else { "down" };
    let arguments = arguments(context, when, subject);
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(line(script, &arguments))
        .envs(context.environment.iter().map(|(k, v)| (k, v)))
        .env("LXC_NAME", &context.name)
        .env("LXC_HOOK_VERSION", context.hook_version.to_string());
    if context.hook_version > 0 {
        command
            .env("LXC_HOOK_TYPE", name)
            .env("LXC_HOOK_SECTION", "net")
            .env("LXC_NET_TYPE", subject.kind);
        if subject.kind != "empty" {
            // Empty without a link.
            command.env("LXC_NET_PARENT", subject.link.unwrap_or_default());
        }
        command.envs(subject.peer.map(|peer| ("LXC_NET_PEER", peer)));
    }
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::Spawn {
            program: script.to_owned(),
            source,
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    for printed in text.lines() {
        let arguments = arguments.join(" ");
        tracing::debug!("Script exec {script} {arguments} produced output: {printed}");
    }
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Program {
        program: format!("the script.{name} \"{script}\""),
        status: output.status.to_string(),
        output: text.lines().last().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_follow_the_hook_version_and_are_quoted() {
        let mut context = Context::new("c'1", "/var/lib/lxc");
        let subject = Subject {
            kind: "veth",
            link: Some("br0"),
            peer: Some("vethA"),
        };
        let shell = |context: &Context, script: &str, when, subject: &Subject<'_>| {
            line(script, &arguments(context, when, subject))
        };
        assert_eq!(
            shell(&context, "/bin/up -x", When::Up, &subject),
            r"exec /bin/up -x 'c'\''1' 'net' 'up' 'veth' 'br0' 'vethA'"
        );
        context.hook_version = 1;
        let subject = Subject {
            peer: None,
            ..subject
        };
        assert_eq!(
            shell(&context, "/bin/up", When::Down, &subject),
            "exec /bin/up 'veth' 'br0'"
        );
    }
}
