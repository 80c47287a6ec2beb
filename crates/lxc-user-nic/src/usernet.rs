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

/// The allotments of `caller` for nics of `kind` on `bridge`: the user's own first, then those of
/// the groups in the file's order; several lines of one owner add up.
///
/// # References
/// lxc-usernet(5).
pub(crate) fn allotments(
    rules: &Usernet,
    caller: &Caller,
    kind: &str,
    bridge: &str,
) -> Vec<Allotment> {
    let mut found: Vec<Allotment> = Vec::new();
    for rule in rules
        .rules
        .iter()
        .filter(|r| r.kind == kind && r.bridge == bridge)
    {
        let owner = match &rule.name {
            UsernetName::User(user) => user.clone(),
            UsernetName::Group(group) => format!("@{group}"),
        };
        if !caller.is(&owner) {
            continue;
        }
        match found.iter_mut().find(|a| a.owner == owner) {
            Some(allotment) => allotment.number += u64::from(rule.count),
            None => found.push(Allotment {
                owner,
                number: rule.count.into(),
            }),
        }
    }
    found.sort_by_key(|allotment| allotment.owner.starts_with('@'));
    found
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
    fn rules_of_the_user_come_first_and_add_up() {
        let text = "# a comment of four words\n@lxd veth br0 5\nanna veth br0 2\nanna veth br0 3\n\
                    anna veth br1 9\nbert veth br0 7\n@staff veth br0 8\nanna veth br0 many\n\
                    anna vlan br0 4\nanna veth br0\nanna veth br0 1 2\nanna veth br0 -4\n";
        let got = allotments(&Usernet::parse(text), &caller(), "veth", "br0");
        let want = [("anna", 5), ("@lxd", 5)];
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
