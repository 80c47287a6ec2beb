use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Level;

/// The longest line, with its newline.
pub const LINE_MAX: usize = 4096;

/// A log line being built in place: it never grows beyond [`LINE_MAX`] and never allocates.
pub struct Line {
    bytes: [u8; LINE_MAX],
    len: usize,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({:?})", String::from_utf8_lossy(self.as_bytes()))
    }
}

impl Default for Line {
    fn default() -> Self {
        Self {
            bytes: [0; LINE_MAX],
            len: 0,
        }
    }
}

impl Line {
    /// What has been written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// `PREFIX[ NAME] YYYYMMDDhhmmss.mmm LEVEL    CATEGORY - FILE:FUNC:LINE - `
    pub fn head(&mut self, prefix: &str, name: &str, level: Level, place: &Place<'_>) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.push(prefix);
        if !name.is_empty() {
            self.push(" ");
            self.push(name);
        }
        let _ = write!(
            self,
            " {}.{:03} {:<8} {} - {}:{}:{} - ",
            Stamp(now.as_secs()),
            now.subsec_millis(),
            level,
            place.category,
            place.file,
            place.function,
            place.line
        );
    }

    /// Adds text; what does not fit is cut.
    pub fn push(&mut self, text: &str) {
        // One byte stays free for the newline.
        let room = LINE_MAX - 1 - self.len;
        let take = text.len().min(room);
        self.bytes[self.len..self.len + take].copy_from_slice(&text.as_bytes()[..take]);
        self.len += take;
    }

    /// Replaces line ends within the text by blanks and ends the line.
    pub fn finish(&mut self) -> &[u8] {
        for byte in &mut self.bytes[..self.len] {
            if matches!(byte, b'\n' | b'\r' | 0) {
                *byte = b' ';
            }
        }
        self.bytes[self.len] = b'\n';
        self.len += 1;
        self.as_bytes()
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

/// Where an event comes from.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub(crate) category: &'a str,
    pub(crate) file: &'a str,
    pub(crate) function: &'a str,
    pub(crate) line: u32,
}

/// `YYYYMMDDhhmmss` in UTC of seconds since 1970.
struct Stamp(u64);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0 / 86_400, self.0 % 86_400);
        // Days to a civil date, counted in eras of 400 years that begin on 1 March.
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let of_era = shifted % 146_097;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_index = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_index + 2) / 5 + 1;
        let month = if month_index < 10 {
            month_index + 3
        } else {
            month_index - 9
        };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute) = (second / 3600, second / 60 % 60);
        write!(
            f,
            "{year:04}{month:02}{day:02}{hour:02}{minute:02}{:02}",
            second % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil() {
        assert_eq!(Stamp(0).to_string(), "19700101000000");
        assert_eq!(Stamp(951_782_399).to_string(), "20000228235959");
        assert_eq!(Stamp(951_782_400).to_string(), "20000229000000");
        assert_eq!(Stamp(1_793_528_096).to_string(), "20261101101456");
    }

    #[test]
    fn a_line_is_one_line_and_bounded() {
        let mut line = Line::default();
        line.push("a\nb");
        line.push(&"x".repeat(2 * LINE_MAX));
        let bytes = line.finish();
        assert_eq!(bytes.len(), LINE_MAX);
        assert_eq!(&bytes[..3], b"a b");
        assert_eq!(bytes.iter().filter(|b| **b == b'\n').count(), 1);
    }

    #[test]
    fn the_head_has_lxcs_form() {
        let mut line = Line::default();
        let place = Place {
            category: "start",
            file: "start.rs",
            function: "run",
            line: 7,
        };
        line.head("lxc", "c1", Level::Warn, &place);
        let text = String::from_utf8_lossy(line.as_bytes()).into_owned();
        assert!(text.starts_with("lxc c1 20"), "{text}");
        assert!(
            text.ends_with(" WARN     start - start.rs:run:7 - "),
            "{text}"
        );
    }
}
