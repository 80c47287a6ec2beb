//! The lines of `lxc.mount.entry` and of fstab files (fstab(5), getmntent(3)).

use std::path::PathBuf;

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till1, take_while_m_n};
use nom::combinator::{map, map_opt, value};
use nom::multi::fold_many1;
use nom::{IResult, Parser};

use crate::config::{CreateTarget, IdmapSource, MountEntry};
use crate::error::ValueError;

/// Mount flags as mount(2) numbers them.
#[allow(missing_docs)]
pub mod mount_flag {
    pub const RDONLY: u64 = 1;
    pub const NOSUID: u64 = 2;
    pub const NODEV: u64 = 4;
    pub const NOEXEC: u64 = 8;
    pub const SYNCHRONOUS: u64 = 16;
    pub const REMOUNT: u64 = 32;
    pub const MANDLOCK: u64 = 64;
    pub const DIRSYNC: u64 = 128;
    pub const NOSYMFOLLOW: u64 = 256;
    pub const NOATIME: u64 = 1024;
    pub const NODIRATIME: u64 = 2048;
    pub const BIND: u64 = 4096;
    pub const MOVE: u64 = 8192;
    pub const REC: u64 = 16384;
    pub const UNBINDABLE: u64 = 1 << 17;
    pub const PRIVATE: u64 = 1 << 18;
    pub const SLAVE: u64 = 1 << 19;
    pub const SHARED: u64 = 1 << 20;
    pub const RELATIME: u64 = 1 << 21;
    pub const STRICTATIME: u64 = 1 << 24;
    pub const LAZYTIME: u64 = 1 << 25;
}

use mount_flag as ms;

/// Name, flag, whether the name sets it.
const FLAGS: [(&str, u64, bool); 28] = [
    ("atime", ms::NOATIME, false),
    ("dev", ms::NODEV, false),
    ("diratime", ms::NODIRATIME, false),
    ("exec", ms::NOEXEC, false),
    ("noatime", ms::NOATIME, true),
    ("nodev", ms::NODEV, true),
    ("nodiratime", ms::NODIRATIME, true),
    ("noexec", ms::NOEXEC, true),
    ("norelatime", ms::RELATIME, false),
    ("nostrictatime", ms::STRICTATIME, false),
    ("nosymfollow", ms::NOSYMFOLLOW, true),
    ("nosuid", ms::NOSUID, true),
    ("relatime", ms::RELATIME, true),
    ("ro", ms::RDONLY, true),
    ("rw", ms::RDONLY, false),
    ("strictatime", ms::STRICTATIME, true),
    ("suid", ms::NOSUID, false),
    ("bind", ms::BIND, true),
    ("move", ms::MOVE, true),
    ("defaults", 0, true),
    ("rbind", ms::BIND | ms::REC, true),
    ("sync", ms::SYNCHRONOUS, true),
    ("async", ms::SYNCHRONOUS, false),
    ("dirsync", ms::DIRSYNC, true),
    ("lazytime", ms::LAZYTIME, true),
    ("mand", ms::MANDLOCK, true),
    ("nomand", ms::MANDLOCK, false),
    ("remount", ms::REMOUNT, true),
];

const PROPAGATION: [(&str, u64); 8] = [
    ("private", ms::PRIVATE),
    ("shared", ms::SHARED),
    ("slave", ms::SLAVE),
    ("unbindable", ms::UNBINDABLE),
    ("rprivate", ms::PRIVATE | ms::REC),
    ("rshared", ms::SHARED | ms::REC),
    ("rslave", ms::SLAVE | ms::REC),
    ("runbindable", ms::UNBINDABLE | ms::REC),
];

/// One field with getmntent's escapes: `\040` and the like, `\\`.
fn field(input: &str) -> IResult<&str, String> {
    let plain = |c: char| matches!(c, ' ' | '\t' | '\\');
    fold_many1(
        alt((
            map(take_till1(plain), str::to_owned),
            map_opt(
                (
                    tag("\\"),
                    take_while_m_n(3, 3, |c: char| ('0'..='7').contains(&c)),
                ),
                |(_, digits): (&str, &str)| match digits {
                    "040" => Some(" ".to_owned()),
                    "011" => Some("\t".to_owned()),
                    "012" => Some("\n".to_owned()),
                    "134" => Some("\\".to_owned()),
                    _ => None,
                },
            ),
            value("\\".to_owned(), tag("\\\\")),
            value("\\".to_owned(), tag("\\")),
        )),
        String::new,
        |mut field, part| {
            field.push_str(&part);
            field
        },
    )
    .parse(input)
}

fn skip_blanks(input: &str) -> &str {
    input.trim_start_matches([' ', '\t'])
}

/// Takes the next field off `rest`.
fn take(rest: &mut &str, name: &str) -> Result<String, ValueError> {
    let (tail, text) = field(rest).map_err(|_: nom::Err<nom::error::Error<&str>>| {
        ValueError::new(format!(
            "expected \"SOURCE TARGET TYPE OPTIONS\" as in fstab(5): {name} is missing"
        ))
    })?;
    *rest = skip_blanks(tail);
    Ok(text)
}

