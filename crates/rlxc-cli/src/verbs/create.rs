use std::path::PathBuf;

use clap::Args;
use rlxc::{Backend, CreateOptions, Specs};

use super::Run;
use crate::context::{Context, Failure, Outcome};
use crate::output::safe;
use crate::progress::unless_interrupted;

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
            let text = "A template must be specified";
            return Err(match context.lxc {
                true => {
                    Failure::new("Use \"none\" if you really want a container without a rootfs")
                        .caused_by(text)
                }
                false => Failure::new(text)
                    .remedy("use -t none for a container without a root file system"),
            });
        };
        self.check_backend()?;
        if container.is_defined() {
            return Err(Failure::new("Container already exists"));
        }
        if let Some(file) = &self.config {
            container.load_config(Some(file))?;
        }
        let specs = self.specs()?;
        unless_interrupted(|progress| {
            container.create(&CreateOptions {
                template: Some(template),
                arguments: words,
                backend: self.bdev.clone(),
                specs,
                quiet: context.common.quiet,
                progress: Some(progress),
            })
        })?;
        Ok(0)
    }
}

impl Create {
    fn specs(&self) -> Result<Specs, Failure> {
        let fssize = self.fssize.as_deref().map(parse_size).transpose()?;
        Ok(Specs {
            fstype: self.fstype.clone(),
            fssize,
            zfsroot: self.zfsroot.clone(),
            lv: self.lvname.clone(),
            vg: self.vgname.clone(),
            thinpool: self.thinpool.clone(),
            dir: self.dir.clone(),
            rbdname: self.rbdname.clone(),
            rbdpool: self.rbdpool.clone(),
            rbduser: self.rbduser.clone(),
        })
    }

    /// Options that belong to another backend than the chosen one.
    fn check_backend(&self) -> Result<(), Failure> {
        let backends = self.bdev.as_deref().unwrap_or("dir");
        check_backends(backends)?;
        if backends == "best" {
            return Ok(());
        }
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
            let belongs_to = |backend: &str| belongs.split([' ', ',']).any(|word| word == backend);
            if is_given && !backends.split(',').map(str::trim).any(belongs_to) {
                return Err(Failure::new(format!(
                    "{option} is only valid with -B {belongs}"
                )));
            }
        }
        Ok(())
    }
}

/// Whether each word of the list names a backend.
pub(crate) fn check_backends(list: &str) -> Result<(), Failure> {
    const OTHERS: [&str; 4] = ["best", "none", "_unset", "overlay"];
    for word in list.split(',').map(str::trim) {
        if !OTHERS.contains(&word) && word.parse::<Backend>().is_err() {
            return Err(Failure::new(format!(
                "{} is not a valid backing storage type",
                safe(word)
            )));
        }
    }
    Ok(())
}

/// A size as LXC's tools take it: a number and one of the units b k m g t; MiB without one.
pub(crate) fn parse_size(text: &str) -> Result<u64, Failure> {
    let bad = || {
        Failure::new(format!("'{text}' is no size"))
            .remedy("write a number and one of the units b k m g t, as in 512M or 2G")
    };
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "b" => 1,
        "k" => 1 << 10,
        "" | "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return Err(bad()),
    };
    let number: u64 = digits.trim().parse().map_err(|_| bad())?;
    let size = number.checked_mul(factor).filter(|size| *size > 0);
    size.ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_mebibytes_without_one() {
        for (text, size) in [
            ("5", 5 << 20),
            ("7b", 7),
            ("2K", 2048),
            ("1G", 1 << 30),
            ("1t", 1 << 40),
        ] {
            assert_eq!(parse_size(text).ok(), Some(size), "{text}");
        }
        for bad in ["", "M", "-1M", "1X", "1.5G", "99999999999999T", "0"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
