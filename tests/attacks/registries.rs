//! B. Registries, digests, credentials (attacks 29 to 47).
//!
//! The registry is a server of the test that answers what the test says. What it takes to reach a
//! host by a name, or over TLS, is tested in `src/registry`, under the same numbers.

mod logins;
mod pushes;

use serde_json::{Value, json};

use crate::ground::{Ground, Mode, every_user};
use crate::layout::{Hostile, Layer, digest};
use crate::tarbytes::Tar;
use crate::testserver::{End, Reply, Seen, Server};

/// An image of one small layer.
pub(crate) fn image() -> Hostile {
    Hostile::of(vec![Layer::gzip(&Tar::new().file("hello", "hello\n").end())])
}

/// What an honest registry answers, with `image` as `app:1`.
pub(crate) fn honest(image: &Hostile, seen: &Seen) -> Reply {
    let Some(rest) = seen.target.strip_prefix("/v2/app/") else { return Reply::new(404, "") };
    let manifest = image.manifest.to_string();
    if rest == "manifests/1" || rest == format!("manifests/{}", digest(manifest.as_bytes())) {
        let media = image.manifest["mediaType"].as_str().unwrap_or("application/json");
        return Reply::new(200, manifest).header("Content-Type", media);
    }
    let blob = rest.strip_prefix("blobs/").and_then(|name| {
        image.blobs().into_iter().find_map(|(digest, bytes)| (digest == name).then_some(bytes))
    });
    blob.map_or_else(|| Reply::new(404, ""), |bytes| Reply::new(200, bytes))
}

/// A registry that is honest but for a twist, which sees each request with the honest answer.
pub(crate) fn twisted(
    image: Hostile,
    twist: impl Fn(&Seen, Reply) -> Reply + Send + Sync + 'static,
) -> Server {
    Server::start(move |seen| twist(seen, honest(&image, seen)))
}

/// Builds on `app:1` of the server; has to be a clean error that says this.
#[track_caller]
pub(crate) fn base_is_refused(ground: &Ground, server: &Server, said: &[&str]) {
    let text = format!("FROM {}/app:1\nCOPY Dockerfile* /\n", server.host());
    ground.place().file("ctx/Dockerfile", "");
    ground.build(&text).run().refused(said);
}

fn is_layer(image: &Hostile, seen: &Seen) -> bool {
    seen.target.ends_with(&digest(&image.layers[0].bytes))
}

#[test]
fn attack_29_blobs_with_other_bytes() {
    let base = image();
    let size = base.layers[0].bytes.len();
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut bytes = base.layers[0].bytes.clone();
        change(&mut bytes);
        Reply::new(200, bytes)
    };
    let lies = |length: u64| Reply { length: Some(length), ..changed(|_| {}) };
    let gzip = changed(|bytes| *bytes = crate::layout::gzip(bytes));
    let replies = [
        ("same length", changed(|bytes| *bytes.last_mut().expect("bytes") ^= 1)),
        ("longer", changed(|bytes| bytes.push(0))),
        ("much longer", changed(|bytes| bytes.resize(8 << 20, 0))),
        ("shorter", changed(|bytes| bytes.truncate(20))),
        ("empty", changed(Vec::clear)),
        ("endless", changed(|_| {}).end(End::Endless)),
        ("says more than it has", lies(size as u64 + 5)),
        ("says less than it has", lies(size as u64 - 5)),
        ("says 2^63", lies(1 << 63)),
        ("encoded once more", gzip.header("Content-Encoding", "gzip")),
        ("longer, and its end is the connection's", changed(|b| b.push(0)).end(End::Close)),
    ];
    every_user(|ground| {
        for (what, reply) in replies.clone() {
            let (base, reply) = (base.clone(), reply);
            let layer = digest(&base.layers[0].bytes);
            let server =
                twisted(
                    base.clone(),
                    move |seen, honest| {
                        if is_layer(&base, seen) { reply.clone() } else { honest }
                    },
                );
            base_is_refused(ground, &server, &[&layer]);
            let stored = ground.place().at("store/blobs/sha256").join(&layer[7..]);
            assert!(!stored.exists(), "{what}: a false blob is stored");
        }
    });
}

