//! What is in a key, what is believed of a cache, what a base may steer, what a history tells (91 to
//! 94).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::ground;
use crate::canary::walk;
use crate::ground::every_mode;
use crate::layout::{Hostile, Layer};
use crate::tarbytes::Tar;

#[test]
fn attack_91_everything_that_matters_is_in_the_key() {
    let ground = ground();
    let place = ground.place();
    place.file("ctx/file", "one");
    place.file("ctx/other", "other");
    place.file("secret", "first value of the secret");
    let secret = format!("--secret=id=t,src={}", place.at("secret").display());
    // The last step of each text: run twice it is cached, and changed it is not.
    let check = |first: &str, second: &str, again: &[&str]| {
        let run = |text: &str| {
            let outcome = ground.build(text).arg(&secret).arg("--build-arg=GIVEN=1").run();
            let step = outcome
                .err()
                .lines()
                .rev()
                .find(|line| line.contains("] CACHED") || line.contains("] miss"))
                .map(str::to_owned);
            outcome.built();
            step.expect("a step").contains("] CACHED")
        };
        run(first);
        assert!(run(first), "not cached\n{first}");
        assert!(!run(second), "cached, though it is another one\n{first}---\n{second}");
        for text in again {
            assert!(run(text), "not cached, though nothing of it matters\n{first}---\n{text}");
        }
    };
    check(
        "FROM busybox\nRUN echo ab c\n",
        "FROM busybox\nRUN echo a bc\n",
        &["FROM  busybox\n# x\nRUN echo ab c\nLABEL a=b\n"],
    );
    check("FROM busybox\nENV A=1\nRUN true a\n", "FROM busybox\nENV A=2\nRUN true a\n", &[]);
    check(
        "FROM busybox\nENV A=b C=d\nRUN true b\n",
        "FROM busybox\nENV A=\"b C=d\"\nRUN true b\n",
        &[],
    );
    check("FROM busybox\nUSER 1\nRUN true c\n", "FROM busybox\nUSER 2\nRUN true c\n", &[]);
    check("FROM busybox\nWORKDIR /a\nRUN true d\n", "FROM busybox\nWORKDIR /b\nRUN true d\n", &[]);
    check(
        "FROM busybox\nSHELL [\"sh\", \"-c\"]\nRUN true e\n",
        "FROM busybox\nSHELL [\"sh\", \"-ec\"]\nRUN true e\n",
        &[],
    );
    check(
        "FROM busybox\nARG GIVEN\nRUN true f\n",
        "FROM busybox\nARG GIVEN\nARG MORE=1\nRUN true f\n",
        &[],
    );
    check("FROM busybox\nRUN <<E\necho x\nE\n", "FROM busybox\nRUN <<E\necho y\nE\n", &[]);
    check("FROM busybox\nRUN --network=none true\n", "FROM busybox\nRUN true\n", &[]);
    check(
        "FROM busybox\nRUN --mount=type=secret,id=t true\n",
        "FROM busybox\nRUN --mount=type=secret,id=u true\n",
        &[],
    );
    check(
        "FROM busybox\nRUN --mount=type=secret,id=t true g\n",
        "FROM busybox\nRUN --mount=type=secret,id=t,mode=0444 true g\n",
        &[],
    );
    check(
        "FROM busybox\nRUN --mount=type=cache,target=/c true\n",
        "FROM busybox\nRUN --mount=type=cache,id=x,target=/c true\n",
        &[],
    );
    check(
        "FROM busybox\nRUN --mount=type=tmpfs,target=/c true\n",
        "FROM busybox\nRUN --mount=type=tmpfs,target=/c,size=1m true\n",
        &[],
    );
    check(
        "FROM busybox\nRUN --mount=source=file,target=/m true\n",
        "FROM busybox\nRUN --mount=source=other,target=/m true\n",
        &[],
    );
    check(
        "FROM busybox AS a\nRUN echo 1 > /f\nFROM busybox\nRUN --mount=from=a,target=/m true h\n",
        "FROM busybox AS a\nRUN echo 2 > /f\nFROM busybox\nRUN --mount=from=a,target=/m true h\n",
        &[],
    );
    check("FROM busybox\nCOPY file /x\n", "FROM busybox\nCOPY --chmod=0600 file /x\n", &[]);
    check(
        "FROM busybox\nCOPY --chmod=0644 file /y\n",
        "FROM busybox\nCOPY --chown=1 --chmod=0644 file /y\n",
        &[],
    );
    check("FROM busybox\nCOPY <<E /h\nab\nE\n", "FROM busybox\nCOPY <<E /h\na\nE\n", &[]);
    check("FROM busybox\nCOPY . /all\n", "FROM busybox\nCOPY --exclude=other . /all\n", &[]);
    check(
        "FROM busybox\nRUN echo 1 > /q\nRUN cat /q\n",
        "FROM busybox\nRUN echo 2 > /q\nRUN cat /q\n",
        &[],
    );
    // Content, ignore rules; a secret's value is none.
    let text = "FROM busybox\nCOPY . /all\n";
    let cached = |text: &str| {
        let outcome = ground.build(text).arg(&secret).run();
        outcome.built();
        outcome.err().contains("CACHED")
    };
    assert!(cached(text));
    place.file("ctx/.dockerignore", "other\n");
    assert!(!cached(text));
    place.file("ctx/file", "two");
    assert!(!cached(text));
    place.file("secret", "other value of the secret");
    assert!(cached("FROM busybox\nRUN --mount=type=secret,id=t true\n"));
    let records = walk(&place.at("store/records"));
    let told = records.iter().filter_map(|path| fs::read(path).ok());
    assert!(
        !told
            .into_iter()
            .any(|bytes| String::from_utf8_lossy(&bytes).contains("value of the secret"))
    );
}

