//! The template `oci`: layouts and archives, and what becomes the configuration.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod common;

use common::oci::{Image, oci, small, url};
use common::{Container, Entry, failure, gzip, is_root, ok, sha256, tar};
use tar::EntryType;

#[test]
fn entrypoint_environment_user_and_directory_become_the_configuration() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let layout = small().layout(&container);
    let said = ok(&oci(
        &container,
        &format!("{}:v1", url("oci", &layout)),
        &[],
    ));
    assert!(said.contains("WARNING") && said.contains("EVIL"), "{said}");
    let config = container.config();
    let has = |line: &str| {
        assert!(
            config.lines().any(|own| own == line),
            "{line:?} in {config}"
        )
    };
    has("lxc.init.cmd = /usr/bin/serve --flag \"a b\" 'c\"d'");
    has("lxc.execute.cmd = /usr/bin/serve --flag \"a b\" 'c\"d'");
    has("lxc.environment = PATH=/opt/bin:/usr/bin");
    has("lxc.environment = GREETING=hello world");
    has("lxc.init.uid = 33");
    has("lxc.init.gid = 50");
    has("lxc.init.cwd = /srv/www");
    has("lxc.signal.halt = SIGQUIT");
    has("lxc.uts.name = rlxc-img-c");
    has("lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed");
    assert!(!config.contains("lxc.hook"), "{config}");
    assert!(config.starts_with(common::CONFIG), "{config}");
    assert_eq!(container.read("etc/hostname"), "rlxc-img-c\n");
    assert!(
        container
            .read("etc/hosts")
            .contains("127.0.1.1   rlxc-img-c")
    );
    let parsed = rlxc_config::check(&container.scratch.path("config"));
    let wrong: Vec<_> = parsed
        .iter()
        .filter(|finding| finding.severity == rlxc_config::Severity::Error)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn dhcp_needs_its_hook() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let layout = small().layout(&container);
    ok(&oci(&container, &url("oci", &layout), &["--dhcp"]));
    let config = container.config();
    assert!(
        config.contains("lxc.hook.start-host = /usr/share/lxc/hooks/dhclient"),
        "{config}"
    );
    assert!(
        config.contains("lxc.hook.stop = /usr/share/lxc/hooks/dhclient"),
        "{config}"
    );
}

#[test]
fn wrong_digests_anywhere_are_refused() {
    if !is_root() {
        return;
    }
    let image = small();
    let manifest = image.manifest();
    let targets = [
        sha256(&image.layers[0].0),
        sha256(image.config.as_bytes()),
        sha256(manifest.as_bytes()),
    ];
    for hex in targets {
        let container = Container::new();
        let layout = image.layout(&container);
        let blob = layout.join("blobs/sha256").join(hex);
        let mut content = std::fs::read(&blob).unwrap();
        let at = content.len() / 2;
        content[at] ^= 1;
        std::fs::write(&blob, &content).unwrap();
        let said = failure(&oci(&container, &url("oci", &layout), &[]));
        assert!(said.contains("damaged or forged"), "{said}");
        assert_eq!(container.entries(), Vec::<String>::new());
        content.push(0);
        std::fs::write(&blob, &content).unwrap();
        let said = failure(&oci(&container, &url("oci", &layout), &[]));
        assert!(said.contains("bytes instead of"), "{said}");
    }
    // A layer that is as stored, but not what the configuration says it holds.
    let mut forged = small();
    forged.config = forged
        .config
        .replace(&forged.diff_ids[0], &sha256(b"other"));
    let container = Container::new();
    let said = failure(&oci(
        &container,
        &url("oci", &forged.layout(&container)),
        &[],
    ));
    assert!(said.contains("the content of layer 1 of 1"), "{said}");
    assert_eq!(container.entries(), Vec::<String>::new());
}

#[test]
fn a_layout_s_tags_and_machines_are_chosen() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let image = small();
    let layout = image.layout(&container);
    let said = failure(&oci(
        &container,
        &format!("{}:v2", url("oci", &layout)),
        &[],
    ));
    assert!(said.contains("has no such tag; it has: v1"), "{said}");
    let manifest = image.manifest();
    let (hex, size) = (sha256(manifest.as_bytes()), manifest.len());
    let entry = |arch: &str, hex: &str| {
        format!(
            r#"{{"digest":"sha256:{hex}","size":{size},"platform":{{"os":"linux","architecture":"{arch}"}}}}"#
        )
    };
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#,
        entry("s390x", &sha256(b"not here")),
        entry("amd64", &hex)
    );
    container.scratch.write("layout/index.json", index);
    ok(&oci(&container, &url("oci", &layout), &["--arch", "amd64"]));
    let said = failure(&oci(
        &container,
        &url("oci", &layout),
        &["--arch", "riscv64"],
    ));
    assert!(
        said.contains("--arch chooses among: s390x, amd64"),
        "{said}"
    );
}