/// Serves this text as the manifest of `app:1`.
fn manifest(text: impl Into<Vec<u8>>, media: &str) -> Server {
    let (text, media) = (text.into(), media.to_owned());
    twisted(image(), move |seen, honest| {
        if seen.target.contains("/manifests/") {
            Reply::new(200, text.clone()).header("Content-Type", media.clone())
        } else {
            honest
        }
    })
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[test]
fn attack_30_documents_beyond_measure() {
    let good = image().manifest.to_string();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let large = format!("{}{}", good, " ".repeat(4 << 20));
    let twice = good.replacen('{', "{\"schemaVersion\":2,", 1);
    let mark = format!("\u{feff}{good}");
    let mut config = image();
    config.config["padding"] = json!("x".repeat(8 << 20));
    config.seal();
    let mut deep_config = image();
    // Within serde_json's own limit when it is made, beyond it when it is read.
    deep_config.config["config"]["Labels"] = json!({"x": "y"});
    deep_config.seal();
    every_user(|ground| {
        for (text, said) in [
            (large.clone(), "more than 4194304"),
            (deep.clone(), "malformed manifest"),
            (twice.clone(), "duplicate field"),
            (mark.clone(), "expected value"),
            (String::new(), ""),
            ("{}".to_owned(), ""),
            ("[]".to_owned(), ""),
            ("null".to_owned(), ""),
            (good[..good.len() - 1].to_owned(), ""),
        ] {
            base_is_refused(ground, &manifest(text, MANIFEST), &[said]);
        }
        let server = twisted(config.clone(), |_, honest| honest);
        base_is_refused(ground, &server, &[]);
        // The same in a config: the digest is right, the document is not.
        for text in [&deep, "", "[]", "{\"rootfs\":{},\"rootfs\":{}}", "{\"rootfs\":null}"] {
            let text = text.to_owned();
            let mut base = image();
            let descriptor = &mut base.manifest["config"];
            descriptor["digest"] = json!(digest(text.as_bytes()));
            descriptor["size"] = json!(text.len());
            let name = digest(text.as_bytes());
            let server = twisted(base, move |seen, honest| {
                if seen.target.ends_with(&name) { Reply::new(200, text.as_bytes()) } else { honest }
            });
            base_is_refused(ground, &server, &[]);
        }
    });
}

#[test]
fn attack_31_the_hash_of_the_body_counts() {
    let (pinned, other) = (image(), {
        let mut other = image();
        other.config["config"]["User"] = json!("evil");
        other.seal();
        other
    });
    let name = digest(pinned.manifest.to_string().as_bytes());
    every_user(|ground| {
        let (other, said) = (other.clone(), name.clone());
        let server = Server::start(move |seen| {
            if seen.target.contains("/manifests/") {
                let seen = Seen { target: "/v2/app/manifests/1".to_owned(), ..seen.clone() };
                return honest(&other, &seen).header("Docker-Content-Digest", said.clone());
            }
            honest(&other, seen)
        });
        for reference in [format!("app@{name}"), format!("app:1@{name}")] {
            let text = format!("FROM {}/{reference}\n", server.host());
            ground.build(&text).run().refused_with(6, &[&name]);
        }
    });
}

#[test]
fn attack_32_diff_ids_that_are_not_those_of_the_layers() {
    let honest_tar = Tar::new().file("f", "honest").end();
    let evil_tar = Tar::new().file("f", "evil").end();
    let layers = || vec![Layer::gzip(&honest_tar)];
    let known = crate::layout::digest(&honest_tar);
    every_user(|ground| {
        // The wrong one, too few, too many, none, another kind.
        let other = digest(b"other");
        for (diffs, said) in [
            (json!([other]), "unpacks to"),
            (json!([]), "diff"),
            (json!([known, known]), "diff"),
            (json!(null), ""),
            (json!("x"), ""),
            (json!(["sha256:../../x"]), ""),
        ] {
            let mut base = Hostile::of(layers());
            base.config["rootfs"]["diff_ids"] = diffs;
            base.seal();
            for step in ["", "COPY Dockerfile /\n", "FROM scratch\nCOPY --from=0 /f /\n"] {
                ground.place().file("ctx/Dockerfile", "");
                ground.build_on(&base, &format!("FROM base\n{step}")).run().refused(&[said]);
            }
        }
        // A layer that lends the name of one that is known: its tree, its table, its blob.
        for profile in ["none", "baseline"] {
            let from = "FROM base\nUSER 1000:1000\n";
            ground.build_on(&Hostile::of(layers()), from).policy("none").run().built();
            let mut lent = Layer::gzip(&evil_tar);
            lent.diff_id = known.clone();
            let build = ground.build_on(&Hostile::of(vec![lent]), from).policy(profile);
            build.run().refused_with(6, &["unpacks to"]);
        }
        // And the other way round: facts are not learned from a blob under a name that it lends.
        let place = Ground::new(ground.mode());
        let mut lent = Layer::gzip(&evil_tar);
        lent.diff_id = known.clone();
        let from = "FROM base\nUSER 1000:1000\n";
        let build = place.build_on(&Hostile::of(vec![lent]), from).policy("baseline");
        build.run().refused_with(6, &["unpacks to"]);
        let facts = place.place().at("store/records/facts").join(&known["sha256:".len()..]);
        assert!(!facts.exists(), "facts about a layer that was never seen");
    });
}

#[test]
fn attack_33_documents_that_are_two_things() {
    let base = image();
    let mut both = base.manifest.clone();
    both["manifests"] = json!([]);
    let mut index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{
        "mediaType": MANIFEST, "digest": digest(base.manifest.to_string().as_bytes()),
        "size": base.manifest.to_string().len()}]});
    let honest_index = index.to_string();
    index["layers"] = json!([]);
    let says = |media: &str| {
        let mut document = base.manifest.clone();
        document["mediaType"] = json!(media);
        document.to_string()
    };
    every_user(|ground| {
        for (text, media) in [
            (both.to_string(), MANIFEST),
            (index.to_string(), INDEX),
            (says(INDEX), MANIFEST),
            (says(INDEX), INDEX),
            (says(MANIFEST), INDEX),
            (honest_index.clone(), MANIFEST),
            (says("application/vnd.docker.distribution.manifest.v2+json"), MANIFEST),
            (says("text/html"), MANIFEST),
            (says(MANIFEST), "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        ] {
            base_is_refused(ground, &manifest(text.clone(), media), &[]);
        }
        // What the index says of a manifest, against what it is.
        let mut lies: Value = serde_json::from_str(&honest_index).expect("JSON");
        lies["manifests"][0]["mediaType"] = json!(INDEX);
        let lies = lies.to_string();
        let server = twisted(base.clone(), move |seen, honest| {
            if seen.target.ends_with("manifests/1") {
                Reply::new(200, lies.clone()).header("Content-Type", INDEX)
            } else {
                honest
            }
        });
        base_is_refused(ground, &server, &[]);
    });
}

