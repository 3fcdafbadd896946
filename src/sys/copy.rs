//! Copies the content of files: reflink where the filesystem can, sparse files stay sparse.
