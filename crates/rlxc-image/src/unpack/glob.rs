//! The patterns of an image's `excludes` file, as tar takes them: anchored at the start, `*` also
//! across slashes, and what is below a match belongs to it.

/// Whether the pattern matches the path or one of its parents.
pub(crate) fn excludes(pattern: &[u8], path: &[u8]) -> bool {
    let pattern = strip(pattern);
    if pattern.is_empty() {
        return false;
    }
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let ends = ends.map(|(at, _)| at).chain([path.len()]);
    ends.into_iter().any(|end| matches(pattern, &path[..end]))
}

fn strip(mut pattern: &[u8]) -> &[u8] {
    while let [b'/', rest @ ..] | [b'.', b'/', rest @ ..] = pattern {
        pattern = rest;
    }
    while let [rest @ .., b'/'] = pattern {
        pattern = rest;
    }
    pattern
}

/// Without recursion: a mismatch goes back to the last `*` only, so the time is bounded.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                back = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => class(&pattern[p..], text[t]),
            Some(b'\\') if pattern.get(p + 1) == Some(&text[t]) => Some(2),
            Some(byte) if *byte == text[t] => Some(1),
            _ => None,
        };
        match (step, back) {
            (Some(length), _) => {
                p += length;
                t += 1;
            }
            (None, Some((after, at))) => {
                p = after;
                t = at + 1;
                back = Some((after, at + 1));
            }
            (None, None) => return false,
        }
    }
    pattern[p.min(pattern.len())..]
        .iter()
        .all(|byte| *byte == b'*')
}

/// The length of a bracket expression that contains `byte`.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let not = matches!(pattern.get(1), Some(b'!' | b'^'));
    let start = 1 + usize::from(not);
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|b| *b == b']')?;
    let set = &pattern[start..end];
    let mut found = false;
    let mut at = 0;
    while at < set.len() {
        match set.get(at..at + 3) {
            Some([low, b'-', high]) => {
                found |= (*low..=*high).contains(&byte);
                at += 3;
            }
            _ => {
                found |= set[at] == byte;
                at += 1;
            }
        }
    }
    (found != not).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::excludes;

    #[test]
    fn patterns_are_those_of_tar() {
        let is = |pattern: &str, path: &str| excludes(pattern.as_bytes(), path.as_bytes());
        assert!(is("dev/*", "dev/null"));
        assert!(is("./dev/null", "dev/null"));
        assert!(is("/var/cache", "var/cache/apt/pkgcache.bin"));
        assert!(is("var/*/x", "var/a/b/x"));
        assert!(is("dev/tty[0-9]*", "dev/tty42"));
        assert!(!is("dev/tty[!0-9]", "dev/tty4"));
        assert!(is("lib/mod?les", "lib/modules"));
        assert!(!is("dev/null", "dev/nullx"));
        assert!(!is("dev", "etc/dev"));
        assert!(!is("", "etc"));
        assert!(is("a*b*c", "axxbxxc"));
        assert!(!is("a*b*c", "axxbxx"));
    }
}
