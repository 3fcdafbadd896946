//! Who is given a login, and where it is seen.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::{honest, image, twisted};
use crate::canary::walk;
use crate::ground::{Ground, every_user};
use crate::testserver::{End, Reply, Seen, Server};

const PASSWORD: &str = "correct-horse-battery";

// `Basic` of `tester` and the password, as it would be in a header.
const BASIC: &str = "dGVzdGVyOmNvcnJlY3QtaG9yc2UtYmF0dGVyeQ==";

/// A login file for this host; the flag that names it.
fn login(ground: &Ground, host: &str) -> String {
    let auths = json!({"auths": {host: {"username": "tester", "password": PASSWORD}}});
    let file = ground.place().file("auth.json", auths.to_string());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
    format!("--authfile={}", file.display())
}

/// Asserts that nobody was shown the password: no request, no file, no message.
#[track_caller]
fn kept(ground: &Ground, requests: &[Seen], told: &str) {
    let secret = |text: &str| text.contains(PASSWORD) || text.contains(BASIC);
    for seen in requests {
        let shown = format!("{seen:?}");
        assert!(!secret(&shown) && seen.header("authorization").is_none(), "{shown}");
    }
    assert!(!secret(told), "{told}");
    for path in walk(ground.place().path()) {
        if path.is_file()
            && !path.ends_with("auth.json")
            && !path.starts_with(ground.place().at("busybox"))
            && !path.starts_with(ground.place().at("bin"))
        {
            let bytes = fs::read(&path).expect("a file");
            assert!(!secret(&String::from_utf8_lossy(&bytes)), "{}", path.display());
        }
    }
}

/// A registry that wants Basic and shows an image.
fn locked(twist: impl Fn(&Seen, Reply) -> Reply + Send + Sync + 'static) -> Server {
    let base = image();
    Server::start(move |seen| {
        if seen.header("authorization") != Some(&format!("Basic {BASIC}")) {
            return Reply::new(401, "").header("WWW-Authenticate", "Basic realm=\"r\"");
        }
        twist(seen, honest(&base, seen))
    })
}

#[test]
fn attack_37_redirects() {
    every_user(|ground| {
        // To another server: without the login.
        let base = image();
        let cdn = Server::start(move |seen| {
            let target = format!("/v2/app/blobs/{}", seen.target.rsplit('/').next().unwrap_or(""));
            honest(&base, &Seen { target, ..seen.clone() })
        });
        let to = cdn.host();
        let server = locked(move |seen, honest| match seen.target.rsplit_once("/blobs/") {
            Some((_, digest)) => {
                Reply::new(307, "").header("Location", format!("http://{to}/x/{digest}"))
            }
            None => honest,
        });
        let text = format!("FROM {}/app:1\n", server.host());
        let outcome = ground.build(&text).arg(login(ground, &server.host())).run();
        outcome.built();
        assert!(!cdn.seen().is_empty(), "the redirect was followed");
        kept(ground, &cdn.seen(), &outcome.err());

        // In a circle; to other schemes; with a login in the address.
        let count = Arc::new(Mutex::new(0));
        for location in [
            "/v2/app/manifests/1",
            "file:///etc/passwd",
            "ftp://127.0.0.1/x",
            "gopher://127.0.0.1:1/_x",
            "//",
            "http://user:password@127.0.0.1:1/",
            "http://127.0.0.1:1\\@x/",
            "",
        ] {
            let asked = count.clone();
            *asked.lock().expect("no panic") = 0;
            let server = Server::start(move |_| {
                *asked.lock().expect("no panic") += 1;
                Reply::new(302, "").header("Location", location)
            });
            super::base_is_refused(ground, &server, &["redirect"]);
            assert!(*count.lock().expect("no panic") <= 11, "{location}");
        }
    });
}

