//! A configuration as text and as typed values, kept in step.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

use crate::config::Config;
use crate::error::{KeyError, LineError, LoadError, Location, ValueError};
use crate::hwaddr;
use crate::keys::{self, Fault, KEY_TABLE, KeyRow};
use crate::legacy;
use crate::line::{Line, Lines};
use crate::load::{self, Entered, Includes};
use crate::reader::{Kept, Reader};
use crate::save;
use crate::text::Text;
use crate::v1::{NO_V1, V1Limits, Warning, is_v1_limit};
use crate::value;

const INCLUDE: &str = "lxc.include";

/// Where each key was given, in order; `None`: by [`Document::set`].
pub(crate) type Origins = BTreeMap<String, Vec<Option<Location>>>;

/// A container's configuration: the text as written and the [`Config`] that it means.
///
/// The text is LXC's "unexpanded" text: files loaded and keys set, without what they include.
/// [`Self::set`], [`Self::clear`] and [`Self::load_file`] change both as LXC 7.0.0 does, and
/// [`Self::save`] writes what its `save_config` would.
///
/// # References
/// lxc.container.conf(5)
#[derive(Debug, Clone, Default)]
pub struct Document {
    text: Text,
    config: Config,
    origins: Option<Origins>,
    v1_limits: V1Limits,
    warnings: Vec<Warning>,
    /// Refused numbers that LXC's getter shows all the same.
    refused: Vec<(&'static str, u32)>,
}

/// Yes-or-no keys whose handler in LXC stores a number before it refuses it.
const STORED_FIRST: [&str; 6] = [
    "lxc.apparmor.allow_incomplete",
    "lxc.apparmor.allow_nesting",
    "lxc.autodev",
    "lxc.console.rotate",
    "lxc.ephemeral",
    "lxc.start.auto",
];

impl Document {
    /// An empty configuration: every key at its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Like [`Self::new`], and remembers where each value comes from (for [`Self::effective`]).
    pub fn with_origins() -> Self {
        Self {
            origins: Some(Origins::new()),
            ..Self::default()
        }
    }

    /// With another answer to the limits of cgroup v1 than this host's.
    #[must_use]
    pub fn with_v1_limits(mut self, answer: V1Limits) -> Self {
        self.v1_limits = answer;
        self
    }

    /// What was accepted and has no effect, in the order of reading.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The typed values.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The typed values, for a runtime that fills in what it chose. The text does not follow.
    pub fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    /// The unexpanded text. Bytes of comments that are not UTF-8 are shown as U+FFFD; [`Self::save`]
    /// keeps them.
    pub fn text(&self) -> Cow<'_, str> {
        match self.text.bytes() {
            Cow::Borrowed(text) => String::from_utf8_lossy(text),
            Cow::Owned(text) => Cow::Owned(String::from_utf8_lossy(&text).into_owned()),
        }
    }

