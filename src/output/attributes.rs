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
            if key != "type" && !keys.contains(&key) {
                let near = crate::diag::nearest(key, keys.iter().copied().chain(["type"]));
                let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                return Err(TargetError::new(format!("unknown key `{key}` of this output{hint}")));
            }
            map.insert(key.to_owned(), value.clone());
        }
        Ok(Attributes(map))
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
