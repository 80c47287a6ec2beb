//! One C program makes the same calls on Debian's liblxc and on this project's: lengths, error numbers
//! and what is left in a buffer too small are compared beside the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::{Outcome, Step, directory, explained, generate, same};

const DEBIAN: &str = "/usr/lib/x86_64-linux-gnu/liblxc.so.1";

/// The program on one of the libraries.
struct Driver {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).unwrap();
        u8::from_str_radix(pair, 16).unwrap()
    };
    digits.chunks(2).map(byte).collect()
}

impl Driver {
    fn start(program: &Path, libraries: &Path, dir: &Path) -> Self {
        let mut child = Command::new(program)
            .current_dir(dir)
            .env("LD_LIBRARY_PATH", libraries)
            .env("RLXC_DIFF", "from the caller")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let output = BufReader::new(output);
        Self {
            child,
            input,
            output,
        }
    }

    /// The answer to one call; `None` when the program has died of it.
    fn call(&mut self, words: &str) -> Option<String> {
        writeln!(self.input, "{words}").ok()?;
        let mut answer = String::new();
        match self.output.read_line(&mut answer) {
            Ok(length) if length > 0 => Some(answer.trim_end().to_owned()),
            _ => None,
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The library of this workspace, under the name by which programs know it.
fn ours(dir: &Path) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let built = own.parent()?.parent()?.join("liblxc.so");
    let place = dir.join("ours");
    std::fs::create_dir_all(&place).ok()?;
    std::fs::copy(built, place.join("liblxc.so.1")).ok()?;
    Some(place)
}

fn compiled(dir: &Path) -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = dir.join("driver");
    let gcc = Command::new("gcc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg("-I")
        .arg(here.join("../liblxc/include"))
        .arg(here.join("tests/differential/driver.c"))
        .arg(DEBIAN)
        .output()
        .ok()?;
    assert!(
        gcc.status.success(),
        "{}",
        String::from_utf8_lossy(&gcc.stderr)
    );
    Some(program)
}

/// What a call says beside its answer: the number of a getter, and what a small buffer holds.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    answer: Value,
    number: i64,
    cut: String,
}

struct Side {
    driver: Driver,
    program: PathBuf,
    libraries: PathBuf,
    dir: PathBuf,
    sequences: usize,
    name: &'static str,
}

impl Side {
    fn new(name: &'static str, program: &Path, libraries: &Path, dir: &Path) -> Self {
        Self {
            driver: Driver::start(program, libraries, dir),
            program: program.to_owned(),
            libraries: libraries.to_owned(),
            dir: dir.to_owned(),
            sequences: 0,
            name,
        }
    }

    fn begin(&mut self) -> Option<()> {
        self.sequences += 1;
        let name = format!("{}{}", self.name, self.sequences);
        let lxcpath = self.dir.join("lxcpath");
        std::fs::create_dir_all(lxcpath.join(&name)).unwrap();
        let new = format!("new {} {}", hex(&name), hex(&lxcpath.to_string_lossy()));
        (self.driver.call(&new)? == "1").then_some(())
    }

    fn restart(&mut self) {
        self.driver = Driver::start(&self.program, &self.libraries, &self.dir);
    }

