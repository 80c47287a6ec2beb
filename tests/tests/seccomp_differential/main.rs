//! Policies as LXC (libseccomp) and we make filters of them: the filter that the kernel holds for a container of LXC's
//! is read back and run, on a small interpreter, against ours on many calls.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

#[path = "../inside/mod.rs"]
mod inside;
mod machine;
mod policies;
#[path = "../view_cases/mod.rs"]
mod view_cases;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use inside::{Inside, World};
use machine::{Call, Instruction, run};
use rlxc_security::seccomp::{Arch, Policy, compile};

fn missing() -> Option<&'static str> {
    let gcc = Path::new("/usr/bin/gcc").exists();
    inside::missing()
        .or((!inside::has_peer()).then_some("lxc-start (package lxc)"))
        .or((!gcc).then_some("gcc (package gcc)"))
}

/// The program that reads filters back.
fn reader(world: &World) -> PathBuf {
    let program = world.lxcpath.join("filters");
    let source = rlxc_tests::repository().join("tests/tests/seccomp_differential/filters.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-Wall", "-o"]).arg(&program).arg(source);
    let output = gcc.output().unwrap();
    assert!(output.status.success(), "{}", rlxc_tests::said(&output));
    program
}

/// The filter of a container that LXC starts; its words when it does not start.
fn by_lxc(inside: &Inside, seen: &Path) -> Result<Vec<Instruction>, String> {
    let _ = fs::remove_file(seen);
    let started = inside.by_lxc();
    let text = fs::read_to_string(seen).unwrap_or_default();
    if !text.ends_with("end\n") {
        return Err(format!("{started:?} {text}"));
    }
    let filter = text.lines().next().unwrap_or_default();
    Ok(filter
        .split_whitespace()
        .map(machine::instruction)
        .collect())
}

fn by_us(policy: &str) -> Result<Vec<Instruction>, String> {
    let policy = Policy::parse(policy.as_bytes(), Path::new("policy"));
    let compiled = policy.and_then(|policy| compile(&policy, &Arch::of_machine()?));
    let compiled = compiled.map_err(|error| error.to_string())?;
    Ok(compiled.program.instructions)
}

#[test]
fn filters_have_the_effect_of_those_that_lxc_makes() {
    if let Some(what) = missing() {
        println!("skipped: {what} is missing");
        return;
    }
    let _left = rlxc_tests::cgroups::Left::of("seccomp-diff");
    let world = World::new("seccomp-differential");
    let reader = reader(&world);
    let seen = world.lxcpath.join("seen");
    let file = world.lxcpath.join("policy");
    let config = format!(
        "lxc.net.0.type = empty\nlxc.hook.version = 1\nlxc.seccomp.profile = {}\nlxc.hook.start-host = {} {}",
        file.display(),
        reader.display(),
        seen.display()
    );
    let inside = world.define("seccomp-diff", "echo done", &config, 0);
    let mut failures = Vec::new();
    for (number, policy) in policies::all().into_iter().enumerate() {
        fs::write(&file, &policy.theirs).unwrap();
        let theirs = by_lxc(&inside, &seen);
        let ours = by_us(&policy.ours);
        let text = &policy.ours;
        match (theirs, ours) {
            (Err(_), Err(_)) if policy.refused => {}
            (Ok(_), Ok(_)) if policy.refused => failures.push(format!("taken: {text}")),
            (Ok(theirs), Ok(ours)) => {
                let calls = policies::calls(&policy, u64::try_from(number).unwrap());
                failures.extend(differences(text, &theirs, &ours, &calls));
            }
            (Err(a), Err(b)) => failures.push(format!("nobody takes it: {text}{a}{b}")),
            (Err(why), Ok(_)) => failures.push(format!("only we take it: {text}{why}")),
            (Ok(_), Err(why)) => failures.push(format!("only LXC takes it: {text}{why}")),
        }
    }
    assert!(
        failures.is_empty(),
        "{} differences\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Where init has its ids already, a policy need not allow to take them: with LXC the container starts.
#[test]
fn a_policy_that_forbids_a_change_of_ids_lets_init_start() {
    if let Some(what) = missing() {
        println!("skipped: {what} is missing");
        return;
    }
    let _left = rlxc_tests::cgroups::Left::of("seccomp-ids");
    let world = World::new("seccomp-ids");
    let file = world.lxcpath.join("policy");
    // The prctl(2) are PR_SET_PDEATHSIG and PR_SET_DUMPABLE.
    let policy = "2\ndenylist\nsetresuid kill\nsetresgid kill\n\
                  prctl kill [0,1,SCMP_CMP_EQ]\nprctl kill [0,4,SCMP_CMP_EQ]\n";
    fs::write(&file, policy).unwrap();
    let config = format!(
        "lxc.net.0.type = empty\nlxc.seccomp.profile = {}",
        file.display()
    );
    let look = "echo started";
    let inside = world.define("seccomp-ids", look, &config, 0);
    let (theirs, ours) = (inside.by_lxc(), inside.by_us());
    assert_eq!(theirs.as_deref().map(str::trim), Ok("started"));
    assert_eq!(ours, theirs);
}

/// The first calls that the two filters do not agree on.
fn differences(
    policy: &str,
    theirs: &[Instruction],
    ours: &[Instruction],
    calls: &[Call],
) -> Option<String> {
    let differing = calls.iter().filter_map(|call| {
        let (their, our) = (run(theirs, call), run(ours, call));
        (their != our).then(|| format!("  {call:x?}: LXC {their:x}, we {our:x}\n"))
    });
    let differing: Vec<String> = differing.take(5).collect();
    (!differing.is_empty()).then(|| format!("{policy}{}", differing.concat()))
}
