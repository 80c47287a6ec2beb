//! RUNDIR/lxc/nics: who has which nic. LXC's file and its lock, so that both programs can be used
//! on one host.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};

/// One line: `OWNER TYPE BRIDGE NIC`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) owner: String,
    pub(crate) kind: String,
    pub(crate) bridge: String,
    pub(crate) nic: String,
}

impl Record {
    fn line(&self) -> String {
        format!(
            "{} {} {} {}\n",
            self.owner, self.kind, self.bridge, self.nic
        )
    }
}

/// The records of `text`; lines that are not four fields are none.
pub(crate) fn parse(text: &str) -> Vec<Record> {
    let record = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [owner, kind, bridge, nic] = fields[..] else {
            return None;
        };
        Some(Record {
            owner: owner.into(),
            kind: kind.into(),
            bridge: bridge.into(),
            nic: nic.into(),
        })
    };
    text.lines().filter_map(record).collect()
}

/// The database, locked until it is dropped.
#[derive(Debug)]
pub(crate) struct Database {
    file: File,
    pub(crate) records: Vec<Record>,
}

impl Database {
    /// Opens and locks the file, makes it if need be, and drops the records of interfaces that no
    /// longer exist.
    pub(crate) fn open(path: &Path, mut exists: impl FnMut(&str) -> bool) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(directory)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC)
            .open(path)?;
        lock(&file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut records = parse(&text);
        records.retain(|record| exists(&record.nic));
        let mut database = Self { file, records };
        let clean: String = database.records.iter().map(Record::line).collect();
        if clean != text {
            database.write(&clean)?;
        }
        Ok(database)
    }

    /// How many nics of `kind` on `bridge` `owner` has.
    pub(crate) fn count(&self, owner: &str, kind: &str, bridge: &str) -> u64 {
        let same = |r: &&Record| r.owner == owner && r.kind == kind && r.bridge == bridge;
        self.records.iter().filter(same).count() as u64
    }

    /// Adds a record, before the interface is made: a caller who kills the program then is still
    /// counted.
    pub(crate) fn add(&mut self, record: Record) -> io::Result<()> {
        self.file.seek(SeekFrom::End(0))?;
        self.file.write_all(record.line().as_bytes())?;
        self.records.push(record);
        Ok(())
    }

    /// Removes the record of `nic`.
    pub(crate) fn remove(&mut self, nic: &str) -> io::Result<()> {
        self.records.retain(|record| record.nic != nic);
        let text: String = self.records.iter().map(Record::line).collect();
        self.write(&text)
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(text.as_bytes())?;
        self.file.set_len(text.len() as u64)
    }
}

/// Waits for the whole file's write lock (fcntl(2), as LXC).
fn lock(file: &File) -> io::Result<()> {
    let lock = nix::libc::flock {
        l_type: i16::try_from(nix::libc::F_WRLCK).unwrap_or_default(),
        l_whence: i16::try_from(nix::libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_SETLKW(&lock))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_lost_interfaces_and_garbage_are_dropped() {
        let dir = std::env::temp_dir().join(format!("rlxc-network-db-{}", std::process::id()));
        let path = dir.join("run/nics");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(
            &path,
            b"anna veth br0 vethA\nanna veth br0 gone\n\xff\xfe garbage\nx\n\n",
        )
        .unwrap();
        let mut database = Database::open(&path, |nic| nic == "vethA").unwrap();
        assert_eq!(database.count("anna", "veth", "br0"), 1);
        let record = Record {
            nic: "vethB".into(),
            ..database.records[0].clone()
        };
        database.add(record).unwrap();
        drop(database);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "anna veth br0 vethA\nanna veth br0 vethB\n");
        let mut database = Database::open(&path, |_| true).unwrap();
        database.remove("vethA").unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "anna veth br0 vethB\n"
        );
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_link_in_place_of_the_file_is_not_followed() {
        let dir = std::env::temp_dir().join(format!("rlxc-network-dbl-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::os::unix::fs::symlink("/nonexistent/target", dir.join("nics")).unwrap();
        assert!(Database::open(&dir.join("nics"), |_| true).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_files_never_panic(text: String) {
            parse(&text);
        }
    }
}
