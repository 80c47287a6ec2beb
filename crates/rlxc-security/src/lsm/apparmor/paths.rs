//! Path patterns for "everything but": rules of apparmor.d(5) have no exceptions, and a `deny` beats every other
//! rule, so what is left out has to be said by what its name does not begin with.

use std::collections::BTreeMap;

/// What a name that is left out covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Covers {
    /// The name and everything below it
    Tree,
    /// Files whose names begin so, and nothing below them
    Prefix,
}

#[derive(Default)]
struct Node {
    next: BTreeMap<char, Node>,
    end: Option<Covers>,
}

/// Patterns that together match what lies below `root` and is not one of `kept`: names with single slashes, relative
/// to `root`, which itself ends in a slash. None begins with another.
#[must_use]
pub(super) fn all_but(root: &str, kept: &[(&str, Covers)]) -> Vec<String> {
    let mut top = Node::default();
    for (name, covers) in kept {
        let node = name.chars().fold(&mut top, |node, letter| {
            node.next.entry(letter).or_default()
        });
        node.end = Some(*covers);
    }
    let mut patterns = Vec::new();
    walk(&top, &mut root.to_owned(), &mut patterns);
    patterns
}

fn walk(node: &Node, path: &mut String, patterns: &mut Vec<String>) {
    match node.end {
        Some(Covers::Tree) => patterns.push(format!("{path}?*{{,/**}}")),
        Some(Covers::Prefix) => patterns.push(format!("{path}*/**")),
        None if node.next.keys().eq(&['/']) => patterns.push(format!("{path}?*{{,/**}}")),
        None => {
            let letters: String = node.next.keys().filter(|letter| **letter != '/').collect();
            patterns.push(format!("{path}[^{letters}]*{{,/**}}"));
        }
    }
    for (letter, below) in &node.next {
        path.push(*letter);
        walk(below, path, patterns);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel matches: `*` and `?` stop at slashes, `**` does not.
    fn matches(pattern: &[u8], path: &[u8]) -> bool {
        match pattern {
            [] => path.is_empty(),
            [b'{', b',', b'/', b'*', b'*', b'}'] => {
                path.is_empty() || (path[0] == b'/' && path.len() > 1)
            }
            [b'/', b'*', b'*'] => path.len() > 1 && path[0] == b'/',
            [b'*', rest @ ..] => (0..=path.len())
                .take_while(|end| !path[..*end].contains(&b'/'))
                .any(|end| matches(rest, &path[end..])),
            [b'?', rest @ ..] => {
                path.first().is_some_and(|byte| *byte != b'/') && matches(rest, &path[1..])
            }
            [b'[', b'^', rest @ ..] => {
                let end = rest.iter().position(|byte| *byte == b']').unwrap_or(0);
                path.first()
                    .is_some_and(|byte| !rest[..end].contains(byte) && *byte != b'/')
                    && matches(&rest[end + 1..], &path[1..])
            }
            [byte, rest @ ..] => path.first() == Some(byte) && matches(rest, &path[1..]),
        }
    }

    #[test]
    fn everything_else_is_matched_and_what_is_kept_is_not() {
        let kept = [
            ("kernel/hostname", Covers::Tree),
            ("kernel/msg", Covers::Prefix),
            ("net", Covers::Tree),
        ];
        let patterns = all_but("/proc/sys/", &kept);
        let matched = |path: &str| {
            patterns
                .iter()
                .any(|pattern| matches(pattern.as_bytes(), path.as_bytes()))
        };
        for path in [
            "kernel/core_pattern",
            "kernel/hotplug",
            "kernel/hostnames",
            "kernel/modprobe",
            "kernel/msgx/below",
            "vm/overcommit_memory",
            "fs/suid_dumpable",
            "nets/x",
            "kernelx",
            "ne2",
        ] {
            assert!(
                matched(&format!("/proc/sys/{path}")),
                "{path}: {patterns:?}"
            );
        }
        for path in [
            "kernel/hostname",
            "kernel/msgmax",
            "kernel/msg",
            "net/ipv4/ip_forward",
            "net",
        ] {
            assert!(
                !matched(&format!("/proc/sys/{path}")),
                "{path}: {patterns:?}"
            );
        }
    }

    #[test]
    fn a_tree_below_a_directory_leaves_the_rest_of_the_directory() {
        let patterns = all_but("/", &[("proc", Covers::Tree), ("dev/.lxc", Covers::Tree)]);
        let matched = |path: &str| {
            patterns
                .iter()
                .any(|pattern| matches(pattern.as_bytes(), path.as_bytes()))
        };
        assert!(
            matched("/dev/null") && matched("/dev/.lxd/x") && matched("/procs") && matched("/etc")
        );
        assert!(!matched("/dev/.lxc/proc") && !matched("/proc/1") && !matched("/proc"));
    }
}
