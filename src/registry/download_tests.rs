//! Downloads from a server that misbehaves on purpose.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::event::Events;
use crate::registry::testserver::{End, Reply, Seen, Server};
use crate::registry::{Credentials, RegistryConfig, Retry};

const CONTENT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

type Got = Result<(Downloaded, Vec<u8>), String>;

fn registry(network: Network) -> Registry {
    let retry =
        Retry { tries: 3, first_wait: Duration::from_millis(2), max_wait: Duration::from_secs(1) };
    let mut config = RegistryConfig::default();
    config.retry = retry;
    Registry::new(config, Credentials::none(), Events::silent(), network).unwrap()
}

fn get(server: &Server, path: &str, known: Option<&Validators>) -> Got {
    let address = Address::parse(&format!("http://{}{path}", server.host())).unwrap();
    let mut sink = Vec::new();
    registry(Network::Online)
        .download(&Download { address: &address, limit: 1000, known }, &mut sink)
        .map(|got| (got, sink))
        .map_err(|error| error.to_string().replace(&server.host(), "HOST"))
}

fn file(etag: Option<&str>) -> Downloaded {
    Downloaded::File {
        digest: Digest::of(CONTENT),
        size: CONTENT.len() as u64,
        validators: Validators { etag: etag.map(str::to_owned), last_modified: None },
    }
}

