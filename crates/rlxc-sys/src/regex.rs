//! POSIX extended regular expressions, by the C library (regex(3)).
//!
//! LXC filters names by them; another engine would disagree in the corners.

use std::ffi::CString;
use std::fmt;

/// A compiled extended regular expression that answers whether it matches.
pub struct Regex(Box<libc::regex_t>);

/// Why a pattern is none, in the C library's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPattern(pub String);

impl Regex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`BadPattern`].
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        let pattern =
            CString::new(pattern).map_err(|_| BadPattern("it contains a NUL".to_owned()))?;
        // SAFETY: regex_t is plain data, for which zeroes are valid; regcomp fills it.
        let mut regex: Box<libc::regex_t> = Box::new(unsafe { std::mem::zeroed() });
        let flags = libc::REG_EXTENDED | libc::REG_NOSUB;
        // SAFETY: both pointers live through the call; the pattern ends with a NUL.
        let code = unsafe { libc::regcomp(&raw mut *regex, pattern.as_ptr(), flags) };
        if code == 0 {
            return Ok(Self(regex));
        }
        let mut text = [0_u8; 256];
        // SAFETY: regerror writes at most the given number of bytes, NUL included, and reads the
        // regex that regcomp refused, as regerror(3) allows.
        unsafe {
            libc::regerror(
                code,
                &raw const *regex,
                text.as_mut_ptr().cast(),
                text.len(),
            );
        }
        let end = text.iter().position(|b| *b == 0).unwrap_or(text.len());
        Err(BadPattern(
            String::from_utf8_lossy(&text[..end]).into_owned(),
        ))
    }

    /// Whether it matches somewhere in `text`; never for a text with a NUL.
    pub fn is_match(&self, text: &str) -> bool {
        let Ok(text) = CString::new(text) else {
            return false;
        };
        // SAFETY: the regex was compiled, the text ends with a NUL, and no matches are asked for.
        let code = unsafe {
            libc::regexec(
                &raw const *self.0,
                text.as_ptr(),
                0,
                std::ptr::null_mut(),
                0,
            )
        };
        code == 0
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Regex")
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: it was compiled by regcomp and is freed once.
        unsafe { libc::regfree(&raw mut *self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_posix_extended() -> Result<(), BadPattern> {
        for (pattern, text, fits) in [
            ("^w", "web", true),
            ("^[[:alpha:]]+[0-9]{2}$", "web01", true),
            ("(a|b)\\1", "aa", true),
            ("x{,2}y", "y", true),
            ("\\d", "7", false),
            ("web$", "webs", false),
            ("", "anything", true),
        ] {
            assert_eq!(
                Regex::new(pattern)?.is_match(text),
                fits,
                "{pattern} {text}"
            );
        }
        assert!(!Regex::new(".")?.is_match("a\0"));
        Ok(())
    }

    #[test]
    fn a_bad_pattern_says_why() {
        for bad in ["[", "(", "a\0b", "*{"] {
            match Regex::new(bad) {
                Err(error) => assert!(!error.0.is_empty(), "{bad}"),
                Ok(_) => assert_eq!(bad, "*{", "{bad:?} is a pattern"),
            }
        }
    }
}
