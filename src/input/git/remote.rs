//! What a git source says: the forms of addresses that BuildKit takes (docs of Docker, "Build
//! context", sections "URL fragments" and "URL queries").

use std::fmt;
use std::sync::Arc;

use super::Error;
use crate::base::Secret;

/// How a repository is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scheme {
    Https,
    Http,
    Git,
    Ssh,
}

/// A repository, and what of it is wanted. Nothing in it is an option or a control character.
///
/// `Display` and `Debug` give the address alone, without password.
#[derive(Clone)]
pub struct Remote {
    pub(super) scheme: Scheme,
    /// As git takes it; without user and password where they are a login.
    pub(super) url: String,
    /// Host and port.
    pub(super) authority: String,
    pub(super) login: Option<Login>,
    pub(super) reference: Option<String>,
    /// Names on the way down from the top; each is a plain name.
    pub(super) subdir: Vec<String>,
    pub(super) checksum: Option<CommitId>,
    pub(super) keep_git_dir: Option<bool>,
    pub(super) submodules: bool,
}

/// User and password of an `http` or `https` address.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) user: Arc<Secret>,
    pub(super) password: Arc<Secret>,
}

/// The full id of a commit: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CommitId(String);

impl CommitId {
    /// Parses an id; `None` if it is none, or only the beginning of one.
    pub fn parse(text: &str) -> Option<Self> {
        let digits =
            text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        (digits && [40, 64].contains(&text.len())).then(|| CommitId(text.to_owned()))
    }

