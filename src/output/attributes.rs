//! The attributes of one `-o`: `key=value` pairs, taken out one by one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::TargetError;
use crate::base::ImageRef;

/// What is left of the attributes.
pub(super) struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// Takes the pairs, all of whose keys must be among `keys`; a later one replaces an earlier.
    pub(super) fn new(
        pairs: &[(String, String)],
        keys: &[&'static str],
    ) -> Result<Self, TargetError> {
        let mut map = BTreeMap::new();
        for (key, value) in pairs {
            let key = if key == "destination" { "dest" } else { key };
            let known = keys.contains(&key)
                || (key.starts_with("annotation") && keys.contains(&"annotation.*"));
            if key != "type" && !known {
                let near = crate::diag::nearest(key, keys.iter().copied().chain(["type"]));
                let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                return Err(TargetError::new(format!("unknown key `{key}` of this output{hint}")));
            }
            map.insert(key.to_owned(), value.clone());
        }
        Ok(Attributes(map))
    }

    /// Annotations, `annotation.KEY`, `annotation[PLATFORM].KEY` or `annotation-KIND[PLATFORM].KEY`,
    /// each as the flag `--annotation` has it: `KIND[PLATFORM]:KEY`.
    pub(super) fn annotations(&mut self) -> Result<Vec<(String, String)>, TargetError> {
        let mut found = Vec::new();
        for (key, value) in &self.0 {
            let Some(rest) = key.strip_prefix("annotation") else { continue };
            // A platform may have dots in it.
            let (place, name) = match rest.split_once("].") {
                Some((place, name)) if !place.contains('.') || place.contains('[') => {
                    (format!("{place}]"), name)
                }
                _ => rest.split_once('.').map_or((String::new(), ""), |(a, b)| (a.to_owned(), b)),
            };
            let (kind, platform) = place.split_at(place.find('[').unwrap_or(place.len()));
            let kind = match kind {
                "" => "manifest",
                "-manifest" | "-index" | "-manifest-descriptor" | "-index-descriptor" => &kind[1..],
                _ => "",
            };
            if kind.is_empty() || name.is_empty() {
                return Err(TargetError::new(format!("`{key}`: write annotation.KEY=VALUE")));
            }
            found.push((format!("{kind}{platform}:{name}"), value.clone()));
        }
        self.0.retain(|key, _| !key.starts_with("annotation"));
        Ok(found)
    }

    /// A path, if one is given.
    pub(super) fn path(&mut self, key: &str) -> Result<Option<PathBuf>, TargetError> {
        match self.0.remove(key) {
            Some(path) if path.is_empty() => Err(TargetError::new(format!("`{key}` is empty"))),
            path => Ok(path.map(PathBuf::from)),
        }
    }

    /// A word, if one is given.
    pub(super) fn word(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    /// `true` or `false`; the key alone means true.
    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>, TargetError> {
        match self.0.remove(key).as_deref() {
            None => Ok(None),
            Some("" | "true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(TargetError::new(format!("{key}=`{other}`: write true or false"))),
        }
    }

    /// Image names, with commas between.
    pub(super) fn names(&mut self, key: &str) -> Result<Vec<ImageRef>, TargetError> {
        let Some(list) = self.0.remove(key) else { return Ok(Vec::new()) };
        list.split(',')
            .map(|name| {
                ImageRef::parse(name.trim()).map_err(|why| TargetError::new(why.to_string()))
            })
            .collect()
    }
}
