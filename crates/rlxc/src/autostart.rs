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
    /// Containers whose namespaces it shares (`lxc.namespace.share.*`): they have to run before it starts
    pub needs: Vec<String>,
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
            needs: config.namespace_share.values().cloned().collect(),
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

/// The same containers in batches, one after another, whose members need not wait for each other: they have the same
/// `lxc.start.order` and come from the same group, none but the last asks for a delay after it, and none shares
/// namespaces with another. What shares a container's namespaces starts after it, whatever the order says, and ends
/// before it.
pub fn autostart_batches(
    mut chosen: Vec<AutostartEntry>,
    filter: &AutostartFilter,
) -> Vec<Vec<AutostartEntry>> {
    let group = |entry: &AutostartEntry| {
        let of = |group: &String| match group.is_empty() {
            true => entry.groups.is_empty(),
            false => entry.groups.contains(group),
        };
        filter.groups.iter().position(of).filter(|_| !filter.all)
    };
    // Starting is what the needs speak of; ending goes the same way back.
    if filter.reverse {
        chosen.reverse();
    }
    chosen = needed_first(chosen);
    let mut batches: Vec<Vec<AutostartEntry>> = Vec::new();
    for entry in chosen {
        let fits = |batch: &&mut Vec<AutostartEntry>| {
            batch.iter().all(|other| {
                (other.order, group(other)) == (entry.order, group(&entry))
                    && (filter.reverse || other.delay == 0)
                    && !entry.needs.contains(&other.name)
            })
        };
        match batches.last_mut().filter(fits) {
            Some(batch) => batch.push(entry),
            None => batches.push(vec![entry]),
        }
    }
    if filter.reverse {
        batches.reverse();
        batches.iter_mut().for_each(|batch| batch.reverse());
    }
    batches
}

/// Each after those that it needs; in a circle of needs the first one begins.
fn needed_first(entries: Vec<AutostartEntry>) -> Vec<AutostartEntry> {
    fn take(at: usize, left: &mut [Option<AutostartEntry>], taken: &mut Vec<AutostartEntry>) {
        let Some(entry) = left[at].take() else { return };
        for need in &entry.needs {
            let is_needed = |other: &Option<AutostartEntry>| {
                other.as_ref().is_some_and(|other| other.name == *need)
            };
            if let Some(needed) = left.iter().position(is_needed) {
                take(needed, left, taken);
            }
        }
        taken.push(entry);
    }
    let mut left: Vec<_> = entries.into_iter().map(Some).collect();
    let mut taken = Vec::new();
    for at in 0..left.len() {
        take(at, &mut left, &mut taken);
    }
    taken
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
            needs: Vec::new(),
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

    #[test]
    fn batches_end_at_orders_groups_delays_and_needs() {
        let mut filter = AutostartFilter {
            groups: vec!["web".into(), String::new()],
            ..AutostartFilter::default()
        };
        let mut all = vec![
            entry("a", 0, &[]),
            entry("b", 0, &[]),
            entry("c", 0, &[]),
            entry("d", 1, &[]),
            entry("front", 0, &["web"]),
            entry("of-d", 0, &[]),
        ];
        all[1].delay = 3;
        all[2].needs = vec!["4711".into(), "a".into()];
        all[5].needs = vec!["d".into()];
        let names = |batches: Vec<Vec<AutostartEntry>>| -> Vec<String> {
            let each = batches.into_iter().map(|batch| {
                let names: Vec<_> = batch.into_iter().map(|entry| entry.name).collect();
                names.join(" ")
            });
            each.collect()
        };
        let chosen = autostart_order(all.clone(), &filter);
        let batches = names(autostart_batches(chosen, &filter));
        assert_eq!(batches, ["front", "a b", "c", "d", "of-d"]);
        // Ending heeds no delays.
        filter.reverse = true;
        let chosen = autostart_order(all, &filter);
        let batches = names(autostart_batches(chosen, &filter));
        assert_eq!(batches, ["front", "of-d", "d", "c", "b a"]);
        let mut circle = vec![entry("x", 0, &[]), entry("y", 0, &[])];
        circle[0].needs = vec!["y".into()];
        circle[1].needs = vec!["x".into()];
        let batches = names(autostart_batches(circle, &AutostartFilter::default()));
        assert_eq!(batches, ["y", "x"]);
    }
}
