//! `lxc.cap.drop` and `lxc.cap.keep` as masks.
//!
//! In the child: [`rlxc_sys::capability::drop_bounding`], [`rlxc_sys::capability::raise_ambient`],
//! [`rlxc_sys::capability::clear_ambient`].

use std::str::FromStr;

use caps::Capability;
use rlxc_config::Capabilities;
use rlxc_sys::capability;

use crate::{Error, Result};

/// A mask of all capabilities up to and including `last`.
#[must_use]
pub fn all_up_to(last: u8) -> u64 {
    if last >= 63 {
        u64::MAX
    } else {
        (1 << (last + 1)) - 1
    }
}

/// The number of a capability as `lxc.cap.*` names it: a name without `cap_`, or a number.
///
/// Numbers above the running kernel's last capability are taken (another kernel may know them) up to 63.
#[must_use]
pub fn number(name: &str) -> Option<u8> {
    if let Ok(number) = name.parse::<u8>() {
        return (number < 64).then_some(number);
    }
    let known = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if !known {
        return None;
    }
    Capability::from_str(&format!("CAP_{}", name.to_ascii_uppercase()))
        .ok()
        .map(|capability| capability.index())
}

/// The name of capability `number` as `lxc.cap.*` writes it; the number where it has no name.
#[must_use]
pub fn name(number: u8) -> String {
    caps::all()
        .into_iter()
        .find(|capability| capability.index() == number)
        .map_or_else(
            || number.to_string(),
            |capability| {
                capability
                    .to_string()
                    .trim_start_matches("CAP_")
                    .to_ascii_lowercase()
            },
        )
}

fn mask(key: &'static str, names: &[String]) -> Result<u64> {
    names.iter().try_fold(0, |mask, name| match number(name) {
        Some(number) => Ok(mask | 1 << number),
        None => Err(Error::UnknownCapability {
            key,
            name: name.clone(),
        }),
    })
}

/// What has to be dropped from the bounding set so that `config` is met, `last` being the kernel's last capability.
///
/// # Errors
/// For an unknown name.
pub fn bounding_drop_mask(config: &Capabilities, last: u8) -> Result<u64> {
    let known = all_up_to(last);
    match &config.keep {
        Some(keep) => Ok(known & !mask("lxc.cap.keep", keep)?),
        None => Ok(known & mask("lxc.cap.drop", &config.drop)?),
    }
}

/// Whether a container with this configuration keeps capability `number` (decides `proc:mixed` and the bare `cgroup`
/// of lxc.mount.auto).
#[must_use]
pub fn keeps(config: &Capabilities, number: u8) -> bool {
    bounding_drop_mask(config, 63).is_ok_and(|dropped| dropped >> number & 1 == 0)
}

/// The ambient set for a process that keeps the capabilities of `permitted` over its setuid: all of them that the
/// bounding set still has.
#[must_use]
pub fn ambient_mask() -> u64 {
    capability::get(0).map_or(0, |sets| sets.permitted & capability::bounding())
}

/// Makes all permitted capabilities that the bounding set has inheritable and ambient, and no others, so that they
/// survive an exec by a non-root uid inside. What the kernel refuses is left out: as in LXC this is a best effort.
///
/// # Errors
/// When the inheritable set cannot be changed.
pub fn raise_all_ambient() -> std::io::Result<()> {
    let wanted = ambient_mask();
    // What is no longer inheritable is no longer ambient either.
    capability::set(capability::Sets {
        inheritable: wanted,
        ..capability::get(0)?
    })?;
    for number in (0..64u8).filter(|number| wanted >> number & 1 == 1) {
        if capability::raise_ambient(1 << number).is_err() {
            break;
        }
    }
    Ok(())
}

/// Undoes [`raise_all_ambient`]: what is executed next as another user than root has no capabilities.
///
/// # Errors
/// When the sets cannot be changed.
pub fn drop_ambient() -> std::io::Result<()> {
    capability::clear_ambient()?;
    capability::set(capability::Sets {
        inheritable: 0,
        ..capability::get(0)?
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn drop(names: &[&str]) -> Capabilities {
        Capabilities {
            drop: names.iter().map(|name| (*name).to_owned()).collect(),
            keep: None,
        }
    }

    #[test]
    fn names_are_lower_case_without_prefix_or_numbers() {
        assert_eq!(number("sys_admin"), Some(21));
        assert_eq!(number("checkpoint_restore"), Some(40));
        assert_eq!(number("63"), Some(63));
        for bad in ["", "SYS_ADMIN", "cap_sys_admin", "64", "-1", "none"] {
            assert_eq!(number(bad), None, "{bad}");
        }
        assert_eq!(name(21), "sys_admin");
        assert_eq!(name(55), "55");
    }

    #[test]
    fn keep_drops_all_others_and_honours_the_last_capability() {
        let keep = Capabilities {
            keep: Some(vec!["chown".into(), "50".into()]),
            drop: vec![],
        };
        assert_eq!(bounding_drop_mask(&keep, 40).unwrap(), all_up_to(40) & !1);
        let none = Capabilities {
            keep: Some(vec![]),
            drop: vec![],
        };
        assert_eq!(bounding_drop_mask(&none, 37).unwrap(), all_up_to(37));
        assert!(!keeps(&none, 21));
    }

    #[test]
    fn numbers_above_the_last_capability_are_passed_over() {
        assert_eq!(
            bounding_drop_mask(&drop(&["sys_time", "50"]), 40).unwrap(),
            1 << 25
        );
        assert!(keeps(&drop(&["sys_time"]), 21));
        assert!(bounding_drop_mask(&drop(&["nonsense"]), 40).is_err());
    }
}
