//! Debian's liblxc 5.0.2 (through python3-lxc) and this crate get the same thousands of sequences of
//! load, set, get, clear, get_keys and save; answers and saved files must agree. What LXC 7.0.0 (or this
//! crate on purpose) does otherwise is named in `explained.rs`.

#![allow(clippy::unwrap_used)]

mod c_interface;
mod explained;
mod generate;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rlxc_config::Document;
use serde_json::{Value, json};

/// One call.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub(crate) enum Step {
    /// A file with this text is loaded.
    Load(String),
    Set(String, String),
    Get(String),
    Clear(String),
    Keys(String),
    Save,
}

struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    dir: PathBuf,
}

impl Peer {
    fn start(dir: &Path) -> Option<Self> {
        let python = "/usr/bin/python3";
        let known = Command::new(python)
            .args(["-c", "import _lxc"])
            .stderr(Stdio::null())
            .status();
        if !known.is_ok_and(|status| status.success()) {
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/driver.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(dir)
            .env("RLXC_DIFF", "from the caller")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let (input, output) = (child.stdin.take()?, child.stdout.take()?);
        Some(Self {
            child,
            input,
            output: BufReader::new(output),
            dir: dir.to_owned(),
        })
    }

    fn run(&mut self, steps: &[Step]) -> Vec<Value> {
        let calls: Vec<Value> = steps
            .iter()
            .enumerate()
            .map(|(at, step)| match step {
                Step::Load(text) => {
                    let file = self.dir.join(format!("load{at}"));
                    std::fs::write(&file, text).unwrap();
                    json!(["load", file])
                }
                Step::Set(key, value) => json!(["set", key, value]),
                Step::Get(key) => json!(["get", key]),
                Step::Clear(key) => json!(["clear", key]),
                Step::Keys(prefix) => json!(["keys", prefix]),
                Step::Save => json!(["save", self.dir.join("theirs")]),
            })
            .collect();
        writeln!(self.input, "{}", Value::from(calls)).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str::<Vec<Value>>(&line)
            .unwrap_or_else(|_| panic!("the driver died at {steps:#?}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ours(document: &mut Document, step: &Step, at: usize, dir: &Path) -> Value {
    match step {
        Step::Load(_) => document
            .load_file(&dir.join(format!("load{at}")))
            .is_ok()
            .into(),
        Step::Set(key, value) => document.set(key, value).is_ok().into(),
        Step::Clear(key) => document.clear(key).is_ok().into(),
        Step::Get(key) => document.get(key).map_or(Value::Null, Value::from),
        Step::Keys(prefix) => {
            let prefix = (!prefix.is_empty()).then_some(prefix.as_str());
            document.keys(prefix).map_or(Value::Null, |keys| {
                keys.iter()
                    .map(|k| format!("{k}\n"))
                    .collect::<String>()
                    .into()
            })
        }
        Step::Save => {
            let file = dir.join("ours");
            document.save(&file).unwrap();
            std::fs::read(&file)
                .unwrap()
                .into_iter()
                .map(char::from)
                .collect::<String>()
                .into()
        }
    }
}

/// Random digits of hardware addresses differ by nature.
fn without_random_digits(value: &Value) -> Value {
    let Some(text) = value.as_str() else {
        return value.clone();
    };
    let hide = |line: &str| match line.find("hwaddr") {
        Some(at) => {
            let (head, tail) = line.split_at(at + 6);
            let tail: String = tail
                .chars()
                .map(|c| if c.is_ascii_hexdigit() { 'h' } else { c })
                .collect();
            format!("{head}{tail}")
        }
        None => line.to_owned(),
    };
    text.split('\n')
        .map(hide)
        .collect::<Vec<_>>()
        .join("\n")
        .into()
}

fn same(step: &Step, a: &Value, b: &Value) -> bool {
    if let Step::Get(key) = step
        && key.ends_with("hwaddr")
    {
        return a.as_str().map(str::len) == b.as_str().map(str::len);
    }
    without_random_digits(a) == without_random_digits(b)
}

enum Outcome {
    Agree,
    Explained,
    Differ(usize, Value, Value),
}

fn compare(peer: &mut Peer, steps: &[Step], names: &mut BTreeMap<&'static str, usize>) -> Outcome {
    let theirs = peer.run(steps);
    let mut document = Document::new();
    let dir = peer.dir.clone();
    let mut before = Vec::new();
    for (at, (step, theirs)) in steps.iter().zip(theirs).enumerate() {
        let ours = ours(&mut document, step, at, &dir);
        if same(step, &ours, &theirs) {
            before.push((step.clone(), ours));
            continue;
        }
        match explained::explain(&before, step, &ours, &theirs) {
            // Only this answer differs: the rest is still comparable.
            Some((name, explained::Then::GoOn)) => {
                *names.entry(name).or_default() += 1;
                before.push((step.clone(), ours));
            }
            Some((name, explained::Then::Stop)) => {
                *names.entry(name).or_default() += 1;
                return Outcome::Explained;
            }
            None => return Outcome::Differ(at, ours, theirs),
        }
    }
    Outcome::Agree
}

/// Leaves out steps, and lines of loaded files, as long as the difference stays.
fn shrink(differs: &mut impl FnMut(&[Step]) -> bool, mut steps: Vec<Step>) -> Vec<Step> {
    loop {
        let mut smaller: Vec<Vec<Step>> = Vec::new();
        for at in (0..steps.len()).rev() {
            let mut fewer = steps.clone();
            if let Step::Load(text) = &steps[at] {
                let lines: Vec<&str> = text.split_inclusive('\n').collect();
                for line in 0..lines.len() {
                    let mut kept = lines.clone();
                    kept.remove(line);
                    fewer[at] = Step::Load(kept.concat());
                    smaller.push(fewer.clone());
                }
            }
            // Without any call before it, LXC has no configuration to ask.
            if at > 0 {
                fewer.remove(at);
                smaller.push(fewer);
            }
        }
        match smaller.into_iter().find(|fewer| differs(fewer)) {
            Some(fewer) => steps = fewer,
            None => return steps,
        }
    }
}

/// How many sequences, and from which seed: more on request.
fn asked_for(sequences: usize, seed: u64) -> (usize, u64) {
    let asked = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let count = asked("RLXC_DIFF_SEQUENCES").and_then(|n| usize::try_from(n).ok());
    (
        count.unwrap_or(sequences),
        asked("RLXC_DIFF_SEED").unwrap_or(seed),
    )
}

/// A directory that goes with the test, however it ends.
struct Directory(PathBuf);

impl std::ops::Deref for Directory {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn directory(name: &str) -> Directory {
    let shm = Path::new("/dev/shm");
    let base = match shm.is_dir() {
        true => shm.to_owned(),
        false => std::env::temp_dir(),
    };
    let dir = base.join(format!("rlxc-cfg-{name}-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("inc.d")).unwrap();
    std::fs::create_dir_all(dir.join("lxcpath")).unwrap();
    std::fs::write(
        dir.join("one.conf"),
        "# included\nlxc.tty.max = 3\nlxc.mount.entry = a b c\n",
    )
    .unwrap();
    std::fs::write(dir.join("bad.conf"), "lxc.pty.max = 3\nlxc.nope = 1\n").unwrap();
    std::fs::write(
        dir.join("inc.d/a.conf"),
        "lxc.start.delay = 7\nlxc.include = ../one.conf\n",
    )
    .unwrap();
    std::fs::write(dir.join("inc.d/not.txt"), "lxc.nope = 1\n").unwrap();
    Directory(dir)
}

/// Whole configurations as other programs write them are read, answered for and saved alike.
#[test]
fn configurations_of_other_programs_read_as_liblxc_reads_them() {
    let dir = directory("consumers");
    let Some(mut peer) = Peer::start(&dir) else {
        println!("skipped: python3-lxc is not installed");
        return;
    };
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers");
    let mut count = 0;
    for entry in std::fs::read_dir(files).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        // 5.0.2 lacks these keys.
        let lines = text.split_inclusive('\n');
        let text: String = lines
            .filter(|line| !line.starts_with("lxc.environment.runtime"))
            .collect();
        // liblxc opens the log as it reads its name: here, where anybody may.
        let here = format!("lxc.log.file = {}/", dir.display());
        let text = text.replace("lxc.log.file = /", &here);
        let mut document = Document::new();
        document.load_text(&path, text.as_bytes()).unwrap();
        let mut steps = vec![Step::Load(text), Step::Save];
        let set = document.effective(false).into_iter().map(|e| e.key);
        let listed = document.keys(None).unwrap().into_iter();
        let known = set
            .chain(listed)
            .filter(|key| !key.starts_with("lxc.environment."));
        steps.extend(known.map(Step::Get));
        steps.extend([0, 1].map(|n| Step::Keys(format!("lxc.net.{n}"))));
        let mut names = BTreeMap::new();
        if let Outcome::Differ(at, ours, theirs) = compare(&mut peer, &steps, &mut names) {
            panic!(
                "{}: {:?}\n  ours {ours}\n  theirs {theirs}",
                path.display(),
                steps[at]
            );
        }
        println!("{}: explained: {names:?}", path.display());
        count += 1;
    }
    drop(peer);
    assert_eq!(count, 3);
}

/// lxc.conf of an ordinary user, in forms good and bad, is read as liblxc reads it.
#[test]
fn the_global_items_are_those_of_liblxc() {
    const PEER: &str = "
import _lxc, json, sys
items = []
for key in sys.argv[1:]:
    try:
        items.append(_lxc.get_global_config_item(key))
    except Exception:
        items.append(None)
print(json.dumps(items))
";
    const TEXTS: [&str; 20] = [
        "",
        "lxc.lxcpath = /srv//\n",
        "lxc.lxcpath=/a\nlxc.lxcpath=/b\n",
        "  lxc.lxcpath\t=\t /x \n",
        "lxc.lxcpath = \n",
        "lxc.lxcpath =",
        "lxc.lxcpath = /x\r\n",
        "#lxc.lxcpath = /x\n #lxc.lxcpath = /y\n",
        " # lxc.lxcpath = /y\n",
        "xlxc.lxcpath = /x\n",
        "lxc.lxcpathx = /x\n",
        "lxc.lxcpath /x\n",
        "lxc.lxcpath = /x",
        "lxc.bdev.lvm.vg = a\nlxc.bdev.lvm.thin_pool = b\nlxc.bdev.zfs.root = c/d\n\
         lxc.bdev.rbd.rbdpool = e\nlxc.cgroup.pattern = lxc/%n\nlxc.cgroup.use = memory,cpu\n\
         lxc.default_config = /d\n",
        "foo lxc.lxcpath = /x\n",
        "lxc.bdev.zfs.root = \"q\"\n",
        "lxc.bdev.zfs.root = a = b\n",
        "lxc.bdev.zfs.root == b\n",
        "lxc.bdev.zfs.root=\n",
        "lxc.cgroup.use = a # b\n\n\nlxc.cgroup.pattern = \t x\n",
    ];
    // LXC 5.0.2 never reads the value of lxc.bdev.rbd.rbduser.
    let keys = rlxc_config::GLOBAL_KEYS;
    let keys: Vec<&str> = keys
        .into_iter()
        .filter(|k| !k.ends_with("rbduser"))
        .collect();
    let home = directory("home");
    std::fs::create_dir_all(home.join(".config/lxc")).unwrap();
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
    let mut differences = Vec::new();
    for text in TEXTS {
        std::fs::write(home.join(".config/lxc/lxc.conf"), text).unwrap();
        let mut command = Command::new(if root { "setpriv" } else { "env" });
        if root {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        command.args(["/usr/bin/python3", "-c", PEER]).args(&keys);
        let said = command.env("HOME", &*home).output();
        let theirs = said
            .ok()
            .and_then(|o| serde_json::from_slice::<Value>(&o.stdout).ok());
        let Some(theirs) = theirs else {
            println!("skipped: python3-lxc or setpriv is not installed");
            break;
        };
        let global = rlxc_config::GlobalConfig::load_for(Some(home.to_path_buf()));
        let ours: Vec<_> = keys.iter().map(|key| global.get(key).unwrap()).collect();
        if json!(ours) != theirs {
            differences.push(format!("{text:?}: ours {ours:?}, theirs {theirs}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn answers_and_saved_files_agree_with_liblxc_5_0_2() {
    let dir = directory("diff");
    let Some(mut peer) = Peer::start(&dir) else {
        println!("skipped: python3-lxc is not installed");
        return;
    };
    // The caller's environment is the same on both sides; relative includes start from one place.
    std::env::set_current_dir(&*dir).unwrap();
    let (sequences, seed) = asked_for(4000, 0x6c78_6373);
    let mut random = generate::Random::new(seed);
    let (mut names, mut reports, mut seen) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
    let mut found = generate::found().into_iter();
    for _ in 0..sequences {
        let steps = found
            .next()
            .unwrap_or_else(|| generate::sequence(&mut random));
        if let Outcome::Differ(..) = compare(&mut peer, &steps, &mut names) {
            let mut differs = |steps: &[Step]| {
                matches!(
                    compare(&mut peer, steps, &mut BTreeMap::new()),
                    Outcome::Differ(..)
                )
            };
            let minimal = shrink(&mut differs, steps);
            let Outcome::Differ(at, ours, theirs) =
                compare(&mut peer, &minimal, &mut BTreeMap::new())
            else {
                continue;
            };
            let last = minimal[at].clone();
            if seen.insert(format!("{:?}", last).split('"').nth(1).map(str::to_owned))
                || matches!(last, Step::Save)
            {
                reports.push(format!(
                    "{minimal:?}\n  step {at}: ours {ours}\n         theirs {theirs}"
                ));
            }
            if reports.len() >= 25 {
                break;
            }
        }
    }
    println!("{sequences} sequences; explained differences: {names:#?}");
    drop(peer);
    assert!(
        reports.is_empty(),
        "unexplained differences:\n{}",
        reports.join("\n")
    );
}
