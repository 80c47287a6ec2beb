//! apparmor_parser compiles every profile that we write or ship, with mount rules as kernels with them see it.
#![allow(clippy::expect_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Command;

use rlxc_security::lsm::apparmor::{Request, profile_text};

/// What a kernel with mount, signal and network mediation says of itself (package apparmor).
const FEATURES: &str = "/usr/share/apparmor-features/features";

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("rlxc-apparmor-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The compiled policy in `file`; `None` where there is no parser.
fn compile(file: &Path, base: Option<&Path>) -> Option<Result<Vec<u8>, String>> {
    let mut parser = Command::new("apparmor_parser");
    parser.args(["-Q", "-K", "--quiet", "--stdout"]);
    if Path::new(FEATURES).exists() {
        parser.args(["--kernel-features", FEATURES, "--policy-features", FEATURES]);
    }
    if let Some(base) = base {
        // Its own abstractions first, then the host's.
        parser
            .arg("--base")
            .arg(base)
            .args(["-I", "/etc/apparmor.d"]);
    }
    let output = parser.arg(file).output();
    let Ok(output) = output else {
        println!("skipped: apparmor_parser (package apparmor) is missing");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(match output.status.success() {
        true => Ok(output.stdout),
        false => Err(said),
    })
}

#[test]
fn every_generated_variant_compiles() {
    let dir = Scratch::new("variants");
    let raw = [
        "mount fstype=ext4,".to_owned(),
        "deny /forbidden rwklx,".to_owned(),
    ];
    let file = dir.0.join("profile");
    let mut seen = Vec::new();
    for bits in 0..8 {
        let is = |bit: u32| bits & (1 << bit) != 0;
        let request = Request {
            profile: "lxc-c1_</var/lib/lxc>",
            namespace: is(0).then_some("lxc-c1_<-var-lib-lxc>"),
            nesting: is(1),
            unprivileged: is(2),
            cgroup_namespaces: !is(0),
            userns_rule: false,
            raw: if is(1) { &[] } else { &raw },
        };
        std::fs::write(&file, profile_text(&request)).expect("a file");
        match compile(&file, None) {
            None => return,
            Some(Ok(policy)) => seen.push(policy),
            Some(Err(said)) => panic!("{request:?}: {said}"),
        }
    }
    assert!(seen.iter().all(|policy| !policy.is_empty()));
    assert_ne!(seen[0], seen[1], "a policy namespace is no rule at all");
}

/// A raw line that is none is told at the start, by the parser.
#[test]
fn a_raw_line_that_is_no_rule_does_not_compile() {
    let dir = Scratch::new("raw");
    let request = Request {
        profile: "lxc-c1_</var/lib/lxc>",
        namespace: None,
        nesting: false,
        unprivileged: false,
        cgroup_namespaces: true,
        userns_rule: false,
        raw: &["mount fstype=".to_owned()],
    };
    let file = dir.0.join("profile");
    std::fs::write(&file, profile_text(&request)).expect("a file");
    if let Some(result) = compile(&file, None) {
        let said = result.expect_err("no rule");
        assert!(said.contains("at line"), "{said}");
    }
}

#[test]
fn the_shipped_profiles_compile() {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/apparmor");
    let base = Scratch::new("shipped");
    let copy = |from: &str, to: &str| {
        let to = base.0.join(to);
        std::fs::create_dir_all(&to).expect("a directory");
        for entry in std::fs::read_dir(dist.join(from)).expect("a directory") {
            let entry = entry.expect("an entry");
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
    };
    copy("abstractions", "abstractions/lxc");
    copy("lxc", "lxc");
    let file = base.0.join("lxc-containers");
    std::fs::copy(dist.join("lxc-containers"), &file).expect("copied");
    if let Some(result) = compile(&file, Some(&base.0)) {
        let policy = result.expect("profiles");
        for name in [
            "lxc-container-default",
            "lxc-container-default-cgns",
            "lxc-container-default-with-nesting",
            "lxc-container-default-with-mounting",
        ] {
            assert!(
                policy
                    .windows(name.len() + 1)
                    .any(|window| window == [name.as_bytes(), b"\0"].concat()),
                "{name}"
            );
        }
    }
}
