//! `lxc.namespace.share.*`: namespaces that the container takes from elsewhere.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::sched::{CloneFlags, setns};
use rlxc_config::Namespace;
use rlxc_monitor::Client;

use crate::error::{Context, StartError};
use crate::plan::Plan;

const STEP: &str = "shared namespaces";

/// The shared namespaces, opened.
#[derive(Debug, Default)]
pub(crate) struct Shared(Vec<(Namespace, OwnedFd)>);

impl Shared {
    /// Opens each: `/PATH` is a namespace file, a number a pid, anything else a container's name
    /// in the same lxcpath, or `LXCPATH/NAME`.
    pub(crate) fn open(plan: &Plan) -> Result<Self, StartError> {
        let mut shared = Vec::new();
        for (ns, from) in &plan.namespaces.share {
            let key = format!("lxc.namespace.share.{} = {from}", ns.name());
            let path = path(plan, *ns, from, &key)?;
            let file = File::open(&path).at(STEP, format!("{key} ({})", path.display()))?;
            shared.push((*ns, file.into()));
        }
        // The user namespace first: it gives the rights over the others.
        shared.sort_by_key(|(ns, _)| *ns);
        Ok(Self(shared))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Enters all of them; the pid and time namespaces count for children only.
    pub(crate) fn enter(&self) -> Result<(), StartError> {
        for (ns, fd) in &self.0 {
            let flag = i32::try_from(ns.clone_flag()).unwrap_or(0);
            setns(fd, CloneFlags::from_bits_retain(flag))
                .at(STEP, format!("lxc.namespace.share.{}", ns.name()))?;
        }
        Ok(())
    }
}

fn path(plan: &Plan, ns: Namespace, from: &str, key: &str) -> Result<PathBuf, StartError> {
    let of_pid = |pid: i32| PathBuf::from(format!("/proc/{pid}/ns/{}", ns.name()));
    if let Ok(pid) = from.parse::<i32>() {
        return Ok(of_pid(pid));
    }
    if from.starts_with('/') && std::path::Path::new(from).is_file() {
        return Ok(from.into());
    }
    let client = match from.rsplit_once('/') {
        Some((lxcpath, name)) => Client::new(lxcpath, name),
        None => Client::new(&plan.lxcpath, from),
    };
    client
        .init_pid()
        .at(STEP, key)
        .map(of_pid)
        .map_err(|error| {
            error
                .remedy("name a running container, a pid, or the absolute path of a namespace file")
        })
}