    /// One step; `size` is what a buffer that may be too small has.
    fn step(&mut self, step: &Step, at: usize, size: usize) -> Option<Said> {
        let said = |answer: bool| Said {
            answer: answer.into(),
            number: 0,
            cut: String::new(),
        };
        let driver = &mut self.driver;
        Some(match step {
            Step::Load(_) => {
                let file = self.dir.join(format!("load{at}"));
                said(driver.call(&format!("load {}", hex(&file.to_string_lossy())))? == "1")
            }
            Step::Set(key, value) => {
                said(driver.call(&format!("set {} {}", hex(key), hex(value)))? == "1")
            }
            Step::Clear(key) => said(driver.call(&format!("clear {}", hex(key)))? == "1"),
            Step::Get(key) => asked(driver, "get", &hex(key), size)?,
            Step::Keys(prefix) => {
                let prefix = match prefix.as_str() {
                    "" => "-".to_owned(),
                    prefix => hex(prefix),
                };
                asked(driver, "keys", &prefix, size)?
            }
            Step::Save => {
                let file = self.dir.join(format!("saved-{}", self.name));
                let call = format!("save {}", hex(&file.to_string_lossy()));
                if driver.call(&call)? != "1" {
                    return Some(said(false));
                }
                let bytes = std::fs::read(&file).unwrap();
                let text: String = bytes.into_iter().map(char::from).collect();
                Said {
                    answer: text.into(),
                    ..said(true)
                }
            }
        })
    }
}

/// A getter: its number, its answer in a buffer that is large enough, and in one of `size` bytes.
fn asked(driver: &mut Driver, call: &str, key: &str, size: usize) -> Option<Said> {
    // The number, and what is in the buffer.
    let mut once = |size: i64| {
        let answer = driver.call(&format!("{call} {key} {size}"))?;
        let (number, text) = answer.split_once(' ').unwrap_or((&answer, ""));
        Some((number.parse::<i64>().unwrap(), text.to_owned()))
    };
    let (number, _) = once(0)?;
    let (again, whole) = match number {
        ..0 => (number, String::new()),
        _ => once(number + 1)?,
    };
    let (small, cut) = once(i64::try_from(size).unwrap())?;
    assert_eq!((number, number), (again, small), "{key}: by size");
    Some(Said {
        answer: match number {
            ..0 => Value::Null,
            _ => String::from_utf8_lossy(&unhex(&whole)).into(),
        },
        number,
        cut: match cut.as_str() {
            "overrun" => cut,
            cut => unhex(cut).into_iter().map(char::from).collect(),
        },
    })
}

/// Both refuse: 5.0.2 answers with the error of whichever call failed, 7.0.0 with -EINVAL for what is no
/// key and -ENOENT for a network that is not there.
fn both_refuse(ours: &Said, theirs: &Said) -> bool {
    ours.number < 0 && theirs.number < 0
}

fn compare(
    sides: &mut [Side; 2],
    steps: &[Step],
    names: &mut BTreeMap<&'static str, usize>,
) -> Outcome {
    for side in sides.iter_mut() {
        if side.begin().is_none() {
            side.restart();
            side.begin().unwrap();
        }
    }
    let dir = sides[0].dir.clone();
    let mut before = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        if let Step::Load(text) = step {
            std::fs::write(dir.join(format!("load{at}")), text).unwrap();
        }
        let size = 1 + (at * 7) % 40;
        let [ours, theirs] = sides;
        let ours = ours.step(step, at, size);
        let Some(theirs) = theirs.step(step, at, size) else {
            theirs.restart();
            *names.entry("5.0.2 dies of it").or_default() += 1;
            return Outcome::Explained;
        };
        let Some(ours) = ours else {
            sides[0].restart();
            return Outcome::Differ(at, "this library dies of it".into(), theirs.answer);
        };
        if same(step, &ours.answer, &theirs.answer) {
            let random = matches!(step, Step::Get(key) if key.ends_with("hwaddr"));
            if ours.cut != theirs.cut && !random {
                return Outcome::Differ(at, ours.cut.into(), theirs.cut.into());
            }
            if ours.number != theirs.number && !both_refuse(&ours, &theirs) {
                return Outcome::Differ(at, ours.number.into(), theirs.number.into());
            }
            before.push((step.clone(), ours.answer));
            continue;
        }
        match explained::explain(&before, step, &ours.answer, &theirs.answer) {
            Some((name, explained::Then::GoOn)) => {
                *names.entry(name).or_default() += 1;
                before.push((step.clone(), ours.answer));
            }
            Some((name, explained::Then::Stop)) => {
                *names.entry(name).or_default() += 1;
                return Outcome::Explained;
            }
            None => return Outcome::Differ(at, ours.answer, theirs.answer),
        }
    }
    Outcome::Agree
}

#[test]
fn the_c_interface_answers_as_that_of_liblxc_5_0_2() {
    let dir = directory("c");
    if !Path::new(DEBIAN).exists() {
        println!("skipped: {DEBIAN} (package liblxc1)");
        return;
    }
    let Some(libraries) = ours(&dir) else {
        println!("skipped: rlxc's programs are not built");
        return;
    };
    let Some(program) = compiled(&dir) else {
        println!("skipped: gcc is not installed");
        return;
    };
    let debian = Path::new(DEBIAN).parent().unwrap();
    let mut sides = [
        Side::new("ours", &program, &libraries, &dir),
        Side::new("debian", &program, debian, &dir),
    ];
    let (sequences, seed) = crate::asked_for(1500, 0x6c78_6363);
    let mut random = generate::Random::new(seed);
    let (mut names, mut reports, mut seen) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
    let mut found = generate::found().into_iter();
    for _ in 0..sequences {
        let steps = found
            .next()
            .unwrap_or_else(|| generate::sequence(&mut random));
        if let Outcome::Differ(at, ours, theirs) = compare(&mut sides, &steps, &mut names) {
            let mut differs = |steps: &[Step]| {
                matches!(
                    compare(&mut sides, steps, &mut BTreeMap::new()),
                    Outcome::Differ(..)
                )
            };
            let minimal = crate::shrink(&mut differs, steps);
            let word = format!("{:?}", minimal.last())
                .split('"')
                .nth(1)
                .map(str::to_owned);
            if seen.insert(word) {
                reports.push(format!(
                    "{minimal:?}\n  step {at} of the whole: ours {ours}\n         theirs {theirs}"
                ));
            }
            if reports.len() >= 25 {
                break;
            }
        }
    }
    println!("{sequences} sequences; explained differences: {names:#?}");
    drop(sides);
    assert!(
        reports.is_empty(),
        "unexplained differences:\n{}",
        reports.join("\n")
    );
}
