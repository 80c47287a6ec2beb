//! The named differences between LXC 5.0.2 (the peer) and LXC 7.0.0 or this crate.

use serde_json::Value;

use crate::Step;

/// Whether the rest of the sequence can still be compared.
pub(crate) enum Then {
    GoOn,
    Stop,
}

/// Earlier steps with our answers, this step, our answer, theirs.
type Rule = fn(&[(Step, Value)], &Step, &Value, &Value) -> bool;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Whether the step sets the key or loads a file that does.
fn mentions(step: &Step, key: &str) -> bool {
    match step {
        Step::Load(text) => text.contains(key),
        Step::Set(name, _) if key.starts_with('.') => name.ends_with(key),
        Step::Set(name, _) => name == key,
        _ => false,
    }
}

/// Whether an earlier set or load of this key failed here.
fn refused(before: &[(Step, Value)], key: &str) -> bool {
    before
        .iter()
        .any(|(step, ours)| *ours == false && mentions(step, key))
}

/// The key that the step asks for or changes.
fn key(step: &Step) -> &str {
    match step {
        Step::Set(key, _) | Step::Get(key) | Step::Clear(key) => key,
        _ => "",
    }
}

const RULES: &[(&str, Rule, Then)] = &[
    (
        "5.0.2 lists lxc.cgroup among the keys and lacks lxc.environment.runtime and .hooks",
        |_, step, _, _| matches!(step, Step::Keys(prefix) if prefix.is_empty() || prefix == "lxc.environment"),
        Then::GoOn,
    ),
    (
        "5.0.2 shows time offsets with a blank or a newline",
        |_, step, ours, theirs| {
            matches!(step, Step::Get(_))
                && key(step).starts_with("lxc.time.offset")
                && text(ours) == text(theirs).trim_end().replace(' ', "")
        },
        Then::GoOn,
    ),
    (
        "5.0.2 takes text that is no number for lxc.init.uid, .gid, lxc.hook.version and lxc.seccomp.allow_nesting",
        |before, step, ours, theirs| {
            let lax = [
                "lxc.init.uid",
                "lxc.init.gid",
                "lxc.hook.version",
                "lxc.seccomp.allow_nesting",
            ];
            *ours == false && *theirs == true && lax.iter().any(|key| mentions(step, key))
                || lax.iter().any(|key| refused(before, key))
        },
        Then::Stop,
    ),
    (
        "5.0.2 shows no mount point after lxc.rootfs.mount has been cleared; here the default holds again",
        |_, step, _, theirs| {
            matches!(step, Step::Get(_))
                && key(step) == "lxc.rootfs.mount"
                && text(theirs).is_empty()
        },
        Then::GoOn,
    ),
    (
        "5.0.2 stores a refused number for lxc.seccomp.allow_nesting",
        |before, step, _, _| {
            matches!(step, Step::Get(_))
                && key(step) == "lxc.seccomp.allow_nesting"
                && refused(before, key(step))
        },
        Then::Stop,
    ),
    (
        "5.0.2 keeps a negative lxc.autodev.tmpfs.size",
        |_, step, ours, theirs| {
            key(step) == "lxc.autodev.tmpfs.size"
                && *ours == "500000"
                && text(theirs).starts_with('-')
        },
        Then::GoOn,
    ),
    (
        "5.0.2, built without it, does not know SIGUNUSED",
        |before, step, _, _| {
            before
                .iter()
                .map(|(step, _)| step)
                .chain([step])
                .any(|step| match step {
                    Step::Set(_, value) => value == "SIGUNUSED",
                    Step::Load(text) => text.contains("SIGUNUSED"),
                    _ => false,
                })
        },
        Then::Stop,
    ),
    (
        "5.0.2 cannot save with an id map that newuidmap refuses to its caller",
        |before, step, _, theirs| {
            *step == Step::Save
                && *theirs == false
                && before.iter().any(|(step, _)| mentions(step, "lxc.idmap"))
        },
        Then::GoOn,
    ),
    (
        "5.0.2 shows the one list of capabilities for lxc.cap.drop and lxc.cap.keep alike",
        |_, step, ours, _| {
            matches!(step, Step::Get(_))
                && key(step).starts_with("lxc.cap.")
                && text(ours).is_empty()
        },
        Then::GoOn,
    ),
    (
        "5.0.2 takes the words before a wrong one in lxc.cap.keep for dropped ones",
        |before, step, _, _| {
            let keep = "lxc.cap.keep";
            (mentions(step, keep)
                || mentions(step, "lxc.cap.drop")
                || key(step).starts_with("lxc.cap"))
                && refused(before, keep)
        },
        Then::Stop,
    ),
    (
        "5.0.2 looks for the interface that lxc.net.N.link = NAME+ means when that is set, here the start does",
        |_, step, ours, _| {
            matches!(step, Step::Get(_))
                && key(step).ends_with(".link")
                && text(ours).ends_with('+')
        },
        Then::Stop,
    ),
    (
        "5.0.2 takes a multiple of a negative time offset for an overflow",
        |before, step, _, _| {
            let offset = "lxc.time.offset";
            let is_negative = |step: &Step| match step {
                Step::Set(key, value) => key.starts_with(offset) && value.contains('-'),
                Step::Load(text) => text.contains(offset) && text.contains('-'),
                _ => false,
            };
            is_negative(step)
                || before.iter().any(|(step, _)| is_negative(step)) && key(step).starts_with(offset)
        },
        Then::Stop,
    ),
    (
        "5.0.2 has ipvlan mode l2 by default, 7.0.0 l3",
        |_, step, ours, theirs| {
            key(step).ends_with(".ipvlan.mode") && *ours == "l3" && *theirs == "l2"
        },
        Then::GoOn,
    ),
    (
        "5.0.2 shows 0 for a VLAN that is not set, 7.0.0 nothing",
        |_, step, ours, theirs| {
            key(step).ends_with(".veth.vlan.id") && *ours == "" && *theirs == "0"
        },
        Then::GoOn,
    ),
    (
        "5.0.2 takes ids beyond 32 bits",
        |before, step, _, _| {
            before
                .iter()
                .map(|(step, _)| step)
                .chain([step])
                .any(|step| match step {
                    Step::Set(_, value) => value.contains("4294967296"),
                    Step::Load(text) => text.contains("0 4294967296"),
                    _ => false,
                })
        },
        Then::Stop,
    ),
    (
        "5.0.2 takes only spaces and tabs for blanks around keys and values, 7.0.0 whatever isspace does",
        |before, step, _, _| {
            before
                .iter()
                .map(|(step, _)| step)
                .chain([step])
                .any(|step| matches!(step, Step::Load(text) if text.contains('\u{b}')))
        },
        Then::Stop,
    ),
    (
        "5.0.2 reads a network's number up to the first byte that is no digit, and clears one beyond the largest; here such a key is unknown",
        |before, step, _, _| {
            let odd = ["lxc.net.0x1", "lxc.net.1a", "lxc.net.2147483647"];
            before
                .iter()
                .map(|(step, _)| step)
                .chain([step])
                .any(|step| match step {
                    Step::Load(text) => odd.iter().any(|key| text.contains(key)),
                    Step::Set(key, _) | Step::Get(key) | Step::Clear(key) => {
                        odd.iter().any(|odd| key.starts_with(odd))
                    }
                    Step::Keys(_) | Step::Save => false,
                })
        },
        Then::Stop,
    ),
    (
        "5.0.2 removes the lines of other keys that begin alike: lxc.net.1 and lxc.net.10, lxc.net and lxc.network, lxc.cgroup and all below it",
        |before, step, ours, theirs| {
            let cleared = |family: &str| {
                before.iter().any(|(step, _)| match step {
                    Step::Set(key, value) => value.is_empty() && key.starts_with(family),
                    Step::Clear(key) => key.starts_with(family),
                    Step::Load(text) => family == "lxc.cgroup" && text.contains(family),
                    _ => false,
                })
            };
            let mut alike = Vec::new();
            if cleared("lxc.net") {
                alike.extend(["lxc.netx", "lxc.network"]);
                let keys = before.iter().map(|(step, _)| key(step));
                alike.extend(keys.filter(|key| key.starts_with("lxc.net.")));
            }
            if cleared("lxc.cgroup") {
                alike.push("lxc.cgroup");
            }
            // Random digits of addresses differ by nature.
            let other = |line: &&str| {
                !alike.iter().any(|key| line.starts_with(key)) && !line.contains("hwaddr")
            };
            *step == Step::Save
                && !alike.is_empty()
                && text(ours)
                    .lines()
                    .filter(other)
                    .eq(text(theirs).lines().filter(other))
        },
        Then::Stop,
    ),
    (
        "5.0.2 shows (invalid) for a mode that has been cleared; here the default holds again",
        |_, step, _, theirs| key(step).contains("vlan.") && *theirs == "(invalid)",
        Then::GoOn,
    ),
    (
        "5.0.2 does not reset lxc.tty.max when it is cleared",
        |before, step, ours, _| {
            key(step) == "lxc.tty.max"
                && *ours == "0"
                && before
                    .iter()
                    .any(|(step, _)| matches!(step, Step::Clear(key) if key == "lxc.tty.max"))
        },
        Then::GoOn,
    ),
];

/// The name of the rule that explains the difference.
pub(crate) fn explain(
    before: &[(Step, Value)],
    step: &Step,
    ours: &Value,
    theirs: &Value,
) -> Option<(&'static str, Then)> {
    let (name, _, then) = RULES
        .iter()
        .find(|(_, rule, _)| rule(before, step, ours, theirs))?;
    Some((
        name,
        match then {
            Then::GoOn => Then::GoOn,
            Then::Stop => Then::Stop,
        },
    ))
}
