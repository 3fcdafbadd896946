//! What a process does to itself on its way to being a step: fork, identity, powers, limits, exec.
