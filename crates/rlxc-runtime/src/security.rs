//! What the container may not do: prepared by the monitor, applied by its child.

use std::os::fd::OwnedFd;

use rlxc_config::{CAPABILITIES, Capabilities};
use rlxc_sys::process;

use crate::error::{Context, StartError};
use crate::plan::Plan;

/// Policies, read and compiled.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// Capabilities to take out of the bounding set.
    dropped: Vec<u32>,
}

impl Prepared {
    /// Reads and checks everything before anything is created.
    pub(crate) fn new(plan: &Plan) -> Result<Self, StartError> {
        Ok(Self {
            dropped: dropped(&plan.config.caps, last_capability())?,
        })
    }

    /// A session keyring of the container's own. Kernels without keyrings, and sandboxes that
    /// refuse the call, go without.
    pub(crate) fn join_session_keyring(&self, plan: &Plan) -> Result<(), StartError> {
        if !plan.config.no_session_keyring
            && let Err(error) = process::join_session_keyring()
        {
            tracing::info!("no session keyring of its own: {error}");
        }
        Ok(())
    }

    /// Bounding set and no_new_privs, in the order of LXC.
    pub(crate) fn restrict(&self, plan: &Plan) -> Result<(), StartError> {
        for number in &self.dropped {
            let name = CAPABILITIES.get(*number as usize).copied();
            process::drop_from_bounding_set(*number)
                .at("capabilities", name.unwrap_or("a newer capability"))?;
        }
        if plan.config.no_new_privs {
            process::set_no_new_privs().at("lxc.no_new_privs", "prctl")?;
        }
        Ok(())
    }

    pub(crate) fn load_seccomp(&self) -> Result<Option<OwnedFd>, StartError> {
        Ok(None)
    }

    pub(crate) fn restrict_after_ids(&self, _plan: &Plan) -> Result<(), StartError> {
        Ok(())
    }
}

/// The kernel's highest capability.
fn last_capability() -> u32 {
    std::fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(40)
}

/// What `lxc.cap.*` takes away of 0 to `last`; numbers above it are ignored.
fn dropped(caps: &Capabilities, last: u32) -> Result<Vec<u32>, StartError> {
    let number = |key: &str, name: &String| {
        let known = CAPABILITIES.iter().position(|known| known == name);
        let number = known.and_then(|index| u32::try_from(index).ok());
        number.or_else(|| name.parse().ok()).ok_or_else(|| {
            StartError::new(
                "capabilities",
                format!("{key} = {name}"),
                "no such capability",
            )
        })
    };
    match &caps.keep {
        None => {
            let numbers = caps.drop.iter().map(|name| number("lxc.cap.drop", name));
            let numbers = numbers.collect::<Result<Vec<u32>, _>>()?;
            Ok(numbers.into_iter().filter(|n| *n <= last).collect())
        }
        Some(keep) => {
            let kept = keep.iter().map(|name| number("lxc.cap.keep", name));
            let kept = kept.collect::<Result<Vec<u32>, _>>()?;
            Ok((0..=last).filter(|n| !kept.contains(n)).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(drop: &[&str], keep: Option<&[&str]>) -> Capabilities {
        let owned = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        Capabilities {
            drop: owned(drop),
            keep: keep.map(owned),
        }
    }

    #[test]
    fn drop_takes_names_and_numbers() {
        let list = dropped(&caps(&["sys_module", "3", "63"], None), 40);
        assert_eq!(list, Ok(vec![16, 3]));
        assert!(dropped(&caps(&["fly"], None), 40).is_err());
    }

    #[test]
    fn keep_drops_the_rest() {
        let list = dropped(&caps(&[], Some(&["chown", "kill"])), 6);
        assert_eq!(list, Ok(vec![1, 2, 3, 4, 6]));
        assert_eq!(dropped(&caps(&[], Some(&[])), 2), Ok(vec![0, 1, 2]));
    }
}
