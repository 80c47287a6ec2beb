//! The template `oci`: layouts, archives and registries that the tests make.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod common;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{
    Certificates, Container, Entry, Reply, Request, Server, failure, gzip, is_root, ok, sha256,
    tar, zstd,
};
use tar::EntryType;

/// An image: layers as they are stored, and the documents.
#[derive(Clone)]
struct Image {
    layers: Vec<(Vec<u8>, &'static str)>,
    diff_ids: Vec<String>,
    config: String,
}

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

impl Image {
    fn new(layers: &[Vec<Entry>], execution: &str) -> Self {
        let archives: Vec<Vec<u8>> = layers.iter().map(|entries| tar(entries)).collect();
        let diff_ids: Vec<String> = archives.iter().map(|tar| sha256(tar)).collect();
        let list: Vec<String> = diff_ids
            .iter()
            .map(|hex| format!("\"sha256:{hex}\""))
            .collect();
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{execution},
                "rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            list.join(",")
        );
        let mut stored = Vec::new();
        for (at, tar) in archives.iter().enumerate() {
            stored.push(match at % 3 {
                0 => (gzip(tar), "application/vnd.oci.image.layer.v1.tar+gzip"),
                1 => (zstd(tar), "application/vnd.oci.image.layer.v1.tar+zstd"),
                _ => (tar.clone(), TAR),
            });
        }
        Self {
            layers: stored,
            diff_ids,
            config,
        }
    }

    fn manifest(&self) -> String {
        let descriptor = |kind: &str, content: &[u8]| {
            let (hex, size) = (sha256(content), content.len());
            format!(r#"{{"mediaType":"{kind}","digest":"sha256:{hex}","size":{size}}}"#)
        };
        let layers: Vec<String> = self
            .layers
            .iter()
            .map(|(content, kind)| descriptor(kind, content))
            .collect();
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
                "config":{},"layers":[{}]}}"#,
            descriptor(
                "application/vnd.oci.image.config.v1+json",
                self.config.as_bytes()
            ),
            layers.join(",")
        )
    }

    /// All blobs by digest.
    fn blobs(&self) -> Vec<(String, Vec<u8>)> {
        let documents = [
            self.config.clone().into_bytes(),
            self.manifest().into_bytes(),
        ];
        let layers = self.layers.iter().map(|(content, _)| content.clone());
        layers
            .chain(documents)
            .map(|content| (sha256(&content), content))
            .collect()
    }

    fn index(&self, name: &str) -> String {
        let manifest = self.manifest();
        format!(
            r#"{{"schemaVersion":2,"manifests":[{{
                "mediaType":"application/vnd.oci.image.manifest.v1+json",
                "digest":"sha256:{}","size":{},
                "annotations":{{"org.opencontainers.image.ref.name":"{name}"}}}}]}}"#,
            sha256(manifest.as_bytes()),
            manifest.len()
        )
    }

    fn layout(&self, container: &Container) -> PathBuf {
        let write = |name: &str, content: &[u8]| container.scratch.write(name, content);
        for (hex, content) in self.blobs() {
            write(&format!("layout/blobs/sha256/{hex}"), &content);
        }
        write("layout/index.json", self.index("v1").as_bytes());
        write("layout/oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        container.scratch.path("layout")
    }
}

fn small() -> Image {
    Image::new(
        &[vec![
            Entry::dir("etc"),
            Entry::file(
                "etc/passwd",
                "root:x:0:0::/:/bin/sh\nweb:x:33:44::/:/bin/sh\n",
            ),
            Entry::file("etc/group", "root:x:0:\nstaff:x:50:web\n"),
            Entry::file("usr/bin/serve", "#!/bin/sh\n").mode(0o755),
        ]],
        r#"{"User":"web:staff","Env":["PATH=/opt/bin:/usr/bin","GREETING=hello world",
            "EVIL=1\nlxc.hook.start = /x"],"Entrypoint":["serve","--flag"],
            "Cmd":["a b","c\"d"],"WorkingDir":"/srv/www","StopSignal":"SIGQUIT"}"#,
    )
}

