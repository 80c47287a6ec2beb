//! Checking and translating id maps.

use rlxc_config::{IdKind, IdMap};

use crate::{Error, Result};

/// The kernel's limit of lines in a map file (user_namespaces(7)).
const MAX_LINES: usize = 340;

/// A map as it stands in a configuration: `u 0 100000 65536`.
#[must_use]
pub fn show(map: &IdMap) -> String {
    format!(
        "{} {} {} {}",
        letter(map.kind),
        map.nsid,
        map.hostid,
        map.range
    )
}

/// `u` or `g`
#[must_use]
pub fn letter(kind: IdKind) -> char {
    match kind {
        IdKind::Uid => 'u',
        IdKind::Gid => 'g',
    }
}

/// The maps of one kind.
pub fn of_kind(maps: &[IdMap], kind: IdKind) -> impl Iterator<Item = &IdMap> + Clone {
    maps.iter().filter(move |map| map.kind == kind)
}

/// Checks what the kernel would refuse: empty ranges, ranges beyond the last id, overlaps, too many lines.
///
/// # Errors
/// The first map that is wrong.
pub fn validate(maps: &[IdMap]) -> Result<()> {
    for kind in [IdKind::Uid, IdKind::Gid] {
        let own: Vec<&IdMap> = of_kind(maps, kind).collect();
        if own.len() > MAX_LINES {
            return Err(Error::TooMany {
                kind,
                count: own.len(),
            });
        }
        for (index, map) in own.iter().enumerate() {
            check_range(map)?;
            for other in &own[..index] {
                if overlap(map.nsid, other.nsid, map.range, other.range)
                    || overlap(map.hostid, other.hostid, map.range, other.range)
                {
                    return Err(Error::Overlap {
                        first: show(other),
                        second: show(map),
                    });
                }
            }
        }
    }
    Ok(())
}

fn check_range(map: &IdMap) -> Result<()> {
    let bad = |reason| {
        Err(Error::BadMap {
            map: show(map),
            reason,
        })
    };
    if map.range == 0 {
        return bad("the range is empty");
    }
    // The id 4294967295 is "no id" (-1) and cannot be mapped.
    if map.nsid.checked_add(map.range).is_none() || map.hostid.checked_add(map.range).is_none() {
        return bad("the range goes beyond the last id, 4294967294");
    }
    Ok(())
}

fn overlap(a: u32, b: u32, a_range: u32, b_range: u32) -> bool {
    let (a, b) = (u64::from(a), u64::from(b));
    a < b + u64::from(b_range) && b < a + u64::from(a_range)
}

fn shift(id: u32, from: u32, to: u32, range: u32) -> Option<u32> {
    let offset = id.checked_sub(from)?;
    if offset < range {
        to.checked_add(offset)
    } else {
        None
    }
}

/// The host id of the id `nsid` inside; `None` if it is not mapped.
#[must_use]
pub fn to_host(maps: &[IdMap], kind: IdKind, nsid: u32) -> Option<u32> {
    of_kind(maps, kind).find_map(|map| shift(nsid, map.nsid, map.hostid, map.range))
}

/// The id inside of the host id `hostid`; `None` if it is not mapped.
#[must_use]
pub fn to_inside(maps: &[IdMap], kind: IdKind, hostid: u32) -> Option<u32> {
    of_kind(maps, kind).find_map(|map| shift(hostid, map.hostid, map.nsid, map.range))
}

/// The host id that root inside has; `None` if 0 is not mapped.
#[must_use]
pub fn mapped_root(maps: &[IdMap], kind: IdKind) -> Option<u32> {
    to_host(maps, kind, 0)
}

/// The lowest id inside that no map uses.
#[must_use]
pub fn first_free(maps: &[IdMap], kind: IdKind) -> Option<u32> {
    let mut ends: Vec<u32> = of_kind(maps, kind)
        .map(|map| map.nsid.saturating_add(map.range))
        .collect();
    ends.push(0);
    ends.sort_unstable();
    ends.into_iter()
        .find(|id| *id < u32::MAX && to_host(maps, kind, *id).is_none())
}

/// The maps with the caller's own ids in them, and what these are inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithOwnIds {
    /// `maps`, and up to two maps of one id each
    pub maps: Vec<IdMap>,
    /// The caller's uid inside
    pub uid: u32,
    /// The caller's gid inside
    pub gid: u32,
}

/// Adds a one-id map for `uid` and for `gid` where the maps lack them, at the lowest free id inside; so a process in
/// that user namespace still owns the caller's files.
///
/// # Errors
/// When no id is free.
pub fn with_own_ids(maps: &[IdMap], uid: u32, gid: u32) -> Result<WithOwnIds> {
    let mut all = maps.to_vec();
    let mut add = |kind, hostid| -> Result<u32> {
        if let Some(inside) = to_inside(&all, kind, hostid) {
            return Ok(inside);
        }
        let own = IdMap {
            kind,
            nsid: 0,
            hostid,
            range: 1,
        };
        let nsid = first_free(&all, kind).ok_or_else(|| Error::BadMap {
            map: show(&own),
            reason: "no id is free inside for the caller's own",
        })?;
        all.push(IdMap { nsid, ..own });
        Ok(nsid)
    };
    let (uid, gid) = (add(IdKind::Uid, uid)?, add(IdKind::Gid, gid)?);
    Ok(WithOwnIds {
        maps: all,
        uid,
        gid,
    })
}

