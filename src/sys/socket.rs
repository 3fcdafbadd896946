//! Messages with file descriptors between the builder and a step's first process.
