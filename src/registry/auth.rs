//! Who we are: challenges (RFC 7235, section 2.1), Basic, and the token protocol of registries
//! (distribution, `docs/spec/auth/token`; `oauth2` for refresh tokens).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::base64;
use super::config::RegistryConfig;
use super::credentials::{Credentials, Login};
use super::transport::{Body, Method, Request, Response};
use super::url::{Origin, Scheme, Url, encode, host_of, is_inward};
use crate::base::Masker;

/// What may be done with a repository.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Access {
    Pull,
    Push,
    /// Push, with blobs taken over from this other repository.
    Mount(String),
}

/// For what an authorization is good: never another registry, repository or access.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Scope {
    pub(super) origin: Origin,
    pub(super) repository: String,
    pub(super) access: Access,
}

impl Scope {
    // What a token service is asked for (distribution, `docs/spec/auth/scope`).
    fn words(&self) -> Vec<String> {
        let own = &self.repository;
        match &self.access {
            Access::Pull => vec![format!("repository:{own}:pull")],
            Access::Push => vec![format!("repository:{own}:pull,push")],
            Access::Mount(from) => {
                vec![format!("repository:{own}:pull,push"), format!("repository:{from}:pull")]
            }
        }
    }
}

/// The value of an `Authorization` header. No `Debug`, no `Display`.
#[derive(Clone)]
pub(super) struct Authorization {
    value: String,
    /// A login stands behind it.
    pub(super) login: bool,
}

impl Authorization {
    pub(super) fn header(&self) -> &str {
        &self.value
    }
}

/// Authorizations that were found, by what they are good for.
pub(super) struct Wallet {
    credentials: Credentials,
    known: Mutex<BTreeMap<Scope, Authorization>>,
    // Hides our secrets in what servers echo. Not the masker of the build's output: a password that
    // is an ordinary word would blank out that word there.
    masker: Masker,
}

impl Wallet {
    pub(super) fn new(credentials: Credentials) -> Self {
        Wallet { credentials, known: Mutex::default(), masker: Masker::new() }
    }

    pub(super) fn known(&self, scope: &Scope) -> Option<Authorization> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(scope).cloned()
    }

    pub(super) fn keep(&self, scope: Scope, authorization: Authorization) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(scope, authorization);
    }

    pub(super) fn forget(&self, scope: &Scope) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(scope);
    }

    pub(super) fn masker(&self) -> &Masker {
        &self.masker
    }

    /// The login for `repository` on the registry that references call `registry`.
    pub(super) fn login(&self, registry: &str, repository: &str) -> Result<Option<Login>, String> {
        let login = self.credentials.find(registry, repository)?;
        match &login {
            Some(Login::Basic { password, .. }) => self.masker.add(password),
            Some(Login::Identity(token) | Login::Bearer(token)) => self.masker.add(token),
            None => {}
        }
        Ok(login)
    }
}

/// One way in that a registry offers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: String,
    pub(super) parameters: BTreeMap<String, String>,
}

/// Parses the values of `WWW-Authenticate`: at most 8 KiB, at most 16 parameters. What does not
/// follow the grammar ends the list.
pub(super) fn challenges(value: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = value.get(..8192).unwrap_or(value);
    let token = |text: &str| {
        text.bytes()
            .position(|byte| !(byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)))
            .unwrap_or(text.len())
    };
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let length = token(rest);
        if length == 0 {
            return found;
        }
        let (word, after) = rest.split_at(length);
        let after = after.trim_start_matches([' ', '\t']);
        let Some(value) = after.strip_prefix('=').filter(|_| !found.is_empty()) else {
            found
                .push(Challenge { scheme: word.to_ascii_lowercase(), parameters: BTreeMap::new() });
            rest = after;
            continue;
        };
        let value = value.trim_start_matches([' ', '\t']);
        let text;
        if let Some(quoted) = value.strip_prefix('"') {
            let mut out = String::new();
            let mut chars = quoted.char_indices();
            let end = loop {
                match chars.next() {
                    Some((at, '"')) => break Some(at + 1),
                    Some((_, '\\')) => out.extend(chars.next().map(|(_, char)| char)),
                    Some((_, char)) => out.push(char),
                    None => break None,
                }
            };
            let Some(end) = end else { return found };
            text = out;
            rest = &quoted[end..];
        } else {
            let length = token(value);
            text = value[..length].to_owned();
            rest = &value[length..];
        }
        if let Some(challenge) = found.last_mut()
            && challenge.parameters.len() < 16
        {
            challenge.parameters.entry(word.to_ascii_lowercase()).or_insert(text);
        }
    }
}

