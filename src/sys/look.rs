//! What this process may do with a file, without doing it.

use std::io;
use std::path::Path;

/// Tells whether the file may be opened for reading, without opening it: of devices, some begin to
/// work when they are opened (a watchdog).
pub fn may_open(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(path, rustix::fs::Access::READ_OK)?)
}
