//! What a registry answers to a push.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::ground::every_user;
use crate::testserver::{Reply, Seen, Server};

/// A registry that takes what it is given, but for a twist.
fn taking(
    twist: impl Fn(&Seen, &BTreeSet<String>) -> Option<Reply> + Send + Sync + 'static,
) -> (Server, Arc<Mutex<BTreeSet<String>>>) {
    let blobs = Arc::new(Mutex::new(BTreeSet::new()));
    let kept = blobs.clone();
    let server = Server::start(move |seen| {
        let mut blobs = kept.lock().expect("no panic");
        if let Some(reply) = twist(seen, &blobs) {
            return reply;
        }
        let last = seen.target.rsplit('/').next().unwrap_or_default();
        match seen.method.as_str() {
            "HEAD" if blobs.contains(last) => Reply::new(200, ""),
            "POST" => Reply::new(202, "").header("Location", "/v2/app/blobs/uploads/1"),
            "PUT" if seen.target.contains("/uploads/") => {
                let digest = last.split("digest=").nth(1).unwrap_or_default();
                blobs.insert(digest.replace("%3A", ":"));
                Reply::new(201, "")
            }
            "PUT" => {
                // The image: by its name, from now on.
                blobs.insert(format!("{} {}", seen.target, seen.body));
                Reply::new(201, "")
            }
            "GET" | "HEAD" if seen.target.contains("/manifests/") => {
                let prefix = format!("{} ", seen.target);
                let found = blobs.iter().find_map(|blob| blob.strip_prefix(&prefix));
                found.map_or_else(
                    || Reply::new(404, ""),
                    |text| {
                        Reply::new(200, text.as_bytes())
                            .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
                    },
                )
            }
            _ => Reply::new(404, ""),
        }
    });
    (server, blobs)
}

#[test]
fn attack_39_upload_locations_on_other_hosts() {
    every_user(|ground| {
        let elsewhere = Server::start(|_| Reply::new(201, ""));
        let foreign = elsewhere.host().replace("127.0.0.1", "localhost");
        for location in [
            format!("http://{foreign}/upload"),
            "file:///tmp/x".to_owned(),
            "https://169.254.169.254/latest".to_owned(),
            "http://user:pw@127.0.0.1/".to_owned(),
            String::new(),
        ] {
            let (server, _) = taking(move |seen, _| match seen.method.as_str() {
                _ if seen.header("authorization").is_none() => {
                    let basic = "Basic realm=\"r\"";
                    Some(Reply::new(401, "").header("WWW-Authenticate", basic))
                }
                "POST" => Some(Reply::new(202, "").header("Location", location.clone())),
                _ => None,
            });
            let host = server.host();
            let auths = json!({"auths": {&host: {"username": "tester", "password": "pw"}}});
            let file = ground.place().file("auth.json", auths.to_string());
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
            ground.place().file("ctx/f", "x");
            let build = ground.build("FROM scratch\nCOPY f /\n").arg("--push");
            let build = build.arg(format!("--authfile={}", file.display()));
            build.arg(format!("--tag={host}/app:1")).run().refused(&[]);
        }
        assert!(elsewhere.seen().is_empty(), "{:?}", elsewhere.seen());
    });
}

#[test]
fn attack_44_existence_is_looked_at_after_a_push() {
    every_user(|ground| {
        ground.place().file("ctx/f", "x");
        let push = |server: &Server| {
            let build = ground.build("FROM scratch\nCOPY f /\n").arg("--push");
            build.arg(format!("--tag={}/app:1", server.host())).run()
        };
        // An honest one, to see that this registry would do.
        let (server, blobs) = taking(|_, _| None);
        assert_eq!(push(&server).done.code(), 0, "{}", push(&server).story());
        let count =
            blobs.lock().expect("no panic").iter().filter(|b| b.starts_with("sha256:")).count();
        assert_eq!(count, 2, "layer and config");
        // It says that all is there, takes nothing, and has nothing when it is asked for the image.
        let (server, blobs) = taking(|seen, _| match seen.method.as_str() {
            "HEAD" => Some(Reply::new(200, "")),
            "PUT" if seen.target.contains("/manifests/") => Some(Reply::new(
                404,
                r#"{"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown"}]}"#,
            )),
            _ => None,
        });
        push(&server).refused(&[]);
        drop(blobs);
        // It takes the image, and does not have it.
        let (server, _) = taking(|seen, _| {
            let asked = seen.method != "PUT" && seen.target.contains("/manifests/");
            asked.then(|| Reply::new(404, ""))
        });
        push(&server).refused(&["does not have it"]);
    });
}
