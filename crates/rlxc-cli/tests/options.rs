//! Every option that LXC's installed tools tell of in their help is an option of ours.

use std::collections::BTreeSet;
use std::process::Command;

use rlxc_cli::command;
use rlxc_cli::verbs::VERBS;

/// The option words of a help text: what stands at the beginning of a line.
fn options_of(help: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in help.lines().filter(|line| line.starts_with("  ")) {
        let mut words = line.split_whitespace().peekable();
        while let Some(word) = words.next_if(|word| word.starts_with('-')) {
            let option = word.trim_end_matches(',');
            let option = option.split(['=', '[']).next().unwrap_or_default();
            let option = option.trim_end_matches('-');
            // A family written as one word.
            if option == "--share" {
                found.extend(["net", "ipc", "uts", "pid"].map(|ns| format!("--share-{ns}")));
            } else if option.len() > 1 {
                found.insert(option.to_owned());
            }
        }
    }
    found
}

#[test]
fn every_option_of_the_installed_tools_is_here() {
    let mut missing = Vec::new();
    let mut walked = 0;
    for verb in VERBS.iter().filter(|verb| verb.lxc) {
        let tool = format!("lxc-{}", verb.name);
        // These have no --help.
        if ["config", "checkconfig", "update-config", "usernsexec"].contains(&verb.name) {
            continue;
        }
        let Ok(output) = Command::new(&tool).arg("--help").output() else {
            println!("skipped: {tool} is not installed");
            continue;
        };
        let help = [output.stdout, output.stderr].concat();
        let ours = command(verb, true);
        let known = |option: &str| {
            ours.get_arguments()
                .any(|arg| match option.strip_prefix("--") {
                    Some(long) => arg.get_long() == Some(long),
                    None => {
                        let letter = option.chars().nth(1);
                        letter.is_some()
                            && (arg.get_short() == letter
                                || arg
                                    .get_all_short_aliases()
                                    .unwrap_or_default()
                                    .iter()
                                    .any(|c| Some(*c) == letter))
                    }
                })
        };
        walked += 1;
        for option in options_of(&String::from_utf8_lossy(&help)) {
            if !known(&option) {
                missing.push(format!("{tool} {option}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    println!("{walked} tools walked");
}

#[test]
fn all_verbs_have_well_formed_options() {
    for verb in &VERBS {
        for lxc in [false, verb.lxc] {
            command(verb, lxc).debug_assert();
        }
    }
}
