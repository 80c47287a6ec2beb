//! /etc/lxc/lxc-usernet: which user may have how many interfaces on which bridge (lxc-usernet(5)).

use std::io;
use std::path::Path;

use nom::bytes::complete::take_till1;
use nom::character::complete::{space0, space1};
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

fn rule(line: &str) -> Option<UsernetRule> {
    let parsed: IResult<&str, (&str, &str, &str, &str)> = (
        preceded(space0, field),
        preceded(space1, field),
        preceded(space1, field),
        preceded(space1, field),
    )
        .parse(line);
    let (rest, (name, kind, bridge, count)) = parsed.ok()?;
    if !rest.trim().is_empty() {
        return None;
    }
    Some(UsernetRule {
        name: match name.strip_prefix('@') {
            Some(group) => UsernetName::Group(group.to_owned()),
            None => UsernetName::User(name.to_owned()),
        },
        kind: kind.to_owned(),
        bridge: bridge.to_owned(),
        count: count.parse().ok()?,
    })
}

impl Usernet {
    /// Parses the file's text. Lines that do not have the four fields are ignored, as in LXC.
    pub fn parse(text: &str) -> Self {
        let rules = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
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
}
