//! What can be told without running anything: `--call`, `--check`, `rbuild context`; and the flags
//! that go with it.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Build, Done, Place, Who, run};

const TEXT: &str = "\
FROM scratch AS files
COPY app /app
# shipped the result
FROM scratch AS shipped
ARG VERSION=1
LABEL version=$VERSION
COPY --from=files /app /app
";

fn place() -> Place {
    let place = Place::new(Who::usual());
    place.file("ctx/Dockerfile", TEXT);
    place.file("ctx/.dockerignore", "*.log\n!keep.log\n");
    for name in ["app", "a.log", "keep.log"] {
        place.file(&format!("ctx/{name}"), "x");
    }
    place
}

fn rbuild(place: &Place, arguments: &[&str]) -> Done {
    let mut command = place.who().command(place.program(), &place.at("home"));
    command.args(arguments).current_dir(place.at("ctx"));
    let done = run(&mut command, Duration::from_secs(30));
    assert!(!place.at("home/.cache").exists(), "no store is made");
    assert!(!place.at("ctx/image.oci").exists(), "nothing is written");
    done
}

fn check(arguments: &[&str], code: i32, said: &[&str]) -> Done {
    let done = rbuild(&place(), arguments);
    let text = done.out() + &done.err();
    assert_eq!(done.code(), code, "{arguments:?}\n{text}");
    for words in said {
        assert!(text.contains(words), "{arguments:?} does not say {words}\n{text}");
    }
    done
}

#[test]
fn an_outline_has_what_the_base_asks_for() {
    let place = Place::new(Who::usual());
    let text = "FROM scratch\nONBUILD ARG EXTRA=7\nONBUILD RUN --mount=type=secret,id=tok x\n";
    Build::text(&place, text).run().digest();
    std::fs::rename(place.at("image.oci"), place.at("base")).expect("it was written");
    let named = format!("--build-context=base=oci-layout://{}:latest", place.at("base").display());
    let nowhere = place.at("nowhere");
    for store in [place.at("store"), nowhere.clone()] {
        let build = Build::text(&place, "FROM base\nARG OWN\n").arg(&named).store(store);
        let done = build.arg("--call=outline").run().done;
        assert_eq!(done.code(), 0, "{}", done.err());
        for words in ["OWN", "EXTRA       7", "tok"] {
            assert!(done.out().contains(words), "{words}\n{}", done.out());
        }
    }
    assert!(!nowhere.exists(), "no store is made");
}

#[test]
fn calls_need_neither_a_store_nor_a_namespace() {
    check(&["--check", "."], 1, &["final-user-root"]);
    check(&["--check", "--policy=none", "--build-arg=VERSON=2", "."], 0, &["build-arg-unused"]);
    check(&["--call=check", "--target=shiped", "."], 2, &["did you mean `shipped`?"]);
    check(&["lint", "--target=shiped", "."], 2, &["did you mean `shipped`?"]);
    check(&["--call=outline", "--build-arg=VERSION=7", "."], 0, &["VERSION     7"]);
    check(&["--call=targets", "."], 0, &["shipped (default)", "the result"]);
    check(&["--call=plan", "."], 0, &["2 stages, 2 steps"]);
    check(&["--call=plan", "--format=dot", "."], 0, &["digraph plan {"]);
    check(&["--call=outline", "--format=dot", "."], 2, &["--call plan"]);
    for call in ["check", "outline", "targets", "plan"] {
        let call = format!("--call={call}");
        let done = check(&[&call, "--format=json", "--fail-on=never", "."], 0, &[]);
        let answer: Value = serde_json::from_slice(&done.stdout).expect("JSON on stdout");
        assert_eq!(answer["version"], 1, "{call}");
    }
}

#[test]
fn a_context_is_listed_and_explained() {
    let done = check(&["context", "ls"], 0, &[]);
    assert_eq!(done.out(), ".dockerignore\nDockerfile\napp\nkeep.log\n");
    check(&["context", "ls", "--sizes"], 0, &["      1 B  app", "in all"]);
    check(&["context", "why", "a.log"], 0, &["a.log: out: .dockerignore:1: *.log\n"]);
    check(&["context", "why", "keep.log"], 0, &["keep.log: in: .dockerignore:2: !keep.log\n"]);
    check(&["context", "why", "app"], 0, &["app: in: no rule matches\n"]);
    check(&["context", "ls", "nowhere"], 2, &["nowhere"]);
}

#[test]
fn a_file_of_build_arguments() {
    let place = place();
    place.file("args", "# versions\nVERSION=2\n");
    let build = Build::text(&place, TEXT).arg("--build-arg-file=args");
    let (_, image) = build.image();
    assert_eq!(image.config["config"]["Labels"]["version"], "2");
    let (_, image) = build.arg("--build-arg=VERSION=3").image();
    assert_eq!(image.config["config"]["Labels"]["version"], "3");
}

#[test]
fn a_stage_without_cache() {
    let place = place();
    let (_, first) = Build::text(&place, TEXT).image();
    let build = Build::text(&place, TEXT).arg("--no-cache-filter=SHIPPED");
    let (outcome, again) = build.image();
    assert_eq!(first.digest, again.digest);
    outcome.says(&["[files 1/1] CACHED", "[shipped 1/1] miss: --no-cache-filter"]);
    let outcome = Build::text(&place, TEXT).arg("--no-cache-filter=fils").run();
    assert_eq!(outcome.done.code(), 2, "{}", outcome.story());
    outcome.says(&["there is no stage `fils`", "did you mean `files`?"]);
}

#[test]
fn a_plan_tells_what_the_store_has() {
    const STEPS: &str = "FROM busybox AS build\nWORKDIR /w\nCOPY app .\nRUN cat app > made\n\
        FROM scratch\nCOPY --from=build /w/made /\nCOPY <<x /text\ny\nx\n";
    for who in Who::every() {
        let place = Place::new(who);
        place.file("ctx/app", "x");
        let plan = |flag: &str| {
            let done = Build::text(&place, STEPS).arg("--call=plan").arg(flag).run().done;
            assert_eq!(done.code(), 0, "{}", done.err());
            done.out()
        };
        let count = |text: &str, word: &str| text.matches(word).count();
        let before = plan("--format=text");
        assert_eq!((count(&before, " hit "), count(&before, " miss ")), (0, 1), "{before}");
        assert!(!place.at("image.oci").exists(), "nothing ran");
        let (_, first) = Build::text(&place, STEPS).image();
        let after = plan("--format=text");
        assert_eq!((count(&after, " hit "), count(&after, " miss ")), (5, 0), "{after}");
        // A key that was foreseen is the key that the build then looked for.
        let (outcome, again) = Build::text(&place, STEPS).image();
        assert_eq!((first.digest, count(&outcome.err(), "CACHED")), (again.digest, 5));

        place.file("ctx/app", "y");
        let changed = plan("--format=text");
        assert!(changed.contains(": changed: app\n"), "{changed}");
        assert!(changed.contains("no key yet: the step before it would run"), "{changed}");
        assert!(changed.contains("no key yet: a stage that it reads would be built"), "{changed}");
        let json: Value = serde_json::from_str(&plan("--format=json")).expect("JSON");
        let states: Vec<_> = json["steps"]
            .as_array()
            .expect("steps")
            .iter()
            .map(|step| &step["cache"]["state"])
            .collect();
        assert_eq!(states, ["hit", "miss", "unknown", "unknown", "unknown"], "as {who:?}");
        assert_eq!(plan("--no-cache").matches(": --no-cache\n").count(), 1);
    }
}
