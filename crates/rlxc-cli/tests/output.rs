//! Our tools and LXC's say the same about the same containers.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Place {
    dir: PathBuf,
}

impl Place {
    fn new(name: &str) -> std::io::Result<Self> {
        let dir = std::env::temp_dir().join(format!("rlxc-cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("bin"))?;
        std::fs::create_dir_all(dir.join("lxc"))?;
        for verb in rlxc_cli::verbs::VERBS.iter().filter(|verb| verb.lxc) {
            symlink(
                env!("CARGO_BIN_EXE_rlxc"),
                dir.join("bin").join(format!("lxc-{}", verb.name)),
            )?;
        }
        Ok(Self { dir })
    }

    fn container(&self, name: &str, config: &str) -> std::io::Result<()> {
        std::fs::create_dir_all(self.lxcpath().join(name))?;
        std::fs::write(self.lxcpath().join(name).join("config"), config)
    }

    fn lxcpath(&self) -> PathBuf {
        self.dir.join("lxc")
    }

    fn run(&self, program: &Path, words: &[&str]) -> Option<Output> {
        Command::new(program)
            .args(words)
            .arg("-P")
            .arg(self.lxcpath())
            .output()
            .ok()
    }

    /// How the two differ in standard output and exit status.
    fn difference(&self, line: &str) -> Option<String> {
        let words: Vec<&str> = line.split(' ').collect();
        let Some(theirs) = self.run(Path::new(words[0]), &words[1..]) else {
            println!("skipped: {} is not installed", words[0]);
            return None;
        };
        let ours = self.run(&self.dir.join("bin").join(words[0]), &words[1..]);
        let text = |o: &Output| {
            (
                String::from_utf8_lossy(&o.stdout).into_owned(),
                o.status.code(),
            )
        };
        let (ours, theirs) = (ours.as_ref().map(text)?, text(&theirs));
        (ours != theirs).then(|| format!("{line}: ours {ours:?}, theirs {theirs:?}"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn stopped_containers_are_told_of_as_lxc_does() -> std::io::Result<()> {
    let place = Place::new("stopped")?;
    place.container(
        "web",
        "lxc.uts.name = web\nlxc.start.auto = 1\nlxc.start.delay = 3\n",
    )?;
    place.container(
        "db",
        "lxc.group = onboot\nlxc.group = sql\nlxc.start.auto = 1\nlxc.start.order = -2\n",
    )?;
    place.container(
        "mapped",
        "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n",
    )?;
    let mut different = Vec::new();
    for line in [
        "lxc-ls",
        "lxc-ls -1",
        "lxc-ls -f",
        "lxc-ls --fancy --stopped",
        "lxc-ls -f -F NAME,RAM,SWAP,PID,INTERFACE",
        "lxc-ls -f -F GROUPS,NAME,IPV6",
        "lxc-ls --running",
        "lxc-ls --active -f",
        "lxc-ls --frozen",
        "lxc-ls --defined -1",
        "lxc-ls -1 --filter=^w",
        "lxc-ls -1 ^w",
        "lxc-ls -1 --filter=[",
        "lxc-ls -1 -g sql",
        "lxc-ls -f -g onboot,sql",
        "lxc-info web",
        "lxc-info -n web",
        "lxc-info --name=web -s",
        "lxc-info --na=web --sta",
        "lxc-info web -s -H",
        "lxc-info web -p",
        "lxc-info web -c lxc.uts.name -c lxc.start.auto",
        "lxc-info db -c lxc.group",
        "lxc-info web -H -c lxc.uts.name",
        "lxc-info web -c lxc.nonsense",
        "lxc-info nobody",
        "lxc-info",
        "lxc-info --bogus web",
        "lxc-info --version",
        "lxc-stop web",
        "lxc-stop web -k",
        "lxc-stop -k -t 5 web",
        "lxc-stop --nolock web",
        "lxc-stop nobody",
        "lxc-freeze web",
        "lxc-unfreeze web",
        "lxc-cgroup web cpuset.cpus",
        "lxc-cgroup web",
        "lxc-wait web -s STOPPED",
        "lxc-wait web -s RUNNING -t 0",
        "lxc-wait web -s NOPE",
        "lxc-wait web",
        "lxc-console web",
        "lxc-attach web -- true",
        "lxc-device web add /dev/null",
        "lxc-checkpoint web",
        "lxc-autostart -L",
        "lxc-autostart -L -a",
        "lxc-autostart -L -A -a",
        "lxc-autostart -L -g onboot",
        "lxc-autostart -L -s -a",
        "lxc-start nobody",
        "lxc-execute nobody -- true",
    ] {
        // Their version is another than that which we stand for.
        if line.ends_with("--version") {
            continue;
        }
        different.extend(place.difference(line));
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    Ok(())
}

#[test]
fn unknown_verbs_and_options_name_the_nearest() -> std::io::Result<()> {
    let rlxc = env!("CARGO_BIN_EXE_rlxc");
    let said = |words: &[&str]| {
        let output = Command::new(rlxc).args(words).output()?;
        Ok::<_, std::io::Error>((
            String::from_utf8_lossy(&output.stderr).into_owned(),
            output.status.code(),
        ))
    };
    let (text, status) = said(&["strat"])?;
    assert!(text.contains("did you mean 'start'"), "{text}");
    assert_eq!(status, Some(1));
    let (text, _) = said(&["ls", "--runing"])?;
    assert!(text.contains("--running"), "{text}");
    Ok(())
}

#[test]
fn lists_come_in_machine_readable_forms() -> std::io::Result<()> {
    let place = Place::new("forms")?;
    place.container("a", "lxc.group = x\n")?;
    let rlxc = Path::new(env!("CARGO_BIN_EXE_rlxc"));
    let said = |form: &str| {
        let output = place.run(rlxc, &["ls", "-F", "NAME,GROUPS", "--format", form]);
        output
            .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
            .unwrap_or_default()
    };
    assert!(said("json").contains("\"name\": \"a\""), "{}", said("json"));
    assert_eq!(said("csv"), "groups,name\nx,a\n");
    assert_eq!(said("yaml"), "- groups:\n    - \"x\"\n  name: \"a\"\n");
    Ok(())
}
