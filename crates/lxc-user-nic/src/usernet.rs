//! /etc/lxc/lxc-usernet: who may have how many nics on which bridge.

use rlxc_config::{Usernet, UsernetName};

/// What an owner of the file's rules may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allotment {
    /// User name, or `@group`
    pub(crate) owner: String,
    /// Number of nics
    pub(crate) number: u64,
}

/// The caller as the rules name them.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
}

impl Caller {
    /// Whether `owner` (a user name or `@group`) is the caller.
    pub(crate) fn is(&self, owner: &str) -> bool {
        match owner.strip_prefix('@') {
            Some(group) => self.groups.iter().any(|g| g == group),
            None => owner == self.user,
        }
    }
}

/// The allotments of `caller` for nics of `kind` on `bridge`, in the file's order. As in LXC each line is
/// held against all that its owner has: of several lines for one owner the greatest number counts.
///
/// # References
/// lxc-usernet(5).
pub(crate) fn allotments(
    rules: &Usernet,
    caller: &Caller,
    kind: &str,
    bridge: &str,
) -> Vec<Allotment> {
    let rules = rules.rules.iter();
    rules
        .filter(|rule| rule.kind == kind && rule.bridge == bridge)
        .map(|rule| Allotment {
            owner: match &rule.name {
                UsernetName::User(user) => user.clone(),
                UsernetName::Group(group) => format!("@{group}"),
            },
            number: rule.count.into(),
        })
        .filter(|allotment| caller.is(&allotment.owner))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Caller {
        Caller {
            user: "anna".into(),
            groups: vec!["anna".into(), "lxd".into()],
        }
    }

    #[test]
    fn the_callers_lines_count_in_the_files_order() {
        let text = "# a comment of four words\n@lxd veth br0 5\nanna veth br0 2\nanna veth br0 3 more\n\
                    anna veth br1 9\nbert veth br0 7\n@staff veth br0 8\nanna veth br0 many\n\
                    anna vlan br0 4\nanna veth br0\nanna veth br0 -4\n";
        let got = allotments(&Usernet::parse(text), &caller(), "veth", "br0");
        let want = [("@lxd", 5), ("anna", 2), ("anna", 3)];
        let got: Vec<_> = got.iter().map(|a| (a.owner.as_str(), a.number)).collect();
        assert_eq!(got, want);
        assert!(allotments(&Usernet::parse(text), &caller(), "veth", "none").is_empty());
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_files_never_panic(text: String) {
            allotments(&Usernet::parse(&text), &caller(), "veth", "br0");
        }
    }
}
