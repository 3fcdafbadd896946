//! Pushing to servers that misbehave, and to a real one.

use std::io::Cursor;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::*;
use crate::base::{Secret, skipped};
use crate::event::Events;
use crate::registry::realserver::RealServer;
use crate::registry::testserver::{End, Reply, Seen, Server};
use crate::registry::{Credentials, Network, RegistryConfig, Retry};

const CONTENT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const MANIFEST: &[u8] = br#"{"schemaVersion":2}"#;

fn registry(credentials: Credentials) -> Registry {
    let mut config = RegistryConfig::default();
    config.retry =
        Retry { tries: 3, first_wait: Duration::from_millis(2), max_wait: Duration::from_secs(1) };
    Registry::new(config, credentials, Events::silent(), Network::Online).unwrap()
}

fn login(host: &str) -> Credentials {
    let mut credentials = Credentials::none();
    let password = Secret::new(b"hunter2-PASS".to_vec());
    credentials.by_host.insert(host.to_owned(), ("me".to_owned(), password));
    credentials
}

fn open(_: Digest<Blob>) -> io::Result<Box<dyn BlobContent>> {
    Ok(Box::new(Cursor::new(CONTENT)))
}

fn one_blob(from: Option<&str>) -> ToPush<'static> {
    ToPush {
        blobs: vec![BlobToPush {
            digest: Digest::of(CONTENT),
            size: CONTENT.len() as u64,
            from: from.map(|from| ImageRef::parse(from).unwrap()),
        }],
        manifests: vec![ManifestToPush { bytes: MANIFEST.to_vec(), media_type: "m/m".into() }],
        open: &open,
    }
}

// What a server answers that has no blobs, and takes all; `None` for what comes to a session.
fn plain(seen: &Seen) -> Option<Reply> {
    let blob = seen.target.contains("/blobs/sha256:");
    Some(match seen.method.as_str() {
        "HEAD" if blob => Reply::new(404, ""),
        "HEAD" => Reply::new(200, ""),
        "POST" => Reply::new(202, "").header("Location", "/upload/1?state=a%2Fb"),
        "PUT" if seen.target.contains("/manifests/") => Reply::new(201, ""),
        _ => return None,
    })
}

