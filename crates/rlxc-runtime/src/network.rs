//! The container's links: made by the monitor, finished by the container's first process.

use std::fs::File;
use std::os::fd::AsFd;

use rlxc_config::Namespace;
use rlxc_network::{Container, Context, Created, Inside, Netlink, journal};

use crate::error::{Context as _, StartError};
use crate::hooks::HookContext;
use crate::plan::Plan;

const STEP: &str = "network";

/// What the monitor holds of the container's network while it runs.
#[derive(Debug)]
pub(crate) struct Network {
    created: Created,
    /// Keeps the namespace until its links are taken back; `None` when nothing has to be.
    netns: Option<File>,
}

impl Network {
    /// Makes the links and moves them into the namespace of process `pid`; `None` when the
    /// container has no network namespace of its own.
    pub(crate) fn create(
        plan: &Plan,
        hooks: &HookContext,
        pid: i32,
    ) -> Result<Option<Self>, StartError> {
        let nics = &plan.config.net;
        if !plan.namespaces.clone.contains(Namespace::Net) || nics.is_empty() {
            return Ok(None);
        }
        let path = format!("/proc/{pid}/ns/net");
        let netns = File::open(&path).at(STEP, &path)?;
        let mut netlink = Netlink::open().at(STEP, "netlink")?;
        let container = Container {
            netns: netns.as_fd(),
            pid,
        };
        let context = context(plan, hooks);
        if context.privileged {
            // What an earlier monitor of this container could not give back.
            for error in journal::recover(&mut netlink, &context) {
                tracing::warn!("network: {error}");
            }
        }
        let keep = |created: &Created| {
            if context.privileged
                && let Err(error) = journal::store(created, &context)
            {
                tracing::warn!("network: {error}: after a crash of the monitor, links stay away");
            }
        };
        let created = rlxc_network::setup_host_with(&mut netlink, nics, container, &context, keep);
        if created.is_err() && context.privileged {
            // All is undone by now, or it stays on record.
            for error in journal::recover_from(&mut netlink, &context, netns.as_fd()) {
                tracing::warn!("network: {error}");
            }
        }
        let created = created.at(STEP, "lxc.net")?;
        let lasting = created.nics.iter().any(|nic| !nic.undo.is_empty());
        Ok(Some(Self {
            created,
            netns: lasting.then_some(netns),
        }))
    }

    /// That of a container that runs already.
    pub(crate) fn adopt(created: Created, pid: i32) -> Result<Option<Self>, StartError> {
        let path = format!("/proc/{pid}/ns/net");
        let netns = File::open(&path).at(STEP, &path)?;
        let lasting = created.nics.iter().any(|nic| !nic.undo.is_empty());
        Ok(Some(Self {
            created,
            netns: lasting.then_some(netns),
        }))
    }

    /// What another monitor would have to know of it.
    pub(crate) fn created(&self) -> &Created {
        &self.created
    }

    /// What the container's first process has to do.
    pub(crate) fn inside(&self) -> &Inside {
        &self.created.inside
    }

    /// Keys whose values were chosen at start: `lxc.net.N.veth.pair`.
    pub(crate) fn chosen_names(&self) -> impl Iterator<Item = (String, String)> {
        self.created.nics.iter().filter_map(|nic| {
            let name = nic.host_name.clone()?;
            Some((format!("lxc.net.{}.veth.pair", nic.index), name))
        })
    }

    /// Takes the links down; `at_once` when their names are needed again.
    pub(crate) fn tear_down(&self, plan: &Plan, hooks: &HookContext, at_once: bool) {
        if !at_once && !self.created.needs_teardown() {
            return;
        }
        let mut netlink = match Netlink::open() {
            Ok(netlink) => netlink,
            Err(error) => return tracing::error!("network: {error}"),
        };
        let context = context(plan, hooks);
        let netns = self.netns.as_ref().map(AsFd::as_fd);
        let errors = if at_once {
            self.created.undo(&mut netlink, &context, netns)
        } else {
            self.created.teardown(&mut netlink, &context, netns)
        };
        if errors.is_empty()
            && self.created.needs_journal()
            && let Err(error) = journal::remove(&context)
        {
            tracing::warn!("network: {error}");
        }
        for error in errors {
            tracing::error!("network: {error}");
        }
    }

    /// The last look, when nobody waits any more.
    pub(crate) fn finish(mut self) {
        self.netns = None;
        let has_links = self.created.nics.iter().any(|nic| !nic.undo.is_empty());
        if !has_links {
            return;
        }
        let finished = Netlink::open().and_then(|mut netlink| self.created.finish(&mut netlink));
        if let Err(error) = finished {
            tracing::warn!("network: {error}");
        }
    }
}

fn context(plan: &Plan, hooks: &HookContext) -> Context {
    Context {
        hook_version: plan.config.hooks.version,
        environment: hooks.environment().to_vec(),
        ..Context::new(plan.name.clone(), plan.lxcpath.clone())
    }
}

/// Names, addresses and routes, in the container's network namespace.
pub(crate) fn set_up_inside(inside: &Inside) -> Result<(), StartError> {
    rlxc_network::setup_inside(inside)
        .at(STEP, "lxc.net")
        .map(drop)
}
