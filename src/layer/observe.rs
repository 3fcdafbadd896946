//! Reads a layer for its observers alone.

use std::io::Read;

use super::reader::Reader;
use super::{Error, Observer};

/// Reads a whole layer and shows it to the observers: entries, content, and what is odd about the
/// stream, bytes behind its end included. Nothing is kept; what is read is not checked against a
/// digest. The source is returned, read to its end.
pub fn observe<R: Read>(
    mut reader: Reader<R>,
    observers: &mut [&mut dyn Observer],
) -> Result<R, Error> {
    let mut buffer = vec![0; 64 << 10];
    while let Some(entry) = reader.next_entry()? {
        tell(&mut reader, observers);
        observers.iter_mut().for_each(|observer| observer.entry(&entry));
        let mut content = reader.content();
        loop {
            match content.read(&mut buffer).map_err(Error::from)? {
                0 => break,
                got => observers.iter_mut().for_each(|one| one.content(&buffer[..got])),
            }
        }
        observers.iter_mut().for_each(|observer| observer.end());
    }
    reader.read_trail()?;
    tell(&mut reader, observers);
    Ok(reader.into_inner())
}

fn tell<R: Read>(reader: &mut Reader<R>, observers: &mut [&mut dyn Observer]) {
    for (name, what) in reader.anomalies() {
        observers.iter_mut().for_each(|observer| observer.anomaly(&name, &what));
    }
}
