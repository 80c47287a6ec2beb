//! What images a server has: the simplestreams index, or the older list of lines.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::null;
use crate::openpgp::Keyring;
use crate::server::{Remote, Server};

/// Index files above this size are refused.
const INDEX: u64 = 64 << 20;

/// The compatibility level that is understood, as LXC numbers them.
pub const COMPAT: u32 = 7;

/// Since this level images speak of the same keys.
pub const OLDEST_COMPAT: u32 = 5;

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Distribution
    pub dist: String,
    /// Release
    pub release: String,
    /// Architecture, as the server names it
    pub arch: String,
    /// Variant
    pub variant: String,
    /// Build, newer ones sorting later
    pub build: String,
    /// The archive of the root file system
    pub rootfs: Remote,
    /// The archive of the metadata
    pub meta: Remote,
}

#[derive(Debug, Deserialize)]
struct Streams {
    index: BTreeMap<String, Stream>,
}

#[derive(Debug, Deserialize)]
struct Stream {
    #[serde(default, deserialize_with = "null::or_default")]
    datatype: String,
    path: String,
}

#[derive(Debug, Deserialize)]
struct Products {
    products: BTreeMap<String, Product>,
}

#[derive(Debug, Deserialize)]
struct Product {
    #[serde(default, deserialize_with = "null::or_default")]
    os: String,
    #[serde(default, deserialize_with = "null::or_default")]
    release: String,
    #[serde(default, deserialize_with = "null::or_default")]
    arch: String,
    #[serde(default, deserialize_with = "null::or_default")]
    variant: String,
    #[serde(default, deserialize_with = "null::or_default")]
    versions: BTreeMap<String, Version>,
}

#[derive(Debug, Deserialize)]
struct Version {
    #[serde(default, deserialize_with = "null::or_default")]
    items: BTreeMap<String, Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    #[serde(default, deserialize_with = "null::or_default")]
    ftype: String,
    path: String,
    size: Option<u64>,
    sha256: Option<String>,
    sha512: Option<String>,
}

/// All images of the server, sorted; with `keys` only what one of them has signed.
///
/// # Errors
/// What fetching gives; an index that cannot be read, or whose signature does not hold.
pub fn images(server: &Server, user_mode: bool, keys: Option<&Keyring>) -> Result<Vec<Image>> {
    let mut list = match signed(server, "streams/v1/index.json", keys)? {
        Some(text) => simplestreams(server, &text, keys)?,
        None => lines(server, user_mode, keys)?,
    };
    let key = |image: &Image| {
        let Image {
            dist,
            release,
            arch,
            variant,
            ..
        } = image.clone();
        (dist, release, arch, variant)
    };
    list.sort_by_key(key);
    Ok(list)
}

/// A file, checked with its signature if there are keys: the clear-signed form beside it
/// (`.sjson`), or a detached signature (`.asc`, `.gpg`).
fn signed(server: &Server, path: &str, keys: Option<&Keyring>) -> Result<Option<Vec<u8>>> {
    let Some(keys) = keys else {
        return server.fetch(path, INDEX);
    };
    if let Some(stem) = path.strip_suffix(".json") {
        let inline = format!("{stem}.sjson");
        if let Some(text) = server.fetch(&inline, INDEX)? {
            return keys.verify_clear_signed(&text, &inline).map(Some);
        }
    }
    let Some(text) = server.fetch(path, INDEX)? else {
        return Ok(None);
    };
    for ending in ["asc", "gpg"] {
        if let Some(signature) = server.fetch(&format!("{path}.{ending}"), 1 << 20)? {
            keys.verify_detached(&text, &signature, path)?;
            return Ok(Some(text));
        }
    }
    Err(Error::Signature {
        what: format!("{server}/{path}"),
        reason: "the server has none; without --keyring, TLS alone vouches for it".to_owned(),
    })
}

fn simplestreams(server: &Server, text: &[u8], keys: Option<&Keyring>) -> Result<Vec<Image>> {
    let what = format!("{server}/streams/v1/index.json");
    let streams: Streams =
        serde_json::from_slice(text).map_err(|error| Error::format(what, error))?;
    let mut list = Vec::new();
    for stream in streams.index.values() {
        if !matches!(stream.datatype.as_str(), "" | "image-downloads") {
            continue;
        }
        let missing = || Error::format(&stream.path, "is in the index, but not on the server");
        let text = signed(server, &stream.path, keys)?.ok_or_else(missing)?;
        let products: Products =
            serde_json::from_slice(&text).map_err(|error| Error::format(&stream.path, error))?;
        for (name, product) in &products.products {
            list.extend(newest(name, product));
        }
    }
    Ok(list)
}

/// The newest version of a product that has what LXC needs.
fn newest(name: &str, product: &Product) -> Option<Image> {
    let parts: Vec<&str> = name.split(':').collect();
    let (dist, release, arch, variant) = match parts[..] {
        [dist, release, arch, variant] => (dist, release, arch, variant),
        _ => (
            product.os.as_str(),
            product.release.as_str(),
            product.arch.as_str(),
            product.variant.as_str(),
        ),
    };
    let variant = if variant.is_empty() {
        "default"
    } else {
        variant
    };
    let words = [dist, release, arch, variant];
    if !words.iter().all(|word| is_plain_word(word)) {
        return None;
    }
    for (build, version) in product.versions.iter().rev() {
        let item = |wanted: &str| {
            let mut items = version.items.iter();
            let found = items.find(|(key, item)| item.ftype == wanted || *key == wanted);
            found.and_then(|(_, item)| remote(item))
        };
        let archive = item("root.tar.xz").or_else(|| item("root.tar.zst"));
        let rootfs = archive
            .or_else(|| item("squashfs"))
            .or_else(|| item("root.squashfs"));
        if let Some((rootfs, meta)) = rootfs.zip(item("lxc.tar.xz"))
            && is_plain_word(build)
        {
            return Some(Image {
                dist: dist.to_lowercase(),
                release: release.to_owned(),
                arch: arch.to_owned(),
                variant: variant.to_owned(),
                build: build.clone(),
                rootfs,
                meta,
            });
        }
    }
    None
}

