//! What is known of a file while its lines are read.

use std::ops::Range;
use std::path::Path;

use crate::error::{LineError, LoadError, Location};
use crate::line::Line;
use crate::load::Includes;

/// One file on its way into a document.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    path: &'a Path,
    pub(crate) text: &'a [u8],
    pub(crate) includes: &'a mut Includes,
    /// What is kept of the text; `None` for an included file.
    pub(crate) kept: Option<Kept>,
}

/// The parts of a text that are saved again.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Whole lines with their ends; neighbours are one part.
    pub(crate) parts: Vec<Range<usize>>,
    /// Addresses to write over what stands there.
    pub(crate) filled: Vec<(usize, Vec<u8>)>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(path: &'a Path, text: &'a [u8], includes: &'a mut Includes) -> Self {
        Self {
            path,
            text,
            includes,
            kept: None,
        }
    }

    /// Keeps a line; of one with nothing but blanks only its end.
    pub(crate) fn keep(&mut self, line: &Range<usize>, parsed: &Line) {
        let Some(Kept { parts, .. }) = &mut self.kept else {
            return;
        };
        let start = match parsed {
            Line::Blank => line.end,
            _ => line.start,
        };
        match parts.last_mut() {
            Some(last) if last.end == start => last.end = line.end + 1,
            _ => parts.push(start..line.end + 1),
        }
    }

    #[cold]
    pub(crate) fn place(&self, line: usize, column: usize) -> Location {
        Location {
            file: self.path.to_owned(),
            line,
            column: column + 1,
        }
    }

    #[cold]
    pub(crate) fn located(&self, line: usize, column: usize, source: LineError) -> LoadError {
        LoadError::Line {
            at: self.place(line, column),
            source: Box::new(source),
        }
    }
}
