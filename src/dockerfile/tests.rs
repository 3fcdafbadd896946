//! Properties of the parser, and the grammar's corners.

use proptest::prelude::*;

use super::*;
use crate::diag::{Sources, render};

// One of everything that the grammar has.
const SEEDS: &[&str] = &[
    "# syntax=docker/dockerfile:1\n# escape=`\nFROM a AS b\nRUN x `\n  # c\n\n  y\nCOPY a`b c\n",
    "FROM --platform=$X a\nRUN --mount=type=cache,target=/c --network=none <<A cat && <<-'B' cat\n\
     a\nA\n\tb\n\tB\nONBUILD COPY <<E /f\nx\nE\nCMD [ \"a\\\"\", \"b\" ]\n",
    "\u{feff}ARG A=1 B=\"two words\" C\r\nENV A=${A:-${B#*x}} \\\r\n  D='e f'\r\n# c\r\nLABEL a b c\r\n",
    "COPY --chown=\"a b\":c --x -- --y /z\nHEALTHCHECK --interval=5s CMD [\"x\"]\nRUN a \\\\\nRUN b \\",
    "FROM x\nRUN echo \"<<EOF\" $((1<<2)) ${x:-<<E}\nRUN 3<<\"E F\" cat\nx\nE F\nMAINTAINER é ☃\n",
];

// The tree without places.
fn shape(file: &Dockerfile) -> String {
    fn line(line: &Line, out: &mut String) {
        let flags: Vec<_> = line
            .flags
            .iter()
            .map(|flag| (flag.name.as_str(), flag.value.as_ref().map(Text::as_str)))
            .collect();
        let heredocs: Vec<_> = line
            .heredocs
            .iter()
            .map(|doc| (&doc.name, doc.expand, doc.strip_tabs, doc.fd, &doc.content))
            .collect();
        let body = line.body.as_str();
        out.push_str(&format!("{:?} {flags:?} {body:?} {heredocs:?}\n", line.keyword.text));
        if let Some(nested) = &line.nested {
            self::shape_line(nested, out);
        }
    }
    let mut out = format!("{:?}\n", file.escape);
    for directive in &file.directives {
        out.push_str(&format!("{} {}\n", directive.name, directive.value));
    }
    file.lines.iter().for_each(|it| line(it, &mut out));
    out
}

fn shape_line(line: &Line, out: &mut String) {
    out.push_str(&format!("  {:?} {:?}\n", line.keyword.text, line.body.as_str()));
    line.heredocs.iter().for_each(|doc| out.push_str(&format!("  {} {}\n", doc.name, doc.content)));
}

fn holds(text: &str) {
    let (file, errors) = parse(SourceId(0), text);
    for span in file.lines.iter().flat_map(|line| [line.span, line.keyword.span, line.body.whole()])
    {
        assert!(text.get(span.range()).is_some(), "{span:?} in {text:?}");
    }
    for line in &file.lines {
        let (body, escape) = (&line.body, line.escape);
        blank_words(body).iter().for_each(|word| assert_eq!(&text[word.span.range()], word.raw));
        let mut expander = Expander::new(escape);
        for (word, _) in quoted_words(body, escape) {
            let _ = expander.word(&word.raw, &Scope::new());
            let _ = expander.list(&word.raw, &Scope::new());
        }
        let _ = crate::instruction::parse(line);
    }
    if errors.is_empty() {
        let printed = file.to_string();
        let (again, errors) = parse(SourceId(0), &printed);
        assert!(errors.is_empty(), "{text:?} prints as {printed:?}: {errors:?}");
        assert_eq!(shape(&file), shape(&again), "{text:?} prints as {printed:?}");
    }
}

#[test]
fn every_prefix_of_every_seed() {
    for seed in SEEDS {
        for end in (0..=seed.len()).filter(|end| seed.is_char_boundary(*end)) {
            // A word over a continuation has a gap in it, which `holds` knows nothing of.
            let text = seed[..end].replace("b\\\n", "b \\\n");
            holds(&text);
        }
    }
}

// Found by `fuzz/run parse`.
#[test]
fn a_last_backslash_that_continues_nothing_is_printed_as_such() {
    for text in ["ENV A=1 \\\r  \nB= C\n", "RUN a \\\u{a0}\nRUN b\n", "\\\u{b}\nRUN b\n"] {
        holds(text);
    }
}

proptest! {
    #[test]
    fn any_text_parses_and_prints(text in "([A-Z]{1,3}|<<-?|EOF|--[a-z]?|[ \t\n\\\\`\"'=$\\{\\}#\r,]|\\PC){0,40}") {
        let (file, errors) = parse(SourceId(0), &text);
        let _ = crate::instruction::parse_all(&file);
        if errors.is_empty() {
            let (again, _) = parse(SourceId(0), &file.to_string());
            prop_assert_eq!(shape(&file), shape(&again));
        }
    }

    #[test]
    fn any_word_expands_or_fails(word in "([$\\{\\}:?#%/*+'\"\\\\-]|[ab ]|é){0,30}") {
        let mut scope = Scope::new();
        scope.set("a", "x/y*é");
        for escape in ['\\', '`'] {
            let mut expander = Expander::new(escape);
            let _ = expander.word(&word, &scope);
            let _ = expander.list(&word, &scope);
            let _ = expander.heredoc(&word, &scope);
        }
    }
}

