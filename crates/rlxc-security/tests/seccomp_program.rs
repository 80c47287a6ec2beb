//! Compiled programs, run by a small interpreter of classic BPF, against the policy read directly.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use proptest::prelude::*;
use rlxc_security::seccomp::{
    Action, Arch, Comparison, Condition, Policy, Program, Rule, Syscall, compile,
};

const MACHINE: [Arch; 3] = [Arch::X86_64, Arch::X86, Arch::X32];
const X32_BIT: u32 = 0x4000_0000;

/// struct seccomp_data
#[derive(Debug, Clone, Copy)]
struct Call {
    token: u32,
    number: u32,
    args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        let half = |value: u64, high: bool| {
            u32::try_from(if high {
                value >> 32
            } else {
                value & 0xffff_ffff
            })
            .unwrap()
        };
        match offset {
            0 => self.number,
            4 => self.token,
            16..64 => half(
                self.args[usize::try_from((offset - 16) / 8).unwrap()],
                (offset - 16) % 8 == 4,
            ),
            _ => panic!("load from {offset}"),
        }
    }
}

/// Runs `program`; panics on anything that the kernel's checker would refuse.
fn run(program: &Program, call: &Call) -> u32 {
    let (mut at, mut accumulator) = (0usize, 0u32);
    loop {
        let (code, jt, jf, k) = program.instructions[at];
        at += 1;
        let mut branch = |taken: bool| at += usize::from(if taken { jt } else { jf });
        match code {
            0x20 => accumulator = call.word(k),
            0x54 => accumulator &= k,
            0x05 => at += usize::try_from(k).unwrap(),
            0x15 => branch(accumulator == k),
            0x25 => branch(accumulator > k),
            0x35 => branch(accumulator >= k),
            0x06 => return k,
            _ => panic!("instruction {code:#x}"),
        }
    }
}

/// The policy's meaning without tables or jumps: the rules for this call's architecture and number in order; an
/// unconditional rule ends what may be added and takes back what stood before it.
fn meaning(policy: &Policy, call: &Call) -> u32 {
    let arch = match (call.token, call.number) {
        (0xc000_003e, u32::MAX) => Arch::X86_64,
        (0xc000_003e, number) if number & X32_BIT != 0 => Arch::X32,
        (0xc000_003e, _) => Arch::X86_64,
        (0x4000_0003, _) => Arch::X86,
        _ => return Action::Kill.value(),
    };
    let bits32 = arch != Arch::X86_64;
    let about = |rule: &&Rule| {
        let Syscall::Name(name) = &rule.syscall else {
            return false;
        };
        rule.arch.is_none_or(|of| of == arch) && arch.number(name) == Some(call.number)
    };
    let rules: Vec<&Rule> = policy.rules.iter().filter(about).collect();
    let ruling = match rules.iter().find(|rule| rule.conditions.is_empty()) {
        Some(plain) => Some(*plain),
        None => rules.into_iter().find(|rule| {
            rule.conditions
                .iter()
                .all(|one| one.holds(&call.args, bits32))
        }),
    };
    ruling.map_or(policy.default, |rule| rule.action).value()
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Kill),
        Just(Action::Trap),
        Just(Action::Allow),
        Just(Action::Notify),
        (0u16..4095).prop_map(Action::Errno),
    ]
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..4,
        Just(u64::from(u32::MAX)),
        Just(1 << 32),
        Just(u64::MAX),
        Just((1 << 32) + 1),
        any::<u64>()
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let comparison = prop_oneof![
        Just(Comparison::NotEqual),
        Just(Comparison::Less),
        Just(Comparison::LessEqual),
        Just(Comparison::Equal),
        Just(Comparison::GreaterEqual),
        Just(Comparison::Greater),
        value().prop_map(Comparison::MaskedEqual),
    ];
    (0u8..6, comparison, value()).prop_map(|(index, comparison, value)| Condition {
        index,
        comparison,
        value,
    })
}

// No socket or ipc calls: their second form on x86 has a test of its own.
const NAMES: [&str; 24] = [
    "read",
    "write",
    "open",
    "close",
    "stat",
    "fstat",
    "lstat",
    "poll",
    "lseek",
    "mmap",
    "mprotect",
    "munmap",
    "brk",
    "rt_sigaction",
    "ioctl",
    "readv",
    "writev",
    "access",
    "pipe",
    "select",
    "mknod",
    "umount2",
    "execveat",
    "openat2",
];

