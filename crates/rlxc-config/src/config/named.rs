//! Lists of named values: in the order of the lines, found by name without a walk, in few allocations.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{LazyLock, OnceLock};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `NAME = TEXT` rows: limits of cgroups, kernel parameters, environment variables.
pub type Pairs = Named<()>;
/// Resource limits: name, soft, hard; `None` = unlimited.
pub type Limits = Named<(Option<u64>, Option<u64>)>;

/// What a row of a [`Named`] list holds beside its texts.
pub trait Extra: Copy + fmt::Debug {
    /// A row as it is read.
    type Item<'a>: Copy + fmt::Debug + PartialEq + Serialize;
    /// A row that stands alone.
    type Owned: DeserializeOwned;
    /// Puts a row together.
    fn item<'a>(self, name: &'a str, text: &'a str) -> Self::Item<'a>;
    /// Name, text and the rest of a row.
    fn parts(owned: &Self::Owned) -> (&str, &str, Self);
    /// A copy that stands alone.
    fn owned(item: Self::Item<'_>) -> Self::Owned;
}

impl Extra for () {
    type Item<'a> = (&'a str, &'a str);
    type Owned = (String, String);
    fn item<'a>(self, name: &'a str, text: &'a str) -> Self::Item<'a> {
        (name, text)
    }
    fn parts((name, text): &Self::Owned) -> (&str, &str, Self) {
        (name, text, ())
    }
    fn owned((name, text): Self::Item<'_>) -> Self::Owned {
        (name.to_owned(), text.to_owned())
    }
}

impl Extra for (Option<u64>, Option<u64>) {
    type Item<'a> = (&'a str, Option<u64>, Option<u64>);
    type Owned = (String, Option<u64>, Option<u64>);
    fn item<'a>(self, name: &'a str, _: &'a str) -> Self::Item<'a> {
        (name, self.0, self.1)
    }
    fn parts((name, soft, hard): &Self::Owned) -> (&str, &str, Self) {
        (name, "", (*soft, *hard))
    }
    fn owned((name, soft, hard): Self::Item<'_>) -> Self::Owned {
        (name.to_owned(), soft, hard)
    }
}

/// Where a row's texts stand in the common one.
#[derive(Debug, Clone, Copy)]
struct Row<X> {
    /// [`GONE`] for a row that was removed
    start: usize,
    name_end: usize,
    end: usize,
    extra: X,
}

const GONE: usize = usize::MAX;

/// Up to so many rows a walk is as fast as the index, and needs no memory.
const SMALL: usize = 16;
/// What was removed is kept until it is more than the rest by this much: then each removal has paid
/// for its part of the cleaning.
const SLACK_ROWS: usize = 64;
const SLACK_BYTES: usize = 4096;

/// One seed for all lists, so that a clone can keep its index. Names come from files that may be
/// hostile: the standard hasher's random seed keeps them from colliding on purpose.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

fn hash(name: &str) -> u64 {
    SEED.hash_one(name)
}

/// Hash of a name to the places of its rows, in order; some of them may be gone.
type Index = HashMap<u64, Vec<usize>>;

/// Rows in order, several of which may have one name.
#[derive(Clone)]
pub struct Named<X> {
    /// The names and texts of all rows, one after another.
    text: String,
    rows: Vec<Row<X>>,
    /// How many of `rows` are gone.
    gone: usize,
    /// Bytes of `text` that no row needs.
    waste: usize,
    /// Made when a row of a long list is first looked for.
    index: OnceLock<Index>,
    /// Rows looked at or moved.
    #[cfg(test)]
    pub(crate) work: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl<X: Extra> Named<X> {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len() - self.gone
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows, in order.
    pub fn iter(&self) -> Rows<'_, X> {
        Rows {
            rows: self.rows.iter(),
            text: &self.text,
        }
    }

