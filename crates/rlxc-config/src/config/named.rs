//! Lists of named values: in the order of the lines, found by name without a walk.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A row of a [`Named`] list.
pub trait HasName {
    /// The name it is found by.
    fn name(&self) -> &str;
}

impl HasName for (String, String) {
    fn name(&self) -> &str {
        &self.0
    }
}

impl HasName for (String, Option<u64>, Option<u64>) {
    fn name(&self) -> &str {
        &self.0
    }
}

/// Up to so many rows a walk is as fast as the index, and needs no memory.
const SMALL: usize = 16;

/// One seed for all lists, so that a clone can keep its index. Names come from files that may be
/// hostile: the standard hasher's random seed keeps them from colliding on purpose.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

fn hash(name: &str) -> u64 {
    SEED.hash_one(name)
}

/// Rows in order, several of which may have one name. Reads like a slice.
#[derive(Clone)]
pub struct Named<R> {
    rows: Vec<R>,
    /// Hash of a name to positions; empty up to [`SMALL`] rows.
    index: HashMap<u64, Vec<u32>>,
}

impl<R: HasName> Named<R> {
    fn positions(&self, name: &str) -> impl Iterator<Item = usize> {
        let indexed = self.rows.len() > SMALL;
        let found = self.index.get(&hash(name)).filter(|_| indexed);
        let found = found.into_iter().flatten().map(|at| *at as usize);
        let walked = 0..if indexed { 0 } else { self.rows.len() };
        found
            .chain(walked)
            .filter(move |at| self.rows[*at].name() == name)
    }

    /// The rows of that name, in order.
    pub fn of<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a R> {
        self.positions(name).map(|at| &self.rows[at])
    }

    /// Adds a row at the end.
    pub fn push(&mut self, row: R) {
        self.rows.push(row);
        match self.rows.len() {
            ..=SMALL => {}
            len if len == SMALL + 1 => self.build(),
            len => self.note(len - 1),
        }
    }

    /// Puts the row in the place of the one of its name, or at the end.
    pub fn put(&mut self, row: R) {
        let at = self.positions(row.name()).next();
        match at {
            Some(at) => self.rows[at] = row,
            None => self.push(row),
        }
    }

    /// Removes all rows of that name.
    pub fn remove(&mut self, name: &str) {
        if self.positions(name).next().is_some() {
            self.rows.retain(|row| row.name() != name);
            self.build();
        }
    }

    /// Removes all rows.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.index.clear();
    }

    fn build(&mut self) {
        self.index.clear();
        if self.rows.len() > SMALL {
            (0..self.rows.len()).for_each(|at| self.note(at));
        }
    }

    fn note(&mut self, at: usize) {
        // A file of 256 MB has fewer lines than that.
        let position = u32::try_from(at).unwrap_or(u32::MAX);
        let key = hash(self.rows[at].name());
        self.index.entry(key).or_default().push(position);
    }
}

impl<R> Default for Named<R> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            index: HashMap::new(),
        }
    }
}

impl<R: HasName> From<Vec<R>> for Named<R> {
    fn from(rows: Vec<R>) -> Self {
        let mut named = Self {
            rows,
            index: HashMap::new(),
        };
        named.build();
        named
    }
}

impl<R> Deref for Named<R> {
    type Target = [R];
    fn deref(&self) -> &[R] {
        &self.rows
    }
}

impl<'a, R> IntoIterator for &'a Named<R> {
    type Item = &'a R;
    type IntoIter = std::slice::Iter<'a, R>;
    fn into_iter(self) -> Self::IntoIter {
        self.rows.iter()
    }
}

impl<R: PartialEq> PartialEq for Named<R> {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}

impl<R: Eq> Eq for Named<R> {}

impl<R: fmt::Debug> fmt::Debug for Named<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.fmt(f)
    }
}

impl<R: Serialize> Serialize for Named<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rows.serialize(serializer)
    }
}

impl<'de, R: HasName + Deserialize<'de>> Deserialize<'de> for Named<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_answer_as_short_ones_do() {
        let mut list = Named::default();
        let row = |n: usize, value: usize| (format!("n{}", n % 50), value.to_string());
        for n in 0..200 {
            list.push(row(n, n));
            let expected: Vec<_> = (0..=n).filter(|m| m % 50 == 3).map(|m| row(m, m)).collect();
            assert_eq!(list.of("n3").cloned().collect::<Vec<_>>(), expected);
        }
        list.put(row(3, 1000));
        assert_eq!(list.of("n3").next(), Some(&row(3, 1000)));
        list.remove("n3");
        assert_eq!((list.len(), list.of("n3").count()), (196, 0));
        assert_eq!(list.of("n4").count(), 4);
        for n in 4..50 {
            list.remove(&format!("n{n}"));
        }
        assert_eq!((list.len(), list.of("n2").count()), (12, 4));
        let json = serde_json::to_string(&list).unwrap();
        assert_eq!(serde_json::from_str::<Named<_>>(&json).unwrap(), list);
    }
}
