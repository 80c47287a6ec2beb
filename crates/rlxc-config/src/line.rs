//! Cutting a file into lines, and a line into key and value, exactly as LXC does.

use std::ops::Range;

/// C's isspace.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// What a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// Blanks only.
    Blank,
    /// `#` first.
    Comment,
    /// Does not begin with `lxc.`: LXC skips it without a word.
    Ignored,
    /// `lxc.` without `=`.
    NoEquals,
    /// Byte ranges inside the line; the value without its quotes.
    Pair {
        key: Range<usize>,
        value: Range<usize>,
    },
}

/// The offset of the first byte from `start` that is no blank.
fn skip_blanks(line: &[u8], start: usize) -> usize {
    let blanks = line[start..].iter().take_while(|byte| is_space(**byte));
    start + blanks.count()
}

/// Where the text before `end` ends without its blanks, which do not reach below `start`.
fn drop_blanks(line: &[u8], start: usize, end: usize) -> usize {
    let blanks = line[start..end]
        .iter()
        .rev()
        .take_while(|byte| is_space(**byte));
    end - blanks.count()
}

impl Line {
    /// Takes a line without its line end apart.
    pub(crate) fn parse(line: &[u8]) -> Self {
        let start = skip_blanks(line, 0);
        let rest = &line[start..];
        match rest.first() {
            None => return Self::Blank,
            Some(b'#') => return Self::Comment,
            Some(_) if !rest.starts_with(b"lxc.") => return Self::Ignored,
            Some(_) => {}
        }
        let Some(equals) = memchr::memchr(b'=', rest).map(|at| at + start) else {
            return Self::NoEquals;
        };
        let key = start..drop_blanks(line, start, equals);
        let from = skip_blanks(line, equals + 1);
        let mut value = from..drop_blanks(line, from, line.len());
        if value.len() > 1
            && matches!(line[value.start], b'\'' | b'"')
            && line[value.start] == line[value.end - 1]
        {
            value = value.start + 1..value.end - 1;
        }
        Self::Pair { key, value }
    }
}

/// The lines of a text with their numbers (from 1). Empty lines are counted but not given.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    number: usize,
    /// Where the next newline and carriage return stand; the end of the text if none is left.
    newline: usize,
    carriage_return: usize,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            number: 1,
            newline: next(b'\n', text, 0),
            carriage_return: next(b'\r', text, 0),
        }
    }
}

/// Where that byte stands next; the end of the text if nowhere.
fn next(byte: u8, text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    memchr::memchr(byte, rest).map_or(text.len(), |at| from + at)
}

impl Iterator for Lines<'_> {
    type Item = (usize, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.at >= self.text.len() {
                return None;
            }
            let (start, number) = (self.at, self.number);
            let end = self.newline.min(self.carriage_return);
            self.at = end + 1;
            if end == self.carriage_return {
                self.carriage_return = next(b'\r', self.text, self.at);
                // CR LF ends one line.
                if self.newline == self.at {
                    self.at += 1;
                }
            }
            if self.newline < self.at {
                self.newline = next(b'\n', self.text, self.at);
            }
            self.number += 1;
            if end > start {
                return Some((number, start..end));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(line: &str) -> (String, String) {
        match Line::parse(line.as_bytes()) {
            Line::Pair { key, value } => (line[key].to_owned(), line[value].to_owned()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn blanks_and_one_pair_of_quotes_are_removed() {
        assert_eq!(pair("  lxc.a\t=  b c  "), ("lxc.a".into(), "b c".into()));
        assert_eq!(pair("lxc.a=\"b\""), ("lxc.a".into(), "b".into()));
        assert_eq!(pair("lxc.a=A=\"b\""), ("lxc.a".into(), "A=\"b\"".into()));
        assert_eq!(pair("lxc.a='"), ("lxc.a".into(), "'".into()));
        assert_eq!(pair("lxc.a = b # c"), ("lxc.a".into(), "b # c".into()));
    }

    #[test]
    fn lines_of_other_kinds_are_told_apart() {
        assert_eq!(Line::parse(b" # lxc.a = b"), Line::Comment);
        assert_eq!(Line::parse(b" \x0b"), Line::Blank);
        assert_eq!(Line::parse(b"foo = bar"), Line::Ignored);
        assert_eq!(Line::parse(b"lxc.a"), Line::NoEquals);
    }

    #[test]
    fn runs_of_line_ends_collapse_and_are_counted() {
        let lines: Vec<_> = Lines::new(b"a\r\n\r\n\nb\rc").collect();
        assert_eq!(lines, [(1, 0..1), (4, 6..7), (5, 8..9)]);
        let lines: Vec<_> = Lines::new(b"\r\ra\rb\r\nc\n\rd\r").collect();
        assert_eq!(lines, [(3, 2..3), (4, 4..5), (5, 7..8), (7, 10..11)]);
    }
}
