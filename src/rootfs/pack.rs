//! Changes into a layer.

use std::io::Write;

use super::{Change, Error};
use crate::base::Timestamp;
use crate::layer::{EntryKind, LayerWriter};

/// Which times a layer's entries get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// All this one: the layer does not depend on when it was made.
    Fixed(Timestamp),
    /// Those of the files.
    Preserve,
}

/// Writes sorted changes into a layer. Reads each file once.
pub fn pack<W: Write>(
    changes: &[Change],
    writer: &mut LayerWriter<'_, W>,
    times: Times,
) -> Result<(), Error> {
    // The root is no entry of a layer; changes name it where a tree is to get its owner and mode.
    for change in changes.iter().filter(|change| !change.entry.path.is_root()) {
        let mut entry = change.entry.clone();
        if let Times::Fixed(time) = times {
            entry.mtime = time.seconds();
        }
        if matches!(entry.kind, EntryKind::File { .. }) {
            writer.entry(&entry, &mut *change.content.open()?)?;
        } else {
            writer.bare(&entry)?;
        }
    }
    Ok(())
}
