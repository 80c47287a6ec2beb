//! The template `download` against servers of the test's own, with TLS.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{
    Certificates, Container, Entry, Reply, Request, Scratch, Server, failure, is_root, ok, program,
    sha256, tar, xz,
};

/// An image server's files, by path.
#[derive(Clone, Default)]
struct Site(Vec<(String, Vec<u8>)>);

impl Site {
    fn put(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.0.retain(|(name, _)| name != path);
        self.0.push((path.to_owned(), content.into()));
    }

    fn get(&self, path: &str) -> Option<&[u8]> {
        let mut found = self.0.iter().filter(|(name, _)| name == path);
        found.next().map(|(_, content)| &content[..])
    }

    fn reply(&self, request: &Request) -> Reply {
        match self.get(request.path.trim_start_matches('/')) {
            Some(content) => Reply::ok(content).ranged(request),
            None => Reply::status(404),
        }
    }
}

fn rootfs(word: &str) -> Vec<u8> {
    // Nothing that compresses, so that it has a length to be cut at.
    let mut noise = 1u64;
    let noise: String = std::iter::repeat_with(|| {
        noise = noise
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        char::from(b'a' + (noise >> 60) as u8)
    })
    .take(400_000)
    .collect();
    xz(&tar(&[
        Entry::dir("./"),
        Entry::dir("./etc"),
        Entry::file("./etc/word", word),
        Entry::file("./etc/noise", &noise),
    ]))
}

fn meta(expiry: u64) -> Vec<u8> {
    xz(&tar(&[
        Entry::file(
            "config",
            "lxc.include = LXC_TEMPLATE_CONFIG/common.conf\nlxc.arch = x86_64\n",
        ),
        Entry::file("create-message", "You just created a test container.\n"),
        Entry::file("expiry", &expiry.to_string()),
    ]))
}

const NEVER: u64 = 99_999_999_999;

/// A simplestreams server with one image of `test 1.0`, and a few names for the list.
fn site(rootfs: &[u8], meta: &[u8]) -> Site {
    let mut site = Site::default();
    site.put("images/rootfs.tar.xz", rootfs);
    site.put("images/lxc.tar.xz", meta);
    let item = |name: &str, kind: &str, content: &[u8]| {
        format!(
            r#""{kind}":{{"ftype":"{kind}","path":"images/{name}","size":{},"sha256":"{}"}}"#,
            content.len(),
            sha256(content)
        )
    };
    let items = [
        item("lxc.tar.xz", "lxc.tar.xz", meta),
        item("rootfs.tar.xz", "root.tar.xz", rootfs),
    ]
    .join(",");
    let product = |name: &str, build: &str| {
        format!(r#""{name}":{{"os":"Test","versions":{{"{build}":{{"items":{{{items}}}}}}}}}"#)
    };
    let products = [
        product("test:1.0:amd64:default", "20260102_03:04"),
        product("test:1.0:amd64:cloud", "20260102_03:05"),
        product("test:1.0:arm64:default", "20260102_03:06"),
        product("test:2.0:amd64:default", "20260102_03:07"),
        product("other:x:amd64:default", "20260102_03:08"),
    ]
    .join(",");
    site.put(
        "streams/v1/images.json",
        format!(r#"{{"format":"products:1.0","products":{{{products}}}}}"#),
    );
    site.put(
        "streams/v1/index.json",
        r#"{"format":"index:1.0","index":{"images":{"datatype":"image-downloads",
            "format":"products:1.0","path":"streams/v1/images.json"}}}"#,
    );
    site
}

const IMAGE: [&str; 6] = ["-d", "test", "-r", "1.0", "-a", "amd64"];

struct Set {
    certificates: Certificates,
    container: Container,
}

fn set() -> Option<Set> {
    if !is_root() {
        return None;
    }
    let certificates = Certificates::new()?;
    Some(Set {
        container: Container::trusting(&certificates),
        certificates,
    })
}

impl Set {
    fn server(&self, site: &Site) -> Server {
        let site = site.clone();
        Server::new(&self.certificates, move |request| site.reply(request))
    }

    fn download(&self, server: &str, more: &[&str]) -> std::process::Output {
        let mut command = self.container.command("download");
        command.args(IMAGE).args(["--server", server]).args(more);
        command.output().unwrap()
    }

    /// For another container: an empty root file system, the first configuration.
    fn again(&self) {
        let _ = std::fs::remove_dir_all(self.container.rootfs());
        std::fs::create_dir(self.container.rootfs()).unwrap();
        self.container.scratch.write("config", common::CONFIG);
    }

