//! How much a text may ask for: hostile ones cost bounded time and stack.

/// How often texts may run texts (`sh -c 'sh -c …'`, functions that call functions).
pub(super) const DEEPEST: u8 = 8;
/// The most commands that are listed: inlined functions multiply.
pub(super) const MOST_COMMANDS: usize = 10_000;
/// Brackets and keywords that may nest, in one text. Scripts of thousands of lines have fewer.
const MOST_OPENERS: usize = 4_000;
/// `((` (tried as arithmetic and, on failure, as two groups) and `case` (its end too): nested, the
/// attempts of the grammar double with each.
const MOST_DOUBLING: usize = 10;
/// The same in one word, whose grammar backtracks.
const MOST_WORD_OPENERS: usize = 24;
/// Above this many, the parse gets a stack of its own.
const OPENERS_ON_STACK: usize = 40;
const BIG_STACK: usize = 512 * 1024 * 1024;

/// Runs `work` on texts that can nest so deep: here, or on a thread with a stack for it; `None`
/// if there can be no such thread.
pub(super) fn with_stack<T: Send>(openers: usize, work: impl FnOnce() -> T + Send) -> Option<T> {
    if openers <= OPENERS_ON_STACK {
        return Some(work());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(BIG_STACK).spawn_scoped(scope, work);
        thread.ok()?.join().ok()
    })
}

/// Tells whether a text nests more than is parsed.
pub(super) fn too_deep(text: &str) -> bool {
    let openers = openers(text);
    // Whatever doubles is an opener too.
    openers > MOST_OPENERS || (openers > MOST_DOUBLING && doubling(text) > MOST_DOUBLING)
}

/// Tells whether a word nests more than is parsed.
pub(in crate::facts::shell) fn word_too_deep(word: &str) -> bool {
    word.bytes().filter(|byte| matches!(byte, b'$' | b'`' | b'(')).count() > MOST_WORD_OPENERS
}

/// Returns an upper bound of how deep a text can nest.
pub(super) fn openers(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut count = 0;
    for at in 0..bytes.len() {
        match bytes[at] {
            b'(' | b'{' | b'`' | b'[' | b'!' => count += 1,
            b'i' if bytes[at..].starts_with(b"if") => count += 1,
            b'f' if bytes[at..].starts_with(b"for") || bytes[at..].starts_with(b"function") => {
                count += 1;
            }
            b'w' if bytes[at..].starts_with(b"while") => count += 1,
            b'u' if bytes[at..].starts_with(b"until") => count += 1,
            b'c' if bytes[at..].starts_with(b"case") || bytes[at..].starts_with(b"coproc") => {
                count += 1;
            }
            _ => {}
        }
    }
    count
}

fn doubling(text: &str) -> usize {
    let groups = text.as_bytes().windows(2).filter(|pair| pair == b"((").count();
    let cases = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| *word == "case");
    groups.max(cases.count())
}
