//! Device rules and the cgroup2 device program made of them.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// One rule of `devices.allow` or `devices.deny`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Allow or deny.
    pub allow: bool,
    /// `b`, `c`, or `None` for both.
    pub kind: Option<Kind>,
    /// `None`: any.
    pub major: Option<u32>,
    /// `None`: any.
    pub minor: Option<u32>,
    /// Bits: mknod 1, read 2, write 4.
    pub access: u8,
}

/// Block or character device, with the kernel's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// `b`
    Block = 1,
    /// `c`
    Char = 2,
}

impl Rule {
    /// Parses `a`, `TYPE MAJ:MIN ACCESS` or `/dev/PATH ACCESS`.
    ///
    /// # Errors
    /// [`Error::Rule`] for anything else, [`Error::Read`] for a node that cannot be looked up.
    pub fn parse(allow: bool, text: &str) -> Result<Self> {
        let bad = || Error::Rule(text.into());
        let mut words = text.split_ascii_whitespace();
        let first = words.next().ok_or_else(bad)?;
        let (kind, major, minor) = match first {
            "a" => {
                // As the kernel does, whatever follows `a` means nothing.
                return Ok(Self {
                    allow,
                    kind: None,
                    major: None,
                    minor: None,
                    access: 7,
                });
            }
            "b" | "c" => {
                let kind = if first == "b" {
                    Kind::Block
                } else {
                    Kind::Char
                };
                let (major, minor) = words
                    .next()
                    .and_then(|n| n.split_once(':'))
                    .ok_or_else(bad)?;
                let number = |n: &str| match n {
                    "*" => Ok(None),
                    // Numbers are compared as signed 32-bit immediates.
                    n => n
                        .parse::<i32>()
                        .ok()
                        .and_then(|n| u32::try_from(n).ok())
                        .map(Some)
                        .ok_or_else(bad),
                };
                (kind, number(major)?, number(minor)?)
            }
            path if path.starts_with('/') => {
                let (kind, major, minor) = node(path)?;
                (kind.ok_or_else(bad)?, Some(major), Some(minor))
            }
            _ => return Err(bad()),
        };
        let mut access = 0;
        for letter in words.next().ok_or_else(bad)?.chars() {
            access |= match letter {
                'm' => 1,
                'r' => 2,
                'w' => 4,
                _ => return Err(bad()),
            };
        }
        match words.next() {
            None => Ok(Self {
                allow,
                kind: Some(kind),
                major,
                minor,
                access,
            }),
            Some(_) => Err(bad()),
        }
    }

    /// Whether this is `a`: the start of a new list.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.kind.is_none()
    }
}

fn node(path: &str) -> Result<(Option<Kind>, u32, u32)> {
    let meta = std::fs::metadata(path).map_err(|source| Error::Read {
        path: path.into(),
        source,
    })?;
    let kind = meta.file_type();
    let kind = match (kind.is_block_device(), kind.is_char_device()) {
        (true, _) => Some(Kind::Block),
        (_, true) => Some(Kind::Char),
        _ => None,
    };
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Ok((
        kind,
        number(nix::sys::stat::major(meta.rdev())),
        number(nix::sys::stat::minor(meta.rdev())),
    ))
}

/// Rules in the order they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Adds a rule; `a` makes all earlier ones void.
    pub fn add(&mut self, rule: Rule) {
        if rule.is_all() {
            self.0.clear();
        }
        self.0.push(rule);
    }

    /// Whether there are no rules, so that no program is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What holds when no rule matches: the list's `a`; without one nothing is allowed, as with LXC.
    fn fallback(&self) -> bool {
        self.0
            .first()
            .is_some_and(|rule| rule.is_all() && rule.allow)
    }

    /// The program as encoded `struct bpf_insn`: the last matching rule wins, a rule matches when
    /// all asked access bits are in its access.
    #[must_use]
    pub fn program(&self) -> Vec<u64> {
        // r2 type, r3 access, r4 major, r5 minor; r1 is free after the loads.
        let mut out = vec![
            insn(LDX_W, 2, 1, 0, 0),
            insn(AND_K, 2, 0, 0, 0xffff),
            insn(LDX_W, 3, 1, 0, 0),
            insn(RSH_K, 3, 0, 0, 16),
            insn(LDX_W, 4, 1, 4, 0),
            insn(LDX_W, 5, 1, 8, 0),
        ];
        for rule in self.0.iter().rev().filter(|rule| !rule.is_all()) {
            rule_block(rule, &mut out);
        }
        out.push(insn(MOV_K, 0, 0, 0, u32::from(self.fallback())));
        out.push(insn(EXIT, 0, 0, 0, 0));
        out
    }
}

const LDX_W: u8 = 0x61;
const AND_K: u8 = 0x54;
const RSH_K: u8 = 0x74;
const MOV_K: u8 = 0xb7;
const MOV_X: u8 = 0xbf;
const JNE_K: u8 = 0x55;
const JNE_X: u8 = 0x5d;
const EXIT: u8 = 0x95;

