//! Policy → classic BPF.
//!
//! ```text
//! load arch ── one block an audit token ── load nr ── binary search over numbers ── the call's rules ── return
//! ```
//! Each block ends every path with a return, so blocks are simply put one behind the other.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use super::arch::{Arch, X32_BIT, multiplexed_x86};
use super::policy::{Action, Comparison, Condition, Policy, Rule, Syscall};
use super::program::Program;
use crate::{Error, Result};

/// BPF_MAXINSNS
const MAX_INSTRUCTIONS: usize = 4096;

/// One instruction: code, jump if true, jump if false, operand.
pub(super) type Insn = (u16, u8, u8, u32);

pub(super) const LOAD: u16 = 0x20;
pub(super) const JUMP: u16 = 0x05;
pub(super) const JUMP_EQUAL: u16 = 0x15;
pub(super) const JUMP_GREATER_EQUAL: u16 = 0x35;
pub(super) const RETURN: u16 = 0x06;
const OFFSET_NR: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const OFFSET_ARGS: u32 = 16;

/// A compiled policy.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The program
    pub program: Program,
    /// Rules that have no effect, each with its line
    pub warnings: Vec<String>,
}

/// What holds for one system call of one architecture, in order; the first whose conditions hold decides.
pub(super) type Chain = Vec<(Vec<Condition>, Action)>;

/// The rules of one architecture by number.
pub(super) type Table = BTreeMap<u32, Chain>;

/// Compiles `policy` for `architectures`, the native one first.
///
/// Calls of an architecture that is not among them are killed. Several rules on one call: an unconditional rule
/// replaces those before it, and what comes after it has no effect; among conditional ones the first that holds
/// decides.
///
/// # Errors
/// When the program would be too long for the kernel.
pub fn compile(policy: &Policy, architectures: &[Arch]) -> Result<Compiled> {
    let mut warnings = Vec::new();
    let tables = tables(policy, architectures, &mut warnings);
    let mut code = vec![(LOAD, 0, 0, OFFSET_ARCH)];
    let mut done: Vec<u32> = Vec::new();
    for (arch, _) in &tables {
        let token = arch.audit_token();
        if done.contains(&token) {
            continue;
        }
        done.push(token);
        let block = token_block(token, &tables, policy.default)?;
        guard(&mut code, JUMP_EQUAL, token, block);
    }
    code.push(ret(Action::Kill));
    if code.len() > MAX_INSTRUCTIONS {
        return Err(Error::ProgramTooLong { len: code.len() });
    }
    Ok(Compiled {
        program: Program {
            instructions: code,
            notify: policy.notifies(),
        },
        warnings,
    })
}

/// The rules of each architecture, by number.
pub(super) fn tables(
    policy: &Policy,
    architectures: &[Arch],
    warnings: &mut Vec<String>,
) -> Vec<(Arch, Table)> {
    // A version 1 policy has native numbers only.
    let count = if policy.version == 1 {
        1
    } else {
        architectures.len()
    };
    architectures
        .iter()
        .take(count)
        .map(|&arch| {
            let mut table = Table::new();
            for rule in policy
                .rules
                .iter()
                .filter(|rule| rule.arch.is_none_or(|of| of == arch))
            {
                add_rule(&mut table, arch, rule, arch == architectures[0], warnings);
            }
            (arch, table)
        })
        .collect()
}

fn add_rule(table: &mut Table, arch: Arch, rule: &Rule, native: bool, warnings: &mut Vec<String>) {
    let number = match &rule.syscall {
        Syscall::Number(number) => Some(*number),
        Syscall::Name(name) => arch.number(name),
    };
    if let Some(number) = number {
        add(
            table.entry(number).or_default(),
            rule.conditions.clone(),
            rule.action,
        );
    }
    let Syscall::Name(name) = &rule.syscall else {
        return;
    };
    let multiplexed = if arch == Arch::X86 {
        multiplexed_x86(name)
    } else {
        None
    };
    if let Some((carrier, sub_call)) = multiplexed
        && let Some(carrier) = arch.number(carrier)
    {
        if rule.conditions.is_empty() {
            let is_sub_call = Condition {
                index: 0,
                comparison: Comparison::Equal,
                value: sub_call,
            };
            add(
                table.entry(carrier).or_default(),
                vec![is_sub_call],
                rule.action,
            );
        } else {
            warnings.push(format!(
                "line {}: conditions on {name} cannot hold for its x86 form within socketcall or ipc",
                rule.line
            ));
        }
    } else if number.is_none() && (native || rule.arch.is_some()) {
        warnings.push(format!(
            "line {}: {} has no system call {name}; the rule is skipped",
            rule.line,
            arch.name()
        ));
    }
}

fn add(chain: &mut Chain, conditions: Vec<Condition>, action: Action) {
    if chain.iter().any(|(conditions, _)| conditions.is_empty()) {
        return;
    }
    if conditions.is_empty() {
        chain.clear();
    }
    chain.push((conditions, action));
}

