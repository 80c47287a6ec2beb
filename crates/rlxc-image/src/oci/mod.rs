//! The template `oci`: an OCI image from a layout directory, an archive or a registry.

mod auth;
mod convert;
mod login;
mod manifest;
mod mounted;
mod pull;
mod reference;
mod registry;
mod store;

use std::path::{Path, PathBuf};

use clap::Parser;

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::template::{Call, Target, cache_base};
use crate::unpack::{Layout, Options, Tree};
use auth::Credentials;
use pull::{Layer, Pulled};
use reference::Reference;
use store::Store;

/// LXC container template for OCI images
#[derive(Debug, Parser)]
#[command(name = "lxc-oci", infer_long_args = true, disable_version_flag = true)]
pub struct Oci {
    /// The OCI image: docker://HOST/NAME:TAG, oci:DIR:TAG, oci-archive:FILE, docker-archive:FILE
    #[arg(short, long, value_name = "URL")]
    url: Option<String>,
    /// The username for the registry
    #[arg(long, value_name = "USER")]
    username: Option<String>,
    /// The password for the registry; LXC_OCI_PASSWORD keeps it out of the configuration's header
    #[arg(long, value_name = "PASSWORD")]
    password: Option<String>,
    /// Keep no layers in the cache
    #[arg(long)]
    no_cache: bool,
    /// Get an address by DHCP when the container starts
    #[arg(long)]
    dhcp: bool,
    /// Program that mounts the image instead of unpacking it (atomfs, puzzlefs)
    #[arg(long, value_name = "PROGRAM")]
    mount_helper: Option<PathBuf>,
    /// Architecture, by OCI's names (amd64, arm64, arm/v7 …), instead of this machine's
    #[arg(long, value_name = "ARCHITECTURE")]
    arch: Option<String>,
    #[command(flatten)]
    call: Call,
}

impl Oci {
    /// Runs the template; returns the exit status.
    ///
    /// # Errors
    /// Whatever keeps the container from being made.
    pub fn run(&self, program: &Path) -> Result<u8> {
        let target = self.call.target()?;
        let url = self.url.as_deref().filter(|url| !url.is_empty());
        let url = url.ok_or_else(|| Error::message("no OCI URL given (--url)"))?;
        let reference = Reference::parse(url)?;
        let credentials = self.credentials()?;
        let base = cache_base(&self.call)?;
        let mut store = match (&reference, self.no_cache) {
            (Reference::Registry(_), false) => Store::open(&base)?,
            _ => Store::temporary(&base)?,
        };
        let arch = match &self.arch {
            Some(arch) => arch.as_str(),
            None => manifest::host_arch(),
        };
        let pulled = pull::pull(&reference, &store, arch, credentials)?;
        store.give(&base, target.owner);
        store.unlock();
        if let Some(helper) = mounted::helper(self.mount_helper.as_deref(), &pulled)? {
            mounted::make(&helper, &pulled, &target, self.dhcp)?;
            return Ok(0);
        }
        println!("Unpacking the rootfs");
        unpack(program, &pulled.layers, &target)?;
        let tree = target.tree()?;
        let finished = finish(&pulled, &tree, &target, self.dhcp);
        if finished.is_err() {
            let _ = tree.clear();
        }
        finished?;
        Ok(0)
    }

    fn credentials(&self) -> Result<Option<Credentials>> {
        let from_environment = || std::env::var("LXC_OCI_PASSWORD").ok();
        let password = self.password.clone().or_else(from_environment);
        match (&self.username, password) {
            (Some(user), password) => Ok(Some(Credentials {
                user: user.clone(),
                password: password.unwrap_or_default(),
            })),
            (None, Some(_)) if self.password.is_some() => {
                Err(Error::message("password given but no username specified"))
            }
            (None, _) => Ok(None),
        }
    }
}

/// Layer upon layer; all is removed when one of them fails.
fn unpack(program: &Path, layers: &[Layer], target: &Target) -> Result<()> {
    let options = Options::new(Layout::Layer);
    let count = layers.len();
    for (at, layer) in layers.iter().enumerate() {
        let what = format!("Unpacking layer {} of {count}", at + 1);
        let done = crate::unpack::confined(program, &layer.file, &target.rootfs, &options, &what)?;
        let checked = match &layer.diff_id {
            Some(diff_id) => check(diff_id, &done.sha256, &what),
            None => Ok(()),
        };
        if checked.is_err() {
            let _ = target.tree()?.clear();
        }
        checked?;
    }
    Ok(())
}

fn check(expected: &Digest, sha256: &str, what: &str) -> Result<()> {
    // Diff ids are SHA-256 wherever images are made today.
    if expected.algorithm() == "sha256" && expected.hex() != sha256 {
        return Err(Error::Digest {
            what: format!("the content of {}", what.trim_start_matches("Unpacking ")),
            expected: expected.to_string(),
            found: format!("sha256:{sha256}"),
        });
    }
    Ok(())
}

/// The container's configuration and the files that name it.
fn finish(pulled: &Pulled, tree: &Tree, target: &Target, dhcp: bool) -> Result<()> {
    let lines = convert::lines(&pulled.config, tree, target, dhcp)?;
    for dir in ["dev", "proc", "sys", "etc"] {
        tree.make_directories(Path::new(dir))
            .map_err(Error::path("make", dir))?;
    }
    let name = &target.name;
    let hosts = format!(
        "127.0.0.1   localhost\n127.0.1.1   {name}\n\
         ::1     localhost ip6-localhost ip6-loopback\n\
         fe00::0 ip6-localnet\nff00::0 ip6-mcastprefix\n\
         ff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"
    );
    for (path, text) in [("etc/hostname", format!("{name}\n")), ("etc/hosts", hosts)] {
        tree.replace_file(Path::new(path), text.as_bytes(), 0o644)
            .map_err(Error::path("write", path))?;
    }
    target.append(&lines)
}
