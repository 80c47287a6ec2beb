//! What the container may not do: prepared by the monitor, applied by its child.

use std::os::fd::OwnedFd;

use crate::error::StartError;
use crate::plan::Plan;

/// Policies, read and compiled.
#[derive(Debug, Default)]
pub(crate) struct Prepared {}

impl Prepared {
    pub(crate) fn new(_plan: &Plan) -> Result<Self, StartError> {
        Ok(Self {})
    }

    pub(crate) fn join_session_keyring(&self, _plan: &Plan) -> Result<(), StartError> {
        Ok(())
    }

    pub(crate) fn restrict(&self, _plan: &Plan) -> Result<(), StartError> {
        Ok(())
    }

    pub(crate) fn load_seccomp(&self) -> Result<Option<OwnedFd>, StartError> {
        Ok(None)
    }

    pub(crate) fn restrict_after_ids(&self, _plan: &Plan) -> Result<(), StartError> {
        Ok(())
    }
}
