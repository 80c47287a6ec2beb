//! LXC-format log lines from tracing events, one write(2) each.
