//! `rlxc help TOPIC`: what is not about one verb.

/// A text on something that several verbs share.
#[derive(Debug, Clone, Copy)]
pub struct Topic {
    /// The word after `help`
    pub name: &'static str,
    /// What it is about, in a line
    pub about: &'static str,
    /// The text
    pub text: &'static str,
}

macro_rules! topic {
    ($name:literal, $about:literal) => {
        Topic {
            name: $name,
            about: $about,
            text: include_str!(concat!("topics/", $name, ".txt")),
        }
    };
}

/// All topics, in the order of the help.
pub static TOPICS: [Topic; 7] = [
    topic!(
        "configuration",
        "Where configurations are, and how to look at and change them"
    ),
    topic!(
        "rootless",
        "Containers of ordinary users: ids, cgroups, network"
    ),
    topic!(
        "limits",
        "Memory, CPU, processes: setting and watching them"
    ),
    topic!("scripting", "Machine-readable output and exit statuses"),
    topic!(
        "logging",
        "Log files, levels, and what to do when something fails"
    ),
    topic!("files", "Every place on disk that is read or written"),
    topic!("lxc", "What is as in LXC, and what is not"),
];

impl Topic {
    /// The topic of that name.
    pub fn of_name(name: &str) -> Option<&'static Self> {
        TOPICS.iter().find(|topic| topic.name == name)
    }
}
