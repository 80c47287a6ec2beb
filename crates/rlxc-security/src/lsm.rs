//! Linux security modules: which is active, the label for the container's init, labels of processes.

pub mod apparmor;
pub mod procfs;
pub mod selinux;

use std::path::Path;

use rlxc_config::Config;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};
use procfs::{Attribute, ProcSelf};

/// The module that labels containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// AppArmor
    AppArmor,
    /// SELinux
    SeLinux,
    /// None: label keys have no effect, as with LXC's "nop" module
    Nop,
}

impl Kind {
    /// The module active in the running kernel, asked in LXC's order.
    #[must_use]
    pub fn active() -> Self {
        if apparmor::enabled() {
            Self::AppArmor
        } else if selinux::enabled() {
            Self::SeLinux
        } else {
            Self::Nop
        }
    }

    /// `AppArmor`, `SELinux` or `nop`
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AppArmor => "AppArmor",
            Self::SeLinux => "SELinux",
            Self::Nop => "nop",
        }
    }
}

/// The label that the container's init gets, and what was made for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Which module
    pub kind: Kind,
    /// `None`: the label stays as it is
    pub label: Option<String>,
    /// A profile that was generated and loaded
    pub generated: Option<apparmor::Generated>,
}

impl Label {
    fn unchanged(kind: Kind) -> Self {
        Self {
            kind,
            label: None,
            generated: None,
        }
    }
}

/// Chooses the label of a container's init and loads a generated profile. `cgroup_namespace`: whether it has its own.
///
/// Without AppArmor its keys are ignored with a warning in the log, as with LXC: default configurations have them
/// everywhere. A SELinux context is asked for on purpose.
///
/// # Errors
/// When a SELinux context is asked for and SELinux is not active; when AppArmor lacks mount mediation and `lxc.apparmor.allow_incomplete` is not 1, or when the profile does not load.
pub fn prepare(
    name: &str,
    lxcpath: &Path,
    config: &Config,
    cgroup_namespace: bool,
) -> Result<Label> {
    let kind = Kind::active();
    if kind != Kind::SeLinux {
        refuse_contexts(config)?;
    }
    match kind {
        Kind::AppArmor => apparmor::prepare(name, lxcpath, config, cgroup_namespace),
        Kind::SeLinux => Ok(Label {
            label: config.selinux.context.clone(),
            ..Label::unchanged(Kind::SeLinux)
        }),
        Kind::Nop => {
            if let Some(profile) = &config.apparmor.profile
                && profile != "unconfined"
                && profile != "unchanged"
            {
                tracing::warn!(
                    profile,
                    "AppArmor is not active in this kernel: lxc.apparmor.profile has no effect"
                );
            }
            Ok(Label::unchanged(Kind::Nop))
        }
    }
}

fn refuse_contexts(config: &Config) -> Result<()> {
    let selinux = &config.selinux;
    for (key, context) in [
        ("lxc.selinux.context", &selinux.context),
        ("lxc.selinux.context.keyring", &selinux.context_keyring),
    ] {
        if let Some(context) = context {
            return Err(Error::NoSelinux {
                key,
                context: context.clone(),
            });
        }
    }
    Ok(())
}

/// Undoes [`prepare`]: removes a generated profile from the kernel.
///
/// # Errors
/// When apparmor_parser fails.
pub fn cleanup(label: &Label) -> Result<()> {
    label
        .generated
        .as_ref()
        .map_or(Ok(()), apparmor::Generated::remove)
}

/// Sets the label that the calling process gets at its next exec (`on_exec`), or now, through an own procfs.
///
/// # Errors
/// When the label is refused, or the procfs is none.
pub fn set_label(kind: Kind, label: &str, on_exec: bool, proc: &ProcSelf) -> Result<()> {
    match kind {
        Kind::AppArmor => proc.write(
            Attribute::apparmor(on_exec),
            &apparmor::command(label, on_exec),
        ),
        Kind::SeLinux => proc.write(Attribute::selinux(on_exec), label),
        Kind::Nop => Ok(()),
    }
}

/// The label of process `pid`, without AppArmor's mode in parentheses. `None`: no module.
///
/// # Errors
/// When it cannot be read.
pub fn label_of(pid: i32) -> Result<Option<String>> {
    match Kind::active() {
        Kind::Nop => Ok(None),
        Kind::AppArmor => apparmor::label_of(pid).map(Some),
        Kind::SeLinux => selinux::label_of(pid).map(Some),
    }
}
