//! The tables of a policy file that several rules share: what keys they have, and their defaults.

use std::sync::LazyLock;

use toml::{Table, Value};

use super::profile::{Policy, PolicyError, locked};
use super::read;
use super::rule::{Param, ParamKind};

/// A table of a policy file.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) keys: &'static [Param],
}

// An empty default is none: the key has no value until it is set.
const fn key_of(
    name: &'static str,
    kind: ParamKind,
    default: &'static str,
    help: &'static str,
) -> Param {
    Param { name, kind, default, help }
}

/// All tables.
pub(super) const SECTIONS: &[Section] = &[
    Section {
        name: "registries",
        keys: &[
            key_of("trusted", ParamKind::Texts, "[]", "hosts or names that images may come from"),
            key_of("insecure", ParamKind::Texts, "[]", "hosts that may be spoken to in plain HTTP"),
        ],
    },
    Section {
        name: "bases",
        keys: &[
            key_of("allow", ParamKind::Entries, "[]", "bases that may be used"),
            key_of("deny", ParamKind::Texts, "[]", "bases that may not be used"),
            key_of(
                "stages",
                ParamKind::Word(&["final", "all"]),
                "\"final\"",
                "which stages are looked at",
            ),
            key_of("max_age", ParamKind::Time, "", "as `max_age` of `base-stale`"),
        ],
    },
    Section {
        name: "labels",
        keys: &[
            key_of(
                "required",
                ParamKind::Texts,
                r#"["org.opencontainers.image.source", "org.opencontainers.image.revision", "org.opencontainers.image.licenses"]"#,
                "labels that an image must have",
            ),
            key_of("strict", ParamKind::Flag, "false", "whether only labels of the schema may be"),
            key_of("schema", ParamKind::Words, "{}", "what kind of value a label has"),
        ],
    },
    Section {
        name: "budget",
        keys: &[
            key_of("max_size", ParamKind::Size, "", "the image, uncompressed"),
            key_of("max_compressed", ParamKind::Size, "", "the image, compressed"),
            key_of("max_layer", ParamKind::Size, "", "one layer"),
            key_of("max_layers", ParamKind::Number, "", "how many layers"),
            key_of("max_growth", ParamKind::Share, "", "against the image before"),
            key_of("lowest_efficiency", ParamKind::Share, "", "bytes that are seen, of all"),
            key_of("highest_wasted_bytes", ParamKind::Size, "", "bytes that are not seen"),
            key_of("highest_user_wasted_percent", ParamKind::Share, "", "the same, of own layers"),
            key_of("ignore", ParamKind::Texts, "[]", "paths that do not count"),
        ],
    },
    Section {
        name: "network",
        keys: &[
            key_of(
                "final",
                ParamKind::Word(&["observe", "deny"]),
                "\"observe\"",
                "what the stage that ships may do",
            ),
            key_of("allow", ParamKind::Texts, "[]", "hosts that steps may reach"),
        ],
    },
    Section {
        name: "secrets",
        keys: &[
            key_of("accept_keys", ParamKind::Texts, "[]", "names that are no secrets"),
            key_of("extra", ParamKind::Entries, "[]", "further forms of secrets"),
        ],
    },
    Section {
        name: "signatures",
        keys: &[
            key_of("trusted", ParamKind::Entries, "[]", "keys that count"),
            key_of("require_for_bases", ParamKind::Flag, "false", "whether bases must be signed"),
        ],
    },
    Section {
        name: "attestations",
        keys: &[
            key_of("require", ParamKind::Texts, "[]", "kinds that an image must have"),
            key_of("sbom_format", ParamKind::Texts, "[]", "forms of SBOM that count"),
        ],
    },
];

/// Papers beside an image that `[attestations] require` may name, and the rule that looks for each.
pub(super) const PAPERS: &[(&str, &str)] =
    &[("sbom", "sbom-missing"), ("provenance", "provenance-missing")];
const SBOM_FORMATS: &[&str] = &["spdx", "cyclonedx"];

static DEFAULTS: LazyLock<Vec<(&str, &str, Option<Value>)>> = LazyLock::new(|| {
    SECTIONS
        .iter()
        .flat_map(|section| section.keys.iter().map(|key| (section.name, key)))
        .map(|(section, key)| (section, key.name, key.default.parse().ok()))
        .collect()
});

