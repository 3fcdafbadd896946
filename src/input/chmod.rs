//! The value of `--chmod`: octal, or symbolic as in chmod(1).

use super::Error;

/// A change of permission bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chmod {
    /// These bits, whatever they were.
    Bits(u32),
    /// Clauses that change them one after the other.
    Clauses(Vec<Clause>),
}

/// One clause of a symbolic mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    who: u32,
    operator: u8,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Bits { rwx: u32, special: bool, sticky: bool, search: bool },
    CopyOf(u32),
}

const USER: u32 = 0o700;
const GROUP: u32 = 0o070;
const OTHER: u32 = 0o007;

impl Chmod {
    /// Parses `644`, `0755`, `u=rwX,go=rX`, `+x`, `g=u`, …
    pub fn parse(text: &str) -> Result<Chmod, Error> {
        let refuse = |reason| Error::Chmod { text: text.escape_default().to_string(), reason };
        if text.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) {
            return match u32::from_str_radix(text, 8) {
                Ok(bits) if bits <= 0o7777 => Ok(Chmod::Bits(bits)),
                Ok(_) => Err(refuse("the mode is out of range 0 to 7777")),
                Err(_) => Err(refuse("neither an octal nor a symbolic mode")),
            };
        }
        let clauses = text.split(',').map(parse_clause).collect::<Option<Vec<_>>>();
        let clauses = clauses.ok_or_else(|| refuse("neither an octal nor a symbolic mode"))?;
        Ok(Chmod::Clauses(clauses.into_iter().flatten().collect()))
    }

    /// Returns what `mode` becomes. `X` gives search to folders, and to files that someone may
    /// execute already.
    pub fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        let clauses = match self {
            Chmod::Bits(bits) => return *bits,
            Chmod::Clauses(clauses) => clauses,
        };
        clauses.iter().fold(mode, |mode, clause| clause.apply(mode, is_dir))
    }
}

fn parse_clause(text: &str) -> Option<Vec<Clause>> {
    let bytes = text.as_bytes();
    let is_who = |byte: &u8| b"ugoa".contains(byte);
    let start = bytes.iter().position(|byte| !is_who(byte))?;
    let who = bytes[..start].iter().fold(0, |who, byte| {
        who | match byte {
            b'u' => USER,
            b'g' => GROUP,
            b'o' => OTHER,
            _ => 0o777,
        }
    });
    let who = if who == 0 { 0o777 } else { who };
    let mut clauses = Vec::new();
    let mut rest = &bytes[start..];
    while let Some((&operator, tail)) = rest.split_first() {
        if !b"+-=".contains(&operator) {
            return None;
        }
        let end = tail.iter().position(|byte| b"+-=".contains(byte)).unwrap_or(tail.len());
        let what = match &tail[..end] {
            b"u" => What::CopyOf(6),
            b"g" => What::CopyOf(3),
            b"o" => What::CopyOf(0),
            letters => {
                let (mut rwx, mut special, mut sticky, mut search) = (0, false, false, false);
                for letter in letters {
                    match letter {
                        b'r' => rwx |= 4,
                        b'w' => rwx |= 2,
                        b'x' => rwx |= 1,
                        b'X' => search = true,
                        b's' => special = true,
                        b't' => sticky = true,
                        _ => return None,
                    }
                }
                What::Bits { rwx, special, sticky, search }
            }
        };
        clauses.push(Clause { who, operator, what });
        rest = &tail[end..];
    }
    (!clauses.is_empty()).then_some(clauses)
}

impl Clause {
    fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        let (rwx, special, sticky) = match self.what {
            What::CopyOf(shift) => (mode >> shift & 7, false, false),
            What::Bits { rwx, special, sticky, search } => {
                let search = search && (is_dir || mode & 0o111 != 0);
                (rwx | u32::from(search), special, sticky)
            }
        };
        let mut bits = (rwx << 6 | rwx << 3 | rwx) & self.who;
        if special {
            bits |= if self.who & USER != 0 { 0o4000 } else { 0 };
            bits |= if self.who & GROUP != 0 { 0o2000 } else { 0 };
        }
        if sticky && self.who & OTHER != 0 {
            bits |= 0o1000;
        }
        match self.operator {
            b'+' => mode | bits,
            b'-' => mode & !bits,
            _ => {
                let mut cleared = self.who;
                // Set-id bits of folders are kept unless they are named, as GNU chmod does.
                if !is_dir {
                    cleared |= if self.who & USER != 0 { 0o4000 } else { 0 };
                    cleared |= if self.who & GROUP != 0 { 0o2000 } else { 0 };
                }
                (mode & !cleared) | bits
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, mode: u32, is_dir: bool) -> String {
        match Chmod::parse(text) {
            Ok(chmod) => format!("{:o}", chmod.apply(mode, is_dir)),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn modes() {
        for (text, mode, is_dir, want) in [
            ("600", 0o644, false, "600"),
            ("4755", 0o644, false, "4755"),
            ("+x", 0o644, false, "755"),
            ("u=rwX,go=rX", 0o600, false, "644"),
            ("u=rwX,go=rX", 0o700, true, "755"),
            ("u=rwX,go=rX", 0o755, false, "755"),
            ("g=u,o=", 0o644, false, "660"),
            ("a-w", 0o644, false, "444"),
            ("u+s,g+s", 0o755, false, "6755"),
            ("+t", 0o777, true, "1777"),
            ("ug+rw-x", 0o111, false, "661"),
        ] {
            assert_eq!(check(text, mode, is_dir), want, "{text}");
        }
        for (text, reason) in [
            ("99z", "neither"),
            ("17777", "out of range"),
            ("", "neither"),
            ("u", "neither"),
            ("u=q", "neither"),
            ("888", "neither"),
            ("+x,", "neither"),
        ] {
            assert!(check(text, 0, false).contains(reason), "{text}");
        }
    }
}
