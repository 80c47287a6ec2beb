//! Servers that are not what they should be, and connections that break.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::site::{NEVER, Site, meta, rootfs, set, site};
use common::{Certificates, Reply, Server, failure, ok};

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

#[test]
fn what_a_server_answers_is_told() {
    let Some(set) = set() else { return };
    let honest = site(&rootfs("hello"), &meta(NEVER));
    // A loop, a file that is announced and not there, a server in trouble, one that hangs up.
    for (path, reply, words) in [
        (
            "/streams/",
            Reply::status(302).header("Location", "/streams/v1/index.json"),
            "redirect",
        ),
        ("/images/rootfs", Reply::status(404), "404"),
        ("/images/lxc", Reply::status(403), "403"),
        ("/streams/v1/images", Reply::status(503), "503"),
        (
            "/streams/v1/images",
            Reply::ok("x".repeat(100)).cut(10),
            "cannot fetch",
        ),
        (
            "/streams/v1/images",
            Reply::status(404),
            "is in the index, but not on the server",
        ),
    ] {
        let files = honest.clone();
        let server = Server::new(&set.certificates, move |request| {
            match request.path.starts_with(path) {
                true => reply.clone(),
                false => files.reply(request),
            }
        });
        let said = failure(&set.download(&server.host(), &[]));
        assert!(
            said.to_lowercase().contains(words),
            "{path} {words}: {said}"
        );
        set.nothing_left(&said);
        let asked = server.paths().len();
        assert!(asked < 20, "{asked} requests");
    }
}
