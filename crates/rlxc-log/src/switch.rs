//! A log that can be closed and opened again: a library's, which ends before its process does.

use std::sync::{Once, PoisonError, RwLock};

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::{LogSubscriber, Settings};

static CURRENT: RwLock<Option<LogSubscriber>> = RwLock::new(None);

/// Writes by these settings from now on; the file of those before is closed. The first call installs
/// the process's subscriber, unless the program has one of its own, which then stays.
pub fn replace(settings: Settings) {
    static INSTALLED: Once = Once::new();
    *CURRENT.write().unwrap_or_else(PoisonError::into_inner) = Some(LogSubscriber::new(settings));
    INSTALLED.call_once(|| {
        let _ = tracing::subscriber::set_global_default(Switch);
    });
    tracing_core::callsite::rebuild_interest_cache();
}

struct Switch;

fn current<T>(otherwise: T, ask: impl FnOnce(&LogSubscriber) -> T) -> T {
    let current = CURRENT.read().unwrap_or_else(PoisonError::into_inner);
    current.as_ref().map_or(otherwise, ask)
}

impl Subscriber for Switch {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        current(false, |log| log.enabled(metadata))
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        current(None, LogSubscriber::max_level_hint)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        current((), |log| log.event(event));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    #[test]
    fn a_closed_log_takes_no_more_lines_and_another_can_follow() -> std::io::Result<()> {
        let path = |n| std::env::temp_dir().join(format!("rlxc-switch-{}-{n}", std::process::id()));
        let open = |n| {
            replace(Settings {
                level: Some(Level::Info),
                file: crate::open(&path(n)).ok(),
                ..Settings::default()
            });
        };
        open(1);
        tracing::info!("first");
        replace(Settings::default());
        tracing::info!("to nobody");
        open(2);
        tracing::info!("second");
        replace(Settings::default());
        let text = |n| std::fs::read_to_string(path(n));
        let (first, second) = (text(1)?, text(2)?);
        for n in [1, 2] {
            std::fs::remove_file(path(n))?;
        }
        assert!(
            first.ends_with("first\n") && !first.contains("nobody"),
            "{first}"
        );
        assert!(
            second.ends_with("second\n") && !second.contains("nobody"),
            "{second}"
        );
        Ok(())
    }
}
