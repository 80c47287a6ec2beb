use std::str::FromStr;

use crate::Level;

/// Which events are wanted, by target and level: what `RLXC_LOG` holds, such as
/// `warn,rlxc_runtime=trace,rlxc_network=off`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Longest target first; `None` as a level: nothing of it
    rules: Vec<(String, Option<Level>)>,
}

/// A part of a filter that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no log filter: LEVEL, TARGET or TARGET=LEVEL, joined by commas")]
pub struct BadFilter(pub String);

impl Filter {
    /// All events of `level` and worse.
    pub fn of_level(level: Level) -> Self {
        Self {
            rules: vec![(String::new(), Some(level))],
        }
    }

    /// Whether an event is wanted. A rule stands for its target and all modules below it; the
    /// longest one decides.
    pub fn wants(&self, target: &str, level: Level) -> bool {
        let fits = |rule: &str| {
            rule.is_empty()
                || target
                    .strip_prefix(rule)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let rule = self.rules.iter().find(|(rule, _)| fits(rule));
        rule.and_then(|(_, least)| *least)
            .is_some_and(|least| level >= least)
    }

    /// The least level of any rule.
    pub fn least(&self) -> Option<Level> {
        self.rules.iter().filter_map(|(_, level)| *level).min()
    }
}

impl FromStr for Filter {
    type Err = BadFilter;

    fn from_str(text: &str) -> Result<Self, BadFilter> {
        let level = |word: &str| match word {
            word if word.eq_ignore_ascii_case("off") => Some(None),
            word => word.parse().ok().map(Some),
        };
        let mut rules = Vec::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let bad = || BadFilter(part.to_owned());
            rules.push(match part.split_once('=') {
                Some((target, word)) => (
                    target.trim().to_owned(),
                    level(word.trim()).ok_or_else(bad)?,
                ),
                None => match level(part) {
                    Some(level) => (String::new(), level),
                    None if part.contains(char::is_whitespace) => return Err(bad()),
                    None => (part.to_owned(), Some(Level::Trace)),
                },
            });
        }
        rules.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        Ok(Self { rules })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_target_decides() -> Result<(), BadFilter> {
        let filter: Filter = "warn,rlxc_runtime=debug,rlxc_runtime::init=off".parse()?;
        assert!(filter.wants("rlxc_network", Level::Warn));
        assert!(!filter.wants("rlxc_network", Level::Info));
        assert!(filter.wants("rlxc_runtime::start", Level::Debug));
        assert!(filter.wants("rlxc_runtime", Level::Debug));
        assert!(!filter.wants("rlxc_runtime::init::mounts", Level::Error));
        assert!(!filter.wants("rlxc_runtime_other", Level::Debug));
        assert_eq!(filter.least(), Some(Level::Debug));
        Ok(())
    }

    #[test]
    fn nonsense_is_refused_by_its_part() {
        let parsed: Result<Filter, _> = "info,rlxc=loud".parse();
        assert_eq!(parsed, Err(BadFilter("rlxc=loud".into())));
        assert_eq!("".parse(), Ok(Filter::default()));
    }
}
