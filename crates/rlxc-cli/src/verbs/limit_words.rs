//! Limits in words: `memory=2G`, `cpu=150%`, `pids=500`, for whichever cgroup version the host has.

use crate::context::Failure;

/// The keys that a word stands for, with their values; `None`: it is no such word. An empty value
/// clears them.
pub(crate) fn keys(word: &str, value: &str) -> Result<Option<Vec<(String, String)>>, Failure> {
    // Only the root of a cgroup2 file system has this file, and only there in a pure layout.
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    pairs(word, value, unified)
}

fn pairs(word: &str, value: &str, unified: bool) -> Result<Option<Vec<(String, String)>>, Failure> {
    let bad = |wanted: &str| {
        Failure::new(format!("{word}={value} is no limit")).remedy(format!("write {wanted}"))
    };
    let limit = match (word, value) {
        ("memory" | "cpu" | "pids", "" | "max" | "none") => None,
        ("memory", _) => {
            Some(bytes(value).ok_or_else(|| bad("a size, as memory=512M or memory=2G"))?)
        }
        ("cpu", _) => {
            Some(quota(value).ok_or_else(|| bad("a share of one CPU, as cpu=50% or cpu=1.5"))?)
        }
        ("pids", _) => Some(value.parse().map_err(|_| bad("a number, as pids=500"))?),
        _ => return Ok(None),
    };
    let clears = value.is_empty();
    let text = |without: &str| match (clears, limit) {
        (true, _) => String::new(),
        (false, None) => without.to_owned(),
        (false, Some(number)) => number.to_string(),
    };
    let key = |file: &str| match unified {
        true => format!("lxc.cgroup2.{file}"),
        false => format!("lxc.cgroup.{file}"),
    };
    Ok(Some(match (word, unified) {
        ("memory", true) => vec![(key("memory.max"), text("max"))],
        ("memory", false) => vec![(key("memory.limit_in_bytes"), text("-1"))],
        ("pids", _) => vec![(key("pids.max"), text("max"))],
        (_, true) => {
            let quota = text("max");
            let whole = if clears {
                quota
            } else {
                format!("{quota} {PERIOD}")
            };
            vec![(key("cpu.max"), whole)]
        }
        (_, false) => {
            let period = if clears {
                String::new()
            } else {
                PERIOD.to_string()
            };
            vec![
                (key("cpu.cfs_period_us"), period),
                (key("cpu.cfs_quota_us"), text("-1")),
            ]
        }
    }))
}

/// The kernel's own period, in microseconds.
const PERIOD: u64 = 100_000;

fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_lowercase();
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    let number: f64 = digits.parse().ok()?;
    let size = number * (1_u64 << shift) as f64;
    (1.0..9e18).contains(&size).then_some(size as u64)
}

/// Microseconds of each period: from a percentage, or a number of CPUs.
fn quota(text: &str) -> Option<u64> {
    let cpus: f64 = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    let quota = cpus * PERIOD as f64;
    // The kernel takes no less than a millisecond.
    (1000.0..1e12)
        .contains(&quota)
        .then_some(quota.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(word: &str, value: &str, unified: bool) -> Vec<String> {
        let found = pairs(word, value, unified)
            .ok()
            .flatten()
            .unwrap_or_default();
        found
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    }

    #[test]
    fn words_stand_for_the_files_of_the_hosts_cgroups() {
        assert_eq!(
            of("memory", "2G", true),
            ["lxc.cgroup2.memory.max=2147483648"]
        );
        assert_eq!(
            of("memory", "512MiB", false),
            ["lxc.cgroup.memory.limit_in_bytes=536870912"]
        );
        assert_eq!(
            of("memory", "max", false),
            ["lxc.cgroup.memory.limit_in_bytes=-1"]
        );
        assert_eq!(of("memory", "", true), ["lxc.cgroup2.memory.max="]);
        assert_eq!(of("cpu", "50%", true), ["lxc.cgroup2.cpu.max=50000 100000"]);
        assert_eq!(
            of("cpu", "1.5", true),
            ["lxc.cgroup2.cpu.max=150000 100000"]
        );
        assert_eq!(
            of("cpu", "150%", false),
            [
                "lxc.cgroup.cpu.cfs_period_us=100000",
                "lxc.cgroup.cpu.cfs_quota_us=150000"
            ]
        );
        assert_eq!(of("pids", "500", true), ["lxc.cgroup2.pids.max=500"]);
        assert_eq!(of("lxc.uts.name", "x", true), [] as [&str; 0]);
    }

    #[test]
    fn what_is_no_limit_is_refused_with_a_hint() {
        for (word, value) in [
            ("memory", "lots"),
            ("memory", "-1"),
            ("cpu", "0%"),
            ("cpu", "x"),
            ("pids", "1.5"),
            ("memory", "nan"),
        ] {
            assert!(pairs(word, value, true).is_err(), "{word}={value}");
        }
    }
}
