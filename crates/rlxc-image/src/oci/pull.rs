//! From an image's place to its configuration and its layers as checked files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::auth::Credentials;
use super::manifest::{DOCUMENT, Descriptor, Document, ImageConfig, choose};
use super::reference::{Reference, Target};
use super::registry::Registry;
use super::store::Store;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::null;
use crate::unpack::{Limits, Stream};

/// An image that is here.
#[derive(Debug)]
pub(crate) struct Pulled {
    pub(crate) config: ImageConfig,
    pub(crate) layers: Vec<Layer>,
    /// The manifest as it was signed for, and the configuration's file
    manifest: Option<(Vec<u8>, PathBuf)>,
}

impl Pulled {
    /// Writes the image as a layout directory that names it `name`.
    pub(crate) fn save(&self, dir: &Path, name: &str) -> Result<()> {
        let missing = || Error::message("an image of docker-archive cannot be kept as a layout");
        let (manifest, config) = self.manifest.as_ref().ok_or_else(missing)?;
        let blobs = dir.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).map_err(Error::path("make", &blobs))?;
        let files = self.layers.iter().map(|layer| &layer.file).chain([config]);
        for file in files {
            let to = blobs.join(file.file_name().unwrap_or_default());
            std::fs::copy(file, &to).map_err(Error::path("write", to))?;
        }
        let hex = ring::digest::digest(&ring::digest::SHA256, manifest);
        let hex = crate::digest::hex(hex.as_ref());
        let index = serde_json::json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": format!("sha256:{hex}"),
                "size": manifest.len(),
                "annotations": { "org.opencontainers.image.ref.name": name },
            }],
        });
        let put =
            |to: PathBuf, text: &[u8]| std::fs::write(&to, text).map_err(Error::path("write", to));
        put(blobs.join(hex), manifest)?;
        put(dir.join("index.json"), index.to_string().as_bytes())?;
        put(dir.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)
    }
}

/// A layer's file; its digest has been checked.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) file: PathBuf,
    /// Digest after decompression
    pub(crate) diff_id: Option<Digest>,
    pub(crate) media_type: String,
}

/// Indexes in indexes, and layers of one image, at most.
const NESTED: usize = 4;
const LAYERS: usize = 512;

/// Something that has documents and blobs.
trait Source {
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>>;
    fn blob(&self, descriptor: &Descriptor, what: &str) -> Result<PathBuf>;
}

/// Fetches an image; `store` takes what has to be copied.
///
/// # Errors
/// Whatever is missing, damaged or not understood.
pub(crate) fn pull(
    reference: &Reference,
    store: &Store,
    arch: &str,
    credentials: Option<Credentials>,
) -> Result<Pulled> {
    match reference {
        Reference::Layout(dir, tag) => from_layout(dir, tag.as_deref(), arch),
        Reference::Archive(file, tag) => {
            let archive = Archive::extract(file, store)?;
            match (&archive.index, &archive.manifest) {
                (Some(_), _) => {
                    std::fs::write(
                        store.dir().join("index.json"),
                        archive.index.unwrap_or_default(),
                    )
                    .map_err(Error::path("write", store.dir()))?;
                    from_layout(store.dir(), tag.as_deref(), arch)
                }
                (None, Some(_)) => archive.docker(tag.as_deref(), store),
                (None, None) => Err(Error::format(
                    file.display().to_string(),
                    "is no image: it has neither index.json nor manifest.json",
                )),
            }
        }
        Reference::DockerArchive(file, tag) => {
            Archive::extract(file, store)?.docker(tag.as_deref(), store)
        }
        Reference::Registry(remote) => {
            let registry = Registry::new(remote, credentials)?;
            let first = registry.manifest(&remote.target)?;
            let source = Pull {
                registry: &registry,
                store,
            };
            resolve(&source, &first, arch, &remote.to_string())
        }
    }
}

struct Pull<'a> {
    registry: &'a Registry<'a>,
    store: &'a Store,
}

impl Source for Pull<'_> {
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        self.registry
            .manifest(&Target::Digest(descriptor.digest()?))
    }

    fn blob(&self, descriptor: &Descriptor, what: &str) -> Result<PathBuf> {
        self.registry.blob(descriptor, self.store, what)
    }
}

