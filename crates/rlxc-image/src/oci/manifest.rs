//! The documents of OCI images (image-spec v1.1), and Docker's, which have the same form.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::null;

/// Documents above this size are refused.
pub(crate) const DOCUMENT: u64 = 8 << 20;

/// A reference to content.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default, deserialize_with = "null::or_default")]
    pub(crate) media_type: String,
    pub(crate) digest: String,
    #[serde(default, deserialize_with = "null::or_default")]
    pub(crate) size: u64,
    pub(crate) platform: Option<Platform>,
    #[serde(default, deserialize_with = "null::or_default")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null::or_default")]
    pub(crate) urls: Vec<String>,
}

impl Descriptor {
    pub(crate) fn digest(&self) -> Result<Digest> {
        Digest::parse(&self.digest)
    }

    /// The name that the annotation of layouts gives.
    pub(crate) fn name(&self) -> Option<&str> {
        let key = "org.opencontainers.image.ref.name";
        self.annotations.get(key).map(String::as_str)
    }
}

/// For which machine an image is.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Platform {
    #[serde(default, deserialize_with = "null::or_default")]
    pub(crate) architecture: String,
    #[serde(default, deserialize_with = "null::or_default")]
    pub(crate) os: String,
    pub(crate) variant: Option<String>,
}

/// An index or a manifest: whichever lists it has tell.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    #[serde(default, deserialize_with = "null::or_default")]
    pub(crate) schema_version: u32,
    #[serde(default, deserialize_with = "null::or_default")]
    pub(crate) manifests: Vec<Descriptor>,
    pub(crate) config: Option<Descriptor>,
    #[serde(default, deserialize_with = "null::or_default")]
    pub(crate) layers: Vec<Descriptor>,
}

impl Document {
    pub(crate) fn parse(text: &[u8], what: &str) -> Result<Self> {
        let document: Self =
            serde_json::from_slice(text).map_err(|error| Error::format(what, error))?;
        match document.schema_version {
            2 => Ok(document),
            1 => Err(Error::format(
                what,
                "is a manifest of Docker's first schema, which is not served any more; push the image anew",
            )),
            other => Err(Error::format(
                what,
                format!("has the schema version {other}"),
            )),
        }
    }
}

/// An image's configuration.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct ImageConfig {
    pub(crate) config: Option<Execution>,
    pub(crate) rootfs: Option<RootFs>,
}

/// How the image's program is run.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Execution {
    pub(crate) user: Option<String>,
    pub(crate) env: Option<Vec<String>>,
    pub(crate) entrypoint: Option<Vec<String>>,
    pub(crate) cmd: Option<Vec<String>>,
    pub(crate) working_dir: Option<String>,
    pub(crate) stop_signal: Option<String>,
}

/// The layers after decompression.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct RootFs {
    #[serde(default, deserialize_with = "null::or_default")]
    pub(crate) diff_ids: Vec<String>,
}

/// The entry of an index that fits this machine, or the architecture asked for.
pub(crate) fn choose<'a>(
    manifests: &'a [Descriptor],
    arch: &str,
    what: &str,
) -> Result<&'a Descriptor> {
    let (arch, variant) = match arch.split_once('/') {
        Some((arch, variant)) => (arch, Some(variant)),
        None => (arch, None),
    };
    let fits = |descriptor: &&Descriptor| match &descriptor.platform {
        None => manifests.len() == 1,
        Some(platform) => {
            let same = platform.os == "linux" && platform.architecture == arch;
            let wanted = variant.or((arch == "arm").then_some("v7"));
            same && (wanted.is_none() || platform.variant.as_deref() == wanted)
        }
    };
    manifests.iter().find(fits).ok_or_else(|| {
        let mut list: Vec<String> = manifests
            .iter()
            .filter_map(|descriptor| descriptor.platform.as_ref())
            .filter(|platform| platform.os != "unknown")
            .map(|platform| match &platform.variant {
                Some(variant) => format!("{}/{variant}", platform.architecture),
                None => platform.architecture.clone(),
            })
            .collect();
        list.dedup();
        let list = list.join(", ");
        Error::format(
            what,
            format!("has nothing for {arch}; --arch chooses among: {list}"),
        )
    })
}

/// This machine's architecture, by the names of OCI.
pub(crate) fn host_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_s_manifest_is_chosen() {
        let text = r#"{"schemaVersion":2,"manifests":[
            {"digest":"sha256:a","platform":{"os":"windows","architecture":"amd64"}},
            {"digest":"sha256:b","platform":{"os":"linux","architecture":"arm","variant":"v6"}},
            {"digest":"sha256:c","platform":{"os":"linux","architecture":"arm","variant":"v7"}},
            {"digest":"sha256:d","platform":{"os":"linux","architecture":"amd64"}}]}"#;
        let index = Document::parse(text.as_bytes(), "x").unwrap();
        let chosen = |arch| choose(&index.manifests, arch, "x").map(|d| d.digest.clone());
        assert_eq!(chosen("amd64").unwrap(), "sha256:d");
        assert_eq!(chosen("arm").unwrap(), "sha256:c");
        assert_eq!(chosen("arm/v6").unwrap(), "sha256:b");
        let error = chosen("riscv64").unwrap_err().to_string();
        assert!(error.contains("arm/v7, amd64"), "{error}");
    }
}
