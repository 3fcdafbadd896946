//! B. Registries, digests, credentials (attacks 29 to 47).
