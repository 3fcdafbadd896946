//! F. Output, signing, forensics (attacks 97 to 100).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::canary::walk;
use crate::ground::{Ground, every_user};
use crate::harness::ok;
use crate::layout::{Hostile, Layer, digest};
use crate::tarbytes::Tar;
use crate::testserver::{Reply, Server};

fn small() -> Hostile {
    Hostile::of(vec![Layer::gzip(&Tar::new().file("hello", "hello\n").end())])
}

/// What a folder holds, links as links.
fn listing(folder: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let shown = |path: &Path| {
        let content = match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_file() => fs::read(path).ok(),
            Ok(meta) if meta.is_symlink() => {
                fs::read_link(path).ok().map(|to| to.into_os_string().into_encoded_bytes())
            }
            _ => None,
        };
        (path.display().to_string(), content)
    };
    let mut all: Vec<_> = walk(folder).iter().map(|path| shown(path)).collect();
    all.sort();
    all
}

#[test]
fn attack_97_what_lies_at_the_destination() {
    every_user(|ground| {
        ground.place().file("ctx/f", "new");
        let text = "FROM scratch\nCOPY f /etc/passwd\nCOPY f /sub/f\n";
        let host = ground.canary().path().to_owned();
        let out = ground.place().at("out");
        let to = |spec: &str| {
            let build = ground.build(text).arg(format!("--output={spec}"));
            build.arg("--allow=local.delete").run()
        };
        let layout = format!("type=oci,tar=false,dest={}", out.display());
        // Somebody else's files, a file, a link: refused, and as they were.
        let prepare: [fn(&Path, &Path); 6] = [
            |out, _| fs::write(out.join("precious"), "kept").expect("ours"),
            |out, _| fs::write(out.join("index.json"), "{\"mine\": 1}").expect("ours"),
            |out, host| symlink(host.join("open"), out.join("index.json")).expect("ours"),
            |out, host| symlink(host, out.join("blobs")).expect("ours"),
            |out, host| {
                fs::write(out.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}")
                    .expect("ours");
                symlink(host.join("open"), out.join("index.json")).expect("ours");
                symlink(host, out.join("blobs")).expect("ours");
            },
            |out, host| {
                fs::remove_dir(out).expect("ours");
                symlink(host, out).expect("ours");
            },
        ];
        for (number, prepare) in prepare.iter().enumerate() {
            fs::create_dir(&out).expect("ours");
            prepare(&out, &host);
            give(ground, &out);
            let before = listing(&out);
            let outcome = to(&layout);
            if outcome.done.code() != 0 {
                assert_eq!(outcome.done.code(), 2, "{}", outcome.story());
                assert_eq!(listing(&out), before, "{number}: not as it was");
            } else {
                // A layout is replaced, never written into.
                assert!(fs::symlink_metadata(&out).expect("there").is_dir(), "{number}");
                crate::harness::Image::read(&out);
            }
            let _ = fs::remove_dir_all(&out).or_else(|_| fs::remove_file(&out));
        }
        // A tree of files: links that lie there lead nowhere.
        fs::create_dir(&out).expect("ours");
        symlink(host.join("etc"), out.join("etc")).expect("ours");
        symlink(host.join("sub"), out.join("sub")).expect("ours");
        give(ground, &out);
        for mode in ["copy", "delete"] {
            to(&format!("type=local,dest={},mode={mode}", out.display()));
        }
        let _ = fs::remove_dir_all(&out);
        // An archive over a link: the link is replaced, or it is an error.
        for kind in ["tar", "oci", "docker"] {
            let file = ground.place().at("out.tar");
            let _ = fs::remove_file(&file);
            symlink(host.join("open"), &file).expect("ours");
            to(&format!("type={kind},dest={}", file.display()));
        }
        for flag in ["--iidfile", "--metadata-file", "--report=json"] {
            let file = ground.place().at("told");
            let _ = fs::remove_file(&file);
            symlink(host.join("open"), &file).expect("ours");
            let build = ground.build(text).arg(format!("{flag}={}", file.display()));
            build.arg("--output=type=cacheonly").run();
        }
    });
}

