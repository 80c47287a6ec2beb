use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use rlxc::{Container, list_active};
use serde_json::json;

use super::Run;
use crate::context::{Context, Failure, Manner, Outcome};
use crate::output::{Format, print_value, safe};

/// Options of `top`.
#[derive(Debug, Args)]
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

#[derive(Debug, Default)]
struct Sample {
    name: String,
    cpu_ns: u64,
    system: u64,
    user: u64,
    io_bytes: u64,
    io_operations: u64,
    memory: u64,
    with_swap: u64,
    kernel: u64,
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
            let samples = self.samples(&lxcpaths)?;
            let rows: Vec<_> = samples.iter().map(value).collect();
            print_value(context.common.format, &rows.into())?;
            return Ok(0);
        }
        if !std::io::stdin().is_terminal() {
            context.say("stdin is not a tty");
            return Err(Failure::of(Manner::Plain, "Failed to setup terminal"));
        }
        let delay = Duration::from_secs(self.delay.unwrap_or(if self.batch { 300 } else { 3 }));
        if self.batch {
            return self.batch(&lxcpaths, delay);
        }
        screen(self, &lxcpaths, delay)
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
            for s in self.samples(lxcpaths)? {
                writeln!(
                    out,
                    "{now},{},{},{},{},{},{},{},{},{}",
                    s.name,
                    s.cpu_ns,
                    s.system,
                    s.user,
                    s.io_bytes,
                    s.io_operations,
                    s.memory,
                    s.with_swap,
                    s.kernel
                )?;
            }
            out.flush()?;
            std::thread::sleep(delay);
        }
    }

    fn samples(&self, lxcpaths: &[PathBuf]) -> Result<Vec<Sample>, Failure> {
        let mut samples = Vec::new();
        for lxcpath in lxcpaths {
            for name in list_active(lxcpath)? {
                let Ok(container) = Container::without_config(&name, Some(lxcpath)) else {
                    continue;
                };
                if let Ok(read) = container.cgroup_reader() {
                    samples.push(sample(name, &read));
                }
            }
        }
        samples.sort_by(|a, b| {
            let by = match self.sort.as_str() {
                "c" => b.cpu_ns.cmp(&a.cpu_ns),
                "b" => b.io_bytes.cmp(&a.io_bytes),
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

fn sample(name: String, read: &impl Fn(&str) -> Option<String>) -> Sample {
    let stats = rlxc::Stats::read(read);
    let field = |file: &str, key: &str| {
        let text = read(file)?;
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok())
    };
    // cpu.stat counts microseconds, a clock tick is 10 ms.
    let v2 = |key| field("cpu.stat", key).map(|us| us / 10_000);
    let operations = read("blkio.throttle.io_serviced_recursive")
        .or_else(|| read("blkio.throttle.io_serviced"))
        .and_then(|text| {
            text.lines()
                .find_map(|l| l.strip_prefix("Total ")?.trim().parse().ok())
        });
    let memory = stats.memory.unwrap_or(0);
    Sample {
        cpu_ns: stats.cpu_ns.unwrap_or(0),
        system: field("cpuacct.stat", "system ")
            .or_else(|| v2("system_usec "))
            .unwrap_or(0),
        user: field("cpuacct.stat", "user ")
            .or_else(|| v2("user_usec "))
            .unwrap_or(0),
        io_bytes: stats.io_read.unwrap_or(0) + stats.io_write.unwrap_or(0),
        io_operations: operations.unwrap_or(0),
        memory,
        with_swap: stats.swap.map_or(0, |swap| swap + memory),
        kernel: stats.kernel_memory.unwrap_or(0),
        name,
    }
}

fn value(s: &Sample) -> serde_json::Value {
    json!({
        "name": s.name, "cpu_ns": s.cpu_ns, "cpu_system_ticks": s.system, "cpu_user_ticks": s.user,
        "io_bytes": s.io_bytes, "io_operations": s.io_operations, "memory": s.memory,
        "memory_and_swap": s.with_swap, "kernel_memory": s.kernel,
    })
}

fn short(bytes: u64) -> String {
    match bytes {
        0..=1023 => format!("{bytes}.00"),
        1024..=1_048_575 => format!("{:.2} KiB", bytes as f64 / 1024.0),
        1_048_576..=1_073_741_823 => format!("{:.2} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// The screen: redrawn every `delay`, or at a key.
fn screen(mut top: Top, lxcpaths: &[PathBuf], delay: Duration) -> Outcome {
    let stdin = std::io::stdin();
    let _raw = rlxc::terminal::RawMode::enter(std::os::fd::AsFd::as_fd(&stdin))
        .map_err(|error| Failure::new(format!("Failed to setup terminal: {error}")))?;
    loop {
        let size = rlxc_sys::tty::window_size(std::os::fd::AsFd::as_fd(&stdin)).ok();
        let rows = size.map_or(24, |size| usize::from(size.rows));
        let samples = top.samples(lxcpaths)?;
        draw(&samples, rows)?;
        let until = Instant::now() + delay;
        match key_until(until) {
            Some(b'q' | 3) => {
                write!(std::io::stdout(), "\r\n")?;
                return Ok(0);
            }
            Some(b'r') => top.reverse = !top.reverse,
            Some(key @ (b'n' | b'c' | b'b' | b'm' | b's' | b'k')) => {
                let key = char::from(key).to_string();
                top.reverse = top.sort == key && !top.reverse;
                top.sort = key;
            }
            _ => {}
        }
    }
}

fn draw(samples: &[Sample], rows: usize) -> std::io::Result<()> {
    let mut text = String::from("\x1b[H\x1b[J");
    let line = |cells: [&str; 6]| {
        let [a, b, c, d, e, f] = cells;
        format!("{a:<18} {b:>12} {c:>12} {d:>12} {e:>36} {f:>10}\r\n")
    };
    text.push_str(&line(["Container", "CPU", "CPU", "CPU", "BlkIO", "Mem"]));
    text.push_str(&line([
        "Name",
        "Used",
        "Sys",
        "User",
        "Total(Read/Write)",
        "Used",
    ]));
    let seconds = |ticks: u64| format!("{:.2}", ticks as f64 / 100.0);
    let row = |s: &Sample, name: &str| {
        let cpu = format!("{:.2}", s.cpu_ns as f64 / 1e9);
        line([
            name,
            &cpu,
            &seconds(s.system),
            &seconds(s.user),
            &short(s.io_bytes),
            &short(s.memory),
        ])
    };
    let shown = samples.len().min(rows.saturating_sub(4));
    let mut total = Sample::default();
    for s in samples {
        total.cpu_ns += s.cpu_ns;
        total.system += s.system;
        total.user += s.user;
        total.io_bytes += s.io_bytes;
        total.memory += s.memory;
    }
    for s in &samples[..shown] {
        text.push_str(&row(s, &safe(&s.name)));
    }
    text.push_str(&row(&total, &format!("TOTAL {shown} of {}", samples.len())));
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A key, or `None` when the time is up.
fn key_until(until: Instant) -> Option<u8> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let stdin = std::io::stdin();
    let left = until.saturating_duration_since(Instant::now());
    let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(1..) => {
            let mut byte = [0];
            match nix::unistd::read(stdin.as_fd(), &mut byte) {
                Ok(1) => Some(byte[0]),
                // The terminal is gone.
                _ => Some(b'q'),
            }
        }
        _ => None,
    }
}
