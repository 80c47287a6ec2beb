//! keyctl(2).
