//! MD5 and SHA-1, as package databases hold them: to tell whether a file is the one that a package
//! brought. Both are broken against whoever makes both files; nothing is ever named by them.

use sha2::Digest as _;

use super::hex;

/// Both sums of one file, taken while it streams by.
#[derive(Clone, Default)]
pub struct Sums {
    md5: md5::Md5,
    sha1: sha1::Sha1,
}

impl Sums {
    /// Starts with nothing seen.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more of the content.
    pub fn update(&mut self, data: &[u8]) {
        self.md5.update(data);
        self.sha1.update(data);
    }

    /// Returns MD5 and SHA-1 of all that was taken, in hex.
    pub fn finish(self) -> (String, String) {
        (hex(&self.md5.finalize()), hex(&self.sha1.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_known_texts() {
        // RFC 1321, A.5, and RFC 3174, 7.3.
        let mut sums = Sums::new();
        sums.update(b"ab");
        sums.update(b"c");
        assert_eq!(
            sums.finish(),
            (
                "900150983cd24fb0d6963f7d28e17f72".to_owned(),
                "a9993e364706816aba3e25717850c26c9cd0d89d".to_owned()
            )
        );
    }
}