#[test]
fn attack_91_the_config_of_a_base_is_in_the_key() {
    let ground = ground();
    let mut seen = false;
    for (key, value) in [
        ("Env", serde_json::json!(["PATH=/bin", "A=1"])),
        ("Env", serde_json::json!(["PATH=/bin", "A=2"])),
        ("User", serde_json::json!("1")),
        ("WorkingDir", serde_json::json!("/tmp")),
        ("Shell", serde_json::json!(["/bin/busybox", "sh", "-c"])),
    ] {
        let Some(mut base) = Hostile::on_busybox([]) else { return };
        base.config["config"][key] = value.clone();
        base.seal();
        let outcome = ground.build_on(&base, "FROM base\nRUN true\n").run();
        assert!(!outcome.err().contains("CACHED"), "{key} {value}\n{}", outcome.story());
        outcome.built();
        let outcome = ground.build_on(&base, "FROM base\nRUN true\n").run();
        assert!(outcome.err().contains("CACHED"), "{key} {value}\n{}", outcome.story());
        outcome.built();
        seen = true;
    }
    assert!(seen);
}

#[test]
fn attack_92_a_store_that_somebody_has_changed() {
    // Caches of elsewhere cannot be imported yet; what is in the store is checked all the same.
    every_mode(|ground| {
        let text = "FROM busybox\nRUN echo built > /built\nCOPY file /file\n";
        let place = ground.place();
        place.file("ctx/file", "file");
        let good = ground.build(text).run().built();
        let write = |path: &std::path::Path, bytes: &[u8]| {
            let mode = fs::metadata(path).expect("ours").permissions();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("ours");
            fs::write(path, bytes).expect("ours");
            fs::set_permissions(path, mode).expect("ours");
        };
        // Records that are no records, or say what is not so.
        for path in walk(&place.at("store/records")).iter().filter(|path| path.is_file()) {
            write(path, b"{\"key\": \"../../x\", \"result\": {}}");
        }
        let again = ground.build(text).run();
        assert_eq!(again.built().digest, good.digest);
        // A layer that is cut short, or (where it is read again) has other bytes: no image has it. A
        // layout takes the store's own files without reading them, as `docs/store.md` says.
        let layer = good.manifest["layers"][1]["digest"].as_str().expect("a digest").to_owned();
        let blob = place.at("store/blobs/sha256").join(&layer["sha256:".len()..]);
        let kept = fs::read(&blob).expect("the layer");
        let mut other = kept.clone();
        *other.last_mut().expect("bytes") ^= 1;
        let archive = format!("--output=type=oci,dest={}", place.at("archive").display());
        for (bytes, output) in [
            (&kept[..kept.len() - 1], "--output=type=oci,dest=image.oci,tar=false"),
            (&other, archive.as_str()),
        ] {
            fs::remove_file(&blob).expect("ours");
            fs::write(&blob, bytes).expect("ours");
            let mut command = ground.build(text).arg(output).command();
            let done = crate::harness::run(&mut command, std::time::Duration::from_secs(30));
            assert!([6, 70].contains(&done.code()), "exit {}\n{}", done.code(), done.err());
            assert!(done.err().contains(&layer[..20]), "{}", done.err());
            assert!(!place.at("image.oci").exists() && !place.at("archive").exists());
            fs::remove_file(&blob).expect("ours");
            fs::write(&blob, &kept).expect("ours");
        }
        let flag = ground.build(text).arg("--cache-from=type=local,src=/nowhere").run();
        assert_ne!(flag.done.code(), 0, "a flag that does nothing is refused\n{}", flag.story());
    });
}

