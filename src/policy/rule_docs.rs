//! `docs/rules.md`: the page of all rules, made of the rules themselves.

use std::fmt::Write;

use super::*;

const HEAD: &str = "\
# The rules

<!-- Made of src/policy/rules by `just rule-docs`; a test fails when it is stale. Do not edit. -->

What `rbuild policy explain ID` prints, on one page. A rule looks at the *text* before anything runs, or
at the finished *image* before it leaves; its level is what each profile makes of it. Every other tool's
id is accepted wherever a rule is named. `rbuild policy init` writes a policy file to start from.
";

fn page() -> String {
    let policies: Vec<Policy> =
        PROFILES.iter().map(|(name, _)| Policy::builtin(name).unwrap()).collect();
    let mut out = String::from(HEAD);
    for (category, rules) in CATEGORIES {
        let _ = writeln!(out, "\n- [{category}](#{category}): {} rules", rules.len());
        out.pop();
    }
    out.push('\n');
    for (category, rules) in CATEGORIES {
        let _ = writeln!(out, "\n## {category}");
        for rule in *rules {
            let levels: Vec<String> = policies
                .iter()
                .map(|policy| {
                    format!("{} **{}**", policy.name, policy.setting(rule.id).level.word())
                })
                .collect();
            let looks = super::rules::looks(rule).join(" and ");
            let _ = write!(
                out,
                "\n### `{}`\n\n{}\n\nLooks at the {looks} · {}\n\n{}\n",
                rule.id,
                rule.title,
                levels.join(" · "),
                rule.text.trim()
            );
            for param in rule.params {
                let _ = write!(out, "\n- `{} = {}`: {}", param.name, param.default, param.help);
            }
            if !rule.params.is_empty() {
                out.push('\n');
            }
            if !rule.facets.is_empty() {
                let _ = writeln!(out, "\nParts: `{}`", rule.facets.join("`, `"));
            }
            let aliases: Vec<&str> = rule.aliases.iter().map(|alias| alias.name).collect();
            let also: Vec<&str> = aliases.iter().chain(rule.standards).copied().collect();
            if !also.is_empty() {
                let _ = writeln!(out, "\nAlso: {}", also.join(", "));
            }
            if !rule.inline {
                out.push_str("\nComments in the Dockerfile do not cover it.\n");
            }
            for (word, example) in [("Fails", rule.bad.first()), ("Passes", rule.good.first())] {
                let Some(example) = example else { continue };
                let shown = example.trim_end().escape_unless_plain();
                let _ = write!(out, "\n{word}:\n\n```dockerfile\n{shown}\n```\n");
            }
        }
    }
    out
}

trait Plain {
    fn escape_unless_plain(&self) -> String;
}

impl Plain for str {
    // Direction marks and the like are shown by their numbers: the page is for reading.
    fn escape_unless_plain(&self) -> String {
        let plain =
            |c: char| c == '\n' || c == '\t' || (' '..='~').contains(&c) || c.is_alphanumeric();
        self.chars()
            .flat_map(|c| if plain(c) { vec![c] } else { c.escape_unicode().collect() })
            .collect()
    }
}

#[test]
fn rule_docs() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rules.md");
    let want = page();
    if std::env::var_os("RBUILD_BLESS").is_some() {
        std::fs::write(path, &want).unwrap();
    }
    let have = std::fs::read_to_string(path).unwrap_or_default();
    assert!(have == want, "docs/rules.md is stale: RBUILD_BLESS=1 cargo test --lib rule_docs");
}

#[test]
fn explanations_tell_what_profiles_and_parameters_say() {
    for rule in RULES {
        let text = explain(rule);
        assert!(!super::rules::looks(rule).is_empty(), "`{}` never looks", rule.id);
        for (name, _) in PROFILES {
            assert!(text.contains(&format!("{name} ")), "{}: {name}", rule.id);
        }
        for param in rule.params {
            assert!(text.contains(param.help), "{}: {}", rule.id, param.name);
        }
        assert!(rule.text.len() > 10 && !rule.title.is_empty(), "{}", rule.id);
        let escaped = ["\\n\\n", "\\\""].iter().any(|escape| rule.text.contains(escape));
        assert!(!escaped, "{}: an escape in its text", rule.id);
    }
}
