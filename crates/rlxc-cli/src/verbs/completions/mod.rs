//! Completion for shells: thin scripts that ask this program, which knows its own definitions.

mod engine;

use std::ffi::OsString;
use std::io::Write;

use clap::Args;
use rlxc::list_all;

use super::{Run, VERBS};
use crate::context::{Context, Failure, Outcome};

/// Options of `completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// bash, zsh or fish: a script for that shell; verbs or containers: their names
    #[arg(
        value_name = "WHAT",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        hide = true
    )]
    words: Vec<OsString>,
}

impl Run for Completions {
    fn run(self, context: &Context) -> Outcome {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let what = self.words.first().map(|w| w.to_string_lossy().into_owned());
        match what.as_deref() {
            Some("complete") => {
                let words: Vec<String> = self.words[1..]
                    .iter()
                    .map(|word| word.to_string_lossy().into_owned())
                    .collect();
                for candidate in engine::complete(&words) {
                    writeln!(out, "{}\t{}", candidate.word, candidate.about)?;
                }
            }
            None | Some("containers") => {
                for name in list_all(&context.lxcpath())? {
                    writeln!(out, "{name}")?;
                }
            }
            Some("verbs") => {
                for verb in &VERBS {
                    writeln!(out, "{}", verb.name)?;
                }
            }
            Some(shell) => match script(shell) {
                Some(script) => out.write_all(script.as_bytes())?,
                None => {
                    let shown = crate::output::safe(shell);
                    return Err(Failure::new(format!(
                        "'{shown}' is none of bash, zsh, fish, containers and verbs"
                    )));
                }
            },
        }
        out.flush()?;
        Ok(0)
    }
}

/// The script for a shell: `bash`, `zsh` or `fish`.
pub fn script(shell: &str) -> Option<String> {
    let text = match shell {
        "bash" => include_str!("rlxc.bash"),
        "zsh" => include_str!("rlxc.zsh"),
        "fish" => include_str!("rlxc.fish"),
        _ => return None,
    };
    let tools: Vec<String> = crate::install::tool_names().collect();
    Some(text.replace("@TOOLS@", &tools.join(" ")))
}
