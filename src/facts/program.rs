//! What a file that may be run needs of the image around it: machine, loader and libraries of an
//! ELF file, the first line of a script. Read from the bytes while they stream by; what is kept of
//! them is bounded.
//!
//! ```text
//! ELF   header · program headers ──▶ PT_INTERP, PT_DYNAMIC, PT_LOAD
//!       PT_DYNAMIC ──▶ DT_NEEDED (offsets into) DT_STRTAB, an address that PT_LOAD turns into a place
//! ```

use serde::{Deserialize, Serialize};

/// What a file is to the kernel that is asked to run it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    /// An ELF file.
    Elf(Elf),
    /// A script: its first line without `#!` and the newline, 254 bytes at most, as the kernel reads.
    Script(String),
}

/// What the headers of an ELF file say.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Elf {
    /// 32 or 64.
    pub bits: u8,
    /// `e_machine`: 62 is x86-64, 183 is AArch64.
    pub machine: u16,
    /// `e_type`: 2 and 3 are programs and libraries, 4 is a core dump.
    pub kind: u16,
    /// The loader that it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// The libraries that the loader has to find, if there is a loader and they could be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed: Vec<String>,
}

impl Elf {
    /// The machine, as platforms of images call it; `another machine` for what has no Linux images.
    pub fn machine_name(&self) -> &'static str {
        // Numbers of the System V ABI, "e_machine".
        match self.machine {
            3 => "386",
            8 => "mips",
            20 | 21 => "ppc64",
            22 => "s390x",
            40 => "arm",
            62 => "amd64",
            183 => "arm64",
            243 => "riscv",
            258 => "loong64",
            _ => "another machine",
        }
    }

    /// Tells whether a kernel for this architecture of a platform runs it; `None` where that is not
    /// known. A kernel for x86-64 runs programs of 32 bits; many for AArch64 do not.
    pub fn runs_on(&self, architecture: &str) -> Option<bool> {
        let wanted: &[&str] = match self.machine_name() {
            "386" => &["386", "amd64"],
            "mips" => &["mips", "mipsle", "mips64", "mips64le"],
            "ppc64" => &["ppc64", "ppc64le"],
            "riscv" => &["riscv64"],
            "another machine" => return None,
            "s390x" => &["s390x"],
            "arm" => &["arm"],
            "amd64" => &["amd64"],
            "arm64" => &["arm64"],
            _ => &["loong64"],
        };
        Some(wanted.contains(&architecture))
    }
}

/// Bytes of the program headers that are looked at, from the start of the file.
const HEADERS: usize = 64 << 10;
/// Bytes from the start of a program that are kept while it is read: names of libraries stand there.
const HEAD: usize = 1 << 20;
/// Bytes of a table behind that.
const TABLE: u64 = 1 << 20;
/// What the kernel reads of a script (`BINPRM_BUF_SIZE`).
const LINE: usize = 256;
/// Names of libraries that are kept of one file, and their bytes: they may be the ends of one long text.
const NAMES: usize = 500;
const ALL_NAMES: usize = 32 << 10;

/// Looks at one file.
#[derive(Default)]
pub(super) struct ProgramScan {
    at: u64,
    head: Vec<u8>,
    wanted: Vec<Piece>,
    headers: Option<Headers>,
    asked: bool,
    done: bool,
}

// A part of the file that is kept when it comes by.
struct Piece {
    start: u64,
    length: u64,
    bytes: Vec<u8>,
}

struct Headers {
    elf: Elf,
    little: bool,
    interpreter: (u64, u64),
    dynamic: Option<(u64, u64)>,
    // Place in the file, address, length.
    loads: Vec<(u64, u64, u64)>,
}

impl ProgramScan {
    /// Takes the next bytes of the file.
    pub(super) fn feed(&mut self, data: &[u8]) {
        if self.done || data.is_empty() {
            return;
        }
        let base = self.at;
        self.at += data.len() as u64;
        self.keep_head(base, data);
        if self.headers.is_none() {
            self.look();
            if self.done {
                return;
            }
            self.keep_head(base, data);
        }
        self.keep_wanted(base, data, 0);
        // Looked at once, when all of it is here.
        if !self.asked
            && let Some(headers) = &self.headers
            && let Some(pairs) = self.dynamic(headers)
        {
            self.asked = true;
            let known = self.wanted.len();
            names_place(headers, &pairs).into_iter().for_each(|place| self.want(place));
            self.keep_wanted(base, data, known);
        }
    }

