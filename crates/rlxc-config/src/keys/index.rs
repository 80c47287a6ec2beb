//! Finding a key's row: one step for a whole name, a short walk for a member of a family.

use std::sync::LazyLock;

use super::{KEY_TABLE, KeyRow};

/// All rows begin with it.
const COMMON: usize = "lxc.".len();
/// Several times as many places as there are rows: most keys are found, or missed, at the first.
const PLACES: usize = 512;

pub(super) static INDEX: LazyLock<Index> = LazyLock::new(Index::new);

/// A table of open places.
#[derive(Debug)]
pub(super) struct Index {
    places: [Option<&'static KeyRow>; PLACES],
    families: Vec<&'static KeyRow>,
}

impl Index {
    fn new() -> Self {
        let mut places = [None; PLACES];
        for row in KEY_TABLE.iter() {
            let mut at = place(row.name.as_bytes());
            while places[at].is_some() {
                at = (at + 1) % PLACES;
            }
            places[at] = Some(*row);
        }
        Self {
            places,
            families: KEY_TABLE.iter().copied().filter(|row| row.prefix).collect(),
        }
    }

    /// The row of exactly that name.
    pub(super) fn get(&self, key: &str) -> Option<&'static KeyRow> {
        let mut at = place(key.as_bytes());
        while let Some(row) = self.places[at] {
            if row.name == key {
                return Some(row);
            }
            at = (at + 1) % PLACES;
        }
        None
    }

    /// The first family that the key belongs to, and the rest of the key.
    pub(super) fn family<'k>(&self, key: &'k str) -> Option<(&'static KeyRow, &'k str)> {
        let first = key.as_bytes().get(COMMON);
        self.families
            .iter()
            .filter(|row| row.name.as_bytes().get(COMMON) == first)
            .find_map(|row| Some((*row, key.strip_prefix(row.name)?)))
    }
}

/// Where a name's search begins: by its length, and its first and last eight bytes. Names are short,
/// and a hostile one can only miss.
fn place(key: &[u8]) -> usize {
    let own = key.get(COMMON..).unwrap_or_default();
    let mixed = match (own.first_chunk::<8>(), own.last_chunk::<8>()) {
        (Some(first), Some(last)) => {
            u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29)
        }
        _ => {
            let mut padded = [0; 8];
            padded[..own.len()].copy_from_slice(own);
            u64::from_le_bytes(padded)
        }
    };
    let mixed = (mixed ^ key.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 55) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_few_steps_and_others_are_missed() {
        let mut steps = 0;
        for row in KEY_TABLE.iter() {
            let mut at = place(row.name.as_bytes());
            while INDEX.places[at].is_some_and(|there| there.name != row.name) {
                at = (at + 1) % PLACES;
                steps += 1;
            }
            assert_eq!(INDEX.get(row.name).map(|r| r.name), Some(row.name));
        }
        assert!(steps < KEY_TABLE.len() / 2, "{steps} steps too many");
        for other in [
            "",
            "lxc",
            "lxc.",
            "lxc.x",
            "lxc.tty.maximum",
            "äöü",
            "lxc.nété",
        ] {
            assert!(INDEX.get(other).is_none(), "{other}");
        }
    }

    #[test]
    fn members_find_their_family_in_the_order_of_the_table() {
        let of = |key| INDEX.family(key).map(|(row, rest)| (row.name, rest));
        assert_eq!(of("lxc.cgroup2.a.b"), Some(("lxc.cgroup2", ".a.b")));
        assert_eq!(of("lxc.cgroup.a"), Some(("lxc.cgroup", ".a")));
        assert_eq!(of("lxc.net.0.type"), Some(("lxc.net.", "0.type")));
        assert_eq!(
            of("lxc.namespace.share.net"),
            Some(("lxc.namespace.share.", "net"))
        );
        assert_eq!(of("lxc.nothing"), None);
    }
}
