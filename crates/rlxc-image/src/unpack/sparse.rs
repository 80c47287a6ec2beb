//! Sparse files as GNU tar writes them into POSIX archives (its format 1.0): the true name and size
//! stand in extended headers, and the data begins with a map of what is no hole.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use tar::Entry;

const BLOCK: usize = 512;
/// More parts than any file of an image has.
const MAX_PARTS: u64 = 1 << 20;

/// What the extended headers tell of a sparse file.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    /// Its name; the entry's own is one that tar made up
    pub(super) name: Vec<u8>,
    /// Its size with the holes, in bytes
    pub(super) size: u64,
}

impl Sparse {
    /// `None` for an entry that is no such file.
    ///
    /// # Errors
    /// A sparse file in one of the older forms, or headers that are no numbers.
    pub(super) fn of<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Option<Self>> {
        let Some(extensions) = entry.pax_extensions()? else {
            return Ok(None);
        };
        let (mut found, mut sparse) = (None, Self::default());
        for extension in extensions {
            let extension = extension?;
            let Some(key) = extension.key_bytes().strip_prefix(b"GNU.sparse.") else {
                continue;
            };
            found.get_or_insert(false);
            match (key, extension.value_bytes()) {
                (b"major", b"1") => found = Some(true),
                (b"name", name) => sparse.name = name.to_vec(),
                (b"realsize", size) => sparse.size = number(size)?,
                _ => {}
            }
        }
        match found {
            None => Ok(None),
            Some(true) if !sparse.name.is_empty() => Ok(Some(sparse)),
            Some(_) => Err(invalid(
                "is sparse in a form older than 1.0: make the archive with --sparse-version=1.0",
            )),
        }
    }

    /// Writes the file's parts to where they belong; the holes stay.
    ///
    /// # Errors
    /// A map that is none, or what reading or writing says.
    pub(super) fn copy(&self, source: &mut impl Read, target: &mut File) -> io::Result<()> {
        let mut numbers = Numbers {
            source,
            block: [0; BLOCK],
            at: BLOCK,
        };
        let count = numbers.next()?;
        if count > MAX_PARTS {
            return Err(invalid("has too many parts"));
        }
        let mut parts = Vec::new();
        let mut end = 0;
        for _ in 0..count {
            let (offset, length) = (numbers.next()?, numbers.next()?);
            let part_end = offset.checked_add(length).filter(|end| *end <= self.size);
            let part_end = part_end.filter(|_| offset >= end);
            end = part_end.ok_or_else(|| invalid("has a map that leads out of the file"))?;
            parts.push((offset, length));
        }
        let source = numbers.source;
        for (offset, length) in parts {
            target.seek(SeekFrom::Start(offset))?;
            if io::copy(&mut source.by_ref().take(length), target)? != length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        target.set_len(self.size)
    }
}

/// The map: decimal numbers, each on a line, in whole blocks.
struct Numbers<'a, R> {
    source: &'a mut R,
    block: [u8; BLOCK],
    at: usize,
}

impl<R: Read> Numbers<'_, R> {
    fn next(&mut self) -> io::Result<u64> {
        let mut digits = Vec::new();
        loop {
            if self.at == BLOCK {
                self.source.read_exact(&mut self.block)?;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            match byte {
                b'\n' => return number(&digits),
                digit if digits.len() < 20 => digits.push(digit),
                _ => return Err(invalid("has a map of other things than numbers")),
            }
        }
    }
}

fn number(digits: &[u8]) -> io::Result<u64> {
    let text = std::str::from_utf8(digits).ok();
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| invalid("has a map of other things than numbers"))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
