//! Where an image is: `docker://…`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`,
//! `docker-archive:FILE[:REFERENCE]`, as skopeo names them, or a path alone.

use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::error::{Error, Result};

/// A place of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A layout directory
    Layout(PathBuf, Option<String>),
    /// A layout in a tar archive
    Archive(PathBuf, Option<String>),
    /// What `docker save` writes
    DockerArchive(PathBuf, Option<String>),
    /// A registry
    Registry(Remote),
}

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Host and port
    pub(crate) host: String,
    /// The repository's name
    pub(crate) name: String,
    /// A tag or a digest
    pub(crate) target: Target,
}

/// What in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Tag(String),
    Digest(Digest),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

impl std::fmt::Display for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let between = match self.target {
            Target::Tag(_) => ':',
            Target::Digest(_) => '@',
        };
        write!(f, "{}/{}{between}{}", self.host, self.name, self.target)
    }
}

impl Reference {
    /// From the text of `--url`.
    ///
    /// # Errors
    /// What is none of the forms.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if let Some(rest) = text.strip_prefix("docker://") {
            return remote(rest).map(Self::Registry);
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            let (path, tag) = split(rest);
            return Ok(Self::Layout(path, tag));
        }
        if let Some(rest) = text.strip_prefix("oci-archive:") {
            let (path, tag) = split(rest);
            return Ok(Self::Archive(path, tag));
        }
        if let Some(rest) = text.strip_prefix("docker-archive:") {
            let (path, tag) = split(rest);
            return Ok(Self::DockerArchive(path, tag));
        }
        if text.contains("://") {
            return Err(Error::format(
                text,
                "is no image's address: docker://HOST/NAME:TAG, oci:DIR:TAG, oci-archive:FILE and \
                 docker-archive:FILE are known",
            ));
        }
        let (path, tag) = split(text);
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => Ok(Self::Layout(path, tag)),
            Ok(meta) if meta.is_file() => Ok(Self::Archive(path, tag)),
            _ => Err(Error::format(
                text,
                "is no directory or file; an image of a registry is docker://HOST/NAME:TAG",
            )),
        }
    }
}

/// `PATH[:TAG]`; a path that exists as written has no tag.
fn split(text: &str) -> (PathBuf, Option<String>) {
    match text.split_once(':') {
        Some((path, tag)) if !Path::new(text).exists() => (path.into(), Some(tag.to_owned())),
        _ => (text.into(), None),
    }
}

fn remote(text: &str) -> Result<Remote> {
    let bad = |reason: &str| Error::format(format!("docker://{text}"), reason);
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(Digest::parse(digest)?)),
        None => (text, None),
    };
    let (host, path) = match rest.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        _ => ("docker.io", rest),
    };
    let (name, tag) = match path.rsplit_once(':') {
        Some((name, tag)) => (name, tag),
        None => (path, "latest"),
    };
    let name = match (host, name.contains('/')) {
        ("docker.io", false) => format!("library/{name}"),
        _ => name.to_owned(),
    };
    let part = |part: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        !part.is_empty() && part.chars().all(plain) && !part.starts_with(['.', '_', '-'])
    };
    if name.len() > 255 || !name.split('/').all(part) {
        return Err(bad("has no valid name (lower case, digits, '.', '_', '-')"));
    }
    let tag_char = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if tag.is_empty()
        || tag.len() > 128
        || !tag.chars().all(tag_char)
        || tag.starts_with(['.', '-'])
    {
        return Err(bad("has no valid tag"));
    }
    let host_char = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if host.is_empty() || !host.chars().all(host_char) {
        return Err(bad("has no valid host"));
    }
    Ok(Remote {
        host: host.to_owned(),
        name,
        target: digest.map_or_else(|| Target::Tag(tag.to_owned()), Target::Digest),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        match Reference::parse(text) {
            Ok(Reference::Registry(remote)) => Some(remote.to_string()),
            _ => None,
        }
    }

    #[test]
    fn registries_names_are_completed() {
        let is = |text, full: &str| assert_eq!(shown(text).as_deref(), Some(full), "{text}");
        is("docker://alpine", "docker.io/library/alpine:latest");
        is("docker://alpine:3.19", "docker.io/library/alpine:3.19");
        is("docker://user/x", "docker.io/user/x:latest");
        is("docker://localhost:5000/x", "localhost:5000/x:latest");
        is("docker://a.example/b/c:d", "a.example/b/c:d");
        let hex = "0".repeat(64);
        is(
            &format!("docker://a.example/b:c@sha256:{hex}"),
            &format!("a.example/b@sha256:{hex}"),
        );
    }

    #[test]
    fn odd_names_are_refused() {
        for bad in [
            "",
            "UPPER",
            "a.example/../b",
            "a.example/b:",
            "a.example/b:c d",
            "a b/c",
        ] {
            assert_eq!(shown(&format!("docker://{bad}")), None, "{bad:?}");
        }
        assert!(Reference::parse("https://a.example/x").is_err());
    }
}
