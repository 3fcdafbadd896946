//! The image config: the document that says what a container made from the image runs.
//!
//! Fields of the OCI image specification (config.md) and those that Docker adds (moby,
//! `image/spec/spec.md` and `api/types/container/config.go`): `Healthcheck`, `OnBuild`, `Shell`,
//! `ArgsEscaped`. What is not known here is kept and written again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::json::{self, DocumentError};
use crate::base::{self, Diff, Digest, Platform};

/// The largest config that is read, in bytes. Real ones are a few kilobytes; registries cap them
/// at 4 MiB or more.
pub const MAX_CONFIG: u64 = 8 << 20;

/// A whole image config document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Processor architecture, as Go spells it.
    #[serde(default)]
    pub architecture: String,
    /// Variant of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Operating system, as Go spells it.
    #[serde(default)]
    pub os: String,
    /// Who made the image, as MAINTAINER says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// When the image was made, RFC 3339; kept as text, so that fractions and zones survive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// What a container runs and how.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: RunConfig,
    /// The layers' uncompressed tars.
    pub rootfs: RootFs,
    /// One entry per instruction, oldest first.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

impl Config {
    /// Returns the config of an image without layers for `platform`.
    pub fn empty(platform: &Platform) -> Self {
        Config {
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone(),
            os: platform.os.clone(),
            author: None,
            created: None,
            config: RunConfig::default(),
            rootfs: RootFs { kind: LAYERS.to_owned(), diff_ids: Vec::new() },
            history: Vec::new(),
            unknown: BTreeMap::new(),
        }
    }

    /// Reads a config of at most [`MAX_CONFIG`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let config: Config = json::read("image config", bytes, MAX_CONFIG)?;
        if config.rootfs.kind != LAYERS {
            return Err(DocumentError::new(
                "image config",
                format!(
                    "rootfs is of type `{}`, not `layers`",
                    config.rootfs.kind.escape_default()
                ),
            ));
        }
        Ok(config)
    }

    /// Writes the document: compact JSON with sorted keys, so that equal configs have one digest.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::sorted(self)
    }

    /// The platform that the image is for, normalised.
    pub fn platform(&self) -> Platform {
        Platform::new(&self.os, &self.architecture, self.variant.as_deref())
    }

    /// The digest of the document as [`Config::to_bytes`] writes it. For an image that was read,
    /// take [`super::Image::config_digest`]: received bytes need not be ours.
    pub fn digest(&self) -> Digest<base::Config> {
        Digest::of(&self.to_bytes())
    }
}

const LAYERS: &str = "layers";

/// The layers' diff ids, bottom first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the uncompressed tars.
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<Digest<Diff>>,
}

/// One line of an image's history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// A remark; builders name themselves here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// No layer belongs to this entry.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub empty_layer: bool,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// What a container runs: the `config` part of the document, under Docker's field names.
///
/// A field that is empty is not written. `cmd: None` and `cmd: Some([])` differ while a plan is
/// made; both are written as an absent field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RunConfig {
    /// `user[:group]`, by name or number; empty is root.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports that the image offers: `80/tcp`.
    #[serde(with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// `NAME=value`, in the order in which they were first set.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The first part of the command line.
    #[serde(deserialize_with = "command", skip_serializing_if = "none_or_empty")]
    pub entrypoint: Option<Vec<String>>,
    /// The default arguments, or the whole command line.
    #[serde(deserialize_with = "command", skip_serializing_if = "none_or_empty")]
    pub cmd: Option<Vec<String>>,
    /// Paths whose content lives outside the image.
    #[serde(with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// Where processes start; empty is `/`.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Free annotations.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Signal that stops a container: `SIGTERM`, `15`.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// The command of Windows images is already quoted.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub args_escaped: bool,
    /// How to find out whether a container works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Instructions for builds that start from the image.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// The shell of shell-form instructions.
    #[serde(deserialize_with = "command", skip_serializing_if = "none_or_empty")]
    pub shell: Option<Vec<String>>,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// HEALTHCHECK. Durations are nanoseconds, 0 means "inherit"; moby's Go types are signed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", args…]` or `["CMD-SHELL", text]`.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Time between two checks.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// Time after which a check counts as failed.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// Time at the start in which failures do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Time between two checks during the start period.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make a container unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn none_or_empty(value: &Option<Vec<String>>) -> bool {
    value.as_ref().is_none_or(Vec::is_empty)
}

// Go writes an unset slice, map or pointer as `null`.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

// A list of words; images of Docker before 1.10 may have one string (moby, `strslice`).
fn command<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Words(Vec<String>),
        Text(String),
    }
    Ok(Option::deserialize(deserializer)?.map(|form| match form {
        Form::Words(words) => words,
        Form::Text(text) => vec![text],
    }))
}