fn give(ground: &Ground, path: &Path) {
    if let Some((uid, gid)) = ground.place().who().ids() {
        ok(Command::new("chown").args(["-R", "-h"]).arg(format!("{uid}:{gid}")).arg(path));
    }
}

#[test]
fn attack_98_a_hostile_layout() {
    every_user(|ground| {
        let host = ground.canary().path().to_owned();
        let base = small();
        let layer = digest(&base.layers[0].bytes)[7..].to_owned();
        let config = digest(base.config.to_string().as_bytes())[7..].to_owned();
        let manifest = digest(base.manifest.to_string().as_bytes())[7..].to_owned();
        let server = Server::start(|_| Reply::new(404, ""));
        let target = format!("{}/app:1", server.host());
        let attempt = |what: &str, bend: &dyn Fn(&Path)| {
            let layout = ground.place().at("hostile");
            let _ = fs::remove_dir_all(&layout);
            base.write(&layout);
            bend(&layout);
            ground
                .build("FROM base\nCOPY Dockerfile* /\n")
                .layout("base", &layout)
                .run()
                .refused(&[]);
            // The store may have the blobs by now: a fresh look.
            let push = ground.command(&["push", "--quiet"]);
            let outcome = push.arg(format!("oci:{}:latest", layout.display())).last(&target).run();
            assert_ne!(outcome.done.code(), 0, "{what}: {}", outcome.story());
        };
        let put = |path: &Path, make: &dyn Fn(&Path)| {
            let _ = fs::remove_file(path);
            make(path);
        };
        ground.place().file("ctx/Dockerfile", "");
        let secret = host.join("secret");
        type Make<'a> = &'a dyn Fn(&Path);
        let makes: [(&str, Make<'_>); 5] = [
            ("a link out", &|path| symlink(&secret, path).expect("ours")),
            ("a pipe", &|path| drop(ok(Command::new("mkfifo").arg(path)))),
            ("a folder", &|path| fs::create_dir(path).expect("ours")),
            ("nothing", &|_| {}),
            ("endless", &|path| symlink("/dev/zero", path).expect("ours")),
        ];
        for (what, make) in makes {
            for blob in [&layer, &config, &manifest] {
                attempt(what, &|at| put(&at.join("blobs/sha256").join(blob), make));
            }
            for name in ["index.json", "oci-layout"] {
                attempt(what, &|at| put(&at.join(name), make));
            }
        }
        // Sizes that lie, in each direction; documents without end.
        for blob in [&layer, &config, &manifest] {
            let path = format!("blobs/sha256/{blob}");
            attempt("longer", &|at| {
                let mut bytes = fs::read(at.join(&path)).expect("ours");
                bytes.push(b' ');
                fs::write(at.join(&path), bytes).expect("ours");
            });
            attempt("empty", &|at| fs::write(at.join(&path), "").expect("ours"));
            attempt("huge", &|at| {
                let file = fs::File::create(at.join(&path)).expect("ours");
                file.set_len(1 << 30).expect("a sparse file");
            });
        }
        attempt("a huge index", &|at| {
            let file = fs::File::options().write(true).open(at.join("index.json")).expect("ours");
            file.set_len(1 << 30).expect("a sparse file");
        });
        let index = |bend: &dyn Fn(&mut Value)| {
            attempt("an index that lies", &|at| {
                let path = at.join("index.json");
                let text = fs::read(&path).expect("ours");
                let mut index: Value = serde_json::from_slice(&text).expect("JSON");
                bend(&mut index);
                fs::write(path, index.to_string()).expect("ours");
            });
        };
        index(&|index| index["manifests"][0]["size"] = json!(1));
        index(&|index| index["manifests"][0]["size"] = json!(-1));
        index(&|index| index["manifests"][0]["size"] = json!(1e300));
        index(&|index| index["manifests"][0]["digest"] = json!("sha256:../../../canary/secret"));
        index(&|index| index["manifests"] = json!({}));
        index(&|index| index["manifests"] = json!([]));
        index(&|index| index["layers"] = json!([]));
        attempt("no JSON", &|at| fs::write(at.join("index.json"), "[[[[").expect("ours"));
        attempt("another version", &|at| {
            fs::write(at.join("oci-layout"), r#"{"imageLayoutVersion":"9.0.0"}"#).expect("ours");
        });
    });
}

#[test]
fn attack_99_nothing_is_called_verified() {
    // Signatures are not built yet: there is nothing that could verify one, and nothing may say so.
    // What is verified is digests, by the bytes that are used.
    every_user(|ground| {
        for command in ["verify", "sign", "attest"] {
            let outcome = ground.command(&[command, "oci:image.oci"]).run();
            let err = outcome.refused_with(2, &[]);
            assert!(!err.to_lowercase().contains("verified"), "{err}");
        }
        let base = small();
        let layout = ground.place().at("pinned");
        base.write(&layout);
        let name = digest(base.manifest.to_string().as_bytes());
        let pinned = |digest: &str| {
            let context =
                format!("--build-context=base=oci-layout://{}@{digest}", layout.display());
            ground.build("FROM base\n").arg(context).run()
        };
        pinned(&name).built();
        pinned(&digest(b"another")).refused(&[&digest(b"another")]);
        // The right name, other bytes behind it.
        let path = layout.join("blobs/sha256").join(&name["sha256:".len()..]);
        let text = fs::read_to_string(&path).expect("ours").replace("+gzip", "+zstd");
        fs::remove_file(&path).expect("ours");
        fs::write(&path, text).expect("ours");
        let fresh = Ground::new(ground.mode());
        let context = format!("--build-context=base=oci-layout://{}@{name}", layout.display());
        fresh.build("FROM base\n").arg(context).run().refused_with(6, &[&name["sha256:".len()..]]);
    });
}

#[test]
fn attack_100_what_is_told_of_an_image_is_escaped() {
    // There is no SBOM and no provenance yet; these are the documents that there are.
    every_user(|ground| {
        let evil = "\"}],\"x\":\u{1b}[2J</script><b>\u{202e}\r\u{0}\u{7f}\u{9b}31m";
        let mut base = small();
        base.config["config"]["Labels"] = json!({"evil": evil, evil: "key"});
        base.config["config"]["Env"] =
            json!(["PATH=/bin", format!("E={}", evil.replace('\0', ""))]);
        base.config["history"][0]["created_by"] = json!(evil);
        base.config["author"] = json!(evil);
        let name = "</b>\u{1b}[31m\"\n";
        base.layers[0] = Layer::gzip(&Tar::new().file(name, "x").end());
        base.config["rootfs"]["diff_ids"] = json!([base.layers[0].diff_id]);
        base.seal();
        ground.place().file(&format!("ctx/d/{name}"), "x");
        let metadata = ground.place().at("metadata.json");
        let reports =
            ["json", "human"].map(|form| (form, ground.place().at(format!("report.{form}"))));
        for progress in ["plain", "json"] {
            for profile in ["none", "hardened"] {
                let build = ground.build_on(&base, "FROM base\nCOPY d /d/\n").progress(progress);
                let build = build.policy(profile);
                let build = build.arg(format!("--metadata-file={}", metadata.display()));
                let build = reports.iter().fold(build, |build, (form, path)| {
                    build.arg(format!("--report={form}={}", path.display()))
                });
                // What is printed has no control character: the ground sees to it.
                let outcome = build.run();
                if progress == "json" {
                    for line in outcome.err().lines().filter(|line| line.starts_with('{')) {
                        serde_json::from_str::<Value>(line).expect("a line of JSON");
                    }
                }
                for path in reports.iter().map(|(_, path)| path).chain([&metadata]) {
                    let Ok(text) = fs::read_to_string(path) else { continue };
                    if !path.ends_with("report.human") {
                        serde_json::from_str::<Value>(&text).expect("JSON");
                    }
                    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
                }
                if profile == "none" {
                    let image = outcome.built();
                    // Kept as it was, in JSON that says so.
                    assert_eq!(image.config["config"]["Labels"]["evil"], evil);
                    // Nothing of this machine: no path of ours, no user, no host name.
                    let told = format!("{}{}", image.config, image.manifest);
                    let host = ok(Command::new("uname").arg("-n"));
                    let place = ground.place().path().display().to_string();
                    for word in
                        [place.as_str(), host.trim(), "rbuild-range", "rbuild-single", "/root/"]
                    {
                        assert!(!told.contains(word), "{word} in {told}");
                    }
                }
            }
        }
    });
}
