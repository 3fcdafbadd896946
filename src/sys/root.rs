//! A handle of a directory below which paths of an image are opened.
