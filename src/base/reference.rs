//! Image references: `[host[:port]/]path[:tag][@digest]`, by the distribution grammar
//! (distribution/reference, "Grammar") with Docker's short names.

use std::fmt;

use super::digest::{Digest, Manifest};

/// A parsed image reference, made full: `debian` is `docker.io/library/debian`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest<Manifest>>,
}

/// Why a text is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing there.
    #[error("the image reference is empty")]
    Empty,
    /// Upper-case letters in the repository.
    #[error("repository names are lower-case: `{0}`")]
    UpperCase(String),
    /// Against the grammar.
    #[error("invalid reference format: `{text}`: {why}")]
    Form {
        /// The text, escaped.
        text: String,
        /// The part that is wrong.
        why: &'static str,
    },
}

impl ImageRef {
    /// Parses a reference as Docker reads it. Neither tag nor digest is added when absent; see
    /// [`ImageRef::tag_or_latest`].
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let form = |why| ReferenceError::Form { text: text.escape_default().to_string(), why };
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.len() > 4096 {
            return Err(ReferenceError::Form {
                text: text.chars().take(40).collect(),
                why: "too long",
            });
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (
                name,
                Some(
                    Digest::parse(digest)
                        .map_err(|_| form("the digest is not sha256 and 64 hex digits"))?,
                ),
            ),
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(form("the tag is not 1 to 128 of letters, digits, `_`, `.`, `-`"));
        }
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if is_host_like(host) => (Some(host), path),
            _ => (None, name),
        };
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ReferenceError::UpperCase(text.escape_default().to_string()));
        }
        if !path.split('/').all(is_path_component) {
            return Err(form("the repository name breaks the grammar"));
        }
        // Hosts are the same in small letters, except where a capital is all that makes it a host.
        let host = host.map(|host| {
            let small = host.to_ascii_lowercase();
            if is_host_like(&small) { small } else { host.to_owned() }
        });
        let registry = match host.as_deref() {
            Some("index.docker.io" | "docker.io" | "registry-1.docker.io") | None => {
                "docker.io".to_owned()
            }
            Some(host) if is_host(host) => host.to_owned(),
            Some(_) => return Err(form("the registry host is malformed")),
        };
        let repository = if registry == "docker.io" && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if repository.len() > 255 {
            return Err(form("the repository name is longer than 255 bytes"));
        }
        Ok(ImageRef { registry, repository, tag: tag.map(str::to_owned), digest })
    }

    /// The registry, with its port if given: `docker.io`, `127.0.0.1:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository: `library/debian`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag as written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The tag, or `latest` where neither tag nor digest is written.
    pub fn tag_or_latest(&self) -> &str {
        self.tag.as_deref().unwrap_or("latest")
    }

    /// The digest as written.
    pub fn digest(&self) -> Option<Digest<Manifest>> {
        self.digest
    }

    /// `registry/repository`, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Returns the same reference with this digest.
    pub fn pin(&self, digest: Digest<Manifest>) -> PinnedRef {
        PinnedRef { image: ImageRef { digest: Some(digest), ..self.clone() }, digest }
    }

    /// Returns the name as a person writes it: Docker Hub's prefixes left out, where what is left
    /// still means the same.
    pub fn familiar(&self) -> String {
        let name = match (self.registry.as_str(), self.repository.split_once('/')) {
            ("docker.io", Some(("library", image))) if !image.contains('/') => image.to_owned(),
            ("docker.io", Some((first, _))) if !is_host_like(first) => self.repository.clone(),
            _ => self.name(),
        };
        self.with_suffix(name)
    }

    fn with_suffix(&self, mut name: String) -> String {
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            name.push('@');
            name.push_str(&digest.to_string());
        }
        name
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffix(self.name()))
    }
}

impl fmt::Debug for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A reference whose digest is known: what execution takes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PinnedRef {
    image: ImageRef,
    digest: Digest<Manifest>,
}

impl PinnedRef {
    /// The reference, with the digest in it.
    pub fn image(&self) -> &ImageRef {
        &self.image
    }

