//! Policy files: TOML in, an error with the nearest name for every key that is not known.

use toml::{Table, Value};

use super::finding::{FailOn, Level};
use super::profile::{
    Behaviour, Inline, Offline, PROFILES, Policy, PolicyError, PolicyFiles, Setting, locked,
};
use super::rule::{Param, Rule};
use super::{custom, exceptions, rules, sections};
use crate::diag::nearest;

const KEYS: &[&str] = &[
    "version",
    "extends",
    "name",
    "inline",
    "offline",
    "fail_on",
    "behaviour",
    "chroot",
    "lock",
    "rules",
    "exceptions",
    "registries",
    "bases",
    "labels",
    "budget",
    "network",
    "secrets",
    "signatures",
    "attestations",
    "custom",
];
/// What may be locked besides sections and rules.
const LOCKS: &[&str] =
    &["inline", "offline", "fail_on", "behaviour", "chroot", "exceptions", "custom"];
/// How long a chain of `extends` may be.
const LONGEST_CHAIN: usize = 16;
/// Policies are small; what is larger is no policy.
const LONGEST_FILE: usize = 1 << 20;

type Open<'a> = &'a mut dyn PolicyFiles;

pub(super) fn apply(
    policy: &mut Policy,
    text: &str,
    place: &str,
    open: Open<'_>,
) -> Result<(), PolicyError> {
    chain(policy, text, place, open, &mut Vec::new())
}

fn chain(
    policy: &mut Policy,
    text: &str,
    place: &str,
    open: Open<'_>,
    seen: &mut Vec<String>,
) -> Result<(), PolicyError> {
    if seen.iter().any(|name| name == place) || seen.len() >= LONGEST_CHAIN {
        return Err(PolicyError::new(place, "`extends` goes in a circle, or too deep"));
    }
    seen.push(place.to_owned());
    let table = parse(text, place)?;
    let builtin = PROFILES.iter().any(|(name, _)| *name == place);
    let parents = match table.get("extends") {
        None if builtin => Vec::new(),
        None => vec!["hardened".to_owned()],
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::Array(list)) if list.iter().all(Value::is_str) => {
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Some(_) => {
            return Err(PolicyError::new(place, "`extends` must be a string or a list of them"));
        }
    };
    for parent in parents {
        if let Some((name, text)) = PROFILES.iter().find(|(name, _)| *name == parent) {
            chain(policy, text, name, open, seen)?;
        } else if parent.starts_with("oci:") || parent.starts_with("oci-layout:") {
            let text = open.artifact(&parent).map_err(|error| PolicyError {
                place: place.to_owned(),
                message: format!("`{parent}`, which it extends: {}", error.message),
                ..error
            })?;
            chain(policy, &text, &parent, open, seen)?;
        } else if let Some(text) = open.text(&parent) {
            chain(policy, &text, &parent, open, seen)?;
        } else {
            let near = nearest(&parent, PROFILES.iter().map(|(name, _)| *name));
            return Err(PolicyError::new(
                place,
                format!("cannot read `{parent}`, which it extends"),
            )
            .help(near.map(|near| format!("did you mean `{near}`?"))));
        }
    }
    seen.pop();
    // What the parents locked holds for this file.
    top(policy, &table, place, open)
}

pub(super) fn merge(
    policy: &mut Policy,
    text: &str,
    place: &str,
    open: Open<'_>,
) -> Result<(), PolicyError> {
    let table = parse(text, place)?;
    // It refines what is in force: another basis would be silently ignored.
    if let Some(basis) = table.get("extends")
        && basis.as_str() != Some(policy.name.as_str())
    {
        let text = format!("`extends` has no effect here: this file refines `{}`", policy.name);
        return Err(PolicyError::new(place, text)
            .help(Some("leave it out, or name the file with --policy".into())));
    }
    top(policy, &table, place, open)
}

fn parse(text: &str, place: &str) -> Result<Table, PolicyError> {
    if text.len() > LONGEST_FILE {
        return Err(PolicyError::new(place, "a policy file is at most 1 MiB"));
    }
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| PolicyError::new(place, not_toml(text, &error)))?;
    match table.get("version") {
        Some(Value::Integer(1)) | None => Ok(table),
        Some(other) => Err(PolicyError::new(
            place,
            format!("`version` is {}; this rbuild reads version 1", shown(other)),
        )),
    }
}

