//! Policies, written by hand and by chance, and the calls that they are tried with.

use rlxc_security::seccomp::Arch;

use crate::machine::Call;

pub struct Policy {
    /// As LXC gets it
    pub theirs: String,
    /// As we get it
    pub ours: String,
    /// Calls of this architecture only are compared
    pub only: Option<Arch>,
    /// LXC refuses it, and so must we
    pub refused: bool,
}

/// Calls that neither a starting container nor a shell makes: all may be denied, and it starts. None of those that x86
/// has in socketcall or ipc as well: LXC leaves all of them out there, so that a denied one is possible.
const NAMES: [&str; 18] = [
    "mknod",
    "umount2",
    "execveat",
    "openat2",
    "clone3",
    "unshare",
    "splice",
    "tee",
    "lsetxattr",
    "getpriority",
    "setpriority",
    "mlock",
    "pwrite64",
    "timer_create",
    "inotify_init",
    "getsid",
    "kexec_load",
    "swapon",
];

/// What the policies by hand that begin with `allowlist` are continued with: what a starting container calls.
const NEEDED: &str = crate::view_cases::ALLOWLIST;

const BY_HAND: &[&str] = &[
    "2\ndenylist\nreject_force_umount\n[all]\nkexec_load errno 1\nopen_by_handle_at errno 1\ninit_module errno 1\n",
    "2\nblacklist\n[all]\nmknod errno 5\n",
    "2\nallowlist trap\n[all]\nunshare allow [0,0x7e020000,SCMP_CMP_MASKED_EQ,0x7e020000]\n",
    "2\nwhitelist\n[all]\nmknod\n",
    "2\nallowlist errno 5\nmknod errno 7\n",
    "2\ndenylist\nmknod errno 1\nmknod errno 2\n",
    "2\ndenylist\nmknod errno 1 [0,1,==]\nmknod errno 2\n",
    "2\ndenylist\nmknod errno 2\nmknod errno 1 [0,1,==]\n",
    "2\ndenylist\nmknod errno 1 [0,1,==]\nmknod errno 1 [0,2,==]\nmknod errno 1 [1,7,>]\n",
    "2\ndenylist\nmknod errno 1 [0,1,==]\nmknod errno 1 [0,1,==]\n",
    "2\ndenylist\nmknod errno 1 [0,1,==]\nmknod errno 2 [0,2,==]\nmknod errno 3 [0,3,==]\n",
    "2\ndenylist\nmknod kill\ntee trap\n",
    "2\ndenylist\nmknod errno 0\ntee errno 4094\n",
    "2\ndenylist\nmknod errno 1 [0,0x100000001,==]\ntee errno 1 [0,0x100000001,!=]\n",
    "2\ndenylist\nmknod errno 1 [0,0xffffffffffffffff,<=] [1,0,>=]\n",
    "2\ndenylist\nmknod notify\ntee errno 2\n",
    "2\ndenylist\nno_such_call errno 1\nmknod errno 1\n",
    "2\ndenylist\n[arm]\nmknod errno 1\n[all]\ntee errno 1\n",
];

/// What libseccomp refuses.
const REFUSED: &[&str] = &[
    "2\ndenylist\nmknod errno 1 [0,1,==]\nmknod errno 2 [0,1,==]\n",
    "2\ndenylist\nmknod allow\n",
    "2\ndenylist\nmknod errno 1\nmknod allow\n",
    "2\ndenylist\nmknod errno 1 [0,1,==]\nmknod allow\n",
    "2\nallowlist\nmknod kill\n",
    "2\nallowlist errno 5\nmknod errno 5\n",
    "2\ndenylist\nmknod errno 4095\n",
    "2\ndenylist\nmknod errno 1 [0,5,>=] [0,9,<=]\n",
];

/// The rules of each architecture. LXC gives a rule in a section of one of the machine's architectures to all of them;
/// so it gets those of one at a time.
const SECTIONS: [(&str, Arch, &str); 3] = [
    (
        "[x86_64]",
        Arch::X86_64,
        "mknod errno 1 [1,0x5413,==]\ntee errno 2\nmlock trap\n",
    ),
    (
        "[x86]",
        Arch::X86,
        "mknod errno 3\ntee errno 4 [0,0xffffffff,>]\nswapon errno 5 [2,7,&=,3]\n",
    ),
    ("[x32]", Arch::X32, "splice errno 6\ntee errno 7 [0,9,<]\n"),
];

/// Numbers that follow from a first one.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn of<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.below(these.len())]
    }

    /// Small, at the edges of 32 and 64 bits, or anything.
    fn value(&mut self) -> u64 {
        let any = self.next();
        self.of(&[
            0,
            1,
            2,
            3,
            0xffff_ffff,
            1 << 32,
            (1 << 32) + 1,
            u64::MAX,
            0x7e02_0000,
            any,
        ])
    }
}

