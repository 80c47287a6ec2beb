//! The time of day where the machine stands.

use std::time::{SystemTime, UNIX_EPOCH};

/// Year, month (from 1), day, hour, minute and second now, in the machine's time zone.
///
/// # References
/// localtime_r(3)
#[must_use]
pub fn local_now() -> Option<[i32; 6]> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let now = libc::time_t::try_from(now.as_secs()).ok()?;
    // SAFETY: a structure of numbers and a pointer that may be NULL is valid with all bits zero.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both are of the right type and live through the call, which writes into the second.
    let done = unsafe { libc::localtime_r(&raw const now, &raw mut parts) };
    if done.is_null() {
        return None;
    }
    Some([
        parts.tm_year + 1900,
        parts.tm_mon + 1,
        parts.tm_mday,
        parts.tm_hour,
        parts.tm_min,
        parts.tm_sec,
    ])
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_what_date_says() {
        let date = || {
            let output = std::process::Command::new("date")
                .arg("+%Y %m %d %H %M")
                .output();
            let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
            text.unwrap_or_default()
        };
        let before = date();
        let now = super::local_now()
            .map(|[y, mo, d, h, mi, _]| format!("{y} {mo:02} {d:02} {h:02} {mi:02}\n"));
        let now = now.unwrap_or_default();
        assert!(now == before || now == date(), "{now} {before}");
    }
}
