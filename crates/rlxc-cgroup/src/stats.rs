//! A container's resource use, for `info`, `top` and JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Resource use; `None` is what the kernel does not tell in this layout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// CPU time used, in nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Memory with page cache, in bytes.
    pub memory: Option<u64>,
    /// The kernel's memory for the container, in bytes.
    pub kernel_memory: Option<u64>,
    /// Swap, in bytes.
    pub swap: Option<u64>,
    /// Bytes read from block devices.
    pub io_read: Option<u64>,
    /// Bytes written to block devices.
    pub io_write: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Pressure of `cpu`, `memory` and `io` (cgroup2 only).
    pub pressure: BTreeMap<String, Pressure>,
}

/// A pressure file: how much of the time was spent waiting for the resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// When some task waited.
    #[serde(flatten)]
    pub some: Waiting,
    /// When all tasks waited; older kernels do not tell it for `cpu`.
    pub full: Option<Waiting>,
}

/// One line of a pressure file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// Share of the last 10 seconds, in percent.
    pub avg10: f64,
    /// The same for 60 seconds.
    pub avg60: f64,
    /// The same for 300 seconds.
    pub avg300: f64,
    /// All the time so far, in microseconds.
    pub total_us: u64,
}

impl Stats {
    /// Reads through `read`, which gives a cgroup file's text or `None`: v1 and v2 file names never
    /// clash, so one pass serves all layouts.
    pub fn read(read: impl Fn(&str) -> Option<String>) -> Self {
        let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
        let flat = |file: &str, key: &str| field(&read(file)?, key);
        let memory = number("memory.usage_in_bytes");
        let with_swap = number("memory.memsw.usage_in_bytes");
        let swap = with_swap
            .zip(memory)
            .map(|(all, own)| all.saturating_sub(own));
        let usage = || flat("cpu.stat", "usage_usec").map(|us| us.saturating_mul(1000));
        let io = |letter: &str, word: &str| {
            let files = [
                "blkio.throttle.io_service_bytes_recursive",
                "blkio.throttle.io_service_bytes",
            ];
            let v2 = read("io.stat").map(|text| sum_pairs(&text, letter));
            v2.or_else(|| Some(sum_words(&files.iter().find_map(|f| read(f))?, word)))
        };
        let kinds = ["cpu", "memory", "io"].into_iter();
        Self {
            cpu_ns: number("cpuacct.usage").or_else(usage),
            memory: memory.or_else(|| number("memory.current")),
            kernel_memory: number("memory.kmem.usage_in_bytes")
                .or_else(|| flat("memory.stat", "kernel")),
            swap: swap.or_else(|| number("memory.swap.current")),
            io_read: io("rbytes=", "Read"),
            io_write: io("wbytes=", "Write"),
            pids: number("pids.current"),
            pressure: kinds
                .filter_map(|kind| {
                    Some((
                        kind.to_owned(),
                        pressure(&read(&format!("{kind}.pressure"))?)?,
                    ))
                })
                .collect(),
        }
    }
}

/// `key value` lines.
fn field(text: &str, key: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix(key)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

/// `8:0 rbytes=1 wbytes=2 …` lines.
fn sum_pairs(text: &str, key: &str) -> u64 {
    let values = text
        .split_ascii_whitespace()
        .filter_map(|w| w.strip_prefix(key)?.parse().ok());
    values.fold(0, u64::saturating_add)
}

/// `8:0 Read 1` lines.
fn sum_words(text: &str, word: &str) -> u64 {
    let values = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        (words.next()? == word).then(|| words.next()?.parse().ok())?
    });
    values.fold(0, u64::saturating_add)
}

fn pressure(text: &str) -> Option<Pressure> {
    Some(Pressure {
        some: waiting(text, "some ")?,
        full: waiting(text, "full "),
    })
}

fn waiting(text: &str, kind: &str) -> Option<Waiting> {
    let line = text.lines().find_map(|l| l.strip_prefix(kind))?;
    let value = |key: &str| {
        line.split(' ')
            .find_map(|w| w.strip_prefix(key)?.strip_prefix('='))
    };
    Some(Waiting {
        avg10: value("avg10")?.parse().ok()?,
        avg60: value("avg60")?.parse().ok()?,
        avg300: value("avg300")?.parse().ok()?,
        total_us: value("total")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Stats {
        Stats::read(|name| {
            files
                .iter()
                .find(|(f, _)| *f == name)
                .map(|(_, t)| (*t).to_owned())
        })
    }

    #[test]
    fn unified_files_are_read() {
        let stats = read(&[
            ("cpu.stat", "usage_usec 12\nuser_usec 1\n"),
            ("memory.current", "4096\n"),
            ("memory.stat", "anon 1\nkernel_stack 3\nkernel 7\n"),
            (
                "io.stat",
                "8:0 rbytes=1 wbytes=2 rios=1\n8:16 rbytes=10 wbytes=20\n",
            ),
            (
                "cpu.pressure",
                "some avg10=1.50 avg60=0.00 avg300=0.25 total=99\n",
            ),
            (
                "io.pressure",
                "some avg10=0.10 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.05 avg60=0.00 avg300=0.00 total=3\n",
            ),
        ]);
        assert_eq!(
            (stats.cpu_ns, stats.memory, stats.kernel_memory),
            (Some(12_000), Some(4096), Some(7))
        );
        assert_eq!(
            (stats.io_read, stats.io_write, stats.pids),
            (Some(11), Some(22), None)
        );
        let (cpu, io) = (stats.pressure["cpu"], stats.pressure["io"]);
        assert_eq!((cpu.some.total_us, cpu.full), (99, None));
        assert_eq!(
            io.full.map(|full| (full.avg10, full.total_us)),
            Some((0.05, 3))
        );
    }

    #[test]
    fn v1_files_are_read_and_rubbish_is_none() {
        let stats = read(&[
            ("cpuacct.usage", "5\n"),
            ("memory.usage_in_bytes", "10\n"),
            ("memory.memsw.usage_in_bytes", "14\n"),
            (
                "blkio.throttle.io_service_bytes",
                "8:0 Read 3\n8:0 Write 4\nTotal 7\n",
            ),
            ("pids.current", "x"),
            ("io.pressure", "some avg10=x\n"),
        ]);
        assert_eq!(
            (stats.cpu_ns, stats.swap, stats.io_read, stats.io_write),
            (Some(5), Some(4), Some(3), Some(4))
        );
        assert_eq!(stats.pids, None);
        assert!(stats.pressure.is_empty());
    }
}
