//! Programs that no one here wrote, on our library: the Go and Lua bindings, the Rust crates; and the
//! interface as the Haskell binding uses it.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Place, built, compile, dropped_in, here, lacks, sandboxed, text};

const BUSYBOX: (&str, &str) = ("/bin/busybox", "busybox-static");

fn template() -> PathBuf {
    here().join("../../templates/lxc-busybox")
}

#[test]
fn the_lua_binding_runs_on_the_library() {
    let needs = [
        ("/usr/bin/lua5.2", "lua5.2"),
        ("/usr/lib/x86_64-linux-gnu/lua/5.2/lxc/core.so", "lua-lxc"),
        BUSYBOX,
    ];
    if lacks(true, &needs) {
        return;
    }
    let drop = dropped_in("lua");
    let place = Place::new("lua");
    let output = sandboxed(&drop, "lua5.2")
        .arg(here().join("tests/binding.lua"))
        .arg(place.path())
        .arg(template())
        .output()
        .unwrap();
    let said = text(&output);
    assert!(said.contains("the binding is content"), "{said}");
}

#[test]
fn the_functions_of_the_haskell_binding_answer_through_their_slots() {
    if lacks(true, &[("/usr/bin/gcc", "gcc"), BUSYBOX]) {
        return;
    }
    let drop = dropped_in("seed");
    let program = compile("seed.c", &drop, &[]);
    let place = Place::new("seed");
    let output = sandboxed(&drop, program)
        .arg(template())
        .arg(place.path())
        .output()
        .unwrap();
    let said = text(&output);
    assert!(said.contains(", 0 failures"), "{said}");
}

const GO_LXC: &str = "/usr/share/gocode/src/gopkg.in/lxc/go-lxc.v2";

/// What go-lxc's tests need of the host besides: addresses, terminals.
const GO_SETUP: &str = "\
cat > /etc/lxc/default.conf <<END
lxc.net.0.type = veth
lxc.net.0.link = lxcbr0
lxc.net.0.flags = up
lxc.net.0.ipv4.address = 10.0.3.77/24
lxc.tty.max = 4
END
exec \"$@\"
";

#[test]
fn the_test_suite_of_go_lxc_passes() {
    let needs = [
        ("/usr/bin/go", "golang-go"),
        (GO_LXC, "golang-gopkg-lxc-go-lxc.v2-dev"),
        (
            "/usr/share/gocode/src/golang.org/x/sys/unix",
            "golang-golang-x-sys-dev",
        ),
        ("/usr/bin/pkg-config", "pkg-config"),
        BUSYBOX,
    ];
    if lacks(true, &needs) {
        return;
    }
    let drop = dropped_in("go");
    let suite = build_go_suite(&drop);
    // Static addresses: the template's init must not ask for others.
    let script = drop.join("template");
    let text_of = format!(
        "#!/bin/sh\n{} \"$@\" || exit 1\nfor arg; do case $arg in --rootfs=*)\n\
         sed -i /udhcpc/d \"${{arg#--rootfs=}}/etc/init.d/rcS\";; esac; done\n",
        template().display()
    );
    std::fs::write(&script, text_of).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    let tool = built().join("rlxc");
    let executes = tool.exists();
    std::os::unix::fs::symlink(&tool, drop.join("lxc-execute")).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let output = sandboxed(&drop, "sh")
        .args(["-e", "-c", GO_SETUP, "sh"])
        .arg(&suite)
        .args(["-test.v", "-test.timeout", "150s"])
        .env("TEST_TEMPLATE", &script)
        // One test executes the tool.
        .env("PATH", format!("{}:{path}", drop.path().display()))
        .env("USER", "root")
        .output()
        .unwrap();
    let said = text(&output);
    let lines = |what: &str| -> Vec<String> {
        let begin = format!("--- {what}: ");
        said.lines()
            .filter_map(|line| line.strip_prefix(begin.as_str()))
            .filter_map(|rest| rest.split(' ').next())
            .map(str::to_owned)
            .collect()
    };
    let (passed, mut failed) = (lines("PASS"), lines("FAIL"));
    if !executes {
        failed.retain(|name| name != "TestExecute");
        println!("skipped: TestExecute of go-lxc: rlxc's programs are not built");
    }
    println!(
        "go-lxc: {} passed, {} skipped by itself",
        passed.len(),
        lines("SKIP").len()
    );
    assert!(failed.is_empty(), "{failed:?}: {said}");
    assert!(passed.len() > 70, "{} passed: {said}", passed.len());
}

