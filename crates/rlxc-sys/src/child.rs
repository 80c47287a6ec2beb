//! What may run between fork/clone and exec in a multi-threaded host: raw system calls, no allocation, no locks.