fn policy() -> impl Strategy<Value = Policy> {
    let rule = (
        prop_oneof![
            Just(None),
            Just(Some(Arch::X86)),
            Just(Some(Arch::X86_64)),
            Just(Some(Arch::X32)),
            Just(Some(Arch::Arm))
        ],
        0..NAMES.len(),
        action(),
        prop::collection::vec(condition(), 0..4),
    )
        .prop_map(|(arch, name, action, conditions)| Rule {
            arch,
            syscall: Syscall::Name(NAMES[name].into()),
            action,
            conditions,
            line: 0,
        });
    (action(), prop::collection::vec(rule, 0..40)).prop_map(|(default, rules)| Policy {
        version: 2,
        default,
        rules,
    })
}

fn call() -> impl Strategy<Value = Call> {
    let number = prop_oneof![
        (0..NAMES.len(), 0..MACHINE.len())
            .prop_map(|(name, arch)| MACHINE[arch].number(NAMES[name]).unwrap_or(9999)),
        0u32..600,
        Just(u32::MAX),
        Just(X32_BIT),
    ];
    let token = prop_oneof![4 => Just(0xc000_003e), 3 => Just(0x4000_0003), 1 => any::<u32>()];
    (token, number, prop::array::uniform6(value())).prop_map(|(token, number, args)| Call {
        token,
        number,
        args,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn programs_do_what_the_policy_says(policy in policy(), calls in prop::collection::vec(call(), 1..200)) {
        let program = compile(&policy, &MACHINE).unwrap().program;
        for call in calls {
            prop_assert_eq!(run(&program, &call), meaning(&policy, &call), "{:?}", call);
        }
    }
}

fn compiled(text: &str) -> rlxc_security::seccomp::Compiled {
    compile(
        &Policy::parse(text.as_bytes(), Path::new("policy")).unwrap(),
        &MACHINE,
    )
    .unwrap()
}

fn x86(number: u32, first: u64) -> Call {
    Call {
        token: 0x4000_0003,
        number,
        args: [first, 0, 0, 0, 0, 0],
    }
}

#[test]
fn a_denied_socket_is_denied_within_socketcall_too() {
    let program = compiled("2\ndenylist errno 1\nsocket\nshmget\n").program;
    let denied = Action::Errno(1).value();
    assert_eq!(run(&program, &x86(359, 0)), denied);
    assert_eq!(run(&program, &x86(102, 1)), denied);
    assert_eq!(run(&program, &x86(102, 2)), Action::Allow.value());
    assert_eq!(run(&program, &x86(117, 23)), denied);
}

#[test]
fn an_allowlist_of_every_call_fits_and_allows_each() {
    let names: Vec<&str> = syscalls::x86_64::Sysno::iter()
        .map(|sysno| sysno.name())
        .collect();
    let program = compiled(&format!("2\nallowlist\n{}\n", names.join("\n"))).program;
    assert!(
        program.instructions.len() < 4096,
        "{}",
        program.instructions.len()
    );
    for name in names {
        let number = Arch::X86_64.number(name).unwrap();
        let call = Call {
            token: 0xc000_003e,
            number,
            args: [0; 6],
        };
        assert_eq!(run(&program, &call), Action::Allow.value(), "{name}");
    }
    let unknown = Call {
        token: 0xc000_003e,
        number: 999,
        args: [0; 6],
    };
    assert_eq!(run(&program, &unknown), Action::Kill.value());
}

#[test]
fn unknown_calls_are_warned_about_and_skipped() {
    let compiled = compiled("2\ndenylist\nno_such_call\n[arm]\narm_only\n");
    assert_eq!(compiled.warnings.len(), 1, "{:?}", compiled.warnings);
    assert!(compiled.warnings[0].starts_with("line 3:"));
}

#[test]
fn version_one_kills_everything_that_is_not_native() {
    let program = compiled("1\nallowlist\n0\n3\n").program;
    assert_eq!(
        run(
            &program,
            &Call {
                token: 0xc000_003e,
                number: 0,
                args: [0; 6]
            }
        ),
        Action::Allow.value()
    );
    assert_eq!(
        run(
            &program,
            &Call {
                token: 0xc000_003e,
                number: X32_BIT,
                args: [0; 6]
            }
        ),
        Action::Kill.value()
    );
    assert_eq!(run(&program, &x86(3, 0)), Action::Kill.value());
}

#[test]
fn a_program_survives_the_plans_json() {
    let program = compiled("2\ndenylist\nreject_force_umount\nmknod notify\n").program;
    let text = serde_json::to_string(&program).unwrap();
    assert_eq!(serde_json::from_str::<Program>(&text).unwrap(), program);
    assert!(program.notify);
}