#[test]
fn attack_34_digests_that_are_none() {
    let hex = "a".repeat(64);
    let bad = [
        "sha256:../../../../canary/secret".to_owned(),
        "sha256:".to_owned(),
        format!("sha256:{}", "A".repeat(64)),
        format!("sha256:{}", &hex[..63]),
        format!("sha256:{hex}a"),
        format!("sha1:{}", &hex[..40]),
        format!("sha256:{}", "g".repeat(64)),
        format!("sha256:{}\n{}", &hex[..31], &hex[..32]),
        format!("SHA256:{hex}"),
        format!("sha256:sha256:{hex}"),
        format!("../../{hex}"),
        hex.clone(),
        "sha256:\u{1b}[2J\u{1b}]0;evil\u{7}".to_owned(),
    ];
    every_user(|ground| {
        for digest in &bad {
            for part in ["config", "layer"] {
                let mut base = image();
                match part {
                    "config" => base.manifest["config"]["digest"] = json!(digest),
                    _ => base.manifest["layers"][0]["digest"] = json!(digest),
                }
                ground.build_on(&base, "FROM base\n").run().refused(&["malformed manifest"]);
            }
            // No request is made of one.
            let mut base = image();
            base.manifest["layers"][0]["digest"] = json!(digest);
            let server = twisted(base, |_, honest| honest);
            base_is_refused(ground, &server, &["malformed manifest"]);
            let seen = server.seen();
            assert!(seen.iter().all(|seen| seen.target.contains("/manifests/")), "{seen:?}");
            if !digest.contains(['\n', '\u{1b}']) {
                let text = format!("FROM {}/app@{digest}\n", server.host());
                ground.build(&text).run().refused(&[]);
                assert_eq!(server.seen().len(), seen.len(), "nothing is asked for");
            }
        }
    });
}

