//! The shell of a user, looked up without NSS.

use std::ffi::{CStr, c_char};

/// Longest line of a password file that is understood.
const LINE: usize = 1024;

/// Gathers lines of a password file and keeps the shell of one user, in fixed memory.
pub(super) struct Search {
    uid: u32,
    line: [u8; LINE],
    used: usize,
    too_long: bool,
    shell: [u8; LINE],
    found: bool,
}

impl Search {
    pub(super) fn new(uid: u32) -> Self {
        Self {
            uid,
            line: [0; LINE],
            used: 0,
            too_long: false,
            shell: [0; LINE],
            found: false,
        }
    }

    /// Takes the next bytes; true when the user has been found.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            match (byte, self.line.get_mut(self.used)) {
                (b'\n', _) => self.end_of_line(),
                (byte, Some(slot)) => {
                    *slot = *byte;
                    self.used += 1;
                }
                (_, None) => self.too_long = true,
            }
            if self.found {
                return true;
            }
        }
        false
    }

    /// There are no more bytes.
    pub(super) fn end_of_line(&mut self) {
        let line = self.line.get(..self.used).unwrap_or_default();
        let mut fields = line.split(|b| *b == b':');
        if !self.too_long
            && let Some(uid) = fields.nth(2)
            && parse(uid) == Some(self.uid)
            && let Some(shell) = fields.nth(3)
            && shell.first() == Some(&b'/')
            && let Some(to) = self.shell.get_mut(..shell.len())
            && shell.len() < LINE
        {
            to.copy_from_slice(shell);
            self.found = true;
        }
        self.used = 0;
        self.too_long = false;
    }

    /// The shell, if the user was found and has one.
    pub(super) fn shell(&self) -> Option<&CStr> {
        if !self.found {
            return None;
        }
        CStr::from_bytes_until_nul(&self.shell).ok()
    }
}

fn parse(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u32, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|d| *d < 10)?;
        number.checked_mul(10)?.checked_add(u32::from(digit))
    })
}

/// `uid` in decimal, NUL-terminated.
pub(super) fn decimal(uid: u32, buffer: &mut [c_char; 11]) -> *const c_char {
    let mut rest = uid;
    let mut at = buffer.len() - 1;
    buffer[at] = 0;
    loop {
        at -= 1;
        buffer[at] = (b'0' + (rest % 10) as u8) as c_char;
        rest /= 10;
        if rest == 0 {
            return buffer[at..].as_ptr();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell_of(uid: u32, file: &[u8], piece: usize) -> Option<String> {
        let mut search = Search::new(uid);
        let found = file.chunks(piece).any(|bytes| search.feed(bytes));
        if !found {
            search.end_of_line();
        }
        search
            .shell()
            .map(|shell| shell.to_string_lossy().into_owned())
    }

    #[test]
    fn the_shell_is_the_seventh_field_of_the_users_line() {
        let long = "l".repeat(3000);
        let file = format!(
            "root:x:0:0:root:/root:/bin/bash\n{long}:x:7:7::/:/bin/long\n\nx:y\nu:x:7:7::/:/bin/zsh\nv:x:8:8::/:"
        );
        for piece in [1, 7, 4096] {
            let of = |uid| shell_of(uid, file.as_bytes(), piece);
            assert_eq!(of(0).unwrap(), "/bin/bash");
            assert_eq!(of(7).unwrap(), "/bin/zsh");
            assert_eq!(of(8), None);
            assert_eq!(of(9), None);
        }
        assert_eq!(shell_of(1, b"u:x:1:1::/:/bin/a", 5).unwrap(), "/bin/a");
        assert_eq!(shell_of(1, b"u:x:18446744073709551617:1::/:/b", 5), None);
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        for uid in [0, 7, 10, 1000, u32::MAX] {
            let mut buffer = [0; 11];
            let text = decimal(uid, &mut buffer);
            // SAFETY: `decimal` returns a NUL-terminated string inside of `buffer`.
            let text = unsafe { CStr::from_ptr(text) };
            assert_eq!(text.to_str().unwrap(), uid.to_string());
        }
    }
}
