//! Logins for repositories out of secrets: `GIT_AUTH_TOKEN[.HOST]` and `GIT_AUTH_HEADER[.HOST]`, as
//! BuildKit has them. They go into git's configuration in its environment, which only its own user
//! can read; never into an argument, an address or a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::remote::{Remote, Scheme};
use crate::base::Secret;
use crate::registry::{base64, is_loopback};

const KINDS: [(&str, bool); 2] = [("GIT_AUTH_HEADER", false), ("GIT_AUTH_TOKEN", true)];

/// A line of git's configuration: its name, and its value.
pub(super) type Line = (String, Secret);

/// The lines for one remote and its submodules: a header for each host that has a login.
pub(super) fn lines(remote: &Remote, secrets: &BTreeMap<String, Arc<Secret>>) -> Vec<Line> {
    let scheme = match remote.scheme {
        Scheme::Https => "https",
        // A token in plain text goes to this machine alone.
        Scheme::Http if is_loopback(&remote.authority) => "http",
        Scheme::Http | Scheme::Git | Scheme::Ssh => return Vec::new(),
    };
    let mut hosts: Vec<&str> = secrets
        .keys()
        .filter_map(|id| {
            KINDS.iter().find_map(|(kind, _)| id.strip_prefix(kind)?.strip_prefix('.'))
        })
        .filter(|host| is_host(host))
        .collect();
    // A login in the address goes before one that is for anybody.
    let own = remote.login.is_none();
    hosts.retain(|host| own || *host != remote.authority);
    let mut lines: BTreeMap<String, Secret> = BTreeMap::new();
    for host in hosts {
        lines.extend(header(secrets, &format!(".{host}")).map(|line| (key(scheme, host), line)));
    }
    let known = key(scheme, &remote.authority);
    if own && !lines.contains_key(&known) {
        let host = remote.authority.rsplit_once(':').map_or(remote.authority.as_str(), |it| it.0);
        let found = header(secrets, &format!(".{host}")).or_else(|| header(secrets, ""));
        lines.extend(found.map(|line| (known, line)));
    }
    lines.into_iter().collect()
}

fn key(scheme: &str, host: &str) -> String {
    format!("http.{scheme}://{host}/.extraHeader")
}

fn is_host(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
    !text.is_empty() && text.bytes().all(good)
}

fn header(secrets: &BTreeMap<String, Arc<Secret>>, suffix: &str) -> Option<Secret> {
    KINDS.iter().find_map(|(kind, token)| {
        let value = secrets.get(&format!("{kind}{suffix}"))?.expose().trim_ascii();
        // A line break would begin another header.
        if value.is_empty() || value.iter().any(|byte| byte.is_ascii_control()) {
            return None;
        }
        let mut line = b"Authorization: ".to_vec();
        if *token {
            let login = Secret::new([b"x-access-token:", value].concat());
            line.extend_from_slice(b"Basic ");
            line.extend_from_slice(base64::encode(login.expose()).as_bytes());
        } else {
            line.extend_from_slice(value);
        }
        Some(Secret::new(line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, secrets: &[(&str, &str)], want: &[(&str, &str)]) {
        let secrets = secrets
            .iter()
            .map(|(id, text)| ((*id).to_owned(), Arc::new(Secret::new(text.as_bytes().to_vec()))))
            .collect();
        let remote = Remote::parse(address).unwrap();
        let found: Vec<_> = lines(&remote, &secrets)
            .into_iter()
            .map(|(key, value)| (key, String::from_utf8(value.expose().to_vec()).unwrap()))
            .collect();
        let want: Vec<_> =
            want.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(found, want, "{address}");
    }

    #[test]
    fn the_login_of_the_host_goes_first_and_to_no_other() {
        let address = "https://git.example.com/x.git";
        let own = "http.https://git.example.com/.extraHeader";
        // printf x-access-token:t | base64
        let token = "Authorization: Basic eC1hY2Nlc3MtdG9rZW46dA==";
        check(address, &[("GIT_AUTH_TOKEN", "t\n")], &[(own, token)]);
        check(
            address,
            &[("GIT_AUTH_TOKEN", "other"), ("GIT_AUTH_TOKEN.git.example.com", "t")],
            &[(own, token)],
        );
        check(
            address,
            &[("GIT_AUTH_HEADER", "Bearer b"), ("GIT_AUTH_TOKEN", "t")],
            &[(own, "Authorization: Bearer b")],
        );
        check(
            address,
            &[("GIT_AUTH_TOKEN.modules.example.com", "t")],
            &[("http.https://modules.example.com/.extraHeader", token)],
        );
        check(
            "https://git.example.com:8443/x.git",
            &[("GIT_AUTH_TOKEN.git.example.com", "t")],
            &[
                ("http.https://git.example.com/.extraHeader", token),
                ("http.https://git.example.com:8443/.extraHeader", token),
            ],
        );
        check(
            "http://127.0.0.1:1/x.git",
            &[("GIT_AUTH_TOKEN", "t")],
            &[("http.http://127.0.0.1:1/.extraHeader", token)],
        );
    }

    #[test]
    fn nothing_goes_where_others_read_it() {
        let token = &[("GIT_AUTH_TOKEN", "t")];
        check("http://git.example.com/x.git", token, &[]);
        check("git://git.example.com/x.git", token, &[]);
        check("git@git.example.com:x.git", token, &[]);
        check("https://me:pw@git.example.com/x.git", token, &[]);
        check("https://git.example.com/x.git", &[("GIT_AUTH_HEADER", "a\nX: b")], &[]);
        check("https://git.example.com/x.git", &[("GIT_AUTH_TOKEN.a\nb/c", "t")], &[]);
    }
}
