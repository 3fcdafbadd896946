//! Here-documents: the input is the body of a RUN, COPY, ADD or trigger, and what follows it. What the
//! instructions make of them is for `parse`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rbuild::base::SourceId;
use rbuild::dockerfile::{Expander, Line, Scope, parse};

fuzz_target!(|text: &str| {
    let mut scope = Scope::new();
    scope.set("a", "x y");
    // One of them an input, or each would take four times as long.
    let head = ["RUN ", "COPY ", "ADD --chmod=644 ", "ONBUILD RUN "][text.len() % 4];
    let text = format!("{head}{text}\n");
    let (file, errors) = parse(SourceId(0), &text);
    for line in &file.lines {
        let mut at = Some(line);
        while let Some(Line { heredocs, nested, .. }) = at {
            for heredoc in heredocs {
                let content = text.get(heredoc.span.range());
                assert!(content.is_some(), "{heredoc:?}");
                assert!(text.get(heredoc.marker.range()).is_some(), "{heredoc:?}");
                let shown = heredoc.text();
                assert!(shown.len() <= heredoc.content.len());
                let _ = Expander::new('\\').heredoc(&shown, &scope);
            }
            at = nested.as_deref();
        }
    }
    if errors.is_empty() {
        let (again, _) = parse(SourceId(0), &file.to_string());
        assert_eq!(again.lines.len(), file.lines.len(), "{file}");
    }
});