fn oci(container: &Container, url: &str, more: &[&str]) -> std::process::Output {
    let mut all = vec!["--url", url];
    all.extend(more);
    container.run("oci", &all)
}

fn url(kind: &str, path: &Path) -> String {
    format!("{kind}:{}", path.display())
}

#[test]
fn entrypoint_environment_user_and_directory_become_the_configuration() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let layout = small().layout(&container);
    let said = ok(&oci(
        &container,
        &format!("{}:v1", url("oci", &layout)),
        &[],
    ));
    assert!(said.contains("WARNING") && said.contains("EVIL"), "{said}");
    let config = container.config();
    let has = |line: &str| {
        assert!(
            config.lines().any(|own| own == line),
            "{line:?} in {config}"
        )
    };
    has("lxc.init.cmd = /usr/bin/serve --flag \"a b\" 'c\"d'");
    has("lxc.execute.cmd = /usr/bin/serve --flag \"a b\" 'c\"d'");
    has("lxc.environment = PATH=/opt/bin:/usr/bin");
    has("lxc.environment = GREETING=hello world");
    has("lxc.init.uid = 33");
    has("lxc.init.gid = 50");
    has("lxc.init.cwd = /srv/www");
    has("lxc.signal.halt = SIGQUIT");
    has("lxc.uts.name = rlxc-img-c");
    has("lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed");
    assert!(!config.contains("lxc.hook"), "{config}");
    assert!(config.starts_with(common::CONFIG), "{config}");
    assert_eq!(container.read("etc/hostname"), "rlxc-img-c\n");
    assert!(
        container
            .read("etc/hosts")
            .contains("127.0.1.1   rlxc-img-c")
    );
    let parsed = rlxc_config::check(&container.scratch.path("config"));
    let wrong: Vec<_> = parsed
        .iter()
        .filter(|finding| finding.severity == rlxc_config::Severity::Error)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn dhcp_needs_its_hook() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let layout = small().layout(&container);
    ok(&oci(&container, &url("oci", &layout), &["--dhcp"]));
    let config = container.config();
    assert!(
        config.contains("lxc.hook.start-host = /usr/share/lxc/hooks/dhclient"),
        "{config}"
    );
    assert!(
        config.contains("lxc.hook.stop = /usr/share/lxc/hooks/dhclient"),
        "{config}"
    );
}

#[test]
fn layers_replace_and_hide_what_lies_below() {
    if !is_root() {
        return;
    }
    let image = Image::new(
        &[
            vec![
                Entry::dir("a"),
                Entry::file("a/gone", "1"),
                Entry::file("a/kept", "1"),
                Entry::dir("b"),
                Entry::file("b/old", "1"),
                Entry::dir("b/deep"),
                Entry::file("b/deep/old", "1"),
                Entry::dir("usr/lib"),
                Entry::symlink("lib", "usr/lib"),
                Entry::file("was-file", "1"),
                Entry::dir("was-dir"),
                Entry::file("was-dir/x", "1"),
                Entry::symlink("was-link", "/etc"),
            ],
            vec![
                Entry::file("a/.wh.gone", ""),
                Entry::dir("b"),
                Entry::file("b/new", "2"),
                Entry::dir("b/deep"),
                Entry::file("b/deep/new", "2"),
                // After what it must not hide, and before what it must not hide either.
                Entry::file("b/.wh..wh..opq", ""),
                Entry::file("b/newer", "2"),
                Entry::file("lib/through-the-link", "2"),
                Entry::dir("was-file"),
                Entry::file("was-dir", "2"),
                Entry::file("was-link", "2"),
                Entry::file(".wh.nothing", ""),
            ],
            vec![Entry::file("a/gone", "3"), Entry::file("a/.wh.kept", "")],
        ],
        "{}",
    );
    let container = Container::new();
    ok(&oci(
        &container,
        &url("oci", &image.layout(&container)),
        &[],
    ));
    let exists = |path: &str| container.rootfs().join(path).symlink_metadata().is_ok();
    assert_eq!(container.read("a/gone"), "3");
    assert!(!exists("a/kept") && !exists("b/old") && !exists("b/deep/old"));
    assert_eq!(container.read("b/new"), "2");
    assert_eq!(container.read("b/newer"), "2");
    assert_eq!(container.read("b/deep/new"), "2");
    assert_eq!(container.read("usr/lib/through-the-link"), "2");
    assert!(container.rootfs().join("lib").is_symlink());
    assert!(container.rootfs().join("was-file").is_dir());
    assert_eq!(container.read("was-dir"), "2");
    assert_eq!(container.read("was-link"), "2");
    let names = std::process::Command::new("find")
        .arg(container.rootfs())
        .output()
        .unwrap();
    assert!(
        !String::from_utf8_lossy(&names.stdout).contains(".wh."),
        "a whiteout was left"
    );
    // Without Entrypoint and Cmd: a shell.
    assert!(container.config().contains("lxc.init.cmd = /bin/sh\n"));
    assert!(container.config().contains("lxc.init.uid = 0\n"));
}

