//! Images to a real registry with a login: everything once, nothing twice, and an engine that pulls
//! by digest runs what was built.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::harness::{
    Build, Done, Engine, PASSWORD, Place, Registry, Who, have, is_root, run, skip,
};

/// `rbuild push` of the place's result.
fn push(place: &Place, arguments: &[&str]) -> Done {
    let mut push = place.who().command(place.program(), &place.at("home"));
    push.args(["push", "--progress=plain", "--root"]).arg(place.at("store"));
    push.arg(place.at("image.oci")).args(arguments).current_dir(place.path());
    run(&mut push, Duration::from_secs(60))
}

/// How many blobs were sent: each ends with a PUT of its upload, or comes in one POST.
fn sent(requests: &[String]) -> usize {
    let is_upload = |request: &&String| request.contains("/blobs/uploads/");
    requests.iter().filter(is_upload).filter(|request| request.ends_with(" 201")).count()
}

#[test]
fn a_second_push_sends_no_blob_and_an_engine_pulls_by_digest() {
    if !have(&["docker-registry", "skopeo"]) {
        return;
    }
    let registry = Registry::with_login(true);
    let host = registry.host();
    let place = Place::new(Who::usual());
    let file = |password: &str| {
        let login = format!("{{\"username\": \"tester\", \"password\": \"{password}\"}}");
        let text = format!("{{\"auths\": {{\"{host}\": {login}}}}}");
        let path = place.file("auth.json", text);
        format!("--authfile={}", path.display())
    };
    let text =
        "FROM busybox\nRUN echo pushed > /word\nUSER 10001:10001\nCMD [\"cat\", \"/word\"]\n";
    let (_, image) = Build::text(&place, text).image();
    let layers = image.manifest["layers"].as_array().expect("layers").len();

    // Without the password, and with a wrong one: nothing arrives.
    let (one, two) = (format!("{host}/app:1"), format!("{host}/app:2"));
    for arguments in [vec![one.as_str()], vec![one.as_str(), &file("wrong")]] {
        let done = push(&place, &arguments);
        assert_eq!(done.code(), 5, "{}", done.err());
        assert!(done.err().contains(host), "{}", done.err());
    }
    assert_eq!(sent(&registry.requests()), 0);

    let login = file(PASSWORD);
    let first = push(&place, &[&one, &login]);
    assert_eq!(first.code(), 0, "{}", first.err());
    assert!(first.out().contains(&image.digest), "{}", first.out());
    assert!(!first.err().contains(PASSWORD), "{}", first.err());
    let after_first = registry.requests();
    assert_eq!(sent(&after_first), layers + 1, "the layers and the config: {after_first:#?}");

    // The same image again, under two names: no upload is even begun.
    let second = push(&place, &[&one, &two, &login]);
    assert_eq!(second.code(), 0, "{}", second.err());
    let requests = &registry.requests()[after_first.len()..];
    assert!(!requests.is_empty(), "the access log is the judge");
    let uploads: Vec<_> = requests.iter().filter(|it| it.contains("/blobs/uploads/")).collect();
    assert!(uploads.is_empty(), "{uploads:#?}");

    // A build that pushes sends what is new: the layer, the config; the base is there.
    let before = registry.requests().len();
    let text = text.replace("pushed", "built");
    let built = Build::text(&place, &text).arg("--push").arg(format!("--tag={two}")).arg(&login);
    let digest = built.run().digest();
    assert_ne!(digest, image.digest);
    let requests = &registry.requests()[before..];
    assert_eq!(sent(requests), 2, "{requests:#?}");

    if !have(&["dockerd", "docker"]) {
        return;
    }
    if !is_root() {
        return skip("only root can start an engine");
    }
    let engine = Engine::start();
    let login = engine.docker(&["login", "--username=tester", "--password", PASSWORD, host]);
    assert!(login.status.success(), "{}", login.err());
    for (digest, want) in [(&image.digest, "pushed\n"), (&digest, "built\n")] {
        let name = format!("{host}/app@{digest}");
        let pull = engine.docker(&["pull", &name]);
        assert!(pull.status.success(), "{}", pull.err());
        let run = engine.docker(&["run", "--rm", "--network=none", &name]);
        assert_eq!(run.out(), want, "{}", run.err());
    }
    // Both names of the second push stood for one digest; the build moved one of them.
    let pull = engine.docker(&["pull", &one]);
    assert!(pull.out().contains(&image.digest), "{}", pull.out());
    let pull = engine.docker(&["pull", &two]);
    assert!(pull.out().contains(&digest), "{}", pull.out());
}

