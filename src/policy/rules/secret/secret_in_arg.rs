//! `secret-in-arg`: a secret as a build argument.

use super::secret_in_env::is_secret;
use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Outline, Param, ParamKind, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "secret-in-arg",
    title: "Build arguments stay in the history of every RUN of the stage.",
    text: "Finds an ARG whose name is that of a secret, by the same words and with the same \
           exceptions as `secret-in-env`; with or without a default.\n\n\
           Use a secret mount: `RUN --mount=type=secret,id=ID,env=NAME`.",
    aliases: &[Alias::of("DL3064"), Alias::of("SecretsUsedInArgOrEnv"), Alias::of("DS-0031")],
    standards: &["CIS 4.10", "NIST 800-190 4.1.4"],
    params: &[
        Param {
            name: "words",
            kind: ParamKind::Texts,
            default: r#"["apikey", "auth", "credential", "credentials", "key", "passwd", "password", "passphrase", "pwd", "pword", "secret", "token"]"#,
            help: "words that names of secrets begin or end with",
        },
        Param {
            name: "accept",
            kind: ParamKind::Texts,
            default: "[]",
            help: "names that are no secrets",
        },
    ],
    text_check: Some(check),
    bad: &["FROM scratch\nARG NPM_TOKEN\n", "ARG DB_PASSWORD=hunter2\nFROM scratch\n"],
    good: &["FROM scratch\nARG TOKEN_COUNT_ENABLED=1\nARG VERSION=1\nARG KEY_FILE\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    // In the order of the text.
    let items: Vec<_> = outline.stages.iter().flat_map(|stage| &stage.items).collect();
    for (index, instruction) in outline.input.instructions.iter().enumerate() {
        let Instruction::Arg(arg) = instruction else { continue };
        let place = items.binary_search_by_key(&index, |item| item.place.index);
        let item = place.ok().and_then(|at| items.get(at));
        for declared in &arg.args {
            let name = &declared.name.raw;
            // Without a default the value comes from outside: it is one.
            let value = declared.default.as_ref().map_or("given", |word| word.raw.as_str());
            if !is_secret(name, value, &found.texts("words"), &found.accepted()) {
                continue;
            }
            let mut finding = found
                .finding(format!("`{name}` looks like a secret, and the image's history keeps it"))
                .at(declared.name.span, "a build argument is no secret")
                .evidence("name", name.as_str())
                .help(format!(
                    "give it to the step that needs it: `RUN --mount=type=secret,id={},env={name} …`",
                    name.to_ascii_lowercase()
                ));
            finding = finding.of(item
                .map_or(crate::policy::Place { index, span: arg.span, stage: None }, |item| {
                    item.place
                }));
            found.add(finding);
        }
    }
}