// Pushes one blob and a manifest to a server where a session answers so. Gives the error and the
// requests for blobs, each as `METHOD target range body`.
fn check(
    from: Option<&str>,
    handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> (Result<Pushed, String>, Vec<String>) {
    let server = Server::start(handler);
    let name = ImageRef::parse(&format!("{}/team/app:1", server.host())).unwrap();
    let from = from.map(|from| format!("{}/{from}", server.host()));
    let result = registry(Credentials::none()).push(&one_blob(from.as_deref()), &[name], false);
    let digest = Digest::<Blob>::of(CONTENT).to_string();
    let result = result.map_err(|error| {
        error.to_string().replace(&server.host(), "HOST").replace(&digest, "DIGEST")
    });
    let lines = server.seen().into_iter().map(|seen| {
        let target = seen.target.replace(&digest, "DIGEST").replace("sha256%3A", "sha256:");
        let target = target.replace(&digest, "DIGEST").replace("/v2/team/app", "");
        let range = seen.header("content-range").unwrap_or_default();
        format!("{} {target} {range} {}", seen.method, seen.body).trim_end().to_owned()
    });
    (result, lines.filter(|line| !line.contains("/manifests/")).collect())
}

#[test]
fn one_put_for_a_blob() {
    let (result, lines) = check(None, |seen| plain(seen).unwrap_or(Reply::new(201, "")));
    assert_eq!(result.unwrap().sent, 36);
    assert_eq!(
        lines,
        [
            "HEAD /blobs/DIGEST",
            "POST /blobs/uploads/",
            "PUT /upload/1?state=a%2Fb&digest=DIGEST  0123456789abcdefghijklmnopqrstuvwxyz",
        ]
    );
}

#[test]
fn what_is_there_is_not_sent() {
    let (result, lines) = check(None, |seen| match plain(seen) {
        Some(reply) if reply.status == 404 => Reply { length: Some(36), ..Reply::new(200, "") },
        other => other.unwrap_or(Reply::new(500, "")),
    });
    let pushed = result.unwrap();
    assert_eq!((pushed.sent, pushed.there), (0, 36));
    assert_eq!(lines, ["HEAD /blobs/DIGEST"]);
}

#[test]
fn after_an_error_the_rest_is_sent() {
    rest_is_sent(Reply::new(502, ""));
    rest_is_sent(Reply::new(0, "").end(End::Cut(0)));
}

fn rest_is_sent(failure: Reply) {
    let (result, lines) = check(None, move |seen| match (seen.method.as_str(), plain(seen)) {
        (_, Some(reply)) => reply,
        ("PUT", _) if !seen.body.is_empty() => failure.clone(),
        ("GET", _) => Reply::new(204, "").header("Range", "0-9").header("Location", "/upload/2"),
        ("PATCH", _) => Reply::new(202, "").header("Range", "0-35").header("Location", "/upload/3"),
        _ => Reply::new(201, ""),
    });
    assert_eq!(result.unwrap().sent, 36);
    assert_eq!(
        lines[2..],
        [
            "PUT /upload/1?state=a%2Fb&digest=DIGEST  0123456789abcdefghijklmnopqrstuvwxyz",
            "GET /upload/1?state=a%2Fb",
            "PATCH /upload/2 10-35 abcdefghijklmnopqrstuvwxyz",
            "PUT /upload/3?digest=DIGEST",
        ]
    );
}

#[test]
fn a_lost_session_begins_anew() {
    let posts = AtomicUsize::new(0);
    let (result, lines) = check(None, move |seen| match (seen.method.as_str(), plain(seen)) {
        ("POST", _) => {
            let number = posts.fetch_add(1, Ordering::SeqCst);
            Reply::new(202, "").header("Location", format!("/upload/{number}"))
        }
        (_, Some(reply)) => reply,
        ("GET", _) => Reply::new(404, ""),
        ("PUT", _) if seen.target.starts_with("/upload/0") => Reply::new(503, ""),
        _ => Reply::new(201, ""),
    });
    assert_eq!(result.unwrap().sent, 36);
    assert_eq!(lines.iter().filter(|line| line.starts_with("PUT /upload/1")).count(), 1);
}

#[test]
fn trouble_that_stays_is_told() {
    let fails = |status: u16, body: &'static str, want: &str| {
        let (result, lines) =
            check(None, move |seen| plain(seen).unwrap_or(Reply::new(status, body)));
        let error = result.expect_err(want);
        assert!(error.contains(want), "{error}");
        assert!(error.contains("cannot push"), "{error}");
        assert!(lines.len() < 20, "{lines:#?}");
    };
    fails(503, "", "HOST answered 503");
    fails(500, "", "HOST answered 500");
    fails(
        403,
        r#"{"errors":[{"code":"DENIED","message":"no"}]}"#,
        "denied access (403 DENIED: no)",
    );
    fails(404, "", "not found on HOST");
    fails(429, "", "limits the rate");
    fails(416, "", "HOST answered 416");
    fails(405, "", "HOST answered 405");
    fails(307, "", "an upload is redirected");
}

#[test]
fn a_registry_that_keeps_nothing_does_not_loop() {
    let (result, lines) = check(None, |seen| match (seen.method.as_str(), plain(seen)) {
        (_, Some(reply)) => reply,
        ("PUT", _) => Reply::new(500, ""),
        ("GET", _) => Reply::new(204, "").header("Range", "0-9"),
        _ => Reply::new(202, "").header("Range", "0-9").header("Location", "/upload/2"),
    });
    assert!(result.unwrap_err().contains("keeps nothing after byte 10"));
    assert!(lines.len() < 20, "{lines:#?}");
}