struct Directory<'a>(&'a Path);

impl Source for Directory<'_> {
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        read(&self.blob(descriptor, "the manifest")?)
    }

    fn blob(&self, descriptor: &Descriptor, what: &str) -> Result<PathBuf> {
        let digest = descriptor.digest()?;
        let path = self
            .0
            .join("blobs")
            .join(digest.algorithm())
            .join(digest.hex());
        let meta = std::fs::metadata(&path).map_err(Error::path("find", &path))?;
        if !meta.is_file() {
            return Err(Error::format(path.display().to_string(), "is no file"));
        }
        if descriptor.size > 0 && meta.len() != descriptor.size {
            return Err(Error::format(
                path.display().to_string(),
                format!("has {} bytes instead of {}", meta.len(), descriptor.size),
            ));
        }
        digest.check_file(&path, what)?;
        Ok(path)
    }
}

/// A small file, whole.
fn read(path: &Path) -> Result<Vec<u8>> {
    let meta = std::fs::metadata(path).map_err(Error::path("read", path))?;
    if !meta.is_file() || meta.len() > DOCUMENT {
        return Err(Error::format(path.display().to_string(), "is no document"));
    }
    std::fs::read(path).map_err(Error::path("read", path))
}

fn from_layout(dir: &Path, tag: Option<&str>, arch: &str) -> Result<Pulled> {
    let what = dir.join("index.json");
    let shown = what.display().to_string();
    let index = Document::parse(&read(&what)?, &shown)?;
    let source = Directory(dir);
    let chosen = in_layout(&index.manifests, tag, arch, &shown)?;
    let document = source.document(chosen)?;
    resolve(&source, &document, arch, &shown)
}

/// The entry of a layout's index that is meant.
fn in_layout<'a>(
    manifests: &'a [Descriptor],
    tag: Option<&str>,
    arch: &str,
    what: &str,
) -> Result<&'a Descriptor> {
    let names = || {
        let names: Vec<&str> = manifests.iter().filter_map(Descriptor::name).collect();
        names.join(", ")
    };
    let of = |name: &str| -> Vec<Descriptor> {
        let same = |descriptor: &&Descriptor| {
            let full = descriptor.name();
            // Docker writes the whole reference there.
            full == Some(name) || full.and_then(|full| full.rsplit(':').next()) == Some(name)
        };
        manifests.iter().filter(same).cloned().collect()
    };
    let candidates = match tag {
        Some(tag) => of(tag),
        None if manifests.len() == 1 => manifests.to_vec(),
        None => {
            let latest = of("latest");
            let unnamed = manifests
                .iter()
                .all(|descriptor| descriptor.name().is_none());
            match latest.is_empty() && unnamed {
                true => manifests.to_vec(),
                false => latest,
            }
        }
    };
    let chosen = match &candidates[..] {
        [] => {
            let names = names();
            return Err(Error::format(
                what,
                format!("has no such tag; it has: {names}"),
            ));
        }
        [only] => only,
        several => choose(several, arch, what)?,
    };
    let same = |descriptor: &&Descriptor| descriptor.digest == chosen.digest;
    let missing = || Error::format(what, "is empty");
    manifests.iter().find(same).ok_or_else(missing)
}