    /// The unexpanded text, byte by byte.
    pub fn text_bytes(&self) -> Cow<'_, [u8]> {
        self.text.bytes()
    }

    pub(crate) fn origins(&self) -> Origins {
        self.origins.clone().unwrap_or_default()
    }

    /// Adds a file: its values to the typed configuration, its lines to the text.
    ///
    /// # Errors
    /// The first wrong line or unreadable file, with its place. What was read before stays, as in LXC.
    pub fn load_file(&mut self, path: &Path) -> Result<(), LoadError> {
        self.load(path, &mut Includes::default(), false)
    }

    /// Adds text as if it stood in a file of this name (no file is read but those it includes).
    ///
    /// # Errors
    /// As [`Self::load_file`].
    pub fn load_text(&mut self, name: &Path, text: &[u8]) -> Result<(), LoadError> {
        self.load_own(name, text.to_vec(), &mut Includes::default())
    }

    fn load(
        &mut self,
        path: &Path,
        includes: &mut Includes,
        included: bool,
    ) -> Result<(), LoadError> {
        match includes.enter(path)? {
            Entered::File(text) => self.load_entered(path, text, includes, included),
            Entered::Directory => Err(load::is_a_directory(path)),
        }
    }

    fn load_entered(
        &mut self,
        path: &Path,
        text: Vec<u8>,
        includes: &mut Includes,
        included: bool,
    ) -> Result<(), LoadError> {
        if self.config.rcfile.is_none() {
            self.config.rcfile = Some(path.to_owned());
        }
        if !included {
            let result = self.load_own(path, text, includes);
            includes.leave();
            return result;
        }
        let mut reader = Reader::new(path, &text, includes);
        let result = self.read_lines(&mut reader);
        includes.leave();
        includes.recycle(text);
        result
    }

    /// Reads a text whose lines are kept.
    fn load_own(
        &mut self,
        path: &Path,
        mut text: Vec<u8>,
        includes: &mut Includes,
    ) -> Result<(), LoadError> {
        if !matches!(text.last(), None | Some(b'\n' | b'\r')) {
            text.push(b'\n');
        }
        let mut reader = Reader::new(path, &text, includes);
        reader.kept = Some(Kept::default());
        let result = self.read_lines(&mut reader);
        let kept = reader.kept.take().unwrap_or_default();
        for (at, filled) in kept.filled {
            text[at..at + filled.len()].copy_from_slice(&filled);
        }
        // Inside the lines that are kept there is none.
        if memchr::memchr(b'\r', &text).is_some() {
            text.iter_mut()
                .filter(|byte| **byte == b'\r')
                .for_each(|byte| *byte = b'\n');
        }
        self.text.take(text, &kept.parts);
        result
    }

    fn read_lines(&mut self, reader: &mut Reader<'_>) -> Result<(), LoadError> {
        let text = reader.text;
        let valid = std::str::from_utf8(text).ok();
        let nul = memchr::memchr(0, text).unwrap_or(usize::MAX);
        for (number, range) in Lines::new(text) {
            if nul < range.end {
                return Err(reader.located(number, nul - range.start, LineError::Nul));
            }
            let raw = &text[range.clone()];
            let parsed = Line::parse(raw);
            reader.keep(&range, &parsed);
            let (key, value) = match parsed {
                Line::Pair { key, value } => (key, value),
                Line::NoEquals => {
                    let column = raw.len() - raw.trim_ascii_start().len();
                    return Err(reader.located(number, column, LineError::NoEquals));
                }
                Line::Blank | Line::Comment | Line::Ignored => continue,
            };
            // Comments may be in any encoding; what is acted on must not be guessed.
            let line = match valid {
                Some(valid) => &valid[range.clone()],
                None => std::str::from_utf8(raw).map_err(|error| {
                    reader.located(number, error.valid_up_to(), LineError::NotUtf8)
                })?,
            };
            let name = &line[key.clone()];
            let mut value_text = Cow::Borrowed(&line[value.clone()]);
            if hwaddr::is_key(name) {
                // The saved text holds the address that was chosen.
                let filled = hwaddr::fill(&raw[value.clone()]);
                value_text = Cow::Owned(String::from_utf8_lossy(&filled).into_owned());
                if let Some(kept) = &mut reader.kept {
                    kept.filled.push((range.start + value.start, filled));
                }
            }
            if let Err(error) = self.apply(name, &value_text, reader.includes) {
                let column = match &error {
                    KeyError::Unknown { .. } => key.start,
                    KeyError::Value { source, .. } => value.start + source.span.map_or(0, |s| s.0),
                    _ => value.start,
                };
                return Err(reader.located(number, column, error.into()));
            }
            let at = || Some(reader.place(number, key.start));
            self.warn(name, &value_text, at);
            self.record(name, &value_text, at);
        }
        Ok(())
    }

    fn warn(&mut self, key: &str, value: &str, at: impl FnOnce() -> Option<Location>) {
        if self.v1_limits == V1Limits::Accept || !is_v1_limit(key) {
            return;
        }
        let below = format!("{key}.");
        if value.is_empty() {
            let cleared = |name: &str| name == key || name.starts_with(&below);
            self.warnings.retain(|warning| !cleared(&warning.key));
            return;
        }
        let warning = Warning {
            at: at(),
            key: key.to_owned(),
            message: NO_V1.to_owned(),
        };
        tracing::warn!("{warning}");
        self.warnings.push(warning);
    }

    fn record(&mut self, key: &str, value: &str, at: impl FnOnce() -> Option<Location>) {
        let Some(origins) = &mut self.origins else {
            return;
        };
        if value.is_empty() {
            let below = format!("{key}.");
            let all = (Bound::Included(below.as_str()), Bound::Unbounded);
            let members = origins.range::<str, _>(all).map(|(name, _)| name);
            let members = members.take_while(|name| name.starts_with(&below));
            for member in members.cloned().collect::<Vec<_>>() {
                origins.remove(&member);
            }
            origins.remove(key);
        } else if key != INCLUDE {
            origins.entry(key.to_owned()).or_default().push(at());
        }
    }

    /// Runs the key's handler.
    fn apply(&mut self, key: &str, value: &str, includes: &mut Includes) -> Result<(), KeyError> {
        let Some((row, rest)) = keys::lookup(key) else {
            return Err(unknown(key));
        };
        if row.name == INCLUDE {
            return self.apply_include(key, value, includes);
        }
        if self.v1_limits == V1Limits::Refuse && !value.is_empty() && is_v1_limit(key) {
            return Err(failed(key, value, ValueError::new(NO_V1).into()));
        }
        match (row.parse)(&mut self.config, rest, value) {
            Ok(()) => {
                self.forget_refused(row.name);
                Ok(())
            }
            Err(fault) => {
                self.keep_refused(row, value);
                Err(failed(key, value, fault))
            }
        }
    }

    #[cold]
    fn apply_include(
        &mut self,
        key: &str,
        value: &str,
        includes: &mut Includes,
    ) -> Result<(), KeyError> {
        self.include(value, includes)
            .map_err(|source| KeyError::Include {
                key: key.to_owned(),
                value: value.to_owned(),
                source: Box::new(source),
            })
    }

    /// As in LXC a number that is refused may still be a yes, and be shown.
    #[cold]
    fn keep_refused(&mut self, row: &'static KeyRow, value: &str) {
        if STORED_FIRST.contains(&row.name)
            && let Ok(number) = value::uint(value)
            && (row.parse)(&mut self.config, "", "1").is_ok()
        {
            self.forget_refused(row.name);
            self.refused.push((row.name, number));
        }
    }

    fn forget_refused(&mut self, key: &str) {
        if !self.refused.is_empty() {
            self.refused.retain(|(name, _)| *name != key);
        }
    }

    fn include(&mut self, value: &str, includes: &mut Includes) -> Result<(), LoadError> {
        if value.is_empty() {
            return Ok(());
        }
        let path = Path::new(value);
        if !value.ends_with('/')
            && let Entered::File(text) = includes.enter(path)?
        {
            return self.load_entered(path, text, includes, true);
        }
        for file in load::members(path)? {
            self.load(&file, includes, true)?;
        }
        Ok(())
    }

    /// Sets a key, as `set_config_item` does: the value is stored and the line `key = value` appended;
    /// an empty value clears the key and removes its lines.
    ///
    /// # Errors
    /// An unknown key, a wrong value, or a line break or NUL in either (nothing is changed then).
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), KeyError> {
        one_line(key, key)?;
        one_line(key, value)?;
        // The kept line holds the address that was chosen.
        let filled = hwaddr::is_key(key).then(|| hwaddr::fill(value.as_bytes()));
        let filled = filled.as_deref().map(String::from_utf8_lossy);
        let value = filled.as_deref().unwrap_or(value);
        self.apply(key, value, &mut Includes::default())?;
        if value.is_empty() {
            self.text.remove(key);
        } else {
            self.text.add(key, value);
        }
        self.warn(key, value, || None);
        self.record(key, value, || None);
        Ok(())
    }

    /// Resets a key to its default and removes its lines, as `clear_config_item` does.
    ///
    /// # Errors
    /// An unknown key, or a network that is not configured.
    pub fn clear(&mut self, key: &str) -> Result<(), KeyError> {
        let (row, rest) = keys::lookup(key).ok_or_else(|| unknown(key))?;
        self.forget_refused(row.name);
        (row.clear)(&mut self.config, rest).map_err(|fault| failed(key, "", fault))?;
        self.text.remove(key);
        self.warn(key, "", || None);
        self.record(key, "", || None);
        Ok(())
    }

    /// Forgets everything: values, text, and which file was read first.
    pub fn clear_all(&mut self) {
        let origins = self.origins.as_ref().map(|_| Origins::new());
        *self = Self {
            origins,
            v1_limits: self.v1_limits,
            ..Self::default()
        };
    }

    /// A key's value in the form of LXC's getter: lists with a newline after each element, numbers
    /// in decimal, an empty text for what is not set.
    ///
    /// # Errors
    /// An unknown key, a network that is not configured, or a key that can only be written.
    pub fn get(&self, key: &str) -> Result<String, KeyError> {
        let (row, rest) = keys::lookup(key).ok_or_else(|| unknown(key))?;
        if let Some((_, number)) = self.refused.iter().find(|(name, _)| *name == row.name) {
            return Ok(number.cast_signed().to_string());
        }
        (row.show)(&self.config, rest).map_err(|fault| failed(key, "", fault))
    }

    /// The names that LXC's `get_keys` lists: all keys, or the sub-keys of a prefix (without it).
    ///
    /// # Errors
    /// A prefix without sub-keys.
    pub fn keys(&self, prefix: Option<&str>) -> Result<Vec<String>, KeyError> {
        let owned = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        let Some(prefix) = prefix else {
            return Ok(KEY_TABLE
                .iter()
                .filter(|row| row.listed && !row.name.ends_with('.'))
                .map(|row| row.name.to_owned())
                .collect());
        };
        let of_nic = prefix
            .strip_prefix("lxc.net.")
            .and_then(|rest| keys::net::keys_of(&self.config, rest));
        match of_nic {
            Some(list) => Ok(owned(&list)),
            None => keys::subkeys(prefix)
                .map(owned)
                .ok_or_else(|| KeyError::NoSubkeys {
                    key: prefix.to_owned(),
                }),
        }
    }

    /// Writes the text to `path`, replacing the file in one step. An existing file keeps its owner and
    /// mode; a new one gets 0660 less the umask.
    ///
    /// # Errors
    /// The file or its directory cannot be written; an existing file is untouched then.
    pub fn save(&self, path: &Path) -> Result<(), LoadError> {
        save::save(path, &self.text.bytes()).map_err(|source| LoadError::Write {
            path: path.to_owned(),
            source,
        })
    }

    /// As [`Document::save`], without waiting for the disk: for a container that is being made, whose files are not on
    /// the disk either.
    ///
    /// # Errors
    /// As [`Document::save`].
    pub fn save_unsynced(&self, path: &Path) -> Result<(), LoadError> {
        save::save_unsynced(path, &self.text.bytes()).map_err(|source| LoadError::Write {
            path: path.to_owned(),
            source,
        })
    }
}

