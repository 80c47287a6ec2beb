//! One look at what a container uses.

use std::path::{Path, PathBuf};

use rlxc::{Container, State, list_active};
use serde_json::{Value, json};

use crate::context::Failure;

/// How much is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// What LXC's screen shows: one question to the monitor
    Classic,
    /// State, network and processes too
    All,
}

/// What a container has used so far, and uses now.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) lxcpath: PathBuf,
    pub(super) state: Option<State>,
    pub(super) cpu_ns: u64,
    /// In clock ticks of 10 ms
    pub(super) system: u64,
    pub(super) user: u64,
    pub(super) io_read: u64,
    pub(super) io_write: u64,
    pub(super) io_operations: u64,
    pub(super) memory: u64,
    pub(super) swap: Option<u64>,
    pub(super) with_swap: Option<u64>,
    pub(super) kernel: Option<u64>,
    pub(super) pids: Option<u64>,
    /// Shares of the last ten seconds in which something waited: cpu, memory, io
    pub(super) pressure: [Option<f64>; 3],
    /// Bytes received and sent by all interfaces but lo
    pub(super) net: Option<(u64, u64)>,
}

/// All running containers below the lxcpaths, in no order. One whose monitor does not answer is
/// left out.
pub(super) fn all(lxcpaths: &[PathBuf], wanted: Wanted) -> Result<Vec<Sample>, Failure> {
    let mut samples = Vec::new();
    for lxcpath in lxcpaths {
        for name in list_active(lxcpath)? {
            samples.extend(one(lxcpath, &name, wanted));
        }
    }
    Ok(samples)
}

fn one(lxcpath: &Path, name: &str, wanted: Wanted) -> Option<Sample> {
    let container = Container::without_config(name, Some(lxcpath)).ok()?;
    let read = container.cgroup_reader().ok()?;
    let mut sample = Sample {
        name: name.to_owned(),
        lxcpath: lxcpath.to_owned(),
        ..Sample::default()
    };
    sample.read(&read);
    if wanted == Wanted::All {
        sample.state = container.state().ok();
        let pid = container.init_pid().ok().flatten();
        sample.net = pid.and_then(traffic);
    }
    Some(sample)
}

impl Sample {
    fn read(&mut self, read: &impl Fn(&str) -> Option<String>) {
        let stats = rlxc::Stats::read(read);
        let field = |file: &str, key: &str| {
            let text = read(file)?;
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok())
        };
        // cpu.stat counts microseconds, a clock tick is 10 ms.
        let v2 = |key| field("cpu.stat", key).map(|us| us / 10_000);
        self.cpu_ns = stats.cpu_ns.unwrap_or(0);
        self.system = field("cpuacct.stat", "system ")
            .or_else(|| v2("system_usec "))
            .unwrap_or(0);
        self.user = field("cpuacct.stat", "user ")
            .or_else(|| v2("user_usec "))
            .unwrap_or(0);
        self.io_read = stats.io_read.unwrap_or(0);
        self.io_write = stats.io_write.unwrap_or(0);
        self.io_operations = operations(read).unwrap_or(0);
        self.memory = stats.memory.unwrap_or(0);
        self.swap = stats.swap;
        self.with_swap = stats.swap.map(|swap| swap + self.memory);
        self.kernel = stats.kernel_memory;
        self.pids = stats.pids;
        let waiting = |kind: &str| stats.pressure.get(kind).map(|p| p.some.avg10);
        self.pressure = [waiting("cpu"), waiting("memory"), waiting("io")];
    }

    /// All of it for machines.
    pub(super) fn value(&self) -> Value {
        json!({
            "name": self.name,
            "lxcpath": self.lxcpath.to_string_lossy(),
            "state": self.state.map(State::name),
            "cpu_ns": self.cpu_ns,
            "cpu_system_ticks": self.system,
            "cpu_user_ticks": self.user,
            "io_bytes": self.io_read + self.io_write,
            "io_read_bytes": self.io_read,
            "io_write_bytes": self.io_write,
            "io_operations": self.io_operations,
            "memory": self.memory,
            "swap": self.swap,
            "memory_and_swap": self.with_swap,
            "kernel_memory": self.kernel,
            "pids": self.pids,
            "net_received_bytes": self.net.map(|(received, _)| received),
            "net_sent_bytes": self.net.map(|(_, sent)| sent),
            "pressure_cpu": self.pressure[0],
            "pressure_memory": self.pressure[1],
            "pressure_io": self.pressure[2],
        })
    }
}

fn operations(read: &impl Fn(&str) -> Option<String>) -> Option<u64> {
    let v1 = [
        "blkio.throttle.io_serviced_recursive",
        "blkio.throttle.io_serviced",
    ];
    if let Some(text) = v1.iter().find_map(|file| read(file)) {
        let total = |line: &str| line.strip_prefix("Total ")?.trim().parse().ok();
        return text.lines().find_map(total);
    }
    let text = read("io.stat")?;
    let counts = text.split_ascii_whitespace().filter_map(|word| {
        let count = word.strip_prefix("rios=").or(word.strip_prefix("wios="))?;
        count.parse::<u64>().ok()
    });
    Some(counts.sum())
}

/// The counters of the network namespace that `pid` is in.
fn traffic(pid: i32) -> Option<(u64, u64)> {
    parse_traffic(&std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?)
}

fn parse_traffic(table: &str) -> Option<(u64, u64)> {
    let mut sums = (0_u64, 0_u64);
    for line in table.lines().skip(2) {
        let (name, counters) = line.split_once(':')?;
        if name.trim() == "lo" {
            continue;
        }
        let number = |at| {
            counters
                .split_ascii_whitespace()
                .nth(at)?
                .parse::<u64>()
                .ok()
        };
        sums.0 = sums.0.saturating_add(number(0)?);
        sums.1 = sums.1.saturating_add(number(8)?);
    }
    Some(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_that_of_all_interfaces_but_the_loopback() {
        let table = "Inter-|   Receive  |  Transmit\n face |bytes packets\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  eth0: 100 2 0 0 0 0 0 0 50 1 0 0 0 0 0 0\n  eth1: 1 2 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n";
        assert_eq!(parse_traffic(table), Some((101, 52)));
        assert_eq!(parse_traffic("a\nb\nbroken"), None);
    }

    #[test]
    fn operations_are_read_in_both_layouts() {
        let of = |file: &'static str, text: &'static str| {
            operations(&move |asked: &str| (asked == file).then(|| text.to_owned()))
        };
        let v1 = "8:0 Read 1\n8:0 Total 3\nTotal 3\n";
        assert_eq!(of("blkio.throttle.io_serviced", v1), Some(3));
        let v2 = "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n8:16 rios=1\n";
        assert_eq!(of("io.stat", v2), Some(8));
    }
}