/// Says what is wrong and where, without the line itself: whoever names another file as a policy
/// (a link, a slip of the hand) gets no secret of it into a log.
pub fn not_toml(text: &str, error: &toml::de::Error) -> String {
    let what = error.message().trim().replace('\n', ", ");
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return format!("not TOML: {what}");
    };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!("not TOML: line {line}, column {column}: {what}")
}

pub(super) fn top(
    policy: &mut Policy,
    table: &Table,
    place: &str,
    open: Open<'_>,
) -> Result<(), PolicyError> {
    known(table, KEYS, place, "")?;
    for key in ["inline", "offline", "fail_on", "behaviour", "chroot"] {
        if table.contains_key(key) {
            policy.origins.insert(key.to_owned(), place.to_owned());
        }
    }
    if let Some(name) = string(table, "name", place)? {
        policy.name = name.to_owned();
    } else if !place.starts_with("--") {
        policy.name = place.to_owned();
    }
    if let Some(word) = string(table, "inline", place)? {
        let inline = match word {
            "allow" => Inline::Allow,
            "justify" => Inline::Justify,
            "deny" => Inline::Deny,
            _ => return Err(words(place, "inline", word, &["allow", "justify", "deny"])),
        };
        if policy.locked.contains("inline") && inline > policy.inline {
            return Err(locked(place, "inline"));
        }
        policy.inline = inline;
    }
    if let Some(word) = string(table, "offline", place)? {
        let offline = match word {
            "skip" => Offline::Skip,
            "error" => Offline::Error,
            _ => return Err(words(place, "offline", word, &["skip", "error"])),
        };
        if policy.locked.contains("offline") && offline < policy.offline {
            return Err(locked(place, "offline"));
        }
        policy.offline = offline;
    }
    if let Some(word) = string(table, "fail_on", place)? {
        let fail_on = FailOn::parse(word)
            .ok_or_else(|| words(place, "fail_on", word, &["error", "warn", "never"]))?;
        if policy.locked.contains("fail_on") && fail_on < policy.fail_on {
            return Err(locked(place, "fail_on"));
        }
        policy.fail_on = fail_on;
    }
    if let Some(word) = string(table, "behaviour", place)? {
        let behaviour = match word {
            "off" => Behaviour::Off,
            "auto" => Behaviour::Auto,
            "required" => Behaviour::Required,
            _ => return Err(words(place, "behaviour", word, &["off", "auto", "required"])),
        };
        if policy.locked.contains("behaviour") && behaviour < policy.behaviour {
            return Err(locked(place, "behaviour"));
        }
        policy.behaviour = behaviour;
    }
    match table.get("custom") {
        None => {}
        Some(Value::Table(table)) => custom::read(policy, table, place, open)?,
        Some(_) => return Err(PolicyError::new(place, "`custom` must be a table")),
    }
    for section in sections::SECTIONS {
        match table.get(section.name) {
            None => {}
            Some(Value::Table(table)) => sections::read(policy, section, table, place)?,
            Some(_) => {
                return Err(PolicyError::new(place, format!("`{}` must be a table", section.name)));
            }
        }
    }
    // Bases that must be signed are looked at, whatever the profile makes of the rule; a level in
    // this file comes after.
    let signed = table.get("signatures").and_then(|table| table.get("require_for_bases"));
    if signed == Some(&Value::Boolean(true)) && !policy.is_on("base-unsigned") {
        let setting = policy.setting_mut("base-unsigned");
        setting.level = Level::Error;
        place.clone_into(&mut setting.origin);
    }
    // So it is with papers that an image must have beside it.
    let papers = table.get("attestations").and_then(|table| table.get("require"));
    for kind in papers.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        let Some((_, id)) = sections::PAPERS.iter().find(|(known, _)| *known == kind) else {
            continue;
        };
        if !policy.is_on(id) {
            let setting = policy.setting_mut(id);
            setting.level = Level::Error;
            place.clone_into(&mut setting.origin);
        }
    }
    if let Some(word) = string(table, "chroot", place)? {
        let allowed = match word {
            "allow" => true,
            "deny" => false,
            _ => return Err(words(place, "chroot", word, &["allow", "deny"])),
        };
        if policy.locked.contains("chroot") && allowed && !policy.chroot {
            return Err(locked(place, "chroot"));
        }
        policy.chroot = allowed;
    }
    match table.get("rules") {
        None => {}
        Some(Value::Table(table)) => rules(policy, table, place)?,
        Some(_) => return Err(PolicyError::new(place, "`rules` must be a table")),
    }
    match table.get("exceptions") {
        None => {}
        Some(Value::Array(list)) => {
            if policy.locked.contains("exceptions") && !list.is_empty() {
                return Err(locked(place, "exceptions"));
            }
            for value in list {
                policy.exceptions.push(exceptions::read(value, policy, place)?);
            }
        }
        Some(_) => return Err(PolicyError::new(place, "`exceptions` must be a list of tables")),
    }
    if let Some(value) = table.get("lock") {
        for key in strings(value).ok_or_else(|| {
            PolicyError::new(place, "`lock` must be a list of keys such as `rules.final-user-root`")
        })? {
            match key.strip_prefix("rules.") {
                Some(id) => {
                    for name in policy.find_rules(id, place)? {
                        policy.locked.insert(format!("rules.{}", name.rule));
                    }
                }
                None if LOCKS.contains(&key.as_str())
                    || sections::SECTIONS.iter().any(|section| section.name == key) =>
                {
                    policy.locked.insert(key);
                }
                None => {
                    return Err(PolicyError::new(place, format!("`{key}` cannot be locked")).help(
                        Some(format!(
                            "lock `{}`, a section, or a rule as `rules.ID`",
                            LOCKS.join("`, `")
                        )),
                    ));
                }
            }
        }
    }
    Ok(())
}

