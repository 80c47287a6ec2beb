//! Containers over time: what was used between two looks, and how it went on.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Instant;

use super::sample::{self, Sample, Wanted};
use crate::context::Failure;

/// Looks that are remembered for the sparklines.
pub(super) const HISTORY: usize = 120;

/// lxcpath and name.
pub(super) type Key = (PathBuf, String);

/// One container and what it did since the look before.
#[derive(Debug, Clone)]
pub(super) struct Track {
    pub(super) sample: Sample,
    /// Share of one CPU, in percent
    pub(super) cpu: f64,
    /// Bytes a second
    pub(super) io_read: f64,
    pub(super) io_write: f64,
    pub(super) received: f64,
    pub(super) sent: f64,
    /// CPU share in tenths of a percent, memory in KiB, network in bytes a second; newest last
    pub(super) history: [VecDeque<u64>; 3],
    at: Instant,
}

/// All running containers below some lxcpaths.
#[derive(Debug)]
pub(super) struct Watch {
    lxcpaths: Vec<PathBuf>,
    pub(super) tracks: BTreeMap<Key, Track>,
}

impl Watch {
    pub(super) fn new(lxcpaths: &[PathBuf]) -> Self {
        Self {
            lxcpaths: lxcpaths.to_vec(),
            tracks: BTreeMap::new(),
        }
    }

    /// Looks at all of them; those that have ended are forgotten.
    ///
    /// # Errors
    /// The list of running containers cannot be read.
    pub(super) fn look(&mut self) -> Result<(), Failure> {
        let samples = sample::all(&self.lxcpaths, Wanted::All)?;
        self.take(samples, Instant::now());
        Ok(())
    }

    fn take(&mut self, samples: Vec<Sample>, now: Instant) {
        let mut before = std::mem::take(&mut self.tracks);
        for sample in samples {
            let key = (sample.lxcpath.clone(), sample.name.clone());
            let track = match before.remove(&key) {
                Some(track) => track.next(sample, now),
                None => Track::first(sample, now),
            };
            self.tracks.insert(key, track);
        }
    }
}

impl Track {
    fn first(sample: Sample, at: Instant) -> Self {
        let mut track = Self {
            sample,
            cpu: 0.0,
            io_read: 0.0,
            io_write: 0.0,
            received: 0.0,
            sent: 0.0,
            history: Default::default(),
            at,
        };
        track.remember();
        track
    }

    fn next(mut self, sample: Sample, at: Instant) -> Self {
        let seconds = at.duration_since(self.at).as_secs_f64().max(0.001);
        // A container that was started anew counts from zero again.
        let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds;
        let old = &self.sample;
        self.cpu = rate(sample.cpu_ns, old.cpu_ns) / 1e7;
        self.io_read = rate(sample.io_read, old.io_read);
        self.io_write = rate(sample.io_write, old.io_write);
        let net = |s: &Sample| s.net.unwrap_or_default();
        self.received = rate(net(&sample).0, net(old).0);
        self.sent = rate(net(&sample).1, net(old).1);
        self.sample = sample;
        self.at = at;
        self.remember();
        self
    }

    fn remember(&mut self) {
        let now = [
            (self.cpu * 10.0) as u64,
            self.sample.memory >> 10,
            (self.received + self.sent) as u64,
        ];
        for (history, value) in self.history.iter_mut().zip(now) {
            if history.len() == HISTORY {
                history.pop_front();
            }
            history.push_back(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sample(cpu_ns: u64, io_read: u64) -> Sample {
        Sample {
            name: "a".into(),
            cpu_ns,
            io_read,
            net: Some((io_read, 0)),
            ..Sample::default()
        }
    }

    #[test]
    fn rates_are_what_was_used_between_two_looks() {
        let mut watch = Watch::new(&[]);
        let begin = Instant::now();
        watch.take(vec![sample(1_000_000_000, 100)], begin);
        let second = sample(2_000_000_000, 4100);
        watch.take(vec![second], begin + Duration::from_secs(2));
        let track = watch.tracks.values().next().cloned();
        let Some(track) = track else {
            panic!("the container is gone")
        };
        assert!((track.cpu - 50.0).abs() < 0.01, "{}", track.cpu);
        assert!((track.io_read - 2000.0).abs() < 0.1);
        assert!((track.received - 2000.0).abs() < 0.1);
        assert_eq!(track.history[0], [0, 500]);
    }

    #[test]
    fn a_restarted_container_counts_from_zero_and_an_ended_one_is_forgotten() {
        let mut watch = Watch::new(&[]);
        let begin = Instant::now();
        watch.take(vec![sample(9_000_000_000, 0)], begin);
        watch.take(vec![sample(1_000_000, 0)], begin + Duration::from_secs(1));
        let cpu = watch.tracks.values().next().map(|t| t.cpu);
        assert_eq!(cpu, Some(0.0));
        watch.take(Vec::new(), begin + Duration::from_secs(2));
        assert!(watch.tracks.is_empty());
    }
}
