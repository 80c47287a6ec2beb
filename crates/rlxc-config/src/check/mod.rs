//! Diagnostics: every problem of a configuration in one pass, each with its place.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::Config;
use crate::document::failed;
use crate::error::{KeyError, LineError, LoadError, short};
use crate::keys;
use crate::line::{Line, Lines};
use crate::load::{self, Entered, Includes};

mod global;
mod host;
mod kernel;
mod lines;
mod lints;
mod render;

pub use render::render;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Accepted, but surely not what was meant, or without effect here.
    Warning,
    /// The configuration cannot be loaded or started.
    Error,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// A short name of the kind of finding: `unknown-key`, `bad-value`, …
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// The file.
    pub file: PathBuf,
    /// Line from 1; 0 if the file as a whole is meant.
    pub line: usize,
    /// Column from 1, in bytes.
    pub column: usize,
    /// Length of the offending part in bytes.
    pub length: usize,
    /// The whole line.
    pub text: String,
    /// What would be right: shown under the offending part.
    pub expected: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let file = self.file.display();
        write!(
            f,
            "{file}:{}:{}: {severity}: {}",
            self.line, self.column, self.message
        )?;
        if let Some(expected) = &self.expected {
            write!(f, ": {expected}")?;
        }
        Ok(())
    }
}

/// What the checks may assume about the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckOptions {
    /// Look at the host: paths, cgroup hierarchies, security modules.
    pub host: bool,
    /// Whether the host has cgroup v2 alone.
    pub unified: bool,
    /// Report keys of a cgroup hierarchy that the host lacks as errors.
    pub strict_cgroup: bool,
}

impl Default for CheckOptions {
    /// This host, as it is.
    fn default() -> Self {
        Self {
            host: true,
            unified: Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
            strict_cgroup: false,
        }
    }
}

/// After so many findings the rest of a file is not looked at: it is no configuration.
const MAX_FINDINGS: usize = 1000;

/// Checks a file and all that it includes against this host. Findings come in the order of reading,
/// those about the whole last; a clean file gives none. Files named `lxc.conf` and `lxc-usernet` are
/// checked as what they are.
pub fn check(path: &Path) -> Vec<Diagnostic> {
    check_with(path, CheckOptions::default())
}

/// As [`check`] with given assumptions.
pub fn check_with(path: &Path, options: CheckOptions) -> Vec<Diagnostic> {
    let mut checker = Checker::new();
    let mut includes = Includes::default();
    match includes.enter(path) {
        Ok(Entered::Directory) => {
            let error = load::is_a_directory(path);
            checker.found.push(whole_file(path, &error));
        }
        Ok(Entered::File(text)) => {
            let own = global::kind_of(path).and_then(|kind| global::check(kind, path, &text));
            if let Some(found) = own {
                return found;
            }
            checker.file(path, &text, &mut includes);
        }
        Err(error) => checker.found.push(whole_file(path, &error)),
    }
    lints::run(&mut checker, options);
    checker.found
}

/// As [`check_with`] for text that stands in no file yet; findings name `name` as its place.
pub fn check_text(name: &Path, text: &[u8], options: CheckOptions) -> Vec<Diagnostic> {
    let mut checker = Checker::new();
    checker.file(name, text, &mut Includes::default());
    lints::run(&mut checker, options);
    checker.found
}

fn whole_file(path: &Path, error: &LoadError) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: "unreadable",
        message: chain(error),
        file: path.to_owned(),
        line: 0,
        column: 0,
        length: 0,
        text: String::new(),
        expected: None,
        help: None,
    }
}

/// An error and its sources in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

/// A line that set a key.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    file: PathBuf,
    line: usize,
    text: String,
    key: (usize, usize),
    value: (usize, usize),
}

impl Place {
    fn value(&self) -> &str {
        self.text
            .get(self.value.0..self.value.1)
            .unwrap_or_default()
    }

    /// A finding about the value, or the part of it at `span` (offset, length).
    fn about_value(
        &self,
        severity: Severity,
        code: &'static str,
        message: impl Into<String>,
        span: Option<(usize, usize)>,
    ) -> Diagnostic {
        let (start, length) = span.unwrap_or((0, self.value.1 - self.value.0));
        self.about(
            severity,
            code,
            message,
            (self.value.0 + start, self.value.0 + start + length),
        )
    }

    fn about_key(
        &self,
        severity: Severity,
        code: &'static str,
        message: impl Into<String>,
    ) -> Diagnostic {
        self.about(severity, code, message, self.key)
    }

    fn about(
        &self,
        severity: Severity,
        code: &'static str,
        message: impl Into<String>,
        span: (usize, usize),
    ) -> Diagnostic {
        Diagnostic {
            severity,
            code,
            message: message.into(),
            file: self.file.clone(),
            line: self.line,
            column: span.0 + 1,
            length: span.1 - span.0,
            text: self.text.clone(),
            expected: None,
            help: None,
        }
    }
}

