//! Pulling from servers that misbehave, and from a real one.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::base::Secret;
use crate::event::Events;
use crate::registry::testserver::{End, Reply, Seen, Server};
use crate::registry::{Credentials, Network, RegistryConfig, Retry};

const CONTENT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

fn quick(mut config: RegistryConfig) -> RegistryConfig {
    config.retry =
        Retry { tries: 3, first_wait: Duration::from_millis(2), max_wait: Duration::from_secs(1) };
    config
}

fn registry() -> Registry {
    registry_with(RegistryConfig::default(), Credentials::none())
}

fn registry_with(config: RegistryConfig, credentials: Credentials) -> Registry {
    Registry::new(quick(config), credentials, Events::silent(), Network::Online).unwrap()
}

fn login(host: &str) -> Credentials {
    let mut credentials = Credentials::none();
    credentials
        .by_host
        .insert(host.to_owned(), ("me".to_owned(), Secret::new(b"hunter2-PASS".to_vec())));
    credentials
}

fn image(server: &Server) -> ImageRef {
    ImageRef::parse(&format!("{}/team/app:1", server.host())).unwrap()
}

fn pull(registry: &Registry, server: &Server) -> Result<Vec<u8>, Error> {
    let mut sink = Vec::new();
    registry
        .blob(&image(server), Digest::of(CONTENT), CONTENT.len() as u64, &mut sink)
        .map(|_| sink)
}

// One blob from a server that answers so; the error's text or the bytes, and what was asked.
fn check(
    handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> (Result<Vec<u8>, String>, Vec<Seen>) {
    let server = Server::start(handler);
    let result = pull(&registry(), &server).map_err(|error| {
        let text = error.to_string().replace(&server.host(), "HOST");
        text.replace(&Digest::<Blob>::of(CONTENT).to_string(), "DIGEST")
    });
    (result, server.seen())
}

fn fails(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static, want: &str) {
    let (result, _) = check(handler);
    let error = result.expect_err(want);
    assert!(error.contains(want), "{error}");
}

#[test]
fn a_blob_arrives() {
    let (result, seen) = check(|_| Reply::new(200, CONTENT));
    assert_eq!(result.unwrap(), CONTENT);
    assert_eq!(seen[0].target, format!("/v2/team/app/blobs/{}", Digest::<Blob>::of(CONTENT)));
    assert_eq!(seen[0].header("authorization"), None);
}

#[test]
fn other_bytes_are_a_mismatch() {
    fails(
        |_| Reply::new(200, CONTENT.to_ascii_uppercase()),
        "is not what its digest names: wanted DIGEST",
    );
    fails(|_| Reply::new(200, [CONTENT, b"x"].concat()), "announces 37");
    fails(|_| Reply::new(200, &CONTENT[..9]), "announces 9");
    fails(|_| Reply::new(200, CONTENT).end(End::Endless), "more than the 36 bytes");
    fails(|_| Reply::new(200, &CONTENT[..9]).end(End::Close), "wanted 36 bytes, got 9");
}

#[test]
fn a_clean_but_early_end_is_told() {
    fails(
        |seen| match seen.header("range") {
            None => Reply::new(200, &CONTENT[..9]).end(End::Close),
            Some(_) => Reply::new(416, ""),
        },
        "wanted 36 bytes, got 9",
    );
}

#[test]
fn a_broken_transfer_goes_on_where_it_broke() {
    let (result, seen) = check(|seen| match seen.header("range") {
        None => Reply::new(200, CONTENT).end(End::Cut(10)),
        Some("bytes=10-") => Reply::new(206, &CONTENT[10..])
            .header("Content-Range", "bytes 10-35/36")
            .end(End::Cut(5)),
        Some("bytes=15-") => {
            Reply::new(206, &CONTENT[15..]).header("Content-Range", "bytes 15-35/36")
        }
        Some(other) => panic!("{other}"),
    });
    assert_eq!(result.unwrap(), CONTENT);
    assert_eq!(seen.len(), 3);
}

#[test]
fn a_server_without_ranges_starts_anew() {
    let count = AtomicUsize::new(0);
    let (result, _) = check(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(200, CONTENT).end(End::Cut(10)),
        _ => Reply::new(200, CONTENT),
    });
    assert_eq!(result.unwrap(), CONTENT);
}

#[test]
fn a_wrong_part_is_refused() {
    fails(
        |seen| match seen.header("range") {
            None => Reply::new(200, CONTENT).end(End::Cut(10)),
            Some(_) => Reply::new(206, &CONTENT[3..]).header("Content-Range", "bytes 3-35/36"),
        },
        "another part",
    );
}

#[test]
fn trouble_that_passes_is_waited_for() {
    let count = AtomicUsize::new(0);
    let (result, seen) = check(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => Reply::new(503, "busy"),
        _ => Reply::new(200, CONTENT),
    });
    assert_eq!(result.unwrap(), CONTENT);
    assert_eq!(seen.len(), 3);

    let count = AtomicUsize::new(0);
    let started = Instant::now();
    let (result, _) = check(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(429, "").header("Retry-After", "1"),
        _ => Reply::new(200, CONTENT),
    });
    assert_eq!(result.unwrap(), CONTENT);
    assert!(started.elapsed() >= Duration::from_secs(1), "Retry-After was not honoured");
}

