//! The template `download` against servers of the test's own, with TLS.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::site::{NEVER, Site, meta, rootfs, set, site};
use common::{Scratch, failure, ok, sha256};

#[test]
fn an_image_becomes_a_container_and_the_second_comes_from_the_cache() {
    let Some(set) = set() else { return };
    let server = set.server(&site(&rootfs("hello"), &meta(NEVER)));
    let said = ok(&set.download(&server.host(), &[]));
    for line in [
        "Downloading the image index",
        "Downloading the rootfs",
        "Downloading the metadata",
        "The image cache is now ready",
        "Unpacking the rootfs",
        "You just created a test container.",
    ] {
        assert!(said.contains(line), "{line:?} in {said}");
    }
    assert_eq!(set.container.read("etc/word"), "hello");
    assert!(set.container.config().contains("lxc.uts.name = rlxc-img-c"));
    let asked = server.paths().len();
    set.again();
    let said = ok(&set.download(&server.host(), &[]));
    assert!(said.contains("Using image from local cache"), "{said}");
    assert_eq!(
        server.paths().len(),
        asked,
        "asked again: {:?}",
        server.paths()
    );
    assert_eq!(set.container.read("etc/word"), "hello");
    // And without any server at all.
    set.again();
    drop(server);
    ok(&set.download("localhost:1", &[]));
    assert_eq!(set.container.read("etc/word"), "hello");
}

#[test]
fn flushed_and_expired_copies_are_fetched_again() {
    let Some(set) = set() else { return };
    let server = set.server(&site(&rootfs("hello"), &meta(1)));
    let fetched = || {
        server
            .paths()
            .iter()
            .filter(|path| path.ends_with("rootfs.tar.xz"))
            .count()
    };
    ok(&set.download(&server.host(), &[]));
    set.again();
    let said = ok(&set.download(&server.host(), &[]));
    assert!(
        said.contains("The cached copy has expired, re-downloading..."),
        "{said}"
    );
    assert!(said.contains("The cache is already up to date"), "{said}");
    assert_eq!(fetched(), 1);
    set.again();
    let said = ok(&set.download(&server.host(), &["--flush-cache"]));
    assert!(said.contains("Flushing the cache..."), "{said}");
    assert_eq!(fetched(), 2);
    // Expired, and no server: only by force.
    drop(server);
    set.again();
    let said = failure(&set.download("localhost:1", &[]));
    assert!(said.contains("--force-cache"), "{said}");
    let said = ok(&set.download("localhost:1", &["--force-cache"]));
    assert!(said.contains("Using image from local cache"), "{said}");
}

#[test]
fn a_new_build_replaces_the_expired_one() {
    let Some(set) = set() else { return };
    ok(&set.download(&set.server(&site(&rootfs("old"), &meta(1))).host(), &[]));
    set.again();
    let mut newer = site(&rootfs("new"), &meta(NEVER));
    let text = String::from_utf8(newer.get("streams/v1/images.json").unwrap().to_vec()).unwrap();
    newer.put(
        "streams/v1/images.json",
        text.replace("20260102", "20260203"),
    );
    ok(&set.download(&set.server(&newer).host(), &[]));
    assert_eq!(set.container.read("etc/word"), "new");
}

#[test]
fn the_list_has_lxc_s_form() {
    let Some(set) = set() else { return };
    let server = set.server(&site(&rootfs("x"), &meta(NEVER)));
    let list = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rlxc-image"))
            .args(["download", "--list", "--server", &server.host()])
            .args(more)
            .env_clear()
            .env("SSL_CERT_FILE", set.certificates.authority())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).unwrap()
    };
    let rows = |text: &str| {
        text.lines()
            .filter(|line| line.matches('\t').count() == 4)
            .count()
    };
    let all = list(&[]);
    assert!(
        all.contains(
            "\n---\nDIST\tRELEASE\tARCH\tVARIANT\tBUILD\n---\n\
             other\tx\tamd64\tdefault\t20260102_03:08\ntest\t1.0\tamd64\tdefault\t20260102_03:04\n"
        ),
        "{all}"
    );
    assert_eq!(rows(&all), 5);
    assert_eq!(rows(&list(&["-d", "test", "-r", "1.0"])), 3);
    assert_eq!(rows(&list(&["--variant", "cloud"])), 2);
}

