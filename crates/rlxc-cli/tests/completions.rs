//! Completion as the shells themselves do it.

mod common;
#[allow(dead_code)]
#[path = "../examples/generate.rs"]
mod generate;

use std::io;
use std::path::Path;
use std::process::Command;

use common::{Place, RLXC};

/// What the shell's script makes of a line, a candidate a line; `None` without the shell.
fn completed(shell: &str, place: &Place, line: &str) -> io::Result<Option<Vec<String>>> {
    let script = Command::new(RLXC).args(["completions", shell]).output()?;
    let file = place.dir.join(format!("script.{shell}"));
    std::fs::write(&file, script.stdout)?;
    let file = file.display();
    let code = match shell {
        "bash" => format!(
            "source {file}; compopt() {{ :; }}; COMP_WORDS=({line}); \
             [[ '{line}' == *' ' ]] && COMP_WORDS+=(''); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); \
             _rlxc; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        ),
        "zsh" => format!(
            "compdef() {{ :; }}; source {file}; _files() {{ print -r -- files; }}; \
             _describe() {{ print -rl -- \"${{(@P)4}}\"; }}; \
             words=(${{(z):-\"{line}\"}}); [[ '{line}' == *' ' ]] && words+=(''); \
             CURRENT=$#words; _rlxc"
        ),
        _ => format!("source {file}; complete -C '{line}'"),
    };
    let path = std::env::var("PATH").unwrap_or_default();
    let own = Path::new(RLXC).parent().unwrap_or(Path::new("/"));
    let run = Command::new(shell)
        .arg("-c")
        .arg(code)
        .env("PATH", format!("{}:{path}", own.display()))
        .env("HOME", &place.dir)
        .output();
    let output = match run {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words: Vec<String> = text
        .lines()
        .map(|line| {
            line.split(['\t', ':'])
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .filter(|word| !word.is_empty())
        .collect();
    words.sort();
    Ok(Some(words))
}

#[test]
fn bash_zsh_and_fish_complete_names_options_and_values() -> io::Result<()> {
    let place = Place::new("complete")?;
    for name in ["web1", "web2", "db"] {
        place.define(name, "lxc.uts.name = x\n")?;
    }
    let lxcpath = place.lxcpath().display().to_string();
    for shell in ["bash", "zsh", "fish"] {
        let of = |line: &str| completed(shell, &place, line);
        let Some(names) = of(&format!("rlxc start -P {lxcpath} web"))? else {
            println!("skipped: {shell}");
            continue;
        };
        assert_eq!(names, ["web1", "web2"], "{shell}");
        let tool = of(&format!("lxc-info -P {lxcpath} "))?.unwrap_or_default();
        assert_eq!(tool, ["db", "web1", "web2"], "{shell}");
        let verbs = of("rlxc sto")?.unwrap_or_default();
        assert_eq!(verbs, ["stop"], "{shell}");
        let options = of("rlxc ls --fan")?.unwrap_or_default();
        assert_eq!(options, ["--fancy", "--fancy-format"], "{shell}");
        let forms = of("rlxc ls --format ")?.unwrap_or_default();
        assert_eq!(forms, ["csv", "json", "table", "yaml"], "{shell}");
    }
    Ok(())
}

#[test]
fn help_tells_of_verbs_topics_and_keys_and_names_the_nearest() -> io::Result<()> {
    let help = |word: &str| {
        let output = Command::new(RLXC).args(["help", word]).output()?;
        Ok::<_, io::Error>(common::Said::from(output))
    };
    for (word, holds) in [
        ("start", "--dry-run"),
        ("lxc-start", "Usage: lxc-start --name=NAME"),
        ("rootless", "newuidmap"),
        ("scripting", "Exit statuses"),
        ("lxc.idmap", "example"),
    ] {
        let said = help(word)?;
        assert!(said.out.contains(holds), "{word}: {said:?}");
        assert_eq!(said.status, Some(0), "{word}");
    }
    let said = help("rotless")?;
    assert!(said.err.contains("did you mean 'rootless'"), "{said:?}");
    assert_eq!(said.status, Some(1));
    let verbs = Command::new(RLXC).output()?;
    let text = String::from_utf8_lossy(&verbs.stdout).into_owned();
    for topic in &rlxc_cli::TOPICS {
        assert!(text.contains(topic.about), "{}", topic.name);
        assert!(
            topic.text.lines().all(|line| line.len() <= 105),
            "{}",
            topic.name
        );
    }
    Ok(())
}

#[test]
fn every_verb_and_topic_has_a_man_page_without_warnings() -> io::Result<()> {
    let place = Place::new("man")?;
    generate::man(&place.dir)?;
    generate::completions(&place.dir)?;
    assert!(place.dir.join("fish/rlxc.fish").is_file());
    let page = std::fs::read_to_string(place.dir.join("lxc-start.1"))?;
    assert!(
        page.contains("close\\-all\\-fds") && !page.contains("dry"),
        "{page}"
    );
    for verb in &rlxc_cli::verbs::VERBS {
        let page = place.dir.join(format!("rlxc-{}.1", verb.name));
        let text = std::fs::read_to_string(&page)?;
        let about = verb
            .about
            .split(['\'', '.', '-'])
            .next()
            .unwrap_or_default();
        assert!(text.contains(about), "{}", verb.name);
    }
    let pages = std::fs::read_dir(&place.dir)?.flatten().map(|e| e.path());
    let pages: Vec<_> = pages
        .filter(|p| p.extension().is_some_and(|e| e == "1" || e == "7"))
        .collect();
    let output = Command::new("groff")
        .args(["-man", "-Tutf8", "-ww", "-z"])
        .args(&pages)
        .output();
    match output {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stderr), ""),
        Err(_) => println!("skipped: groff"),
    }
    Ok(())
}

#[test]
fn every_verb_has_examples_that_it_understands() {
    for verb in &rlxc_cli::verbs::VERBS {
        let examples = rlxc_cli::examples::of(verb.name);
        assert!(!examples.is_empty(), "{}", verb.name);
        let help = rlxc_cli::command(verb, false)
            .render_long_help()
            .to_string();
        for (call, what) in examples {
            assert!(help.contains(call) && help.contains(what), "{call}");
            let words = call.split(' ').skip(1);
            let parsed = rlxc_cli::command(verb, false).try_get_matches_from(words);
            assert!(parsed.is_ok(), "{call}: {:?}", parsed.err());
        }
    }
}
