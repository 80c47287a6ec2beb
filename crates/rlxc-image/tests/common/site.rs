//! Image servers, and the template that makes containers of their images.

use super::{Certificates, Container, Entry, Reply, Request, Server, is_root, sha256, tar, xz};

/// An image server's files, by path.
#[derive(Clone, Default)]
pub struct Site(pub Vec<(String, Vec<u8>)>);

impl Site {
    pub fn put(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.0.retain(|(name, _)| name != path);
        self.0.push((path.to_owned(), content.into()));
    }

    pub fn get(&self, path: &str) -> Option<&[u8]> {
        let mut found = self.0.iter().filter(|(name, _)| name == path);
        found.next().map(|(_, content)| &content[..])
    }

    pub fn reply(&self, request: &Request) -> Reply {
        match self.get(request.path.trim_start_matches('/')) {
            Some(content) => Reply::ok(content).ranged(request),
            None => Reply::status(404),
        }
    }
}

pub fn rootfs(word: &str) -> Vec<u8> {
    // Nothing that compresses, so that it has a length to be cut at.
    let mut noise = 1u64;
    let noise: String = std::iter::repeat_with(|| {
        noise = noise
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        char::from(b'a' + (noise >> 60) as u8)
    })
    .take(400_000)
    .collect();
    xz(&tar(&[
        Entry::dir("./"),
        Entry::dir("./etc"),
        Entry::file("./etc/word", word),
        Entry::file("./etc/noise", &noise),
    ]))
}

pub fn meta(expiry: u64) -> Vec<u8> {
    xz(&tar(&[
        Entry::file(
            "config",
            "lxc.include = LXC_TEMPLATE_CONFIG/common.conf\nlxc.arch = x86_64\n",
        ),
        Entry::file("create-message", "You just created a test container.\n"),
        Entry::file("expiry", &expiry.to_string()),
    ]))
}

pub const NEVER: u64 = 99_999_999_999;

/// A simplestreams server with one image of `test 1.0`, and a few names for the list.
pub fn site(rootfs: &[u8], meta: &[u8]) -> Site {
    let mut site = Site::default();
    site.put("images/rootfs.tar.xz", rootfs);
    site.put("images/lxc.tar.xz", meta);
    let item = |name: &str, kind: &str, content: &[u8]| {
        format!(
            r#""{kind}":{{"ftype":"{kind}","path":"images/{name}","size":{},"sha256":"{}"}}"#,
            content.len(),
            sha256(content)
        )
    };
    let items = [
        item("lxc.tar.xz", "lxc.tar.xz", meta),
        item("rootfs.tar.xz", "root.tar.xz", rootfs),
    ]
    .join(",");
    let product = |name: &str, build: &str| {
        format!(r#""{name}":{{"os":"Test","versions":{{"{build}":{{"items":{{{items}}}}}}}}}"#)
    };
    let products = [
        product("test:1.0:amd64:default", "20260102_03:04"),
        product("test:1.0:amd64:cloud", "20260102_03:05"),
        product("test:1.0:arm64:default", "20260102_03:06"),
        product("test:2.0:amd64:default", "20260102_03:07"),
        product("other:x:amd64:default", "20260102_03:08"),
    ]
    .join(",");
    site.put(
        "streams/v1/images.json",
        format!(r#"{{"format":"products:1.0","products":{{{products}}}}}"#),
    );
    site.put(
        "streams/v1/index.json",
        r#"{"format":"index:1.0","index":{"images":{"datatype":"image-downloads",
            "format":"products:1.0","path":"streams/v1/images.json"}}}"#,
    );
    site
}

pub const IMAGE: [&str; 6] = ["-d", "test", "-r", "1.0", "-a", "amd64"];

pub struct Set {
    pub certificates: Certificates,
    pub container: Container,
}

pub fn set() -> Option<Set> {
    if !is_root() {
        return None;
    }
    let certificates = Certificates::new()?;
    Some(Set {
        container: Container::trusting(&certificates),
        certificates,
    })
}

impl Set {
    pub fn server(&self, site: &Site) -> Server {
        let site = site.clone();
        Server::new(&self.certificates, move |request| site.reply(request))
    }

    pub fn download(&self, server: &str, more: &[&str]) -> std::process::Output {
        let mut command = self.container.command("download");
        command.args(IMAGE).args(["--server", server]).args(more);
        command.output().unwrap()
    }

    /// For another container: an empty root file system, the first configuration.
    pub fn again(&self) {
        let _ = std::fs::remove_dir_all(self.container.rootfs());
        std::fs::create_dir(self.container.rootfs()).unwrap();
        self.container.scratch.write("config", super::CONFIG);
    }

    pub fn nothing_left(&self, said: &str) {
        assert_eq!(self.container.entries(), Vec::<String>::new(), "{said}");
        assert_eq!(self.container.config(), super::CONFIG, "{said}");
        let slot = self
            .container
            .cache()
            .join("download/test/1.0/amd64/default");
        assert!(!slot.exists(), "{said}");
    }
}
