//! Capabilities, seccomp policies compiled to BPF, AppArmor, SELinux, keyrings, resource limits.
