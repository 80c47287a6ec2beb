//! Indexes that are signed, and keys that did not sign them.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::site::{NEVER, Site, meta, rootfs, set, site};
use common::{Scratch, failure, ok, program};

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