pub(super) fn rules(policy: &mut Policy, table: &Table, place: &str) -> Result<(), PolicyError> {
    let mut named = Vec::new();
    for (key, value) in table {
        named.extend(policy.find_rules(key, place)?.into_iter().map(|name| (key, value, name)));
    }
    for (key, value, name) in named {
        let is_locked =
            !policy.locked.is_empty() && policy.locked.contains(&format!("rules.{}", name.rule));
        let setting = policy.setting_mut(name.rule);
        let level_of = |word: &Value| {
            word.as_str().and_then(Level::parse).ok_or_else(|| {
                let shown = shown(word);
                words(place, key, shown.trim_matches('"'), &["off", "warn", "error"])
            })
        };
        let before = is_locked.then(|| setting.clone());
        let mut said = !value.is_table();
        let mut params = Vec::new();
        match value {
            Value::Table(table) => {
                // A custom rule has a level and nothing else.
                let rule = rules::RULES.iter().copied().find(|rule| rule.id == name.rule);
                for (param, value) in table {
                    match (param.as_str(), rule) {
                        ("severity", _) => {
                            said = true;
                            set_level(setting, name.facet, level_of(value)?);
                        }
                        ("facets", Some(rule)) if !rule.facets.is_empty() => {
                            said = true;
                            facets(setting, rule, value, place)?;
                        }
                        _ => {
                            let known = rule.map_or(&[][..], |rule| rule.params);
                            params.push(parameter(setting, known, name.rule, param, value, place)?);
                        }
                    }
                }
            }
            value => set_level(setting, name.facet, level_of(value)?),
        }
        if said {
            place.clone_into(&mut setting.origin);
        }
        // A facet that is named no more is worth what the rule is.
        let worth = |setting: &Setting, facet: &str| {
            setting.facets.get(facet).copied().unwrap_or(setting.level)
        };
        let weaker = |before: &Setting| {
            let known = rules::RULES.iter().find(|rule| rule.id == name.rule);
            let part = |facet: &&str| worth(setting, facet) < worth(before, facet);
            setting.level < before.level || known.is_some_and(|rule| rule.facets.iter().any(part))
        };
        if before.is_some_and(|before| weaker(&before) || setting.params != before.params) {
            return Err(locked(place, &format!("rules.{}", name.rule)));
        }
        for param in params {
            policy.origins.insert(format!("rules.{}.{param}", name.rule), place.to_owned());
        }
    }
    Ok(())
}

// Sets a parameter of a rule: `allow` replaces a list, `allow_add` adds to it, and tables are merged.
fn parameter(
    setting: &mut Setting,
    params: &'static [Param],
    id: &str,
    key: &str,
    value: &Value,
    place: &str,
) -> Result<&'static str, PolicyError> {
    let plain = params.iter().find(|known| known.name == key);
    let added = || params.iter().find(|known| key.strip_suffix("_add") == Some(known.name));
    let Some(known) = plain.or_else(added) else {
        let names = params.iter().map(|known| known.name).chain(["severity", "facets"]);
        let near = nearest(key, names);
        return Err(PolicyError::new(place, format!("unknown key `{key}` in `rules.{id}`"))
            .help(near.map(|near| format!("did you mean `{near}`?"))));
    };
    let value = joined(setting.params.get(known.name), value, plain.is_none());
    known
        .kind
        .check(&value)
        .map_err(|want| PolicyError::new(place, format!("`rules.{id}.{key}` must be {want}")))?;
    setting.params.insert(known.name.to_owned(), value);
    Ok(known.name)
}

