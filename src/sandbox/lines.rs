//! A stream of bytes, cut into lines and masked.

use crate::base::Masker;

/// A line longer than this is handed out in pieces.
const LONGEST: usize = 64 << 10;

/// Collects what was read until a line is whole. Secrets are masked also where two reads, or two
/// pieces of a long line, cut them.
pub(super) struct Lines<'a> {
    masker: &'a Masker,
    open: Vec<u8>,
    masked: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn new(masker: &'a Masker) -> Self {
        Lines { masker, open: Vec::new(), masked: 0 }
    }

    /// Takes bytes, and hands each line that is whole to `output`, without its newline.
    pub(super) fn push(&mut self, bytes: &[u8], output: &mut dyn FnMut(&[u8])) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.open.extend_from_slice(part);
            if self.open.last() == Some(&b'\n') {
                self.open.pop();
                self.hand_out(self.open.len(), output);
                continue;
            }
            if self.open.len() > LONGEST {
                // What may be the start of a secret waits for the rest of it; but not for ever.
                let tail = self.masker.open_tail(&self.open);
                let tail = if self.open.len() > 4 * LONGEST { 0 } else { tail };
                if tail < self.open.len() {
                    self.hand_out(self.open.len() - tail, output);
                }
            }
        }
    }

    /// Hands out what is left when the stream has ended; tells in how many pieces something was
    /// masked.
    pub(super) fn finish(mut self, output: &mut dyn FnMut(&[u8])) -> u64 {
        if !self.open.is_empty() {
            self.hand_out(self.open.len(), output);
        }
        self.masked
    }

    fn hand_out(&mut self, length: usize, output: &mut dyn FnMut(&[u8])) {
        let mut piece = &self.open[..length];
        let masked;
        if !self.masker.is_empty() {
            masked = self.masker.mask(piece);
            self.masked += u64::from(masked != piece);
            piece = &masked;
        }
        // A mask can make text longer, never without bound; pieces stay within what was promised.
        if piece.is_empty() {
            output(piece);
        }
        for piece in piece.chunks(LONGEST) {
            output(piece);
        }
        self.open.drain(..length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;

    fn check(reads: &[&[u8]], want: &[&str]) {
        let masker = Masker::new();
        masker.add(&Secret::new(b"hunter2-TOKEN".to_vec()));
        let mut got = Vec::new();
        let mut output = |line: &[u8]| got.push(String::from_utf8_lossy(line).into_owned());
        let mut lines = Lines::new(&masker);
        for read in reads {
            lines.push(read, &mut output);
        }
        let masked = lines.finish(&mut output);
        assert_eq!(masked, want.iter().filter(|line| line.contains("***")).count() as u64);
        assert_eq!(got, want);
    }

    #[test]
    fn lines_and_rest() {
        check(&[b"a\nb", b"c\n\n", b"end"], &["a", "bc", "", "end"]);
        check(&[], &[]);
    }

    #[test]
    fn secrets_are_masked_across_reads() {
        check(&[b"x hunter2", b"-TO", b"KEN y\n"], &["x *** y"]);
    }

    #[test]
    fn secrets_are_masked_across_pieces_of_a_long_line() {
        let mut first = vec![b'y'; LONGEST - 3];
        first.extend(b"hunter2");
        let want = "y".repeat(LONGEST - 3);
        check(&[&first, b"-TOKEN!\n"], &[&want, "***!"]);
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let masker = Masker::new();
        let mut most = 0;
        let mut total = 0;
        let mut lines = Lines::new(&masker);
        for _ in 0..100 {
            lines.push(&[b'x'; 10_000], &mut |line| {
                most = most.max(line.len());
                total += line.len();
            });
            assert!(lines.open.len() <= 4 * LONGEST + 10_000);
        }
        lines.finish(&mut |line| total += line.len());
        assert!(most <= LONGEST);
        assert_eq!(total, 1_000_000);
    }
}
