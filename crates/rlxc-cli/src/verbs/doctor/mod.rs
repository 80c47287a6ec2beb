//! `doctor`: looks at the whole way to a container, says what is wrong and mends what is safe.

mod access;
mod container;
mod host;
mod mend;
mod user;
mod whom;

use std::io::{IsTerminal, Write};

use clap::Args;
use serde_json::json;

use super::Run;
use crate::context::{Context, Failure, Outcome};
use crate::output::{Format, colour, print_value, safe};
use mend::Mend;
use whom::Whom;

/// Options of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Show the commands that mend what was found, and ask before each (without a terminal: only show)
    #[arg(long)]
    fix: bool,
    /// With --fix: do not ask
    #[arg(long)]
    yes: bool,
    /// As root: look at the way of this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// A container to be looked at as well
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

/// What a check found.
struct Finding {
    what: String,
    /// `None`: all is well
    problem: Option<Problem>,
}

struct Problem {
    wrong: String,
    why: &'static str,
    remedy: String,
    /// What can be done safely
    mend: Option<Mend>,
    /// Whether containers cannot run at all
    fatal: bool,
}

impl Problem {
    /// The same with a remedy that can be carried out.
    fn mended_by(mut self, mend: Mend) -> Self {
        self.remedy = mend.shown();
        self.mend = Some(mend);
        self
    }
}

fn finding(what: impl Into<String>, problem: Option<Problem>) -> Finding {
    Finding {
        what: what.into(),
        problem,
    }
}

fn warning(wrong: impl Into<String>, why: &'static str, remedy: impl Into<String>) -> Problem {
    Problem {
        wrong: wrong.into(),
        why,
        remedy: remedy.into(),
        mend: None,
        fatal: false,
    }
}

fn fatal(wrong: impl Into<String>, why: &'static str, remedy: impl Into<String>) -> Problem {
    Problem {
        fatal: true,
        ..warning(wrong, why, remedy)
    }
}

impl Run for Doctor {
    fn run(self, context: &Context) -> Outcome {
        let root = nix::unistd::geteuid().is_root();
        let whom = match &self.user {
            Some(name) if root => Whom::named(name)?,
            Some(_) => return Err(Failure::usage("--user: only root looks at another's way")),
            None => Whom::current(),
        };
        let lxcpath = whom.lxcpath(context);
        let findings = self.look(&whom, &lxcpath, context);
        if context.common.format == Format::Table {
            print(&findings)?;
        } else {
            let rows: Vec<_> = findings.iter().map(value).collect();
            print_value(context.common.format, &rows.into())?;
        }
        if !self.fix {
            return Ok(status(&findings));
        }
        let mended = self.mend(&findings, root, context)?;
        // What was mended may have hidden something else.
        match mended {
            0 => Ok(status(&findings)),
            _ => Ok(status(&self.look(&whom, &lxcpath, context))),
        }
    }
}

fn status(findings: &[Finding]) -> u8 {
    let is_fatal = |f: &Finding| f.problem.as_ref().is_some_and(|p| p.fatal);
    u8::from(findings.iter().any(is_fatal))
}

impl Doctor {
    fn look(&self, whom: &Whom, lxcpath: &std::path::Path, context: &Context) -> Vec<Finding> {
        let mut findings = host::look(lxcpath, whom);
        if !whom.is_root() {
            findings.extend(user::look(whom, lxcpath));
        }
        for name in self.words.iter().chain(&context.common.name) {
            findings.extend(container::look(name, lxcpath, whom));
        }
        findings
    }

    /// How many were carried out.
    fn mend(&self, findings: &[Finding], root: bool, context: &Context) -> Result<usize, Failure> {
        let mut done = 0;
        let mends = findings
            .iter()
            .filter_map(|f| f.problem.as_ref()?.mend.as_ref());
        let mut failed = Vec::new();
        for mend in mends {
            let line = safe(&mend.shown());
            if mend.root && !root {
                context.say(&format!("as root: {line}"));
                continue;
            }
            if !self.yes && !ask(&line, context) {
                continue;
            }
            match mend.carry_out() {
                Ok(()) => {
                    done += 1;
                    context.say(&format!("done: {line}"));
                }
                Err(error) => failed.push(format!("{line}: {error}")),
            }
        }
        match failed.as_slice() {
            [] => Ok(done),
            _ => Err(Failure::new(failed.join("\n"))),
        }
    }
}

/// Without a terminal nothing is done unasked.
fn ask(line: &str, context: &Context) -> bool {
    if !std::io::stdin().is_terminal() {
        context.say(&format!("would do: {line}   (--fix --yes does it)"));
        return false;
    }
    let mut err = std::io::stderr();
    let _ = write!(err, "{line}\n  do it? [y/N] ").and_then(|()| err.flush());
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.is_ok() && answer.trim().eq_ignore_ascii_case("y")
}

fn print(findings: &[Finding]) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for finding in findings {
        let what = safe(&finding.what);
        let Some(problem) = &finding.problem else {
            writeln!(out, "{}  {what}", colour("32", "ok  "))?;
            continue;
        };
        let mark = if problem.fatal {
            colour("31", "bad ")
        } else {
            colour("33", "warn")
        };
        writeln!(out, "{mark}  {what}: {}", safe(&problem.wrong))?;
        writeln!(out, "        why:    {}", problem.why)?;
        let remedy: Vec<String> = problem.remedy.lines().map(safe).collect();
        writeln!(out, "        remedy: {}", remedy.join("\n                "))?;
    }
    out.flush()
}

fn value(finding: &Finding) -> serde_json::Value {
    let problem = finding.problem.as_ref();
    json!({
        "check": finding.what,
        "ok": problem.is_none(),
        "problem": problem.map(|p| &p.wrong),
        "why": problem.map(|p| p.why),
        "remedy": problem.map(|p| &p.remedy),
        "mendable": problem.is_some_and(|p| p.mend.is_some()),
        "fatal": problem.is_some_and(|p| p.fatal),
    })
}

/// A small file's text without its last line end.
fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}
