//! Logins: from the files that `docker login` and `podman login` write, from their helpers, or
//! handed in.
//!
//! A login belongs to one registry, or to repositories below a path of it; it is found by exact
//! comparison, longest path first (containers-auth.json(5)), and never for a name that looks alike.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::base64;
use super::helper::{self, HelperEnvironment};
use crate::base::Secret;

/// What proves who we are.
pub enum Login {
    /// A name and its password (or a token in its place).
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// An OAuth2 refresh token, `identitytoken` in Docker's file.
    Identity(Secret),
    /// A bearer token that is used as it is, `registrytoken` in Docker's file.
    Bearer(Secret),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(***)")
    }
}

/// Where logins are looked for, first to last. The command line fills it from flags and variables.
#[derive(Default)]
pub struct Credentials {
    /// Logins by host, before all files.
    pub by_host: BTreeMap<String, (String, Secret)>,
    /// Logins by the name of a variable, `RBUILD_AUTH_` and the host in capitals with `_` for all
    /// that is no letter or digit; the value is `USER:PASSWORD`.
    by_variable: BTreeMap<String, (String, Secret)>,
    files: Vec<AuthFile>,
    /// What a credential helper gets to see of the environment.
    pub helpers: HelperEnvironment,
    warnings: Vec<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} hosts, {} files)", self.by_host.len(), self.files.len())
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AuthFile {
    auths: BTreeMap<String, AuthEntry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AuthEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// The largest login file, in bytes.
const MAX_FILE: u64 = 1 << 20;

impl Credentials {
    /// No login at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds the variables `RBUILD_AUTH_HOST`, which go before all files.
    pub fn add_variables(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in variables {
            let Some(host) = name.strip_prefix("RBUILD_AUTH_") else { continue };
            match value.split_once(':') {
                Some((user, password)) if !user.is_empty() => {
                    let login = (user.to_owned(), Secret::new(password.as_bytes().to_vec()));
                    self.by_variable.insert(host.to_ascii_uppercase(), login);
                }
                // Its value is not repeated.
                _ => self.warnings.push(format!("`{name}` is no login: write USER:PASSWORD")),
            }
        }
    }

    /// Adds the files that exist, in this order. A file that cannot be used is told in
    /// [`Credentials::take_warnings`], without a word of its content.
    pub fn add_files(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        use std::io::Read;
        use std::os::unix::fs::PermissionsExt;
        for path in paths {
            let mut bytes = Vec::new();
            let read = std::fs::File::open(&path).and_then(|file| {
                let mode = file.metadata()?.permissions().mode();
                if mode & 0o044 != 0 {
                    self.warnings.push(format!(
                        "logins in `{0}` can be read by other users: `chmod 600 {0}`",
                        path.display()
                    ));
                }
                file.take(MAX_FILE + 1).read_to_end(&mut bytes)
            });
            match read {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.warnings
                        .push(format!("cannot read logins of `{}`: {error}", path.display()));
                }
                Ok(_) => self.add_bytes(&bytes, &path.display().to_string()),
            }
            bytes.fill(0);
        }
    }

    /// Adds the content of a login file (`DOCKER_AUTH_CONFIG`); `name` is for warnings.
    pub fn add_bytes(&mut self, bytes: &[u8], name: &str) {
        let file = if bytes.len() as u64 > MAX_FILE {
            None
        } else {
            serde_json::from_slice::<AuthFile>(bytes).ok()
        };
        match file {
            Some(file) => {
                // `docker-credential-…` finds the login, if the file names such a helper only.
                self.files.push(file);
            }
            // The parser's message would quote the file.
            None => self
                .warnings
                .push(format!("logins in `{name}` are not understood: not a JSON file of logins")),
        }
    }

    /// Returns what should be told about the files, once.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Finds the login for `repository` on `registry` (its name as in references).
    /// The error is a helper's, in words.
    pub(super) fn find(&self, registry: &str, repository: &str) -> Result<Option<Login>, String> {
        let variable = || self.by_variable.get(&variable(registry));
        if let Some((user, password)) = self.by_host.get(registry).or_else(variable) {
            return Ok(Some(Login::Basic {
                user: user.clone(),
                password: Secret::new(password.expose().to_vec()),
            }));
        }
        let names = names(registry);
        for file in &self.files {
            for key in keys(&names, repository) {
                if let Some(login) = file.auths.iter().find_map(|(name, entry)| {
                    (normal(name) == key).then(|| entry.login()).flatten()
                }) {
                    return Ok(Some(login));
                }
            }
            let helper = names
                .iter()
                .find_map(|name| file.cred_helpers.get(*name))
                .or(file.creds_store.as_ref());
            if let Some(helper) = helper
                && let Some(login) = helper::ask(helper, names[0], &self.helpers)?
            {
                return Ok(Some(login));
            }
        }
        Ok(None)
    }
}