/// From an index or a manifest to what it names.
fn resolve(source: &dyn Source, first: &[u8], arch: &str, what: &str) -> Result<Pulled> {
    let mut text = first.to_vec();
    let mut document = Document::parse(&text, what)?;
    let mut depth = 0;
    while document.config.is_none() && !document.manifests.is_empty() {
        depth += 1;
        if depth > NESTED {
            return Err(Error::format(what, "is an index of indexes of indexes"));
        }
        let chosen = choose(&document.manifests, arch, what)?.clone();
        text = source.document(&chosen)?;
        document = Document::parse(&text, what)?;
    }
    let config = document.config.as_ref();
    let config = config.ok_or_else(|| Error::format(what, "names no configuration"))?;
    if document.layers.len() > LAYERS {
        return Err(Error::format(
            what,
            format!("has {} layers", document.layers.len()),
        ));
    }
    let file = source.blob(config, "the configuration")?;
    let config = image_config(&file, config, what)?;
    let diff_ids = config.rootfs.clone().unwrap_or_default().diff_ids;
    if !diff_ids.is_empty() && diff_ids.len() != document.layers.len() {
        let (ids, layers) = (diff_ids.len(), document.layers.len());
        return Err(Error::format(
            what,
            format!("has {ids} diff ids for {layers} layers"),
        ));
    }
    let count = document.layers.len();
    let mut layers = Vec::new();
    for (at, descriptor) in document.layers.iter().enumerate() {
        let name = format!("layer {} of {count}", at + 1);
        if descriptor.media_type.ends_with("+encrypted") {
            return Err(Error::format(what, format!("{name} is encrypted")));
        }
        let file =
            source
                .blob(descriptor, &name)
                .map_err(|error| match descriptor.urls.is_empty() {
                    true => error,
                    false => Error::format(
                        what,
                        format!(
                            "{name} is kept elsewhere, and addresses in images are not followed"
                        ),
                    ),
                })?;
        layers.push(Layer {
            file,
            diff_id: diff_ids.get(at).map(|id| Digest::parse(id)).transpose()?,
            media_type: descriptor.media_type.clone(),
        });
    }
    let manifest = Some((text, file));
    Ok(Pulled {
        config,
        layers,
        manifest,
    })
}

fn image_config(file: &Path, descriptor: &Descriptor, what: &str) -> Result<ImageConfig> {
    let media = descriptor.media_type.as_str();
    let known = media.is_empty()
        || media.starts_with("application/vnd.oci.image.config.")
        || media.starts_with("application/vnd.docker.container.image.");
    if media == "application/vnd.oci.empty.v1+json" {
        return Ok(ImageConfig::default());
    }
    if !known {
        return Err(Error::format(
            what,
            format!("is no container's image but {media}"),
        ));
    }
    let text = read(file)?;
    serde_json::from_slice(&text).map_err(|error| Error::format(what, error))
}

/// The content of an image's tar archive.
#[derive(Debug, Default)]
struct Archive {
    index: Option<Vec<u8>>,
    manifest: Option<Vec<u8>>,
    /// Other files, by name
    files: BTreeMap<PathBuf, PathBuf>,
    /// Links among them: docker saves equal layers once
    links: BTreeMap<PathBuf, PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    #[serde(default, deserialize_with = "null::or_default")]
    layers: Vec<String>,
}

