//! The file of `--registry-config`: mirrors, plain HTTP, certificates and refusals, per host.
//! `docs/registry-config.md` is its page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::Error;
use super::retry::Retry;
use super::url::{Origin, Scheme, Url};
use crate::event::Cancel;

/// How registries are reached. The default knows nothing: HTTPS for all but loopback addresses.
#[derive(Clone, Debug, Default)]
pub struct RegistryConfig {
    hosts: BTreeMap<String, HostConfig>,
    /// Certificate authorities for all hosts (`--ca-file`), PEM files.
    pub ca_files: Vec<PathBuf>,
    /// Tries and waits.
    pub retry: Retry,
    /// Proxies, from the standard variables as the command line read them.
    pub proxies: Proxies,
    /// Breaks off every connection, for ever.
    pub cancel: Cancel,
}

/// Proxies by scheme of the address that is asked for.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For `http` addresses (`http_proxy`).
    pub http: Option<String>,
    /// For `https` addresses (`https_proxy`).
    pub https: Option<String>,
    /// Hosts that are asked directly (`no_proxy`): names, `.suffix`, `*`. Loopback addresses always
    /// are.
    pub none_for: Vec<String>,
}

/// What the file says of one host, or of repositories below `host/prefix`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct HostConfig {
    pub(super) mirrors: Vec<Mirror>,
    pub(super) http: bool,
    pub(super) insecure: bool,
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) deny: bool,
    pub(super) token_hosts: Vec<String>,
    /// Plain HTTP will do where TLS is not answered.
    #[serde(skip)]
    pub(super) plain_will_do: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Mirror {
    #[serde(deserialize_with = "url")]
    pub(super) url: Url,
    #[serde(default = "yes")]
    pub(super) pull: bool,
    #[serde(default = "yes")]
    pub(super) fallback: bool,
}

fn yes() -> bool {
    true
}

fn url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    Url::parse(&text).filter(|url| !url.target.contains('?')).ok_or_else(|| {
        // The text may hold a password: it is not repeated.
        serde::de::Error::custom(
            "a mirror's url is http:// or https://, a host and a path, without user and password",
        )
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    host: BTreeMap<String, HostConfig>,
}

impl RegistryConfig {
    /// Reads the text of a configuration file; relative file names in it are taken from `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Error> {
        let file: File = toml::from_str(text)
            .map_err(|error| Error::Config(error.to_string().trim().to_owned()))?;
        let mut hosts = BTreeMap::new();
        for (name, mut host) in file.host {
            let wrong =
                |why: &str| Error::Config(format!("[host.\"{}\"]: {why}", name.escape_default()));
            let (authority, prefix) = match name.split_once('/') {
                Some((authority, prefix)) => (authority, Some(prefix)),
                None => (name.as_str(), None),
            };
            let dummy = Url::parse(&format!("https://{authority}/"));
            if dummy.is_none()
                || prefix.is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('/'))
            {
                return Err(wrong("write a host, `host:port` or `host/prefix`"));
            }
            if prefix.is_some()
                && (host.http
                    || host.insecure
                    || host.ca.is_some()
                    || host.cert.is_some()
                    || !host.token_hosts.is_empty())
            {
                return Err(wrong(
                    "`http`, `insecure`, `ca`, `cert`, `key` and `token-hosts` belong to a host, not to a prefix",
                ));
            }
            if host.cert.is_some() != host.key.is_some() {
                return Err(wrong("`cert` and `key` go together"));
            }
            if host.http && (host.insecure || host.ca.is_some() || host.cert.is_some()) {
                return Err(wrong(
                    "`http` is without TLS: `insecure`, `ca` and `cert` mean nothing with it",
                ));
            }
            for path in [&mut host.ca, &mut host.cert, &mut host.key].into_iter().flatten() {
                *path = folder.join(&*path);
            }
            hosts.insert(key(authority, prefix), host);
        }
        Ok(RegistryConfig { hosts, ..Self::default() })
    }

    /// Lets `authority` (`host:port`) be anybody: no certificate is looked at, and plain HTTP will do
    /// where it does not answer with TLS. What the file says of it otherwise stands.
    pub fn allow_insecure(&mut self, authority: &str) {
        let host = self.hosts.entry(key(authority, None)).or_default();
        if !host.http {
            (host.insecure, host.plain_will_do) = (true, true);
        }
    }

    /// What is said of `repository` on `authority`: the longest prefix counts, alone.
    pub(super) fn of(&self, authority: &str, repository: &str) -> Option<&HostConfig> {
        let mut prefix = Some(repository);
        while let Some(some) = prefix {
            if let Some(found) = self.hosts.get(&key(authority, Some(some))) {
                return Some(found);
            }
            prefix = some.rsplit_once('/').map(|(shorter, _)| shorter);
        }
        self.host(authority)
    }

    /// What is said of the connection to `authority`.
    pub(super) fn host(&self, authority: &str) -> Option<&HostConfig> {
        self.hosts.get(&key(authority, None))
    }
}

// Docker Hub has several names; one of them is used here.
fn key(authority: &str, prefix: Option<&str>) -> String {
    let mut key = match authority.to_ascii_lowercase().as_str() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => Origin::new(Scheme::Https, other).authority,
    };
    if let Some(prefix) = prefix {
        key.push('/');
        key.push_str(prefix);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RegistryConfig, Error> {
        RegistryConfig::parse(text, Path::new("/etc/x"))
    }

    #[test]
    fn the_longest_prefix_counts() {
        let config = parse(
            r#"
            [host."docker.io"]
            mirrors = [{ url = "https://mirror.example.com/hub" }]
            [host."r.example.com:5000"]
            http = true
            [host."r.example.com:5000/secret/team"]
            deny = true
            [host."tls.example.com"]
            ca = "corp.pem"
            token-hosts = ["auth.example.com"]
            "#,
        )
        .unwrap();
        let mirror = &config.of("docker.io", "library/debian").unwrap().mirrors[0];
        assert_eq!(mirror.url.wire(), "https://mirror.example.com/hub");
        assert!(mirror.pull && mirror.fallback);
        assert!(config.of("r.example.com:5000", "secret/team/app").unwrap().deny);
        assert!(!config.of("r.example.com:5000", "secret/teamwork").unwrap().deny);
        assert!(config.of("r.example.com", "x").is_none());
        assert_eq!(
            config.host("TLS.example.com:443").unwrap().ca.as_deref(),
            Some(Path::new("/etc/x/corp.pem"))
        );
    }

    #[test]
    fn mistakes_are_told() {
        for (text, want) in [
            ("[host.\"a\"]\nhtpp = true", "htpp"),
            ("[hosts.\"a\"]", "hosts"),
            ("[host.\"a/b\"]\nhttp = true", "not to a prefix"),
            ("[host.\"a\"]\ncert = \"x\"", "go together"),
            ("[host.\"a\"]\nhttp = true\ninsecure = true", "without TLS"),
            ("[host.\"a b\"]", "write a host"),
            ("[host.\"a\"]\nmirrors = [{ url = \"https://u:pw@h\" }]", "without user"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
