//! Headers, symbols, offsets: what a program sees of the library before it calls it.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Place, dropped_in, here, lacks, library, text};

/// Runs a compiler on `source`; says what it said.
fn compiles(compiler: &str, flags: &[&str], source: &str, include: &Path) -> Result<(), String> {
    let place = Place::new("compile");
    let name = if compiler == "g++" { "a.cc" } else { "a.c" };
    std::fs::write(place.join(name), source).unwrap();
    let output = Command::new(compiler)
        .args(["-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"])
        .arg(include)
        .args(flags)
        .arg(place.join(name))
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(text(&output)),
    }
}

#[test]
fn the_headers_compile_as_c11_and_cpp17() {
    if lacks(false, &[("/usr/bin/gcc", "gcc"), ("/usr/bin/g++", "g++")]) {
        return;
    }
    let include = here().join("include");
    let use_all = "#include <lxc/lxccontainer.h>\n#include <lxc/attach_options.h>\n\
        #include <lxc/version.h>\n\
        int main(void) { lxc_attach_options_t o = LXC_ATTACH_OPTIONS_DEFAULT; return o.stdin_fd; }\n";
    compiles("gcc", &["-std=c11", "-pedantic"], use_all, &include).unwrap();
    compiles(
        "gcc",
        &["-std=c11"],
        "#include <lxc/attach_options.h>\nint x;\n",
        &include,
    )
    .unwrap();
    compiles("g++", &["-std=c++17", "-pedantic"], use_all, &include).unwrap();
}

/// The table of offsets, sizes, values and signatures, as a program that only compiles if all is so.
fn table() -> String {
    std::fs::read_to_string(here().join("tests/c/table.c")).unwrap()
}

#[test]
fn offsets_sizes_values_and_signatures_are_those_of_the_table() {
    if lacks(false, &[("/usr/bin/gcc", "gcc")]) {
        return;
    }
    let flags = ["-std=gnu11", "-DVERSION_7"];
    compiles("gcc", &flags, &table(), &here().join("include")).unwrap();
    // A table that could not fail would prove nothing.
    let wrong = table().replace(
        "OFFSET(lxc_container, start, 136)",
        "OFFSET(lxc_container, start, 144)",
    );
    assert!(compiles("gcc", &flags, &wrong, &here().join("include")).is_err());
    let wrong = table().replace(
        "bool (*)(struct lxc_container *, int)",
        "int (*)(struct lxc_container *, int)",
    );
    assert!(compiles("gcc", &flags, &wrong, &here().join("include")).is_err());
}

#[test]
fn lxcs_own_header_has_the_same_table() {
    if lacks(
        false,
        &[
            ("/usr/bin/gcc", "gcc"),
            ("/usr/include/lxc/lxccontainer.h", "lxc-dev"),
        ],
    ) {
        return;
    }
    compiles("gcc", &["-std=gnu11"], &table(), Path::new("/usr/include")).unwrap();
}

#[test]
fn exactly_the_public_symbols_are_exported() {
    if lacks(false, &[("/usr/bin/nm", "binutils")]) {
        return;
    }
    let output = Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(library())
        .output()
        .unwrap();
    let text = text(&output);
    let mut found: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(2))
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "current_config",
            "list_active_containers",
            "list_all_containers",
            "list_defined_containers",
            "lxc_attach_run_command",
            "lxc_attach_run_shell",
            "lxc_config_define_add",
            "lxc_config_define_free",
            "lxc_config_define_load",
            "lxc_config_item_is_supported",
            "lxc_config_parse_arch",
            "lxc_container_get",
            "lxc_container_new",
            "lxc_container_put",
            "lxc_get_global_config_item",
            "lxc_get_version",
            "lxc_get_wait_states",
            "lxc_has_api_extension",
            "lxc_is_valid_storage_type",
            "lxc_log_close",
            "lxc_log_init",
            "lxc_wait_for_pid_status",
        ]
    );
}

#[test]
fn the_soname_is_that_of_lxc() {
    let bytes = std::fs::read(library()).unwrap();
    assert!(bytes.windows(12).any(|w| w == b"liblxc.so.1\0"));
}

/// What LXC's tools and the Ruby binding import although no header declares it.
#[test]
fn undeclared_symbols_are_of_the_kind_that_their_users_expect() {
    if lacks(false, &[("/usr/bin/gcc", "gcc")]) {
        return;
    }
    let drop = dropped_in("tools");
    let program = common::compile("tools.c", &drop, &[]);
    let output = Command::new(program)
        .env("LD_LIBRARY_PATH", drop.path())
        .output()
        .unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(", 0 failures"), "{said}");
}

#[test]
fn a_program_that_asks_for_it_runs_from_a_sealed_copy() {
    let drop = dropped_in("rexec");
    if lacks(false, &[("/usr/bin/gcc", "gcc")]) {
        return;
    }
    let program = common::compile("rexec.c", &drop, &[]);
    let run = |wanted: bool| {
        let mut command = Command::new(&program);
        command
            .env("LD_LIBRARY_PATH", drop.path())
            .arg("an argument");
        if wanted {
            command.env("LXC_MEMFD_REXEC", "1");
        }
        text(&command.output().unwrap())
    };
    assert_eq!(run(false), "file an argument\n");
    assert_eq!(run(true), "sealed an argument\n");
}
