use rlxc_config::Config;

/// What autostart needs to know about a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AutostartEntry {
    /// The container
    pub name: String,
    /// `lxc.start.auto`
    pub auto: bool,
    /// `lxc.start.order`
    pub order: i32,
    /// `lxc.start.delay` in seconds
    pub delay: u32,
    /// `lxc.group`
    pub groups: Vec<String>,
}

impl AutostartEntry {
    /// Reads what is needed off a configuration.
    pub fn new(name: &str, config: &Config) -> Self {
        Self {
            name: name.to_owned(),
            auto: config.start.auto,
            order: config.start.order,
            delay: config.start.delay,
            groups: config.groups.clone(),
        }
    }
}

/// Which containers autostart acts on.
#[derive(Debug, Clone, Default)]
pub struct AutostartFilter {
    /// `-a`: whatever their groups
    pub all: bool,
    /// `-A`: also those without `lxc.start.auto = 1`
    pub ignore_auto: bool,
    /// `-g`: members of these groups, earlier groups first; an empty name stands for containers in
    /// no group. An empty list: containers in no group
    pub groups: Vec<String>,
    /// For shutdown and kill: the other way round
    pub reverse: bool,
}

/// The containers that autostart acts on, in order: by group as asked for, then `lxc.start.order`,
/// then name.
pub fn autostart_order(
    mut entries: Vec<AutostartEntry>,
    filter: &AutostartFilter,
) -> Vec<AutostartEntry> {
    entries.retain(|entry| entry.auto || filter.ignore_auto);
    entries.sort_by(|a, b| {
        let order = a.order.cmp(&b.order).then_with(|| a.name.cmp(&b.name));
        if filter.reverse {
            order.reverse()
        } else {
            order
        }
    });
    if filter.all {
        return entries;
    }
    let no_group = [String::new()];
    let groups = match filter.groups.as_slice() {
        [] => &no_group[..],
        groups => groups,
    };
    let mut chosen = Vec::new();
    for group in groups {
        let (found, rest): (Vec<_>, Vec<_>) =
            entries
                .into_iter()
                .partition(|entry| match group.is_empty() {
                    true => entry.groups.is_empty(),
                    false => entry.groups.contains(group),
                });
        chosen.extend(found);
        entries = rest;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, order: i32, groups: &[&str]) -> AutostartEntry {
        AutostartEntry {
            name: name.into(),
            auto: name != "manual",
            order,
            delay: 0,
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        }
    }

    fn names(filter: &AutostartFilter) -> Vec<String> {
        let entries = vec![
            entry("b", 1, &[]),
            entry("a", 1, &[]),
            entry("late", 9, &["web", "onboot"]),
            entry("early", -1, &["onboot"]),
            entry("manual", 0, &[]),
        ];
        let chosen = autostart_order(entries, filter);
        chosen.into_iter().map(|e| e.name).collect()
    }

    #[test]
    fn without_groups_only_containers_in_no_group_are_chosen() {
        let mut filter = AutostartFilter::default();
        assert_eq!(names(&filter), ["a", "b"]);
        filter.ignore_auto = true;
        assert_eq!(names(&filter), ["manual", "a", "b"]);
        filter.all = true;
        filter.reverse = true;
        assert_eq!(names(&filter), ["late", "b", "a", "manual", "early"]);
    }

    #[test]
    fn groups_are_taken_in_the_order_asked_for_and_each_container_once() {
        let filter = AutostartFilter {
            groups: vec!["web".into(), "onboot".into(), String::new()],
            ..AutostartFilter::default()
        };
        assert_eq!(names(&filter), ["late", "early", "a", "b"]);
    }
}
