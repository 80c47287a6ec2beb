//! The templates, called by both programs that call templates, for root and for a user with
//! subordinate ids: what they make is a container that runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use rlxc_tests::{Actor, Place, bin_dir, ok, peer, repository, root_for, run, said, skipped};

/// Makes a small system of busybox as an image server's directory, as an OCI layout, and as two
/// files, below the directory it runs in.
const IMAGES: &str = r#"set -e
mkdir -p root/bin root/sbin root/etc root/dev root/proc root/sys root/tmp root/root root/var root/home
cp /bin/busybox root/bin/busybox
for name in sh cat id hostname sleep test echo; do ln -s busybox root/bin/$name; done
ln -s ../bin/busybox root/sbin/init
printf 'root:x:0:0::/root:/bin/sh\nweb:x:33:44::/home:/bin/sh\n' > root/etc/passwd
printf '::sysinit:/bin/true\n' > root/etc/inittab
echo owned > root/home/owned
chown 1000:1001 root/home/owned
mknod root/dev/null c 1 3
mkdir -p site/images site/streams/v1 meta layout/blobs/sha256
tar -C root --numeric-owner -cJf site/images/rootfs.tar.xz .
echo 'lxc.arch = x86_64' > meta/config
echo 'You just created a small system.' > meta/create-message
tar -C meta -cJf site/images/lxc.tar.xz .
sum() { sha256sum "$1" | cut -d ' ' -f 1; }
item() {
    printf '"%s":{"ftype":"%s","path":"images/%s","size":%s,"sha256":"%s"}' \
        "$2" "$2" "$1" "$(stat -c %s "site/images/$1")" "$(sum "site/images/$1")"
}
printf '{"products":{"small:1:amd64:default":{"versions":{"20260101_00:00":{"items":{%s,%s}}}}}}' \
    "$(item lxc.tar.xz lxc.tar.xz)" "$(item rootfs.tar.xz root.tar.xz)" > site/streams/v1/images.json
printf '{"index":{"images":{"datatype":"image-downloads","path":"streams/v1/images.json"}}}' \
    > site/streams/v1/index.json
tar -C root --numeric-owner -cf layer.tar .
gzip -k layer.tar
printf '{"config":{"Entrypoint":["init"],"Env":["PATH=/sbin:/bin","WORD=from the image"],"WorkingDir":"/tmp"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$(sum layer.tar)" > config.json
blob() {
    cp "$1" "layout/blobs/sha256/$(sum "$1")"
    printf '{"mediaType":"%s","digest":"sha256:%s","size":%s}' "$2" "$(sum "$1")" "$(stat -c %s "$1")"
}
printf '{"schemaVersion":2,"config":%s,"layers":[%s]}' \
    "$(blob config.json application/vnd.oci.image.config.v1+json)" \
    "$(blob layer.tar.gz application/vnd.oci.image.layer.v1.tar+gzip)" > manifest.json
printf '{"schemaVersion":2,"manifests":[%s]}' \
    "$(blob manifest.json application/vnd.oci.image.manifest.v1+json)" > layout/index.json
chmod -R a+rX .
"#;

struct Images(PathBuf);