    /// Returns the digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns git's word for the hash that the id is made with.
    pub(super) fn format(&self) -> &'static str {
        if self.0.len() == 40 { "sha1" } else { "sha256" }
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

fn bad(why: impl Into<String>) -> Error {
    Error::Remote { why: why.into() }
}

impl Remote {
    /// Parses `https://host/x.git`, `http://…`, `git://…`, `ssh://user@host/…` or
    /// `user@host:path`, followed by `?key=value&…` or `#ref:subdir` or both.
    ///
    /// Keys are `ref`, `tag`, `branch`, `subdir`, `checksum` (or `commit`), `keep-git-dir` and
    /// `submodules`. Where the two forms say the same thing twice they have to agree. Other
    /// protocols, among them `file://` and `ext::`, are errors.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > 8192 || text.chars().any(char::is_control) {
            return Err(bad("it is too long, or has control characters"));
        }
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut remote = match place.split_once("://") {
            Some((scheme, rest)) => Self::of_url(scheme, rest)?,
            None => Self::of_scp(place)?,
        };
        let fragment = unescape(fragment)?;
        let (reference, subdir) = fragment.split_once(':').unwrap_or((&fragment, ""));
        if !reference.is_empty() {
            remote.set_reference(reference)?;
        }
        if !subdir.is_empty() {
            remote.set_subdir(subdir)?;
        }
        remote.take_query(query)?;
        Ok(remote)
    }

    /// Adds `--checksum`: the commit that the ref has to be.
    pub fn with_checksum(mut self, text: &str) -> Result<Self, Error> {
        self.set_checksum(text)?;
        Ok(self)
    }

    /// Adds `--keep-git-dir`.
    pub fn with_git_dir(mut self) -> Result<Self, Error> {
        if self.keep_git_dir == Some(false) {
            return Err(bad("`keep-git-dir=false` of the address contradicts --keep-git-dir"));
        }
        self.keep_git_dir = Some(true);
        Ok(self)
    }

    /// Returns the ref as it is written; the default branch of the repository if there is none.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// Tells what has to be the same, besides the commit, for a checkout to be the same: for a cache
    /// key. Holds no secrets.
    pub fn key(&self) -> String {
        let git_dir = self.keeps_git_dir().then(|| format!(" git-dir {}", self.url));
        format!(
            "subdir {:?} submodules {}{}",
            self.subdir.join("/"),
            self.submodules,
            git_dir.unwrap_or_default()
        )
    }

    // With a subdirectory there is no top that `.git` could be in.
    pub(super) fn keeps_git_dir(&self) -> bool {
        self.keep_git_dir == Some(true) && self.subdir.is_empty()
    }

    fn new(scheme: Scheme, url: String, authority: &str, login: Option<Login>) -> Self {
        Remote {
            scheme,
            url,
            authority: authority.to_owned(),
            login,
            reference: None,
            subdir: Vec::new(),
            checksum: None,
            keep_git_dir: None,
            submodules: true,
        }
    }

    fn of_url(name: &str, rest: &str) -> Result<Self, Error> {
        let scheme = match name.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "git" => Scheme::Git,
            "ssh" => Scheme::Ssh,
            _ => return Err(bad("only https, http, git and ssh are taken")),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.trim_matches('/').is_empty() {
            return Err(bad("it has no path"));
        }
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority),
        };
        check_authority(authority)?;
        let name = name.to_ascii_lowercase();
        match scheme {
            Scheme::Https | Scheme::Http => {
                if !path.trim_end_matches('/').ends_with(".git") {
                    return Err(bad("the path of a repository ends in `.git`"));
                }
                // The address goes into arguments, which all processes see; a login does not.
                let login = user.map(login).transpose()?;
                let url = format!("{name}://{authority}/{path}");
                Ok(Self::new(scheme, url, authority, login))
            }
            Scheme::Git if user.is_some() => Err(bad("git:// has no user")),
            Scheme::Git => {
                Ok(Self::new(scheme, format!("git://{authority}/{path}"), authority, None))
            }
            Scheme::Ssh => {
                let user = user.map(check_user).transpose()?;
                let at = user.map_or(String::new(), |user| format!("{user}@"));
                let url = format!("ssh://{at}{authority}/{path}");
                Ok(Self::new(scheme, url, authority, None))
            }
        }
    }

    fn of_scp(place: &str) -> Result<Self, Error> {
        let form = || bad("write https://host/path.git, ssh://user@host/path or user@host:path");
        let (user, rest) = place.split_once('@').ok_or_else(form)?;
        let (host, path) = rest.split_once(':').ok_or_else(form)?;
        check_user(user)?;
        check_authority(host)?;
        // ext::command and the like are of this form.
        if path.is_empty() || path.starts_with(['-', ':']) {
            return Err(form());
        }
        Ok(Self::new(Scheme::Ssh, format!("{user}@{host}:{path}"), host, None))
    }

    fn take_query(&mut self, query: &str) -> Result<(), Error> {
        let mut seen = Vec::new();
        let (mut tag, mut branch) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (key, value) = (unescape(key)?, unescape(&value.replace('+', "%20"))?);
            if seen.contains(&key) {
                return Err(bad(format!("`{key}` is there twice")));
            }
            if value.is_empty() && !["keep-git-dir", "submodules"].contains(&key.as_str()) {
                return Err(bad(format!("`{}` has no value", shown(&key))));
            }
            match key.as_str() {
                "ref" => self.set_reference(&value)?,
                "tag" => tag = Some(under("refs/tags/", &value)),
                "branch" => branch = Some(under("refs/heads/", &value)),
                "subdir" => self.set_subdir(&value)?,
                "checksum" | "commit" => self.set_checksum(&value)?,
                "keep-git-dir" => self.keep_git_dir = Some(switch(&key, &value)?),
                "submodules" => self.submodules = switch(&key, &value)?,
                _ => return Err(bad(format!("the query has an unknown `{}`", shown(&key)))),
            }
            seen.push(key);
        }
        tag.into_iter().chain(branch).try_for_each(|reference| self.set_reference(&reference))
    }

    fn set_reference(&mut self, text: &str) -> Result<(), Error> {
        check_reference(text)?;
        match &self.reference {
            Some(other) if other != text => {
                Err(bad(format!("it names two refs, `{other}` and `{text}`")))
            }
            _ => {
                self.reference = Some(text.to_owned());
                Ok(())
            }
        }
    }

    fn set_subdir(&mut self, text: &str) -> Result<(), Error> {
        let names: Vec<_> = text
            .split('/')
            .filter(|name| !name.is_empty() && *name != ".")
            .map(str::to_owned)
            .collect();
        if names.iter().any(|name| name == ".." || name.eq_ignore_ascii_case(".git")) {
            return Err(bad("the subdirectory leaves the files of the repository"));
        }
        if !self.subdir.is_empty() && self.subdir != names {
            return Err(bad("it names two subdirectories"));
        }
        self.subdir = names;
        Ok(())
    }

    fn set_checksum(&mut self, text: &str) -> Result<(), Error> {
        let id = CommitId::parse(text).ok_or_else(|| {
            bad(format!("checksum `{}` is no full id of a commit (40 digits)", shown(text)))
        })?;
        match &self.checksum {
            Some(other) if *other != id => {
                Err(bad(format!("it has two checksums, `{other}` and `{id}`")))
            }
            _ => {
                self.checksum = Some(id);
                Ok(())
            }
        }
    }
}

