//! Writes man pages or completions from the command line's own definitions:
//! `generate man|completions|list DIR`. Run by `cargo xtask man`, `completions` and `install`.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use rlxc_cli::verbs::VERBS;
use rlxc_cli::{TOPICS, command, completion_script, top_command};

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [what, dir] = words.as_slice() else {
        return Err(io::Error::other("generate man|completions|list DIR"));
    };
    let dir = Path::new(dir);
    fs::create_dir_all(dir)?;
    match what.as_str() {
        "man" => man(dir),
        "completions" => completions(dir),
        "list" => fs::write(dir.join("install.list"), rlxc_cli::install::list()),
        other => Err(io::Error::other(format!(
            "{other}: man, completions or list"
        ))),
    }
}

/// Under the names that each shell looks for.
pub(crate) fn completions(dir: &Path) -> io::Result<()> {
    for (shell, name) in [("bash", "rlxc"), ("zsh", "_rlxc"), ("fish", "rlxc.fish")] {
        let script = completion_script(shell).unwrap_or_default();
        fs::create_dir_all(dir.join(shell))?;
        fs::write(dir.join(shell).join(name), script)?;
    }
    Ok(())
}

pub(crate) fn man(dir: &Path) -> io::Result<()> {
    page(dir, "rlxc", top_command())?;
    for verb in &VERBS {
        page(dir, &format!("rlxc-{}", verb.name), command(verb, false))?;
        if verb.lxc {
            page(dir, &format!("lxc-{}", verb.name), command(verb, true))?;
        }
    }
    for topic in &TOPICS {
        let name = format!("rlxc-{}", topic.name);
        let mut text = format!(
            ".TH {name} 7\n.SH NAME\n{name} \\- {}\n.SH DESCRIPTION\n.nf\n",
            escape(topic.about)
        );
        for line in topic.text.lines() {
            text.push_str(&escape(line));
            text.push('\n');
        }
        text.push_str(".fi\n");
        fs::write(dir.join(format!("{name}.7")), ascii(&text))?;
    }
    Ok(())
}

fn page(dir: &Path, name: &str, command: Command) -> io::Result<()> {
    let named = command.name(name.to_owned()).bin_name(name.to_owned());
    let page = clap_mangen::Man::new(named)
        .title(name.to_owned())
        .manual("Linux containers");
    let mut text = Vec::new();
    page.render(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    fs::write(dir.join(format!("{name}.1")), ascii(&text))
}

/// Other characters by roff's names, whatever encoding it reads.
fn ascii(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c.is_ascii() {
            true => plain.push(c),
            false => plain.push_str(&format!("\\[u{:04X}]", u32::from(c))),
        }
    }
    plain
}

/// A line that means nothing to roff.
fn escape(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    match line.starts_with(['.', '\'']) {
        true => format!("\\&{line}"),
        false => line,
    }
}
