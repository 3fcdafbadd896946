//! Words of a text that no parser takes: split at operators that stand outside quotes.

use std::ops::Range;

/// Returns the pipelines, each a list of commands, each a list of words as byte ranges. One pass,
/// no nesting; commands without words are left out.
pub(super) fn pipelines(text: &str) -> Vec<Vec<Vec<Range<usize>>>> {
    let bytes = text.as_bytes();
    let (mut all, mut pipeline, mut words) = (Vec::new(), Vec::new(), Vec::new());
    let mut word: Option<usize> = None;
    let mut quote = None;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if let Some(open) = quote {
            if byte == b'\\' && open == b'"' {
                at += 1;
            } else if byte == open {
                quote = None;
            }
            at += 1;
            continue;
        }
        match byte {
            b'\\' => {
                word.get_or_insert(at);
                at += 1;
            }
            b'\'' | b'"' => {
                word.get_or_insert(at);
                quote = Some(byte);
            }
            b' ' | b'\t' => words.extend(word.take().map(|start| start..at)),
            b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'`' => {
                words.extend(word.take().map(|start| start..at));
                if !words.is_empty() {
                    pipeline.push(std::mem::take(&mut words));
                }
                let pipe = byte == b'|' && bytes.get(at + 1) != Some(&b'|');
                if byte == b'|' && !pipe {
                    at += 1;
                }
                if !pipe && !pipeline.is_empty() {
                    all.push(std::mem::take(&mut pipeline));
                }
            }
            _ => {
                word.get_or_insert(at);
            }
        }
        at += 1;
    }
    words.extend(word.map(|start| start..bytes.len()));
    if !words.is_empty() {
        pipeline.push(words);
    }
    if !pipeline.is_empty() {
        all.push(pipeline);
    }
    all
}