impl Images {
    fn new(place: &Place) -> Option<Self> {
        if !bin_dir().join("rlxc-image").exists() {
            skipped("rlxc-image (cargo build --workspace)");
            return None;
        }
        if !root_for("the images that are made have devices and owners") {
            return None;
        }
        let dir = place.path().with_extension("images");
        std::fs::create_dir(&dir).ok()?;
        let images = Self(dir);
        let made = run(Command::new("sh")
            .args(["-c", IMAGES])
            .current_dir(&images.0));
        ok(&made);
        Some(images)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `create` by our program or by the peer's.
fn create(place: &Place, ours: bool, images: &Images, name: &str, template: &str, rest: &[&str]) {
    let config = images.0.join("c.conf");
    let text = format!("{}lxc.net.0.type = empty\n", place.id_maps());
    assert!(std::fs::write(&config, text).is_ok());
    let program = match ours {
        true => bin_dir().join("rlxc"),
        false => PathBuf::from("/usr/bin/lxc-create"),
    };
    let mut command = place.command(program);
    if ours {
        command.arg("create");
    }
    let template = repository()
        .join("templates")
        .join(format!("lxc-{template}"));
    command
        .arg("-P")
        .arg(place.path())
        .args(["-n", name, "-f"])
        .arg(config)
        .arg("-t")
        .arg(template)
        .arg("--")
        .args(rest)
        .env("RLXC_IMAGE", bin_dir().join("rlxc-image"))
        .env("LXC_CACHE_PATH", place.path().join("cache"));
    ok(&run(&mut command));
}

/// What `ls -n` says of the tree, and the configuration without names: for comparing.
fn shape(place: &Place, name: &str) -> (String, String) {
    let dir = place.path().join(name);
    let mut find = Command::new("find");
    find.arg(dir.join("rootfs"))
        .args(["-mindepth", "1", "-printf", "%P %y %m %U:%G %l\n"]);
    let tree = String::from_utf8_lossy(&run(&mut find).stdout).into_owned();
    let mut lines: Vec<&str> = tree.lines().collect();
    lines.sort_unstable();
    let config = std::fs::read_to_string(dir.join("config")).unwrap_or_default();
    let config: Vec<&str> = config
        .lines()
        .filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty())
        .collect();
    (lines.join("\n"), config.join("\n").replace(name, "NAME"))
}

fn lives(place: &Place, name: &str) {
    ok(&place.rlxc("start", &["-n", name]));
    let command = [
        "-n",
        name,
        "--",
        "/bin/sh",
        "-c",
        "hostname; cat /home/owned",
    ];
    let inside = ok(&place.rlxc("attach", &command));
    let expected = [name, "owned"];
    assert_eq!(inside.lines().collect::<Vec<_>>(), expected);
    ok(&place.rlxc("stop", &["-k", "-n", name]));
}

fn templates_work(actor: Actor) {
    let Some(place) = Place::new(actor) else {
        return;
    };
    let Some(images) = Images::new(&place) else {
        return;
    };
    let (site, layout) = (
        images.path("site"),
        format!("oci:{}", images.path("layout")),
    );
    let (meta, fstree) = (
        images.path("site/images/lxc.tar.xz"),
        images.path("site/images/rootfs.tar.xz"),
    );
    let download = ["--server", &site, "-d", "small", "-r", "1", "-a", "amd64"];
    let local = ["--metadata", &meta, "--fstree", &fstree];
    let oci = ["--url", layout.as_str()];
    let all: [(&str, &[&str]); 4] = [
        ("download", &download),
        ("local", &local),
        ("oci", &oci),
        ("busybox", &[]),
    ];
    for (template, rest) in all {
        let ours = format!("{template}-a");
        create(&place, true, &images, &ours, template, rest);
        if peer() {
            let theirs = format!("{template}-b");
            create(&place, false, &images, &theirs, template, rest);
            assert_eq!(shape(&place, &ours), shape(&place, &theirs), "{template}");
            ok(&place.rlxc("destroy", &["-n", &theirs]));
        }
        if template != "busybox" {
            lives(&place, &ours);
        }
        ok(&place.rlxc("destroy", &["-n", &ours]));
    }
}

#[test]
fn templates_work_for_root_with_either_caller() {
    templates_work(Actor::Root);
}

#[test]
fn templates_work_for_a_user_with_subordinate_ids_with_either_caller() {
    templates_work(Actor::UserWithIds);
}

#[test]
fn a_refused_image_leaves_no_container() {
    let Some(place) = Place::new(Actor::UserWithIds) else {
        return;
    };
    let Some(images) = Images::new(&place) else {
        return;
    };
    let hostile =
        "cd root && tar --numeric-owner -cJf ../bad.tar.xz --absolute-names /bin/busybox .";
    ok(&run(Command::new("sh")
        .args(["-c", hostile])
        .current_dir(&images.0)));
    // A device where a user namespace cannot make one.
    let device = "mknod root/tmp/kmsg c 1 11 && tar -C root -cJf device.tar.xz . && chmod a+r *.xz";
    ok(&run(Command::new("sh")
        .args(["-c", device])
        .current_dir(&images.0)));
    let config = images.0.join("c.conf");
    assert!(std::fs::write(&config, place.id_maps()).is_ok());
    let meta = images.path("site/images/lxc.tar.xz");
    for (archive, reason) in [
        ("bad.tar.xz", "absolute path"),
        ("device.tar.xz", "user namespace"),
    ] {
        let mut command = place.command(bin_dir().join("rlxc"));
        command
            .args(["create", "-P"])
            .arg(place.path())
            .args(["-n", "refused", "-f"])
            .arg(&config)
            .arg("-t")
            .arg(repository().join("templates/lxc-local"))
            .args(["--", "-m", &meta, "-f", &images.path(archive)])
            .env("RLXC_IMAGE", bin_dir().join("rlxc-image"));
        let output = run(&mut command);
        assert!(!output.status.success());
        assert!(said(&output).contains(reason), "{}", said(&output));
        assert!(!Path::new(place.path()).join("refused").exists());
    }
}

#[test]
fn debian_is_made_by_debootstrap() {
    let Some(place) = Place::new(Actor::Root) else {
        return;
    };
    if !Path::new("/usr/sbin/debootstrap").exists() {
        skipped("debootstrap");
        return;
    }
    // A debootstrap that makes a small tree: the mirror is not this test's business.
    let dir = place.path().join("programs");
    let script = "#!/bin/sh\nfor word; do last=$before; before=$word; done\n\
        mkdir -p \"$last\"/etc/systemd/system \"$last\"/bin \"$last\"/usr/sbin \"$last\"/var/cache/apt/archives\n\
        echo \"$@\" > \"$last\"/etc/called\necho made >> \"${0%/*}\"/log\n";
    assert!(std::fs::create_dir(&dir).is_ok());
    assert!(std::fs::write(dir.join("debootstrap"), script).is_ok());
    ok(&run(Command::new("chmod")
        .arg("755")
        .arg(dir.join("debootstrap"))));
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", dir.display());
    for name in ["deb-a", "deb-b"] {
        let mut command = place.command(bin_dir().join("rlxc"));
        command
            .args(["create", "-P"])
            .arg(place.path())
            .args(["-n", name, "-t"])
            .arg(repository().join("templates/lxc-debian"))
            .args([
                "--",
                "-r",
                "trixie",
                "--arch=amd64",
                "--mirror",
                "http://localhost/debian",
            ])
            .env("PATH", &path)
            .env("LXC_CACHE_PATH", place.path().join("cache"));
        ok(&run(&mut command));
        let read = |file: &str| std::fs::read_to_string(place.path().join(name).join(file));
        assert_eq!(
            read("rootfs/etc/hostname").unwrap_or_default(),
            format!("{name}\n")
        );
        let called = read("rootfs/etc/called").unwrap_or_default();
        assert!(
            called.contains("--arch=amd64") && called.contains("trixie"),
            "{called}"
        );
        let sources = read("rootfs/etc/apt/sources.list").unwrap_or_default();
        assert!(
            sources.starts_with("deb http://localhost/debian trixie main\n"),
            "{sources}"
        );
        let config = read("config").unwrap_or_default();
        assert!(
            config.contains(&format!("lxc.uts.name = {name}")),
            "{config}"
        );
    }
    let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
    assert_eq!(log.lines().count(), 1, "the second comes from the cache");
    let mut refused = place.command(repository().join("templates/lxc-debian"));
    refused.args(["--name=x", "--path=/nowhere", "--mapped-uid", "1000"]);
    let output = run(&mut refused);
    assert!(!output.status.success() && said(&output).contains("-t download"));
}

/// The options that a template of LXC's gives to getopt: letters and words.
fn options_of(template: &Path) -> Option<(Vec<char>, Vec<String>)> {
    let text = std::fs::read_to_string(template).ok()?;
    let text = text.replace("\\\n", "");
    let call = text.split("$(getopt ").nth(1)?;
    let call = call.split(" -- ").next()?;
    let words: Vec<&str> = call.split_whitespace().collect();
    let after = |option: &str| {
        let at = words.iter().position(|word| *word == option)?;
        words.get(at + 1).copied()
    };
    let letters = after("-o")?.chars().filter(|c| *c != ':').collect();
    let at = words.iter().position(|word| *word == "-l")?;
    let long = words[at + 1..].concat();
    let long = long
        .split(',')
        .map(|word| word.trim_end_matches(':').to_owned());
    Some((letters, long.filter(|word| !word.is_empty()).collect()))
}

fn template(name: &str) -> PathBuf {
    repository().join("templates").join(format!("lxc-{name}"))
}

fn lxcs_template(name: &str) -> PathBuf {
    Path::new("/usr/share/lxc/templates").join(format!("lxc-{name}"))
}

#[test]
fn every_option_of_lxcs_templates_is_there() {
    if !bin_dir().join("rlxc-image").exists() {
        return skipped("rlxc-image (cargo build --workspace)");
    }
    let call = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("RLXC_IMAGE", bin_dir().join("rlxc-image"));
        run(&mut command)
    };
    for name in ["busybox", "debian", "download", "local", "oci"] {
        let (ours, theirs) = (template(name), lxcs_template(name));
        let Some((letters, words)) = options_of(&theirs) else {
            skipped(&format!("{} (package lxc-templates)", theirs.display()));
            continue;
        };
        assert!(letters.len() + words.len() > 8, "{letters:?} {words:?}");
        let help = said(&call(&ours, &["--help"]));
        for word in &words {
            assert!(
                help.contains(&format!("--{word}")),
                "--{word} of {name}: {help}"
            );
        }
        for letter in letters {
            assert!(
                help.contains(&format!("-{letter}")),
                "-{letter} of {name}: {help}"
            );
        }
        for arguments in [
            &["--help"][..],
            &["-h"],
            &["--frobnicate"],
            &["--name=x"],
            &["--name"],
        ] {
            let status = |program| call(program, arguments).status.code();
            assert_eq!(status(&ours), status(&theirs), "{name} {arguments:?}");
        }
        // getopt takes beginnings of words, and values with and without a blank.
        // Nothing can be made there, so that each ends when it has understood.
        let mut short = Command::new(&ours);
        short.args(["--nam", "x", "--pat=/proc/no", "--rootf", "/proc/no"]);
        short.env("LXC_CACHE_PATH", "/proc/no");
        let short = run(short.env("RLXC_IMAGE", bin_dir().join("rlxc-image")));
        assert!(!short.status.success(), "{name}");
        let complaint = said(&short);
        assert!(
            !complaint.contains("--nam") && !complaint.contains("unexpected"),
            "{name}: {complaint}"
        );
    }
}

