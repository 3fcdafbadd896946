//! `label-value-invalid`: a label whose value its readers cannot read.

use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Outline, Rule};
use toml::Value;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "label-value-invalid",
    title: "A malformed date or licence breaks the tools that read it.",
    text: "Finds values that are not what the schema of the policy, or the OCI annotations, say \
          of their key: `created` a time (RFC 3339), `url`, `source` and `documentation` a URL, \
          `licenses` an SPDX expression; by the schema also semver, hash, email, or a pattern in \
          slashes. Values with variables are not known.",
    aliases: &[
        Alias::part("DL3052", "url"),
        Alias::part("DL3053", "rfc3339"),
        Alias::part("DL3054", "spdx"),
        Alias::part("DL3055", "hash"),
        Alias::part("DL3056", "semver"),
        Alias::part("DL3058", "email"),
    ],
    facets: &["url", "rfc3339", "spdx", "hash", "semver", "email"],
    text_check: Some(check),
    bad: &[
        "FROM scratch\nLABEL org.opencontainers.image.url=\"not a url\"\n",
        "FROM scratch\nLABEL org.opencontainers.image.licenses=\"MIT License v7\"\n",
        "FROM scratch\nLABEL org.opencontainers.image.created=yesterday\n",
    ],
    good: &[
        "FROM scratch\nLABEL org.opencontainers.image.created=2026-01-02T03:04:05Z\n",
        "FROM scratch\nLABEL org.opencontainers.image.licenses=\"MIT OR (Apache-2.0 WITH LLVM-exception)\" org.opencontainers.image.source=https://example.org\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let schema = found.section("labels", "schema").and_then(Value::as_table).cloned();
    let schema = schema.unwrap_or_default();
    for item in outline.items_of("LABEL") {
        let Instruction::Label(label) = item.instruction else { continue };
        for pair in &label.pairs {
            let key = item.expand(&pair.name.raw).unwrap_or_default();
            let kind = schema.get(&key).and_then(Value::as_str).or_else(|| {
                Some(match key.strip_prefix("org.opencontainers.image.")? {
                    "created" => "rfc3339",
                    "url" | "source" | "documentation" => "url",
                    "licenses" => "spdx",
                    _ => return None,
                })
            });
            let Some(kind) = kind else { continue };
            let Some(value) = item.expand(&pair.value.raw) else { continue };
            if pair.value.raw.contains('$') || value.is_empty() || fits(kind, &value) {
                continue;
            }
            let facet = ["url", "rfc3339", "spdx", "hash", "semver", "email"];
            let mut finding = found
                .finding(format!("`{value}` is not of the kind {kind}, which `{key}` wants"))
                .at(pair.name.span.to(pair.value.span), "not readable by machines")
                .of(item.place)
                .help(format!("write a value of the kind {kind}"));
            if let Some(facet) = facet.into_iter().find(|facet| *facet == kind) {
                finding = finding.facet(facet);
            }
            found.add(finding);
        }
    }
}

fn fits(kind: &str, value: &str) -> bool {
    match kind {
        "url" => {
            let rest = ["https://", "http://", "git://", "ssh://", "git+https://", "git@"]
                .iter()
                .find_map(|scheme| value.strip_prefix(scheme));
            rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
        }
        "rfc3339" => time(value),
        "spdx" => spdx(value),
        "hash" => {
            matches!(value.len(), 40 | 64) && value.bytes().all(|byte| byte.is_ascii_hexdigit())
        }
        "semver" => {
            let core = value.split(['-', '+']).next().unwrap_or("");
            let parts: Vec<&str> = core.split('.').collect();
            parts.len() == 3
                && parts.iter().all(|part| {
                    !part.is_empty()
                        && part.bytes().all(|byte| byte.is_ascii_digit())
                        && (part.len() == 1 || !part.starts_with('0'))
                })
        }
        "email" => {
            let inner =
                value.rsplit_once('<').map_or(value, |(_, rest)| rest.trim_end_matches('>'));
            inner.split_once('@').is_some_and(|(name, host)| {
                !name.is_empty() && host.contains('.') && !inner.contains(char::is_whitespace)
            })
        }
        kind => crate::policy::patterns::fits(kind, value).unwrap_or(true),
    }
}

// `2026-01-02T03:04:05Z`, with a fraction and an offset.
fn time(value: &str) -> bool {
    let digits = |range: std::ops::Range<usize>| {
        value.get(range).is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let at =
        |index: usize, want: &[u8]| value.as_bytes().get(index).is_some_and(|b| want.contains(b));
    let date = crate::policy::units::days(value).is_some() && at(4, b"-") && at(7, b"-");
    let clock = at(10, b"Tt ")
        && digits(11..13)
        && at(13, b":")
        && digits(14..16)
        && at(16, b":")
        && digits(17..19);
    let Some(rest) = value.get(19..) else { return false };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let zone = matches!(rest, "Z" | "z")
        || (rest.len() == 6 && rest.starts_with(['+', '-']) && rest.as_bytes()[3] == b':');
    date && clock && zone
}

// An SPDX expression by its form: identifiers, joined by AND, OR and WITH.
fn spdx(value: &str) -> bool {
    let mut open = 0_i32;
    let mut want = true;
    let spaced = value.replace('(', " ( ").replace(')', " ) ");
    for word in spaced.split_whitespace() {
        match word {
            "(" if want => open += 1,
            ")" if !want && open > 0 => open -= 1,
            "AND" | "OR" | "WITH" if !want => want = true,
            word if want
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b".-+:".contains(&b))
                && !matches!(word, "AND" | "OR" | "WITH") =>
            {
                want = false;
            }
            _ => return false,
        }
    }
    open == 0 && !want
}
