//! What a child that reads what nobody vouches for may use.

use nix::sys::resource::{Resource, setrlimit};

use crate::error::{Error, Result};

/// Memory for dictionaries and names, not for what a forged size asks for.
const MEMORY: u64 = 2 << 30;

pub(super) fn failed<E: Into<std::io::Error>>(what: &'static str) -> impl FnOnce(E) -> Error {
    Error::path(what, ".")
}

pub(super) fn limit() -> Result<()> {
    setrlimit(Resource::RLIMIT_AS, MEMORY, MEMORY).map_err(failed("limit memory for"))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(failed("limit dumps for"))
}