#[test]
fn attack_38_challenges() {
    every_user(|ground| {
        let elsewhere = Server::start(|_| Reply::new(200, r#"{"token": "t"}"#));
        let foreign = elsewhere.host().replace("127.0.0.1", "localhost");
        let huge = format!("Bearer realm=\"{}\"", "x".repeat(60_000));
        for (challenge, said) in [
            // Another host wants the login.
            (format!("Bearer realm=\"http://{foreign}/token\",service=\"s\""), "another host"),
            // Addresses that are none.
            ("Bearer realm=\"file:///etc/passwd\"".to_owned(), "no usable token service"),
            ("Bearer realm=\"http://user:pw@127.0.0.1/\"".to_owned(), "no usable token service"),
            ("Bearer service=\"s\"".to_owned(), "no usable token service"),
            ("Bearer".to_owned(), "no usable token service"),
            ("Bearer realm=\"".to_owned(), ""),
            (",,,=,\"".to_owned(), ""),
            (huge, ""),
            ("Negotiate".to_owned(), ""),
        ] {
            let server = Server::start(move |_| {
                Reply::new(401, "").header("WWW-Authenticate", challenge.clone())
            });
            let text = format!("FROM {}/app:1\n", server.host());
            let outcome = ground.build(&text).arg(login(ground, &server.host())).run();
            let err = outcome.refused(&[said]);
            kept(ground, &elsewhere.seen(), &err);
            kept(ground, &server.seen(), &err);
            assert!(server.seen().len() < 10, "a challenge for ever: {}", server.seen().len());
        }
        assert!(elsewhere.seen().is_empty(), "{:?}", elsewhere.seen());

        // A challenge that never ends, although a token was given each time; its words are encoded,
        // and a token is for one repository.
        let base = image();
        let never = Arc::new(Mutex::new(true));
        let still = never.clone();
        let server = Server::start(move |seen| {
            if seen.target.starts_with("/token") {
                return Reply::new(200, r#"{"token": "fine"}"#);
            }
            let fine = seen.header("authorization") == Some("Bearer fine");
            if fine && !*still.lock().expect("no panic") {
                return honest(
                    &base,
                    &Seen { target: seen.target.replace("/other/", "/app/"), ..seen.clone() },
                );
            }
            let host = seen.header("host").unwrap_or_default();
            let words = format!("Bearer realm=\"http://{host}/token\",service=\"a b&c=d#e\"");
            Reply::new(401, "").header("WWW-Authenticate", words)
        });
        super::base_is_refused(ground, &server, &[]);
        assert!(server.seen().len() < 20, "{}", server.seen().len());
        *never.lock().expect("no panic") = false;
        let before = server.seen().len();
        let host = server.host();
        let text =
            format!("FROM {host}/app:1 AS one\nFROM {host}/other:1\nCOPY --from=one /hello /h\n");
        ground.build(&text).run().built();
        let seen = server.seen().split_off(before);
        let tokens: Vec<_> = seen
            .iter()
            .filter(|seen| seen.target.starts_with("/token"))
            .map(|s| &s.target)
            .collect();
        for repository in ["app", "other"] {
            let scope = format!("scope=repository%3A{repository}%3Apull");
            assert!(tokens.iter().any(|target| target.contains(&scope)), "{tokens:?}");
        }
        assert!(tokens.iter().all(|t| t.contains("service=a%20b%26c%3Dd%23e")), "{tokens:?}");
    });
}

#[test]
fn attack_40_a_login_is_seen_nowhere() {
    every_user(|ground| {
        // Also not where the registry repeats it.
        let server = locked(|seen, honest| {
            if seen.target.ends_with("manifests/1") {
                return honest;
            }
            let echo =
                format!("no: {} {PASSWORD} tester", seen.header("authorization").unwrap_or(""));
            let body = json!({"errors": [{"code": "DENIED", "message": echo}]});
            Reply::new(403, body.to_string())
        });
        let text = format!("FROM {}/app:1\n", server.host());
        for progress in ["plain", "json"] {
            let build = ground.build(&text).arg(login(ground, &server.host()));
            let build = build.progress(progress);
            let metadata = ground.place().at("metadata.json");
            let outcome = build.arg(format!("--metadata-file={}", metadata.display())).run();
            let err = outcome.refused_with(5, &[]);
            kept(ground, &[], &err);
        }
        // A login in an address of ADD.
        let file = Server::start(|_| Reply::new(404, ""));
        let url = format!("http://tester:{PASSWORD}@{}/f", file.host());
        let outcome = ground.build(&format!("FROM scratch\nADD {url} /\n")).run();
        // The Dockerfile itself has it.
        let _ = fs::remove_file(ground.place().at("Dockerfile"));
        let err = outcome.err();
        assert_ne!(outcome.done.code(), 0);
        kept(ground, &[], &err);
    });
}

#[test]
fn attack_41_credential_helpers() {
    every_user(|ground| {
        let server =
            Server::start(|_| Reply::new(401, "").header("WWW-Authenticate", "Basic realm=\"r\""));
        let host = server.host();
        let text = format!("FROM {host}/app:1\n");
        let helper = ground.place().file(
            "bin/docker-credential-spy",
            "#!/bin/sh\nread server; { echo \"asked $* $server\"; env; } >> \"$HOME/asked\"\n\
             case $server in\n*slow*) sleep 100;;\n*) echo '{\"Username\": \"tester\", \"Secret\": \"correct-horse-battery\"}';;\nesac\n",
        );
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let path = format!("{}:/usr/bin:/bin", ground.place().at("bin").display());
        let run = |config: serde_json::Value| {
            let file = ground.place().file("auth.json", config.to_string());
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
            let build = ground.build(&text).arg(format!("--authfile={}", file.display()));
            build
                .env("PATH", path.as_str())
                .env("LD_PRELOAD_X", "leak")
                .env("RBUILD_LEAK", "leak")
                .run()
        };
        for name in ["../bin/docker-credential-spy", "/bin/sh", "-x", "a/b", "", "a b", ".hidden"] {
            let outcome = run(json!({"credHelpers": {&host: name}}));
            outcome.refused(&["credential helper"]);
        }
        // Hosts that only look like it.
        let asked = ground.place().at("home/asked");
        for other in [
            format!("{host}.evil.net"),
            format!("evil.{host}"),
            host.replace("127.0.0.1", "127.0.0.1.evil.net"),
            "127.0.0.1:1".to_owned(),
            "127.0.0.1".to_owned(),
        ] {
            let outcome = run(json!({"credHelpers": {&other: "spy"}}));
            outcome.refused_with(5, &[]);
            assert!(!asked.exists(), "{other}: the helper was asked");
            let outcome = run(json!({"auths": {&other: {"username": "u", "password": PASSWORD}}}));
            outcome.refused_with(5, &[]);
        }
        assert!(server.seen().iter().all(|seen| seen.header("authorization").is_none()));
        let outcome = run(json!({"credHelpers": {&host: "spy"}}));
        kept(ground, &[], &outcome.refused_with(5, &[]));
        assert!(asked.exists(), "the helper was not asked\n{}", outcome.story());
        let asked = fs::read_to_string(asked).expect("the helper was asked");
        assert!(asked.contains(&format!("asked get {host}")), "{asked}");
        assert!(!asked.contains("leak") && !asked.contains("RBUILD"), "{asked}");
        // One that talks without end, and one that is not there.
        let endless = ground.place().file("bin/docker-credential-endless", "#!/bin/sh\nexec yes\n");
        fs::set_permissions(&endless, fs::Permissions::from_mode(0o755)).expect("it is ours");
        run(json!({"credHelpers": {&host: "endless"}})).refused(&["docker-credential-endless"]);
        run(json!({"credsStore": "absent"})).refused(&["docker-credential-absent"]);
    });
}

#[test]
fn attack_42_login_files() {
    every_user(|ground| {
        let server = twisted(image(), |_, honest| honest);
        let text = format!("FROM {}/app:1\n", server.host());
        let run = |content: &str, mode| {
            let file = ground.place().file("auth.json", content);
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("it is ours");
            ground.build(&text).arg(format!("--authfile={}", file.display())).run()
        };
        let outcome = run(r#"{"auths": {}}"#, 0o644);
        outcome.says(&["can be read by other users", "chmod 600"]).built();
        assert!(!run(r#"{"auths": {}}"#, 0o600).err().contains("chmod"));
        fs::remove_dir_all(ground.place().at("image.oci")).expect("it was built");
        for broken in [
            format!("{{\"auths\": {{\"x\": {{\"password\": \"{PASSWORD}\""),
            PASSWORD.to_owned(),
            format!("{{\"auths\": \"{PASSWORD}\"}}"),
            format!("{{\"auths\": {{\"x\": {{\"auth\": \"{PASSWORD}\"}}}}}}"),
        ] {
            let outcome = run(&broken, 0o600);
            assert!(!outcome.err().contains(PASSWORD), "{}", outcome.err());
            outcome.built();
        }
    });
}

#[test]
fn attack_43_no_plain_http_unasked() {
    every_user(|ground| {
        // A table for the host ends what loopback addresses are excused from.
        let server = twisted(image(), |_, honest| honest.end(End::Keep));
        let host = server.host();
        let text = format!("FROM {host}/app:1\n");
        for (table, http) in [("", false), ("http = false\n", false), ("http = true\n", true)] {
            let file =
                ground.place().file("registries.toml", format!("[host.\"{host}\"]\n{table}"));
            let build = ground.build(&text).arg(format!("--registry-config={}", file.display()));
            let outcome = build.arg(login(ground, &host)).run();
            if http {
                outcome.built();
            } else {
                kept(ground, &server.seen(), &outcome.refused_with(5, &[]));
                assert!(server.seen().is_empty(), "{:?}", server.seen());
            }
        }
    });
}
