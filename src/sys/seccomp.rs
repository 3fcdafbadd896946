//! The filter of system calls that a step runs under.
