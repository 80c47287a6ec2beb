//! The unexpanded text: lines are added at its end, and a key's lines removed without reading all.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{Bound, Range};

/// Up to so many bytes reading all is as fast as the index, and needs no memory.
const SMALL: usize = 4096;

/// Beginnings of lines up to a blank or `=`, and where their lines stand, in order.
type Index = BTreeMap<Box<[u8]>, Vec<Range<usize>>>;

/// Lines, each with its newline.
#[derive(Debug, Clone, Default)]
pub(crate) struct Text {
    bytes: Vec<u8>,
    /// Parts of `bytes` that were removed, in any order.
    gaps: Vec<Range<usize>>,
    gone: usize,
    /// Made when a key's lines are first removed from a long text.
    index: Option<Index>,
    /// Bytes read or moved.
    #[cfg(test)]
    pub(crate) work: usize,
}

impl Text {
    /// What is there.
    pub(crate) fn bytes(&self) -> Cow<'_, [u8]> {
        if self.gaps.is_empty() {
            return Cow::Borrowed(&self.bytes);
        }
        let mut gaps = self.gaps.clone();
        gaps.sort_unstable_by_key(|gap| gap.start);
        let mut text = Vec::with_capacity(self.bytes.len() - self.gone);
        let mut from = 0;
        for gap in gaps {
            text.extend_from_slice(&self.bytes[from..gap.start]);
            from = gap.end;
        }
        text.extend_from_slice(&self.bytes[from..]);
        Cow::Owned(text)
    }

    /// Adds the line `key = value`.
    pub(crate) fn add(&mut self, key: &str, value: &str) {
        let start = self.bytes.len();
        self.bytes.reserve(key.len() + value.len() + 4);
        for part in [key, " = ", value, "\n"] {
            self.bytes.extend_from_slice(part.as_bytes());
        }
        self.note(start);
    }

    /// Adds parts of a text that end with a newline each; without a copy where that can be.
    pub(crate) fn take(&mut self, text: Vec<u8>, parts: &[Range<usize>]) {
        if self.bytes.is_empty() && parts.len() == 1 && parts[0] == (0..text.len()) {
            self.bytes = text;
            return;
        }
        let start = self.bytes.len();
        self.bytes.reserve(parts.iter().map(Range::len).sum());
        for part in parts {
            self.bytes.extend_from_slice(&text[part.clone()]);
        }
        self.note(start);
    }

    /// Removes the lines of a key: those that begin with it, before a blank or `=`.
    pub(crate) fn remove(&mut self, key: &str) {
        let family = matches!(key, "lxc.net" | "lxc.network" | "lxc.hook" | "lxc.cgroup")
            || key
                .strip_prefix("lxc.net.")
                .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
        if self.bytes.len() <= SMALL {
            self.remove_by_reading(key, family);
            return;
        }
        if self.index.is_none() {
            self.tidy();
            self.index = Some(Index::new());
            self.note(0);
        }
        // A key may hold a blank or "=" itself; lines are known by what stands before the first.
        self.remove_known(word(key.as_bytes()), key.as_bytes(), family);
        if family {
            let below = [key.as_bytes(), b"."].concat();
            let words = self.index.iter().flat_map(|index| {
                index
                    .range::<[u8], _>((Bound::Included(&below[..]), Bound::Unbounded))
                    .map(|(word, _)| word)
                    .take_while(|word| word.starts_with(&below))
            });
            let words: Vec<_> = words.cloned().collect();
            for word in words {
                self.remove_known(&word, key.as_bytes(), family);
            }
        }
        if self.gone > self.bytes.len() / 2 {
            self.tidy();
        }
    }

    /// Removes those of a key's lines that begin with `word`.
    fn remove_known(&mut self, word: &[u8], key: &[u8], family: bool) {
        let Some(index) = &mut self.index else {
            return;
        };
        let Some(lines) = index.get_mut(word) else {
            return;
        };
        let mut read = 0;
        lines.retain(|line| {
            read += line.len();
            let removed = is_of(key, family, &self.bytes[line.clone()]);
            if removed {
                self.gone += line.len();
                self.gaps.push(line.clone());
            }
            !removed
        });
        if lines.is_empty() {
            index.remove(word);
        }
        self.count(read);
    }

    fn remove_by_reading(&mut self, key: &str, family: bool) {
        self.tidy();
        self.index = None;
        let mut kept = 0;
        let mut at = 0;
        while at < self.bytes.len() {
            let end = line_end(&self.bytes, at);
            if !is_of(key.as_bytes(), family, &self.bytes[at..end]) {
                self.bytes.copy_within(at..end, kept);
                kept += end - at;
            }
            at = end;
        }
        self.bytes.truncate(kept);
        self.count(at);
    }

    /// Puts lines from `start` on into the index, if there is one.
    fn note(&mut self, start: usize) {
        let Some(index) = &mut self.index else {
            return;
        };
        let mut at = start;
        while at < self.bytes.len() {
            let end = line_end(&self.bytes, at);
            let line = &self.bytes[at..end];
            if line.starts_with(b"lxc.") {
                let word = word(line);
                if let Some(lines) = index.get_mut(word) {
                    lines.push(at..end);
                } else {
                    index.entry(word.into()).or_default().push(at..end);
                }
            }
            at = end;
        }
        self.count(at - start);
    }

    /// Closes the gaps.
    fn tidy(&mut self) {
        if self.gaps.is_empty() {
            return;
        }
        self.bytes = self.bytes().into_owned();
        self.gaps.clear();
        self.gone = 0;
        self.index = None;
        self.count(self.bytes.len());
    }

    /// Tests ask how much was done.
    #[inline]
    fn count(&mut self, bytes: usize) {
        #[cfg(test)]
        {
            self.work += bytes;
        }
        let _ = bytes;
    }
}