#[test]
fn logins_of_variables_files_and_helpers() {
    if !have(&["docker-registry", "skopeo"]) {
        return;
    }
    let registry = Registry::with_login(true);
    let host = registry.host();
    let place = Place::new(Who::usual());
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let variable = format!("RBUILD_AUTH_{}", host.chars().map(letter).collect::<String>());
    let file = |name: &str, user: &str, password: &str| {
        let login = format!("{{\"username\": \"{user}\", \"password\": \"{password}\"}}");
        let path = place.file(name, format!("{{\"auths\": {{\"{host}\": {login}}}}}"));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
        path
    };
    let wrong = file("wrong.json", "tester", "wrong");
    let good = file("good.json", "tester", PASSWORD);
    file("run/containers/auth.json", "tester", PASSWORD);
    file("docker/config.json", "tester", PASSWORD);
    let content = fs::read_to_string(&good).expect("it was written");
    let helper = place.file(
        "bin/docker-credential-tests",
        format!(
            "#!/bin/sh\nread -r host; [ \"$host\" = \"{host}\" ] && [ \"$HOME\" ] || exit 1\n\
             echo '{{\"Username\": \"tester\", \"Secret\": \"{PASSWORD}\"}}'\n"
        ),
    );
    fs::set_permissions(helper, Permissions::from_mode(0o755)).expect("it is ours");
    place.file("helped/config.json", format!("{{\"credHelpers\": {{\"{host}\": \"tests\"}}}}"));
    place.file("stored/config.json", "{\"credsStore\": \"tests\"}");
    let path = format!("{}:/usr/bin:/bin", place.at("bin").display());
    let at = |name: &str| place.at(name).display().to_string();
    let check = |variables: &[(&str, String)], code: i32| {
        let build = Build::text(&place, "FROM scratch\nCOPY <<x /x\ny\nx\n");
        let mut command = build.arg("--push").arg(format!("--tag={host}/app:1")).command();
        command.env("PATH", &path);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let done = run(&mut command, Duration::from_secs(60));
        assert_eq!(done.code(), code, "{variables:?}\n{}", done.err());
        assert!(!done.err().contains(PASSWORD), "{}", done.err());
    };
    let wrong = ("REGISTRY_AUTH_FILE", wrong.display().to_string());
    check(&[], 5);
    check(std::slice::from_ref(&wrong), 5);
    // An earlier place goes before a later one, whichever is right.
    check(&[(&variable, format!("tester:{PASSWORD}")), wrong.clone()], 0);
    check(&[(&variable, "tester:wrong".into()), ("REGISTRY_AUTH_FILE", at("good.json"))], 5);
    check(&[("REGISTRY_AUTH_FILE", at("good.json")), ("DOCKER_CONFIG", at("nowhere"))], 0);
    check(&[wrong, ("XDG_RUNTIME_DIR", at("run"))], 5);
    check(&[("XDG_RUNTIME_DIR", at("run"))], 0);
    check(&[("DOCKER_AUTH_CONFIG", content)], 0);
    check(&[("DOCKER_CONFIG", at("docker"))], 0);
    check(&[("DOCKER_CONFIG", at("helped"))], 0);
    check(&[("DOCKER_CONFIG", at("stored"))], 0);
}