/// Returns the Basic authorization of a name and password.
pub(super) fn basic(user: &str, password: &[u8]) -> Authorization {
    let pair = [user.as_bytes(), b":", password].concat();
    Authorization { value: format!("Basic {}", base64::encode(&pair)), login: true }
}

/// Returns the Bearer authorization of a token; `None` if it cannot stand in a header.
pub(super) fn bearer(token: &[u8], login: bool) -> Option<Authorization> {
    let token = std::str::from_utf8(token).ok()?.trim();
    let good = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| Authorization { value: format!("Bearer {token}"), login })
}

/// How to ask a token service.
pub(super) struct TokenRequest {
    pub(super) url: Url,
    pub(super) authorization: Option<Authorization>,
    pub(super) form: Option<String>,
    pub(super) login: bool,
}

impl TokenRequest {
    pub(super) fn request(&self) -> Request<'_> {
        let request = match &self.form {
            Some(form) => {
                Request { body: Body::Form(form), ..Request::new(Method::Post, self.url.clone()) }
            }
            None => Request::get(self.url.clone()),
        };
        Request { authorization: self.authorization.as_ref().map(Authorization::header), ..request }
    }
}

// Registries whose token service has another host by their own documentation.
const PAIRS: &[(&str, &str)] =
    &[("registry-1.docker.io", "auth.docker.io"), ("registry.gitlab.com", "gitlab.com")];

/// Makes the request for a token, or says which rule forbids it (reason, remedy).
pub(super) fn token_request(
    challenge: &Challenge,
    scope: &Scope,
    registry: &str,
    login: Option<&Login>,
    config: &RegistryConfig,
) -> Result<TokenRequest, (String, Option<String>)> {
    let host = &scope.origin.authority;
    let Some(url) = challenge.parameters.get("realm").and_then(|realm| Url::parse(realm)) else {
        return Err((format!("{host} names no usable token service"), None));
    };
    if url.origin.scheme == Scheme::Http && scope.origin.scheme != Scheme::Http {
        return Err((format!("{host} names a token service without TLS, {url}"), None));
    }
    if is_inward(&url.origin.authority) && !is_inward(host) {
        return Err((
            format!("{host} names a token service on this machine or its network, {url}"),
            None,
        ));
    }
    let service = challenge.parameters.get("service").map_or("", String::as_str);
    let words = scope.words();
    // Several in a query are several `scope`, in a form one list with spaces between.
    let query = |scope: String| match service {
        "" => scope,
        service => format!("service={}&{scope}", encode(service)),
    };
    let each: Vec<String> = words.iter().map(|words| format!("scope={}", encode(words))).collect();
    let form = query(format!("scope={}", encode(&words.join(" "))));
    let query = query(each.join("&"));
    let Some(login) = login else {
        return Ok(TokenRequest {
            url: append(url, &query),
            authorization: None,
            form: None,
            login: false,
        });
    };
    let realm = &url.origin.authority;
    let known = url.origin == scope.origin
        || PAIRS.contains(&(host.as_str(), realm.as_str()))
        // Another port of the same host, as some registries are set up, with TLS.
        || (host_of(realm) == host_of(host) && url.origin.scheme == Scheme::Https)
        || (host_of(realm) == host_of(host) && is_inward(host))
        || config.host(registry).is_some_and(|host| host.token_hosts.contains(realm));
    if !known {
        return Err((
            format!("{host} wants its login to be sent to another host, {realm}"),
            Some(format!(
                "if that is right, write `token-hosts = [\"{realm}\"]` under `[host.\"{registry}\"]` in the file of `--registry-config`"
            )),
        ));
    }
    match login {
        Login::Basic { user, password } => Ok(TokenRequest {
            url: append(url, &format!("{query}&account={}", encode(user))),
            authorization: Some(basic(user, password.expose())),
            form: None,
            login: true,
        }),
        Login::Identity(token) => {
            let token = std::str::from_utf8(token.expose()).unwrap_or_default();
            Ok(TokenRequest {
                url,
                authorization: None,
                form: Some(format!(
                    "grant_type=refresh_token&client_id=rbuild&{form}&refresh_token={}",
                    encode(token)
                )),
                login: true,
            })
        }
        Login::Bearer(_) => {
            Err((format!("{host} does not accept the token of the login file"), None))
        }
    }
}

