//! Thresholds as `dive --ci` reads them: `.dive-ci`, and what holds where it says nothing.

use serde_json::Value;

use super::profile::PolicyError;
use super::yaml;

/// A threshold of dive, the key of `[budget]` that it stands for, the rule that looks at it, and what
/// dive takes where nothing is said.
pub(super) const THRESHOLDS: &[(&str, &str, &str, &str)] = &[
    ("lowestEfficiency", "lowest_efficiency", "image-efficiency", "0.9"),
    ("highestWastedBytes", "highest_wasted_bytes", "image-wasted-bytes", "disabled"),
    ("highestUserWastedPercent", "highest_user_wasted_percent", "image-wasted-percent", "0.1"),
];

/// Thresholds of one run of `dive --ci`, in its order; `None` is dive's own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DiveThresholds {
    values: [Option<String>; 3],
}

impl DiveThresholds {
    /// Reads the text of a `.dive-ci`. `place` names it in messages.
    pub fn read(text: &str, place: &str) -> Result<Self, PolicyError> {
        let fail = |message: String| PolicyError::new(place, message);
        let (thresholds, unknown) = Self::scan(text).map_err(fail)?;
        let Some(key) = unknown.first() else { return Ok(thresholds) };
        let names: Vec<&str> = THRESHOLDS.iter().map(|(name, ..)| *name).collect();
        let begins = |line: &str| {
            line.trim_start().trim_start_matches(['"', '\'']).starts_with(key.as_str())
        };
        let place = match text.lines().position(begins) {
            Some(line) => format!("{place}:{}", line + 1),
            None => place.to_owned(),
        };
        Err(PolicyError::new(&place, format!("unknown threshold `{key}`"))
            .help(Some(format!("there are {}", names.join(", ")))))
    }

    /// Reads the text, and returns the keys that are no thresholds, too.
    pub(super) fn scan(text: &str) -> Result<(Self, Vec<String>), String> {
        let (mut out, mut unknown) = (DiveThresholds::default(), Vec::new());
        let document = yaml::parse(text)?;
        let rules = match document.get("rules") {
            Some(rules) => rules,
            None => &document,
        };
        let rules = match rules {
            Value::Null => return Ok((out, unknown)),
            Value::Object(rules) => rules,
            _ => return Err("`rules` is no mapping: write `KEY: VALUE`".to_owned()),
        };
        for (key, value) in rules {
            // dive takes `-` and `_` in the names of its flags too.
            let plain = key.replace(['-', '_'], "").to_ascii_lowercase();
            let known = THRESHOLDS.iter().position(|(name, ..)| name.to_ascii_lowercase() == plain);
            let text = match value {
                Value::String(text) => text.trim().to_owned(),
                Value::Number(number) => number.to_string(),
                _ => return Err(format!("`{key}` is not of its kind")),
            };
            match known {
                Some(index) => out.values[index] = Some(text),
                None => unknown.push(key.clone()),
            }
        }
        Ok((out, unknown))
    }

    /// Returns what is given, by its position in [`THRESHOLDS`].
    pub(super) fn given(&self) -> impl Iterator<Item = (usize, &str)> {
        let values = self.values.iter().enumerate();
        values.filter_map(|(index, value)| Some((index, value.as_deref()?)))
    }

    /// Sets one, by its position: efficiency, bytes, percent.
    pub fn set(&mut self, index: usize, value: &str) {
        self.values[index] = Some(value.to_owned());
    }

    /// Returns what a policy has to be told, as `--set` takes it. With `all`, the three rules become
    /// errors, with dive's own thresholds where none are given, and divide as dive does; without, only
    /// the thresholds that are given are set.
    pub fn overrides(&self, all: bool) -> Vec<String> {
        let mut out = Vec::new();
        for ((_, key, rule, usual), value) in THRESHOLDS.iter().zip(&self.values) {
            let value = match (value, all) {
                (Some(value), _) => value.as_str(),
                (None, true) => usual,
                (None, false) => continue,
            };
            if matches!(value, "disabled" | "off") {
                out.push(format!("rules.{rule}=off"));
                continue;
            }
            if all {
                out.push(format!("rules.{rule}=error"));
            }
            out.push(format!("budget.{key}={value}"));
        }
        if all {
            out.push("rules.image-wasted-percent.compat=dive".to_owned());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Level, Overrides, Policy};

    fn check(text: &str, all: bool, want: &[&str]) {
        let read = DiveThresholds::read(text, ".dive-ci").unwrap();
        let set = read.overrides(all);
        assert_eq!(set, want, "{text}");
        // A policy takes them.
        let mut policy = Policy::builtin("baseline").unwrap();
        policy.apply(&Overrides { set, ..Overrides::default() }).unwrap();
        let on = policy.setting("image-efficiency").level;
        assert_eq!(on == Level::Error, all && !text.contains("Efficiency: disabled"), "{text}");
    }

    #[test]
    fn the_file_of_dive_is_read() {
        let text = "rules:\n  # If the efficiency is below\n  lowestEfficiency: 0.95 # why\n\n  \
                    highestWastedBytes: 20MB\n  highestUserWastedPercent: \"0.20\"\n";
        check(
            text,
            true,
            &[
                "rules.image-efficiency=error",
                "budget.lowest_efficiency=0.95",
                "rules.image-wasted-bytes=error",
                "budget.highest_wasted_bytes=20MB",
                "rules.image-wasted-percent=error",
                "budget.highest_user_wasted_percent=0.20",
                "rules.image-wasted-percent.compat=dive",
            ],
        );
        check(
            "",
            true,
            &[
                "rules.image-efficiency=error",
                "budget.lowest_efficiency=0.9",
                "rules.image-wasted-bytes=off",
                "rules.image-wasted-percent=error",
                "budget.highest_user_wasted_percent=0.1",
                "rules.image-wasted-percent.compat=dive",
            ],
        );
        check(
            "rules:\n  highest-wasted-bytes: 1KiB\n",
            false,
            &["budget.highest_wasted_bytes=1KiB"],
        );
        check("lowestEfficiency: disabled\n", false, &["rules.image-efficiency=off"]);
        check("rules: {highestWastedBytes: 1MB}\n", false, &["budget.highest_wasted_bytes=1MB"]);
        for bad in [
            "rules:\n  lowestEficiency: 1\n",
            "rules:\n  nothing\n",
            "rules:\n  lowestEfficiency: [1]\n",
        ] {
            assert!(DiveThresholds::read(bad, "f").is_err(), "{bad}");
        }
        let error = DiveThresholds::read("rules:\n  lowestEficiency: 1\n", "f").unwrap_err();
        assert_eq!(error.place, "f:2");
    }
}
