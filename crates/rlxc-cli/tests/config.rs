//! `rlxc config` and `rlxc update-config` as a user meets them; the samples and the templates' output.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// An lxcpath that goes with the test.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> std::io::Result<Self> {
        let dir = std::env::temp_dir().join(format!("rlxc-cfg-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }

    /// Makes the container `name` with this configuration, and gives the file's path.
    fn container(&self, name: &str, text: &str) -> std::io::Result<PathBuf> {
        std::fs::create_dir_all(self.0.join(name))?;
        let file = self.0.join(name).join("config");
        std::fs::write(&file, text)?;
        Ok(file)
    }

    fn rlxc(&self, words: &[&str]) -> std::io::Result<Output> {
        Command::new(env!("CARGO_BIN_EXE_rlxc"))
            .args(words)
            .arg("-P")
            .arg(&self.0)
            .output()
    }

    fn said(&self, words: &[&str]) -> std::io::Result<(Option<i32>, String, String)> {
        let output = self.rlxc(words)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        ))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const TEN_MISTAKES: &str = "\
lxc.mount.entyr = a b none bind
lxc.tty.max = four
lxc.uts.name
lcx.uts.name = web
lxc.console.size = 1M
lxc.pty.max = 4 # ptys
lxc.utsname = web
lxc.mount.entry = /etc ../etc none bind
lxc.net.0.type = veht
lxc.idmap = u 0 100000 x
";

#[test]
fn ten_mistakes_are_told_in_one_pass_each_with_its_place() -> std::io::Result<()> {
    let place = Place::new("ten")?;
    let file = place.container("bad", TEN_MISTAKES)?;
    let (status, out, _) = place.said(&["config", "check", "bad"])?;
    assert_eq!(status, Some(1));
    for line in 1..=10 {
        let at = format!("--> {}:{line}:", file.display());
        assert!(out.contains(&at), "{at} in {out}");
    }
    assert!(out.contains("did you mean lxc.mount.entry?"), "{out}");
    assert!(out.contains("| lxc.tty.max = four\n"), "{out}");
    assert!(out.contains("^^^^ expected a number"), "{out}");

    let (status, json, _) = place.said(&["config", "check", "--format", "json", "bad"])?;
    assert_eq!(status, Some(1));
    let found: Vec<Value> = serde_json::from_str(&json)?;
    let mut lines: Vec<u64> = found.iter().filter_map(|d| d["line"].as_u64()).collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines, (1..=10).collect::<Vec<_>>());
    let keys = ["file", "column", "length", "code", "message", "severity"];
    assert!(found.iter().all(|d| keys.iter().all(|k| !d[k].is_null())));
    Ok(())
}

#[test]
fn findings_reach_through_includes_and_warnings_fail_only_when_asked() -> std::io::Result<()> {
    let place = Place::new("warn")?;
    let inner = place.container("inner", "lxc.console.size = 1M\n")?;
    let text = format!("lxc.include = {}\n", inner.display());
    let outer = place.container("outer", &text)?;
    let path = outer.to_string_lossy().into_owned();
    let (status, out, _) = place.said(&["config", "check", &path])?;
    assert_eq!(status, Some(0), "{out}");
    assert!(out.contains(&format!("{}:1:", inner.display())), "{out}");
    assert!(out.ends_with(": 1 warning\n"), "{out}");
    let (status, ..) = place.said(&["config", "check", "--strict", "outer"])?;
    assert_eq!(status, Some(1));
    place.container("clean", "lxc.uts.name = clean\n")?;
    let (status, out, _) = place.said(&["config", "check", "--strict", "clean"])?;
    assert_eq!((status, out.ends_with("config: ok\n")), (Some(0), true));
    let (status, out, _) = place.said(&["config", "check", "missing"])?;
    assert!(status == Some(1) && out.contains("cannot read"), "{out}");
    Ok(())
}

#[test]
fn a_start_with_legacy_keys_names_the_command_that_converts_them() -> std::io::Result<()> {
    let place = Place::new("legacy")?;
    let old = "lxc.utsname = old\nlxc.network.type = empty\nlxc.tty = 2\n";
    let file = place.container("old", old)?;
    let (status, _, err) = place.said(&["start", "old"])?;
    assert_eq!(status, Some(1));
    let command = format!("lxc-update-config -c {}", file.display());
    assert!(
        err.contains("config:1:1") && err.contains(&command),
        "{err}"
    );

    let (status, ..) = place.said(&["update-config", "old"])?;
    assert_eq!(status, Some(0));
    let backup = file.with_file_name("config.backup");
    assert_eq!(std::fs::read_to_string(backup)?, old);
    let new = "lxc.uts.name = old\nlxc.net.0.type = empty\nlxc.tty.max = 2\n";
    assert_eq!(std::fs::read_to_string(&file)?, new);
    let (status, _, err) = place.said(&["start", "--dry-run", "old"])?;
    assert_eq!(status, Some(0), "{err}");
    Ok(())
}