#[test]
fn attack_39_locations_on_other_hosts_are_refused() {
    for location in ["http://127.0.0.9:1/x", "https://evil.example/x", "//evil.example/x", ""] {
        let (result, lines) = check(None, move |seen| match (seen.method.as_str(), plain(seen)) {
            ("POST", _) => Reply::new(202, "").header("Location", location),
            (_, Some(reply)) => reply,
            _ => Reply::new(201, ""),
        });
        let error = result.unwrap_err();
        assert!(error.contains("elsewhere") || error.contains("no usable"), "{error}");
        assert_eq!(lines.len(), 2, "{lines:?}");
    }
}

// Another port of the same host gets the bytes, and no login.
#[test]
fn attack_39_another_port_gets_no_login() {
    let store = Server::start(|_| Reply::new(201, ""));
    let at = format!("http://{}/x", store.host());
    let server = Server::start(move |seen| match (seen.header("authorization"), plain(seen)) {
        (None, _) => Reply::new(401, "").header("WWW-Authenticate", "Basic realm=x"),
        (_, Some(reply)) if reply.status == 202 => {
            Reply::new(202, "").header("Location", at.clone())
        }
        (_, reply) => reply.unwrap_or(Reply::new(500, "")),
    });
    let name = ImageRef::parse(&format!("{}/team/app:1", server.host())).unwrap();
    registry(login(&server.host())).push(&one_blob(None), &[name], false).unwrap();
    assert_eq!(store.seen()[0].body.as_bytes(), CONTENT);
    assert_eq!(store.seen()[0].header("authorization"), None);
}

#[test]
fn mounts_are_asked_for_and_checked() {
    // It takes the blob over, and has it.
    let heads = AtomicUsize::new(0);
    let (result, lines) =
        check(Some("base/os:1"), move |seen| match (seen.method.as_str(), plain(seen)) {
            ("HEAD", Some(reply)) if reply.status == 404 => {
                match heads.fetch_add(1, Ordering::SeqCst) {
                    0 => reply,
                    _ => Reply { length: Some(36), ..Reply::new(200, "") },
                }
            }
            ("POST", _) => Reply::new(201, "").header("Location", "/v2/team/app/blobs/x"),
            (_, reply) => reply.unwrap_or(Reply::new(500, "")),
        });
    assert_eq!(result.unwrap().mounted, 36);
    assert_eq!(lines[1], "POST /blobs/uploads/?mount=DIGEST&from=base%2Fos");

    // It says so, and has not; it offers a session; it refuses.
    for status in [201, 202, 403, 404] {
        let (result, _) = check(Some("base/os:1"), move |seen| {
            match (seen.target.contains("mount="), plain(seen)) {
                (true, _) => Reply::new(status, "").header("Location", "/upload/m"),
                (false, reply) => reply.unwrap_or(Reply::new(201, "")),
            }
        });
        assert_eq!(result.unwrap().sent, 36, "{status}");
    }
    // Nothing is taken over from another registry.
    let server = Server::start(|seen| plain(seen).unwrap_or(Reply::new(201, "")));
    let name = ImageRef::parse(&format!("{}/team/app:1", server.host())).unwrap();
    let image = one_blob(Some("other.example/base/os"));
    registry(Credentials::none()).push(&image, &[name], false).unwrap();
    assert!(server.seen().iter().all(|seen| !seen.target.contains("mount")));
}

#[test]
fn attack_44_a_registry_that_lies_about_blobs_gets_them() {
    let puts = AtomicUsize::new(0);
    let (result, lines) = check(None, move |seen| match plain(seen) {
        Some(reply) if reply.status == 404 => Reply { length: Some(36), ..Reply::new(200, "") },
        Some(reply) if reply.status == 201 => match puts.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::new(
                400,
                r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"which?"}]}"#,
            ),
            _ => reply,
        },
        other => other.unwrap_or(Reply::new(201, "")),
    });
    assert_eq!(result.unwrap().sent, 36);
    assert!(lines.iter().any(|line| line.starts_with("PUT /upload/1")), "{lines:?}");
}

