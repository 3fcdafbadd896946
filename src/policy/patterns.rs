//! Regular expressions that policies write, with a bound on what they cost: `/^CC[0-9]{4}$/` of
//! `[labels.schema]`, `[secrets] extra`. The only place in `policy` that knows the crate.

use regex::{Regex, RegexBuilder};
use toml::{Table, Value};

use super::custom::interned;
use super::profile::PolicyError;
use crate::facts::credentials::Credential;

/// The kinds of values that labels may have, besides patterns.
const KINDS: &[&str] = &["text", "url", "email", "semver", "rfc3339", "spdx", "hash"];

fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(1 << 20).build().map_err(|error| {
        let text = error.to_string();
        text.lines().last().unwrap_or("").trim().to_owned()
    })
}

/// Tells whether a value is of a kind that stands in slashes; `None` if the kind is none.
pub(super) fn fits(kind: &str, value: &str) -> Option<bool> {
    let pattern = kind.strip_prefix('/')?.strip_suffix('/')?;
    Some(compile(pattern).is_ok_and(|regex| regex.is_match(value)))
}

/// Checks what the kinds of values in a section do not.
pub(super) fn check(section: &str, table: &Table, place: &str) -> Result<(), PolicyError> {
    let fail = |message: String| Err(PolicyError::new(place, message));
    if let ("labels", Some(schema)) = (section, table.get("schema").and_then(Value::as_table)) {
        for (label, kind) in schema {
            let kind = kind.as_str().unwrap_or("");
            let pattern = kind.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
            match pattern.map(compile) {
                Some(Err(error)) => return fail(format!("`labels.schema`: `{label}`: {error}")),
                None if !KINDS.contains(&kind) => {
                    let near = crate::diag::nearest(kind, KINDS.iter().copied());
                    let message = format!(
                        "`labels.schema`: `{kind}` is none of {}, and no /pattern/",
                        KINDS.join(", ")
                    );
                    return Err(PolicyError::new(place, message)
                        .help(near.map(|near| format!("did you mean `{near}`?"))));
                }
                _ => {}
            }
        }
    }
    if section == "secrets" {
        for one in table.get("extra").and_then(Value::as_array).into_iter().flatten() {
            let Some(entry) = one.as_table() else {
                return fail("`secrets.extra` must be a list of { id, pattern, entropy }".into());
            };
            super::read::known(entry, &["id", "pattern", "entropy"], place, " of `secrets.extra`")?;
            let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or("");
            if text("id").is_empty() {
                return fail("`secrets.extra`: each needs an `id`".into());
            }
            let pattern = text("pattern");
            let error = match compile(pattern) {
                _ if pattern.is_empty() => "it needs a `pattern`".to_owned(),
                Ok(regex) if regex.is_match("") => "its `pattern` fits nothing at all".to_owned(),
                Ok(_) => continue,
                Err(error) => error,
            };
            return fail(format!("`secrets.extra`: `{}`: {error}", text("id")));
        }
    }
    Ok(())
}

/// Finds secrets of the forms that `[secrets] extra` tells.
pub(super) fn secrets(extra: Option<&Value>, text: &str) -> Vec<Credential> {
    let mut out = Vec::new();
    for one in extra.and_then(Value::as_array).into_iter().flatten() {
        let id = one.get("id").and_then(Value::as_str).unwrap_or("");
        let pattern = one.get("pattern").and_then(Value::as_str).unwrap_or("");
        let entropy = one.get("entropy").and_then(number).unwrap_or(0.0);
        let Ok(regex) = compile(pattern) else { continue };
        let kind = interned(&format!("a secret of the form `{id}`"));
        let found = regex.find_iter(text).filter(|found| !found.is_empty());
        let found =
            found.filter(|found| crate::facts::credentials::entropy(found.as_str()) >= entropy);
        out.extend(found.map(|found| Credential { kind, at: found.range() }));
    }
    out
}

fn number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|number| number as f64))
}

#[cfg(test)]
mod tests {
    use crate::policy::Policy;
    use crate::policy::tests::{Text, lines};

    fn error(text: &str) -> String {
        Policy::read(text, "p", &mut |_| None).unwrap_err().to_string()
    }

    #[test]
    fn patterns_are_checked_where_they_are_read() {
        for (text, want) in [
            ("[labels.schema]\na = \"/(/\"\n", "unclosed group"),
            ("[labels.schema]\na = \"smver\"\n", "`smver` is none of text"),
            ("[labels.schema]\na = \"/(a{1000}){1000}/\"\n", "p: `labels.schema`: `a`: "),
            ("[secrets]\nextra = [{ id = \"x\", pattern = \"[\" }]\n", "`x`: "),
            ("[secrets]\nextra = [{ id = \"x\", pattern = \"a*\" }]\n", "fits nothing"),
            ("[secrets]\nextra = [{ pattern = \"a\" }]\n", "`id`"),
            ("[secrets]\nextra = [{ id = \"x\", patern = \"a\" }]\n", "unknown key `patern`"),
        ] {
            assert!(error(text).contains(want), "{text}: {}", error(text));
        }
    }

    #[test]
    fn labels_and_secrets_of_an_organisation_are_found() {
        let label = |value: &str| {
            let file = format!("FROM scratch\nLABEL com.corp.cost-centre={value}\n");
            let set = ["labels.schema={\"com.corp.cost-centre\" = \"/^CC[0-9]{4}$/\"}"];
            lines(&Text { set: &set, ..Text::new("label-value-invalid", &file) })
        };
        assert_eq!(label("CC12345"), [2]);
        assert!(label("CC1234").is_empty());
        let token = |value: &str| {
            let file = format!("FROM scratch\n# {value}\n");
            let set = [
                "secrets.extra=[{ id = \"corp\", pattern = 'corp_[A-Za-z0-9]{8}', entropy = 2.0 }]",
            ];
            lines(&Text { set: &set, ..Text::new("secret-literal", &file) })
        };
        assert_eq!(token("corp_a8Zk31Qx"), [2]);
        assert!(token("corp_aaaaaaaa").is_empty(), "too regular");
        let key = |set: &[&str]| {
            let file = "FROM scratch\nENV KEYCLOAK_ID_KEY=a8Zk31Qxmn73\n";
            lines(&Text { set, ..Text::new("secret-in-env", file) })
        };
        assert_eq!(key(&[]), [2]);
        assert!(key(&["secrets.accept_keys=[\"KEYCLOAK_ID_KEY\"]"]).is_empty());
    }
}