#[test]
fn a_strict_start_refuses_what_the_check_finds() -> std::io::Result<()> {
    let place = Place::new("strict")?;
    place.container("c", "lxc.net.0.type = empty\nlxc.console.size = 1M\n")?;
    let (status, _, err) = place.said(&["start", "--dry-run", "c"])?;
    assert_eq!(status, Some(0), "{err}");
    let (status, _, err) = place.said(&["start", "--dry-run", "--strict", "c"])?;
    assert!(
        status == Some(1) && err.contains("one-letter-size"),
        "{err}"
    );
    Ok(())
}

#[test]
fn what_is_shown_names_its_origin_and_can_be_read_again() -> std::io::Result<()> {
    let place = Place::new("show")?;
    let inner = place.container("inner", "lxc.tty.max = 3\nlxc.mount.auto = cgroup2\n")?;
    let text = format!(
        "lxc.include = {}\nlxc.rootfs.path = dir:/r\nlxc.hook.start = /a\nlxc.hook.start = /b\n",
        inner.display()
    );
    let file = place.container("c", &text)?;
    let (_, out, _) = place.said(&["config", "show", "c"])?;
    for (origin, line) in [
        (format!("{}:1", inner.display()), "lxc.tty.max = 3"),
        (format!("{}:2", file.display()), "lxc.rootfs.path = dir:/r"),
        (format!("{}:4", file.display()), "lxc.hook.start = /b"),
    ] {
        assert!(out.contains(&format!("# {origin}\n{line}\n")), "{out}");
    }
    place.container("copy", &out)?;
    let values = |text: &str| -> Vec<String> {
        let keys = text.lines().filter(|line| !line.starts_with('#'));
        keys.map(str::to_owned).collect()
    };
    let (_, again, _) = place.said(&["config", "show", "copy"])?;
    assert_eq!(values(&again), values(&out));

    let (_, json, _) = place.said(&["config", "show", "--format", "json", "c"])?;
    let list: Vec<Value> = serde_json::from_str(&json)?;
    let tty = list.iter().find(|e| e["key"] == "lxc.tty.max");
    let origin = tty.map(|e| e["origins"][0]["line"].clone());
    assert_eq!(origin, Some(Value::from(1)));
    Ok(())
}

#[test]
fn every_key_is_listed_and_explained() -> std::io::Result<()> {
    let place = Place::new("explain")?;
    let (_, json, _) = place.said(&["config", "keys", "--format", "json"])?;
    let keys: Vec<Value> = serde_json::from_str(&json)?;
    assert!(keys.len() > 110, "{}", keys.len());
    let names: Vec<&str> = keys.iter().filter_map(|k| k["key"].as_str()).collect();
    let asked: Vec<String> = names
        .iter()
        .map(|name| name.replace(".N.", ".0."))
        .map(|name| match name.ends_with('.') {
            true => format!("{name}net"),
            false => name,
        })
        .collect();
    let mut words = vec!["config", "explain", "--format", "json"];
    words.extend(asked.iter().map(String::as_str));
    let (status, json, err) = place.said(&words)?;
    assert_eq!(status, Some(0), "{err}");
    let told: Vec<Value> = serde_json::from_str(&json)?;
    assert_eq!(told.len(), keys.len());
    for (key, told) in keys.iter().zip(&told) {
        assert_eq!(key["meaning"], told["meaning"], "{key}");
        assert_ne!(key["acted_on_by"], "nothing", "{key}");
    }
    let (status, _, err) = place.said(&["config", "explain", "lxc.uts.nam"])?;
    assert!(
        status == Some(1) && err.contains("did you mean lxc.uts.name?"),
        "{err}"
    );
    Ok(())
}

#[test]
fn every_sample_can_be_planned() -> std::io::Result<()> {
    let place = Place::new("samples")?;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config-samples");
    let mut count = 0;
    for entry in std::fs::read_dir(samples)? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "conf") {
            continue;
        }
        count += 1;
        let file = path.to_string_lossy().into_owned();
        let words = ["start", "--dry-run", "--rcfile", &file, "-n", "sample"];
        let (status, out, err) = place.said(&words)?;
        assert_eq!(status, Some(0), "{file}: {err}");
        assert!(out.contains("init  "), "{file}: {out}");
        let (status, json, err) = place.said(&[&words[..], &["--format", "json"]].concat())?;
        assert_eq!(status, Some(0), "{file}: {err}");
        assert!(serde_json::from_str::<Value>(&json)?.is_object());
    }
    assert!(count >= 13, "{count}");
    Ok(())
}