fn check(text: &str, want: expect_test::Expect) {
    let mut sources = Sources::new();
    let source = sources.add("Dockerfile", text);
    let (file, mut errors) = parse(source, text);
    errors.extend(crate::instruction::parse_all(&file).1);
    errors.sort_by_key(|error| error.span.map(|span| span.start));
    let shown: Vec<String> = errors.iter().map(|error| render(error, &sources, false)).collect();
    want.assert_eq(&shown.join("\n"));
}

#[test]
fn all_errors_at_once_each_at_its_place() {
    check(
        "FORM a\nCOPY --frm=x a \\\n  b\nRUN --mount=type=bnid,tgt=/x y\nENV A=1 B\nRUN <<EOF\n",
        expect_test::expect![[r#"
            error[unknown-instruction]: unknown instruction `FORM`
             --> Dockerfile:1:1
              |
            1 | FORM a
              | ^^^^
              |
              = help: did you mean `FROM`?
            error[unknown-flag]: unknown flag `--frm` of COPY
             --> Dockerfile:2:6
              |
            2 | COPY --frm=x a \
              |      ^^^^^^^
              |
              = help: did you mean `--from`?
            error[mount-type]: unsupported mount type `bnid`
             --> Dockerfile:4:13
              |
            4 | RUN --mount=type=bnid,tgt=/x y
              |             ^^^^^^^^^
              |
              = help: did you mean `bind`?
            error[mount-option]: unexpected option `tgt=/x` of --mount
             --> Dockerfile:4:23
              |
            4 | RUN --mount=type=bnid,tgt=/x y
              |                       ^^^^^^
            error[no-equals]: no `=` in `B`: the form is name=value
             --> Dockerfile:5:9
              |
            5 | ENV A=1 B
              |         ^
            error[unterminated-heredoc]: unterminated heredoc: no line `EOF` after it
             --> Dockerfile:6:5
              |
            6 | RUN <<EOF
              |     ^^^^^"#]],
    );
}

#[test]
fn offsets_of_a_run_map_back_over_continuations() {
    let text = "RUN one && \\\n  # note\n  two | \\\n  three\n";
    let (file, _) = parse(SourceId(0), text);
    let body = &file.lines[0].body;
    let at = body.as_str().find("three").unwrap();
    assert_eq!(&text[body.span(at..at + 5).range()], "three");
    assert_eq!(file.comments[0].text, " note");
}

#[test]
fn attack_85_limits_are_clean_errors() {
    let code = |text: &str| parse(SourceId(0), text).1.first().map(|error| error.code.0);
    assert_eq!(code(&"a".repeat(FILE_LIMIT + 1)), Some("file-too-long"));
    assert_eq!(code(&format!("RUN {}", "x".repeat(LINE_LIMIT))), Some("line-too-long"));
    assert_eq!(code(&"RUN x\\\n".repeat(400_000)), Some("line-too-long"));
    assert_eq!(code(&format!("{}# a\n\n", "RUN x\n".repeat(INSTRUCTION_LIMIT))), None);
    assert_eq!(code(&"RUN x\n".repeat(INSTRUCTION_LIMIT + 1)), Some("too-many-instructions"));
    // What is split into words may not have too many of them, on one line or on many.
    for (start, word) in [
        ("LABEL", " a=b"),
        ("ENV", " a=b"),
        ("ARG", " a"),
        ("COPY", " a"),
        ("EXPOSE", " 1"),
        ("ONBUILD VOLUME", " a"),
        ("CMD [\"a\"", ",\"a\""),
        ("HEALTHCHECK CMD [\"a\"", ",\"a\""),
        ("RUN", " <<a"),
        ("RUN --mount=a", ",a"),
    ] {
        let end = if start.contains('[') { "]\n" } else { "\n" };
        let line = |count: usize| format!("{start}{}{end}", word.repeat(count));
        assert_eq!(code(&line(WORD_LIMIT)), Some("too-many-words"), "{start}");
        assert_eq!(code(&line(9).repeat(9_000)).is_some(), start == "RUN", "{start}");
        // The first heredoc takes all that follows.
        let want = if start == "RUN" { "unterminated-heredoc" } else { "too-many-words" };
        assert_eq!(code(&line(99).repeat(1_100)), Some(want), "{start}");
    }
    // A shell's are not ours.
    assert_eq!(code(&format!("RUN x{}\n", " a".repeat(WORD_LIMIT * 2))), None);
}

#[test]
fn attack_87_heredocs_and_odd_bytes() {
    let many = format!("RUN {}\n", "<<A ".repeat(10_000));
    let (file, errors) = parse(SourceId(0), &many);
    assert_eq!((file.lines.len(), errors.len()), (1, 1));
    let closed = format!("{many}{}", "A\n".repeat(10_000));
    assert_eq!(parse(SourceId(0), &closed).0.lines[0].heredocs.len(), 10_000);
    let (_, errors) = parse(SourceId(0), "F\0R\0O\0M\0");
    assert_eq!(errors[0].code.0, "nul-byte");
    holds("FROM a\rRUN b\r\r\nRUN \u{202e}x\u{200b}");
}
