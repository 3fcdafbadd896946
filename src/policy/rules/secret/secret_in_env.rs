//! `secret-in-env`: a secret in the image's environment.

use std::collections::BTreeSet;

use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Judged, Outline, Param, ParamKind, Rule};

/// What rules about names of secrets take.
pub(super) const WORDS: &[Param] = &[
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
];

pub(in crate::policy) static RULE: Rule = Rule {
    id: "secret-in-env",
    title: "ENV is readable by anyone with pull access, through `inspect`.",
    text: "Finds an ENV whose name, split at `_`, `-` and humps, begins or ends with one of \
           `words`, or is the name of a known credential.\n\n\
           Passes: an empty value; names that end in _FILE, _PATH, _DIR, _URL, _NAME, _ID, _ALIAS, \
           _VERSION, _TYPE, _TTL, _LENGTH, _ENABLED, _PROMPT, _HEADER, _ALGORITHM, or hold `public`; \
           fingerprints of keys (GPG_KEY with 40 hex digits); values that are a path, a number, \
           true or false; names in `accept`.\n\n\
           Give the secret to the step that needs it: `RUN --mount=type=secret,id=ID,env=NAME`.",
    aliases: &[
        Alias::of("DL3064"),
        Alias::of("SecretsUsedInArgOrEnv"),
        Alias::of("CIS-DI-0010"),
        Alias::of("DS-0031"),
    ],
    standards: &["CIS 4.10", "NIST 800-190 4.1.4"],
    params: WORDS,
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &[
        "FROM scratch\nENV DB_PASSWORD=hunter2secret\n",
        "FROM scratch\nENV githubToken=abcdef\n",
        "FROM scratch\nENV AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE\n",
        "FROM scratch\nARG P=hunter2secret\nENV A=b TOKEN_CI=$P\n",
    ],
    good: &[
        "FROM scratch\nENV DB_PASSWORD_FILE=/run/secrets/db TLS_PUBLIC_KEY=abc KEY_ALIAS=x AUTH_MODULE_VERSION=1.2\n",
        "FROM scratch\nENV PASSWORD= KEYBOARD=de TOKEN_COUNT=3 GPG_KEY=7169605F62C751356D054A26A821E680E5FA6305\n",
    ],
    ..Rule::NEW
};

const ENDINGS: &[&str] = &[
    "_FILE",
    "_PATH",
    "_DIR",
    "_URL",
    "_NAME",
    "_ID",
    "_ALIAS",
    "_VERSION",
    "_TYPE",
    "_TTL",
    "_LENGTH",
    "_ENABLED",
    "_PROMPT",
    "_HEADER",
    "_ALGORITHM",
];

const KNOWN: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "DOCKER_AUTH_CONFIG",
    "GITHUB_PAT",
    "GOOGLE_APPLICATION_CREDENTIALS_JSON",
    "HEROKU_API_KEY",
    "NPM_CONFIG__AUTH",
    "PGPASSWORD",
    "MYSQL_PWD",
    "REDISCLI_AUTH",
    "SLACK_WEBHOOK",
    "SSHPASS",
];

// `dbPassword` and `DB-PASSWORD` are db, password.
fn split(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in name.chars().take(512) {
        if !c.is_alphanumeric() {
            words.push(String::new());
            lower = false;
            continue;
        }
        if c.is_uppercase() && lower {
            words.push(String::new());
        }
        lower = c.is_lowercase() || c.is_ascii_digit();
        words.last_mut().expect("never empty").extend(c.to_lowercase());
    }
    words.retain(|word| !word.is_empty());
    words
}

pub(in crate::policy) fn is_secret(
    name: &str,
    value: &str,
    words: &[&str],
    accept: &[&str],
) -> bool {
    let upper = name.to_ascii_uppercase();
    if value.is_empty() || accept.contains(&name) {
        return false;
    }
    if KNOWN.contains(&upper.as_str()) {
        return true;
    }
    let parts = split(name);
    if ENDINGS.iter().any(|ending| upper.ends_with(ending))
        || parts.iter().any(|part| part == "public" || part == "pub")
    {
        return false;
    }
    let fingerprint = (upper == "GPG_KEY" || upper.ends_with("_GPG_KEY"))
        && value.len() == 40
        && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    let plain = value.starts_with('/')
        || value.starts_with("./")
        || matches!(value.to_ascii_lowercase().as_str(), "true" | "false")
        || value.parse::<f64>().is_ok();
    if fingerprint || plain {
        return false;
    }
    let secret = |part: Option<&String>| part.is_some_and(|part| words.contains(&part.as_str()));
    secret(parts.first()) || secret(parts.last())
}

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    // A variable that steps have from a secret mount may have an empty stand-in.
    let mut mounted = BTreeSet::new();
    for item in outline.stages.iter().flat_map(|stage| &stage.items) {
        if let Instruction::Run(run) = item.instruction {
            mounted.extend(
                run.mounts.iter().filter_map(|mount| mount.value("env")).map(|word| &word.raw),
            );
        }
    }
    for item in outline.items_of("ENV") {
        let Instruction::Env(env) = item.instruction else { continue };
        for pair in &env.pairs {
            let name = item.expand(&pair.name.raw).unwrap_or_default();
            let value = item.expand(&pair.value.raw).unwrap_or_else(|| pair.value.raw.clone());
            if mounted.contains(&value)
                || !is_secret(&name, &value, &found.texts("words"), &found.accepted())
            {
                continue;
            }
            let finding = found
                .finding(format!("`{name}` looks like a secret, and ENV keeps it in the image"))
                .at(pair.name.span.to(pair.value.span), "anyone who can pull can read it")
                .of(item.place)
                .evidence("name", name.as_str())
                .help(format!(
                    "give it to the step that needs it: `RUN --mount=type=secret,id={},env={name} …`",
                    name.to_ascii_lowercase()
                ));
            found.add(finding);
        }
    }
}

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    for pair in &judged.facts.config.config.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if is_secret(name, value, &found.texts("words"), &found.accepted()) {
            let finding = found
                .finding(format!("`{name}` in the image's environment looks like a secret"))
                .in_image("config", None)
                .evidence("name", name)
                .help("give secrets to the container when it starts");
            found.add(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::tests::{Text, lines};

    #[test]
    fn accepted_names_pass() {
        let set = ["rules.secret-in-env.accept=[\"KEYCLOAK_ID_KEY\"]"];
        let text = |file| Text { set: &set, ..Text::new("secret-in-env", file) };
        assert_eq!(lines(&text("FROM scratch\nENV KEYCLOAK_ID_KEY=realm\n")), [] as [usize; 0]);
        assert_eq!(lines(&text("FROM scratch\nENV OTHER_KEY=realm\n")), [2]);
    }
}