fn under(prefix: &str, name: &str) -> String {
    if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
}

fn switch(key: &str, value: &str) -> Result<bool, Error> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(bad(format!("`{key}` is neither true nor false"))),
    }
}

fn login(text: &str) -> Result<Login, Error> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let secret = |text| Ok::<_, Error>(Arc::new(Secret::new(unescape(text)?.into_bytes())));
    Ok(Login { user: secret(user)?, password: secret(password)? })
}

// The user of ssh. A password there is of no use, and would be seen.
fn check_user(user: &str) -> Result<&str, Error> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if user.is_empty() || user.starts_with('-') || !user.bytes().all(good) {
        return Err(bad("the user of ssh is a plain name, without password"));
    }
    Ok(user)
}

fn check_authority(authority: &str) -> Result<(), Error> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => {
            let digit = |byte: u8| byte.is_ascii_hexdigit() || b":.".contains(&byte);
            if host.is_empty() || !host.bytes().all(digit) {
                return Err(bad("its host is no host name"));
            }
            ("v6", rest)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let port_good = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| {
            (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
        });
    if host.is_empty() || host.starts_with(['-', '.']) || !host.bytes().all(good) || !port_good {
        return Err(bad("its host is no host name"));
    }
    Ok(())
}

// git-check-ref-format(1), without its rarest rules, and no option.
fn check_reference(text: &str) -> Result<(), Error> {
    let good = |c: char| !c.is_control() && !c.is_whitespace() && !"~^:?*[\\".contains(c);
    let well = !text.is_empty()
        && text.len() <= 1024
        && !text.starts_with(['-', '/'])
        && !text.ends_with(['/', '.'])
        && !text.ends_with(".lock")
        && !["..", "@{", "//"].iter().any(|odd| text.contains(odd))
        && text.chars().all(good);
    if well { Ok(()) } else { Err(bad(format!("`{}` is no name of a ref", shown(text)))) }
}

fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

