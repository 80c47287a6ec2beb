//! JSON as programs in Go write it: what is empty may be `null`.

use serde::{Deserialize, Deserializer};

/// For `#[serde(default, deserialize_with = "…")]`: `null` counts as not given.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
