//! `base-not-allowed`: a base that the policy does not allow.

use crate::base::ImageRef;
use crate::policy::{Around, BaseName, Found, Outline, Rule};
use toml::Value;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "base-not-allowed",
    title: "Base images are chosen by the organisation, not by the author.",
    text: "Finds FROM of an image (of the stages that become the image; of all with `[bases] \
          stages = \"all\"`) that no entry of `[bases] allow` matches, or that one of \
          `[bases] deny` does. An entry is a pattern of `name` or `name:tag`, or a table with \
          `name`, `tags`, `digests`, `expires`. While both lists are empty, nothing is found.",
    standards: &["CIS 4.2"],
    text_check: Some(check),
    bad: &["FROM ubuntu:24.04\n", "FROM debian:12\n"],
    good: &["FROM debian:13\n", "FROM docker.io/corp/app:1.2\n"],
    around: Around {
        set: &[
            "bases.allow=[\"docker.io/library/debian:*\", {name=\"*/app\", tags=[\"1*\"]}]",
            "bases.deny=[\"*:12\"]",
        ],
        ..Around::NONE
    },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let allow = found.section("bases", "allow").and_then(Value::as_array).cloned();
    let allow = allow.unwrap_or_default();
    let deny: Vec<String> =
        found.section_texts("bases", "deny").into_iter().map(str::to_owned).collect();
    let all = found.section("bases", "stages").and_then(Value::as_str) == Some("all");
    if allow.is_empty() && deny.is_empty() {
        return;
    }
    let shipped: Vec<usize> = outline.chain().iter().map(|stage| stage.index).collect();
    for stage in outline.stages.iter().filter(|stage| all || shipped.contains(&stage.index)) {
        let BaseName::Image(image) = &stage.base else { continue };
        let denied = deny.iter().find(|pattern| is(pattern, image));
        let today = outline.input.today;
        let allowed = allow.is_empty() || allow.iter().any(|entry| fits(entry, image, today));
        let message = match denied {
            Some(pattern) => format!("`{}` is denied by `{pattern}`", image.familiar()),
            None if !allowed => format!("`{}` is not among the bases allowed", image.familiar()),
            None => continue,
        };
        let help = "use a base of [bases] allow";
        found.tell(stage.place, stage.from.base.span, message, "not allowed", help);
    }
}

// A pattern of a name, or of name and tag.
fn is(pattern: &str, image: &ImageRef) -> bool {
    let name = image.name();
    let tagged = format!("{name}:{}", image.tag_or_latest());
    let deep = pattern.replace("**", "*").replace('*', "**");
    crate::policy::glob::matches(&deep, &name) || crate::policy::glob::matches(&deep, &tagged)
}

fn fits(entry: &Value, image: &ImageRef, today: Option<&str>) -> bool {
    let table = match entry {
        Value::String(pattern) => return is(pattern, image),
        Value::Table(table) => table,
        _ => return false,
    };
    let texts = |key: &str| {
        let list = table.get(key).and_then(Value::as_array);
        list.map(|list| list.iter().filter_map(Value::as_str).collect::<Vec<_>>())
    };
    let end = match table.get("expires") {
        Some(Value::Datetime(date)) => Some(date.to_string()),
        Some(Value::String(text)) => Some(text.clone()),
        _ => None,
    };
    let expired = match (end, today) {
        (Some(end), Some(today)) => today > end.get(..10).unwrap_or(""),
        _ => false,
    };
    let tag = image.tag_or_latest();
    let digest = image.digest().map(|digest| digest.to_string());
    table.get("name").and_then(Value::as_str).is_some_and(|name| is(name, image))
        && !expired
        && texts("tags").is_none_or(|tags| {
            tags.iter().any(|pattern| crate::policy::glob::matches(pattern, tag))
        })
        && texts("digests")
            .is_none_or(|known| digest.is_some_and(|digest| known.contains(&digest.as_str())))
}
