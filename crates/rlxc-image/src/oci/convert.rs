//! An image's configuration as that of a container.

use std::path::{Path, PathBuf};

use super::manifest::{Execution, ImageConfig};
use crate::error::{Error, Result};
use crate::template::{Target, config_dir, hook_dir};
use crate::unpack::Tree;

/// Where programs are looked for when the image does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The lines for the container's configuration.
pub(super) fn lines(
    image: &ImageConfig,
    tree: &Tree,
    target: &Target,
    dhcp: bool,
) -> Result<Vec<String>> {
    let execution = image.config.clone().unwrap_or_default();
    let cwd = match execution.working_dir.as_deref() {
        None | Some("") => "/",
        Some(dir) => dir,
    };
    one_line("WorkingDir", cwd)?;
    let environment = environment(&execution);
    let command = command(&execution, &environment, tree, cwd)?;
    let command = quoted(&command)?;
    let mut lines = vec![
        format!("lxc.init.cmd = {command}"),
        format!("lxc.execute.cmd = {command}"),
        "lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed".to_owned(),
    ];
    for variable in &environment {
        lines.push(format!("lxc.environment = {}", guarded(variable)));
    }
    let mut include = |name: &str| {
        let file = config_dir().join(name);
        if file.exists() {
            lines.push(format!("lxc.include = {}", file.display()));
        }
    };
    include("common.conf");
    if target.user_mode {
        include("userns.conf");
    }
    include("oci.common.conf");
    if dhcp {
        let hook = hook_dir().join("dhclient");
        lines.push(format!("lxc.hook.start-host = {}", hook.display()));
        lines.push(format!("lxc.hook.stop = {}", hook.display()));
    }
    lines.push(format!("lxc.uts.name = {}", target.name));
    if let Some(signal) = execution
        .stop_signal
        .as_deref()
        .filter(|signal| !signal.is_empty())
    {
        match signal.parse::<rlxc_config::Signal>() {
            Ok(_) => lines.push(format!("lxc.signal.halt = {signal}")),
            Err(_) => eprintln!(
                "WARNING: the image's stop signal {signal:?} is not known here and is left out"
            ),
        }
    }
    let (uid, gid) = user(execution.user.as_deref().unwrap_or_default(), tree)?;
    lines.push(format!("lxc.init.uid = {uid}"));
    lines.push(format!("lxc.init.gid = {gid}"));
    lines.push(format!("lxc.init.cwd = {}", guarded(cwd)));
    Ok(lines)
}

/// A line break in a value would be another key (CVE-2026-23953).
fn one_line(what: &str, value: &str) -> Result<()> {
    match value.chars().any(|c| matches!(c, '\n' | '\r' | '\0')) {
        true => Err(Error::format(
            format!("the image's {what}"),
            "has a line break in it, which a configuration cannot hold",
        )),
        false => Ok(()),
    }
}

fn environment(execution: &Execution) -> Vec<String> {
    let mut kept = Vec::new();
    for variable in execution.env.iter().flatten() {
        let name = variable.split('=').next().unwrap_or_default();
        if one_line(name, variable).is_err() || name.is_empty() || !variable.contains('=') {
            eprintln!(
                "WARNING: the image's variable {:?} cannot stand in a configuration and is left out",
                crate::download::printable(name)
            );
            continue;
        }
        kept.push(variable.clone());
    }
    kept
}

/// The program with its arguments; a program without a slash is looked for in the image.
fn command(
    execution: &Execution,
    environment: &[String],
    tree: &Tree,
    cwd: &str,
) -> Result<Vec<String>> {
    let mut words = execution.entrypoint.clone().unwrap_or_default();
    words.extend(execution.cmd.clone().unwrap_or_default());
    if words.is_empty() {
        words.push("/bin/sh".to_owned());
    }
    for word in &words {
        one_line("command", word)?;
    }
    let program = words[0].clone();
    if program.starts_with('/') {
        return Ok(words);
    }
    let found = match program.contains('/') {
        true => Some(Path::new(cwd).join(&program)),
        false => {
            let path = environment
                .iter()
                .find_map(|variable| variable.strip_prefix("PATH="));
            find(&program, path.unwrap_or(PATH), tree)
        }
    };
    match found {
        Some(path) => words[0] = path.display().to_string(),
        None => eprintln!("WARNING: the image has no program {program:?}"),
    }
    Ok(words)
}

