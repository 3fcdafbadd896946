//! Where the bytes of a file are, when not all of them are in the archive.

use super::Error;
use super::pax::decimal;

/// The pieces of a file that are stored, and its size with the holes between them.
#[derive(Debug, Default)]
pub(super) struct Map {
    /// Offset and length; ascending, apart, none empty.
    pieces: Vec<(u64, u64)>,
    size: u64,
}

impl Map {
    /// Takes offsets and lengths, one after the other. All must lie in order within `size`, and
    /// make up the `stored` bytes.
    pub(super) fn new(numbers: &[u64], size: u64, stored: u64) -> Result<Map, Error> {
        let broken = || Error::Malformed("a sparse map is broken".to_owned());
        let (pairs, []) = numbers.as_chunks::<2>() else { return Err(broken()) };
        let (mut end, mut sum) = (0u64, 0u64);
        let mut pieces = Vec::new();
        for [offset, length] in pairs {
            let next = offset.checked_add(*length).ok_or_else(broken)?;
            if *offset < end || next > size {
                return Err(broken());
            }
            end = next;
            sum += length;
            if *length > 0 {
                pieces.push((*offset, *length));
            }
        }
        if sum != stored {
            return Err(broken());
        }
        Ok(Map { pieces, size })
    }
}

/// The content of the current entry: how far it was read, and what is still to come.
#[derive(Debug, Default)]
pub(super) struct Body {
    position: u64,
    size: u64,
    piece: (u64, u64),
    later: std::vec::IntoIter<(u64, u64)>,
}

/// What the next bytes of a content are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// So many zeros that are not in the archive.
    Hole(u64),
    /// So many bytes of the archive.
    Data(u64),
    /// Nothing.
    End,
}

impl Body {
    /// Returns the body of a file of `size` bytes that are all stored.
    pub(super) fn whole(size: u64) -> Body {
        Body { position: 0, size, piece: (0, size), later: Vec::new().into_iter() }
    }

    /// Returns the body of a file with holes.
    pub(super) fn sparse(map: Map) -> Body {
        Body { position: 0, size: map.size, piece: (0, 0), later: map.pieces.into_iter() }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Tells whether nothing was read yet, and all bytes are stored, in one piece.
    pub(super) fn is_whole(&self) -> bool {
        self.position == 0 && self.piece == (0, self.size) && self.later.as_slice().is_empty()
    }

    pub(super) fn next(&mut self) -> Next {
        loop {
            let (offset, length) = self.piece;
            if self.position < offset {
                return Next::Hole(offset - self.position);
            }
            if self.position < offset + length {
                return Next::Data(offset + length - self.position);
            }
            match self.later.next() {
                Some(piece) => self.piece = piece,
                None if self.position < self.size => return Next::Hole(self.size - self.position),
                None => return Next::End,
            }
        }
    }

    pub(super) fn advance(&mut self, by: u64) {
        self.position += by;
    }
}

/// Collects the map that stands before the data in GNU's form 1.0: decimal numbers, each ended by
/// a newline, the first one the number of pieces; padded to a whole block.
#[derive(Debug, Default)]
pub(super) struct MapReader {
    digits: Vec<u8>,
    numbers: Vec<u64>,
    wanted: Option<usize>,
}

impl MapReader {
    /// Takes a block. Returns the offsets and lengths when they are complete.
    pub(super) fn block(&mut self, block: &[u8]) -> Result<Option<Vec<u64>>, Error> {
        let broken = || Error::Malformed("a sparse map is broken".to_owned());
        for byte in block {
            if *byte != b'\n' {
                if self.digits.len() >= 20 {
                    return Err(broken());
                }
                self.digits.push(*byte);
                continue;
            }
            let number = decimal(&self.digits).ok_or_else(broken)?;
            self.digits.clear();
            match self.wanted {
                None => {
                    let count = usize::try_from(number).map_err(|_| broken())?;
                    self.wanted = Some(count.checked_mul(2).ok_or_else(broken)?);
                }
                Some(_) => self.numbers.push(number),
            }
            if self.wanted == Some(self.numbers.len()) {
                return Ok(Some(std::mem::take(&mut self.numbers)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_must_be_in_order_and_complete() {
        for (numbers, size, stored, good) in [
            (&[][..], 10, 0, true),
            (&[0, 5, 7, 3], 10, 8, true),
            (&[0, 5, 10, 0], 10, 5, true),
            (&[0, 5, 7, 3], 9, 8, false),
            (&[0, 5, 4, 3], 10, 8, false),
            (&[7, 3, 0, 5], 10, 8, false),
            (&[0, 5, 7], 10, 5, false),
            (&[0, 5], 10, 6, false),
            (&[1, u64::MAX], u64::MAX, u64::MAX, false),
        ] {
            assert_eq!(Map::new(numbers, size, stored).is_ok(), good, "{numbers:?}");
        }
    }

    #[test]
    fn bodies_alternate_between_holes_and_data() {
        let mut body = Body::sparse(Map::new(&[2, 3, 5, 1, 8, 1], 10, 5).unwrap());
        let mut seen = Vec::new();
        loop {
            let next = body.next();
            let (Next::Hole(length) | Next::Data(length)) = next else { break };
            body.advance(length);
            seen.push(next);
        }
        use Next::{Data, Hole};
        assert_eq!(seen, [Hole(2), Data(3), Data(1), Hole(2), Data(1), Hole(1)]);
    }
}
