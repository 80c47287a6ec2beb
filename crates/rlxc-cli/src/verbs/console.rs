use std::os::fd::AsFd;

use clap::Args;
use rlxc::runtime_control::ConsoleOptions;

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `console`.
#[derive(Debug, Args)]
pub(crate) struct Console {
    /// The terminal's number; 0 is /dev/console, without it the next free one
    #[arg(
        short = 't',
        long,
        value_name = "NUMBER",
        allow_negative_numbers = true,
        default_value = "-1",
        hide_default_value = true
    )]
    tty: i32,
    /// The key to leave by, followed by q: a character, or ^ and a letter for Ctrl
    #[arg(
        short = 'e',
        long,
        value_name = "PREFIX",
        default_value = "^a",
        hide_default_value = true
    )]
    escape: String,
    /// NAME, if not given by -n
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

impl Run for Console {
    fn run(mut self, context: &Context) -> Outcome {
        let escape = match self.escape.as_bytes() {
            [b'^', letter] => letter
                .to_ascii_lowercase()
                .wrapping_sub(b'a')
                .wrapping_add(1),
            [key] => *key,
            // LXC's tool takes the first character of a word, and none as no key.
            [key, ..] if context.lxc => *key,
            [] if context.lxc => 0,
            _ => {
                return Err(Failure::new(format!(
                    "invalid escape character: {}",
                    self.escape
                )));
            }
        };
        if context.lxc && self.tty < -1 {
            return Err(Failure::usage("there are no negative ttys"));
        }
        let container = context.container(&mut self.words)?;
        context.check_control(&container)?;
        if !container.is_running() {
            return Err(Failure::new(format!("{} is not running", container.name())));
        }
        let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
        let options = ConsoleOptions {
            tty: self.tty,
            stdin: stdin.as_fd(),
            stdout: stdout.as_fd(),
            escape: Some(escape),
        };
        container.console(&options, |number| {
            let key = char::from(escape.wrapping_add(b'a' - 1));
            let key = match escape {
                1..=26 => format!("Ctrl+{key}"),
                other => char::from(other).to_string(),
            };
            context.say(&format!(
                "\nConnected to tty {number}\nType <{key} q> to exit the console, <{key} {key}> to enter {key} itself"
            ));
        })?;
        Ok(0)
    }
}
