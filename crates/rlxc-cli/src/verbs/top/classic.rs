//! LXC's own screen: two header lines, a row a container, a line of totals.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rlxc::terminal::RawMode;

use super::Top;
use super::sample::{Sample, Wanted};
use crate::context::{Failure, Outcome};
use crate::output::safe;

/// Redrawn every `delay`, or at a key.
pub(super) fn screen(mut top: Top, lxcpaths: &[PathBuf], delay: Duration) -> Outcome {
    let stdin = std::io::stdin();
    let raw = RawMode::enter(stdin.as_fd())
        .map_err(|error| Failure::new(format!("Failed to setup terminal: {error}")))?;
    // RawMode gives back what it found when this function ends, not when a signal ends the program.
    let again = Mutex::new(Some(raw));
    let again = Arc::new(again);
    let (leave, enter) = (Arc::clone(&again), Arc::clone(&again));
    super::signals::watch(
        move || drop(leave.lock().ok().and_then(|mut raw| raw.take())),
        move || {
            if let Ok(mut raw) = enter.lock() {
                *raw = RawMode::enter(std::io::stdin().as_fd()).ok();
            }
        },
    );
    loop {
        let size = rlxc_sys::tty::window_size(stdin.as_fd()).ok();
        let rows = size.map_or(24, |size| usize::from(size.rows));
        let samples = top.samples(lxcpaths, Wanted::Classic)?;
        let mut out = std::io::stdout().lock();
        out.write_all(draw(&samples, rows).as_bytes())?;
        out.flush()?;
        drop(out);
        match key_until(Instant::now() + delay) {
            Some(b'q' | 3) => {
                write!(std::io::stdout(), "\r\n")?;
                drop(again.lock().ok().and_then(|mut raw| raw.take()));
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

type Figure = fn(&Sample) -> Option<u64>;

/// A size in LXC's ten columns, cut and not rounded.
fn size(bytes: u64) -> String {
    let of = |shift: u32, unit: &str| {
        let rest = ((bytes & ((1 << shift) - 1)) * 100) >> shift;
        format!("{:>3}.{rest:02} {unit}", bytes >> shift)
    };
    match bytes {
        0..=1023 => format!("{bytes:>3}.00   "),
        1024..=1_048_575 => of(10, "KiB"),
        1_048_576..=1_073_741_823 => of(20, "MiB"),
        _ => of(30, "GiB"),
    }
}

fn draw(samples: &[Sample], rows: usize) -> String {
    let total = total(samples);
    // Columns that the kernel has no figures for are left out.
    let mut extra: Vec<(&str, Figure)> = Vec::new();
    if samples.is_empty() || total.with_swap.is_some() {
        extra.push(("MemSw", |s| s.with_swap));
    }
    if samples.is_empty() || total.kernel.is_some() {
        extra.push(("KMem", |s| s.kernel));
    }
    let header = |cells: [&str; 6], last: &dyn Fn(&str) -> String| {
        let [a, b, c, d, e, f] = cells;
        let more: String = extra
            .iter()
            .map(|(label, _)| format!(" {:>10}", last(label)))
            .collect();
        format!("{a:<18} {b:>12} {c:>12} {d:>12} {e:>36} {f:>10}{more}\r\n")
    };
    let mut text = String::from("\x1b[H\x1b[J");
    let first = ["Container", "CPU", "CPU", "CPU", "BlkIO", "Mem"];
    text.push_str(&header(first, &str::to_owned));
    let second = ["Name", "Used", "Sys", "User", "Total(Read/Write)", "Used"];
    text.push_str(&header(second, &|_| "Used".to_owned()));
    let seconds = |ticks: u64| ticks as f64 / 100.0;
    let row = |s: &Sample, name: &str| {
        let more: String = extra
            .iter()
            .map(|(_, value)| format!(" {:>10}", size(value(s).unwrap_or(0))))
            .collect();
        let io = format!(
            "{}({}/{})",
            size(s.io_read + s.io_write),
            size(s.io_read),
            size(s.io_write)
        );
        format!(
            "{name:<18.18} {:>12.2} {:>12.2} {:>12.2} {io:>36} {:>10}{more}\r\n",
            s.cpu_ns as f64 / 1e9,
            seconds(s.system),
            seconds(s.user),
            size(s.memory)
        )
    };
    let shown = samples.len().min(rows.saturating_sub(4));
    for s in &samples[..shown] {
        text.push_str(&row(s, &safe(&s.name)));
    }
    text.push_str(&row(&total, &format!("TOTAL {shown} of {}", samples.len())));
    // The last line must not scroll the first one away.
    text.truncate(text.len() - 2);
    text
}

fn total(samples: &[Sample]) -> Sample {
    let mut total = Sample::default();
    let add = |to: &mut Option<u64>, value: Option<u64>| {
        if let Some(value) = value {
            *to = Some(to.unwrap_or(0) + value);
        }
    };
    for s in samples {
        total.cpu_ns += s.cpu_ns;
        total.system += s.system;
        total.user += s.user;
        total.io_read += s.io_read;
        total.io_write += s.io_write;
        total.memory += s.memory;
        add(&mut total.with_swap, s.with_swap);
        add(&mut total.kernel, s.kernel);
    }
    total
}

/// A key, or `None` when the time is up.
fn key_until(until: Instant) -> Option<u8> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_stand_in_ten_columns() {
        assert_eq!(size(0), "  0.00   ");
        assert_eq!(size(1023), "1023.00   ");
        assert_eq!(size(434_176), "424.00 KiB");
        assert_eq!(size(1_845_493), "  1.75 MiB");
        assert_eq!(size(3 << 30), "  3.00 GiB");
    }

    #[test]
    fn the_screen_is_lxcs() {
        let sample = Sample {
            name: "web".into(),
            cpu_ns: 1_500_000_000,
            memory: 2 << 20,
            kernel: Some(1024),
            ..Sample::default()
        };
        let text = draw(&[sample], 24);
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert!(lines[0].ends_with("       Mem       KMem"), "{text:?}");
        assert_eq!(
            lines[2],
            "web                        1.50         0.00         0.00         0.00   (  0.00   /  0.00   )   2.00 MiB   1.00 KiB"
        );
        assert!(lines[3].starts_with("TOTAL 1 of 1 "), "{text:?}");
    }
}
