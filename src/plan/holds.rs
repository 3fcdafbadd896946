//! What holds of every text, whatever is in it: the tests of `plan` and the fuzz target `parse` ask it,
//! and each brings the names along.

use super::{
    Dockerfile, Found, Line, Platform, Request, Sources, Wanted, parse, parse_all, plan, render,
};

/// The most errors of one text that are shown.
const SHOWN: usize = 10;

/// Parses, prints, parses again, plans, and shows what is wrong. Returns whether there is a plan; if
/// not, there is an error.
pub(super) fn planned(text: &str) -> bool {
    let mut sources = Sources::new();
    let source = sources.add("Dockerfile", text);
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
    let mut there = false;
    if errors.is_empty() {
        let request = Request::new(Platform::new("linux", "amd64", None));
        let unread = |_: &Wanted| Ok(Found::Unread);
        match plan(&file, &instructions, &request, &unread, &mut sources) {
            Ok(plan) => {
                there = true;
                errors.extend(plan.warnings);
            }
            Err(found) => errors.extend(found),
        }
    }
    assert!(there || !errors.is_empty(), "neither a plan nor an error: {text:?}");
    for error in errors.iter().take(SHOWN) {
        drop(render(error, &sources, false));
    }
    there
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
