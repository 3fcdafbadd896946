//! A Dockerfile: parsed, read as instructions, planned, printed and parsed again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rbuild::base::Platform;
use rbuild::diag::{Sources, render};
use rbuild::dockerfile::{Dockerfile, Line, parse};
use rbuild::instruction::parse_all;
use rbuild::plan::{Found, Request, Wanted, plan};

fuzz_target!(|text: &str| {
    let mut sources = Sources::new();
    let source = sources.add("Dockerfile", text);
    let (file, mut errors) = parse(source, text);
    for line in &file.lines {
        assert!(text.get(line.span.range()).is_some(), "{:?}", line.span);
        assert!(text.get(line.body.whole().range()).is_some(), "{:?}", line.body);
    }
    if errors.is_empty() {
        let printed = file.to_string();
        let (again, errors) = parse(source, &printed);
        assert!(errors.is_empty(), "prints as {printed:?}: {errors:?}");
        assert_eq!(shape(&file), shape(&again), "prints as {printed:?}");
    }
    let (instructions, more) = parse_all(&file);
    errors.extend(more);
    if errors.is_empty() {
        let request = Request::new(Platform::new("linux", "amd64", None));
        let unread = |_: &Wanted| Ok(Found::Unread);
        match plan(&file, &instructions, &request, &unread, &mut sources) {
            Ok(plan) => errors.extend(plan.warnings),
            Err(found) => errors.extend(found),
        }
    }
    for error in errors.iter().take(3) {
        let _ = render(error, &sources, false);
    }
});

/// The tree without places.
fn shape(file: &Dockerfile) -> String {
    let mut out = format!("{:?}\n", file.escape);
    for directive in &file.directives {
        out += &format!("{} {}\n", directive.name, directive.value);
    }
    for line in &file.lines {
        let mut at = Some(line);
        while let Some(Line { keyword, flags, body, heredocs, nested, .. }) = at {
            let flags =
                flags.iter().map(|flag| (&flag.name, flag.value.as_ref().map(|v| v.as_str())));
            let docs = heredocs
                .iter()
                .map(|doc| (&doc.name, doc.expand, doc.strip_tabs, doc.fd, &doc.content));
            let (flags, docs) = (flags.collect::<Vec<_>>(), docs.collect::<Vec<_>>());
            out += &format!("{:?} {flags:?} {:?} {docs:?}\n", keyword.text, body.as_str());
            at = nested.as_deref();
        }
    }
    out
}