impl AuthEntry {
    fn login(&self) -> Option<Login> {
        let secret = |text: &String| Secret::new(text.clone().into_bytes());
        let filled = |text: &&String| !text.is_empty();
        if let Some(token) = self.registrytoken.as_ref().filter(filled) {
            return Some(Login::Bearer(secret(token)));
        }
        if let Some(token) = self.identitytoken.as_ref().filter(filled) {
            return Some(Login::Identity(secret(token)));
        }
        if let Some(auth) = self.auth.as_ref().filter(filled) {
            let decoded = String::from_utf8(base64::decode(auth.trim())?).ok()?;
            let (user, password) = decoded.split_once(':')?;
            // Docker used to end the password with NUL bytes.
            let password = password.trim_end_matches('\0').to_owned();
            return Some(Login::Basic {
                user: user.to_owned(),
                password: Secret::new(password.into()),
            });
        }
        let (user, password) = (self.username.as_ref()?, self.password.as_ref()?);
        filled(&user).then(|| Login::Basic { user: user.clone(), password: secret(password) })
    }
}

// The end of the name of the variable that has the login of a registry.
fn variable(registry: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    registry.chars().map(letter).collect()
}

// Under which names logins of a registry are filed; the first one is what helpers know.
fn names(registry: &str) -> Vec<&str> {
    match registry {
        "docker.io" => {
            vec![
                "https://index.docker.io/v1/",
                "docker.io",
                "index.docker.io",
                "registry-1.docker.io",
            ]
        }
        other => vec![other],
    }
}

// The keys that count, longest path first: `host/a/b`, `host/a`, `host`.
fn keys(names: &[&str], repository: &str) -> Vec<String> {
    let names: Vec<String> = names.iter().map(|name| normal(name)).collect();
    let mut keys = Vec::new();
    let mut path = Some(repository);
    while let Some(some) = path {
        keys.extend(names.iter().map(|name| format!("{name}/{some}")));
        path = some.rsplit_once('/').map(|(shorter, _)| shorter);
    }
    keys.extend(names);
    keys
}

// Files hold `host`, `https://host`, `https://host/v1/`.
fn normal(key: &str) -> String {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    match key.split_once('/') {
        Some((host, path)) => format!("{}/{path}", host.to_ascii_lowercase()),
        None => key.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Credentials {
        let mut credentials = Credentials::none();
        credentials.add_bytes(text.as_bytes(), "test");
        assert!(credentials.take_warnings().is_empty());
        credentials
    }

    fn user(credentials: &Credentials, registry: &str, repository: &str) -> Option<String> {
        match credentials.find(registry, repository).unwrap() {
            Some(Login::Basic { user, password }) => {
                Some(format!("{user}:{}", String::from_utf8_lossy(password.expose())))
            }
            Some(_) => Some("token".into()),
            None => None,
        }
    }

    #[test]
    fn attack_41_the_longest_path_of_exactly_this_host_wins() {
        let credentials = with(&format!(
            r#"{{"auths":{{
                "https://index.docker.io/v1/":{{"auth":"{hub}"}},
                "r.example.com":{{"auth":"{host}"}},
                "r.example.com/team":{{"username":"t","password":"3"}},
                "r.example.com:8443":{{"identitytoken":"x"}},
                "empty.example.com":{{}}}}}}"#,
            hub = base64::encode(b"h:1"),
            host = base64::encode(b"r:2:2\0")
        ));
        for (registry, repository, want) in [
            ("docker.io", "library/debian", Some("h:1")),
            ("r.example.com", "app", Some("r:2:2")),
            ("r.example.com", "team/app", Some("t:3")),
            ("r.example.com", "teamwork/app", Some("r:2:2")),
            ("r.example.com:8443", "app", Some("token")),
            ("r.example.com:443", "app", None),
            ("r.example.com.evil.net", "app", None),
            ("empty.example.com", "app", None),
        ] {
            assert_eq!(user(&credentials, registry, repository).as_deref(), want, "{registry}");
        }
    }

    #[test]
    fn variables_go_before_files_and_earlier_files_before_later_ones() {
        let file = |user: &str| {
            format!(
                r#"{{"auths":{{"r.example.com:5000":{{"username":"{user}","password":"p"}}}}}}"#
            )
        };
        let mut credentials = with(&file("first"));
        credentials.add_bytes(file("second").as_bytes(), "test");
        assert_eq!(user(&credentials, "r.example.com:5000", "a").as_deref(), Some("first:p"));
        let pairs = [
            ("RBUILD_AUTH_R_EXAMPLE_COM_5000", "me:a:b"),
            ("RBUILD_AUTH_DOCKER_IO", "nothing"),
            ("RBUILD_AUTHFILE", "x:y"),
            ("PATH", "c:d"),
        ];
        credentials.add_variables(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(user(&credentials, "r.example.com:5000", "a").as_deref(), Some("me:a:b"));
        assert_eq!(user(&credentials, "r.example.com", "a"), None);
        assert_eq!(user(&credentials, "docker.io", "library/a"), None);
        let warnings = credentials.take_warnings();
        assert!(warnings.len() == 1 && !warnings[0].contains("nothing"), "{warnings:?}");
    }

    #[test]
    fn a_damaged_file_is_told_without_its_content() {
        let mut credentials = Credentials::none();
        credentials.add_bytes(br#"{"auths":{"h":{"auth":"hunter2","#, "f.json");
        let warnings = credentials.take_warnings();
        assert!(warnings[0].contains("f.json") && !warnings[0].contains("hunter2"), "{warnings:?}");
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
