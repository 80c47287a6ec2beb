//! A seccomp policy as data, and its meaning without BPF.

use std::fs;
use std::path::Path;

use super::arch::Arch;
use super::parser;
use crate::{Error, Result};

/// What happens to a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The thread is killed
    Kill,
    /// SIGSYS
    Trap,
    /// The call fails with this errno
    Errno(u16),
    /// A supervisor is asked
    Notify,
    /// Allowed, and logged
    Log,
    /// Allowed
    Allow,
}

impl Action {
    /// The value that a program returns for it (SECCOMP_RET_*).
    #[must_use]
    pub fn value(self) -> u32 {
        match self {
            Self::Kill => 0,
            Self::Trap => 0x0003_0000,
            Self::Errno(errno) => 0x0005_0000 | u32::from(errno),
            Self::Notify => 0x7fc0_0000,
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Comparison {
    NotEqual,
    Less,
    LessEqual,
    Equal,
    GreaterEqual,
    Greater,
    /// `argument & mask == value & mask`
    MaskedEqual(u64),
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// 0 … 5
    pub index: u8,
    /// How it is compared
    pub comparison: Comparison,
    /// What with
    pub value: u64,
}

impl Condition {
    /// Whether the arguments meet the condition. On architectures with 32 bits only the low half of argument, value
    /// and mask counts.
    #[must_use]
    pub fn holds(&self, args: &[u64; 6], bits32: bool) -> bool {
        let width = if bits32 {
            u64::from(u32::MAX)
        } else {
            u64::MAX
        };
        let argument = args.get(usize::from(self.index)).copied().unwrap_or(0) & width;
        let value = self.value & width;
        match self.comparison {
            Comparison::NotEqual => argument != value,
            Comparison::Less => argument < value,
            Comparison::LessEqual => argument <= value,
            Comparison::Equal => argument == value,
            Comparison::GreaterEqual => argument >= value,
            Comparison::Greater => argument > value,
            Comparison::MaskedEqual(mask) => argument & mask == value & mask,
        }
    }
}

/// Which system call a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Syscall {
    /// By name (version 2)
    Name(String),
    /// By the native number (version 1)
    Number(u32),
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The section it stands in; `None` = all architectures
    pub arch: Option<Arch>,
    /// The system call
    pub syscall: Syscall,
    /// What happens to it
    pub action: Action,
    /// All of these must hold
    pub conditions: Vec<Condition>,
    /// The line in the file, from 1
    pub line: usize,
}

/// A policy file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// 1 or 2. Version 1 knows the native architecture only.
    pub version: u8,
    /// For calls that no rule is about
    pub default: Action,
    /// The rules, in order
    pub rules: Vec<Rule>,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// When it cannot be read, or is wrong (with line and column).
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read(path).map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Parses a policy; `path` is for error messages.
    ///
    /// # Errors
    /// When it is wrong (with line and column).
    pub fn parse(text: &[u8], path: &Path) -> Result<Self> {
        parser::policy(text).map_err(|fault| Error::Policy {
            path: path.into(),
            line: fault.line,
            column: fault.column,
            reason: fault.reason,
        })
    }

    /// Whether the policy's rules ask a supervisor.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.default == Action::Notify
            || self.rules.iter().any(|rule| rule.action == Action::Notify)
    }
}