/// The suite with our template in place of a download, built against our headers and `lxc.pc`.
fn build_go_suite(drop: &Place) -> PathBuf {
    let source = drop.join("go/src/gopkg.in/lxc/go-lxc.v2");
    std::fs::create_dir_all(&source).unwrap();
    for entry in std::fs::read_dir(GO_LXC).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), source.join(entry.file_name())).unwrap();
        }
    }
    let tests = source.join("lxc_test.go");
    let suite = std::fs::read_to_string(&tests).unwrap();
    let (before, rest) = suite
        .split_once("func template() TemplateOptions {")
        .unwrap();
    let (_, after) = rest.split_once("\n}\n").unwrap();
    let ours = "func template() TemplateOptions {\n\
        \treturn TemplateOptions{Template: os.Getenv(\"TEST_TEMPLATE\")}\n}\n";
    let suite = [before, ours, after].concat();
    // A shutdown while init is still about to reboot goes one way or the other, with LXC as well.
    let patient = [
        (
            "\tif err := c.Reboot(); err",
            "\tinit := c.InitPid()\n\tif err := c.Reboot(); err",
        ),
        (
            "\tc.Wait(RUNNING, 30*time.Second)\n}\n\nfunc TestConcurrentShutdown",
            "\tfor i := 0; i < 300 && (c.InitPid() == init || c.InitPid() == -1); i++ {\n\
             \t\ttime.Sleep(100 * time.Millisecond)\n\t}\n\
             \tc.Wait(RUNNING, 30*time.Second)\n}\n\nfunc TestConcurrentShutdown",
        ),
    ];
    let suite = patient.iter().fold(suite, |suite, (text, longer)| {
        assert!(suite.contains(text), "{text}");
        suite.replace(text, longer)
    });
    std::fs::write(&tests, suite).unwrap();
    write_pkg_config(drop);
    let program = drop.join("go-lxc.test");
    let output = Command::new("go")
        .current_dir(&source)
        .args(["test", "-c", "-o"])
        .arg(&program)
        .arg(".")
        .env("GO111MODULE", "off")
        .env("GOFLAGS", "")
        .env(
            "GOPATH",
            format!("{}:/usr/share/gocode", drop.join("go").display()),
        )
        .env("GOCACHE", built().join("go-cache"))
        .env("PKG_CONFIG_PATH", drop.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    program
}

fn write_pkg_config(drop: &Place) {
    let template = std::fs::read_to_string(here().join("lxc.pc.in")).unwrap();
    let filled = template
        .replace("@PREFIX@", "/usr")
        .replace("@INCLUDEDIR@", &here().join("include").to_string_lossy())
        .replace("@LIBDIR@", &drop.path().to_string_lossy());
    std::fs::write(drop.join("lxc.pc"), filled).unwrap();
}

#[test]
fn pkg_config_tells_compiler_and_linker_where_we_are() {
    if lacks(false, &[("/usr/bin/pkg-config", "pkg-config")]) {
        return;
    }
    let drop = dropped_in("pc");
    write_pkg_config(&drop);
    let ask = |what: &str| {
        let output = Command::new("pkg-config")
            .args([what, "lxc"])
            .env("PKG_CONFIG_PATH", drop.path())
            .output()
            .unwrap();
        text(&output)
    };
    assert_eq!(ask("--modversion").trim(), "7.0.0");
    assert!(ask("--libs").contains("-llxc -lutil -lpthread -ldl"));
    assert!(ask("--cflags").contains("/include"));
}

/// Where bindgen finds clang; the crates are downloaded, so an offline machine skips this.
const LIBCLANG: &str = "/usr/lib/llvm-14/lib";

#[test]
fn the_crate_lxc_is_a_client_of_headers_and_library() {
    let libclang = format!("{LIBCLANG}/libclang.so.1");
    if lacks(true, &[(&libclang, "libclang-14-dev"), BUSYBOX]) {
        return;
    }
    let drop = dropped_in("crate");
    let manifest = here().join("../../tests/clients/rust/Cargo.toml");
    let target = built().join("rust-client");
    let cargo = |task: &str| {
        let mut command = Command::new(env!("CARGO"));
        command
            .args([task, "--quiet", "--manifest-path"])
            .arg(&manifest)
            .env("CARGO_TARGET_DIR", &target)
            .env("LIBCLANG_PATH", LIBCLANG)
            .env(
                "BINDGEN_EXTRA_CLANG_ARGS",
                format!("-I{}", here().join("include").display()),
            )
            // A fixed place, so that it is not built anew for each folder.
            .env("RUSTFLAGS", format!("-L {}", built().display()));
        command.output().unwrap()
    };
    if !cargo("fetch").status.success() {
        return println!("skipped: the crates lxc and lxc-sys cannot be downloaded");
    }
    std::fs::create_dir_all(&target).unwrap();
    // The linker looks for liblxc.so, which is there under that name.
    let output = cargo("build");
    assert!(output.status.success(), "{}", text(&output));
    let program: &Path = &target.join("debug/rlxc-client");
    let output = sandboxed(&drop, program).arg(template()).output().unwrap();
    let said = text(&output);
    assert!(said.contains("the client is content"), "{said}");
}