fn find(program: &str, path: &str, tree: &Tree) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    path.split(':')
        .filter(|dir| dir.starts_with('/'))
        .find_map(|dir| {
            let full = Path::new(dir).join(program);
            let file = tree.read_file(full.strip_prefix("/").ok()?).ok()?;
            let mode = file.metadata().ok()?.permissions().mode();
            (mode & 0o111 != 0).then_some(full)
        })
}

/// The words of a command as a value of the configuration: split at blanks, where quotes keep
/// blanks, and neighbouring quotes join.
fn quoted(words: &[String]) -> Result<String> {
    let mut list = Vec::new();
    for word in words {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%~".contains(c);
        let text = match word {
            word if !word.is_empty() && word.chars().all(plain) => word.clone(),
            word if !word.contains('"') => format!("\"{word}\""),
            word if !word.contains('\'') => format!("'{word}'"),
            word => {
                let parts: Vec<String> =
                    word.split('"').map(|part| format!("\"{part}\"")).collect();
                parts.join("'\"'")
            }
        };
        list.push(text);
    }
    Ok(guarded(&list.join(" ")))
}

/// The configuration takes one pair of quotes, and blanks, from both ends of a value.
fn guarded(value: &str) -> String {
    let first = value.chars().next();
    let quotes = matches!(first, Some('"' | '\'')) && value.chars().next_back() == first;
    let blanks = value.trim() != value;
    match quotes || blanks {
        true => format!("'{value}'"),
        false => value.to_owned(),
    }
}

/// `USER[:GROUP]`, by number or by the image's own files.
fn user(text: &str, tree: &Tree) -> Result<(u32, u32)> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, group),
        None => (text, ""),
    };
    let read = |path: &str| {
        let text = tree
            .read_small(Path::new(path), 4 << 20)
            .unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    };
    let passwd = read("etc/passwd");
    let entry = |matches: &dyn Fn(&[&str]) -> bool| -> Option<(u32, u32)> {
        passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let found = fields.len() >= 4 && matches(&fields);
            found.then(|| Some((fields[2].parse().ok()?, fields[3].parse().ok()?)))?
        })
    };
    let unknown = |what: &str, name: &str| {
        Error::format(
            format!("the image's {what} {name:?}"),
            "is neither a number nor in the image's own files",
        )
    };
    let (uid, own_group) = match user {
        "" => (
            0,
            entry(&|fields| fields[2] == "0").map_or(0, |(_, gid)| gid),
        ),
        user => match user.parse::<u32>() {
            Ok(uid) => (
                uid,
                entry(&|fields| fields[2] == user).map_or(0, |(_, gid)| gid),
            ),
            Err(_) => {
                let found = entry(&|fields| fields[0] == user);
                found.ok_or_else(|| unknown("user", user))?
            }
        },
    };
    let gid = match group {
        "" => own_group,
        group => match group.parse::<u32>() {
            Ok(gid) => gid,
            Err(_) => {
                let text = read("etc/group");
                let found = text.lines().find_map(|line| {
                    let fields: Vec<&str> = line.split(':').collect();
                    let same = fields.len() >= 3 && fields[0] == group;
                    same.then(|| fields[2].parse().ok())?
                });
                found.ok_or_else(|| unknown("group", group))?
            }
        },
    };
    Ok((uid, gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        quoted(&words).unwrap()
    }

    #[test]
    fn commands_survive_the_configuration() {
        assert_eq!(
            value(&["/bin/sh", "-c", "echo hi"]),
            "/bin/sh -c \"echo hi\""
        );
        assert_eq!(value(&["/x", "say \"hi\""]), "/x 'say \"hi\"'");
        assert_eq!(value(&["/x", ""]), "/x \"\"");
        assert_eq!(value(&["/x", "a\"b'c"]), "/x \"a\"'\"'\"b'c\"");
        // The outer pair goes when the configuration is read.
        assert_eq!(value(&["a b", "c d"]), "'\"a b\" \"c d\"'");
        assert_eq!(guarded(" X=1 "), "' X=1 '");
    }

    #[test]
    fn line_breaks_never_reach_the_configuration() {
        let execution = Execution {
            env: Some(vec!["A=1".to_owned(), "B=1\nlxc.hook.stop = /x".to_owned()]),
            ..Execution::default()
        };
        assert_eq!(environment(&execution), ["A=1"]);
        assert!(one_line("x", "a\rb").is_err());
    }
}