    /// Returns what the file is; `None` for what is no program.
    pub(super) fn finish(&mut self) -> Option<Program> {
        if self.head.starts_with(b"#!") {
            let line = &self.head[2..self.head.len().min(LINE)];
            let line = line.split(|byte| *byte == b'\n').next().unwrap_or(line);
            return Some(Program::Script(String::from_utf8_lossy(line).into_owned()));
        }
        let headers = match self.headers.take() {
            Some(headers) => headers,
            // Cut off: what there is still tells the machine.
            None => return self.header().map(|(elf, _)| Program::Elf(elf)),
        };
        let mut elf = headers.elf.clone();
        if let Some(bytes) = self.piece(headers.interpreter) {
            elf.interpreter = Some(until_nul(&bytes)).filter(|path| !path.is_empty());
        }
        if elf.interpreter.is_some() {
            elf.needed = self.needed(&headers).unwrap_or_default();
        }
        Some(Program::Elf(elf))
    }

    fn limit(&self) -> usize {
        match self.headers {
            Some(_) => HEAD,
            None => HEADERS,
        }
    }

    fn keep_head(&mut self, base: u64, data: &[u8]) {
        let Ok(from) = usize::try_from(self.head.len() as u64 - base.min(self.head.len() as u64))
        else {
            return;
        };
        // Something was left out already: what comes now is not its continuation.
        if (self.head.len() as u64) < base || from >= data.len() {
            return;
        }
        let room = self.limit().saturating_sub(self.head.len()).min(data.len() - from);
        self.head.extend_from_slice(&data[from..from + room]);
    }

    fn keep_wanted(&mut self, base: u64, data: &[u8], from: usize) {
        for piece in self.wanted.iter_mut().skip(from) {
            let next = piece.start + piece.bytes.len() as u64;
            let end = piece.start + piece.length;
            let stop = base + data.len() as u64;
            if next < base || next >= stop || next >= end {
                continue;
            }
            let (first, last) = ((next - base) as usize, (end.min(stop) - base) as usize);
            piece.bytes.extend_from_slice(&data[first..last]);
        }
    }

    fn want(&mut self, (start, length): (u64, u64)) {
        let (length, bytes) = (length.min(TABLE), Vec::new());
        if start.checked_add(length).is_some() {
            self.wanted.push(Piece { start, length, bytes });
        }
    }

    // A part of the file, if all of it was kept.
    fn piece(&self, (start, length): (u64, u64)) -> Option<Vec<u8>> {
        let length = length.min(TABLE);
        let end = start.checked_add(length)?;
        if end <= self.head.len() as u64 {
            return Some(self.head[start as usize..end as usize].to_vec());
        }
        let piece = self.wanted.iter().find(|piece| piece.start == start)?;
        (piece.bytes.len() as u64 >= length).then(|| piece.bytes.clone())
    }

    // The class, the machine, the type and the order of bytes.
    fn header(&self) -> Option<(Elf, bool)> {
        let head = &self.head;
        if !head.starts_with(b"\x7fELF") {
            return None;
        }
        let little = *head.get(5)? != 2;
        let bits = if *head.get(4)? == 1 { 32 } else { 64 };
        let number = |at| number(head, at, 2, little).map(|number| number as u16);
        let kind = number(16).unwrap_or(0);
        let machine = number(18).unwrap_or(0);
        Some((Elf { bits, machine, kind, ..Elf::default() }, little))
    }