#[track_caller]
fn is_refused(layers: &[Vec<Entry>], reason: &str) {
    let container = Container::new();
    let outside = container.scratch.write("outside", "untouched");
    let mut all = vec![vec![Entry::dir("etc"), Entry::file("etc/first", "x")]];
    all.extend(layers.iter().cloned());
    let image = Image::new(&all, "{}");
    let said = failure(&oci(
        &container,
        &url("oci", &image.layout(&container)),
        &[],
    ));
    assert!(said.contains(reason), "{said}");
    assert_eq!(container.entries(), Vec::<String>::new(), "{said}");
    assert_eq!(container.config(), common::CONFIG);
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "untouched");
}

#[test]
fn hostile_layers_are_refused_and_leave_nothing() {
    if !is_root() {
        return;
    }
    is_refused(&[vec![Entry::file("../outside", "changed")]], "leads out");
    is_refused(
        &[vec![
            Entry::symlink("up", "../.."),
            Entry::file("up/outside", "changed"),
        ]],
        "lies below the link",
    );
    is_refused(&[vec![Entry::file(".wh..", "")]], "hides no name");
    is_refused(&[vec![Entry::file("etc/.wh...", "")]], "hides no name");
    is_refused(&[vec![Entry::file("../.wh.outside", "")]], "leads out");
    is_refused(
        &[vec![Entry::device("disk", EntryType::Block, (8, 0))]],
        "is the device 8:0 outside /dev",
    );
    is_refused(
        &[vec![
            Entry::symlink("x", "/"),
            Entry::dir("x"),
            Entry::file("x/etc/y", "z"),
        ]],
        "link",
    );
}

#[test]
fn links_of_lower_layers_are_taken_within_the_root() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let outside = container.scratch.write("outside", "untouched");
    let image = Image::new(
        &[
            vec![
                Entry::dir("etc"),
                Entry::symlink("up", "../../../.."),
                Entry::symlink("abs", "/"),
            ],
            vec![
                Entry::file("up/outside", "inside"),
                Entry::file("abs/etc/rlxc-img-evil", "inside"),
                Entry::file("up/.wh.tmp", ""),
            ],
        ],
        "{}",
    );
    ok(&oci(
        &container,
        &url("oci", &image.layout(&container)),
        &[],
    ));
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "untouched");
    assert_eq!(container.read("outside"), "inside");
    assert_eq!(container.read("etc/rlxc-img-evil"), "inside");
    assert!(!Path::new("/etc/rlxc-img-evil").exists() && Path::new("/tmp").exists());
}