impl MountEntry {
    /// Parses `SOURCE TARGET TYPE [OPTIONS [DUMP PASS]]`. A final line end is ignored.
    ///
    /// Options are matched as whole words (LXC matches their beginnings, so that `rootcontext=…` would
    /// mean `ro`). Of two contradicting options the last one wins.
    ///
    /// # Errors
    /// A missing field, or a value of `create=` or `idmap=` that has no meaning.
    pub fn parse(line: &str) -> Result<Self, ValueError> {
        let trimmed = skip_blanks(line.trim_end_matches(['\n', '\r']));
        let mut rest = trimmed;
        let mut entry = Self {
            source: take(&mut rest, "SOURCE")?,
            target: take(&mut rest, "TARGET")?,
            fstype: take(&mut rest, "TYPE")?,
            ..Self::default()
        };
        if !rest.is_empty() {
            let options = rest;
            let text = take(&mut rest, "OPTIONS")?;
            entry.options(&text).map_err(|e| e.at(line, options))?;
        }
        Ok(entry)
    }

    /// Parses a whole fstab file: comments and empty lines are skipped. Errors come with the line's number.
    ///
    /// # Errors
    /// The first wrong line.
    pub fn parse_fstab(text: &str) -> Result<Vec<Self>, (usize, ValueError)> {
        text.lines()
            .enumerate()
            .filter(|(_, line)| !matches!(line.trim_start().bytes().next(), None | Some(b'#')))
            .map(|(at, line)| Self::parse(line).map_err(|error| (at + 1, error)))
            .collect()
    }

    fn options(&mut self, options: &str) -> Result<(), ValueError> {
        let mut data = Vec::new();
        for word in options.split(',').filter(|w| !w.is_empty()) {
            self.dev |= word == "dev";
            if let Some((_, flag, sets)) = FLAGS.iter().find(|(name, ..)| *name == word) {
                if *sets {
                    self.flags |= flag;
                    self.cleared &= !flag;
                } else {
                    self.cleared |= flag;
                    self.flags &= !flag;
                }
            } else if let Some((_, flag)) = PROPAGATION.iter().find(|(name, _)| *name == word) {
                self.propagation = *flag;
            } else if !self.own_option(word)? {
                data.push(word);
            }
        }
        self.data = data.join(",");
        Ok(())
    }

    /// LXC's own options; `false` if `word` is none.
    fn own_option(&mut self, word: &str) -> Result<bool, ValueError> {
        match word.split_once('=') {
            None => match word {
                "optional" => self.optional = true,
                "relative" => self.relative = true,
                _ => return Ok(false),
            },
            Some(("create", kind)) => {
                self.create = Some(match kind {
                    "dir" => CreateTarget::Dir,
                    "file" => CreateTarget::File,
                    _ => return Err(ValueError::expected("create=dir or create=file")),
                });
            }
            Some(("idmap", source)) => {
                self.idmap = Some(match source {
                    "container" => IdmapSource::Container,
                    path if path.starts_with('/') => IdmapSource::Path(PathBuf::from(path)),
                    _ => return Err(ValueError::expected("idmap=container or idmap=/PATH")),
                });
            }
            Some(_) => return Ok(false),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_split_into_flags_own_options_and_data() {
        let entry = MountEntry::parse(
            "/srv/a\\040b srv\tnone rbind,ro,nosuid,suid,rslave,create=dir,optional,relative,idmap=container,size=1m,mode=755 0 0",
        )
        .unwrap();
        assert_eq!(entry.source, "/srv/a b");
        assert_eq!(
            (entry.target.as_str(), entry.fstype.as_str()),
            ("srv", "none")
        );
        assert_eq!(entry.flags, ms::BIND | ms::REC | ms::RDONLY);
        assert_eq!(entry.cleared, ms::NOSUID);
        assert_eq!(entry.propagation, ms::SLAVE | ms::REC);
        assert_eq!(entry.create, Some(CreateTarget::Dir));
        assert!(entry.optional && entry.relative && !entry.dev);
        assert_eq!(entry.idmap, Some(IdmapSource::Container));
        assert_eq!(entry.data, "size=1m,mode=755");
    }

    #[test]
    fn words_that_begin_like_a_flag_are_data() {
        let entry = MountEntry::parse("a b tmpfs rootcontext=x,device=y,dev").unwrap();
        assert_eq!(
            (entry.flags, entry.data.as_str()),
            (0, "rootcontext=x,device=y")
        );
        assert!(entry.dev);
    }

    #[test]
    fn missing_fields_and_wrong_values_are_errors() {
        assert!(MountEntry::parse("").is_err());
        assert!(MountEntry::parse("/a b").is_err());
        assert!(MountEntry::parse("/a b none create=x").is_err());
        assert!(MountEntry::parse("/a b none idmap=x").is_err());
        let fstab = "# c\n\nproc proc proc defaults\nbad\n";
        assert_eq!(MountEntry::parse_fstab(fstab).unwrap_err().0, 4);
    }
}
