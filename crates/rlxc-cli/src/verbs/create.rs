use std::path::PathBuf;

use clap::Args;
use rlxc::CreateOptions;

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Begin with the configuration in FILE
    #[arg(short = 'f', long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Template that makes the system: a name or a path; none makes only the configuration
    #[arg(short = 't', long, value_name = "TEMPLATE")]
    template: Option<String>,
    /// Where the root file system is kept: dir, overlay, btrfs, best …; a list is tried in order
    #[arg(short = 'B', long, value_name = "TYPE")]
    bdev: Option<String>,
    /// Put the root file system in DIR
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// With lvm: name of the volume
    #[arg(long, value_name = "NAME")]
    lvname: Option<String>,
    /// With lvm: name of the volume group
    #[arg(long, value_name = "NAME")]
    vgname: Option<String>,
    /// With lvm: name of the thin pool
    #[arg(long, value_name = "NAME")]
    thinpool: Option<String>,
    /// With rbd: name of the block device
    #[arg(long, value_name = "NAME")]
    rbdname: Option<String>,
    /// With rbd: name of the pool
    #[arg(long, value_name = "NAME")]
    rbdpool: Option<String>,
    /// With rbd: name of the user
    #[arg(long, value_name = "NAME")]
    rbduser: Option<String>,
    /// With zfs: the data set to make it below
    #[arg(long, value_name = "PATH")]
    zfsroot: Option<String>,
    /// With loop, lvm and rbd: type of the file system
    #[arg(long, value_name = "TYPE")]
    fstype: Option<String>,
    /// With loop, lvm and rbd: size of the file system (units bBkKmMgGtT)
    #[arg(long, value_name = "SIZE")]
    fssize: Option<String>,
    /// NAME, if not given by -n, and the template's options
    #[arg(value_name = "NAME|OPTIONS", hide = true)]
    words: Vec<String>,
}

impl Run for Create {
    fn run(mut self, context: &Context) -> Outcome {
        let mut words = std::mem::take(&mut self.words);
        let mut container = context.bare(&mut words)?;
        let Some(template) = self.template.clone() else {
            return Err(Failure::new("A template must be specified.")
                .remedy("use -t none for a container without a root file system"));
        };
        self.check_backend()?;
        if container.is_defined() {
            return Err(Failure::new("Container already exists"));
        }
        if let Some(file) = &self.config {
            container.load_config(Some(file))?;
        }
        let lists = self.bdev.as_deref().unwrap_or("dir");
        let mut result = Ok(());
        for backend in lists
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            let backend = if backend == "none" { "dir" } else { backend };
            let options = CreateOptions {
                template: Some(template.clone()),
                arguments: words.clone(),
                backend: Some(backend.to_owned()),
                dir: self.dir.clone(),
                quiet: context.common.quiet,
            };
            result = container.create(&options);
            if result.is_ok() {
                break;
            }
        }
        result?;
        Ok(0)
    }
}

impl Create {
    /// Options that belong to another backend than the chosen one, or to one that is not made here.
    fn check_backend(&self) -> Result<(), Failure> {
        let backend = self.bdev.as_deref().unwrap_or("dir");
        let given = [
            ("--lvname", self.lvname.is_some(), "lvm"),
            ("--vgname", self.vgname.is_some(), "lvm"),
            ("--thinpool", self.thinpool.is_some(), "lvm"),
            ("--rbdname", self.rbdname.is_some(), "rbd"),
            ("--rbdpool", self.rbdpool.is_some(), "rbd"),
            ("--rbduser", self.rbduser.is_some(), "rbd"),
            ("--zfsroot", self.zfsroot.is_some(), "zfs"),
            ("--fstype", self.fstype.is_some(), "loop, lvm or rbd"),
            ("--fssize", self.fssize.is_some(), "loop, lvm or rbd"),
        ];
        for (option, is_given, belongs) in given {
            if !is_given {
                continue;
            }
            if belongs.split([' ', ',']).any(|word| word == backend) {
                return Err(Failure::new(format!(
                    "{option}: containers on {backend} cannot be made by this version"
                )));
            }
            return Err(Failure::new(format!("{option} is only for -B {belongs}")));
        }
        Ok(())
    }
}