/// Returns the description of a key.
pub(super) fn key(section: &str, key: &str) -> Option<&'static Param> {
    let section = SECTIONS.iter().find(|one| one.name == section)?;
    section.keys.iter().find(|one| one.name == key)
}

/// Returns the value of a key that no policy sets.
pub(super) fn default(section: &str, key: &str) -> Option<&'static Value> {
    let found = DEFAULTS.iter().find(|(one, name, _)| *one == section && *name == key)?;
    found.2.as_ref()
}

/// Takes a table of a policy file.
pub(super) fn read(
    policy: &mut Policy,
    section: &'static Section,
    table: &Table,
    place: &str,
) -> Result<(), PolicyError> {
    if policy.locked.contains(section.name) {
        return Err(locked(place, section.name));
    }
    let names: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
    // `allow_add` adds to `allow`; `allow` alone replaces it, and tables are merged.
    let mut plain = Table::new();
    for (name, value) in table {
        let base = name.strip_suffix("_add").filter(|base| names.contains(base));
        let key = base.unwrap_or(name);
        let known = names.contains(&key).then(|| policy.section(section.name, key)).flatten();
        let value = read::joined(plain.get::<str>(key).or(known), value, base.is_some());
        plain.insert(key.to_owned(), value);
    }
    read::known(&plain, &names, place, &format!(" in `{}`", section.name))?;
    super::patterns::check(section.name, &plain, place)?;
    if section.name == "attestations" {
        let kinds: Vec<&str> = PAPERS.iter().map(|(kind, _)| *kind).collect();
        for (key, words) in [("require", kinds.as_slice()), ("sbom_format", SBOM_FORMATS)] {
            for word in plain.get(key).and_then(Value::as_array).into_iter().flatten() {
                let word = word.as_str().unwrap_or_default();
                if !words.contains(&word) {
                    let near = crate::diag::nearest(word, words.iter().copied());
                    let message =
                        format!("`attestations.{key}`: `{word}` is none of {}", words.join(", "));
                    return Err(PolicyError::new(place, message)
                        .help(near.map(|near| format!("did you mean `{near}`?"))));
                }
            }
        }
    }
    for (name, value) in plain {
        let Some(known) = key(section.name, &name) else { continue };
        known.kind.check(&value).map_err(|want| {
            PolicyError::new(place, format!("`{}.{name}` must be {want}", section.name))
        })?;
        policy.origins.insert(format!("{}.{name}", section.name), place.to_owned());
        policy.sections.entry(section.name).or_default().insert(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Level;

    #[test]
    fn defaults_are_of_their_kind() {
        for section in SECTIONS {
            for key in section.keys.iter().filter(|key| !key.default.is_empty()) {
                let value = key.default.parse().unwrap();
                assert_eq!(key.kind.check(&value), Ok(()), "{}.{}", section.name, key.name);
            }
        }
    }

    #[test]
    fn sections_are_read_and_locked() {
        let read = |text: &str| Policy::read(text, "p.toml", &mut |_| None);
        let policy = read("[registries]\ntrusted = [\"a\"]\ntrusted_add = [\"b\"]\n").unwrap();
        let trusted = policy.section("registries", "trusted").unwrap().as_array().unwrap();
        assert!(trusted.contains(&Value::String("b".into())));
        let error = read("[registries]\ntrustd = []\n").unwrap_err();
        assert!(error.to_string().contains("unknown key `trustd` in `registries`"), "{error}");
        assert!(read("[budget]\nmax_size = \"big\"\n").is_err());
        let error = read("[attestations]\nsbom_format = [\"spxd\"]\n").unwrap_err();
        assert_eq!(error.help.as_deref(), Some("did you mean `spdx`?"), "{error}");
        assert!(read("[attestations]\nrequire = [\"boms\"]\n").is_err());
        let text = "extends = \"none\"\n[attestations]\nrequire = [\"provenance\"]\n";
        let policy = read(text).unwrap();
        assert!(policy.is_on("provenance-missing") && !policy.is_on("sbom-missing"));
        let policy = read(&format!("{text}[rules]\nprovenance-missing = \"warn\"\n")).unwrap();
        assert_eq!(policy.setting("provenance-missing").level, Level::Warn);
        let mut policy = read("lock = [\"bases\"]\n").unwrap();
        assert!(policy.merge("[bases]\ndeny = []\n", "q.toml").is_err());
    }
}
