use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use rlxc::{ChangeKind, Container};
use serde_json::json;

use super::Run;
use crate::context::{Context, Failure, Outcome};
use crate::output::{Format, print_value, safe};
use crate::progress::with_progress;

/// Options of `snapshot`.
#[derive(Debug, Args)]
pub(crate) struct Snapshot {
    /// List the snapshots
    #[arg(short = 'L', long)]
    list: bool,
    /// Make a container of snapshot SNAP again
    #[arg(short = 'r', long, value_name = "SNAP")]
    restore: Option<String>,
    /// With -r: under this name instead of its own
    #[arg(short = 'N', long, value_name = "NAME")]
    newname: Option<String>,
    /// Remove snapshot SNAP, or ALL
    #[arg(short = 'd', long, value_name = "SNAP")]
    destroy: Option<String>,
    /// Keep FILE with the snapshot as its comment
    #[arg(short = 'c', long, value_name = "FILE")]
    comment: Option<PathBuf>,
    /// Show what changed since snapshot SNAP (also: rlxc snapshot diff NAME SNAP)
    #[arg(long, value_name = "SNAP")]
    diff: Option<String>,
    /// Show the comments in the list
    #[arg(short = 'C', long)]
    showcomments: bool,
    /// NAME, if not given by -n, and -r's new name
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

impl Run for Snapshot {
    fn run(mut self, context: &Context) -> Outcome {
        // `rlxc snapshot diff NAME SNAP`; a container may be called diff all the same.
        let asks = self.words.first().is_some_and(|word| word == "diff");
        let named = usize::from(context.common.name.is_none());
        if !context.lxc && asks && self.words.len() == 2 + named {
            self.words.remove(0);
            self.diff = self.words.pop();
        }
        let mut container = context.container(&mut self.words)?;
        if !container.is_defined() {
            return Err(Failure::new(format!(
                "No such container: {}",
                container.name()
            )));
        }
        context.check_control(&container)?;
        if let Some(snapshot) = &self.diff {
            print_diff(&container, snapshot, context.common.format)?;
        } else if let Some(snapshot) = &self.restore {
            let name = self.newname.clone().or(self.words.first().cloned());
            with_progress(context, |progress| {
                container.restore_snapshot_with(snapshot, name.as_deref(), Some(progress))
            })?;
        } else if let Some(snapshot) = &self.destroy {
            match snapshot.as_str() {
                "ALL" => container.destroy_all_snapshots()?,
                name => container.destroy_snapshot(name)?,
            }
        } else if self.list || self.showcomments && !context.lxc {
            self.print(&container, context.common.format)?;
        } else {
            with_progress(context, |progress| {
                container.snapshot_with(self.comment.as_deref(), Some(progress))
            })?;
        }
        Ok(0)
    }
}

/// One line a change: its sign and its path.
fn print_diff(container: &Container, snapshot: &str, format: Format) -> Result<(), Failure> {
    let changes = container.snapshot_diff(snapshot)?;
    if format != Format::Table {
        let each = changes
            .iter()
            .map(|change| json!({"kind": change.kind, "path": change.path.to_string_lossy()}));
        return Ok(print_value(format, &each.collect::<Vec<_>>().into())?);
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for change in &changes {
        let sign = match change.kind {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => '~',
        };
        writeln!(out, "{sign} {}", safe(&change.path.to_string_lossy()))?;
    }
    Ok(out.flush()?)
}

impl Snapshot {
    fn print(&self, container: &Container, format: Format) -> Result<(), Failure> {
        let snapshots = container.snapshots()?;
        let comment = |path: &Option<PathBuf>| {
            path.as_ref()
                .and_then(|path| std::fs::read_to_string(path).ok())
        };
        if format != Format::Table {
            let each = snapshots.iter().map(|snapshot| {
                json!({
                    "name": snapshot.name,
                    "timestamp": snapshot.timestamp,
                    "lxcpath": snapshot.lxcpath.to_string_lossy(),
                    "comment": comment(&snapshot.comment),
                })
            });
            print_value(format, &each.collect::<Vec<_>>().into())?;
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        if snapshots.is_empty() {
            writeln!(out, "No snapshots")?;
        }
        for snapshot in &snapshots {
            let path = snapshot.lxcpath.display();
            writeln!(
                out,
                "{} ({path}) {}",
                safe(&snapshot.name),
                snapshot.timestamp
            )?;
            if self.showcomments
                && let Some(text) = comment(&snapshot.comment)
            {
                write!(out, "{text}")?;
            }
        }
        Ok(())
    }
}