fn append(url: Url, query: &str) -> Url {
    let with = if url.target.contains('?') { '&' } else { '?' };
    Url { target: format!("{}{with}{query}", url.target), origin: url.origin }
}

/// The largest answer of a token service, in bytes.
const MAX_TOKEN: u64 = 256 << 10;

/// Reads the answer of a token service.
pub(super) fn token(response: &mut Response, login: bool) -> Result<Authorization, String> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let (bytes, more) = response.bytes(MAX_TOKEN).map_err(|error| error.to_string())?;
    let answer: Option<Answer> = if more { None } else { serde_json::from_slice(&bytes).ok() };
    answer
        .and_then(|answer| answer.token.filter(|token| !token.is_empty()).or(answer.access_token))
        .and_then(|token| bearer(token.as_bytes(), login))
        .ok_or_else(|| "the token service gave no token".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;

    #[test]
    fn challenges_are_parsed() {
        for (value, want) in [
            (
                r#"Bearer realm="https://a/t",service="s",scope="repository:x:pull,push""#,
                "bearer{realm=https://a/t;scope=repository:x:pull,push;service=s;}",
            ),
            (r#"Basic realm="a \"b\"", Bearer realm=x"#, r#"basic{realm=a "b";}bearer{realm=x;}"#),
            ("Negotiate, Basic realm=r", "negotiate{}basic{realm=r;}"),
            (r#"Bearer realm="open"#, "bearer{}"),
            ("", ""),
            ("=,=\"", ""),
            (r#"Bearer realm="a",realm="b""#, "bearer{realm=a;}"),
        ] {
            let got: String = challenges(value)
                .iter()
                .map(|challenge| {
                    let list: String = challenge
                        .parameters
                        .iter()
                        .map(|(key, value)| format!("{key}={value};"))
                        .collect();
                    format!("{}{{{list}}}", challenge.scheme)
                })
                .collect();
            assert_eq!(got, want, "{value}");
        }
        challenges(&"a=\"\\".repeat(100_000));
    }

    fn request(
        registry: &str,
        scheme: Scheme,
        realm: &str,
        login: bool,
    ) -> Result<TokenRequest, String> {
        let challenge = challenges(&format!(r#"Bearer realm="{realm}",service="a b""#)).remove(0);
        let scope = Scope {
            origin: Origin::new(scheme, registry),
            repository: "team/app".into(),
            access: Access::Pull,
        };
        let config = RegistryConfig::parse(
            "[host.\"r.example.com\"]\ntoken-hosts = [\"auth.example.com\"]",
            std::path::Path::new("/"),
        )
        .unwrap();
        let login = login
            .then(|| Login::Basic { user: "u".into(), password: Secret::new(b"hunter2".to_vec()) });
        token_request(&challenge, &scope, registry, login.as_ref(), &config).map_err(|(why, _)| why)
    }

    #[test]
    fn attack_38_logins_go_to_known_hosts_only() {
        use Scheme::{Http, Https};
        for (registry, scheme, realm, login, good) in [
            ("r.example.com", Https, "https://r.example.com/t", true, true),
            ("r.example.com", Https, "https://auth.example.com/t", true, true),
            ("registry-1.docker.io", Https, "https://auth.docker.io/token", true, true),
            ("r.example.com", Https, "https://evil.example.net/t", false, true),
            ("r.example.com", Https, "https://evil.example.net/t", true, false),
            ("r.example.com", Https, "https://r.example.com.evil.net/t", true, false),
            ("r.example.com", Https, "http://r.example.com/t", false, false),
            ("r.example.com", Https, "https://127.0.0.1/t", false, false),
            ("r.example.com", Https, "https://169.254.169.254/t", false, false),
            ("r.example.com", Https, "https://u:p@r.example.com/t", false, false),
            ("127.0.0.1:5000", Http, "http://127.0.0.1:5001/t", true, true),
        ] {
            assert_eq!(request(registry, scheme, realm, login).is_ok(), good, "{realm}");
        }
    }

    #[test]
    fn attack_38_queries_are_encoded() {
        let request =
            request("r.example.com", Scheme::Https, "https://r.example.com/t?x=1", true).unwrap();
        assert_eq!(
            request.url.wire(),
            "https://r.example.com/t?x=1&service=a%20b&scope=repository%3Ateam%2Fapp%3Apull&account=u"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_challenge_is_read(value in "[A-Za-z=,\"\\\\ é]{0,120}") {
            for challenge in challenges(&value) {
                proptest::prop_assert!(challenge.parameters.len() <= 16);
            }
        }
    }
}