/// The code for one audit token; x86_64 and x32 share theirs.
fn token_block(token: u32, tables: &[(Arch, Table)], default: Action) -> Result<Vec<Insn>> {
    let mut code = vec![(LOAD, 0, 0, OFFSET_NR)];
    let find = |wanted: Arch| {
        tables
            .iter()
            .find(|(arch, _)| *arch == wanted)
            .map(|(_, table)| table)
    };
    if token == Arch::X86_64.audit_token() {
        let native = search(&entries(find(Arch::X86_64), false, default)?, default);
        let x32 = match find(Arch::X32) {
            Some(table) => search(&entries(Some(table), true, default)?, default),
            None => vec![ret(Action::Kill)],
        };
        // -1, which a tracer sets to skip a call, has the bit too but is no x32 call.
        let mut above = Vec::new();
        guard(&mut above, JUMP_EQUAL, u32::MAX, vec![ret(default)]);
        above.extend(x32);
        guard(&mut code, JUMP_GREATER_EQUAL, X32_BIT, above);
        code.extend(native);
        return Ok(code);
    }
    let arch = tables
        .iter()
        .find(|(arch, _)| arch.audit_token() == token)
        .map(|(arch, _)| *arch);
    let Some(arch) = arch else {
        return Ok(vec![ret(Action::Kill)]);
    };
    code.extend(search(
        &entries(find(arch), arch.bits32(), default)?,
        default,
    ));
    Ok(code)
}

fn entries(table: Option<&Table>, bits32: bool, default: Action) -> Result<Vec<(u32, Vec<Insn>)>> {
    table
        .into_iter()
        .flatten()
        .map(|(number, chain)| Ok((*number, chain_code(*number, chain, bits32, default)?)))
        .collect()
}

/// The code for one call: each rule's conditions, its action behind them.
fn chain_code(number: u32, chain: &Chain, bits32: bool, default: Action) -> Result<Vec<Insn>> {
    let mut code = Vec::new();
    for (conditions, action) in chain {
        if !conditions.is_empty() {
            code.extend(conditions_code(number, conditions, bits32)?);
        }
        code.push(ret(*action));
    }
    if chain
        .last()
        .is_none_or(|(conditions, _)| !conditions.is_empty())
    {
        code.push(ret(default));
    }
    Ok(code)
}

/// Conditions by seccompiler: its code goes on behind its end when all hold, and one instruction further otherwise.
fn conditions_code(number: u32, conditions: &[Condition], bits32: bool) -> Result<Vec<Insn>> {
    let failed = |reason: String| Error::Condition {
        syscall: format!("system call {number}"),
        reason,
    };
    let length = if bits32 {
        SeccompCmpArgLen::Dword
    } else {
        SeccompCmpArgLen::Qword
    };
    let width = if bits32 {
        u64::from(u32::MAX)
    } else {
        u64::MAX
    };
    let lowered = conditions
        .iter()
        .map(|condition| {
            let operator = operator(condition.comparison, width);
            SeccompCondition::new(
                condition.index,
                length.clone(),
                operator,
                condition.value & width,
            )
        })
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|error| failed(error.to_string()))?;
    let rule = SeccompRule::new(lowered).map_err(|error| failed(error.to_string()))?;
    let program = BpfProgram::from(rule);
    // The first two instructions only jump into the rule and out of it.
    Ok(program
        .into_iter()
        .skip(2)
        .map(|insn| (insn.code, insn.jt, insn.jf, half(insn.code, insn.k)))
        .collect())
}

fn operator(comparison: Comparison, width: u64) -> SeccompCmpOp {
    match comparison {
        Comparison::NotEqual => SeccompCmpOp::Ne,
        Comparison::Less => SeccompCmpOp::Lt,
        Comparison::LessEqual => SeccompCmpOp::Le,
        Comparison::Equal => SeccompCmpOp::Eq,
        Comparison::GreaterEqual => SeccompCmpOp::Ge,
        Comparison::Greater => SeccompCmpOp::Gt,
        Comparison::MaskedEqual(mask) => SeccompCmpOp::MaskedEq(mask & width),
    }
}

/// seccompiler lays out arguments for little endian; on big endian the halves are the other way round.
fn half(code: u16, operand: u32) -> u32 {
    if cfg!(target_endian = "big") && code == LOAD && operand >= OFFSET_ARGS {
        operand ^ 4
    } else {
        operand
    }
}

/// Binary search over sorted numbers with the number in the accumulator.
fn search(entries: &[(u32, Vec<Insn>)], default: Action) -> Vec<Insn> {
    const LINEAR: usize = 4;
    let mut code = Vec::new();
    if entries.len() <= LINEAR {
        for (number, block) in entries {
            guard(&mut code, JUMP_EQUAL, *number, block.clone());
        }
        code.push(ret(default));
        return code;
    }
    let (low, high) = entries.split_at(entries.len() / 2);
    guard(
        &mut code,
        JUMP_GREATER_EQUAL,
        high[0].0,
        search(high, default),
    );
    code.extend(search(low, default));
    code
}

/// `block` if the accumulator compares with `operand`, else what comes behind it.
fn guard(code: &mut Vec<Insn>, comparison: u16, operand: u32, block: Vec<Insn>) {
    match u8::try_from(block.len()) {
        Ok(len) => code.push((comparison, 0, len, operand)),
        Err(_) => {
            code.push((comparison, 1, 0, operand));
            // A length of 2^32 instructions is far above what compile() lets through.
            code.push((JUMP, 0, 0, u32::try_from(block.len()).unwrap_or(u32::MAX)));
        }
    }
    code.extend(block);
}

fn ret(action: Action) -> Insn {
    (RETURN, 0, 0, action.value())
}