    fn nothing_left(&self, said: &str) {
        assert_eq!(self.container.entries(), Vec::<String>::new(), "{said}");
        assert_eq!(self.container.config(), common::CONFIG, "{said}");
        let slot = self
            .container
            .cache()
            .join("download/test/1.0/amd64/default");
        assert!(!slot.exists(), "{said}");
    }
}

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
fn a_damaged_cache_is_noticed() {
    let Some(set) = set() else { return };
    let server = set.server(&site(&rootfs("hello"), &meta(NEVER)));
    ok(&set.download(&server.host(), &[]));
    let kept = set
        .container
        .cache()
        .join("download/test/1.0/amd64/default/rootfs.tar.xz");
    let mut bytes = std::fs::read(&kept).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&kept, bytes).unwrap();
    set.again();
    let said = ok(&set.download(&server.host(), &[]));
    assert!(
        said.contains("WARNING") && said.contains("fetched again"),
        "{said}"
    );
    assert_eq!(set.container.read("etc/word"), "hello");
}

#[test]
fn wrong_digests_and_sizes_are_refused_and_leave_nothing() {
    let Some(set) = set() else { return };
    let (root, meta) = (rootfs("hello"), meta(NEVER));
    let honest = site(&root, &meta);
    let mut other = root.clone();
    other[5000] ^= 1;
    let mut longer = root.clone();
    longer.extend(b"more");
    for (path, content, words) in [
        ("images/rootfs.tar.xz", &other, "damaged or forged"),
        ("images/rootfs.tar.xz", &longer, "sends more than"),
        (
            "images/lxc.tar.xz",
            &vec![b'x'; meta.len()],
            "damaged or forged",
        ),
    ] {
        let mut forged = honest.clone();
        forged.put(path, content.clone());
        let said = failure(&set.download(&set.server(&forged).host(), &[]));
        assert!(said.contains(words), "{said}");
        set.nothing_left(&said);
    }
    // And the honest one works after all of them.
    ok(&set.download(&set.server(&honest).host(), &[]));
}

#[test]
fn an_interrupted_download_is_gone_on_with() {
    let Some(set) = set() else { return };
    let site = site(&rootfs("hello"), &meta(NEVER));
    let count = Arc::new(AtomicUsize::new(0));
    let (files, asked) = (site.clone(), Arc::clone(&count));
    let server = Server::new(&set.certificates, move |request| {
        let reply = files.reply(request);
        match request.path.ends_with("rootfs.tar.xz") && asked.fetch_add(1, Ordering::Relaxed) < 2 {
            true => reply.cut(60_000),
            false => reply,
        }
    });
    ok(&set.download(&server.host(), &[]));
    let ranges: Vec<_> = server
        .requests()
        .iter()
        .filter_map(|request| request.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges.len(), 2, "{ranges:?}");
    assert!(ranges.iter().all(|range| range != "bytes=0-"), "{ranges:?}");
    assert_eq!(set.container.read("etc/word"), "hello");
    // A run that ended in the middle: the next begins where it stopped.
    set.again();
    let dead = site.clone();
    let dying = Server::new(&set.certificates, move |request| {
        let reply = dead.reply(request);
        match request.path.ends_with("rootfs.tar.xz") {
            true if request.header("range").is_some() => Reply::status(500),
            true => reply.cut(60_000),
            false => reply,
        }
    });
    let said = failure(&set.download(&dying.host(), &["--flush-cache"]));
    assert!(
        said.contains("500") || said.contains("cannot fetch"),
        "{said}"
    );
}

#[test]
fn a_server_that_the_host_does_not_trust_gets_nothing() {
    let Some(set) = set() else { return };
    let Some(stranger) = Certificates::new() else {
        return;
    };
    let site = site(&rootfs("hello"), &meta(NEVER));
    let server = Server::new(&stranger, move |request| site.reply(request));
    let said = failure(&set.download(&server.host(), &[]));
    assert!(
        said.contains("UnknownIssuer") && said.contains("SSL_CERT_FILE"),
        "{said}"
    );
    set.nothing_left(&said);
    assert_eq!(server.paths(), Vec::<String>::new());
    let said = failure(&set.download("http://localhost:1", &[]));
    assert!(said.contains("plain HTTP"), "{said}");
}