/// `struct bpf_insn` { u8 code; u8 dst:4, src:4; s16 off; s32 imm } as the bytes in memory.
fn insn(code: u8, dst: u8, src: u8, off: i16, imm: u32) -> u64 {
    let [o0, o1] = off.to_ne_bytes();
    let [i0, i1, i2, i3] = imm.to_ne_bytes();
    let registers = if cfg!(target_endian = "big") {
        dst << 4 | src
    } else {
        src << 4 | dst
    };
    u64::from_ne_bytes([code, registers, o0, o1, i0, i1, i2, i3])
}

fn rule_block(rule: &Rule, out: &mut Vec<u64>) {
    let mut tests: Vec<(u8, u8, u8, u32)> = Vec::new();
    if let Some(kind) = rule.kind {
        tests.push((JNE_K, 2, 0, kind as u32));
    }
    if rule.access != 7 {
        tests.push((MOV_X, 1, 3, 0));
        tests.push((AND_K, 1, 0, u32::from(rule.access)));
        tests.push((JNE_X, 1, 3, 0));
    }
    tests.extend(rule.major.map(|n| (JNE_K, 4, 0, n)));
    tests.extend(rule.minor.map(|n| (JNE_K, 5, 0, n)));
    // A failed test jumps over the rest of the block, its answer and exit included: ≤ 7.
    for (left, (code, dst, src, imm)) in (0..tests.len()).rev().zip(tests) {
        let jump = matches!(code, JNE_K | JNE_X);
        let off = if jump {
            i16::try_from(left + 2).unwrap_or(0)
        } else {
            0
        };
        out.push(insn(code, dst, src, off, imm));
    }
    out.push(insn(MOV_K, 0, 0, 0, u32::from(rule.allow)));
    out.push(insn(EXIT, 0, 0, 0, 0));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the few instructions that programs here are made of.
    fn run(program: &[u64], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let ctx = [access << 16 | kind, major, minor];
        let mut r = [0_u64; 11];
        let mut pc = 0_usize;
        loop {
            let [code, regs, o0, o1, i0, i1, i2, i3] = program[pc].to_ne_bytes();
            let (dst, src) = (usize::from(regs & 15), usize::from(regs >> 4));
            let off = i16::from_ne_bytes([o0, o1]);
            let imm = u64::from(u32::from_ne_bytes([i0, i1, i2, i3]));
            pc += 1;
            let skip = match code {
                LDX_W => {
                    r[dst] = u64::from(ctx[usize::try_from(off).unwrap() / 4]);
                    false
                }
                AND_K => {
                    r[dst] &= imm;
                    false
                }
                RSH_K => {
                    r[dst] >>= imm;
                    false
                }
                MOV_K => {
                    r[dst] = imm;
                    false
                }
                MOV_X => {
                    r[dst] = r[src];
                    false
                }
                JNE_K => r[dst] != imm,
                JNE_X => r[dst] != r[src],
                EXIT => return r[0] == 1,
                other => panic!("code {other:#x}"),
            };
            if skip {
                pc += usize::try_from(off).unwrap();
            }
        }
    }

    fn rules(list: &[(bool, &str)]) -> Rules {
        let mut rules = Rules::default();
        for (allow, text) in list {
            rules.add(Rule::parse(*allow, text).unwrap());
        }
        rules
    }

    #[test]
    fn an_allowlist_allows_what_it_names_only() {
        let p = rules(&[
            (false, "a"),
            (true, "c *:* m"),
            (true, "c 1:3 rwm"),
            (true, "c 136:* rw"),
        ])
        .program();
        assert!(run(&p, 2, 2 | 4, 1, 3));
        assert!(run(&p, 2, 1, 9, 9));
        assert!(!run(&p, 2, 2, 9, 9));
        assert!(!run(&p, 1, 2, 1, 3));
        assert!(run(&p, 2, 6, 136, 77));
        // mknod and read at once are in no single rule.
        assert!(!run(&p, 2, 3, 136, 77));
    }

    #[test]
    fn the_last_matching_rule_wins_and_all_begins_anew() {
        let p = rules(&[(true, "a"), (false, "b 8:* w"), (true, "b 8:1 w")]).program();
        assert!(!run(&p, 1, 4, 8, 0));
        assert!(run(&p, 1, 4, 8, 1));
        assert!(run(&p, 2, 7, 5, 5));
        let p = rules(&[(true, "c 1:3 r"), (false, "a *:* rwm")]).program();
        assert!(!run(&p, 2, 2, 1, 3));
        let p = rules(&[(true, "c 1:3 r")]).program();
        assert!(run(&p, 2, 2, 1, 3) && !run(&p, 2, 4, 1, 3) && !run(&p, 1, 7, 8, 0));
        let p = rules(&[(false, "c 1:3 w")]).program();
        assert!(!run(&p, 2, 2, 1, 3) && !run(&p, 1, 7, 8, 0));
    }

    #[test]
    fn nodes_are_looked_up_and_rubbish_is_refused() {
        let rule = Rule::parse(true, "/dev/null rw").unwrap();
        assert_eq!((rule.major, rule.minor, rule.access), (Some(1), Some(3), 6));
        for bad in [
            "",
            "x",
            "c 1:3",
            "c 1 r",
            "c 1:3 x",
            "c -1:3 r",
            "c 1:3 r r",
            "/etc r",
            "c 99999999999:1 r",
        ] {
            assert!(Rule::parse(true, bad).is_err(), "{bad}");
        }
    }
}
