//! The grammar of policy files (lxc.container.conf(5), versions 1 and 2).

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, digit1, hex_digit1, oct_digit0, space0, space1};
use nom::combinator::{map, map_opt, opt, value};
use nom::multi::many0;
use nom::sequence::{delimited, preceded, terminated};
use nom::{IResult, Parser};

use super::arch::Arch;
use super::policy::{Action, Comparison, Condition, Policy, Rule, Syscall};

/// Where and why a policy is wrong.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) reason: String,
}

type Input<'a> = &'a [u8];

/// MNT_FORCE of umount2(2)
const MNT_FORCE: u64 = 1;
const EACCES: u16 = 13;

/// Parses a whole file.
pub(super) fn policy(text: Input<'_>) -> Result<Policy, Fault> {
    let mut lines = Lines {
        rest: text,
        number: 0,
    };
    let version = lines
        .next()
        .and_then(|line| trim(line).split_first().map(|(first, rest)| (*first, rest)));
    match version {
        Some((b'1', [])) => version1(&mut lines),
        Some((b'2', [])) => version2(&mut lines),
        _ => Err(Fault {
            line: 1,
            column: 1,
            reason: "Invalid version: the first line must be 1 or 2".into(),
        }),
    }
}

struct Lines<'a> {
    rest: Input<'a>,
    number: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Input<'a>;
    fn next(&mut self) -> Option<Input<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let end = self
            .rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        Some(line)
    }
}

impl Lines<'_> {
    fn fault(&self, column: usize, reason: impl Into<String>) -> Fault {
        Fault {
            line: self.number,
            column,
            reason: reason.into(),
        }
    }
}

