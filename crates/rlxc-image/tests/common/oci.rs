//! OCI images, and the template that makes containers of them.

use std::path::{Path, PathBuf};

use super::{Container, Entry, gzip, sha256, tar, zstd};

/// An image: layers as they are stored, and the documents.
#[derive(Clone)]
pub struct Image {
    pub layers: Vec<(Vec<u8>, &'static str)>,
    pub diff_ids: Vec<String>,
    pub config: String,
}

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

impl Image {
    pub fn new(layers: &[Vec<Entry>], execution: &str) -> Self {
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

    pub fn manifest(&self) -> String {
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
    pub fn blobs(&self) -> Vec<(String, Vec<u8>)> {
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

    pub fn index(&self, name: &str) -> String {
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

    pub fn layout(&self, container: &Container) -> PathBuf {
        let write = |name: &str, content: &[u8]| container.scratch.write(name, content);
        for (hex, content) in self.blobs() {
            write(&format!("layout/blobs/sha256/{hex}"), &content);
        }
        write("layout/index.json", self.index("v1").as_bytes());
        write("layout/oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        container.scratch.path("layout")
    }
}

pub fn small() -> Image {
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

pub fn oci(container: &Container, url: &str, more: &[&str]) -> std::process::Output {
    let mut all = vec!["--url", url];
    all.extend(more);
    container.run("oci", &all)
}

pub fn url(kind: &str, path: &Path) -> String {
    format!("{kind}:{}", path.display())
}