/// A file with its digest; one without is no file of ours.
fn remote(item: &Item) -> Option<Remote> {
    let digest = match (&item.sha256, &item.sha512) {
        (Some(hex), _) => Digest::sha256(hex).ok()?,
        (None, Some(hex)) => Digest::parse(&format!("sha512:{}", hex.to_ascii_lowercase())).ok()?,
        (None, None) => return None,
    };
    Some(Remote {
        path: item.path.clone(),
        digest: Some(digest),
        size: item.size,
    })
}

/// Words become directories of the cache and are printed.
pub fn is_plain_word(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-:~".contains(c);
    !word.is_empty() && word.len() <= 128 && !word.starts_with('.') && word.chars().all(plain)
}

/// The older index: `DIST;RELEASE;ARCH;VARIANT;BUILD;PATH`.
fn lines(server: &Server, user_mode: bool, keys: Option<&Keyring>) -> Result<Vec<Image>> {
    let mode = if user_mode { "user" } else { "system" };
    let base = format!("meta/1.0/index-{mode}");
    let levels = (OLDEST_COMPAT..=COMPAT).rev();
    let names = levels.map(|level| format!("{base}.{level}"));
    let mut text = None;
    for name in names.chain([base.clone()]) {
        text = signed(server, &name, keys)?;
        if text.is_some() {
            break;
        }
    }
    let text = text.ok_or_else(|| {
        Error::message(format!(
            "{server} is no image server: it has neither streams/v1/index.json nor {base}"
        ))
    })?;
    let text = String::from_utf8(text).map_err(|error| Error::format(base, error))?;
    let mut list = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.trim().split(';').collect();
        let [dist, release, arch, variant, build, path] = words[..] else {
            continue;
        };
        if ![dist, release, arch, variant, build]
            .iter()
            .all(|word| is_plain_word(word))
        {
            continue;
        }
        let file = |name: &str| Remote {
            path: format!("{}/{name}", path.trim_end_matches('/')),
            digest: None,
            size: None,
        };
        list.push(Image {
            dist: dist.to_owned(),
            release: release.to_owned(),
            arch: arch.to_owned(),
            variant: variant.to_owned(),
            build: build.to_owned(),
            rootfs: file("rootfs.tar.xz"),
            meta: file("meta.tar.xz"),
        });
    }
    Ok(list)
}

/// Completes an image of the older index with the digests of its SHA256SUMS, if there are any;
/// with `keys` they must be there and signed.
///
/// # Errors
/// What fetching gives; a list without one of the files.
pub fn add_digests(server: &Server, image: &mut Image, keys: Option<&Keyring>) -> Result<()> {
    if image.rootfs.digest.is_some() && image.meta.digest.is_some() {
        return Ok(());
    }
    let folder = image
        .rootfs
        .path
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    let path = format!("{folder}/SHA256SUMS");
    let Some(text) = signed(server, &path, keys)? else {
        return match keys {
            None => Ok(()),
            Some(_) => Err(Error::Signature {
                what: format!("{server}/{folder}"),
                reason: "it has no SHA256SUMS".to_owned(),
            }),
        };
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    for remote in [&mut image.rootfs, &mut image.meta] {
        let name = remote.path.rsplit('/').next().unwrap_or_default();
        let line = text.lines().find_map(|line| {
            let (hex, file) = line.split_once(char::is_whitespace)?;
            (file.trim().trim_start_matches('*').trim_start_matches("./") == name).then_some(hex)
        });
        let missing = || Error::format(&path, format!("does not name {name}"));
        remote.digest = Some(Digest::sha256(line.ok_or_else(missing)?)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(text: &str) -> Product {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_newest_complete_version_is_taken() {
        let hash = "a".repeat(64);
        let item = |path: &str, kind: &str| {
            format!(r#"{{"ftype":"{kind}","path":"{path}","size":3,"sha256":"{hash}"}}"#)
        };
        let version = |build: &str, with_root: bool| {
            let root = match with_root {
                true => format!(r#","root.tar.xz":{}"#, item("r", "root.tar.xz")),
                false => String::new(),
            };
            format!(
                r#""{build}":{{"items":{{"lxc.tar.xz":{}{root}}}}}"#,
                item("m", "lxc.tar.xz")
            )
        };
        let text = format!(
            r#"{{"os":"Alpine","release":"3.19","arch":"amd64","versions":{{{},{},{}}}}}"#,
            version("20240101_13:00", true),
            version("20240102_13:00", true),
            version("20240103_13:00", false)
        );
        let image = newest("alpine:3.19:amd64:default", &product(&text)).unwrap();
        assert_eq!(image.build, "20240102_13:00");
        assert_eq!(image.rootfs.size, Some(3));
        let image = newest("whatever", &product(&text)).unwrap();
        assert_eq!(
            (image.dist.as_str(), image.variant.as_str()),
            ("alpine", "default")
        );
    }

    #[test]
    fn words_that_would_leave_the_cache_are_no_words() {
        for bad in ["", "..", ".x", "a/b", "a b", "a\x1b[2J", "ä"] {
            assert!(!is_plain_word(bad), "{bad:?}");
        }
        assert!(is_plain_word("20240102_13:00".trim_matches('_')));
    }
}
