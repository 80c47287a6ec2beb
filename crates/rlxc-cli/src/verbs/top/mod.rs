//! `top`: LXC's screen and batch mode for `lxc-top`, a full screen of its own for `rlxc top`.

mod classic;
mod sample;
#[cfg(feature = "tui")]
mod screen;
mod signals;
#[cfg(feature = "tui")]
mod view;
#[cfg(feature = "tui")]
mod watch;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;

use super::Run;
use crate::context::{Context, Failure, Manner, Outcome};
use crate::output::{Format, print_value};
use sample::{Sample, Wanted};

/// Options of `top`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Top {
    /// Seconds between two looks (3; 300 with -b)
    #[arg(short = 'd', long, value_name = "SECONDS")]
    delay: Option<u64>,
    /// Lines for a file instead of a screen
    #[arg(short = 'b', long)]
    batch: bool,
    /// Sort by n(ame), c(pu), b(lock I/O), m(emory), s(wap) or k(ernel memory)
    #[arg(
        short = 's',
        long,
        value_name = "KEY",
        default_value = "n",
        hide_default_value = true
    )]
    sort: String,
    /// Sort the other way round
    #[arg(short = 'r', long)]
    reverse: bool,
}

impl Run for Top {
    fn run(self, context: &Context) -> Outcome {
        if !matches!(self.sort.as_str(), "n" | "c" | "b" | "m" | "s" | "k") {
            return Err(Failure::usage(format!(
                "invalid sort key '{}': n, c, b, m, s or k",
                self.sort
            )));
        }
        let lxcpaths = context.lxcpaths();
        if context.common.format != Format::Table {
            let samples = self.samples(&lxcpaths, Wanted::All)?;
            let rows: Vec<_> = samples.iter().map(Sample::value).collect();
            print_value(context.common.format, &rows.into())?;
            return Ok(0);
        }
        let delay = self.delay.unwrap_or(if self.batch { 300 } else { 3 });
        let delay = Duration::from_secs(delay);
        // LXC wants a terminal for its batch mode too.
        if !std::io::stdin().is_terminal() && (context.lxc || !self.batch) {
            context.say("stdin is not a tty");
            let failure = Failure::of(Manner::Plain, "Failed to setup terminal");
            return Err(match context.lxc {
                true => failure,
                false => failure.remedy("use --format json, or -b"),
            });
        }
        if self.batch {
            return self.batch(&lxcpaths, delay);
        }
        #[cfg(feature = "tui")]
        if !context.lxc {
            return screen::run(&self, &lxcpaths, delay);
        }
        classic::screen(self, &lxcpaths, delay)
    }
}

const HEADER: &str = "time_ms,container,cpu_nanos,cpu_sys_userhz,cpu_user_userhz,blkio_bytes,blkio_iops,mem_used_bytes,memsw_used_bytes,kernel_mem_used_bytes";

impl Top {
    fn batch(&self, lxcpaths: &[PathBuf], delay: Duration) -> Outcome {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{HEADER}")?;
        loop {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_millis();
            for s in self.samples(lxcpaths, Wanted::Classic)? {
                writeln!(
                    out,
                    "{now},{},{},{},{},{},{},{},{},{}",
                    s.name,
                    s.cpu_ns,
                    s.system,
                    s.user,
                    s.io_read + s.io_write,
                    s.io_operations,
                    s.memory,
                    s.with_swap.unwrap_or(0),
                    s.kernel.unwrap_or(0)
                )?;
            }
            out.flush()?;
            std::thread::sleep(delay);
        }
    }

    fn samples(&self, lxcpaths: &[PathBuf], wanted: Wanted) -> Result<Vec<Sample>, Failure> {
        let mut samples = sample::all(lxcpaths, wanted)?;
        samples.sort_by(|a, b| {
            let by = match self.sort.as_str() {
                "c" => b.cpu_ns.cmp(&a.cpu_ns),
                "b" => (b.io_read + b.io_write).cmp(&(a.io_read + a.io_write)),
                "m" => b.memory.cmp(&a.memory),
                "s" => b.with_swap.cmp(&a.with_swap),
                "k" => b.kernel.cmp(&a.kernel),
                _ => a.name.cmp(&b.name),
            };
            if self.reverse { by.reverse() } else { by }
        });
        Ok(samples)
    }
}
