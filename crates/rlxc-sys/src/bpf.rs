//! bpf(2) for cgroup device programs.
