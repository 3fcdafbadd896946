//! The main job on the real thing: a Debian from a registry, `apt-get install` in a step, and
//! other engines that take the result.

use serde_json::Value;

use crate::harness::{
    Build, Engine, Place, Registry, Who, debian, have, is_root, measured, podman, skip,
    skopeo_copy, skopeo_inspect, umoci_unpack,
};

/// A build stage that installs, and a final stage on this base that gets the results.
fn dockerfile(debian: &str, last: &str) -> String {
    format!(
        "FROM {debian} AS build\n\
         RUN apt-get update && apt-get install -y --no-install-recommends python3-minimal\n\
         WORKDIR /work\n\
         COPY answer.py .\n\
         RUN python3 answer.py > answer\n\
         FROM {last}\n\
         COPY --from=build --chown=10001:10001 /work/answer /app/answer\n\
         USER 10001\n\
         CMD [\"cat\", \"/app/answer\"]\n"
    )
}

/// Proxies that this machine needs, as Docker takes them.
fn proxies(mut build: Build<'_>) -> Build<'_> {
    for name in ["http_proxy", "https_proxy", "no_proxy"] {
        if let Ok(value) = std::env::var(name) {
            build = build.arg(format!("--build-arg={name}={value}"));
        }
    }
    build
}

#[test]
fn a_debian_with_apt_get_builds_and_others_accept_it() {
    if !have(&["docker-registry", "skopeo", "umoci", "podman"]) {
        return;
    }
    let Some(layout) = debian() else { return };
    let registry = Registry::start();
    registry.push(&layout, "debian:bookworm-slim");
    let name = format!("{}/debian:bookworm-slim", registry.host());

    let place = Place::new(Who::usual());
    place.file("ctx/answer.py", "print('the answer is', 6 * 7)\n");
    let build = proxies(Build::text(&place, &dockerfile(&name, &name))).limit(600);
    let (outcome, image) = build.image();
    measured(&format!("debian with apt-get: {:?}", outcome.done.wall));
    assert_eq!(image.text("app/answer"), "the answer is 42\n");
    assert_eq!(image.tree["app/answer"].owner, (10001, 10001));
    assert_eq!(image.config["config"]["User"], "10001");
    assert!(!image.tree.keys().any(|path| path.starts_with("usr/bin/python3")), "it stays behind");

    let oci = format!("oci:{}", outcome.result.display());
    assert_eq!(skopeo_inspect(&oci)["Digest"], image.digest);
    let bundle = umoci_unpack(&outcome.result);
    let answer = std::fs::read_to_string(bundle.at("bundle/rootfs/app/answer"));
    assert_eq!(answer.expect("it is there"), "the answer is 42\n");
    let id = podman(&outcome.result);
    assert_eq!(image.manifest["config"]["digest"], format!("sha256:{id}"));

    // The same again runs nothing.
    let (again, second) = proxies(Build::of(&place)).image();
    assert_eq!(second.digest, image.digest);
    assert!(!again.err().contains("miss:"), "{}", again.story());
    // Pinned, and with another final base, it passes the default profile, whose steps get less.
    let pinned = format!("{name}@{}", registry.digest("debian:bookworm-slim"));
    let hardened = Build::text(&place, &dockerfile(&pinned, "busybox")).policy(None);
    let (_, small) = proxies(hardened).limit(600).image();
    assert_eq!(small.text("app/answer"), "the answer is 42\n");
}

#[test]
fn an_engine_pulls_and_runs_what_was_built() {
    if !have(&["docker-registry", "skopeo", "dockerd", "docker"]) {
        return;
    }
    if !is_root() {
        return skip("only root can start an engine");
    }
    let registry = Registry::start();
    let engine = Engine::start();
    for who in Who::every() {
        let place = Place::new(who);
        place.file("ctx/greeting", "hello from a step\n");
        let text = "FROM busybox AS build\nCOPY greeting /in\nRUN tr a-z A-Z < /in > /out\n\
                    FROM busybox\nRUN mkdir /gone && echo x > /gone/x\nRUN rm -r /gone && ln /bin/busybox /bin/again\n\
                    COPY --from=build /out /greeting\nENV WORD=word\nWORKDIR /tmp\nUSER 10001:10002\n\
                    ENTRYPOINT [\"sh\", \"-c\"]\n\
                    CMD [\"cat /greeting; id -u; id -g; pwd; echo $WORD; ls -d /gone; stat -c %h /bin/again\"]\n";
        let (outcome, image) = Build::text(&place, text).image();
        let name = format!("{}/app:{who:?}", registry.host()).to_lowercase();
        let from = format!("oci:{}", outcome.result.display());
        skopeo_copy(&["--dest-tls-verify=false"], &from, &format!("docker://{name}"));

        let pull = engine.docker(&["pull", &name]);
        assert!(pull.status.success(), "{}", pull.err());
        assert!(pull.out().contains(&image.digest), "the digest arrives: {}", pull.out());
        let run = engine.docker(&["run", "--rm", "--network=none", &name]);
        assert_eq!(run.out(), "HELLO FROM A STEP\n10001\n10002\n/tmp\nword\n2\n", "{}", run.err());
        let seen = engine.docker(&["image", "inspect", &name]);
        let seen: Value = serde_json::from_slice(&seen.stdout).expect("docker writes JSON");
        assert_eq!(seen[0]["RootFS"]["Layers"], image.config["rootfs"]["diff_ids"]);
    }
}
