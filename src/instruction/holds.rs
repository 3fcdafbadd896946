//! What holds of the parse of every text, whatever is in it: the tests of `plan` and the fuzz targets
//! `parse` and `plan` ask it, and each brings the names along.

use super::{Diagnostic, Dockerfile, Instruction, Line, SourceId, parse, parse_all};

/// Parses, prints and parses again, and reads the instructions.
pub(super) fn parsed(
    source: SourceId,
    text: &str,
) -> (Dockerfile, Vec<Instruction>, Vec<Diagnostic>) {
    let (file, mut errors) = parse(source, text);
    for line in &file.lines {
        assert!(text.get(line.span.range()).is_some(), "{:?} of {text:?}", line.span);
        assert!(text.get(line.body.whole().range()).is_some(), "{:?} of {text:?}", line.body);
    }
    if errors.is_empty() {
        let printed = file.to_string();
        let (again, errors) = parse(source, &printed);
        assert!(errors.is_empty(), "{text:?} prints as {printed:?}: {errors:?}");
        assert_eq!(shape(&file), shape(&again), "{text:?} prints as {printed:?}");
    }
    let (instructions, more) = parse_all(&file);
    errors.extend(more);
    (file, instructions, errors)
}

/// The words of the tree, without places.
fn shape(file: &Dockerfile) -> String {
    let mut out = format!("{:?}\n", file.escape);
    for directive in &file.directives {
        out += &format!("{} {}\n", directive.name, directive.value);
    }
    for line in &file.lines {
        let mut at = Some(line);
        while let Some(Line { keyword, flags, body, heredocs, nested, .. }) = at {
            let flags: Vec<_> = flags
                .iter()
                .map(|flag| (&flag.name, flag.value.as_ref().map(|value| value.as_str())))
                .collect();
            let docs: Vec<_> = heredocs
                .iter()
                .map(|doc| (&doc.name, doc.expand, doc.strip_tabs, doc.fd, &doc.content))
                .collect();
            out += &format!("{:?} {flags:?} {:?} {docs:?}\n", keyword.text, body.as_str());
            at = nested.as_deref();
        }
    }
    out
}