#[test]
fn other_digests_are_told() {
    let other = format!("sha256:{}", "ab".repeat(32));
    let (result, _) = check(None, move |seen| match plain(seen) {
        Some(reply) if reply.status == 201 => reply.header("Docker-Content-Digest", other.clone()),
        reply => reply.unwrap_or(Reply::new(201, "")),
    });
    assert!(result.unwrap_err().contains("is not what its digest names: pushed sha256:"));

    let (result, _) = check(None, |seen| match (seen.method.as_str(), plain(seen)) {
        ("HEAD", _) => Reply::new(404, ""),
        (_, reply) => reply.unwrap_or(Reply::new(201, "")),
    });
    assert!(result.unwrap_err().contains("it took the manifest, but does not have it"));
}

#[test]
fn a_damaged_blob_of_ours_is_told() {
    let server = Server::start(|seen| plain(seen).unwrap_or(Reply::new(400, "")));
    let name = ImageRef::parse(&format!("{}/team/app:1", server.host())).unwrap();
    let check = |bytes: &'static [u8], want: &str| {
        let open = |_| Ok(Box::new(Cursor::new(bytes)) as Box<dyn BlobContent>);
        let image = ToPush { open: &open, ..one_blob(None) };
        let error = registry(Credentials::none())
            .push(&image, std::slice::from_ref(&name), false)
            .unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
    };
    check(b"0123456789abcdefghijklmnopqrstuvwxyZ", "it is damaged");
    check(b"0123456789", "the file is too short");
}

#[test]
fn names_and_digests() {
    let server = Server::start(|seen| plain(seen).unwrap_or(Reply::new(201, "")));
    let digest: Digest<Manifest> = Digest::of(MANIFEST);
    let check = |rest: &str, by_digest: bool, want: &str| {
        let before = server.seen().len();
        let name = ImageRef::parse(&format!("{}/app{rest}", server.host())).unwrap();
        let result = registry(Credentials::none()).push(&one_blob(None), &[name], by_digest);
        match result {
            Ok(pushed) => {
                let found = pushed.names[0].replace(&server.host(), "HOST");
                assert_eq!(found, format!("HOST/app{want}@{digest}"));
                let reference = want.strip_prefix(':').map_or(digest.to_string(), str::to_owned);
                let target = format!("/v2/app/manifests/{reference}");
                let mut seen = server.seen().split_off(before).into_iter();
                assert!(seen.any(|seen| seen.method == "PUT" && seen.target == target));
            }
            Err(error) => assert!(error.to_string().contains(want), "{error}"),
        }
    };
    check("", false, ":latest");
    check(":1.0", false, ":1.0");
    check(":1.0", true, "");
    check(&format!("@{digest}"), false, "");
    check(&format!(":1@{digest}"), false, ":1");
    check(&format!("@sha256:{}", "ab".repeat(32)), false, "the image is sha256:");
}

