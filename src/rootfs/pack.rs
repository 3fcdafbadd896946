//! Changes into a layer.

use std::io::{self, Read, Write};

use super::content::Watched;
use super::{Change, Error};
use crate::base::Timestamp;
use crate::layer::{EntryKind, LayerWriter};
use crate::store::{Marker, Marks};

/// Which times a layer's entries get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// All this one: the layer does not depend on when it was made.
    Fixed(Timestamp),
    /// Those of the files.
    Preserve,
}

/// Writes sorted changes into a layer. Reads each file once; one that changes meanwhile is an error.
pub fn pack<W: Write>(
    changes: &[Change],
    writer: &mut LayerWriter<'_, W>,
    times: Times,
) -> Result<(), Error> {
    write(changes, writer, times, None)
}

/// As [`pack`]; and marks the files of contexts and trees while they are read.
pub fn pack_marking<W: Write>(
    changes: &[Change],
    writer: &mut LayerWriter<'_, W>,
    times: Times,
    marks: &mut Marks,
) -> Result<(), Error> {
    write(changes, writer, times, Some(marks))
}

fn write<W: Write>(
    changes: &[Change],
    writer: &mut LayerWriter<'_, W>,
    times: Times,
    mut marks: Option<&mut Marks>,
) -> Result<(), Error> {
    // The root is no entry of a layer; changes name it where a tree is to get its owner and mode.
    for change in changes.iter().filter(|change| !change.entry.path.is_root()) {
        let mut entry = change.entry.clone();
        if let Times::Fixed(time) = times {
            entry.mtime = time.seconds();
        }
        if !matches!(entry.kind, EntryKind::File { .. }) {
            writer.bare(&entry)?;
        } else if let Some(mut file) = change.content.open_watched()? {
            let Some(marks) = &mut marks else {
                writer.entry(&entry, &mut file)?;
                file.settled()?;
                continue;
            };
            let mut marking = Marking { file: &mut file, marker: Marker::default() };
            writer.entry(&entry, &mut marking)?;
            let mark = marking.marker.finish();
            marks.note(file.settled()?, mark);
        } else {
            writer.entry(&entry, &mut *change.content.open()?)?;
        }
    }
    Ok(())
}

/// Marks what is read.
struct Marking<'a> {
    file: &'a mut Watched,
    marker: Marker,
}

impl Read for Marking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(buffer)?;
        self.marker.update(&buffer[..got]);
        Ok(got)
    }
}
