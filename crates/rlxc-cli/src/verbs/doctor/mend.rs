//! What can be done safely, as a command that can be shown and carried out.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A change that takes nothing away and can be taken back.
#[derive(Debug)]
pub(super) struct Mend {
    action: Action,
    /// Whether only root can do it
    pub(super) root: bool,
    /// Whose the new files are to be: name, uid and gid
    owner: Option<(String, u32, u32)>,
}

#[derive(Debug)]
enum Action {
    Run(Vec<String>),
    Append { path: PathBuf, line: String },
    Create { path: PathBuf, text: String },
    Directory(PathBuf),
}

impl Mend {
    fn of(action: Action) -> Self {
        Self {
            action,
            root: true,
            owner: None,
        }
    }

    /// A program to run as root.
    pub(super) fn run(words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned());
        Self::of(Action::Run(words.collect()))
    }

    /// A line at the end of a file, by root.
    pub(super) fn append(path: impl Into<PathBuf>, line: impl Into<String>) -> Self {
        Self::of(Action::Append {
            path: path.into(),
            line: line.into(),
        })
    }

    /// A file that is not there yet, with the directories above it.
    pub(super) fn create(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self::of(Action::Create {
            path: path.into(),
            text: text.into(),
        })
    }

    /// A directory, with those above it.
    pub(super) fn directory(path: impl Into<PathBuf>) -> Self {
        Self::of(Action::Directory(path.into()))
    }

    /// The same, by whoever owns the place.
    pub(super) fn by_owner(mut self) -> Self {
        self.root = false;
        self
    }

    /// The same by root, who gives what is new to somebody.
    pub(super) fn for_user(mut self, name: &str, uid: u32, gid: u32) -> Self {
        self.owner = Some((name.to_owned(), uid, gid));
        self
    }

    /// As a line for a shell.
    pub(super) fn shown(&self) -> String {
        let line = self.line();
        match &self.owner {
            Some((name, ..)) => format!("sudo -u {name} sh -c {}", quoted(&line)),
            None => line,
        }
    }

    fn line(&self) -> String {
        match &self.action {
            Action::Directory(path) => format!("mkdir -p {}", path.display()),
            Action::Run(words) => {
                let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                words.join(" ")
            }
            Action::Append { path, line } => {
                format!("echo {} >> {}", quoted(line), path.display())
            }
            Action::Create { path, text } => {
                let dir = path.parent().map(|p| p.display().to_string());
                let file = path.display();
                let text = text.trim_end().replace('\n', "\\n");
                format!(
                    "mkdir -p {} && printf '{text}\\n' > {file}",
                    dir.unwrap_or_default()
                )
            }
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// What failed, with the path or the program's status.
    pub(super) fn carry_out(&self) -> io::Result<()> {
        match &self.action {
            Action::Run(words) => {
                let [program, arguments @ ..] = words.as_slice() else {
                    return Ok(());
                };
                let status = Command::new(program).args(arguments).status()?;
                match status.success() {
                    true => Ok(()),
                    false => Err(io::Error::other(status.to_string())),
                }
            }
            Action::Append { path, line } => {
                let before = std::fs::read(path).unwrap_or_default();
                let gap = match before.last() {
                    None | Some(b'\n') => "",
                    Some(_) => "\n",
                };
                let mut options = std::fs::OpenOptions::new();
                let mut file = options.append(true).create(true).open(path)?;
                file.write_all(format!("{gap}{line}\n").as_bytes())
            }
            Action::Create { path, text } => {
                if let Some(dir) = path.parent() {
                    self.make_directories(dir)?;
                }
                let mut file = std::fs::File::create_new(path)?;
                file.write_all(text.as_bytes())?;
                match self.owner {
                    Some((_, uid, gid)) => std::os::unix::fs::fchown(&file, Some(uid), Some(gid)),
                    None => Ok(()),
                }
            }
            Action::Directory(path) => self.make_directories(path),
        }
    }

    /// Those that are new get their owner.
    fn make_directories(&self, path: &Path) -> io::Result<()> {
        let new: Vec<&Path> = path.ancestors().take_while(|dir| !dir.exists()).collect();
        for dir in new.into_iter().rev() {
            std::fs::create_dir(dir)?;
            if let Some((_, uid, gid)) = self.owner {
                std::os::unix::fs::lchown(dir, Some(uid), Some(gid))?;
            }
        }
        Ok(())
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=+,@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_a_shell_takes_them() {
        let mend = Mend::run(&["setfacl", "-m", "u:1000:x", "/home/a b"]);
        assert_eq!(mend.shown(), "setfacl -m u:1000:x '/home/a b'");
        let mend = Mend::append("/etc/x", "a b");
        assert_eq!(mend.shown(), "echo 'a b' >> /etc/x");
    }

    #[test]
    fn a_line_is_appended_on_a_line_of_its_own_and_no_file_is_overwritten() -> io::Result<()> {
        let dir = std::env::temp_dir().join(format!("rlxc-cli-mend-{}", std::process::id()));
        let file = dir.join("sub/file");
        Mend::create(&file, "first").carry_out()?;
        Mend::append(&file, "second").carry_out()?;
        let again = Mend::create(&file, "other").carry_out();
        let text = std::fs::read_to_string(&file)?;
        std::fs::remove_dir_all(&dir)?;
        assert_eq!(text, "first\nsecond\n");
        assert!(again.is_err());
        Ok(())
    }
}
