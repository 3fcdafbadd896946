//! `context-unfiltered`: COPY of the whole context, as it lies there.

use crate::policy::{Around, Found, Outline, Param, ParamKind, Rule, Transfer};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "context-unfiltered",
    title: "`COPY . .` without an ignore file ships `.git`, `.env` and editor droppings.",
    text: "Finds COPY or ADD of the whole main context (`.`, `*`) while there is no ignore file \
          and the folder holds more than the image wants, or while what is left still holds one \
          of `must_ignore`.",
    params: &[Param {
        name: "must_ignore",
        kind: ParamKind::Texts,
        default: r#"[".git", ".env", ".env.*", ".aws", ".ssh", ".npmrc", ".netrc", "*.pem", "*.key", ".terraform", "*.tfstate"]"#,
        help: "what must not be in an image",
    }],
    text_check: Some(check),
    bad: &["FROM scratch\nCOPY . /app/\n"],
    good: &["FROM scratch\nCOPY a /app/\n"],
    around: Around { files: &[("a", "x"), (".git/HEAD", "x")], ..Around::NONE },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let Some(context) = outline.input.context else { return };
    let Some(files) = context.files() else {
        found.skip("the context has too many files");
        return;
    };
    let patterns: Vec<String> = found.texts("must_ignore").into_iter().map(str::to_owned).collect();
    for item in outline.items() {
        let Some(transfer) = item.transfer().filter(Transfer::from_context) else { continue };
        let all = transfer.sources.iter().find(|(_, source)| {
            let clean = crate::policy::context::clean(source);
            clean.is_empty() || clean == "*"
        });
        let Some((span, _)) = all else { continue };
        let bad = files.iter().filter(|file| !file.ignored && !file.folder).find(|file| {
            file.path.split('/').any(|name| {
                patterns.iter().any(|pattern| crate::policy::glob::matches(pattern, name))
            })
        });
        let none = context.ignore_file().is_none() && !files.is_empty();
        let message = match bad {
            Some(file) => format!("the context holds `{}`, and all of it is copied", file.path),
            None if none => "the whole context is copied, and there is no ignore file".to_owned(),
            None => continue,
        };
        let help = "write what the image does not need into .dockerignore, or copy what it needs";
        found.tell(item.place, *span, message, "everything", help);
    }
}
