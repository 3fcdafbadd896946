//! `/etc/subuid` and `/etc/subgid`: the ids that an account may hand out.