    /// The rows of that name, in order.
    pub fn of<'a>(&'a self, name: &str) -> impl Iterator<Item = X::Item<'a>> {
        self.places(name).map(|at| self.rows[at].item(&self.text))
    }

    /// Copies of the rows that stand alone.
    pub fn to_vec(&self) -> Vec<X::Owned> {
        self.iter().map(X::owned).collect()
    }

    /// Removes all rows.
    pub fn clear(&mut self) {
        self.text.clear();
        self.rows.clear();
        (self.gone, self.waste) = (0, 0);
        self.index.take();
    }

    /// Removes all rows of that name.
    pub fn remove(&mut self, name: &str) {
        let places: Vec<usize> = self.places(name).collect();
        if places.is_empty() {
            return;
        }
        for at in &places {
            let row = &mut self.rows[*at];
            self.waste += row.end - row.start;
            row.start = GONE;
        }
        self.gone += places.len();
        if let Some(index) = self.index.get_mut() {
            // Another name of the same hash is found again by the next building of the index.
            let rows = &self.rows;
            if let Some(list) = index.get_mut(&hash(name)) {
                list.retain(|at| rows[*at].start != GONE);
            }
        }
        self.tidy();
    }

    fn push_row(&mut self, name: &str, text: &str, extra: X) {
        let at = self.rows.len();
        let row = self.written(name, text, extra);
        self.rows.push(row);
        if let Some(index) = self.index.get_mut() {
            index.entry(hash(name)).or_default().push(at);
        }
    }

    fn put_row(&mut self, name: &str, text: &str, extra: X) {
        let Some(at) = self.places(name).next() else {
            return self.push_row(name, text, extra);
        };
        let old = self.rows[at];
        if &self.text[old.name_end..old.end] == text {
            self.rows[at].extra = extra;
            return;
        }
        self.waste += old.end - old.start;
        self.rows[at] = self.written(name, text, extra);
        self.tidy();
    }

    fn written(&mut self, name: &str, text: &str, extra: X) -> Row<X> {
        let start = self.text.len();
        self.text.push_str(name);
        let name_end = self.text.len();
        self.text.push_str(text);
        Row {
            start,
            name_end,
            end: self.text.len(),
            extra,
        }
    }

    /// Places of the rows of that name.
    fn places(&self, name: &str) -> impl Iterator<Item = usize> {
        let small = self.rows.len() <= SMALL;
        let found = match small {
            true => None,
            false => self.index.get_or_init(|| self.indexed()).get(&hash(name)),
        };
        let walked = 0..if small { self.rows.len() } else { 0 };
        let found = found.into_iter().flatten().copied().chain(walked);
        found.filter(move |at| {
            self.count(1);
            let row = &self.rows[*at];
            row.start != GONE && &self.text[row.start..row.name_end] == name
        })
    }

    fn indexed(&self) -> Index {
        self.count(self.rows.len());
        let mut index = Index::with_capacity(self.len());
        for (at, row) in self.rows.iter().enumerate() {
            if row.start != GONE {
                let name = &self.text[row.start..row.name_end];
                index.entry(hash(name)).or_default().push(at);
            }
        }
        index
    }

    /// Drops what was removed, once there is much of it.
    fn tidy(&mut self) {
        if self.gone > self.len() + SLACK_ROWS {
            self.rows.retain(|row| row.start != GONE);
            self.gone = 0;
            self.index.take();
            self.count(self.rows.len());
        }
        if self.waste > self.text.len() / 2 + SLACK_BYTES {
            let mut text = String::with_capacity(self.text.len() - self.waste);
            for row in self.rows.iter_mut().filter(|row| row.start != GONE) {
                let start = text.len();
                text.push_str(&self.text[row.start..row.end]);
                row.name_end = start + (row.name_end - row.start);
                (row.start, row.end) = (start, text.len());
            }
            self.text = text;
            self.waste = 0;
            self.count(self.rows.len());
        }
    }

    /// Tests ask how much was done.
    #[inline]
    fn count(&self, rows: usize) {
        #[cfg(test)]
        self.work
            .fetch_add(rows, std::sync::atomic::Ordering::Relaxed);
        let _ = rows;
    }
}

impl Named<()> {
    /// Adds a row at the end.
    pub fn push(&mut self, name: impl AsRef<str>, text: impl AsRef<str>) {
        self.push_row(name.as_ref(), text.as_ref(), ());
    }

    /// Puts the row in the place of the one of its name, or at the end.
    pub fn put(&mut self, name: impl AsRef<str>, text: impl AsRef<str>) {
        self.put_row(name.as_ref(), text.as_ref(), ());
    }
}

impl Named<(Option<u64>, Option<u64>)> {
    /// Adds a row at the end.
    pub fn push(&mut self, name: impl AsRef<str>, soft: Option<u64>, hard: Option<u64>) {
        self.push_row(name.as_ref(), "", (soft, hard));
    }

    /// Puts the row in the place of the one of its name, or at the end.
    pub fn put(&mut self, name: impl AsRef<str>, soft: Option<u64>, hard: Option<u64>) {
        self.put_row(name.as_ref(), "", (soft, hard));
    }
}

impl<X: Extra> Row<X> {
    fn item<'a>(&self, text: &'a str) -> X::Item<'a> {
        self.extra.item(
            &text[self.start..self.name_end],
            &text[self.name_end..self.end],
        )
    }
}

/// The rows of a [`Named`] list.
#[derive(Debug, Clone)]
pub struct Rows<'a, X> {
    rows: std::slice::Iter<'a, Row<X>>,
    text: &'a str,
}

