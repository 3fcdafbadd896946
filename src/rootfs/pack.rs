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
                let written = writer.entry(&entry, &mut file);
                // That it is another file by now says more than what came of reading it.
                file.settled()?;
                written?;
                continue;
            };
            let mut marking = Marking { file: &mut file, marker: Marker::default() };
            let written = writer.entry(&entry, &mut marking);
            let mark = marking.marker.finish();
            let stamp = file.settled()?;
            written?;
            marks.note(stamp, mark);
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::rootfs::{Nothing, Stacking, changes};
    use crate::sys::{IdMode, Root};

    // Packs a file of 5 bytes that `meanwhile` was made another one.
    fn check(meanwhile: impl Fn(&Path)) {
        for marking in [false, true] {
            let place = tempfile::tempdir().unwrap();
            let file = place.path().join("file");
            fs::write(&file, "12345").unwrap();
            let root = Arc::new(Root::open_host(place.path()).unwrap());
            let list = changes(&root, Stacking::Plain, IdMode::Root, &Nothing).unwrap();
            meanwhile(&file);
            let mut writer = LayerWriter::hash_only(vec![]).unwrap();
            let times = Times::Fixed(Timestamp::from_seconds(1));
            let outcome = match marking {
                false => pack(&list, &mut writer, times),
                true => pack_marking(&list, &mut writer, times, &mut Marks::default()),
            };
            assert!(matches!(outcome, Err(Error::Changed(_))), "{outcome:?}");
        }
    }

    #[test]
    fn what_is_another_file_by_now_is_told_so() {
        check(|file| fs::write(file, "123456").unwrap());
        check(|file| fs::write(file, "1").unwrap());
        let replace = |file: &Path, make: &dyn Fn(&Path)| {
            let new = file.with_extension("new");
            make(&new);
            fs::rename(new, file).unwrap();
        };
        check(|file| replace(file, &|new| fs::write(new, "54321").unwrap()));
        // Neither waits for a writer, nor is taken for an empty file.
        check(|file| {
            replace(file, &|new| {
                let folder = Root::open_host(new.parent().unwrap()).unwrap();
                folder.top().fifo(new.file_name().unwrap().as_encoded_bytes()).unwrap();
            });
        });
        check(|file| {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
        });
    }
}
