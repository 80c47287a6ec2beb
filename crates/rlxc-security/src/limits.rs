//! `lxc.prlimit.*`, the OOM score and core scheduling.
//!
//! In the child: [`rlxc_sys::limits::core_sched_create`] and friends.

use std::fs;

use rlxc_sys::limits::{UNLIMITED, set_limit};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The names of getrlimit(2)'s resources, as `lxc.prlimit.<name>` writes them.
pub const RESOURCES: [(&str, u32); 16] = [
    ("as", 9),
    ("core", 4),
    ("cpu", 0),
    ("data", 2),
    ("fsize", 1),
    ("locks", 10),
    ("memlock", 8),
    ("msgqueue", 12),
    ("nice", 13),
    ("nofile", 7),
    ("nproc", 6),
    ("rss", 5),
    ("rtprio", 14),
    ("rttime", 15),
    ("sigpending", 11),
    ("stack", 3),
];

/// One limit, ready to be set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// As configured
    pub name: String,
    /// RLIMIT_*
    pub resource: u32,
    /// Soft limit, [`u64::MAX`] = none
    pub soft: u64,
    /// Hard limit, [`u64::MAX`] = none
    pub hard: u64,
}

/// The number of a resource named in a key: one of [`RESOURCES`] or a number.
#[must_use]
pub fn resource(name: &str) -> Option<u32> {
    let by_name = RESOURCES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number);
    by_name.or_else(|| name.parse().ok().filter(|number| *number < 64))
}

/// Resolves the names of `lxc.prlimit.*`.
///
/// # Errors
/// For a name that is no resource, and a soft limit above the hard one.
pub fn parse(limits: &[(String, Option<u64>, Option<u64>)]) -> Result<Vec<Limit>> {
    let parse_one = |(name, soft, hard): &(String, Option<u64>, Option<u64>)| {
        let limit = Limit {
            name: name.clone(),
            resource: resource(name).ok_or_else(|| Error::UnknownLimit { name: name.clone() })?,
            soft: soft.unwrap_or(UNLIMITED),
            hard: hard.unwrap_or(UNLIMITED),
        };
        match limit.soft > limit.hard {
            true => Err(Error::SoftAboveHard { name: name.clone() }),
            false => Ok(limit),
        }
    };
    limits.iter().map(parse_one).collect()
}

/// Sets all limits of process `pid` (0 = the caller).
///
/// # Errors
/// The first limit that is refused.
pub fn apply(pid: i32, limits: &[Limit]) -> Result<()> {
    limits.iter().try_for_each(|limit| {
        set_limit(pid, limit.resource, limit.soft, limit.hard).map_err(|source| Error::SetLimit {
            name: limit.name.clone(),
            source,
        })
    })
}

/// Sets the OOM score adjustment (-1000 … 1000) of process `pid`.
///
/// # Errors
/// `EACCES` when it would shrink without CAP_SYS_RESOURCE.
///
/// # References
/// proc_pid_oom_score_adj(5)
pub fn set_oom_score_adj(pid: i32, score: i16) -> Result<()> {
    let path = format!("/proc/{pid}/oom_score_adj");
    fs::write(&path, score.to_string()).map_err(|source| Error::Write {
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_numbers_and_unlimited() {
        let parsed = parse(&[("nofile".into(), Some(10), None), ("6".into(), None, None)]).unwrap();
        assert_eq!(
            (parsed[0].resource, parsed[0].soft, parsed[0].hard),
            (7, 10, u64::MAX)
        );
        assert_eq!(parsed[1].resource, 6);
        assert!(parse(&[("files".into(), None, None)]).is_err());
    }

    #[test]
    fn applied_limits_are_seen_by_the_kernel() {
        let (soft, hard) = rlxc_sys::limits::limit(0, 4).unwrap();
        apply(0, &parse(&[("core".into(), Some(0), Some(hard))]).unwrap()).unwrap();
        assert_eq!(rlxc_sys::limits::limit(0, 4).unwrap(), (0, hard));
        apply(
            0,
            &parse(&[("core".into(), Some(soft), Some(hard))]).unwrap(),
        )
        .unwrap();
    }
}