// What comes from a server that answers so, and what it was asked.
fn check(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (Got, Vec<Seen>) {
    let server = Server::start(handler);
    let result = get(&server, "/f", None);
    (result, server.seen())
}

#[test]
fn names_come_from_the_path() {
    for (text, want) in [
        ("http://h/a/f.txt", Some("f.txt")),
        ("http://h/f.txt?v=1&w=/2", Some("f.txt")),
        ("http://h/a/dir/", Some("dir")),
        ("https://h/a%20b", Some("a b")),
        ("https://h/a b/é", Some("é")),
        ("http://h/..%2f..%2fx", Some("x")),
        ("http://h/a%zz", Some("a%zz")),
        ("http://h/", None),
        ("http://h", None),
        ("http://h?a", None),
        ("http://h/..", None),
        ("http://h/%2e%2E/", None),
        ("http://h/a%00b", None),
        ("http://h/%ff", None),
    ] {
        assert_eq!(Address::parse(text).unwrap().file_name().as_deref(), want, "{text}");
    }
    for bad in ["ftp://h/x", "file:///etc/passwd", "http://", "http:///x", "/x", "http://h/\nx"] {
        assert!(Address::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_address_keeps_its_secrets() {
    let address = Address::parse("https://me:hunter2%40@h/f?sig=secret").unwrap();
    assert_eq!(format!("{address} {address:?}"), "https://h/f https://h/f");
    let other = Address::parse("https://me:hunter3@h/f?sig=secret").unwrap();
    assert_ne!(address.digest::<Blob>(), other.digest::<Blob>());
    assert_eq!(address.login.unwrap().header(), "Basic bWU6aHVudGVyMkA=");
}

#[test]
fn a_file_comes_with_its_validators() {
    let (got, seen) = check(|_| Reply::new(200, CONTENT).header("etag", "\"1\""));
    assert_eq!(got, Ok((file(Some("\"1\"")), CONTENT.to_vec())));
    assert_eq!(seen[0].header("accept-encoding"), Some("identity"));
    assert_eq!(seen[0].header("authorization"), None);
}

#[test]
fn a_known_copy_is_not_fetched_again() {
    let server = Server::start(|seen| match seen.header("if-none-match") {
        Some("\"1\"") => Reply::new(304, ""),
        _ => Reply::new(200, CONTENT),
    });
    let known = |etag: &str| Validators { etag: Some(etag.to_owned()), last_modified: None };
    let unchanged = get(&server, "/f", Some(&known("\"1\""))).unwrap();
    assert_eq!(unchanged, (Downloaded::Unchanged, Vec::new()));
    assert_eq!(get(&server, "/f", Some(&known("\"2\""))).unwrap().0, file(None));
}

#[test]
fn a_broken_transfer_goes_on_where_it_broke() {
    let (got, seen) = check(|seen| match seen.header("range") {
        None => Reply::new(200, CONTENT).header("etag", "\"1\"").end(End::Cut(10)),
        Some("bytes=10-") => Reply::new(206, &CONTENT[10..])
            .header("etag", "\"1\"")
            .header("content-range", format!("bytes 10-{}/{}", CONTENT.len() - 1, CONTENT.len())),
        Some(_) => Reply::new(416, ""),
    });
    assert_eq!(got, Ok((file(Some("\"1\"")), CONTENT.to_vec())));
    assert_eq!(seen[1].header("if-range"), Some("\"1\""));
}

#[test]
fn a_file_that_comes_byte_by_byte_is_whole() {
    let (got, seen) = check(|_| Reply::new(200, CONTENT).end(End::Drip));
    assert_eq!((got, seen.len()), (Ok((file(None), CONTENT.to_vec())), 1));
}

#[test]
fn without_a_strong_etag_it_begins_anew() {
    for etag in ["W/\"1\"", ""] {
        let count = AtomicUsize::new(0);
        let (got, seen) = check(move |_| match count.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::new(200, b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
                .header("etag", etag)
                .end(End::Cut(9)),
            _ => Reply::new(200, CONTENT),
        });
        assert_eq!(got, Ok((file(None), CONTENT.to_vec())));
        assert!(seen.iter().all(|seen| seen.header("range").is_none()));
    }
}

#[test]
fn a_file_that_changed_meanwhile_begins_anew() {
    let (got, _) = check(|seen| match seen.header("range") {
        None => Reply::new(200, b"old old old old").header("etag", "\"1\"").end(End::Cut(10)),
        Some(_) => Reply::new(200, CONTENT).header("etag", "\"2\""),
    });
    assert_eq!(got, Ok((file(Some("\"2\"")), CONTENT.to_vec())));
}

#[test]
fn failures_name_the_address() {
    for (reply, want) in [
        (Reply::new(404, "x"), "cannot read `http://HOST/f`: not found on HOST (404)"),
        (Reply::new(403, "x"), "denied access (403)"),
        (Reply::new(500, "x"), "HOST answered 500, tried 3 times"),
        (Reply::new(304, ""), "HOST answered 304"),
        (Reply::new(206, "x"), "HOST answered 206"),
        (Reply::new(200, vec![0; 1001]), "it is larger than 1000 bytes"),
        (Reply::new(200, "abc").end(End::Endless), "it is larger than 1000 bytes"),
        (Reply::new(200, "abc").end(End::Cut(1)), "broke"),
        (Reply::new(302, "").header("location", "file:///etc/passwd"), "no usable address"),
        (Reply::new(302, "").header("location", "ftp://h/x"), "no usable address"),
        (Reply::new(302, "").header("location", "/f"), "more than 10 redirects"),
    ] {
        let (got, seen) = check(move |_| reply.clone());
        let error = got.expect_err(want);
        assert!(error.contains(want), "{want}: {error}");
        assert!(seen.len() <= 11, "{want}");
    }
}

#[test]
fn redirects_are_followed_but_a_login_stays_at_home() {
    let other = Server::start(|_| Reply::new(200, CONTENT));
    let target = format!("http://{}/x", other.host());
    let server = Server::start(move |_| Reply::new(302, "").header("location", target.as_str()));
    let address = Address::parse(&format!("http://me:hunter2@{}/f", server.host())).unwrap();
    let mut sink = Vec::new();
    let ask = Download { address: &address, limit: 1000, known: None };
    registry(Network::Online).download(&ask, &mut sink).unwrap();
    assert_eq!(server.seen()[0].header("authorization"), Some("Basic bWU6aHVudGVyMg=="));
    assert_eq!(other.seen()[0].header("authorization"), None);
}

#[test]
fn offline_is_an_error_that_names_the_address() {
    let address = Address::parse("https://me:hunter2@example.com/f?sig=1").unwrap();
    let ask = Download { address: &address, limit: 1000, known: None };
    let error = registry(Network::Offline).download(&ask, &mut Vec::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the network is needed for https://example.com/f, but this run is offline"
    );
}