#[test]
fn tokens_are_for_pushing_and_for_the_source_of_a_mount() {
    let server = Server::start(|seen| {
        if seen.target.starts_with("/token") {
            return Reply::new(200, r#"{"token":"t"}"#);
        }
        if seen.header("authorization").is_none() {
            let host = seen.header("host").unwrap_or_default();
            return Reply::new(401, "").header(
                "WWW-Authenticate",
                format!(r#"Bearer realm="http://{host}/token",service="s""#),
            );
        }
        plain(seen).unwrap_or(Reply::new(201, ""))
    });
    let name = ImageRef::parse(&format!("{}/team/app:1", server.host())).unwrap();
    let image = one_blob(Some(&format!("{}/base/os", server.host())));
    registry(Credentials::none()).push(&image, &[name], false).unwrap();
    let tokens: Vec<String> = server
        .seen()
        .into_iter()
        .map(|seen| seen.target.replace("%3A", ":").replace("%2F", "/").replace("%2C", ","))
        .filter(|target| target.starts_with("/token"))
        .collect();
    assert_eq!(
        tokens,
        [
            "/token?service=s&scope=repository:team/app:pull,push",
            "/token?service=s&scope=repository:team/app:pull,push&scope=repository:base/os:pull",
        ]
    );
}

// ---- a real registry ----

fn real(with_login: bool) {
    let folder = tempfile::tempdir().unwrap();
    let server = match RealServer::start(folder.path(), with_login) {
        Ok(server) => server,
        Err(why) => return skipped("a push to a real registry", &why),
    };
    let layers: [Vec<u8>; 3] = [vec![1; 3 << 20], vec![2; 70_000], b"{}".to_vec()];
    let find = |digest: Digest<Blob>| -> io::Result<Box<dyn BlobContent>> {
        let bytes = layers.iter().find(|bytes| Digest::<Blob>::of(bytes) == digest).unwrap();
        Ok(Box::new(Cursor::new(bytes.clone())))
    };
    let descriptor = |kind: &str, bytes: &[u8]| {
        let digest = Digest::<Blob>::of(bytes);
        format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{}}}"#, bytes.len())
    };
    let layer = "application/vnd.oci.image.layer.v1.tar";
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{},"layers":[{},{}]}}"#,
        descriptor("application/vnd.oci.image.config.v1+json", &layers[2]),
        descriptor(layer, &layers[0]),
        descriptor(layer, &layers[1]),
    );
    let manifest = ManifestToPush { bytes: manifest.into_bytes(), media_type: kind.to_owned() };
    let blobs: Vec<BlobToPush> = layers
        .iter()
        .map(|bytes| BlobToPush { digest: Digest::of(bytes), size: bytes.len() as u64, from: None })
        .collect();
    let image = ToPush { blobs, manifests: vec![manifest.clone()], open: &find };
    let name = |rest: &str| ImageRef::parse(&format!("{}/{rest}", server.host())).unwrap();
    let push = |names: &[&str]| {
        let credentials = if with_login { login(server.host()) } else { Credentials::none() };
        let names: Vec<ImageRef> = names.iter().map(|rest| name(rest)).collect();
        registry(credentials).push(&image, &names, false)
    };
    if with_login {
        let error = registry(Credentials::none()).push(&image, &[name("a")], false).unwrap_err();
        assert!(matches!(error, Error::Denied { status: 401, login: false, .. }), "{error}");
    }
    let total: u64 = layers.iter().map(|bytes| bytes.len() as u64).sum();
    let before = server.log().len();
    let pushed = push(&["team/app:1", "team/app:2"]).unwrap();
    assert_eq!((pushed.sent, pushed.there, pushed.names.len()), (total, 0, 2));
    let log = server.log().split_off(before);
    assert_eq!(log.iter().filter(|line| line.contains("PUT /v2/team/app/blobs/")).count(), 3);

    // The second time nothing is sent: the registry's own log says so.
    let before = server.log().len();
    let pushed = push(&["team/app:1", "team/app:2"]).unwrap();
    assert_eq!((pushed.sent, pushed.there), (0, total));
    let log = server.log().split_off(before);
    assert!(log.iter().any(|line| line.contains("PUT /v2/team/app/manifests/2")), "{log:#?}");
    let sent = ["POST /v2", "PATCH /v2", "PUT /v2/team/app/blobs"];
    assert!(log.iter().all(|line| sent.iter().all(|sent| !line.contains(sent))), "{log:#?}");

    // Another repository, in one go with the first: the registry takes the blobs over.
    let pushed = push(&["team/app:1", "team/other:1"]).unwrap();
    assert_eq!((pushed.sent, pushed.there, pushed.mounted), (0, total, total));
    let credentials = if with_login { login(server.host()) } else { Credentials::none() };
    let fetched = registry(credentials).manifest(&name("team/other:1")).unwrap();
    assert_eq!(fetched.bytes, manifest.bytes);
}

#[test]
fn a_real_registry() {
    real(false);
}

#[test]
fn a_real_registry_with_a_login() {
    real(true);
}

#[test]
fn a_denied_registry_is_not_asked() {
    let config =
        RegistryConfig::parse("[host.\"docker.io\"]\ndeny = true", Path::new("/")).unwrap();
    let registry =
        Registry::new(config, Credentials::none(), Events::silent(), Network::Online).unwrap();
    let name = ImageRef::parse("a/b").unwrap();
    let error = registry.push(&one_blob(None), &[name], false).unwrap_err();
    assert!(error.to_string().contains("cannot push `a/b`: the registry configuration denies"));
}