/// The lines of configuration that a template's script writes, with likely values for its variables.
fn written_by(script: &str) -> String {
    let known = [
        ("arch", "x86_64"),
        ("basearch", "x86_64"),
        ("tty", "4"),
        ("num_tty", "4"),
        ("auto_dev", "1"),
        ("lxc_network_type", "veth"),
        ("lxc_network_link", "lxcbr0"),
        ("bridge", "lxcbr0"),
        ("ipv4", "10.0.3.2/24"),
        ("ipv6", "fc00::2/64"),
        ("gw", "10.0.3.1"),
        ("gw6", "fc00::1"),
        ("mapped_uid", "100000"),
        ("mapped_gid", "100000"),
        ("settings", "common"),
        ("LXC_TEMPLATE_CONFIG", "/usr/share/lxc/config"),
        ("lxc_template_config", "/usr/share/lxc/config"),
    ];
    let mut text = String::new();
    for line in script.lines().map(str::trim) {
        if !line.starts_with("lxc.") || !line.contains('=') || line.contains("$(") {
            continue;
        }
        // The end of a shell string that the line closes.
        let odd = line.matches('"').count() % 2 == 1;
        let mut line = line.trim_end_matches(['"', '\''].as_slice()).to_owned();
        if !odd && line.contains('"') {
            line.push('"');
        }
        while let Some(at) = line.find('$') {
            let rest = &line[at + 1..];
            let braced = rest.starts_with('{');
            let end = match braced {
                true => rest.find('}').map_or(rest.len(), |end| end + 1),
                false => rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(rest.len()),
            };
            let name: String = rest[..end]
                .trim_matches(['{', '}'].as_slice())
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            let value = known.iter().find(|(known, _)| *known == name);
            line.replace_range(at..=at + end, value.map_or("box", |(_, value)| value));
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[test]
fn the_configuration_in_the_templates_is_clean() -> std::io::Result<()> {
    let place = Place::new("templates")?;
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates");
    let mut checked = 0;
    for dir in [ours.as_path(), Path::new("/usr/share/lxc/templates")] {
        for entry in std::fs::read_dir(dir).into_iter().flatten() {
            let template = entry?.path();
            let Ok(script) = std::fs::read_to_string(&template) else {
                continue;
            };
            let text = written_by(&script);
            if text.is_empty() {
                continue;
            }
            place.container("t", &text)?;
            let (status, out, _) = place.said(&["config", "check", "--no-host", "t"])?;
            assert_eq!(status, Some(0), "{}:\n{text}\n{out}", template.display());
            checked += 1;
        }
    }
    assert!(checked > 0);
    Ok(())
}

#[test]
fn the_output_of_the_busybox_templates_is_clean() -> std::io::Result<()> {
    if !nix::unistd::geteuid().is_root() || !Path::new("/bin/busybox").exists() {
        println!("skipped: needs root and busybox-static");
        return Ok(());
    }
    let place = Place::new("busybox")?;
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates/lxc-busybox");
    for (name, template) in [
        ("ours", ours.as_path()),
        ("debian", Path::new("/usr/share/lxc/templates/lxc-busybox")),
    ] {
        if !template.exists() {
            println!("skipped: {} is not installed", template.display());
            continue;
        }
        let rootfs = place.0.join(name).join("rootfs");
        place.container(name, "lxc.net.0.type = empty\n")?;
        std::fs::create_dir_all(&rootfs)?;
        let made = Command::new(template)
            .arg(format!("--name={name}"))
            .arg(format!("--path={}", place.0.join(name).display()))
            .arg(format!("--rootfs={}", rootfs.display()))
            .output()?;
        assert!(made.status.success(), "{made:?}");
        let (status, out, _) = place.said(&["config", "check", name])?;
        assert_eq!((status, out.contains("warning")), (Some(0), false), "{out}");
    }
    Ok(())
}

/// As [`Place::said`] where the host has cgroup v2 alone, or looks like it in a mount namespace.
fn said_on_v2(place: &Place, words: &[&str]) -> std::io::Result<(Option<i32>, String, String)> {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return place.said(words);
    }
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c"])
        .arg("mount -t cgroup2 none /sys/fs/cgroup || exit 77; exec \"$0\" \"$@\"")
        .arg(env!("CARGO_BIN_EXE_rlxc"))
        .args(words)
        .arg("-P")
        .arg(&place.0)
        .output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    ))
}

#[test]
fn v1_limits_on_a_v2_host_are_told_at_the_start_and_refused_when_asked() -> std::io::Result<()> {
    let place = Place::new("v1")?;
    let text = "lxc.net.0.type = empty\nlxc.cgroup.pids.max = 5\n";
    let file = place.container("c", text)?;
    let (status, _, err) = said_on_v2(&place, &["start", "--dry-run", "c"])?;
    if status == Some(77) || err.contains("unshare:") {
        println!("skipped: cgroup v2 alone, or root to mount it: {err}");
        return Ok(());
    }
    let at = format!("{}:2:1: lxc.cgroup.pids.max: ", file.display());
    assert!(status == Some(0) && err.contains(&at), "{err}");
    let (status, _, err) = said_on_v2(&place, &["start", "--dry-run", "--strict", "c"])?;
    assert!(
        status == Some(1) && err.contains("error[cgroup-v1]"),
        "{err}"
    );
    let (status, out, _) = said_on_v2(&place, &["config", "check", "c"])?;
    assert!(
        status == Some(0) && out.contains("warning[cgroup-v1]"),
        "{out}"
    );
    let (status, ..) = said_on_v2(&place, &["config", "check", "--strict", "c"])?;
    assert_eq!(status, Some(1));
    Ok(())
}