#[test]
fn answers_that_do_not_change_are_told_apart() {
    fails(|_| Reply::new(503, ""), "HOST answered 503, tried 3 times");
    fails(
        |_| Reply::new(429, "").header("Retry-After", "3600"),
        "limits the rate of requests (429, tried 1 time, it asks to wait 3600 s); no login was used",
    );
    fails(|_| Reply::new(403, ""), "HOST denied access (403); no login was used");
    fails(|_| Reply::new(401, ""), "HOST denied access (401)");
    fails(
        |_| Reply::new(404, r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"no\u001b[31m"}]}"#),
        "not found on HOST (404 BLOB_UNKNOWN: no\\u{1b}[31m)",
    );
    fails(|_| Reply::new(404, vec![b'x'; 1 << 20]), "not found on HOST (404)");
    fails(
        |_| Reply::new(200, CONTENT).header("Transfer-Encoding", "nonsense").end(End::Cut(0)),
        "HOST",
    );
}

#[test]
fn nobody_there() {
    let host = {
        let server = Server::start(|_| Reply::new(200, ""));
        server.host()
    };
    // The listener of the dropped server closes a moment later.
    std::thread::sleep(Duration::from_millis(100));
    let check = |host: &str, want: &str| {
        let image = ImageRef::parse(&format!("{host}/x")).unwrap();
        let error = registry().manifest(&image).unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
        assert!(error.help().is_some());
    };
    check(&host, "refused the connection");
    check("nonesuch.invalid", "cannot be resolved (DNS)");
}

#[test]
fn offline_names_the_address() {
    let registry = Registry::new(
        RegistryConfig::default(),
        Credentials::none(),
        Events::silent(),
        Network::Offline,
    )
    .unwrap();
    let error = registry.manifest(&ImageRef::parse("debian:12").unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the network is needed for https://registry-1.docker.io/v2/library/debian/manifests/12, but this run is offline"
    );
}

#[test]
fn attack_37_redirects_take_no_login_along() {
    let store = Server::start(|_| Reply::new(200, CONTENT));
    let store_host = store.host();
    let server = Server::start(move |seen| match seen.header("authorization") {
        None => Reply::new(401, "").header("WWW-Authenticate", "Basic realm=x"),
        Some(_) => {
            Reply::new(307, "").header("Location", format!("http://{store_host}/b?X-Signature=abc"))
        }
    });
    let registry = registry_with(RegistryConfig::default(), login(&server.host()));
    assert_eq!(pull(&registry, &server).unwrap(), CONTENT);
    assert_eq!(store.seen()[0].target, "/b?X-Signature=abc");
    assert_eq!(store.seen()[0].header("authorization"), None);
    assert_eq!(server.seen()[1].header("authorization"), Some("Basic bWU6aHVudGVyMi1QQVNT"));
}

#[test]
fn attack_37_redirects_end() {
    fails(
        |seen| Reply::new(302, "").header("Location", seen.target.clone()),
        "more than 10 redirects",
    );
    fails(|_| Reply::new(302, ""), "no usable address");
    fails(|_| Reply::new(302, "").header("Location", "file:///etc/passwd"), "no usable address");
}

