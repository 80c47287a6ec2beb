//! A seccomp policy as data, and its meaning without BPF.

use std::collections::BTreeSet;
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

impl Rule {
    /// Whether it is about a system call of this machine.
    fn concerns(&self, machine: &[Arch]) -> bool {
        let known = |arch: &Arch| match &self.syscall {
            Syscall::Name(name) => arch.number(name).is_some(),
            Syscall::Number(_) => true,
        };
        let mut meant = machine
            .iter()
            .filter(|arch| self.arch.is_none_or(|of| of == **arch));
        meant.any(known)
    }

    /// Whether the conditions are the same, and the action is not.
    fn contradicts(&self, other: &Self) -> bool {
        let within = |these: &Self, those: &Self| {
            these
                .conditions
                .iter()
                .all(|condition| those.conditions.contains(condition))
        };
        self.syscall == other.syscall
            && (self.arch.is_none() || other.arch.is_none() || self.arch == other.arch)
            && self.action != other.action
            && !self.conditions.is_empty()
            && within(self, other)
            && within(other, self)
    }
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
        let policy = parser::policy(text).map_err(|fault| Error::Policy {
            path: path.into(),
            line: fault.line,
            column: fault.column,
            reason: fault.reason,
        })?;
        policy.without_contradiction(path)?;
        Ok(policy)
    }

    /// What libseccomp refuses as well: rules that mean nothing, and such as say two things at once.
    fn without_contradiction(&self, path: &Path) -> Result<()> {
        let machine = Arch::of_machine().unwrap_or_default();
        let fault = |rule: &Rule, reason: String| Error::Policy {
            path: path.into(),
            line: rule.line,
            column: 1,
            reason,
        };
        let rules = self.rules.iter().filter(|rule| rule.concerns(&machine));
        let rules: Vec<&Rule> = rules.filter(|_| self.version > 1).collect();
        for (number, rule) in rules.iter().enumerate() {
            if rule.action == self.default {
                let reason = "the rule's action is the policy's default: it would have no effect";
                return Err(fault(rule, reason.into()));
            }
            let indices = rule.conditions.iter().map(|condition| condition.index);
            if indices.clone().collect::<BTreeSet<_>>().len() < indices.count() {
                let reason = "two conditions on one argument: only one is possible in a rule";
                return Err(fault(rule, reason.into()));
            }
            let before = rules[..number].iter();
            if let Some(other) = before.rev().find(|other| rule.contradicts(other)) {
                let line = other.line;
                let reason = format!("line {line} has another action for the same arguments");
                return Err(fault(rule, reason));
            }
        }
        Ok(())
    }

    /// Whether the policy's rules ask a supervisor.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.default == Action::Notify
            || self.rules.iter().any(|rule| rule.action == Action::Notify)
    }
}