#[test]
fn attack_35_indexes_of_indexes() {
    every_user(|ground| {
        let media = |text: &str| Reply::new(200, text).header("Content-Type", INDEX);
        let entry = |digest: &str, size: usize, media: &str| {
            json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{
                "mediaType": media, "digest": digest, "size": size}]})
            .to_string()
        };
        // A hundred, one in the other.
        let mut documents = vec![image().manifest.to_string()];
        for level in 0..100 {
            let last: &String = documents.last().expect("one");
            let kind = if level == 0 { MANIFEST } else { INDEX };
            documents.push(entry(&digest(last.as_bytes()), last.len(), kind));
        }
        let server = twisted(image(), move |seen, honest| {
            let wanted = seen.target.rsplit('/').next().unwrap_or_default().to_owned();
            let found = documents.iter().find(|text| digest(text.as_bytes()) == wanted);
            match found {
                _ if wanted == "1" => media(documents.last().expect("one")),
                Some(text) if text.contains("manifests") => media(text),
                _ => honest,
            }
        });
        base_is_refused(ground, &server, &["index"]);
        assert!(server.seen().len() < 20, "{}", server.seen().len());
        // One that names itself cannot be: the digest would have to be known before. One that says
        // so gets its content checked.
        let own = entry(&digest(b"itself"), 6, INDEX);
        let server = twisted(image(), move |seen, honest| {
            if seen.target.contains("/manifests/") { media(&own) } else { honest }
        });
        base_is_refused(ground, &server, &[]);
        // A platform that is not there; one that is there twice: the first counts.
        let one = image();
        let text = one.manifest.to_string();
        let of = |platforms: &[(&str, &str)]| {
            let list: Vec<_> = platforms
                .iter()
                .map(|(os, architecture)| {
                    json!({"mediaType": MANIFEST, "digest": digest(text.as_bytes()),
                           "size": text.len(), "platform": {"os": os, "architecture": architecture}})
                })
                .collect();
            json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": list}).to_string()
        };
        let serve =
            |index: String| {
                twisted(one.clone(), move |seen, honest| {
                    if seen.target.ends_with("/1") { media(&index) } else { honest }
                })
            };
        let own = one.config["architecture"].as_str().expect("a word");
        base_is_refused(ground, &serve(of(&[("linux", "s390x"), ("windows", own)])), &["s390x"]);
        base_is_refused(ground, &serve(of(&[])), &[]);
        let server = serve(of(&[("linux", own), ("linux", own)]));
        ground.build(&format!("FROM {}/app:1\n", server.host())).run().built();
    });
}

#[test]
fn attack_36_urls_of_foreign_layers() {
    every_user(|ground| {
        let elsewhere = Server::start(|_| Reply::new(200, "never"));
        let mut base = image();
        let layer = &mut base.manifest["layers"][0];
        layer["urls"] = json!([format!("http://{}/layer", elsewhere.host())]);
        let name = digest(&image().layers[0].bytes);
        for media in [
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        ] {
            base.manifest["layers"][0]["mediaType"] = json!(media);
            let gone = name.clone();
            let server = twisted(base.clone(), move |seen, honest| {
                if seen.target.ends_with(&gone) { Reply::new(404, "") } else { honest }
            });
            base_is_refused(ground, &server, &[]);
            assert!(elsewhere.seen().is_empty(), "{:?}", elsewhere.seen());
        }
    });
}

