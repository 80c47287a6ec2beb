//! seccomp(2): loading filters, user notification.