#[test]
fn an_image_s_links_do_not_lead_the_configuration_out() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let outside = container.scratch.write("outside", "untouched");
    let shadow = container.scratch.write("shadow", "web:x:0:0::/:/bin/sh\n");
    let image = Image::new(
        &[vec![
            Entry::dir("etc"),
            Entry::symlink("etc/hostname", outside.to_str().unwrap()),
            Entry::symlink("etc/passwd", shadow.to_str().unwrap()),
        ]],
        r#"{"User":"web"}"#,
    );
    let layout = image.layout(&container);
    // The host's file is not read as the image's.
    let said = failure(&oci(&container, &url("oci", &layout), &[]));
    assert!(said.contains("the image's user \"web\""), "{said}");
    assert_eq!(container.entries(), Vec::<String>::new());
    let image = Image::new(
        &[vec![
            Entry::dir("etc"),
            Entry::symlink("etc/hostname", outside.to_str().unwrap()),
        ]],
        "{}",
    );
    let container = Container::new();
    ok(&oci(
        &container,
        &url("oci", &image.layout(&container)),
        &[],
    ));
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "untouched");
    assert_eq!(container.read("etc/hostname"), "rlxc-img-c\n");
}

#[test]
fn wrong_digests_anywhere_are_refused() {
    if !is_root() {
        return;
    }
    let image = small();
    let manifest = image.manifest();
    let targets = [
        sha256(&image.layers[0].0),
        sha256(image.config.as_bytes()),
        sha256(manifest.as_bytes()),
    ];
    for hex in targets {
        let container = Container::new();
        let layout = image.layout(&container);
        let blob = layout.join("blobs/sha256").join(hex);
        let mut content = std::fs::read(&blob).unwrap();
        let at = content.len() / 2;
        content[at] ^= 1;
        std::fs::write(&blob, &content).unwrap();
        let said = failure(&oci(&container, &url("oci", &layout), &[]));
        assert!(said.contains("damaged or forged"), "{said}");
        assert_eq!(container.entries(), Vec::<String>::new());
        content.push(0);
        std::fs::write(&blob, &content).unwrap();
        let said = failure(&oci(&container, &url("oci", &layout), &[]));
        assert!(said.contains("bytes instead of"), "{said}");
    }
    // A layer that is as stored, but not what the configuration says it holds.
    let mut forged = small();
    forged.config = forged
        .config
        .replace(&forged.diff_ids[0], &sha256(b"other"));
    let container = Container::new();
    let said = failure(&oci(
        &container,
        &url("oci", &forged.layout(&container)),
        &[],
    ));
    assert!(said.contains("the content of layer 1 of 1"), "{said}");
    assert_eq!(container.entries(), Vec::<String>::new());
}

#[test]
fn a_layout_s_tags_and_machines_are_chosen() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let image = small();
    let layout = image.layout(&container);
    let said = failure(&oci(
        &container,
        &format!("{}:v2", url("oci", &layout)),
        &[],
    ));
    assert!(said.contains("has no such tag; it has: v1"), "{said}");
    let manifest = image.manifest();
    let (hex, size) = (sha256(manifest.as_bytes()), manifest.len());
    let entry = |arch: &str, hex: &str| {
        format!(
            r#"{{"digest":"sha256:{hex}","size":{size},"platform":{{"os":"linux","architecture":"{arch}"}}}}"#
        )
    };
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#,
        entry("s390x", &sha256(b"not here")),
        entry("amd64", &hex)
    );
    container.scratch.write("layout/index.json", index);
    ok(&oci(&container, &url("oci", &layout), &["--arch", "amd64"]));
    let said = failure(&oci(
        &container,
        &url("oci", &layout),
        &["--arch", "riscv64"],
    ));
    assert!(
        said.contains("--arch chooses among: s390x, amd64"),
        "{said}"
    );
}