/// A container's directory as lxc-create prepares it.
struct Prepared(PathBuf);

impl Prepared {
    fn new(parent: &Path, name: &str) -> Self {
        let dir = parent.join(name);
        assert!(std::fs::create_dir_all(dir.join("rootfs")).is_ok());
        let config = format!(
            "# Template used to create this container: x\nlxc.net.0.type = empty\n\
             lxc.rootfs.path = dir:{}\n",
            dir.join("rootfs").display()
        );
        assert!(std::fs::write(dir.join("config"), config).is_ok());
        Self(dir)
    }

    fn made_by(&self, template: &Path, name: &str, more: &[&str]) {
        let mut command = Command::new(template);
        command
            .arg(format!("--name={name}"))
            .arg(format!("--path={}", self.0.display()))
            .arg(format!("--rootfs={}", self.0.join("rootfs").display()))
            .args(more)
            .env("RLXC_IMAGE", bin_dir().join("rlxc-image"));
        ok(&run(&mut command));
    }

    /// The configuration without comments, and without where the container is.
    fn config(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.join("config")).unwrap_or_default();
        let text = text.replace(&self.0.display().to_string(), "PATH");
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }
}

#[test]
fn busybox_and_local_configure_as_lxcs_do() {
    let Some(place) = Place::new(Actor::Root) else {
        return;
    };
    let Some(images) = Images::new(&place) else {
        return;
    };
    let meta = images.0.join("meta");
    for (name, text) in [
        (
            "config",
            "lxc.include = LXC_TEMPLATE_CONFIG/common.conf\nlxc.arch = x86_64\n\
             lxc.environment = NAME=LXC_NAME\n",
        ),
        ("fstab", "proc proc proc nodev 0 0\n"),
        ("templates", "/etc/name\n/etc/none\n"),
        ("excludes", "home/*\n"),
    ] {
        assert!(std::fs::write(meta.join(name), text).is_ok());
    }
    let pack = "echo LXC_NAME at LXC_PATH > root/etc/name; mkdir -p root/etc/init; \
                echo exec mingetty tty1 > root/etc/init/tty.conf; \
                tar -C meta -cJf meta.tar.xz . && tar -C root --numeric-owner -cJf root.tar.xz .";
    ok(&run(Command::new("sh")
        .args(["-c", pack])
        .current_dir(&images.0)));
    let (meta, root) = (images.path("meta.tar.xz"), images.path("root.tar.xz"));
    for (name, more) in [
        ("busybox", &["--busybox-path", "/bin/busybox"][..]),
        ("local", &["-m", &meta, "-f", &root]),
    ] {
        if !lxcs_template(name).exists() {
            skipped(&format!(
                "{} (package lxc-templates)",
                lxcs_template(name).display()
            ));
            continue;
        }
        let ours = Prepared::new(place.path(), &format!("{name}-ours"));
        let theirs = Prepared::new(place.path(), &format!("{name}-theirs"));
        ours.made_by(&template(name), "one", more);
        theirs.made_by(&lxcs_template(name), "one", more);
        let (mut mine, mut other) = (ours.config(), theirs.config());
        if name == "busybox" {
            // What all containers have in common is included here, too, and terminals are not scarce.
            for list in [&mut mine, &mut other] {
                list.retain(|line| {
                    !line.starts_with("lxc.include") && !line.starts_with("lxc.pty")
                });
            }
        }
        assert_eq!(mine, other, "{name}");
        let read = |prepared: &Prepared, file: &str| {
            let text = std::fs::read_to_string(prepared.0.join(file)).unwrap_or_default();
            text.replace(&prepared.0.display().to_string(), "PATH")
        };
        if name == "local" {
            for file in ["fstab", "rootfs/etc/name", "rootfs/etc/init/tty.conf"] {
                assert_eq!(read(&ours, file), read(&theirs, file), "{file}");
                assert!(!read(&ours, file).is_empty(), "{file}");
            }
            assert!(!ours.0.join("rootfs/home/owned").exists());
        }
        for prepared in [&ours, &theirs] {
            let _ = std::fs::remove_dir_all(&prepared.0);
        }
    }
}