// Undoes `%2F`. What comes out is text without control characters.
fn unescape(text: &str) -> Result<String, Error> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        rest = match (*first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high << 4 | low).expect("two digits make a byte"));
                &tail[2..]
            }
            (b'%', ..) => return Err(bad("it has a `%` that begins no escape")),
            _ => {
                out.push(*first);
                tail
            }
        };
    }
    String::from_utf8(out)
        .ok()
        .filter(|text| !text.chars().any(char::is_control))
        .ok_or_else(|| bad("its escapes make no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Address, ref, subdirectory, then what differs from the defaults.
    fn summary(text: &str) -> String {
        match Remote::parse(text) {
            Ok(remote) => {
                let mut out = format!("{remote} {:?}", remote.reference().unwrap_or(""));
                out.push_str(&format!(" {:?}", remote.subdir.join("/")));
                if let Some(id) = remote.checksum {
                    out.push_str(&format!(" {}…", &id.as_str()[..4]));
                }
                if let Some(keep) = remote.keep_git_dir {
                    out.push_str(&format!(" keep={keep}"));
                }
                if !remote.submodules {
                    out.push_str(" no submodules");
                }
                if remote.login.is_some() {
                    out.push_str(" login");
                }
                out
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_forms_of_addresses() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        for (text, want) in [
            ("https://h/a/b.git", r#"https://h/a/b.git "" """#),
            ("HTTPS://h:8443/b.git#main", r#"https://h:8443/b.git "main" """#),
            ("https://h/b.git#refs/tags/v1:sub/dir", r#"https://h/b.git "refs/tags/v1" "sub/dir""#),
            ("https://h/b.git#:./sub//dir/", r#"https://h/b.git "" "sub/dir""#),
            ("git://h/x", r#"git://h/x "" """#),
            ("ssh://git@h:22/x", r#"ssh://git@h:22/x "" """#),
            ("git@h:a/b.git#v1:d", r#"git@h:a/b.git "v1" "d""#),
            ("git@h:a/b?branch=x", r#"git@h:a/b "refs/heads/x" """#),
            ("git://[::1]:9418/x", r#"git://[::1]:9418/x "" """#),
            ("https://me:pw@h/b.git", r#"https://h/b.git "" "" login"#),
            ("https://h/b.git?tag=v1&subdir=a%2Fb", r#"https://h/b.git "refs/tags/v1" "a/b""#),
            ("https://h/b.git?ref=pull/42/head", r#"https://h/b.git "pull/42/head" """#),
            (
                &format!("https://h/b.git?commit={id}&keep-git-dir&submodules=false"),
                r#"https://h/b.git "" "" 0123… keep=true no submodules"#,
            ),
            (
                "https://h/b.git?keep-git-dir=0&branch=a#refs/heads/a:s",
                r#"https://h/b.git "refs/heads/a" "s" keep=false"#,
            ),
        ] {
            assert_eq!(summary(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        for text in [
            // Other protocols, options in the place of something else.
            "file:///srv/x.git",
            "ext::sh -c id",
            "git@ext::sh",
            "-u@h:x",
            "--upload-pack=id",
            "ssh://-oProxyCommand=id/x",
            "ssh://-oProxyCommand@h/x",
            "git@-h:x",
            "git@h:-x",
            "git://user@h/x",
            "ssh://git:hunter2@h/x",
            "https://h/b",
            "https://h/",
            "https:///b.git",
            "https://h:port/b.git",
            "git://h\\x/y",
            "https://h/b.git#--upload-pack=id",
            "https://h/b.git#-u",
            "https://h/b.git#a..b",
            "https://h/b.git#a b",
            "https://h/b.git#a:../..",
            "https://h/b.git#a:x/.git",
            "https://h/b.git?subdir=..%2f..",
            "https://h/b.git?ref=%2du",
            "https://h/b.git?ref=a%0ab",
            "https://h/b.git?ref=a%zz",
            "https://h/b.git?ref=",
            "https://h/b.git?odd=1",
            "https://h/b.git?submodules=maybe",
            "https://h/b.git?ref=a&ref=a",
            "https://h/b.git?tag=a&branch=a",
            "https://h/b.git?branch=a#b",
            "https://h/b.git?subdir=a#:b",
            "https://h/b.git?checksum=0123456",
            "https://h/b.git\n",
        ] {
            let error = Remote::parse(text).expect_err(text).to_string();
            assert!(error.starts_with("the git address cannot be used: "), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn flags_and_address_have_to_agree() {
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        let parse = |text: &str| Remote::parse(text).unwrap();
        assert!(parse("git://h/x").with_checksum(&one).is_ok());
        assert!(parse(&format!("git://h/x?checksum={one}")).with_checksum(&one).is_ok());
        assert!(parse(&format!("git://h/x?checksum={one}")).with_checksum(&two).is_err());
        assert!(parse("git://h/x").with_git_dir().unwrap().keeps_git_dir());
        assert!(!parse("git://h/x#:sub").with_git_dir().unwrap().keeps_git_dir());
        assert!(parse("git://h/x?keep-git-dir=false").with_git_dir().is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "(https://|git@|ssh://)?[a-z.@:/?#&=%-]{0,40}") {
            if let Ok(remote) = Remote::parse(&text) {
                assert!(!remote.url.starts_with('-'));
            }
        }
    }
}