#[test]
fn attack_45_a_slow_registry() {
    let base = image();
    for mode in Mode::users() {
        let ground = Ground::new(mode);
        let slow = base.clone();
        let server = twisted(base.clone(), move |seen, honest| {
            if is_layer(&slow, seen) { honest.end(End::Drip) } else { honest }
        });
        let text = format!("FROM {}/app:1\n", server.host());
        let mut command = ground.build(&text).command();
        let interrupt = || {
            let start = std::time::Instant::now();
            while !server.seen().iter().any(|seen| is_layer(&base, seen)) {
                assert!(start.elapsed().as_secs() < 20, "it asks for the layer");
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            std::thread::sleep(std::time::Duration::from_millis(300));
        };
        let (done, took) = crate::ground::interrupted(&mut command, interrupt);
        assert!(took.as_secs() < 5, "Ctrl-C took {took:?}");
        assert_eq!(done.code(), 130, "{}", done.err());
        ground.judge(done, 256 << 20);
        // It is there at once when the registry is.
        let server = twisted(base.clone(), |_, honest| honest);
        ground.build(&format!("FROM {}/app:1\n", server.host())).run().built();
    }
    every_user(|ground| {
        // Cut in the middle: the rest is asked for, not the whole.
        let big: Vec<u8> =
            (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let base = Hostile::of(vec![Layer::tar(&Tar::new().file("big", &big).end())]);
        let cut = base.clone();
        let server = twisted(base.clone(), move |seen, honest| {
            if !is_layer(&cut, seen) {
                return honest;
            }
            let honest = honest.header("ETag", "\"1\"").header("Accept-Ranges", "bytes");
            match seen.header("range").and_then(|range| range.strip_prefix("bytes=")) {
                None => honest.end(End::Cut(300_000)),
                Some(range) => {
                    let from: usize = range.trim_end_matches('-').parse().expect("a number");
                    let all = honest.body.len();
                    let part = Reply::new(206, &honest.body[from..]);
                    part.header("Content-Range", format!("bytes {from}-{}/{all}", all - 1))
                }
            }
        });
        ground.build(&format!("FROM {}/app:1\n", server.host())).run().built();
        let ranges = server.seen().iter().filter(|seen| seen.header("range").is_some()).count();
        assert!(ranges >= 1, "the transfer went on where it broke");
    });
}

#[test]
fn attack_46_names_outside_the_grammar() {
    every_user(|ground| {
        let server = Server::start(|_| Reply::new(404, ""));
        let host = server.host();
        for name in [
            "../app:1",
            "app/../x:1",
            "./app",
            "app/./x",
            "app//x",
            "app/:1",
            "/app",
            "app%2fx:1",
            "app%2e%2e:1",
            "app?x=1:1",
            "app#x",
            "app@x",
            "app:1@",
            "app@sha256:x",
            "app:..",
            "app:a/b",
            "app:-x",
            "app:a\u{7f}",
            "app:\u{1b}[0m",
            "APP:1",
            "app:x y",
            "ap\u{202e}p:1",
            "-app:1",
            "app:1:2",
        ] {
            let outcome = ground.build(&format!("FROM \"{host}/{name}\"\n")).run();
            let err = outcome.refused(&[]);
            assert!(!err.contains('\u{1b}') && !err.contains('\u{7f}'), "{err:?}");
            let outcome = ground.build("FROM scratch\nCOPY Dockerfile /\n");
            let outcome = outcome.arg(format!("--tag={host}/{name}")).run();
            outcome.refused(&[]);
        }
        let long = format!("FROM {host}/{}:1\n", "a/".repeat(5000) + "b");
        ground.build(&long).run().refused(&[]);
        let long = format!("FROM {host}/app:{}\n", "a".repeat(129));
        ground.build(&long).run().refused(&[]);
        assert!(server.seen().is_empty(), "{:?}", server.seen());
    });
}

#[test]
fn attack_47_what_a_registry_says_about_an_error() {
    let evil = "\u{1b}[2J\u{1b}]0;title\u{7}\rerror: all is well\n\u{202e}\u{9b}31m";
    let body = json!({"errors": [{"code": "DENIED", "message": evil}]}).to_string();
    let huge = json!({"errors": [{"code": "DENIED", "message": "x".repeat(10 << 20)}]}).to_string();
    every_user(|ground| {
        for (status, body) in [(403, &body), (404, &body), (400, &body), (403, &huge)] {
            let body = body.clone();
            let server = Server::start(move |_| {
                Reply::new(status, body.as_bytes())
                    .header("Content-Type", "application/json")
                    .header("Warning", "299 - \"\x1b[31mevil\"")
            });
            let text = format!("FROM {}/app:1\n", server.host());
            let err = ground.build(&text).run().refused_with(5, &[]);
            for bad in ['\u{1b}', '\u{7}', '\r', '\u{202e}', '\u{9b}'] {
                assert!(!err.contains(bad), "{bad:?} in {err:?}");
            }
            assert!(err.len() < 10_000, "{} bytes", err.len());
        }
    });
}