fn one_line(key: &str, text: &str) -> Result<(), KeyError> {
    match memchr::memchr3(b'\n', b'\r', 0, text.as_bytes()) {
        Some(offset) => Err(KeyError::LineBreak {
            key: key.replace(['\n', '\r', '\0'], "?"),
            offset,
        }),
        None => Ok(()),
    }
}

#[cold]
pub(crate) fn unknown(key: &str) -> KeyError {
    let hint = match (legacy::replacement(key), keys::nearest_key(key)) {
        (Some(new), _) => {
            format!("; since LXC 2.1 it is {new}: rlxc update-config -c FILE converts the file")
        }
        (None, Some(near)) => format!("; did you mean {near}?"),
        (None, None) => String::new(),
    };
    KeyError::Unknown {
        key: key.to_owned(),
        hint,
    }
}

#[cold]
pub(crate) fn failed(key: &str, value: &str, fault: Fault) -> KeyError {
    let owned = key.to_owned();
    match fault {
        Fault::Value(source) => KeyError::Value {
            key: owned,
            value: value.to_owned(),
            source,
        },
        Fault::Unknown => unknown(key),
        Fault::NotReadable => KeyError::NotReadable { key: owned },
        Fault::NoSuchNic => KeyError::NoSuchNic { key: owned },
        Fault::WrongType => KeyError::WrongType { key: owned },
    }
}
