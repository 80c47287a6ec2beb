//! Whether this process is in a user namespace other than the first.

/// True unless every id is mapped to itself.
pub(crate) fn inside() -> bool {
    let Ok(text) = std::fs::read_to_string("/proc/self/uid_map") else {
        return false;
    };
    let mut words = text.split_ascii_whitespace();
    let whole = ["0", "0", "4294967295"];
    !(whole.iter().all(|word| words.next() == Some(word)) && words.next().is_none())
}