#[test]
fn a_redirect_to_plain_http_is_not_followed() {
    let Some(set) = set() else { return };
    let server = Server::new(&set.certificates, |request| {
        Reply::status(302).header("Location", format!("http://localhost:9{}", request.path))
    });
    let said = failure(&set.download(&server.host(), &[]));
    assert!(said.to_lowercase().contains("https"), "{said}");
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
fn a_server_that_is_none_is_named() {
    let Some(set) = set() else { return };
    let said = failure(&set.download(&set.server(&Site::default()).host(), &[]));
    assert!(said.contains("is no image server"), "{said}");
    let mut broken = Site::default();
    broken.put("streams/v1/index.json", "{\"index\":");
    let said = failure(&set.download(&set.server(&broken).host(), &[]));
    assert!(said.contains("streams/v1/index.json"), "{said}");
    let said = failure(&set.download("localhost:1", &[]));
    assert!(said.contains("cannot fetch https://localhost:1/"), "{said}");
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

#[test]
fn hostile_indexes_reach_nothing_else() {
    let Some(set) = set() else { return };
    let honest = site(&rootfs("x"), &meta(NEVER));
    let text = String::from_utf8(honest.get("streams/v1/images.json").unwrap().to_vec()).unwrap();
    for (from, to) in [
        ("images/rootfs.tar.xz", "../../etc/shadow"),
        ("images/rootfs.tar.xz", "https://localhost:1/x"),
        ("test:1.0:amd64:default", "test:1.0:amd64:../../../x"),
        ("\"sha256\"", "\"md5\""),
    ] {
        let mut forged = honest.clone();
        forged.put("streams/v1/images.json", text.replace(from, to));
        let said = failure(&set.download(&set.server(&forged).host(), &[]));
        set.nothing_left(&said);
    }
}

/// A key of gpg's own making; `None` without gpg.
struct Signer {
    home: Scratch,
    gpg: std::path::PathBuf,
}

impl Signer {
    fn new(algorithm: &str) -> Option<Self> {
        let gpg = program("gpg")?;
        let home = Scratch::new();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&home.0, mode).unwrap();
        let signer = Self { home, gpg };
        let name = "rlxc-img <test@localhost>";
        signer.run(
            &["--quick-generate-key", name, algorithm, "sign", "2d"],
            b"",
        );
        Some(signer)
    }

    fn run(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new(&self.gpg)
            .args([
                "--batch",
                "--quiet",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
            ])
            .arg("--homedir")
            .arg(&self.home.0)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        ok(&output);
        output.stdout
    }

    fn keyring(&self) -> String {
        let file = self
            .home
            .write("key.asc", self.run(&["--armor", "--export"], b""));
        file.to_str().unwrap().to_owned()
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        // Its agent: asked to go, by its own socket.
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(&self.home.0)
            .args(["--kill", "gpg-agent"])
            .output();
    }
}

#[test]
fn signatures_are_asked_for_and_checked_without_gpg() {
    let Some(set) = set() else { return };
    let honest = site(&rootfs("signed"), &meta(NEVER));
    for algorithm in ["rsa3072", "ed25519"] {
        let Some(signer) = Signer::new(algorithm) else {
            return;
        };
        let keyring = signer.keyring();
        let options = ["--keyring", &keyring, "--flush-cache"];
        let fails = |site: &Site, words: &str| {
            let said = failure(&set.download(&set.server(site).host(), &options));
            assert!(said.contains(words), "{algorithm}: {said}");
        };
        set.again();
        fails(&honest, "the server has none");
        // Detached.
        let mut detached = honest.clone();
        for path in ["streams/v1/index.json", "streams/v1/images.json"] {
            let text = honest.get(path).unwrap();
            let signature = signer.run(&["--armor", "--detach-sign"], text);
            detached.put(&format!("{path}.asc"), signature);
        }
        ok(&set.download(&set.server(&detached).host(), &options));
        assert_eq!(set.container.read("etc/word"), "signed");
        set.again();
        let mut forged = detached.clone();
        let mut text = detached.get("streams/v1/images.json").unwrap().to_vec();
        text.push(b' ');
        forged.put("streams/v1/images.json", text);
        fails(&forged, "does not hold");
        // Clear-signed, as simplestreams has it.
        let mut inline = Site(honest.0.clone());
        for name in ["index", "images"] {
            let text = honest.get(&format!("streams/v1/{name}.json")).unwrap();
            let signed = signer.run(&["--clear-sign"], text);
            inline.put(&format!("streams/v1/{name}.sjson"), signed);
        }
        ok(&set.download(&set.server(&inline).host(), &options));
        set.again();
        let mut forged = inline.clone();
        let text = inline.get("streams/v1/images.sjson").unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        forged.put(
            "streams/v1/images.sjson",
            text.replace("20260102", "20260103"),
        );
        fails(&forged, "does not hold");
        // Another's key.
        let Some(other) = Signer::new(algorithm) else {
            return;
        };
        let keyring = other.keyring();
        let options = ["--keyring", &keyring, "--flush-cache"];
        let said = failure(&set.download(&set.server(&detached).host(), &options));
        assert!(said.contains("not in the keyring"), "{said}");
        // No signature asked for: TLS vouches.
        let options = ["--no-validate", "--flush-cache"];
        ok(&set.download(&set.server(&forged).host(), &options));
        set.again();
    }
}