impl Diagnostic {
    fn expected(mut self, text: impl Into<String>) -> Self {
        self.expected = Some(text.into());
        self
    }

    fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }
}

/// The pass over the files: a scratch configuration, where each key was set, and what was found.
#[derive(Debug)]
pub(crate) struct Checker {
    config: Config,
    places: HashMap<String, Vec<Place>>,
    found: Vec<Diagnostic>,
}

impl Checker {
    fn new() -> Self {
        Self {
            config: Config::default(),
            places: HashMap::new(),
            found: Vec::new(),
        }
    }

    /// Checks a file that has been entered, and leaves it.
    fn file(&mut self, path: &Path, text: &[u8], includes: &mut Includes) {
        for (number, range) in Lines::new(text) {
            if self.found.len() >= MAX_FINDINGS {
                break;
            }
            let raw = &text[range];
            let line = String::from_utf8_lossy(raw);
            let place = Place {
                file: path.to_owned(),
                line: number,
                text: line.clone().into_owned(),
                key: (0, line.len()),
                value: (line.len(), line.len()),
            };
            if let Some(at) = raw.iter().position(|b| *b == 0) {
                self.found.push(place.about(
                    Severity::Error,
                    "nul",
                    LineError::Nul.to_string(),
                    (at, at + 1),
                ));
                continue;
            }
            if let Err(error) = std::str::from_utf8(raw)
                && matches!(Line::parse(raw), Line::Pair { .. } | Line::NoEquals)
            {
                let at = error.valid_up_to();
                self.found.push(place.about(
                    Severity::Error,
                    "not-utf8",
                    LineError::NotUtf8.to_string(),
                    (at, at + char::REPLACEMENT_CHARACTER.len_utf8()),
                ));
                continue;
            }
            match Line::parse(line.as_bytes()) {
                Line::Blank | Line::Comment => {}
                Line::Ignored => self.found.push(lines::ignored(&place)),
                Line::NoEquals => {
                    let start = line.len() - line.trim_start().len();
                    let end = line.trim_end().len();
                    self.found.push(
                        place
                            .about(
                                Severity::Error,
                                "no-equals",
                                "there is no \"=\"",
                                (start, end),
                            )
                            .expected("key = value"),
                    );
                }
                Line::Pair { key, value } => {
                    let place = Place {
                        key: (key.start, key.end),
                        value: (value.start, value.end),
                        ..place
                    };
                    self.pair(place, includes);
                }
            }
        }
        includes.leave();
    }

    fn pair(&mut self, place: Place, includes: &mut Includes) {
        let name = place.text[place.key.0..place.key.1].to_owned();
        let value = place.value().to_owned();
        if name == "lxc.include" {
            self.include(&place, &value, includes);
            return;
        }
        let Some((row, rest)) = keys::lookup(&name) else {
            self.found.push(lines::unknown(&place, &name));
            return;
        };
        match (row.parse)(&mut self.config, rest, &value)
            .map_err(|fault| failed(&name, &value, fault))
        {
            Ok(()) => self.found.extend(lines::suspicious(&place, &name, &value)),
            Err(KeyError::Unknown { .. }) => {
                self.found.push(lines::unknown(&place, &name));
                return;
            }
            Err(KeyError::Value { source, .. }) => {
                let message = if value.is_empty() {
                    format!("{name} has no value")
                } else {
                    format!("{name} cannot be {:?}", short(&value))
                };
                let finding = place
                    .about_value(Severity::Error, "bad-value", message, source.span)
                    .expected(source.message);
                self.found.push(match lines::comment_in(&name, &value) {
                    Some(_) => finding.help("a comment cannot follow a value: it is part of it"),
                    None => finding,
                });
            }
            Err(other) => {
                self.found
                    .push(place.about_key(Severity::Error, "bad-key", chain(&other)))
            }
        }
        if value.is_empty() {
            self.places.remove(&name);
        } else {
            self.places.entry(name).or_default().push(place);
        }
    }

    fn include(&mut self, place: &Place, value: &str, includes: &mut Includes) {
        if value.is_empty() {
            return;
        }
        let path = Path::new(value);
        if !value.ends_with('/') {
            match includes.enter(path) {
                Ok(Entered::File(text)) => return self.file(path, &text, includes),
                Ok(Entered::Directory) => {}
                Err(error) => return self.bad_include(place, &error),
            }
        }
        let files = match load::members(path) {
            Ok(files) => files,
            Err(error) => return self.bad_include(place, &error),
        };
        for file in files {
            match includes.enter(&file) {
                Ok(Entered::File(text)) => self.file(&file, &text, includes),
                Ok(Entered::Directory) => {
                    self.bad_include(place, &load::is_a_directory(&file));
                }
                Err(error) => self.bad_include(place, &error),
            }
        }
    }

    fn bad_include(&mut self, place: &Place, error: &LoadError) {
        self.found
            .push(place.about_value(Severity::Error, "bad-include", chain(error), None));
    }
}

#[cfg(test)]
mod tests;