    /// The digest of the manifest or index.
    pub fn digest(&self) -> Digest<Manifest> {
        self.digest
    }
}

impl fmt::Display for PinnedRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.image)
    }
}

// Docker's rule for the first component: a host has a dot or a port, or is `localhost`, or has an
// upper-case letter (which a repository may not have).
fn is_host_like(text: &str) -> bool {
    text.contains(['.', ':'])
        || text == "localhost"
        || text.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_host(text: &str) -> bool {
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, rest)) = rest.split_once(']') else { return false };
        if address.is_empty()
            || !address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')
        {
            return false;
        }
        match rest {
            "" => return true,
            _ => match rest.strip_prefix(':') {
                Some(port) => return is_port(port),
                None => return false,
            },
        }
    } else {
        match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        }
    };
    port.is_none_or(is_port)
        && name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok() && !text.starts_with('+')
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&text.len())
        && word(text.as_bytes()[0])
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

// path-component := alpha-numeric [separator alpha-numeric]*; separator := [_.] | "__" | "-"+
fn is_path_component(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alnum = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut at = 0;
    loop {
        let start = at;
        while at < bytes.len() && alnum(bytes[at]) {
            at += 1;
        }
        if at == start {
            return false;
        }
        if at == bytes.len() {
            return true;
        }
        let separator = at;
        while at < bytes.len() && !alnum(bytes[at]) {
            at += 1;
        }
        let separator = &bytes[separator..at];
        if !(matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-'))
        {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_names_are_made_full() {
        for (text, want) in [
            ("debian", "docker.io/library/debian"),
            ("debian:12", "docker.io/library/debian:12"),
            ("a/b", "docker.io/a/b"),
            ("localhost/a", "localhost/a"),
            ("127.0.0.1:5000/x/y:z", "127.0.0.1:5000/x/y:z"),
            ("registry.example/a__b/c-d.e:T_1.x", "registry.example/a__b/c-d.e:T_1.x"),
            ("[::1]:5000/a", "[::1]:5000/a"),
        ] {
            assert_eq!(ImageRef::parse(text).unwrap().to_string(), want);
        }
        assert_eq!(ImageRef::parse("docker.io/library/debian:12").unwrap().familiar(), "debian:12");
    }

    // Found by `fuzz/run reference`: names that were printed as names of something else.
    #[test]
    fn what_is_printed_means_the_same() {
        for (text, full, familiar) in [
            ("exAmple/a", "exAmple/a", "exAmple/a"),
            ("EXAMPLE.org/a", "example.org/a", "example.org/a"),
            ("Index.Docker.io/a", "docker.io/library/a", "a"),
            ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
            ("docker.io/localhost/a", "docker.io/localhost/a", "docker.io/localhost/a"),
            ("docker.io/a.b/c", "docker.io/a.b/c", "docker.io/a.b/c"),
        ] {
            let reference = ImageRef::parse(text).unwrap();
            assert_eq!(
                (reference.to_string(), reference.familiar()),
                (full.into(), familiar.into())
            );
            for printed in [full, familiar] {
                assert_eq!(ImageRef::parse(printed).as_ref(), Ok(&reference), "{printed}");
            }
        }
    }

    #[test]
    fn breaches_of_the_grammar_are_refused() {
        for bad in [
            "",
            ":",
            "a:",
            "a:/b",
            "A",
            "a/B",
            "a//b",
            "a/..",
            "../a",
            "a@sha256:12",
            "a b",
            "a%2fb",
            "a?b",
            "-a",
            "a-",
            "a___b",
            "a..b",
            "host.:1/a",
            "h.x:99999/a",
            "a:tag:tag2",
            "a\n",
            "x.y:+80/a",
        ] {
            assert!(
                ImageRef::parse(bad).is_err(),
                "{bad:?} was taken as {:?}",
                ImageRef::parse(bad)
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_parses_to_the_same(text in "[a-z0-9.:/@_-]{0,40}") {
            if let Ok(image) = ImageRef::parse(&text) {
                prop_assert_eq!(ImageRef::parse(&image.to_string()).unwrap(), image);
            }
        }
    }
}
