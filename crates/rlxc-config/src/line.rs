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

fn trim(line: &[u8], range: Range<usize>) -> Range<usize> {
    let Range { mut start, mut end } = range;
    while start < end && is_space(line[start]) {
        start += 1;
    }
    while end > start && is_space(line[end - 1]) {
        end -= 1;
    }
    start..end
}

impl Line {
    /// Takes a line without its line end apart.
    pub(crate) fn parse(line: &[u8]) -> Self {
        let start = trim(line, 0..line.len()).start;
        let rest = &line[start..];
        if rest.is_empty() {
            return Self::Blank;
        }
        if rest[0] == b'#' {
            return Self::Comment;
        }
        if !rest.starts_with(b"lxc.") {
            return Self::Ignored;
        }
        let Some(equals) = rest.iter().position(|b| *b == b'=').map(|at| at + start) else {
            return Self::NoEquals;
        };
        let key = trim(line, start..equals);
        let mut value = trim(line, equals + 1..line.len());
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
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            number: 1,
        }
    }
}

impl Iterator for Lines<'_> {
    type Item = (usize, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.at >= self.text.len() {
                return None;
            }
            let rest = &self.text[self.at..];
            let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let (start, number) = (self.at, self.number);
            // CR LF ends one line.
            let end = if rest[length..].starts_with(b"\r\n") {
                2
            } else {
                1
            };
            self.at += length + end;
            self.number += 1;
            if length > 0 {
                return Some((number, start..start + length));
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
    }
}
