//! Arrays of C strings, built before a fork.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char};
use std::ptr;

/// Strings as `execve` wants them.
#[derive(Debug, Default)]
pub struct StringArray {
    strings: Vec<CString>,
    /// To the strings, and a null
    pointers: Vec<*const c_char>,
}

impl StringArray {
    /// An array of `strings`.
    pub fn new(strings: Vec<CString>) -> Self {
        // The bytes of a CString stay in place when the CString itself moves.
        let mut pointers: Vec<_> = strings.iter().map(|s| s.as_ptr()).collect();
        pointers.push(ptr::null());
        Self { strings, pointers }
    }

    /// The strings.
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }

    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// A program to execute: where it may be, and its arguments.
#[derive(Debug)]
pub struct Candidates {
    pub(super) paths: Vec<CString>,
    pub(super) argv: StringArray,
    /// `/bin/sh PATH ARGUMENTS…`, for a script without an interpreter line; the path is filled in
    pub(super) script: Vec<Cell<*const c_char>>,
}

const SHELL: &CStr = c"/bin/sh";

impl Candidates {
    /// The program of `argv[0]`: itself when it has a slash, else searched for in the directories
    /// of `path` (an empty one is the current directory), as execvp(3) does.
    ///
    /// Returns `None` when `argv` is empty.
    pub fn new(argv: Vec<CString>, path: &[u8]) -> Option<Self> {
        let program = argv.first()?.clone();
        Some(Self::of_program(&program, argv, path))
    }

    /// As [`Candidates::new`], with a program that need not be what `argv[0]` says.
    pub fn of_program(name: &CStr, argv: Vec<CString>, path: &[u8]) -> Self {
        let program = name.to_bytes();
        let paths = match program.contains(&b'/') || program.is_empty() {
            true => vec![name.to_owned()],
            false => path
                .split(|b| *b == b':')
                .filter_map(|dir| join(dir, program))
                .collect(),
        };
        let argv = StringArray::new(argv);
        let mut script = vec![Cell::new(SHELL.as_ptr()), Cell::new(ptr::null())];
        script.extend(argv.pointers.iter().skip(1).map(|p| Cell::new(*p)));
        Self {
            paths,
            argv,
            script,
        }
    }
}

fn join(dir: &[u8], program: &[u8]) -> Option<CString> {
    let mut path = dir.to_vec();
    if !dir.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(program);
    CString::new(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_searched_for_and_a_path_is_not() {
        let of = |program: &str| {
            let argv = vec![CString::new(program).unwrap(), c"-x".to_owned()];
            Candidates::new(argv, b"/bin::/sbin").unwrap().paths
        };
        assert_eq!(
            of("ls"),
            [
                c"/bin/ls".to_owned(),
                c"ls".to_owned(),
                c"/sbin/ls".to_owned()
            ]
        );
        assert_eq!(of("./ls"), [c"./ls".to_owned()]);
        assert_eq!(of(""), [c"".to_owned()]);
        assert!(Candidates::new(Vec::new(), b"/bin").is_none());
    }
}