    // Reads the headers once they are here; ends the search where there is nothing to find.
    fn look(&mut self) {
        if self.head.len() < 4 {
            return;
        }
        if self.head.starts_with(b"#!") {
            self.done = self.head.len() >= LINE;
            return;
        }
        if !self.head.starts_with(b"\x7fELF") {
            self.done = true;
            return;
        }
        if self.head.len() < 64 {
            return;
        }
        let Some((elf, little)) = self.header() else { return };
        let wide = elf.bits == 64;
        let head = &self.head;
        let field = |at: usize, size: usize| number(head, at, size, little).unwrap_or(0);
        // Offsets of e_phoff, e_phentsize and e_phnum (System V ABI, "ELF Header").
        let (first, each, count) = match wide {
            true => (field(32, 8), field(54, 2), field(56, 2)),
            false => (field(28, 4), field(42, 2), field(44, 2)),
        };
        let end = each.checked_mul(count).and_then(|length| length.checked_add(first));
        let Some(end) = end.filter(|end| *end <= HEADERS as u64) else {
            self.done = true;
            return;
        };
        if (head.len() as u64) < end {
            return;
        }
        let mut found =
            Headers { elf, little, interpreter: (0, 0), dynamic: None, loads: Vec::new() };
        for index in 0..count {
            let at = (first + index * each) as usize;
            let (place, address, length) = match wide {
                true => (field(at + 8, 8), field(at + 16, 8), field(at + 32, 8)),
                false => (field(at + 4, 4), field(at + 8, 4), field(at + 16, 4)),
            };
            match field(at, 4) {
                1 => found.loads.push((place, address, length)),
                2 => found.dynamic = Some((place, length)),
                // A path of the kernel is no longer.
                3 if length <= 4096 => found.interpreter = (place, length),
                _ => {}
            }
        }
        let (interpreter, dynamic) = (found.interpreter, found.dynamic);
        self.done = interpreter.1 == 0;
        self.headers = Some(found);
        if !self.done {
            self.want(interpreter);
            dynamic.into_iter().for_each(|place| self.want(place));
        }
    }

    // Pairs of tag and value of the dynamic section.
    fn dynamic(&self, headers: &Headers) -> Option<Vec<(u64, u64)>> {
        let bytes = self.piece(headers.dynamic?)?;
        let size = if headers.elf.bits == 64 { 8 } else { 4 };
        let pairs = (0..bytes.len() / (2 * size)).map_while(|index| {
            let tag = number(&bytes, 2 * size * index, size, headers.little)?;
            let value = number(&bytes, 2 * size * index + size, size, headers.little)?;
            (tag != 0).then_some((tag, value))
        });
        Some(pairs.collect())
    }

    fn needed(&self, headers: &Headers) -> Option<Vec<String>> {
        let pairs = self.dynamic(headers)?;
        let names = self.piece(names_place(headers, &pairs)?)?;
        let needed = pairs.iter().filter(|(tag, _)| *tag == 1).take(NAMES);
        let needed = needed.filter_map(|(_, at)| names.get(usize::try_from(*at).ok()?..));
        let mut left = ALL_NAMES;
        let needed = needed.map(until_nul).filter(|name| !name.is_empty()).map_while(|name| {
            left = left.checked_sub(name.len())?;
            Some(name)
        });
        Some(needed.collect())
    }
}

// Where the names of libraries are: DT_STRTAB and DT_STRSZ.
fn names_place(headers: &Headers, pairs: &[(u64, u64)]) -> Option<(u64, u64)> {
    let value = |tag| pairs.iter().find(|(found, _)| *found == tag).map(|(_, value)| *value);
    let (address, length) = (value(5)?, value(10)?);
    let load = headers
        .loads
        .iter()
        .find(|(_, start, length)| (*start..start.saturating_add(*length)).contains(&address))?;
    Some((load.0.checked_add(address - load.1)?, length))
}

fn number(bytes: &[u8], at: usize, size: usize, little: bool) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    Some(if little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) })
}

