//! COPY and ADD after expansion.

use std::borrow::Cow;

use super::op::{InlineFile, Source};
use crate::base::Span;
use crate::diag::{Code, Diagnostic};

// Whether a source is an URL.
fn is_url(text: &str) -> bool {
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    lower.starts_with("http://") || lower.starts_with("https://")
}

// Whether a source is a repository, as BuildKit tells: by scheme, by `user@host:path`, or as an URL
// whose path ends in `.git`.
fn is_git(text: &str) -> bool {
    let scheme = |scheme: &str| text.starts_with(scheme);
    if scheme("git://") || scheme("ssh://") || scheme("git@") {
        return true;
    }
    let path = text.split(['#', '?']).next().unwrap_or(text);
    is_url(text) && path.trim_end_matches('/').ends_with(".git")
}

// A source of COPY: a path of the context or of `--from`.
pub(super) fn copied(path: String, span: Span) -> Result<Source, Box<Diagnostic>> {
    if is_url(&path) {
        let message = "the source of COPY cannot be a URL";
        let error = Diagnostic::error(Code("copy-url"), message).at(span);
        return Err(Box::new(error.help("use ADD")));
    }
    Ok(Source::Path { path, span })
}

// A source of ADD.
pub(super) fn added(path: String, span: Span) -> Source {
    if is_git(&path) {
        Source::Git { remote: path, span }
    } else if is_url(&path) {
        Source::Url { url: path, span }
    } else {
        Source::Path { path, span }
    }
}

// A here-document as a file.
pub(super) fn inline(name: String, content: String, span: Span) -> Source {
    Source::Inline(InlineFile { name, content, span })
}

// An address as it may be shown and shipped: without a password, and over HTTP without any login, as
// that is where tokens stand.
pub(super) fn without_login(url: &str) -> Cow<'_, str> {
    // Nearly all words end here.
    if !url.contains('@') {
        return Cow::Borrowed(url);
    }
    let Some((scheme, rest)) = url.split_once("://") else { return Cow::Borrowed(url) };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let lower = scheme.to_ascii_lowercase();
    match authority.rsplit_once('@') {
        Some((login, host))
            if login.contains(':') || lower.ends_with("http") || lower.ends_with("https") =>
        {
            Cow::Owned(format!("{scheme}://{host}{path}"))
        }
        _ => Cow::Borrowed(url),
    }
}

// `--checksum`: a SHA-256 of one remote source, or the commit of a repository.
pub(super) fn checksum(text: &str, sources: &[Source], span: Span) -> Result<(), Box<Diagnostic>> {
    let fail =
        |message: String| Err(Box::new(Diagnostic::error(Code("checksum"), message).at(span)));
    let hex = |digits: &str| {
        digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let shown: String = text.chars().take(80).collect();
    match sources {
        [Source::Git { .. }] if [40, 64].contains(&text.len()) && hex(text) => Ok(()),
        [Source::Git { .. }] => fail(format!("`{shown}` is no commit: write its full digest")),
        [Source::Url { .. }] => match text.strip_prefix("sha256:") {
            Some(digits) if digits.len() == 64 && hex(digits) => Ok(()),
            _ => fail(format!("checksum `{shown}` is no digest: write sha256: and 64 digits")),
        },
        [_] => fail("--checksum is for remote sources only".to_owned()),
        _ => fail("--checksum needs exactly one source".to_owned()),
    }
}

// `--chmod`: octal up to 7777, or symbolic as of chmod(1).
pub(super) fn chmod(text: &str, span: Span) -> Result<(), Box<Diagnostic>> {
    let shown: String = text.chars().take(40).collect();
    let fail = |why: &str| {
        let message = format!("invalid mode `{shown}` of --chmod: {why}");
        Err(Box::new(Diagnostic::error(Code("chmod"), message).at(span)))
    };
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(()),
            Ok(_) => fail("out of the range 0 to 7777"),
            Err(_) => fail("neither octal digits nor symbolic"),
        };
    }
    let clause = |clause: &str| {
        let rest = clause.trim_start_matches(['u', 'g', 'o', 'a']);
        let mut actions = rest.split_inclusive(['+', '-', '=']);
        // Before the first operator there is nothing left; after each come permissions.
        let starts = actions.next().is_some_and(|first| matches!(first, "+" | "-" | "="));
        let letters = |part: &str| {
            part.trim_end_matches(['+', '-', '=']).chars().all(|c| "rwxXstugo".contains(c))
        };
        starts && actions.all(letters)
    };
    if text.is_empty() || !text.split(',').all(clause) {
        return fail("neither octal digits nor symbolic");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        for good in
            ["644", "0755", "4755", "+x", "u=rwX,go=rX", "g=u,o=", "a-w", "u+s,g+s", "u+r-w"]
        {
            assert!(chmod(good, Span::default()).is_ok(), "{good}");
        }
        for bad in ["", "99z", "17777", "9", "x", "u", "u+q", "u+r,", "rw+x"] {
            assert!(chmod(bad, Span::default()).is_err(), "{bad}");
        }
    }

    #[test]
    fn logins_are_not_shown() {
        for (url, want) in [
            ("https://me:hunter2@example.org/a@b", "https://example.org/a@b"),
            ("HTTPS://token@example.org", "HTTPS://example.org"),
            ("ssh://git:hunter2@example.org/a.git#main", "ssh://example.org/a.git#main"),
            ("ssh://git@example.org/a.git", "ssh://git@example.org/a.git"),
            ("https://example.org/?m=a@b", "https://example.org/?m=a@b"),
            ("git@example.org:a/b", "git@example.org:a/b"),
        ] {
            assert_eq!(without_login(url), want);
        }
    }

    #[test]
    fn kinds_of_sources() {
        let kind = |text: &str| match added(text.to_owned(), Span::default()) {
            Source::Git { .. } => "git",
            Source::Url { .. } => "url",
            _ => "path",
        };
        for (text, want) in [
            ("https://example.org/a.git#main", "git"),
            ("https://example.org/a.tar.gz", "url"),
            ("git@example.org:a/b", "git"),
            ("HTTP://example.org/", "url"),
            ("é/http://", "path"),
            ("a.git", "path"),
        ] {
            assert_eq!(kind(text), want, "{text}");
        }
    }
}