fn trim(line: Input<'_>) -> Input<'_> {
    line.trim_ascii()
}

fn contains(line: Input<'_>, word: &str) -> bool {
    line.windows(word.len())
        .any(|window| window == word.as_bytes())
}

fn version1(lines: &mut Lines<'_>) -> Result<Policy, Fault> {
    let list = lines.next().unwrap_or_default();
    if contains(list, "debug") {
        return Err(lines.fault(1, "debug mode is not supported"));
    }
    // `whitelist` is the word that older releases asked for.
    if !contains(list, "allowlist") && !contains(list, "whitelist") {
        return Err(lines.fault(1, "a version 1 policy must be an allowlist"));
    }
    let mut policy = Policy {
        version: 1,
        default: Action::Kill,
        rules: Vec::new(),
    };
    while let Some(line) = lines.next() {
        let number: IResult<Input<'_>, u32> =
            map_opt(digit1, |digits| number(digits, 10)).parse(line);
        let Ok((_, number)) = number else {
            return Err(lines.fault(
                1,
                "a version 1 policy has one decimal system call number a line",
            ));
        };
        policy.rules.push(Rule {
            arch: None,
            syscall: Syscall::Number(number),
            action: Action::Allow,
            conditions: Vec::new(),
            line: lines.number,
        });
    }
    Ok(policy)
}

fn version2(lines: &mut Lines<'_>) -> Result<Policy, Fault> {
    let list = lines.find(|line| !is_blank(line)).ok_or(Fault {
        line: 2,
        column: 1,
        reason: "the list type is missing".into(),
    })?;
    if contains(list, "debug") {
        return Err(lines.fault(1, "debug mode is not supported"));
    }
    let (default, listed) = match list_type(trim(list)) {
        Ok((rest, (allowlist, action))) if is_blank(rest) => {
            let action = action.unwrap_or(Action::Kill);
            if allowlist {
                (action, Action::Allow)
            } else {
                (Action::Allow, action)
            }
        }
        _ => return Err(lines.fault(1, "wanted is allowlist or denylist, and an action")),
    };
    let mut policy = Policy {
        version: 2,
        default,
        rules: Vec::new(),
    };
    let mut section = None;
    while let Some(line) = lines.next() {
        if is_blank(line) {
            continue;
        }
        if trim(line).starts_with(b"[") {
            section = section_of(trim(line))
                .ok_or_else(|| lines.fault(1, "unknown architecture section"))?;
            continue;
        }
        if let Some(rule) = rule_line(line, section, listed, lines)? {
            policy.rules.push(rule);
        }
    }
    Ok(policy)
}

fn is_blank(line: Input<'_>) -> bool {
    matches!(trim(line).first(), None | Some(b'#'))
}

fn list_type(line: Input<'_>) -> IResult<Input<'_>, (bool, Option<Action>)> {
    let allow = alt((tag("allowlist"), tag("whitelist")));
    let deny = alt((tag("denylist"), tag("blacklist")));
    let word = alt((value(true, allow), value(false, deny)));
    (word, terminated(opt(preceded(space1, action)), space0)).parse(line)
}

/// `Some(None)`: all.
#[allow(clippy::option_option)]
fn section_of(line: Input<'_>) -> Option<Option<Arch>> {
    let end = line.iter().position(|byte| *byte == b']')?;
    let name = std::str::from_utf8(line.get(1..end)?).ok()?;
    if !is_blank(line.get(end + 1..)?) {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    if name != lower && name != name.to_ascii_uppercase() {
        return None;
    }
    if lower == "all" {
        return Some(None);
    }
    Arch::from_section(&lower).map(Some)
}

fn rule_line(
    line: Input<'_>,
    section: Option<Arch>,
    listed: Action,
    lines: &Lines<'_>,
) -> Result<Option<Rule>, Fault> {
    let fault = |rest: Input<'_>, reason: &str| lines.fault(line.len() - rest.len() + 1, reason);
    let (rest, name) = preceded(space0, name)
        .parse(line)
        .map_err(|_| fault(line, "a system call's name is missing"))?;
    let name = String::from_utf8_lossy(name).into_owned();
    let (rest, given) = opt(preceded(space1, action))
        .parse(rest)
        .map_err(|_: nom::Err<nom::error::Error<_>>| fault(rest, "unknown action"))?;
    let (rest, conditions) = many0(preceded(space0, condition))
        .parse(rest)
        .map_err(|_: nom::Err<nom::error::Error<_>>| fault(rest, "wrong argument condition"))?;
    if !is_blank(rest) {
        let at = rest.trim_ascii_start();
        let reason = if at.starts_with(b"[") {
            "wrong argument condition: wanted is [INDEX,VALUE,OP] or [INDEX,VALUE,SCMP_CMP_MASKED_EQ,MASK]"
        } else {
            "unknown action: wanted is kill, trap, errno N, notify, log or allow"
        };
        return Err(fault(at, reason));
    }
    if conditions.len() > 6 {
        return Err(fault(rest, "more than six argument conditions"));
    }
    if name == "reject_force_umount" {
        return Ok(Some(reject_force_umount(section, lines.number)));
    }
    Ok(Some(Rule {
        arch: section,
        syscall: Syscall::Name(name),
        action: given.unwrap_or(listed),
        conditions,
        line: lines.number,
    }))
}

fn reject_force_umount(arch: Option<Arch>, line: usize) -> Rule {
    Rule {
        arch,
        syscall: Syscall::Name("umount2".into()),
        action: Action::Errno(EACCES),
        conditions: vec![Condition {
            index: 1,
            comparison: Comparison::MaskedEqual(MNT_FORCE),
            value: MNT_FORCE,
        }],
        line,
    }
}

fn name(input: Input<'_>) -> IResult<Input<'_>, Input<'_>> {
    take_while1(|byte: u8| byte.is_ascii_alphanumeric() || byte == b'_').parse(input)
}

fn action(input: Input<'_>) -> IResult<Input<'_>, Action> {
    let errno = map_opt(preceded((tag("errno"), space0), digit1), |digits| {
        // Those that a C library makes errors of.
        number(digits, 10)
            .filter(|errno: &u32| *errno < 4095)
            .and_then(|errno| u16::try_from(errno).ok())
    });
    alt((
        map(errno, Action::Errno),
        value(Action::Kill, tag("kill")),
        value(Action::Trap, tag("trap")),
        value(Action::Notify, tag("notify")),
        value(Action::Log, tag("log")),
        value(Action::Allow, tag("allow")),
    ))
    .parse(input)
}

fn number<T: TryFrom<u64>>(digits: Input<'_>, radix: u32) -> Option<T> {
    let text = std::str::from_utf8(digits).ok()?;
    u64::from_str_radix(text, radix)
        .ok()
        .and_then(|number| T::try_from(number).ok())
}

/// A number as strtoull(3) with base 0 reads it: decimal, 0x, 0.
fn integer(input: Input<'_>) -> IResult<Input<'_>, u64> {
    alt((
        preceded(
            alt((tag("0x"), tag("0X"))),
            map_opt(hex_digit1, |digits| number(digits, 16)),
        ),
        preceded(
            char('0'),
            map_opt(oct_digit0, |digits: Input<'_>| {
                if digits.is_empty() {
                    Some(0)
                } else {
                    number(digits, 8)
                }
            }),
        ),
        map_opt(digit1, |digits| number(digits, 10)),
    ))
    .parse(input)
}

#[derive(Clone, Copy)]
enum Op {
    Plain(Comparison),
    Masked,
}

fn operator(input: Input<'_>) -> IResult<Input<'_>, Op> {
    let plain =
        |comparison, long, short| value(Op::Plain(comparison), alt((tag(long), tag(short))));
    alt((
        value(Op::Masked, alt((tag("SCMP_CMP_MASKED_EQ"), tag("&=")))),
        plain(Comparison::NotEqual, "SCMP_CMP_NE", "!="),
        plain(Comparison::LessEqual, "SCMP_CMP_LE", "<="),
        plain(Comparison::Less, "SCMP_CMP_LT", "<"),
        plain(Comparison::Equal, "SCMP_CMP_EQ", "=="),
        plain(Comparison::GreaterEqual, "SCMP_CMP_GE", ">="),
        plain(Comparison::Greater, "SCMP_CMP_GT", ">"),
    ))
    .parse(input)
}

fn condition(input: Input<'_>) -> IResult<Input<'_>, Condition> {
    fn comma(input: Input<'_>) -> IResult<Input<'_>, ()> {
        value((), delimited(space0, char(','), space0)).parse(input)
    }
    let index = map_opt(integer, |index| {
        u8::try_from(index).ok().filter(|index| *index < 6)
    });
    let fields = (
        index,
        preceded(comma, integer),
        preceded(comma, operator),
        opt(preceded(comma, integer)),
    );
    map_opt(
        delimited((char('['), space0), fields, (space0, char(']'))),
        |(index, value, op, mask)| {
            let comparison = match (op, mask) {
                (Op::Masked, Some(mask)) => Comparison::MaskedEqual(mask),
                (Op::Masked, None) => return None,
                // A fourth number of another operator has no meaning, and LXC reads over it.
                (Op::Plain(comparison), _) => comparison,
            };
            Some(Condition {
                index,
                comparison,
                value,
            })
        },
    )
    .parse(input)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rules(text: &str) -> Vec<Rule> {
        policy(text.as_bytes()).unwrap().rules
    }

    fn fault(text: &str) -> (usize, usize, String) {
        let fault = policy(text.as_bytes()).unwrap_err();
        (fault.line, fault.column, fault.reason)
    }

    #[test]
    fn the_shipped_policy_is_read() {
        let text = "2\ndenylist\nreject_force_umount  # comment this to allow umount -f;  not recommended\n[all]\n\
                    kexec_load errno 1\nopen_by_handle_at errno 1\n";
        let policy = policy(text.as_bytes()).unwrap();
        assert_eq!(policy.default, Action::Allow);
        assert_eq!(policy.rules.len(), 3);
        assert_eq!(policy.rules[0].action, Action::Errno(13));
        assert_eq!(policy.rules[1].action, Action::Errno(1));
    }

    #[test]
    fn sections_actions_and_conditions() {
        let text = "2\nallowlist errno 38\n\n# all\nread\n[x86]\nwrite trap\n[X86_64]\n\
                    ioctl notify [1,0x5413,SCMP_CMP_EQ] [2,010,>=]\n[all]\nclone allow [0,0x7e020000,&=,0]\n";
        let rules = rules(text);
        assert_eq!(rules[0].action, Action::Allow);
        assert_eq!(
            (rules[1].arch, rules[1].action),
            (Some(Arch::X86), Action::Trap)
        );
        assert_eq!(rules[2].arch, Some(Arch::X86_64));
        assert_eq!(
            rules[2].conditions[1],
            Condition {
                index: 2,
                comparison: Comparison::GreaterEqual,
                value: 8
            }
        );
        assert_eq!(
            rules[3].conditions[0].comparison,
            Comparison::MaskedEqual(0)
        );
    }

    #[test]
    fn version_one_is_numbers_only() {
        assert_eq!(rules("1\nallowlist\n0\n1 read\n").len(), 2);
        assert_eq!(fault("1\nallowlist\n# no\n").0, 3);
        assert_eq!(fault("1\ndenylist\n").0, 2);
    }

    #[test]
    fn faults_are_located() {
        assert_eq!(fault("3\n").0, 1);
        assert_eq!(fault("").0, 1);
        assert_eq!(fault("2\n").0, 2);
        assert_eq!(fault("2\ndenylist debug\n").0, 2);
        assert_eq!(fault("2\ndenylist\n[i386]\n").0, 3);
        assert_eq!(fault("2\ndenylist\n[X86_64x]\n").0, 3);
        let (line, column, _) = fault("2\ndenylist\nread\nmknod errno\n");
        assert_eq!((line, column), (4, 7));
        let (line, column, _) = fault("2\ndenylist\nmknod errno 1 [7,1,==]\n");
        assert_eq!((line, column), (3, 15));
        assert_eq!(fault("2\ndenylist\nmknod [1,1,&=]\n").1, 7);
        assert_eq!(fault("2\ndenylist\nmknod errno 99999\n").0, 3);
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_it_panic(text: Vec<u8>) {
            let _ = policy(&text);
            let mut with_head = b"2\ndenylist\n".to_vec();
            with_head.extend(text);
            let _ = policy(&with_head);
        }
    }
}
