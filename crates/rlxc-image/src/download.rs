//! The template `download`: an image of a server, from its index to the finished configuration.

use std::fs::File;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use clap::Parser;
use rlxc_config::paths;

use crate::cache::{Choice, Slot, State};
use crate::error::{Error, Result};
use crate::index::{self, Image};
use crate::openpgp::Keyring;
use crate::server::Server;
use crate::template::{Call, Target, cache_base};
use crate::unpack::{Layout, Options};

/// LXC container image downloader
#[derive(Debug, Parser)]
#[command(
    name = "lxc-download",
    infer_long_args = true,
    disable_version_flag = true
)]
pub struct Download {
    /// List all available images and exit
    #[arg(short, long)]
    list: bool,
    /// The name of the distribution
    #[arg(short, long, value_name = "DISTRIBUTION")]
    dist: Option<String>,
    /// Release name or version
    #[arg(short, long, value_name = "RELEASE")]
    release: Option<String>,
    /// Architecture of the container
    #[arg(short, long, value_name = "ARCHITECTURE")]
    arch: Option<String>,
    /// Variant of the image
    #[arg(long, value_name = "VARIANT", default_value = "default")]
    variant: String,
    /// Image server: a host, an https address, or a directory laid out like a server
    #[arg(
        long,
        value_name = "SERVER",
        default_value = "images.linuxcontainers.org"
    )]
    server: String,
    /// Flush the local copy (if present)
    #[arg(long)]
    flush_cache: bool,
    /// Force the use of the local copy even if expired
    #[arg(long)]
    force_cache: bool,
    /// Public keys one of which must have signed the index
    /// [default: /etc/lxc/keyrings/HOST.asc or .gpg, if there is one]
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// Ask for no signature, and allow servers without TLS; digests are still checked
    #[arg(long)]
    no_validate: bool,
    /// Take every line of the image's configuration, also those that could reach the host
    #[arg(long)]
    trust_config: bool,
    /// Tell what is done
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    call: Call,
}

impl Download {
    /// Runs the template; returns the exit status.
    ///
    /// # Errors
    /// Whatever keeps the container from being made.
    pub fn run(&self, program: &Path) -> Result<u8> {
        if self.list {
            let images = self.images(&self.connect()?)?;
            self.print(&images);
            // As LXC: a list makes no container, so lxc-create must not take it for one.
            return Ok(1);
        }
        let target = self.call.target()?;
        let (choice, images) = self.choose()?;
        let base = cache_base(&self.call)?;
        let mut slot = Slot::open(&base, &choice)?;
        if self.flush_cache && slot.state(target.user_mode) != State::Empty {
            println!("Flushing the cache...");
            slot.flush()?;
        }
        let archive = self.provide(&slot, &choice, images, &target)?;
        slot.give(&base, target.owner);
        let metadata = slot.metadata()?;
        let archive = File::open(&archive).map_err(Error::path("open", archive))?;
        slot.unlock();
        println!("Unpacking the rootfs");
        let mut options = Options::new(Layout::System);
        options.excludes = metadata.excludes(target.user_mode);
        crate::unpack::confined_file(program, &archive, &target.rootfs, &options, "Unpacking")?;
        target.make_directory("dev/pts")?;
        target.finish(&metadata, self.trust_config)?;
        metadata.print_message(target.user_mode);
        Ok(0)
    }

    fn say(&self, text: impl AsRef<str>) {
        if self.verbose {
            eprintln!("{}", text.as_ref());
        }
    }

    fn connect(&self) -> Result<Server> {
        let insecure = self.no_validate || self.keyring.is_some();
        Server::new(&self.server, insecure)
    }

