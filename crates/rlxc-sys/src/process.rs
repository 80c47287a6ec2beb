//! Creating, waiting for and signalling processes: clone3, pidfds, prctl, close_range, execveat.
