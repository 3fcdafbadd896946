//! From an index to the one image of a platform.

use std::collections::BTreeSet;

use super::json::DocumentError;
use super::manifest::{Descriptor, Document, Index};
use super::media::DocumentKind;
use crate::base::{Digest, Manifest, Platform};

/// Indexes within indexes are followed so deep. Real ones have one level, seldom two.
const MAX_DEPTH: usize = 8;

/// Why no image was found.
#[derive(Debug, thiserror::Error)]
pub enum SelectError<E> {
    /// A document could not be had.
    #[error(transparent)]
    Fetch(E),
    /// A document is malformed.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The index has no image for the platform.
    #[error("no image for platform {wanted}{}", offer(.have))]
    Platform {
        /// What was asked for.
        wanted: Platform,
        /// What is there.
        have: Vec<String>,
    },
    /// Indexes lead to each other, or too deep.
    #[error("indexes nested more than {MAX_DEPTH} deep")]
    Depth,
}

fn offer(have: &[String]) -> String {
    if have.is_empty() { String::new() } else { format!("; there is {}", have.join(", ")) }
}

/// What [`find`] found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Digest of the image's manifest.
    pub digest: Digest<Manifest>,
    /// The manifest's bytes.
    pub bytes: Vec<u8>,
}

/// Follows indexes from a first document (`bytes`, announced as `announced`) to the manifest for
/// `platform`. `fetch` gets a document by its descriptor; it checks digest and size.
///
/// A manifest that is not in an index is taken whatever its platform: the caller compares
/// [`super::Image::platform`]. Of several entries that fit equally well the first one counts.
pub fn find<E>(
    bytes: Vec<u8>,
    announced: Option<&str>,
    platform: &Platform,
    mut fetch: impl FnMut(&Descriptor) -> Result<Vec<u8>, E>,
) -> Result<Found, SelectError<E>> {
    let (mut bytes, mut announced) = (bytes, announced.map(str::to_owned));
    for _ in 0..=MAX_DEPTH {
        match Document::parse(&bytes, announced.as_deref())? {
            Document::Manifest(_) => return Ok(Found { digest: Digest::of(&bytes), bytes }),
            Document::Index(index) => {
                let next = entry(&index, platform)
                    .map_err(|have| SelectError::Platform { wanted: platform.clone(), have })?;
                bytes = fetch(next).map_err(SelectError::Fetch)?;
                announced = Some(next.media_type.clone());
            }
        }
    }
    Err(SelectError::Depth)
}

/// Returns the entry of an index that suits a platform best, or the platforms that there are.
pub(super) fn entry<'a>(
    index: &'a Index,
    platform: &Platform,
) -> Result<&'a Descriptor, Vec<String>> {
    let entries = || {
        index.manifests.iter().filter(|entry| {
            !entry.is_attestation() && DocumentKind::of(&entry.media_type).is_some()
        })
    };
    let best = entries()
        .filter_map(|entry| Some((distance(platform, entry.platform.as_ref()?)?, entry)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, entry)| entry);
    if let Some(best) = best {
        return Ok(best);
    }
    // Without platforms there is a choice only if there is one entry.
    let mut bare = entries().filter(|entry| entry.platform.is_none());
    match (bare.next(), bare.next()) {
        (Some(one), None) => Ok(one),
        _ => {
            let have: BTreeSet<String> = entries()
                .filter_map(|entry| entry.platform.as_ref())
                .map(|have| have.to_string().escape_default().take(60).collect())
                .collect();
            Err(have.into_iter().take(20).collect())
        }
    }
}