#[test]
fn attack_93_a_base_steers_nothing() {
    every_mode(|ground| {
        let canary = ground.canary().path().display().to_string();
        let tar = Tar::new().dir("evil").symlink("evil/out", &canary).end();
        let Some(mut base) = Hostile::on_busybox([Layer::tar(&tar)]) else { return };
        base.config["config"] = serde_json::json!({
            "Env": ["PATH=/bin", format!("RBUILD_ROOT={canary}"), format!("DOCKER_CONFIG={canary}"),
                "RBUILD_POLICY=none", "HTTP_PROXY=http://127.0.0.1:9", "LD_PRELOAD=/evil.so", "SOURCE_DATE_EPOCH=1",
                "SSH_AUTH_SOCK=/x", "TMPDIR=/nowhere", "GIT_DIR=/x", "HOME=/evil/out", "RUST_BACKTRACE=1"],
            "WorkingDir": "/evil/out/../../../..",
            "Volumes": {"../../x": {}, "/evil/out": {}, "/": {}},
            "ExposedPorts": {"../x": {}, "99999/tcp": {}},
            "Labels": {"org.opencontainers.image.ref.name": "../../canary/label", "io.containerd.image.name": format!("file://{canary}/x"),
                "containerd.io/restart.loguri": "binary:///bin/sh?x", "rbuild.output": canary},
            "StopSignal": "SIGKILL; touch /x", "Entrypoint": ["/proc/self/exe"],
            "Healthcheck": {"Test": ["CMD-SHELL", format!("touch {canary}/open")]},
        });
        base.config["author"] = serde_json::json!("$(touch /x) \u{1b}[2J");
        base.config["os.version"] = serde_json::json!("../../..");
        base.seal();
        let outcome = ground.build_on(&base, "FROM base\nRUN echo ran > /ran\n").run();
        // It may be refused as what it is; it never leads outside.
        if let Some(image) = outcome.survived() {
            assert_eq!(image.text("ran"), "ran\n");
        }
        assert!(!outcome.err().contains('\x1b'), "{}", outcome.story());
    });
}

#[test]
fn attack_94_values_of_arguments_in_the_history() {
    every_mode(|ground| {
        let text = "FROM busybox\nARG API_TOKEN\nARG PLAIN\nARG HTTP_PROXY\nRUN echo ${#API_TOKEN} ${#HTTP_PROXY}\n\
                    RUN env | grep -c PROXY\n";
        let outcome = ground
            .build(text)
            .arg("--build-arg=API_TOKEN=value-like-a-token")
            .arg("--build-arg=PLAIN=value-of-plain")
            .arg("--build-arg=HTTPS_PROXY=http://user:pass-of-proxy@proxy.example.com")
            .arg("--build-arg=HTTP_PROXY=http://user:pass-of-proxy@proxy.example.com")
            .run();
        let image = outcome.built();
        let said = image.config.to_string() + &image.manifest.to_string();
        assert!(!said.contains("pass-of-proxy"), "{said}");
        assert!(!said.contains("value-like-a-token"), "{said}");
        let records = walk(&ground.place().at("store/records"));
        for path in records {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
            assert!(
                !text.contains("value-like-a-token") && !text.contains("pass-of-proxy"),
                "{}",
                path.display()
            );
        }
    });
}
