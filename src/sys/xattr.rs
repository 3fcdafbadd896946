//! Extended attributes, by file descriptor.
