//! What `rlxc config check` says about the seccomp policy that a configuration names.

use std::path::Path;

use rlxc::config::{Diagnostic, Document, Severity};
use rlxc_security::Error;
use rlxc_security::seccomp::{Arch, Policy, compile};

/// Findings in the policy file; none when there is no policy, or the configuration does not load.
pub(super) fn findings(config: &Path) -> Vec<Diagnostic> {
    let mut document = Document::new();
    if document.load_file(config).is_err() {
        return Vec::new();
    }
    let Some(profile) = document.config().seccomp.profile.clone() else {
        return Vec::new();
    };
    // A missing file is told as one of the configuration's paths.
    let Ok(bytes) = std::fs::read(&profile) else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let at = |line: usize, column: usize, severity, message: String| {
        let line_text = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        Diagnostic {
            severity,
            code: "bad-policy",
            message,
            file: profile.clone(),
            line,
            column,
            length: line_text.len().saturating_sub(column - 1).max(1),
            text: line_text.to_owned(),
            expected: None,
            help: None,
        }
    };
    let compiled =
        Policy::parse(&bytes, &profile).and_then(|policy| compile(&policy, &Arch::of_machine()?));
    match compiled {
        Ok(compiled) => compiled
            .warnings
            .into_iter()
            .map(|warning| {
                // `line N: …`
                let line = warning
                    .strip_prefix("line ")
                    .and_then(|rest| rest.split(':').next()?.parse().ok());
                at(line.unwrap_or(0), 1, Severity::Warning, warning)
            })
            .collect(),
        Err(Error::Policy {
            line,
            column,
            reason,
            ..
        }) => vec![at(line, column, Severity::Error, reason)],
        Err(error) => vec![at(0, 1, Severity::Error, error.to_string())],
    }
}