fn until_nul(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or(&[]);
    String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8], size: usize) -> Option<Program> {
        let mut scan = ProgramScan::default();
        bytes.chunks(size).for_each(|piece| scan.feed(piece));
        scan.finish()
    }

    // A program of 64 bits with a loader at 0x200, libraries' names at `names` and its dynamic section
    // at `dynamic`; addresses are places plus 0x1000.
    fn elf(names: usize, dynamic: usize) -> Vec<u8> {
        let mut out = vec![0; names.max(dynamic) + 0x200];
        let mut put = |at: usize, value: u64, size: usize| {
            out[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        };
        put(32, 64, 8);
        put(54, 56, 2);
        put(56, 3, 2);
        put(18, 62, 2);
        put(16, 3, 2);
        for (index, kind, place, length) in
            [(0, 3, 0x200, 16), (1, 1, 0, u64::MAX >> 1), (2, 2, dynamic as u64, 80)]
        {
            let at = 64 + 56 * index;
            put(at, kind, 4);
            put(at + 8, place, 8);
            put(at + 16, place + 0x1000, 8);
            put(at + 32, length, 8);
        }
        for (index, (tag, value)) in
            [(1, 1), (1, 8), (5, names as u64 + 0x1000), (10, 32), (0, 0)].into_iter().enumerate()
        {
            put(dynamic + 16 * index, tag, 8);
            put(dynamic + 16 * index + 8, value, 8);
        }
        out[..6].copy_from_slice(b"\x7fELF\x02\x01");
        out[0x200..0x20b].copy_from_slice(b"/lib/ld.so\0");
        out[names..names + 16].copy_from_slice(b"\0liba.1\0libb.2\0\0");
        out
    }

    #[test]
    fn loader_and_libraries_are_found_in_pieces_of_any_size() {
        // Both near; names after the section; the section beyond what is kept of the start; both.
        for (names, dynamic) in
            [(0x300, 0x400), (0x500, 0x400), (0x300, 3 << 20), (0x10_0000 * 4, 0x10_0000 * 3)]
        {
            let file = elf(names, dynamic);
            for size in [1 << 20, 65_536, 4096, 333] {
                let Some(Program::Elf(elf)) = scan(&file, size) else { panic!("no program") };
                assert_eq!((elf.bits, elf.machine, elf.kind), (64, 62, 3));
                assert_eq!(
                    elf.interpreter.as_deref(),
                    Some("/lib/ld.so"),
                    "{names} {dynamic} {size}"
                );
                assert_eq!(elf.needed, ["liba.1", "libb.2"], "{names} {dynamic} {size}");
            }
        }
        // Names that went by before anybody knew of them are not told, and nothing else is.
        let Some(Program::Elf(elf)) = scan(&elf(2 << 20, 3 << 20), 4096) else { panic!() };
        assert!(elf.needed.is_empty() && elf.interpreter.is_some());
    }

    #[test]
    fn names_that_are_parts_of_one_text_are_not_all_kept() {
        let mut file = elf(0x300, 0x4000);
        file.resize(0x8000, 0);
        file[0x301..0x301 + 0x1000].fill(b'a');
        let mut put =
            |at: usize, value: u64| file[at..at + 8].copy_from_slice(&value.to_le_bytes());
        put(64 + 56 * 2 + 32, 16 * 403);
        let needed = (0..400).map(|at| (1, 1 + at));
        let pairs = [(5, 0x1300), (10, 0x2000)].into_iter().chain(needed).chain([(0, 0)]);
        for (index, (tag, value)) in pairs.enumerate() {
            put(0x4000 + 16 * index, tag);
            put(0x4008 + 16 * index, value);
        }
        let Some(Program::Elf(elf)) = scan(&file, 4096) else { panic!() };
        let bytes: usize = elf.needed.iter().map(String::len).sum();
        assert!((ALL_NAMES - 0x1000..=ALL_NAMES).contains(&bytes), "{bytes}");
    }

    #[test]
    fn this_program_needs_its_libraries() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let Some(Program::Elf(elf)) = scan(&own, 65_536) else { panic!("no program") };
        if elf.interpreter.is_some() {
            assert!(elf.needed.iter().any(|name| name.starts_with("libc.")), "{elf:?}");
        }
    }

    #[test]
    fn scripts_and_what_is_neither() {
        let script = |text: &str| match scan(text.as_bytes(), 3) {
            Some(Program::Script(line)) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(script("#!/bin/sh\necho\n"), "/bin/sh");
        assert_eq!(script("#!/bin/sh -e\r\n"), "/bin/sh -e\r");
        assert_eq!(script(&format!("#!{}", "x".repeat(1000))).len(), 254);
        assert_eq!(scan(b"text", 2), None);
        assert_eq!(scan(b"", 2), None);
    }

    #[test]
    fn hostile_headers_are_no_danger() {
        let file = elf(0x300, 0x400);
        for at in 0..0x480 {
            for value in [0, 0x7f, 0xff] {
                let mut bad = file.clone();
                bad[at] = value;
                scan(&bad, 777);
            }
            scan(&file[..at], 64);
        }
        let cut = scan(b"\x7fELF\x02\x01\x01\0", 8);
        assert!(matches!(cut, Some(Program::Elf(elf)) if elf.bits == 64 && elf.machine == 0));
    }
}