impl Archive {
    /// Takes the archive's files into the store. Names become no paths: a blob's is its digest, all
    /// others are numbered.
    fn extract(path: &Path, store: &Store) -> Result<Self> {
        let what = path.display().to_string();
        let damaged = |error: std::io::Error| Error::format(&what, error);
        let file = File::open(path).map_err(Error::path("open", path))?;
        if !file.metadata().is_ok_and(|meta| meta.is_file()) {
            return Err(Error::format(&what, "is no file"));
        }
        let mut stream = Stream::new(file, Limits::default()).map_err(damaged)?;
        let mut found = Self::default();
        let mut number = 0;
        let take = |entry: &mut tar::Entry<'_, &mut Stream<'_>>| {
            number += 1;
            let raw = entry.path_bytes().into_owned();
            let kind = entry.header().entry_type();
            if number > 100_000 {
                return Err(Error::hostile(&raw, "is one of too many entries"));
            }
            if kind.is_dir() || kind.is_pax_global_extensions() {
                return Ok(());
            }
            let name = crate::unpack::clean_name(&raw)?;
            if kind.is_symlink() || kind.is_hard_link() {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let target = PathBuf::from(String::from_utf8_lossy(&target).into_owned());
                let base = match kind.is_symlink() {
                    true => name.parent().unwrap_or_else(|| Path::new("")).to_owned(),
                    false => PathBuf::new(),
                };
                found.links.insert(name, within(&base.join(target)));
                return Ok(());
            }
            if !kind.is_file() {
                return Err(Error::hostile(&raw, "has no place in an image's archive"));
            }
            let small = name.components().count() == 1 && entry.size() <= DOCUMENT;
            let slot = match name.to_str() {
                Some("index.json") if small => Some(&mut found.index),
                Some("manifest.json") if small => Some(&mut found.manifest),
                _ => None,
            };
            if let Some(slot) = slot {
                let mut text = Vec::new();
                entry.read_to_end(&mut text).map_err(damaged)?;
                if slot.replace(text).is_some() {
                    return Err(Error::hostile(&raw, "comes twice"));
                }
                return Ok(());
            }
            let target = match blob(&name) {
                Some(digest) => {
                    store.part(&digest)?;
                    store.path(&digest)
                }
                None => {
                    let dir = store.dir().join("files");
                    std::fs::create_dir_all(&dir).map_err(Error::path("make", &dir))?;
                    dir.join(number.to_string())
                }
            };
            let created = File::options().write(true).create_new(true).open(&target);
            let mut out = created.map_err(|error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => Error::hostile(&raw, "comes twice"),
                _ => Error::path("write", &target)(error),
            })?;
            std::io::copy(entry, &mut out).map_err(damaged)?;
            out.flush().map_err(Error::path("write", &target))?;
            found.files.insert(name, target);
            Ok(())
        };
        stream.entries(take, damaged)?;
        stream.finish().map_err(damaged)?;
        Ok(found)
    }

    fn file(&self, name: &str) -> Result<&Path> {
        let mut name = within(Path::new(name));
        for _ in 0..4 {
            if let Some(file) = self.files.get(&name) {
                return Ok(file);
            }
            match self.links.get(&name) {
                Some(target) => name.clone_from(target),
                None => break,
            }
        }
        let shown = name.display().to_string();
        Err(Error::format(
            shown,
            "is named by manifest.json, but not in the archive",
        ))
    }

    /// What `docker save` wrote.
    fn docker(&self, tag: Option<&str>, store: &Store) -> Result<Pulled> {
        let what = "manifest.json";
        let text = self.manifest.as_deref();
        let text = text.ok_or_else(|| Error::format("the archive", "has no manifest.json"))?;
        let saved: Vec<Saved> =
            serde_json::from_slice(text).map_err(|error| Error::format(what, error))?;
        let tags = |image: &Saved| image.repo_tags.clone().unwrap_or_default();
        let image = match tag {
            None => saved.first(),
            Some(tag) => saved.iter().find(|image| {
                tags(image)
                    .iter()
                    .any(|full| full == tag || full.rsplit(':').next() == Some(tag))
            }),
        };
        let image = image.ok_or_else(|| {
            let all: Vec<String> = saved.iter().flat_map(tags).collect();
            Error::format(
                what,
                format!("has no such image; it has: {}", all.join(", ")),
            )
        })?;
        let text = read(self.file(&image.config)?)?;
        // The configuration's name is its digest, in the old form with an ending.
        let stem = image.config.rsplit('/').next().unwrap_or_default();
        if let Ok(digest) = Digest::sha256(stem.trim_end_matches(".json")) {
            digest.check(&text, "the configuration")?;
        }
        let config: ImageConfig =
            serde_json::from_slice(&text).map_err(|error| Error::format(&image.config, error))?;
        let diff_ids = config.rootfs.clone().unwrap_or_default().diff_ids;
        if diff_ids.len() != image.layers.len() || image.layers.len() > LAYERS {
            let (ids, layers) = (diff_ids.len(), image.layers.len());
            return Err(Error::format(
                what,
                format!("has {ids} diff ids for {layers} layers"),
            ));
        }
        let mut layers = Vec::new();
        for (name, diff_id) in image.layers.iter().zip(&diff_ids) {
            let file = self.file(name)?;
            debug_assert!(file.starts_with(store.dir()));
            layers.push(Layer {
                file: file.to_owned(),
                diff_id: Some(Digest::parse(diff_id)?),
                media_type: String::new(),
            });
        }
        Ok(Pulled {
            config,
            layers,
            manifest: None,
        })
    }
}

/// The digest that a layout's file name says.
fn blob(name: &Path) -> Option<Digest> {
    let rest = name.strip_prefix("blobs").ok()?;
    let (algorithm, hex) = rest.to_str()?.split_once('/')?;
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}

/// A path without `.` and `..`; what would lead out stays at the root.
fn within(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => plain.push(name),
            std::path::Component::ParentDir => {
                plain.pop();
            }
            _ => {}
        }
    }
    plain
}