#[test]
fn archives_of_layouts_and_of_docker_work() {
    if !is_root() {
        return;
    }
    let image = small();
    let mut entries = vec![
        Entry::file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#),
        Entry::file("index.json", &image.index("v1")),
        Entry::dir("blobs"),
    ];
    for (hex, content) in image.blobs() {
        let mut entry = Entry::file(&format!("blobs/sha256/{hex}"), "");
        entry.content = content;
        entries.push(entry);
    }
    let container = Container::new();
    let archive = container.scratch.write("image.tar", tar(&entries));
    for text in [url("oci-archive", &archive), archive.display().to_string()] {
        ok(&oci(&container, &text, &[]));
        assert_eq!(container.read("usr/bin/serve"), "#!/bin/sh\n");
    }
    // As docker saves: layers by name, equal ones as links.
    let layer = tar(&[Entry::dir("etc"), Entry::file("etc/from", "docker")]);
    let hex = sha256(&layer);
    let config = format!(
        r#"{{"config":{{"Cmd":["/bin/x"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{hex}","sha256:{hex}"]}}}}"#
    );
    let name = sha256(config.as_bytes());
    let manifest = format!(
        r#"[{{"Config":"{name}.json","RepoTags":["web:1"],"Layers":["one/layer.tar","two/layer.tar"]}}]"#
    );
    let mut stored = Entry::file("one/layer.tar", "");
    stored.content = layer;
    let entries = [
        Entry::file("manifest.json", &manifest),
        Entry::file(&format!("{name}.json"), &config),
        stored,
        Entry::symlink("two/layer.tar", "../one/layer.tar"),
    ];
    let container = Container::new();
    let archive = container.scratch.write("saved.tar", gzip(&tar(&entries)));
    ok(&oci(
        &container,
        &format!("{}:web:1", url("docker-archive", &archive)),
        &[],
    ));
    assert_eq!(container.read("etc/from"), "docker");
    assert!(container.config().contains("lxc.init.cmd = /bin/x\n"));
    let said = failure(&oci(
        &container,
        &format!("{}:web:2", url("docker-archive", &archive)),
        &[],
    ));
    assert!(said.contains("it has: web:1"), "{said}");
    let leftovers: Vec<_> = std::fs::read_dir(container.cache()).unwrap().collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn hostile_image_archives_are_refused() {
    if !is_root() {
        return;
    }
    let hex = sha256(b"x");
    for (entries, words) in [
        (vec![Entry::file("../evil", "x")], "leads out"),
        (
            vec![Entry::device("x", EntryType::Char, (1, 3))],
            "has no place",
        ),
        (
            vec![
                Entry::file(&format!("blobs/sha256/{hex}"), "x"),
                Entry::file(&format!("blobs/sha256/{hex}"), "y"),
            ],
            "comes twice",
        ),
        (
            vec![Entry::file("a", "b")],
            "neither index.json nor manifest.json",
        ),
        (
            vec![
                Entry::file("manifest.json", r#"[{"Config":"c","Layers":[]}]"#),
                Entry::symlink("c", "/etc/passwd"),
            ],
            "not in the archive",
        ),
    ] {
        let container = Container::new();
        let archive = container.scratch.write("image.tar", tar(&entries));
        let said = failure(&oci(&container, &url("oci-archive", &archive), &[]));
        assert!(said.contains(words), "{said}");
        assert_eq!(container.entries(), Vec::<String>::new());
    }
}

#[test]
fn images_that_are_mounted_name_their_helper() {
    if !is_root() {
        return;
    }
    let mut image = Image::new(&[vec![Entry::dir("etc")]], "{}");
    image.layers[0].1 = "application/vnd.stacker.image.layer.squashfs+zstd+verity";
    let container = Container::new();
    let layout = image.layout(&container);
    let said = failure(&oci(
        &container,
        &url("oci", &layout),
        &["--mount-helper", "/no/such"],
    ));
    assert!(said.contains("--mount-helper"), "{said}");
    // A helper that mounts an empty tmpfs in its place.
    let log = container.scratch.path("log");
    let helper = container.scratch.write(
        "helper",
        format!(
            "#!/bin/sh\necho \"$@\" >> {}\nfor last; do :; done\ncase $1 in\n\
             mount) mount -t tmpfs none \"$last\" ;;\numount) umount \"$last\" ;;\nesac\n",
            log.display()
        ),
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&helper, mode).unwrap();
    let helper = helper.to_str().unwrap();
    ok(&oci(
        &container,
        &url("oci", &layout),
        &["--mount-helper", helper],
    ));
    let kept = container.scratch.path("oci");
    let rootfs = container.rootfs();
    let image_name = format!("{}:rlxc-img-c", kept.display());
    let log = std::fs::read_to_string(log).unwrap();
    let expected = format!(
        "mount --writable {image_name} {0}\numount {0}\n",
        rootfs.display()
    );
    assert_eq!(log, expected);
    let config = container.config();
    let hook = format!(
        "lxc.hook.pre-mount = {helper} mount --writable {image_name} {}",
        rootfs.display()
    );
    assert!(config.contains(&hook), "{config}");
    assert!(kept.join("index.json").exists() && container.entries().is_empty());
    // Where nothing is mounted, an ordinary image names no helper.
    let container = Container::new();
    let layout = small().layout(&container);
    let said = failure(&oci(
        &container,
        &url("oci", &layout),
        &["--mount-helper", helper],
    ));
    assert!(said.contains("squashfs or PuzzleFS"), "{said}");
}

/// Programs in Go write `null` for what is empty.
#[test]
fn what_is_empty_may_be_null() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let mut image = Image::new(
        &[vec![Entry::file("bin/x", "").mode(0o755)]],
        r#"{"User":null,"Env":null,"Entrypoint":null,"Cmd":null,"WorkingDir":null,
            "StopSignal":null,"Volumes":null,"OnBuild":null,"Labels":null}"#,
    );
    let layout = image.layout(&container);
    let manifest = image.manifest().replace(
        r#""layers":[{"#,
        r#""annotations":null,"subject":null,"manifests":null,
            "layers":[{"urls":null,"annotations":null,"platform":null,"#,
    );
    let hex = sha256(manifest.as_bytes());
    std::fs::write(layout.join("blobs/sha256").join(&hex), &manifest).unwrap();
    let index = format!(
        r#"{{"schemaVersion":2,"config":null,"layers":null,"manifests":[{{"digest":"sha256:{hex}",
            "size":{},"mediaType":null,"annotations":null,"urls":null,"platform":null}}]}}"#,
        manifest.len()
    );
    std::fs::write(layout.join("index.json"), index).unwrap();
    ok(&oci(&container, &url("oci", &layout), &[]));
    let config = container.config();
    for line in [
        "lxc.init.cmd = /bin/sh",
        "lxc.init.uid = 0",
        "lxc.init.cwd = /",
    ] {
        assert!(config.lines().any(|own| own == line), "{line}: {config}");
    }
    // No configuration of the program at all.
    let container = Container::new();
    image.config = format!(
        r#"{{"config":null,"rootfs":{{"diff_ids":["sha256:{}"]}}}}"#,
        image.diff_ids[0]
    );
    ok(&oci(
        &container,
        &url("oci", &image.layout(&container)),
        &[],
    ));
    assert!(container.config().contains("lxc.execute.cmd = /bin/sh\n"));
}

#[test]
fn what_killed_runs_left_in_the_cache_is_removed() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let layout = small().layout(&container);
    let hour = std::time::Duration::from_secs(3600);
    let before = std::time::SystemTime::now() - hour;
    let store = |name: &str, old: bool| {
        let blob = format!("cache/{name}/blobs/sha256/x");
        container.scratch.write(&blob, "x");
        let dir = std::fs::File::open(container.cache().join(name)).unwrap();
        if old {
            dir.set_modified(before).unwrap();
        }
        dir
    };
    store(".oci-4194999-0", true);
    store(".oci-4194999-1", false);
    store(".oci-x-1", true);
    let living = store(".oci-4194999-2", true);
    let lock = nix::fcntl::Flock::lock(living, nix::fcntl::FlockArg::LockExclusive).unwrap();
    ok(&oci(&container, &url("oci", &layout), &[]));
    drop(lock);
    let mut left: Vec<_> = std::fs::read_dir(container.cache())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, [".oci-4194999-1", ".oci-4194999-2", ".oci-x-1"]);
}