// How far an offered platform is from the wanted one; `None` if it does not run there. A processor
// runs the code of its older variants (containerd, `platforms/compare.go`).
fn distance(wanted: &Platform, have: &Platform) -> Option<u8> {
    if (&wanted.os, &wanted.architecture) != (&have.os, &have.architecture) {
        return None;
    }
    if wanted.variant == have.variant {
        return Some(0);
    }
    let number = |platform: &Platform| -> Option<u8> {
        match platform.variant.as_deref() {
            Some(variant) => variant.strip_prefix('v')?.parse().ok(),
            // What a variant begins with.
            None => match platform.architecture.as_str() {
                "amd64" => Some(1),
                "arm64" => Some(8),
                _ => None,
            },
        }
    };
    number(wanted)?.checked_sub(number(have)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{MANIFEST, Manifest};

    fn index(platforms: &[&str]) -> Index {
        Index::new(
            platforms
                .iter()
                .map(|text| {
                    let mut entry = Descriptor::of(MANIFEST, text.as_bytes());
                    match *text {
                        "none" => {}
                        "attestation" => {
                            entry.platform = Some(Platform::new("unknown", "unknown", None));
                        }
                        text => {
                            let parts: Vec<&str> = text.split('/').collect();
                            entry.platform =
                                Some(Platform::new(parts[0], parts[1], parts.get(2).copied()));
                        }
                    }
                    entry
                })
                .collect(),
        )
    }

    #[test]
    fn the_nearest_platform_is_taken() {
        for (wanted, have, want) in [
            ("linux/amd64", &["linux/arm64", "linux/amd64"][..], Some("linux/amd64")),
            (
                "linux/arm/v7",
                &["linux/arm/v5", "linux/arm/v6", "linux/arm64"],
                Some("linux/arm/v6"),
            ),
            ("linux/arm/v6", &["linux/arm/v7", "linux/arm/v5"], Some("linux/arm/v5")),
            ("linux/arm/v5", &["linux/arm/v7"], None),
            ("linux/arm64", &["linux/arm/v7"], None),
            (
                "linux/amd64/v3",
                &["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"],
                Some("linux/amd64/v2"),
            ),
            ("linux/amd64", &["linux/amd64/v2"], None),
            ("linux/s390x", &["attestation", "linux/amd64"], None),
            ("linux/amd64", &["attestation", "none"], Some("none")),
            ("linux/amd64", &["none", "none"], None),
            ("linux/amd64", &[], None),
        ] {
            let index = index(have);
            let got = entry(&index, &Platform::parse(wanted).unwrap());
            assert_eq!(
                got.ok().map(|entry| entry.digest),
                want.map(|text| Digest::of(text.as_bytes())),
                "{wanted} of {have:?}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let bytes = index(&["linux/arm/v7", "linux/amd64", "linux/amd64"]).to_bytes();
        let error =
            find(bytes, None, &Platform::parse("linux/s390x").unwrap(), |_| Err::<_, &str>("no"))
                .unwrap_err();
        assert_eq!(
            error.to_string(),
            "no image for platform linux/s390x; there is linux/amd64, linux/arm/v7"
        );
    }

    #[test]
    fn deep_indexes_end() {
        let mut bytes = Manifest::new(Descriptor::of("x", b""), vec![]).to_bytes();
        let mut documents = Vec::new();
        for _ in 0..100 {
            let media_type = if documents.is_empty() { MANIFEST } else { crate::image::INDEX };
            let entry = Descriptor::of(media_type, &bytes);
            documents.push((entry.digest, bytes));
            bytes = Index::new(vec![entry]).to_bytes();
        }
        let platform = Platform::parse("linux/amd64").unwrap();
        let fetch = |entry: &Descriptor| {
            let found = documents.iter().find(|(digest, _)| *digest == entry.digest);
            found.map(|(_, bytes)| bytes.clone()).ok_or("missing")
        };
        assert!(matches!(find(bytes, None, &platform, fetch), Err(SelectError::Depth)));
        let near = Index::new(vec![Descriptor::of(MANIFEST, &documents[0].1)]).to_bytes();
        assert_eq!(find(near, None, &platform, fetch).unwrap().bytes, documents[0].1);
    }
}