/// A policy by chance. Each call has one rule an architecture: what libseccomp makes of several that hold at the same
/// time depends on how it sorts them.
fn by_chance(random: &mut Random) -> String {
    let mut text = "2\n".to_owned();
    let (list, actions): (_, &[&str]) = match random.below(2) {
        0 => (
            "allowlist errno 38",
            &[" allow", " allow", " trap", " errno 5", " kill"],
        ),
        _ => ("denylist", &[" errno 1", " errno 13", " trap", " kill"]),
    };
    text.push_str(list);
    text.push('\n');
    {
        text.push_str(random.of(&["", "[all]\n"]));
        for name in NAMES {
            if random.below(3) > 0 {
                continue;
            }
            text.push_str(name);
            text.push_str(random.of(actions));
            for index in 0..6 {
                if random.below(8) == 0 {
                    let operator = random.of(&["!=", "<", "<=", "==", ">=", ">", "&="]);
                    text.push_str(&format!(" [{index},{},{operator}", random.value()));
                    if operator == "&=" {
                        text.push_str(&format!(",{:#x}", random.value()));
                    }
                    text.push(']');
                }
            }
            text.push('\n');
        }
    }
    text
}

pub fn all() -> Vec<Policy> {
    let mut random = Random::new(7);
    let count = std::env::var("RLXC_POLICIES")
        .ok()
        .and_then(|count| count.parse().ok());
    let chance = (0..count.unwrap_or(16)).map(|_| by_chance(&mut random));
    let plain = |mut text: String| {
        if text.starts_with("2\nallow") || text.starts_with("2\nwhite") {
            // From its third line on: the rules. Without those that are in socketcall.
            text.push_str("[all]\n");
            let names = NEEDED.lines().skip(3);
            names.for_each(|name| text.push_str(&format!("{name}\n")));
        }
        Policy {
            theirs: text.clone(),
            ours: text,
            only: None,
            refused: false,
        }
    };
    let hand = BY_HAND.iter().map(|text| (*text).to_owned());
    let mut policies: Vec<Policy> = hand.chain(chance).map(plain).collect();
    let sections = SECTIONS
        .map(|(section, _, rules)| format!("{section}\n{rules}"))
        .concat();
    policies.extend(SECTIONS.map(|(_, arch, rules)| Policy {
        theirs: format!("2\ndenylist\n{rules}"),
        ours: format!("2\ndenylist\n{sections}"),
        only: Some(arch),
        refused: false,
    }));
    policies.extend(REFUSED.iter().map(|text| Policy {
        theirs: (*text).to_owned(),
        ours: (*text).to_owned(),
        only: None,
        refused: true,
    }));
    policies
}

/// Calls of all three architectures and a foreign one, with arguments near those that the policy names.
pub fn calls(policy: &Policy, seed: u64) -> Vec<Call> {
    let mut random = Random::new(seed + 1000);
    let named = policy.ours.split(|c: char| !c.is_ascii_alphanumeric());
    let number = |word: &str| match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse::<u64>().ok(),
    };
    let mut values: Vec<u64> = named.filter_map(number).collect();
    let around = values.iter().flat_map(|value| {
        [
            value.wrapping_add(1),
            value.wrapping_sub(1),
            value | 1 << 40,
        ]
    });
    let around: Vec<u64> = around.collect();
    values.extend(around);
    let machines = [
        (0xc000_003e, Arch::X86_64),
        (0xc000_003e, Arch::X32),
        (0x4000_0003, Arch::X86),
    ];
    let mut calls = Vec::new();
    for (token, arch) in machines {
        if policy.only.is_some_and(|only| only != arch) {
            continue;
        }
        for name in NAMES
            .iter()
            .chain(&["exit_group", "init_module", "open_by_handle_at"])
        {
            let Some(number) = arch.number(name) else {
                continue;
            };
            for _ in 0..24 {
                let mut args = [0; 6];
                for argument in &mut args {
                    *argument = if random.below(3) == 0 {
                        random.value()
                    } else {
                        random.of(&values)
                    };
                }
                calls.push(Call {
                    token,
                    number,
                    args,
                });
            }
        }
        let strange = [
            u32::MAX,
            999,
            0x4000_0000,
            0x4000_03e7,
            0x8000_0000,
            511,
            520,
        ];
        calls.extend(strange.map(|number| Call {
            token,
            number,
            args: [0; 6],
        }));
    }
    calls.push(Call {
        token: 0x4000_0028,
        number: 3,
        args: [0; 6],
    });
    calls
}
