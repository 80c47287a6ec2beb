//! The session keyring of a container.

use rlxc_config::Config;
use tracing::debug;

use crate::Result;
use crate::lsm::procfs::{Attribute, ProcSelf};

/// What to do, known before the child is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Plan {
    /// A new session keyring (not with `lxc.keyring.session = 1`)
    pub new_session: bool,
    /// SELinux context of the keyring: `lxc.selinux.context.keyring`, else `lxc.selinux.context`
    pub selinux_context: Option<String>,
}

impl Plan {
    /// The plan for `config`.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let selinux = &config.selinux;
        Self {
            new_session: !config.no_session_keyring,
            selinux_context: selinux
                .context_keyring
                .clone()
                .or_else(|| selinux.context.clone()),
        }
    }
}

/// Joins a new session keyring, made with the SELinux context if SELinux is active. The caller must be single-threaded;
/// a child of a multi-threaded process uses [`rlxc_sys::keyring::join_new_session`].
///
/// As in LXC a kernel or policy without keyrings is only logged.
///
/// # Errors
/// When the SELinux context cannot be set.
pub fn new_session(plan: &Plan) -> Result<()> {
    if !plan.new_session {
        return Ok(());
    }
    if let Some(context) = &plan.selinux_context
        && crate::lsm::selinux::enabled()
    {
        ProcSelf::open()?.write(Attribute::SelinuxKeyCreate, context)?;
    }
    if let Err(error) = rlxc_sys::keyring::join_new_session() {
        debug!(%error, "no new session keyring");
    }
    Ok(())
}
