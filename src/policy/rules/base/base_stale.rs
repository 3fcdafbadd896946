//! `base-stale`: a base that is old.

use crate::policy::{Around, BaseName, Found, Outline, Param, ParamKind, Rule};
use toml::Value;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "base-stale",
    title: "Stale bases ship unpatched vulnerabilities to everyone.",
    text: "Finds a FROM whose base, as looked up, was made longer ago than `max_age` (or `[bases] \
          max_age`). A time of 1980 or before is that of a reproducible build: not known.",
    params: &[Param {
        name: "max_age",
        kind: ParamKind::Time,
        default: r#""90d""#,
        help: "how old a base may be",
    }],
    text_check: Some(check),
    bad: &["FROM base:1\n"],
    good: &["FROM new:1\n"],
    around: Around {
        bases: r#"{"base:1": {"created": "2020-01-01T00:00:00Z"}, "new:1": {"created": "2026-11-01T00:00:00Z"}}"#,
        ..Around::NONE
    },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let own = found.section("bases", "max_age").and_then(Value::as_str);
    let max = own.and_then(crate::policy::units::seconds).unwrap_or(found.seconds("max_age"));
    let Some(today) = outline.input.today.and_then(crate::policy::units::days) else { return };
    let mut unknown = false;
    for stage in &outline.stages {
        let BaseName::Image(image) = &stage.base else { continue };
        let created = stage.facts.and_then(|facts| facts.created.as_deref());
        let Some(made) = created.and_then(crate::policy::units::days) else {
            unknown = true;
            continue;
        };
        // 1980-01-02: what tools write that do not want to tell.
        let days = u64::try_from(today - made).unwrap_or(0);
        if made <= 3653 || days * 86_400 <= max {
            continue;
        }
        let message = format!("`{}` was made {days} days ago", image.familiar());
        let help = "take a newer base, and pin it";
        found.tell(stage.place, stage.from.base.span, message, "not renewed since", help);
    }
    if unknown {
        found.skip("bases not resolved");
    }
}