impl<'a, X: Extra> Iterator for Rows<'a, X> {
    type Item = X::Item<'a>;
    fn next(&mut self) -> Option<Self::Item> {
        let text = self.text;
        let row = self.rows.find(|row| row.start != GONE)?;
        Some(row.item(text))
    }
}

impl<X: Extra> DoubleEndedIterator for Rows<'_, X> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let text = self.text;
        let row = self.rows.rfind(|row| row.start != GONE)?;
        Some(row.item(text))
    }
}

impl<'a, X: Extra> IntoIterator for &'a Named<X> {
    type Item = X::Item<'a>;
    type IntoIter = Rows<'a, X>;
    fn into_iter(self) -> Rows<'a, X> {
        self.iter()
    }
}

impl<X> Default for Named<X> {
    fn default() -> Self {
        Self {
            text: String::new(),
            rows: Vec::new(),
            gone: 0,
            waste: 0,
            index: OnceLock::new(),
            #[cfg(test)]
            work: std::sync::Arc::default(),
        }
    }
}

impl<X: Extra> From<Vec<X::Owned>> for Named<X> {
    fn from(rows: Vec<X::Owned>) -> Self {
        let mut named = Self::default();
        for row in &rows {
            let (name, text, extra) = X::parts(row);
            named.push_row(name, text, extra);
        }
        named
    }
}

impl<X: Extra> PartialEq for Named<X> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<X: Extra> Eq for Named<X> {}

impl<X: Extra> fmt::Debug for Named<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<X: Extra> Serialize for Named<X> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de, X: Extra> Deserialize<'de> for Named<X> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<X::Owned>::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_answer_as_short_ones_do() {
        let mut list = Pairs::new();
        let row = |n: usize, value: usize| (format!("n{}", n % 50), value.to_string());
        let of = |list: &Pairs, name: &str| -> Vec<(String, String)> {
            list.of(name).map(<()>::owned).collect()
        };
        for n in 0..200 {
            let (name, text) = row(n, n);
            list.push(name, text);
            let expected: Vec<_> = (0..=n).filter(|m| m % 50 == 3).map(|m| row(m, m)).collect();
            assert_eq!(of(&list, "n3"), expected);
        }
        list.put("n3", "1000");
        assert_eq!(of(&list, "n3")[0], row(3, 1000));
        list.remove("n3");
        assert_eq!((list.len(), of(&list, "n3").len()), (196, 0));
        assert_eq!(of(&list, "n4").len(), 4);
        for n in 4..50 {
            list.remove(&format!("n{n}"));
        }
        assert_eq!((list.len(), of(&list, "n2").len()), (12, 4));
        let json = serde_json::to_string(&list).unwrap();
        assert_eq!(serde_json::from_str::<Pairs>(&json).unwrap(), list);
        list.clear();
        assert_eq!((list.len(), of(&list, "n2").len()), (0, 0));
    }

    #[test]
    fn rows_keep_their_order_through_any_changes() {
        // A plain list of pairs beside it; a small generator of numbers in place of chance.
        let (mut list, mut plain) = (Pairs::new(), Vec::<(String, String)>::new());
        let mut state = 7_usize;
        for step in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695);
            let name = format!("n{}", (state >> 33) % 300);
            match (state >> 20) % 4 {
                0 => {
                    list.remove(&name);
                    plain.retain(|(n, _)| *n != name);
                }
                1 => {
                    list.put(&name, step.to_string());
                    match plain.iter_mut().find(|(n, _)| *n == name) {
                        Some(row) => row.1 = step.to_string(),
                        None => plain.push((name, step.to_string())),
                    }
                }
                _ => {
                    list.push(&name, step.to_string());
                    plain.push((name, step.to_string()));
                }
            }
            if step % 500 == 0 {
                assert_eq!(list.to_vec(), plain);
                let back: Vec<_> = list.iter().rev().map(<()>::owned).collect();
                assert!(back.iter().eq(plain.iter().rev()));
            }
        }
        assert_eq!(list, Pairs::from(plain));
    }

    #[test]
    fn setting_and_removing_costs_the_same_in_a_long_list() {
        let work_of = |rows: usize| {
            let mut list = Pairs::new();
            (0..rows).for_each(|n| list.push(format!("other{n}"), "x"));
            list.work.store(0, std::sync::atomic::Ordering::Relaxed);
            for n in 0..rows {
                list.put(format!("n{}", n % 7), n.to_string());
                list.remove(&format!("n{}", n % 7));
            }
            list.work.load(std::sync::atomic::Ordering::Relaxed) / rows
        };
        let (short, long) = (work_of(500), work_of(50_000));
        assert!(long <= 2 * short + 8, "{short} and {long} rows a step");
    }
}
