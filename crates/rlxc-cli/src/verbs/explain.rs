use std::io::Write;

use clap::Args;
use rlxc::State;

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The container
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

impl Run for Explain {
    fn run(mut self, context: &Context) -> Outcome {
        let container = context.bare(&mut self.words)?;
        let mut out = std::io::stdout().lock();
        let Some(failure) = container.last_failure()? else {
            writeln!(out, "the last start of {} did not fail", container.name())?;
            return Ok(0);
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let ago = now.map_or(0, |d| d.as_secs()).saturating_sub(failure.time);
        let error = failure.error;
        writeln!(
            out,
            "the last start of {} failed {ago} seconds ago",
            container.name()
        )?;
        writeln!(out, "  step:   {}", error.step)?;
        if !error.target.is_empty() {
            writeln!(out, "  on:     {}", error.target)?;
        }
        writeln!(out, "  cause:  {}", error.message)?;
        if let Some(remedy) = error.remedy {
            writeln!(out, "  remedy: {remedy}")?;
        }
        Ok(0)
    }
}

/// Options of `recover`.
#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// Kill what is left without asking
    #[arg(long)]
    yes: bool,
    /// The container
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

impl Run for Recover {
    fn run(mut self, context: &Context) -> Outcome {
        let container = context.bare(&mut self.words)?;
        let name = container.name();
        match container.state() {
            Ok(State::Stopped) => {}
            Ok(state) => {
                context.say(&format!(
                    "{name} is {state}: its monitor answers, nothing to recover"
                ));
                return Ok(0);
            }
            Err(error) => return Err(error.into()),
        }
        let left = leftovers(name);
        if left.is_empty() {
            context.say(&format!("nothing is left of {name}"));
            return Ok(0);
        }
        for (dir, pids) in &left {
            context.say(&format!("{}: {} processes", dir.display(), pids.len()));
        }
        if !self.yes {
            return Err(
                Failure::new("processes without a monitor are left").remedy(format!(
                    "rlxc recover {name} --yes kills them and removes the cgroups"
                )),
            );
        }
        kill(&left);
        Ok(0)
    }
}

type Leftover = (std::path::PathBuf, Vec<i32>);

/// Payload cgroups of that name with the processes in them.
fn leftovers(name: &str) -> Vec<Leftover> {
    let mut found = Vec::new();
    let mut roots = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
    let subs = std::fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten();
    roots.extend(
        subs.map(|e| e.path())
            .filter(|p| p.is_dir() && !p.is_symlink()),
    );
    for root in roots {
        let dir = root.join(format!("lxc.payload.{name}"));
        let Ok(text) = std::fs::read_to_string(dir.join("cgroup.procs")) else {
            continue;
        };
        found.push((
            dir,
            text.lines().filter_map(|line| line.parse().ok()).collect(),
        ));
    }
    found
}

fn kill(left: &[Leftover]) {
    use nix::sys::signal::{Signal, kill};
    for pid in left
        .iter()
        .flat_map(|(_, pids)| pids)
        .filter(|pid| **pid > 1)
    {
        let _ = kill(nix::unistd::Pid::from_raw(*pid), Signal::SIGKILL);
    }
    for _ in 0..50 {
        let gone = left
            .iter()
            .all(|(dir, _)| std::fs::remove_dir(dir).is_ok() || !dir.exists());
        if gone {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
