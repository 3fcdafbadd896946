//! `secret-literal`: a token in the text.

use crate::base::Span;
use crate::policy::{Alias, Found, Judged, Outline, Place, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "secret-literal",
    title: "A token in the text is a token in the history.",
    text: "Finds credentials that can be told by their form, anywhere in the file (comments, \
          heredocs and labels too) and in the values of build arguments: private keys, tokens of \
          AWS, GitHub, GitLab, Slack, Stripe, Google, npm and PyPI, JSON web tokens, passwords \
          in URLs; where a form has a checksum, it must hold. The value is not shown: its first \
          four letters and a digest are.\n\nPlaceholders (EXAMPLE, xxxx, changeme, `${…}`) are \
          none.",
    aliases: &[Alias::of("CIS-DI-0010")],
    standards: &["CIS 4.10", "NIST 800-190 4.1.4"],
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &[
        "FROM busybox\nRUN curl -fsS https://bot:s3cr3tvalue9@git.corp.example/x.tgz -o /x\n",
        "FROM scratch\n# https://bot:s3cr3tvalue9@git.corp.example/\n",
    ],
    good: &[
        "FROM busybox\nRUN curl -fsS https://git.corp.example/x.tgz -o /x\nLABEL doc=\"https://user:<password>@host\"\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let file = &outline.input.file;
    let text = &outline.input.sources.get(file.source).text;
    for credential in found.credentials(text) {
        let span = Span::new(file.source, credential.at.start, credential.at.end);
        let line = outline.line_at(span.start);
        let mut finding = found
            .finding(format!("{}: {}", credential.kind, credential.shown(text)))
            .at(span, "")
            .help("revoke it: it is known by now. Give secrets to steps by --mount=type=secret")
            .hide();
        if let Some((index, line)) = line {
            finding = finding.of(Place { index, span: line.span, stage: None });
        }
        found.add(finding);
    }
    for (name, value) in &outline.input.request.build_args {
        let Some(value) = value else { continue };
        for credential in found.credentials(value) {
            let shown = credential.shown(value);
            let finding = found
                .finding(format!("the build argument `{name}` is {}: {shown}", credential.kind))
                .evidence("name", name.as_str())
                .help("give it as a secret: --secret, and --mount=type=secret");
            found.add(finding);
        }
    }
}

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let config = &judged.facts.config.config;
    let labels = config.labels.iter().map(|(key, value)| ("labels", format!("{key}={value}")));
    let env = config.env.iter().map(|pair| ("config", pair.clone()));
    let words = config.cmd.iter().chain(&config.entrypoint).flatten();
    let words = words.map(|word| ("config", word.clone()));
    for (path, text) in labels.chain(env).chain(words) {
        for credential in found.credentials(&text) {
            let finding = found
                .finding(format!("{}: {}", credential.kind, credential.shown(&text)))
                .in_image(path, None)
                .help("revoke it, and give secrets to the container when it starts");
            found.add(finding);
        }
    }
}