// A registry whose tokens are `token-1`, `token-2`, …; only the newest is good, and not for long.
fn token_server(uses: usize) -> Server {
    let (made, used) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Server::start(move |seen| {
        if seen.target.starts_with("/token") {
            let number = made.fetch_add(1, Ordering::SeqCst) + 1;
            used.store(0, Ordering::SeqCst);
            return Reply::new(200, format!(r#"{{"token":"token-{number}"}}"#));
        }
        let good = format!("Bearer token-{}", made.load(Ordering::SeqCst));
        if seen.header("authorization") == Some(&good) && used.fetch_add(1, Ordering::SeqCst) < uses
        {
            return Reply::new(200, CONTENT);
        }
        let host = seen.header("host").unwrap_or_default();
        Reply::new(401, "").header(
            "WWW-Authenticate",
            format!(
                r#"Bearer realm="http://{host}/token",service="test",scope="repository:other:*""#
            ),
        )
    })
}

#[test]
fn tokens_are_fetched_kept_and_renewed() {
    let server = token_server(2);
    let registry = registry_with(RegistryConfig::default(), login(&server.host()));
    for _ in 0..3 {
        assert_eq!(pull(&registry, &server).unwrap(), CONTENT);
    }
    let tokens: Vec<Seen> =
        server.seen().into_iter().filter(|seen| seen.target.starts_with("/token")).collect();
    assert_eq!(tokens.len(), 2, "one at first, one when it had expired");
    // Our scope, not the one that the challenge asks for.
    assert_eq!(
        tokens[0].target,
        "/token?service=test&scope=repository%3Ateam%2Fapp%3Apull&account=me"
    );
    assert!(tokens[0].header("authorization").unwrap().starts_with("Basic "));
}

#[test]
fn anonymous_and_refresh_tokens() {
    let server = token_server(9);
    assert_eq!(pull(&registry(), &server).unwrap(), CONTENT);
    assert_eq!(server.seen()[1].header("authorization"), None);

    let server = token_server(9);
    let mut credentials = Credentials::none();
    let file = format!(r#"{{"auths":{{"{}":{{"identitytoken":"re/fresh"}}}}}}"#, server.host());
    credentials.add_bytes(file.as_bytes(), "test");
    let registry = registry_with(RegistryConfig::default(), credentials);
    assert_eq!(pull(&registry, &server).unwrap(), CONTENT);
    let post = &server.seen()[1];
    assert_eq!((post.method.as_str(), post.target.as_str()), ("POST", "/token"));
    assert!(post.body.ends_with("&refresh_token=re%2Ffresh"), "{}", post.body);
}

#[test]
fn a_token_that_is_never_good_ends() {
    let server = token_server(0);
    let error = pull(&registry(), &server).unwrap_err();
    assert!(matches!(error, Error::Denied { status: 401, .. }), "{error}");
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn secrets_are_not_in_errors() {
    let server = Server::start(|seen| match seen.header("authorization") {
        None => Reply::new(401, "").header("WWW-Authenticate", "Basic realm=x"),
        Some(value) => Reply::new(
            403,
            format!(r#"{{"errors":[{{"code":"DENIED","message":"no: {value} / hunter2-PASS"}}]}}"#),
        ),
    });
    let registry = registry_with(RegistryConfig::default(), login(&server.host()));
    let error = pull(&registry, &server).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains("hunter2") && !text.contains("bWU6"), "{text}");
    assert!(text.contains("a login was used"), "{text}");
}

#[test]
fn manifests_by_tag_and_digest() {
    let body = br#"{"schemaVersion":2}"#;
    let server = Server::start(|seen| {
        if seen.target.ends_with("/manifests/1") || seen.target.contains("/manifests/sha256:") {
            Reply::new(200, &body[..])
                .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
                .header("Docker-Content-Digest", format!("sha256:{}", "ab".repeat(32)))
        } else {
            Reply::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"nope"}]}"#)
        }
    });
    let registry = registry();
    let fetched = registry.manifest(&image(&server)).unwrap();
    assert_eq!(fetched.digest, Digest::of(body));
    assert_eq!(fetched.bytes, body);

    let pinned = image(&server).pin(Digest::of(body));
    assert_eq!(registry.manifest(pinned.image()).unwrap().bytes, body);
    // The body's own digest counts, not the header's.
    let other = image(&server).pin(Digest::parse(&format!("sha256:{}", "ab".repeat(32))).unwrap());
    let error = registry.manifest(other.image()).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");

    let absent = ImageRef::parse(&format!("{}/team/app:nope", server.host())).unwrap();
    let error = registry.manifest(&absent).unwrap_err().to_string();
    assert!(
        error.contains("app:nope`: not found on") && error.contains("MANIFEST_UNKNOWN"),
        "{error}"
    );
}

#[test]
fn a_huge_manifest_is_refused() {
    let server = Server::start(|_| Reply::new(200, vec![b' '; 1 << 16]).end(End::Endless));
    let error = registry().manifest(&image(&server)).unwrap_err();
    assert!(error.to_string().contains("more than 4194304 bytes"), "{error}");
}

#[test]
fn mirrors_are_asked_first() {
    let mirror = Server::start(|seen| {
        if seen.target.starts_with("/v2/cache/team/app/blobs/") {
            Reply::new(200, CONTENT)
        } else {
            Reply::new(404, "")
        }
    });
    let origin = Server::start(|_| Reply::new(200, "from the origin"));
    let config = |fallback: bool| {
        let text = format!(
            "[host.\"{}\"]\nhttp = true\nmirrors = [{{ url = \"http://{}/cache\", fallback = {fallback} }}]",
            origin.host(),
            mirror.host()
        );
        RegistryConfig::parse(&text, Path::new("/")).unwrap()
    };
    let registry = registry_with(config(true), login(&origin.host()));
    assert_eq!(pull(&registry, &origin).unwrap(), CONTENT);
    assert!(origin.seen().is_empty());
    assert!(mirror.seen().iter().all(|seen| seen.header("authorization").is_none()));
    // The mirror has no such manifest: the origin is asked.
    assert_eq!(registry.manifest(&image(&origin)).unwrap().bytes, b"from the origin");
    let registry = registry_with(config(false), Credentials::none());
    assert!(matches!(registry.manifest(&image(&origin)), Err(Error::NotFound { .. })));
}

#[test]
fn denied_by_configuration() {
    let config =
        RegistryConfig::parse("[host.\"docker.io/library\"]\ndeny = true", Path::new("/")).unwrap();
    let registry = registry_with(config, Credentials::none());
    let error = registry.manifest(&ImageRef::parse("debian").unwrap()).unwrap_err();
    assert!(error.to_string().contains("denies `docker.io/library/debian`"), "{error}");
}
