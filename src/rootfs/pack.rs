//! Changes into a layer.

use std::io::{self, Read, Write};
use std::thread;

use super::ahead::Ahead;
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
    let marking = marks.is_some();
    thread::scope(|scope| {
        let mut ahead = Ahead::start(scope, changes, marking);
        // The root is no entry of a layer; changes name it where a tree is to get its owner and mode.
        for change in changes.iter().filter(|change| !change.entry.path.is_root()) {
            let mut entry = change.entry.clone();
            if let Times::Fixed(time) = times {
                entry.mtime = time.seconds();
            }
            if !matches!(entry.kind, EntryKind::File { .. }) {
                writer.bare(&entry)?;
            } else if let Some(small) = ahead.as_mut().and_then(|ahead| ahead.next_of(change)) {
                let (mut bytes, read) = small?;
                writer.entry(&entry, &mut bytes)?;
                if let (Some(marks), Some((stamp, mark))) = (&mut marks, read) {
                    marks.note(stamp, mark);
                }
            } else if let Some(mut file) = change.content.open_watched()? {
                let mut marking =
                    Marking { file: &mut file, marker: marking.then(Marker::default) };
                let written = writer.entry(&entry, &mut marking);
                let marker = marking.marker;
                // That it is another file by now says more than what came of reading it.
                let stamp = file.settled()?;
                written?;
                if let (Some(marks), Some(marker)) = (&mut marks, marker) {
                    marks.note(stamp, marker.finish());
                }
            } else {
                writer.entry(&entry, &mut *change.content.open()?)?;
            }
        }
        Ok(())
    })
}

/// Marks what is read, if it has a marker.
struct Marking<'a> {
    file: &'a mut Watched,
    marker: Option<Marker>,
}

impl Read for Marking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(buffer)?;
        if let Some(marker) = &mut self.marker {
            marker.update(&buffer[..got]);
        }
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::layer::Compression;
    use crate::rootfs::{Content, Nothing, Stacking, ahead, changes};
    use crate::sys::{IdMode, Root};

    // Packs a file of 5 bytes that `meanwhile` was made another one: alone, and the first of the second load of
    // so many that they are read ahead.
    fn check(meanwhile: impl Fn(&Path)) {
        for (marking, others) in [(false, 0), (true, 0), (false, 1000), (true, 1000)] {
            let place = tempfile::tempdir().unwrap();
            let file = place.path().join("file");
            fs::write(&file, "12345").unwrap();
            for number in 0..others {
                let side = if number < ahead::FILES { "e" } else { "g" };
                fs::write(place.path().join(format!("{side}{number}")), "other").unwrap();
            }
            let root = Arc::new(Root::open_host(place.path()).unwrap());
            let list = changes(&root, Stacking::Plain, IdMode::Root, &Nothing).unwrap();
            meanwhile(&file);
            let mut writer = LayerWriter::hash_only(vec![]).unwrap();
            let times = Times::Fixed(Timestamp::from_seconds(1));
            let outcome = match marking {
                false => pack(&list, &mut writer, times),
                true => pack_marking(&list, &mut writer, times, &mut Marks::default()),
            };
            let Err(Error::Changed(path)) = outcome else { panic!("{outcome:?}") };
            assert_eq!(path.to_string(), "/file");
        }
    }

    #[test]
    fn many_files_are_packed_and_marked_as_each_alone() {
        let place = tempfile::tempdir().unwrap();
        for number in 0..1500_usize {
            // Empty, small, and too large to be read ahead, so that loads are full by number and by bytes.
            let size = match number {
                0..500 => number % 4,
                _ => [0, 1, 300, 5000, 16 << 10, (16 << 10) + 1][number * number % 11 % 6],
            };
            let bytes: Vec<u8> = (0..size).map(|at| (at * 7 + number) as u8).collect();
            fs::write(place.path().join(format!("f{number:04}")), bytes).unwrap();
        }
        let root = Arc::new(Root::open_host(place.path()).unwrap());
        let list = changes(&root, Stacking::Plain, IdMode::Root, &Nothing).unwrap();
        let times = Times::Fixed(Timestamp::from_seconds(1));
        let writer = || LayerWriter::new(vec![], Compression::None, 1, vec![]).unwrap();
        let [mut plain, mut marked, mut alone] = [writer(), writer(), writer()];
        let [mut all, mut single] = [Marks::default(), Marks::default()];
        pack(&list, &mut plain, times).unwrap();
        pack_marking(&list, &mut marked, times, &mut all).unwrap();
        for one in &list {
            pack_marking(std::slice::from_ref(one), &mut alone, times, &mut single).unwrap();
        }
        let [plain, marked, alone] =
            [plain, marked, alone].map(|writer| writer.finish().unwrap().0);
        assert!(plain == alone && marked == alone);
        let mut marks = 0;
        for change in &list {
            if let Content::File { stamp, .. } = &change.content {
                assert_eq!(all.get(stamp), single.get(stamp));
                marks += usize::from(all.get(stamp).is_some());
            }
        }
        assert!(marks > 1000, "{marks}");
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
