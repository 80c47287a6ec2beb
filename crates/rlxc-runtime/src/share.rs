//! `lxc.namespace.share.*`: namespaces that the container takes from elsewhere.

use std::os::fd::OwnedFd;
use std::path::Path;

use rlxc_config::Namespace;
use rlxc_monitor::Client;

use crate::error::{Context, StartError};
use crate::plan::Plan;

const STEP: &str = "shared namespaces";

/// The shared namespaces, opened.
#[derive(Debug, Default)]
pub(crate) struct Shared(Vec<(Namespace, OwnedFd)>);

impl Shared {
    /// Opens each: a namespace file, a process's, or a running container's.
    pub(crate) fn open(plan: &Plan) -> Result<Self, StartError> {
        if plan.namespaces.share.is_empty() {
            return Ok(Self::default());
        }
        let mut config = plan.config.clone();
        config.idmap.clone_from(&plan.id_maps);
        let choice = rlxc_namespace::choose(&config).at(STEP, "")?;
        let init_pid = |lxcpath: Option<&Path>, name: &str| {
            let lxcpath = lxcpath.unwrap_or(&plan.lxcpath);
            Client::new(lxcpath, name).init_pid().ok()
        };
        let opened = rlxc_namespace::share::open_shared(&choice, init_pid);
        opened.map(Self).at(STEP, "lxc.namespace.share")
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Enters all of them; the pid and time namespaces count for children only.
    pub(crate) fn enter(&self) -> Result<(), StartError> {
        rlxc_namespace::share::enter(&self.0).at(STEP, "lxc.namespace.share")
    }
}