    fn keys(&self, server: &Server) -> Result<Option<Keyring>> {
        if self.no_validate {
            return Ok(None);
        }
        if let Some(file) = &self.keyring {
            return Keyring::load(file).map(Some);
        }
        let Some(host) = server.host() else {
            return Ok(None);
        };
        for dir in [paths::SYSCONFDIR, paths::DATADIR] {
            for ending in ["asc", "gpg"] {
                let file = Path::new(dir).join(format!("lxc/keyrings/{host}.{ending}"));
                if file.is_file() {
                    self.say(format!("Keys: {}", file.display()));
                    return Keyring::load(&file).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn images(&self, server: &Server) -> Result<Vec<Image>> {
        println!("Downloading the image index");
        let keys = self.keys(server)?;
        let images = index::images(server, crate::userns::inside(), keys.as_ref())?;
        self.say(format!("{} images at {server}", images.len()));
        Ok(images)
    }

    /// The table of those that fit what was given.
    fn print(&self, images: &[Image]) {
        println!("\n---\nDIST\tRELEASE\tARCH\tVARIANT\tBUILD\n---");
        let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
        for image in images {
            if fits(&self.dist, &image.dist)
                && fits(&self.release, &image.release)
                && fits(&self.arch, &image.arch)
                && self.variant == image.variant
            {
                let Image {
                    dist,
                    release,
                    arch,
                    variant,
                    build,
                    ..
                } = image;
                println!("{dist}\t{release}\t{arch}\t{variant}\t{build}");
            }
        }
        println!("---");
    }

    /// What is wanted; what was not given is asked for.
    fn choose(&self) -> Result<(Choice, Option<Vec<Image>>)> {
        let mut choice = Choice {
            dist: self.dist.clone().unwrap_or_default(),
            release: self.release.clone().unwrap_or_default(),
            arch: self.arch.clone().unwrap_or_default(),
            variant: self.variant.clone(),
        };
        if self.dist.is_some() && self.release.is_some() && self.arch.is_some() {
            return Ok((choice, None));
        }
        let images = self.images(&self.connect()?)?;
        self.print(&images);
        println!();
        let of_variant = images
            .iter()
            .filter(|image| image.variant == choice.variant);
        let fitting: Vec<&Image> = of_variant.collect();
        if choice.dist.is_empty() {
            choice.dist = ask("Distribution", fitting.iter().map(|image| &image.dist))?;
        }
        let fitting: Vec<&Image> = fitting
            .into_iter()
            .filter(|i| i.dist == choice.dist)
            .collect();
        if choice.release.is_empty() {
            choice.release = ask("Release", fitting.iter().map(|image| &image.release))?;
        }
        let mut fitting = fitting.into_iter().filter(|i| i.release == choice.release);
        if choice.arch.is_empty() {
            let archs: Vec<&String> = fitting.by_ref().map(|image| &image.arch).collect();
            choice.arch = ask("Architecture", archs.into_iter())?;
        }
        println!();
        Ok((choice, Some(images)))
    }

    /// The image's archive: kept, or fetched now.
    fn provide(
        &self,
        slot: &Slot,
        choice: &Choice,
        images: Option<Vec<Image>>,
        target: &Target,
    ) -> Result<PathBuf> {
        let state = slot.state(target.user_mode);
        let kept = match state {
            State::Fresh => slot.archive(),
            State::Expired if self.force_cache => slot.archive(),
            State::Expired => {
                println!("The cached copy has expired, re-downloading...");
                None
            }
            State::Empty => None,
        };
        if let Some(archive) = kept {
            println!("Using image from local cache");
            return Ok(archive);
        }
        slot.check_writable()?;
        let server = self.connect()?;
        let hint = match state {
            State::Expired => "; --force-cache takes the expired copy",
            _ => "",
        };
        let fetched = self.fetch(&server, slot, choice, images);
        fetched.map_err(|error| match hint {
            "" => error,
            hint => Error::message(format!("{error}{hint}")),
        })
    }

    fn fetch(
        &self,
        server: &Server,
        slot: &Slot,
        choice: &Choice,
        images: Option<Vec<Image>>,
    ) -> Result<PathBuf> {
        let images = match images {
            Some(images) => images,
            None => self.images(server)?,
        };
        let mut image = find(&images, choice)?.clone();
        let complete = || Error::message("the cache could not be filled");
        if slot.build().as_deref() == Some(&image.build)
            && let Some(archive) = slot.archive()
        {
            println!("The cache is already up to date\nUsing image from local cache");
            return Ok(archive);
        }
        let keys = self.keys(server)?;
        index::add_digests(server, &mut image, keys.as_ref())?;
        slot.tidy(&image);
        println!("Downloading the rootfs");
        let rootfs = slot.part(&image, "rootfs");
        server.download(&image.rootfs, &rootfs, "rootfs")?;
        println!("Downloading the metadata");
        let meta = slot.part(&image, "meta");
        server.download(&image.meta, &meta, "metadata")?;
        let filled = slot.fill(&image, &rootfs, &meta);
        if filled.is_err() {
            let _ = std::fs::remove_file(&meta);
            let _ = std::fs::remove_file(&rootfs);
        }
        filled?;
        println!("The image cache is now ready");
        slot.archive().ok_or_else(complete)
    }
}

/// The image of that choice, or a message that says what there is instead.
fn find<'a>(images: &'a [Image], choice: &Choice) -> Result<&'a Image> {
    let is = |image: &&Image| {
        image.dist == choice.dist
            && image.release == choice.release
            && image.arch == choice.arch
            && image.variant == choice.variant
    };
    if let Some(image) = images.iter().find(is) {
        return Ok(image);
    }
    let of = |images: Vec<String>| {
        let mut list = images;
        list.sort();
        list.dedup();
        list.join(", ")
    };
    let dists: Vec<&Image> = images.iter().filter(|i| i.dist == choice.dist).collect();
    let releases: Vec<&Image> = dists
        .iter()
        .copied()
        .filter(|i| i.release == choice.release)
        .collect();
    let archs: Vec<&Image> = releases
        .iter()
        .copied()
        .filter(|i| i.arch == choice.arch)
        .collect();
    let hint = if dists.is_empty() {
        format!(
            "there is: {}",
            of(images.iter().map(|i| i.dist.clone()).collect())
        )
    } else if releases.is_empty() {
        let list = of(dists.iter().map(|i| i.release.clone()).collect());
        format!("releases of {}: {list}", choice.dist)
    } else if archs.is_empty() {
        let list = of(releases.iter().map(|i| i.arch.clone()).collect());
        format!(
            "architectures of {} {}: {list}",
            choice.dist, choice.release
        )
    } else {
        let list = of(archs.iter().map(|i| i.variant.clone()).collect());
        format!("variants: {list}")
    };
    Err(Error::message(format!(
        "Couldn't find a matching image ({hint})"
    )))
}

/// Asks until one of the choices is answered; three wrong answers end it.
fn ask<'a>(what: &str, choices: impl Iterator<Item = &'a String>) -> Result<String> {
    let choices: Vec<&String> = choices.collect();
    let stdin = std::io::stdin();
    for _ in 0..3 {
        println!("{what}: ");
        let _ = std::io::stdout().flush();
        let mut line = String::new();
        let read = stdin.lock().read_line(&mut line);
        if read.map_err(Error::path("read", "the standard input"))? == 0 {
            return Err(Error::message(format!(
                "no answer for {}: give -d, -r and -a",
                what.to_lowercase()
            )));
        }
        let answer = line.trim();
        if choices.iter().any(|choice| *choice == answer) {
            return Ok(answer.to_owned());
        }
        let near = choices.iter().find(|choice| {
            choice.eq_ignore_ascii_case(answer) || (!answer.is_empty() && choice.contains(answer))
        });
        let hint = near
            .map(|near| format!("; did you mean {near}?"))
            .unwrap_or_default();
        println!("There is no {}{hint}", printable(answer));
    }
    Err(Error::message(format!("no {} chosen", what.to_lowercase())))
}

/// Without what moves a terminal's cursor.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}