fn line_end(text: &[u8], start: usize) -> usize {
    memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |length| start + length + 1)
}

/// What stands before the first blank or `=`.
fn word(line: &[u8]) -> &[u8] {
    let end = line
        .iter()
        .position(|b| *b == b'=' || crate::line::is_space(*b));
    &line[..end.unwrap_or(line.len())]
}

/// Whether the line is one of the key's, or of a key below it where the key stands for a family.
fn is_of(key: &[u8], family: bool, line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(key) else {
        return false;
    };
    match rest.first() {
        None => false,
        Some(b'.') => family && !(key == b"lxc.cgroup" && is_cgroup_setting(rest)),
        Some(next) => *next == b'=' || crate::line::is_space(*next),
    }
}

/// `lxc.cgroup.dir*` and `.relative` are settings of their own, not v1 limits.
fn is_cgroup_setting(rest: &[u8]) -> bool {
    [&b".dir"[..], b".relative"].iter().any(|name| {
        rest.strip_prefix(*name)
            .is_some_and(|tail| matches!(tail.first(), Some(b'.' | b' ' | b'=' | b'\t')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by reading everything each time.
    fn plainly_removed(text: &str, key: &str, family: bool) -> String {
        text.split_inclusive('\n')
            .filter(|line| !is_of(key.as_bytes(), family, line.as_bytes()))
            .collect()
    }

    #[test]
    fn long_texts_lose_the_same_lines_as_short_ones() {
        let keys = [
            ("lxc.net", true),
            ("lxc.net.3", true),
            ("lxc.net.3.type", false),
            ("lxc.cgroup", true),
            ("lxc.cgroup2.memory.max", false),
            ("lxc.hook", true),
            ("lxc.tty.max", false),
            ("lxc.sysctl.a b", false),
            ("lxc.sysctl.a", false),
            ("lxc.absent", false),
        ];
        let lines = [
            "lxc.net.3.type = veth\n",
            "lxc.net.31.type = veth\n",
            "lxc.net = \n",
            "# lxc.net.3.type\n",
            "  lxc.tty.max = 3\n",
            "lxc.tty.max=4\n",
            "lxc.tty.max\t= 4\n",
            "\n",
            "lxc.cgroup.dir = a\n",
            "lxc.cgroup.dirt = a\n",
            "lxc.cgroup.relative = 1\n",
            "lxc.cgroup2.memory.max = 1\n",
            "lxc.cgroup2.memory.maximum = 1\n",
            "lxc.hook.start = a\n",
            "lxc.hooks = a\n",
            "lxc.sysctl.a b = 1\n",
            "lxc.sysctl.a = 1\n",
            "nothing of this\n",
        ];
        for (length, first) in [(1, 0), (40, 3), (40, 9)] {
            let plain: String = lines.repeat(length).concat();
            let (mut text, mut plain) = (Text::default(), plain);
            let whole = 0..plain.len();
            text.take(plain.clone().into_bytes(), &[whole]);
            for (key, family) in keys.iter().cycle().skip(first).take(keys.len()) {
                text.remove(key);
                plain = plainly_removed(&plain, key, *family);
                assert_eq!(String::from_utf8_lossy(&text.bytes()), plain, "{key}");
                text.add("lxc.tty.max", "7");
                text.take(b"x\nlxc.hook.stop = y\nz\n".to_vec(), &[2..20, 20..22]);
                plain += "lxc.tty.max = 7\nlxc.hook.stop = y\nz\n";
                assert_eq!(String::from_utf8_lossy(&text.bytes()), plain, "{key}");
            }
        }
    }

    #[test]
    fn setting_and_removing_costs_the_same_in_a_long_text() {
        let work_of = |lines: usize, set: &str, removed: &str| {
            let other: String = (0..lines)
                .map(|n| format!("lxc.sysctl.a{n} = 1\n"))
                .collect();
            let mut text = Text::default();
            let whole = 0..other.len();
            text.take(other.into_bytes(), &[whole]);
            for _ in 0..lines {
                text.add(set, "1500");
                text.remove(removed);
            }
            text.work / lines
        };
        for (set, removed) in [
            ("lxc.net.0.mtu", "lxc.net.0.mtu"),
            ("lxc.net.0.mtu", "lxc.net"),
            ("lxc.sysctl.b", "lxc.sysctl.b"),
        ] {
            let (short, long) = (work_of(500, set, removed), work_of(20_000, set, removed));
            assert!(
                long <= 2 * short + 64,
                "{removed}: {short} and {long} bytes a step"
            );
        }
    }
}
