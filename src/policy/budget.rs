//! Budgets of an image: what `[budget]` grants, else what the rule does; and how waste is told.

use super::finding::Finding;
use super::rule::Found;
use super::rules::origin;
use super::{Judged, glob, units};
use crate::facts::Waste;

/// Returns a size of `[budget]`, else the rule's parameter; `None` for no limit.
pub(super) fn size(found: &Found<'_>, key: &str, param: &str) -> Option<u64> {
    let granted = found.section("budget", key).and_then(units::size);
    Some(granted.unwrap_or_else(|| found.size(param))).filter(|size| *size > 0)
}

/// Returns a share of `[budget]`, else the rule's parameter.
pub(super) fn share(found: &Found<'_>, key: &str, param: &str) -> f64 {
    let granted = found.section("budget", key).and_then(units::share);
    granted.unwrap_or_else(|| found.share(param))
}

/// Returns whether a path is left out: by `[budget] ignore`, and by the rule's own parameter if it
/// has one.
pub(super) fn ignored(found: &Found<'_>, own: bool) -> impl Fn(&str) -> bool + use<> {
    let mut patterns: Vec<String> =
        found.section_texts("budget", "ignore").into_iter().map(str::to_owned).collect();
    if own {
        patterns.extend(found.texts("ignore").into_iter().map(str::to_owned));
    }
    move |path| patterns.iter().any(|pattern| glob::matches(pattern, path))
}

/// Ends a finding about waste: of the whole image, with the paths that waste most.
pub(super) fn worst(finding: Finding, waste: &Waste, judged: &Judged<'_>) -> Finding {
    let list: Vec<serde_json::Value> = waste
        .worst
        .iter()
        .map(|(size, path, layer)| serde_json::json!({"path": path, "bytes": size, "layer": layer}))
        .collect();
    let shown: Vec<String> = waste
        .worst
        .iter()
        .take(3)
        .map(|(size, path, layer)| format!("`{path}` ({}, layer {layer})", bytes(*size)))
        .collect();
    let help = match shown.is_empty() {
        true => "make and remove in one step, or build in stages".to_owned(),
        false => format!(
            "make and remove in one step, or build in stages; most is in {}",
            shown.join(", ")
        ),
    };
    let mut finding = finding.in_image("image", None).evidence("paths", list).help(help);
    // The instruction that made the most of it.
    if let Some((_, _, layer)) = waste.worst.first() {
        finding = origin(finding, judged, *layer);
    }
    finding
}

/// Bytes for people: `12.3 MiB`.
pub(super) fn bytes(size: u64) -> String {
    match size {
        0..1024 => format!("{size} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", size as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", size as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", size as f64 / 1_073_741_824.0),
    }
}