/// Returns what becomes of a value when a later file sets it: tables are merged, all else is
/// replaced, and lists are added to where that was asked for.
pub(super) fn joined(before: Option<&Value>, new: &Value, add: bool) -> Value {
    match (before, new) {
        (Some(Value::Array(old)), Value::Array(new)) if add => {
            Value::Array(old.iter().chain(new).cloned().collect())
        }
        (Some(Value::Table(old)), Value::Table(new)) => {
            let all = old.iter().chain(new);
            Value::Table(all.map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        _ => new.clone(),
    }
}

fn set_level(setting: &mut Setting, facet: Option<&'static str>, level: Level) {
    match facet {
        Some(facet) => {
            setting.facets.insert(facet, level);
        }
        None => setting.level = level,
    }
}

// A table of levels, or a list: those are worth what the rule is worth, the others nothing.
fn facets(
    setting: &mut Setting,
    rule: &Rule,
    value: &Value,
    place: &str,
) -> Result<(), PolicyError> {
    let known = |name: &str| {
        let found = rule.facets.iter().copied().find(|known| *known == name);
        found.ok_or_else(|| words(place, &format!("rules.{}.facets", rule.id), name, rule.facets))
    };
    match value {
        Value::Table(table) => {
            for (name, level) in table {
                let level = level.as_str().and_then(Level::parse).ok_or_else(|| {
                    let shown = shown(level);
                    words(place, name, shown.trim_matches('"'), &["off", "warn", "error"])
                })?;
                setting.facets.insert(known(name)?, level);
            }
        }
        value => {
            let names = strings(value).ok_or_else(|| {
                let message = format!("`rules.{}.facets` must be a list or a table", rule.id);
                PolicyError::new(place, message)
            })?;
            let names: Vec<&str> =
                names.iter().map(|name| known(name)).collect::<Result<_, _>>()?;
            setting.facets.clear();
            for facet in rule.facets.iter().filter(|facet| !names.contains(facet)) {
                setting.facets.insert(facet, Level::Off);
            }
        }
    }
    Ok(())
}

/// Tells whether a text is `YYYY-MM-DD`.
pub(super) fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

pub(super) fn known(
    table: &Table,
    keys: &[&str],
    place: &str,
    of: &str,
) -> Result<(), PolicyError> {
    for key in table.keys() {
        if !keys.contains(&key.as_str()) {
            let near = nearest(key, keys.iter().copied());
            return Err(PolicyError::new(place, format!("unknown key `{key}`{of}"))
                .help(near.map(|near| format!("did you mean `{near}`?"))));
        }
    }
    Ok(())
}

pub(super) fn string<'a>(
    table: &'a Table,
    key: &str,
    place: &str,
) -> Result<Option<&'a str>, PolicyError> {
    match table.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(PolicyError::new(place, format!("`{key}` must be a string"))),
    }
}

pub(super) fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