/// Maps in which only the caller's ids exist, as `nsuid` and `nsgid`: what an unprivileged caller may write without help.
#[must_use]
pub fn single(nsuid: u32, uid: u32, nsgid: u32, gid: u32) -> Vec<IdMap> {
    vec![
        IdMap {
            kind: IdKind::Uid,
            nsid: nsuid,
            hostid: uid,
            range: 1,
        },
        IdMap {
            kind: IdKind::Gid,
            nsid: nsgid,
            hostid: gid,
            range: 1,
        },
    ]
}

/// Parses `u|g|b:NSID:HOSTID:RANGE` of lxc-usernsexec (`b` gives two maps).
///
/// # Errors
/// With the text, when it is none.
pub fn parse_argument(text: &str) -> Result<Vec<IdMap>> {
    let bad = |reason| Error::BadMap {
        map: text.to_owned(),
        reason,
    };
    let mut fields = text.split(':');
    let kinds: &[IdKind] = match fields.next() {
        Some("u") => &[IdKind::Uid],
        Some("g") => &[IdKind::Gid],
        Some("b") => &[IdKind::Uid, IdKind::Gid],
        _ => return Err(bad("it must begin with u:, g: or b:")),
    };
    let mut number = || {
        fields
            .next()
            .and_then(|field| field.parse::<u32>().ok())
            .ok_or_else(|| bad("wanted is u|g|b:NSID:HOSTID:RANGE with three numbers"))
    };
    let (nsid, hostid, range) = (number()?, number()?, number()?);
    if fields.next().is_some() {
        return Err(bad("it has more than four fields"));
    }
    let maps: Vec<IdMap> = kinds
        .iter()
        .map(|&kind| IdMap {
            kind,
            nsid,
            hostid,
            range,
        })
        .collect();
    maps.iter().try_for_each(check_range)?;
    Ok(maps)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn uid(nsid: u32, hostid: u32, range: u32) -> IdMap {
        IdMap {
            kind: IdKind::Uid,
            nsid,
            hostid,
            range,
        }
    }

    #[test]
    fn exact_holes_are_no_overlap() {
        let maps = [
            uid(0, 100_000, 1000),
            uid(1000, 1000, 1),
            uid(1001, 101_001, 64535),
        ];
        validate(&maps).unwrap();
        assert_eq!(to_host(&maps, IdKind::Uid, 1000), Some(1000));
        assert_eq!(to_inside(&maps, IdKind::Uid, 101_001), Some(1001));
        assert_eq!(to_host(&maps, IdKind::Uid, 70_000), None);
        assert_eq!(mapped_root(&maps, IdKind::Uid), Some(100_000));
        assert_eq!(mapped_root(&maps, IdKind::Gid), None);
    }

    #[test]
    fn overlaps_and_wrong_ranges_are_refused() {
        assert!(matches!(
            validate(&[uid(0, 10, 5), uid(4, 100, 5)]),
            Err(Error::Overlap { .. })
        ));
        assert!(matches!(
            validate(&[uid(0, 10, 5), uid(50, 14, 5)]),
            Err(Error::Overlap { .. })
        ));
        assert!(matches!(
            validate(&[uid(0, 10, 0)]),
            Err(Error::BadMap { .. })
        ));
        assert!(matches!(
            validate(&[uid(0, u32::MAX, 1)]),
            Err(Error::BadMap { .. })
        ));
        validate(&[uid(0, u32::MAX - 1, 1)]).unwrap();
    }

    #[test]
    fn own_ids_take_the_lowest_free_place() {
        let with = with_own_ids(&[uid(0, 100_000, 65536)], 1000, 1001).unwrap();
        assert_eq!((with.uid, with.gid), (65536, 0));
        assert_eq!(with.maps.len(), 3);
        let there = with_own_ids(&[uid(5, 1000, 1)], 1000, 7).unwrap();
        assert_eq!(there.uid, 5);
    }

    #[test]
    fn arguments_of_usernsexec() {
        assert_eq!(
            parse_argument("u:0:100000:10").unwrap(),
            [uid(0, 100_000, 10)]
        );
        assert_eq!(parse_argument("b:0:1:2").unwrap().len(), 2);
        for bad in [
            "",
            "u",
            "x:0:1:2",
            "u:0:1",
            "u:0:1:2:3",
            "u:a:1:2",
            "u:0:-1:2",
            "u:0:1:0",
        ] {
            assert!(parse_argument(bad).is_err(), "{bad}");
        }
    }
}
