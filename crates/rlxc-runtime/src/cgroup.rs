//! The container's cgroups.

use std::os::fd::OwnedFd;

use crate::error::StartError;
use crate::plan::Plan;

/// The monitor's and the container's cgroups.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {}

impl Cgroups {
    pub(crate) fn create(&mut self, _plan: &Plan) -> Result<(), StartError> {
        Ok(())
    }

    pub(crate) fn born_inside(&self) -> bool {
        false
    }

    pub(crate) fn birth_place(&self) -> Option<OwnedFd> {
        None
    }

    pub(crate) fn enter(&mut self, _plan: &Plan, _pid: i32) -> Result<(), StartError> {
        Ok(())
    }

    pub(crate) fn thaw(&self) {}

    pub(crate) fn path(&self, _controller: Option<&str>) -> Option<String> {
        None
    }

    pub(crate) fn destroy(&mut self) {}
}