// Go's `map[string]struct{}`: the keys of an object whose values say nothing.
mod set {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        set: &BTreeSet<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(set.iter().map(|key| (key, serde_json::Map::new())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<String>, D::Error> {
        let map: Option<BTreeMap<String, serde::de::IgnoredAny>> =
            Option::deserialize(deserializer)?;
        Ok(map.unwrap_or_default().into_keys().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let config = Config::parse(text.as_bytes()).expect(text);
        let bytes = config.to_bytes();
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), want);
        assert_eq!(Config::parse(&bytes).unwrap(), config);
    }

    #[test]
    fn keys_are_sorted_and_unknown_fields_kept() {
        check(
            r#"{"os":"linux","architecture":"arm","variant":"v7","x-top":{"b":[1,null],"a":2},
                "config":{"Zed":1,"Hostname":"","User":"1:2","Cmd":["a"],"Healthcheck":
                {"Test":["CMD","x"],"Interval":5,"Odd":true},"OnBuild":["RUN x"],"Shell":["sh"],
                "ArgsEscaped":true,"Labels":{"b":"2","a":"1"},"ExposedPorts":{"80/tcp":{}},
                "StopSignal":"9","Volumes":{"/v":{}},"WorkingDir":"/w","Env":["B=1","A=2"]},
                "rootfs":{"type":"layers","diff_ids":[]},
                "history":[{"created_by":"x","empty_layer":true,"odd":1}]}"#,
            concat!(
                r#"{"architecture":"arm","config":{"ArgsEscaped":true,"Cmd":["a"],"Env":["B=1","A=2"],"#,
                r#""ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Interval":5,"Odd":true,"Test":["CMD","x"]},"#,
                r#""Hostname":"","Labels":{"a":"1","b":"2"},"OnBuild":["RUN x"],"Shell":["sh"],"#,
                r#""StopSignal":"9","User":"1:2","Volumes":{"/v":{}},"WorkingDir":"/w","Zed":1},"#,
                r#""history":[{"created_by":"x","empty_layer":true,"odd":1}],"os":"linux","#,
                r#""rootfs":{"diff_ids":[],"type":"layers"},"variant":"v7","x-top":{"a":2,"b":[1,null]}}"#,
            ),
        );
    }

    // Found by fuzzing: it became …709551615e18 at the second reading.
    #[test]
    fn large_numbers_of_unknown_fields_stay_what_they_are() {
        let text = r#"{"os":"linux","rootfs":{"type":"layers"},"x":18446744073709551616e18}"#;
        let once = Config::parse(text.as_bytes()).expect("a config").to_bytes();
        assert_eq!(Config::parse(&once).expect("our own").to_bytes(), once);
        let text = r#"{"rootfs":{"type":"layers"},"x":1844671844674407370955161644073709551613}"#;
        let once = Config::parse(text.as_bytes()).expect("a config").to_bytes();
        assert_eq!(Config::parse(&once).expect("our own").to_bytes(), once);
    }

    #[test]
    fn go_nulls_and_old_strings_are_read() {
        check(
            r#"{"architecture":"amd64","os":"linux","config":{"Cmd":"sh","Entrypoint":null,
                "Env":null,"Volumes":null,"ExposedPorts":null,"Labels":null,"OnBuild":null,
                "Healthcheck":null},"rootfs":{"type":"layers","diff_ids":null},"history":null}"#,
            concat!(
                r#"{"architecture":"amd64","config":{"Cmd":["sh"]},"os":"linux","#,
                r#""rootfs":{"diff_ids":[],"type":"layers"}}"#
            ),
        );
    }

    #[test]
    fn hostile_configs_are_clean_errors() {
        let deep = format!(
            r#"{{"rootfs":{{"type":"layers"}},"x":{}{}}}"#,
            "[".repeat(10_000),
            "]".repeat(10_000)
        );
        let upper =
            format!(r#"{{"rootfs":{{"type":"layers","diff_ids":["sha256:{}"]}}}}"#, "A".repeat(64));
        for bad in [
            "",
            "null",
            "[]",
            "\u{feff}{}",
            r#"{"rootfs":{"type":"squash"}}"#,
            r#"{"rootfs":{"type":"layers"},"os":"a","os":"b"}"#,
            r#"{"rootfs":{"type":"layers","diff_ids":["sha256:../../x"]}}"#,
            &deep,
            &upper,
        ] {
            assert!(Config::parse(bad.as_bytes()).is_err(), "{bad:.60}");
        }
        let big = vec![b' '; MAX_CONFIG as usize + 1];
        assert!(Config::parse(&big).unwrap_err().to_string().contains("larger"));
    }
}
