//! Subordinate ids: /etc/subuid and /etc/subgid.

use std::fs;
use std::io;
use std::path::Path;

use nix::unistd::{Uid, User, getegid, geteuid};
use rlxc_config::{IdKind, IdMap};

use crate::{Error, Result, idmap};

/// A range of subordinate ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First id
    pub first: u32,
    /// How many
    pub count: u32,
}

/// Who asks for maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Effective uid
    pub uid: u32,
    /// Effective gid
    pub gid: u32,
    /// Login name; the number where there is none
    pub name: String,
}

impl Caller {
    /// The calling process.
    #[must_use]
    pub fn current() -> Self {
        let uid = geteuid();
        Self {
            uid: uid.as_raw(),
            gid: getegid().as_raw(),
            name: user_name(uid),
        }
    }
}

fn user_name(uid: Uid) -> String {
    match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

/// The file of one kind of ids.
#[must_use]
pub fn file(kind: IdKind) -> &'static str {
    match kind {
        IdKind::Uid => "/etc/subuid",
        IdKind::Gid => "/etc/subgid",
    }
}

/// The ranges of a user, found by name or by uid number, in the order of the file. No file = none.
///
/// # Errors
/// When the file is there but cannot be read.
pub fn subordinate_ids(caller: &Caller, kind: IdKind) -> Result<Vec<Range>> {
    let path = Path::new(file(kind));
    match fs::read_to_string(path) {
        Ok(text) => Ok(parse(&text, &caller.name, caller.uid)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Read {
            path: path.into(),
            source,
        }),
    }
}

/// The ranges of user `name` or uid `uid` in `text` (lines `OWNER:FIRST:COUNT`); lines that are none are passed over,
/// as newuidmap does.
#[must_use]
pub fn parse(text: &str, name: &str, uid: u32) -> Vec<Range> {
    let number = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            if owner != name && owner != number {
                return None;
            }
            let first = fields.next()?.parse().ok()?;
            let count = fields.next()?.parse().ok()?;
            (count > 0 && fields.next().is_none()).then_some(Range { first, count })
        })
        .collect()
}

/// Checks before anything is started that `caller` may use `maps`: each host range is the caller's own id alone or lies
/// within a delegated range (neighbouring ranges count as one).
///
/// # Errors
/// With the usermod command that would help.
pub fn check_delegated(maps: &[IdMap], caller: &Caller) -> Result<()> {
    for kind in [IdKind::Uid, IdKind::Gid] {
        let own = match kind {
            IdKind::Uid => caller.uid,
            IdKind::Gid => caller.gid,
        };
        let wanted: Vec<&IdMap> = idmap::of_kind(maps, kind)
            .filter(|map| !(map.range == 1 && map.hostid == own))
            .collect();
        if wanted.is_empty() {
            continue;
        }
        let ranges = subordinate_ids(caller, kind)?;
        check_within(&wanted, kind, &ranges, caller)?;
    }
    Ok(())
}

fn check_within(maps: &[&IdMap], kind: IdKind, ranges: &[Range], caller: &Caller) -> Result<()> {
    if ranges.is_empty() {
        return Err(Error::NoRange {
            kind,
            user: caller.name.clone(),
            file: file(kind),
        });
    }
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable_by_key(|range| range.first);
    for map in maps {
        let end = u64::from(map.hostid) + u64::from(map.range);
        let mut covered = u64::from(map.hostid);
        for range in &sorted {
            let (first, last) = (
                u64::from(range.first),
                u64::from(range.first) + u64::from(range.count),
            );
            if first <= covered && covered < last {
                covered = last;
            }
        }
        if covered < end {
            return Err(Error::NotDelegated {
                kind,
                user: caller.name.clone(),
                file: file(kind),
                first: map.hostid,
                last: map.hostid.saturating_add(map.range - 1),
            });
        }
    }
    Ok(())
}

/// The maps that lxc-usernsexec takes when none are given: the caller's first ranges at 0.
///
/// # Errors
/// When a file has no range for the caller.
pub fn default_maps(caller: &Caller) -> Result<Vec<IdMap>> {
    [IdKind::Uid, IdKind::Gid]
        .into_iter()
        .map(|kind| {
            let range = subordinate_ids(caller, kind)?
                .first()
                .copied()
                .ok_or_else(|| Error::NoRange {
                    kind,
                    user: caller.name.clone(),
                    file: file(kind),
                })?;
            Ok(IdMap {
                kind,
                nsid: 0,
                hostid: range.first,
                range: range.count,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEXT: &str = "root:1:2\nann:100000:65536\n1000:300000:10\nann:bad:3\nann:1:2:3\n#ann:5:5\nann:165536:10\n";

    fn ann() -> Caller {
        Caller {
            uid: 1000,
            gid: 1000,
            name: "ann".into(),
        }
    }

    #[test]
    fn ranges_are_found_by_name_and_number() {
        let ranges = parse(TEXT, "ann", 1000);
        let firsts: Vec<u32> = ranges.iter().map(|range| range.first).collect();
        assert_eq!(firsts, [100_000, 300_000, 165_536]);
    }

    #[test]
    fn neighbouring_ranges_count_as_one() {
        let ranges = parse(TEXT, "ann", 1000);
        let map = IdMap {
            kind: IdKind::Uid,
            nsid: 0,
            hostid: 100_000,
            range: 65546,
        };
        check_within(&[&map], IdKind::Uid, &ranges, &ann()).unwrap();
        let map = IdMap {
            range: 65547,
            ..map
        };
        let error = check_within(&[&map], IdKind::Uid, &ranges, &ann()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("usermod --add-subuids 100000-165546 ann"),
            "{error}"
        );
    }

    #[test]
    fn no_range_names_the_remedy() {
        let map = IdMap {
            kind: IdKind::Gid,
            nsid: 0,
            hostid: 100_000,
            range: 1,
        };
        let error = check_within(&[&map], IdKind::Gid, &[], &ann()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/etc/subgid has no range for user ann; as root run: usermod --add-subgids 100000-165535 ann"
        );
    }
}
