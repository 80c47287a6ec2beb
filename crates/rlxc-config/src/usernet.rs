//! /etc/lxc/lxc-usernet: which user may have how many interfaces on which bridge (lxc-usernet(5)).

use std::io;
use std::path::Path;

use nom::bytes::complete::{tag, take_till1};
use nom::character::complete::{digit1, space1};
use nom::combinator::{map_opt, opt};
use nom::sequence::preceded;
use nom::{IResult, Parser};
use serde::{Deserialize, Serialize};

/// Whom a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UsernetName {
    /// A user's name.
    User(String),
    /// `@group`: every member.
    Group(String),
}

/// One line: `NAME TYPE BRIDGE NUMBER`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsernetRule {
    /// User or group.
    pub name: UsernetName,
    /// Kind of interface; LXC knows `veth`.
    pub kind: String,
    /// Bridge, or `none`.
    pub bridge: String,
    /// How many interfaces.
    pub count: u32,
}

/// All rules, in the file's order. Rules for the same user, type and bridge add up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usernet {
    /// The rules.
    pub rules: Vec<UsernetRule>,
}

fn field(input: &str) -> IResult<&str, &str> {
    take_till1(|c: char| c == ' ' || c == '\t').parse(input)
}

/// The number at the beginning, as scanf(3) reads one: what follows does not count. One below zero, or
/// too large, grants nothing in LXC.
pub(crate) fn count(input: &str) -> IResult<&str, u32> {
    let number = preceded(opt(tag("+")), digit1);
    map_opt(number, |digits: &str| {
        let number: i32 = digits.parse().ok()?;
        u32::try_from(number).ok()
    })
    .parse(input)
}

/// A line begins with its name at once, and may end in anything.
fn rule(line: &str) -> Option<UsernetRule> {
    let parsed: IResult<&str, (&str, &str, &str, u32)> = (
        field,
        preceded(space1, field),
        preceded(space1, field),
        preceded(space1, count),
    )
        .parse(line);
    let (_, (name, kind, bridge, count)) = parsed.ok()?;
    Some(UsernetRule {
        name: match name.strip_prefix('@') {
            Some(group) => UsernetName::Group(group.to_owned()),
            None => UsernetName::User(name.to_owned()),
        },
        kind: kind.to_owned(),
        bridge: bridge.to_owned(),
        count,
    })
}

impl Usernet {
    /// Parses the file's text. Lines that do not have the four fields are ignored, as in LXC, and so is
    /// what follows the number. A line begins with its name at once.
    pub fn parse(text: &str) -> Self {
        let rules = text
            .split('\n')
            .filter(|line| !line.starts_with('#'))
            .filter_map(rule)
            .collect();
        Self { rules }
    }

    /// Reads `path` (the host's is SYSCONFDIR/lxc/lxc-usernet); a missing file has no rules.
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub fn load(path: &Path) -> io::Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Self::parse(&String::from_utf8_lossy(&bytes))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(e),
        }
    }

    /// The rules that let `user`, a member of `groups`, use `bridge` with interfaces of `kind`.
    pub fn matching<'a>(
        &'a self,
        user: &'a str,
        groups: &'a [String],
        kind: &'a str,
        bridge: &'a str,
    ) -> impl Iterator<Item = &'a UsernetRule> {
        self.rules.iter().filter(move |rule| {
            rule.kind == kind
                && rule.bridge == bridge
                && match &rule.name {
                    UsernetName::User(name) => name == user,
                    UsernetName::Group(name) => groups.contains(name),
                }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_a_user_and_his_groups_are_found() {
        let text = "# user type bridge n\nann veth lxcbr0 10\n@dev\tveth lxcbr0 5\nbob veth br1 x\nann veth lxcbr0\n";
        let net = Usernet::parse(text);
        assert_eq!(net.rules.len(), 2);
        let groups = ["dev".to_owned()];
        let total: u32 = net
            .matching("ann", &groups, "veth", "lxcbr0")
            .map(|r| r.count)
            .sum();
        assert_eq!(total, 15);
        assert_eq!(net.matching("bob", &[], "veth", "br1").count(), 0);
    }

    #[test]
    fn numbers_are_read_up_to_what_follows_them() {
        let number = |line: &str| Usernet::parse(line).rules.first().map(|rule| rule.count);
        for (line, wanted) in [
            ("ann veth br0 10 # ten", Some(10)),
            ("ann veth br0 10\r", Some(10)),
            ("ann veth br0 10x", Some(10)),
            ("ann\tveth \t br0   +7 8", Some(7)),
            ("ann veth br0 0x10", Some(0)),
            ("ann veth br0 -3", None),
            ("ann veth br0 2147483647", Some(2_147_483_647)),
            ("ann veth br0 2147483648", None),
            ("ann veth br0 99999999999999", None),
            (" ann veth br0 1", None),
            ("ann veth br0 x1", None),
            ("ann veth br0", None),
            ("ann veth br0 - 1", None),
        ] {
            assert_eq!(number(line), wanted, "{line:?}");
        }
    }
}