#[test]
fn what_is_not_there_is_answered_with_what_is() {
    let Some(set) = set() else { return };
    let server = set.server(&site(&rootfs("x"), &meta(NEVER)));
    let asks = |words: &[&str], answer: &str| {
        let mut all = words.to_vec();
        let host = server.host();
        all.extend(["--server", &host]);
        let said = failure(&set.container.run("download", &all));
        assert!(said.contains("Couldn't find a matching image"), "{said}");
        assert!(said.contains(answer), "{said}");
    };
    asks(
        &["-d", "tset", "-r", "1.0", "-a", "amd64"],
        "there is: other, test",
    );
    asks(
        &["-d", "test", "-r", "3.0", "-a", "amd64"],
        "releases of test: 1.0, 2.0",
    );
    asks(
        &["-d", "test", "-r", "1.0", "-a", "riscv64"],
        "amd64, arm64",
    );
    asks(
        &[
            "-d",
            "test",
            "-r",
            "1.0",
            "-a",
            "amd64",
            "--variant",
            "tiny",
        ],
        "variants: cloud, default",
    );
    let odd = [
        "-d",
        "../../../etc",
        "-r",
        "1.0",
        "-a",
        "amd64",
        "--server",
        &server.host(),
    ];
    assert!(failure(&set.container.run("download", &odd)).contains("no name of an image"));
}

#[test]
fn what_was_not_given_is_asked_for() {
    let Some(set) = set() else { return };
    let server = set.server(&site(&rootfs("chosen"), &meta(NEVER)));
    let run = |answers: &str| {
        let mut child = set
            .container
            .command("download")
            .args(["-a", "amd64", "--server", &server.host()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(answers.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    };
    let said = ok(&run("Test\ntest\n1.0\n"));
    assert!(
        said.contains("Distribution: \nThere is no Test; did you mean test?"),
        "{said}"
    );
    assert!(said.contains("Release: "), "{said}");
    assert_eq!(set.container.read("etc/word"), "chosen");
    set.again();
    let said = failure(&run("test\n"));
    assert!(said.contains("no answer for release"), "{said}");
}

#[test]
fn the_older_index_works_with_its_checksums() {
    let Some(set) = set() else { return };
    let (root, meta) = (rootfs("old"), meta(NEVER));
    let mut site = Site::default();
    let line = "test;1.0;amd64;default;20260101_00:00;/images/a/b/\nbroken line\n";
    site.put("meta/1.0/index-system.5", line);
    site.put("images/a/b/rootfs.tar.xz", root.clone());
    site.put("images/a/b/meta.tar.xz", meta.clone());
    let sums = format!(
        "{}  rootfs.tar.xz\n{} *meta.tar.xz\n",
        sha256(&root),
        sha256(&meta)
    );
    site.put("images/a/b/SHA256SUMS", sums.clone());
    ok(&set.download(&set.server(&site).host(), &[]));
    assert_eq!(set.container.read("etc/word"), "old");
    set.again();
    let mut forged = site.clone();
    forged.put(
        "images/a/b/SHA256SUMS",
        sums.replace(&sha256(&root), &sha256(b"x")),
    );
    let said = failure(&set.download(&set.server(&forged).host(), &["--flush-cache"]));
    assert!(said.contains("damaged or forged"), "{said}");
}

#[test]
fn a_directory_serves_too() {
    let Some(set) = set() else { return };
    let mirror = Scratch::new();
    for (path, content) in &site(&rootfs("mirrored"), &meta(NEVER)).0 {
        mirror.write(path, content);
    }
    ok(&set.download(mirror.0.to_str().unwrap(), &[]));
    assert_eq!(set.container.read("etc/word"), "mirrored");
}
