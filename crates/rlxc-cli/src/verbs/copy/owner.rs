//! For whom a copy is made: `--owner` and `--idmap`.

use std::path::PathBuf;

use nix::unistd::User;
use rlxc::config::{IdKind, IdMap};
use rlxc_namespace::{Caller, subordinate_ids};

use crate::context::Failure;

/// What the two options say.
#[derive(Debug, Default)]
pub(super) struct NewOwner {
    pub(super) ids: Option<(u32, u32)>,
    pub(super) idmap: Option<Vec<IdMap>>,
    pub(super) lxcpath: Option<PathBuf>,
}

pub(super) fn of(owner: Option<&str>, maps: Option<&str>) -> Result<NewOwner, Failure> {
    let mut new = NewOwner {
        idmap: maps.map(parse).transpose()?,
        ..NewOwner::default()
    };
    let Some(name) = owner else {
        return Ok(new);
    };
    let user = User::from_name(name).ok().flatten();
    let user = user.ok_or_else(|| Failure::new(format!("there is no user {name}")))?;
    new.ids = Some((user.uid.as_raw(), user.gid.as_raw()));
    new.lxcpath = Some(user.dir.join(".local/share/lxc"));
    if new.idmap.is_none() {
        new.idmap = Some(subordinate(&user)?);
    }
    Ok(new)
}

/// All of the user's first ranges, as a container's ids from 0.
fn subordinate(user: &User) -> Result<Vec<IdMap>, Failure> {
    let caller = Caller {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        name: user.name.clone(),
    };
    let mut maps = Vec::new();
    for (kind, option) in [
        (IdKind::Uid, "--add-subuids"),
        (IdKind::Gid, "--add-subgids"),
    ] {
        let ranges = subordinate_ids(&caller, kind).map_err(|e| Failure::new(e.to_string()))?;
        let Some(range) = ranges.first() else {
            return Err(
                Failure::new(format!("{} has no subordinate ids", user.name)).remedy(format!(
                    "usermod {option} 100000-165535 {} (a range that nobody else has), or give --idmap",
                    user.name
                )),
            );
        };
        maps.push(IdMap {
            kind,
            nsid: 0,
            hostid: range.first,
            range: range.count,
        });
    }
    Ok(maps)
}

/// `none`, or `u:0:100000:65536,g:0:100000:65536`; `b` stands for both kinds.
fn parse(text: &str) -> Result<Vec<IdMap>, Failure> {
    if text == "none" {
        return Ok(Vec::new());
    }
    let each = text.split(',').map(rlxc_namespace::idmap::parse_argument);
    let maps: Result<Vec<_>, _> = each.collect();
    let maps = maps.map_err(|error| {
        Failure::new(format!("--idmap {text}: {error}"))
            .remedy("write none, or u:NSID:HOSTID:RANGE,g:NSID:HOSTID:RANGE")
    })?;
    Ok(maps.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read_from_words() {
        assert_eq!(parse("none").ok(), Some(Vec::new()));
        let map = |kind| IdMap {
            kind,
            nsid: 0,
            hostid: 100_000,
            range: 65536,
        };
        let both = vec![map(IdKind::Uid), map(IdKind::Gid)];
        assert_eq!(
            parse("u:0:100000:65536,g:0:100000:65536").ok(),
            Some(both.clone())
        );
        assert_eq!(parse("b:0:100000:65536").ok(), Some(both));
        assert!(parse("u:0").is_err() && parse("").is_err());
    }
}
