//! The template `local`: an image from two files.

use std::path::{Path, PathBuf};

use clap::Parser;

use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::template::Call;
use crate::unpack::{Layout, Options};

/// A container from an image's files: the metadata's archive and that of the root file system
#[derive(Debug, Parser)]
#[command(
    name = "lxc-local",
    infer_long_args = true,
    disable_version_flag = true
)]
pub struct Local {
    /// Path to the metadata for the image
    #[arg(short, long, value_name = "FILE")]
    metadata: Option<PathBuf>,
    /// Path to the filesystem tree for the image: an archive, or a squashfs image
    #[arg(short, long, value_name = "FILE")]
    fstree: Option<PathBuf>,
    /// Leave out everything below /dev
    #[arg(long)]
    no_dev: bool,
    /// Take every line of the image's configuration, also those that could reach the host
    #[arg(long)]
    trust_config: bool,
    #[command(flatten)]
    call: Call,
}

impl Local {
    /// Runs the template; returns the exit status.
    ///
    /// # Errors
    /// Whatever keeps the container from being made.
    pub fn run(&self, program: &Path) -> Result<u8> {
        let target = self.call.target()?;
        let given = |file: &Option<PathBuf>, option: &str, what: &str| {
            let message = || Error::message(format!("Please pass {what} ({option} FILE)"));
            file.clone().ok_or_else(message)
        };
        let meta = given(&self.metadata, "--metadata", "the metadata's archive")?;
        let fstree = given(&self.fstree, "--fstree", "the root file system's archive")?;
        let metadata = Metadata::read_archive(&meta)?;
        println!("Unpacking the rootfs");
        let mut options = Options::new(Layout::System);
        options.excludes = metadata.excludes(target.user_mode);
        if self.no_dev {
            options.excludes.push("dev/*".to_owned());
        }
        crate::unpack::confined(program, &fstree, &target.rootfs, &options, "Unpacking")?;
        target.make_directory("dev/pts")?;
        target.finish(&metadata, self.trust_config)?;
        metadata.print_message(target.user_mode);
        Ok(0)
    }
}
