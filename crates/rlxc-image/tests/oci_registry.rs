//! Registries: logging in, pulling, and those that lie.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::oci::{Image, oci, small};
use common::{Certificates, Container, Reply, Request, Server, failure, is_root, ok, sha256};

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

/// A helper that keeps one login, and writes down for whom it was asked.
fn helper(container: &Container, name: &str, answer: &str) -> String {
    let log = container.scratch.path("asked");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = get ] || exit 9\nread -r host\necho \"$host\" >> {}\n{answer}\n",
        log.display()
    );
    let file = container
        .scratch
        .write(&format!("bin/docker-credential-{name}"), text);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&file, mode).unwrap();
    format!("{}:/usr/bin:/bin", container.scratch.path("bin").display())
}

#[test]
fn credential_helpers_are_asked() {
    if !is_root() {
        return;
    }
    let Some(certificates) = Certificates::new() else {
        return;
    };
    let image = small();
    let server = registry(&certificates, &image, true);
    let url = format!("docker://{}/app/web:v1", server.host());
    let run = |container: &Container, settings: &str, answer: &str| {
        container
            .scratch
            .write("home/.docker/config.json", settings);
        let path = helper(container, "kept", answer);
        let mut command = container.command("oci");
        command
            .args(["--url", &url, "--no-cache"])
            .env("PATH", path);
        command.output().unwrap()
    };
    let good = r#"echo '{"ServerURL":"x","Username":"user","Secret":"secret"}'"#;
    let own = format!(r#"{{"credHelpers":{{"{}":"kept"}}}}"#, server.host());
    for settings in [own.as_str(), r#"{"credsStore":"kept"}"#] {
        let container = Container::trusting(&certificates);
        ok(&run(&container, settings, good));
        let asked = std::fs::read_to_string(container.scratch.path("asked")).unwrap();
        assert_eq!(asked, format!("{}\n", server.host()));
    }
    for (settings, answer, words) in [
        (
            own.as_str(),
            "echo credentials not found in native keychain; exit 1",
            "401",
        ),
        (
            own.as_str(),
            "echo the keychain is locked; exit 1",
            "the keychain is locked",
        ),
        (own.as_str(), "echo nonsense", "docker-credential-kept get"),
        (
            r#"{"credsStore":"missing"}"#,
            "",
            "docker-credential-missing",
        ),
        (r#"{"credsStore":"../kept"}"#, "", "is no name"),
    ] {
        let container = Container::trusting(&certificates);
        let said = failure(&run(&container, settings, answer));
        assert!(said.contains(words), "{said}");
        assert!(!said.contains("\"Secret\""), "{said}");
        assert_eq!(container.entries(), Vec::<String>::new());
    }
}

#[test]
fn a_kept_token_is_changed_for_one_that_pulls() {
    if !is_root() {
        return;
    }
    let Some(certificates) = Certificates::new() else {
        return;
    };
    let image = small();
    let (manifest, blobs) = (image.manifest(), image.blobs());
    let port = Arc::new(AtomicUsize::new(0));
    let own = Arc::clone(&port);
    let server = Server::new(&certificates, move |request: &Request| {
        let host = format!("localhost:{}", own.load(Ordering::Relaxed));
        if request.path == "/token" {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let right = request.method == "POST"
                && body.contains("grant_type=refresh_token")
                && body.contains("refresh_token=kept%2B1")
                && body.contains("scope=repository%3Aapp%2Fweb%3Apull");
            return match right {
                true => Reply::ok(r#"{"access_token":"let-me-in"}"#),
                false => Reply::status(401),
            };
        }
        if request.header("authorization") != Some("Bearer let-me-in") {
            let challenge = format!(r#"Bearer realm="https://{host}/token",service="r""#);
            return Reply::status(401).header("WWW-Authenticate", challenge);
        }
        if request.path.contains("/manifests/") {
            return Reply::ok(manifest.clone());
        }
        let hex = request.path.rsplit(':').next().unwrap_or_default();
        let found = blobs.iter().find(|(own, _)| own == hex);
        found.map_or(Reply::status(404), |(_, content)| {
            Reply::ok(content.clone())
        })
    });
    let number = server.host().rsplit(':').next().unwrap().parse().unwrap();
    port.store(number, Ordering::Relaxed);
    let url = format!("docker://{}/app/web:v1", server.host());
    for (token, good) in [("kept+1", true), ("old", false)] {
        let container = Container::trusting(&certificates);
        let auth = format!(
            r#"{{"auths":{{"{}":{{"identitytoken":"{token}"}}}}}}"#,
            server.host()
        );
        container.scratch.write("home/.docker/config.json", auth);
        let output = oci(&container, &url, &["--no-cache"]);
        match good {
            true => drop(ok(&output)),
            false => {
                let said = failure(&output);
                assert!(
                    said.contains("log in again") && !said.contains("old"),
                    "{said}"
                );
            }
        }
    }
}
