//! What a monitor tells the process that started it: one JSON line an event.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::StartError;

/// How long a step took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// The step.
    pub step: String,
    /// Its duration.
    pub duration: Duration,
}

/// An event of a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The spawned process has cloned the monitor, a child of the caller's too, and ended.
    Monitor(i32),
    /// Init has been executed.
    Running {
        /// The monitor's pid.
        monitor: i32,
        /// Init's pid.
        init: i32,
        /// All steps in order.
        timings: Vec<Timing>,
    },
    /// The start failed and has been undone.
    Failed(StartError),
    /// The container ended.
    Ended {
        /// The raw wait status of its init.
        status: i32,
        /// The monitor's cgroups, to be removed when it has ended.
        cgroups: Vec<PathBuf>,
    },
}

/// The monitor's end.
#[derive(Debug)]
pub(crate) struct Reporter(std::fs::File);

impl Reporter {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self(fd.into())
    }

    /// Sends a report. Whether there is still somebody to read it.
    pub(crate) fn send(&mut self, report: &Report) -> bool {
        let Ok(mut line) = serde_json::to_vec(report) else {
            return false;
        };
        line.push(b'\n');
        self.0.write_all(&line).is_ok()
    }
}

/// The caller's end.
#[derive(Debug)]
pub(crate) struct Reports(BufReader<std::fs::File>);

impl Reports {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self(BufReader::new(fd.into()))
    }

    /// The next report; `None` when the monitor is gone or wants to say no more.
    pub(crate) fn next(&mut self) -> Option<Report> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => serde_json::from_slice(line.as_bytes()).ok(),
        }
    }
}

impl std::os::fd::AsFd for Reporter {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}