#[test]
fn archives_of_layouts_and_of_docker_work() {
    if !is_root() {
        return;
    }
    let image = small();
    let mut entries = vec![
        Entry::file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#),
        Entry::file("index.json", &image.index("v1")),
        Entry::dir("blobs"),
    ];
    for (hex, content) in image.blobs() {
        let mut entry = Entry::file(&format!("blobs/sha256/{hex}"), "");
        entry.content = content;
        entries.push(entry);
    }
    let container = Container::new();
    let archive = container.scratch.write("image.tar", tar(&entries));
    for text in [url("oci-archive", &archive), archive.display().to_string()] {
        ok(&oci(&container, &text, &[]));
        assert_eq!(container.read("usr/bin/serve"), "#!/bin/sh\n");
    }
    // As docker saves: layers by name, equal ones as links.
    let layer = tar(&[Entry::dir("etc"), Entry::file("etc/from", "docker")]);
    let hex = sha256(&layer);
    let config = format!(
        r#"{{"config":{{"Cmd":["/bin/x"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{hex}","sha256:{hex}"]}}}}"#
    );
    let name = sha256(config.as_bytes());
    let manifest = format!(
        r#"[{{"Config":"{name}.json","RepoTags":["web:1"],"Layers":["one/layer.tar","two/layer.tar"]}}]"#
    );
    let mut stored = Entry::file("one/layer.tar", "");
    stored.content = layer;
    let entries = [
        Entry::file("manifest.json", &manifest),
        Entry::file(&format!("{name}.json"), &config),
        stored,
        Entry::symlink("two/layer.tar", "../one/layer.tar"),
    ];
    let container = Container::new();
    let archive = container.scratch.write("saved.tar", gzip(&tar(&entries)));
    ok(&oci(
        &container,
        &format!("{}:web:1", url("docker-archive", &archive)),
        &[],
    ));
    assert_eq!(container.read("etc/from"), "docker");
    assert!(container.config().contains("lxc.init.cmd = /bin/x\n"));
    let said = failure(&oci(
        &container,
        &format!("{}:web:2", url("docker-archive", &archive)),
        &[],
    ));
    assert!(said.contains("it has: web:1"), "{said}");
    let leftovers: Vec<_> = std::fs::read_dir(container.cache()).unwrap().collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn hostile_image_archives_are_refused() {
    if !is_root() {
        return;
    }
    let hex = sha256(b"x");
    for (entries, words) in [
        (vec![Entry::file("../evil", "x")], "leads out"),
        (
            vec![Entry::device("x", EntryType::Char, (1, 3))],
            "has no place",
        ),
        (
            vec![
                Entry::file(&format!("blobs/sha256/{hex}"), "x"),
                Entry::file(&format!("blobs/sha256/{hex}"), "y"),
            ],
            "comes twice",
        ),
        (
            vec![Entry::file("a", "b")],
            "neither index.json nor manifest.json",
        ),
        (
            vec![
                Entry::file("manifest.json", r#"[{"Config":"c","Layers":[]}]"#),
                Entry::symlink("c", "/etc/passwd"),
            ],
            "not in the archive",
        ),
    ] {
        let container = Container::new();
        let archive = container.scratch.write("image.tar", tar(&entries));
        let said = failure(&oci(&container, &url("oci-archive", &archive), &[]));
        assert!(said.contains(words), "{said}");
        assert_eq!(container.entries(), Vec::<String>::new());
    }
}

/// A registry with one image, `app/web:v1`, that asks for a token or for a password.
fn registry(certificates: &Certificates, image: &Image, bearer: bool) -> Server {
    let manifest = image.manifest();
    let blobs = image.blobs();
    let port = Arc::new(AtomicUsize::new(0));
    let own = Arc::clone(&port);
    let server = Server::new(certificates, move |request: &Request| {
        let host = format!("localhost:{}", own.load(Ordering::Relaxed));
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let basic = "Basic dXNlcjpzZWNyZXQ=";
        if path == "/token" {
            let right = query.contains("scope=repository%3Aapp%2Fweb%3Apull")
                && query.contains("service=the%20registry")
                && request.header("authorization") == Some(basic);
            return match right {
                true => Reply::ok(r#"{"access_token":"let-me-in"}"#),
                false => Reply::status(401),
            };
        }
        // Where blobs really are: it must not get to know any secret.
        if let Some(hex) = path.strip_prefix("/elsewhere/") {
            assert_eq!(
                request.header("authorization"),
                None,
                "the secret was passed on"
            );
            let found = blobs.iter().find(|(own, _)| own == hex);
            return found.map_or(Reply::status(404), |(_, content)| {
                Reply::ok(content.clone()).ranged(request)
            });
        }
        let wanted = if bearer { "Bearer let-me-in" } else { basic };
        if request.header("authorization") != Some(wanted) {
            let challenge = match bearer {
                true => format!(
                    r#"Bearer realm="https://{host}/token",service="the registry",scope="repository:app/web:pull""#
                ),
                false => r#"Basic realm="x""#.to_owned(),
            };
            return Reply::status(401).header("WWW-Authenticate", challenge);
        }
        let hex = sha256(manifest.as_bytes());
        if path == "/v2/app/web/manifests/v1"
            || path == format!("/v2/app/web/manifests/sha256:{hex}")
        {
            return Reply::ok(manifest.clone())
                .header("Docker-Content-Digest", format!("sha256:{hex}"));
        }
        match path.strip_prefix("/v2/app/web/blobs/sha256:") {
            Some(hex) => Reply::status(307).header("Location", format!("/elsewhere/{hex}")),
            None => Reply::status(404),
        }
    });
    let number = server.host().rsplit(':').next().unwrap().parse().unwrap();
    port.store(number, Ordering::Relaxed);
    server
}

#[test]
fn registries_are_pulled_from_with_tokens_and_passwords() {
    if !is_root() {
        return;
    }
    let Some(certificates) = Certificates::new() else {
        return;
    };
    let image = small();
    for bearer in [true, false] {
        let server = registry(&certificates, &image, bearer);
        let container = Container::trusting(&certificates);
        let url = format!("docker://{}/app/web:v1", server.host());
        let said = failure(&oci(&container, &url, &[]));
        assert!(
            said.contains("401") && said.contains("--username"),
            "{said}"
        );
        let wrong = ["--username", "user", "--password", "wrong"];
        let said = failure(&oci(&container, &url, &wrong));
        assert!(said.contains("401"), "{said}");
        let right = ["--username", "user", "--password", "secret"];
        ok(&oci(&container, &url, &right));
        assert_eq!(container.read("usr/bin/serve"), "#!/bin/sh\n");
        let blobs = || {
            server
                .paths()
                .iter()
                .filter(|path| path.contains("/elsewhere/"))
                .count()
        };
        assert_eq!(blobs(), 2);
        // The second time only the manifest is asked for; by digest, and with a password from a file.
        let auth = format!(
            r#"{{"auths":{{"{}":{{"auth":"dXNlcjpzZWNyZXQ="}}}}}}"#,
            server.host()
        );
        container.scratch.write("home/.docker/config.json", auth);
        let hex = sha256(image.manifest().as_bytes());
        let by_digest = format!("docker://{}/app/web@sha256:{hex}", server.host());
        ok(&oci(&container, &by_digest, &[]));
        assert_eq!(blobs(), 2);
        ok(&oci(&container, &url, &["--no-cache"]));
        assert_eq!(blobs(), 4);
        let said = failure(&oci(&container, &url.replace("v1", "v9"), &right));
        assert!(
            said.contains("404") && said.contains("there is no"),
            "{said}"
        );
    }
}

#[test]
fn a_registry_that_lies_is_found_out() {
    if !is_root() {
        return;
    }
    let Some(certificates) = Certificates::new() else {
        return;
    };
    let image = small();
    let manifest = image.manifest();
    let hex = sha256(manifest.as_bytes());
    let forged = manifest.replace("\"schemaVersion\":2", "\"schemaVersion\":2 ");
    let layer = image.layers[0].0.clone();
    let blobs = image.blobs();
    let server = Server::new(&certificates, move |request: &Request| {
        if request.path.contains("/manifests/sha256:") {
            return Reply::ok(forged.clone());
        }
        if request.path.contains("/manifests/") {
            return Reply::ok(manifest.clone());
        }
        let hex = request.path.rsplit(':').next().unwrap_or_default();
        let found = blobs.iter().find(|(own, _)| own == hex);
        found.map_or(Reply::status(404), |(_, content)| match *content == layer {
            true => Reply::ok(vec![0; content.len()]),
            false => Reply::ok(content.clone()),
        })
    });
    let container = Container::trusting(&certificates);
    let by_digest = format!("docker://{}/app/web@sha256:{hex}", server.host());
    let said = failure(&oci(&container, &by_digest, &[]));
    assert!(said.contains("the manifest is damaged or forged"), "{said}");
    let by_tag = format!("docker://{}/app/web:v1", server.host());
    let said = failure(&oci(&container, &by_tag, &[]));
    assert!(said.contains("layer 1 of 1 is damaged or forged"), "{said}");
    assert_eq!(container.entries(), Vec::<String>::new());
    let kept = container.cache().join("oci/blobs/sha256");
    let kept: Vec<_> = std::fs::read_dir(kept).unwrap().flatten().collect();
    assert_eq!(kept.len(), 1, "only the configuration: {kept:?}");
}

#[test]
fn file_capabilities_and_owners_of_layers_are_kept() {
    if !is_root() {
        return;
    }
    // cap_net_raw+ep, as images of ping have it.
    let capability = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let image = Image::new(
        &[vec![
            Entry::file("ping", "x")
                .mode(0o755)
                .pax("SCHILY.xattr.security.capability", &capability),
            Entry::file("owned", "x").owner(1000, 1001),
            Entry::file("trusted", "x").pax("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ]],
        "{}",
    );
    let container = Container::new();
    ok(&oci(
        &container,
        &url("oci", &image.layout(&container)),
        &[],
    ));
    let meta = container.rootfs().join("owned").metadata().unwrap();
    assert_eq!((meta.uid(), meta.gid()), (1000, 1001));
    let get = |file: &str, name: &std::ffi::CStr| {
        let file = std::fs::File::open(container.rootfs().join(file)).unwrap();
        rlxc_sys::fs::get_xattr(&file, name)
    };
    let kept = get("ping", c"security.capability").unwrap();
    assert_eq!(kept[..], capability);
    assert!(get("trusted", c"trusted.overlay.opaque").is_err());
}

#[test]
fn images_that_are_mounted_name_their_helper() {
    if !is_root() {
        return;
    }
    let mut image = Image::new(&[vec![Entry::dir("etc")]], "{}");
    image.layers[0].1 = "application/vnd.stacker.image.layer.squashfs+zstd+verity";
    let container = Container::new();
    let layout = image.layout(&container);
    let said = failure(&oci(
        &container,
        &url("oci", &layout),
        &["--mount-helper", "/no/such"],
    ));
    assert!(said.contains("--mount-helper"), "{said}");
    // A helper that mounts an empty tmpfs in its place.
    let log = container.scratch.path("log");
    let helper = container.scratch.write(
        "helper",
        format!(
            "#!/bin/sh\necho \"$@\" >> {}\nfor last; do :; done\ncase $1 in\n\
             mount) mount -t tmpfs none \"$last\" ;;\numount) umount \"$last\" ;;\nesac\n",
            log.display()
        ),
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&helper, mode).unwrap();
    let helper = helper.to_str().unwrap();
    ok(&oci(
        &container,
        &url("oci", &layout),
        &["--mount-helper", helper],
    ));
    let kept = container.scratch.path("oci");
    let rootfs = container.rootfs();
    let image_name = format!("{}:rlxc-img-c", kept.display());
    let log = std::fs::read_to_string(log).unwrap();
    let expected = format!(
        "mount --writable {image_name} {0}\numount {0}\n",
        rootfs.display()
    );
    assert_eq!(log, expected);
    let config = container.config();
    let hook = format!(
        "lxc.hook.pre-mount = {helper} mount --writable {image_name} {}",
        rootfs.display()
    );
    assert!(config.contains(&hook), "{config}");
    assert!(kept.join("index.json").exists() && container.entries().is_empty());
    // Where nothing is mounted, an ordinary image names no helper.
    let container = Container::new();
    let layout = small().layout(&container);
    let said = failure(&oci(
        &container,
        &url("oci", &layout),
        &["--mount-helper", helper],
    ));
    assert!(said.contains("squashfs or PuzzleFS"), "{said}");
}