fn shown(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn words(place: &str, key: &str, got: &str, want: &[&str]) -> PolicyError {
    PolicyError::new(place, format!("`{key}` is `{got}`; it must be one of {}", want.join(", ")))
        .help(nearest(got, want.iter().copied()).map(|near| format!("did you mean `{near}`?")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Overrides;

    fn error(text: &str) -> String {
        let error = Policy::read(text, "p.toml", &mut |_| None).unwrap_err();
        match error.help {
            Some(ref help) => format!("{error} | {help}"),
            None => error.to_string(),
        }
    }

    #[test]
    fn every_profile_says_something_of_every_rule() {
        for (name, text) in PROFILES {
            let table: Table = text.parse().unwrap();
            let said = table["rules"].as_table().unwrap();
            for rule in rules::RULES {
                assert!(said.contains_key(rule.id), "`{name}` is silent about `{}`", rule.id);
            }
            assert_eq!(said.len(), rules::RULES.len(), "`{name}`");
            assert_eq!(Policy::builtin(name).unwrap().name, *name);
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, want) in [
            ("rulez = 1", "p.toml: unknown key `rulez` | did you mean `rules`?"),
            (
                "[rules]\nfinal-user-rot = \"off\"",
                "p.toml: unknown rule `final-user-rot` | did you mean `final-user-root`?",
            ),
            (
                "[rules]\nDL3002 = \"of\"",
                "p.toml: `DL3002` is `of`; it must be one of off, warn, error | did you mean `off`?",
            ),
            (
                "[rules.secret-in-env]\nacept = []",
                "p.toml: unknown key `acept` in `rules.secret-in-env` | did you mean `accept`?",
            ),
            (
                "[rules.secret-in-env]\naccept = [1]",
                "p.toml: `rules.secret-in-env.accept` must be a list of strings",
            ),
            ("version = 2", "p.toml: `version` is 2; this rbuild reads version 1"),
            (
                "extends = \"hardend\"",
                "p.toml: cannot read `hardend`, which it extends | did you mean `hardened`?",
            ),
            (
                "[[exceptions]]\nrules = [\"DL3002\"]",
                "p.toml: an exception needs `expires` | expires = 2027-12-31",
            ),
        ] {
            assert_eq!(error(text), want);
        }
    }

    #[test]
    fn what_is_no_toml_is_not_repeated() {
        for text in [
            "//registry.example/:_authToken=npm_s3cr3t\n",
            "a = 1\nmachine h login bot password s3cr3t\n",
            "a = s3cr3t\n",
            "a = \"s3cr3t\n",
            "s3cr3t",
        ] {
            let error = error(text);
            assert!(error.starts_with("p.toml: not TOML: line "), "{error}");
            assert!(!error.contains("s3cr3t") && !error.contains('\n'), "{error}");
            let part = crate::policy::table_of(text, "policy", "p.toml").unwrap_err().to_string();
            assert_eq!(part, error.split(" | ").next().unwrap_or(""));
        }
        assert!(error("a = 1\n\nb =\n").contains("line 3, column "));
    }

    #[test]
    fn files_extend_files() {
        let mut open = |name: &str| match name {
            "org.toml" => {
                Some("extends = \"baseline\"\nlock = [\"rules.DL3002\", \"inline\"]".into())
            }
            "a.toml" => Some("extends = \"a.toml\"".into()),
            _ => None,
        };
        let read = |text: &str, open: &mut dyn FnMut(&str) -> Option<String>| {
            Policy::read(text, "p.toml", open).map_err(|error| error.to_string())
        };
        let policy =
            read("extends = \"org.toml\"\nname = \"x\"\n[rules]\nDS002 = \"error\"", &mut open);
        let policy = policy.unwrap();
        assert_eq!(policy.name, "x");
        assert_eq!(policy.setting("final-user-root").origin, "p.toml");
        assert_eq!(policy.setting("final-user-root").params["absent"].as_str(), Some("warn"));
        for text in [
            "extends = \"org.toml\"\n[rules]\nfinal-user-root = \"off\"",
            "extends = \"org.toml\"\n[rules.final-user-root]\nabsent = \"off\"",
        ] {
            let error = read(text, &mut open).unwrap_err();
            assert_eq!(error, "p.toml: `rules.final-user-root` is locked and may not be weakened");
        }
        assert!(read("extends = \"a.toml\"", &mut open).unwrap_err().contains("circle"));
    }

    #[test]
    fn a_file_that_refines_has_no_other_basis() {
        let merge = |text: &str| {
            let mut policy = Policy::builtin("hardened").unwrap();
            policy.merge(text, "repo.toml").map_err(|error| error.to_string())
        };
        assert!(merge("extends = \"hardened\"").is_ok());
        for basis in ["\"none\"", "\"nowhere.toml\"", "[\"hardened\"]"] {
            let error = merge(&format!("extends = {basis}")).unwrap_err();
            assert_eq!(
                error,
                "repo.toml: `extends` has no effect here: this file refines `hardened`"
            );
        }
    }

    #[test]
    fn the_command_line_comes_last() {
        let mut policy = Policy::builtin("hardened").unwrap();
        assert!(policy.squashes());
        let before = policy.digest();
        policy
            .apply(&Overrides {
                set: vec![
                    "rules.base-unpinned=warn".into(),
                    "rules.secret-in-env.accept=[\"A_KEY\"]".into(),
                ],
                skip: vec!["DL3007".into()],
                ..Overrides::default()
            })
            .unwrap();
        assert_ne!(policy.digest(), before);
        assert_eq!(policy.setting("base-unpinned").level, Level::Warn);
        assert!(policy.skipped_errors.contains("base-tag-latest"));

        let mut policy = Policy::builtin("none").unwrap();
        let only = Overrides { only: vec!["DL3002".into()], ..Overrides::default() };
        policy.apply(&only).unwrap();
        assert_eq!(policy.setting("final-user-root").level, Level::Warn);
        assert_eq!(policy.setting("parse-error").level, Level::Off);
    }
}
