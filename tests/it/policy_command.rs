//! `rbuild policy`, files of other tools, and rules in Rego, from the command line.

use std::fs;
use std::time::Duration;

use crate::harness::{Build, Done, Place, Registry, Who, busybox, have, run};

fn rbuild(place: &Place, arguments: &[&str]) -> Done {
    let mut command = place.who().command(place.program(), &place.at("home"));
    command.args(arguments).current_dir(place.path());
    run(&mut command, Duration::from_secs(60))
}

fn check(place: &Place, arguments: &[&str], code: i32, said: &[&str], unsaid: &[&str]) -> String {
    let done = rbuild(place, arguments);
    let text = done.out() + &done.err();
    assert_eq!(done.code(), code, "{arguments:?}\n{text}");
    for words in said {
        assert!(text.contains(words), "{arguments:?}: not said: {words}\n{text}");
    }
    for words in unsaid {
        assert!(!text.contains(words), "{arguments:?}: said: {words}\n{text}");
    }
    text
}

// A folder that is the root of a repository: nothing above it is read.
fn place() -> Place {
    let place = Place::new(Who::usual());
    place.file(".git/HEAD", "ref: refs/heads/main\n");
    place
}

#[test]
fn init_writes_a_file_and_never_over_one() {
    let place = place();
    check(&place, &["policy", "init"], 0, &[".rbuild/policy.toml"], &[]);
    let first = fs::read_to_string(place.at(".rbuild/policy.toml")).unwrap();
    check(
        &place,
        &["policy", "show"],
        0,
        &[".rbuild/policy.toml (sha256:", "inline = justify"],
        &[],
    );
    fs::write(place.at(".rbuild/policy.toml"), first.clone() + "# mine\n").unwrap();
    check(&place, &["policy", "init"], 2, &["nothing is overwritten"], &[]);
    assert!(fs::read_to_string(place.at(".rbuild/policy.toml")).unwrap().ends_with("# mine\n"));
    fs::remove_dir_all(place.at(".rbuild")).unwrap();
    place.file("rbuild.toml", "[policy]\ninline = \"deny\"\n");
    check(&place, &["policy", "show"], 0, &["rbuild.toml (sha256:", "inline = deny"], &[]);
    check(&place, &["policy", "init", "org.toml", "--policy", "baseline"], 0, &[], &[]);
    check(&place, &["policy", "show", "--policy", "org.toml"], 0, &["inline = allow"], &[]);
    check(&place, &["policy", "init", "x.toml", "--policy", "basline"], 2, &["baseline"], &[]);
}

#[test]
fn files_of_other_tools_are_read_where_there_is_no_policy() {
    let place = place();
    place.file("app/Dockerfile", "FROM debian:latest\nRUN true\n");
    place.file(".hadolint.yaml", "ignored: [DL3007, DL9999]\n");
    place.file("app/.dockleignore", "CIS-DI-0001\n");
    let lint = ["lint", "--offline", "app"];
    let note = "note: there is no policy file: read .dockleignore, .hadolint.yaml";
    let unsaid = &["base-tag-latest", "final-user-root"];
    check(&place, &lint, 1, &[note, "policy hardened with .dockleignore, .hadolint.yaml"], unsaid);
    check(
        &place,
        &["policy", "show", "app"],
        0,
        &["off    base-tag-latest", ".hadolint.yaml"],
        &[],
    );
    // What it is imported to says the same, and then the others are not read.
    let text = check(
        &place,
        &["policy", "import", "app"],
        0,
        &["base-tag-latest = \"off\"", "final-user-root = \"off\"", "`DL9999`: no rule"],
        &[],
    );
    assert!(text.starts_with("version = 1\n"), "{text}");
    check(&place, &["policy", "import", "app", "--to", ".rbuild/policy.toml"], 0, &[], &[]);
    check(
        &place,
        &["policy", "import", "app", "--to", ".rbuild/policy.toml"],
        2,
        &["overwritten"],
        &[],
    );
    check(
        &place,
        &lint,
        1,
        &["policy.toml"],
        &["base-tag-latest", "final-user-root", "note: there is no"],
    );
    // Who names a policy gets that.
    let named = ["lint", "--offline", "--policy", "hardened", "app"];
    check(&place, &named, 1, &["base-tag-latest", "final-user-root"], &["note: there is no"]);
    fs::remove_dir_all(place.at(".rbuild")).unwrap();
    place.file(".hadolint.yaml", "ignored: [\n");
    check(&place, &lint, 2, &[".hadolint.yaml", "line 1"], &[]);
    check(&place, &["policy", "import", "app/Dockerfile"], 2, &[".trivyignore"], &[]);
}

#[test]
fn cases_are_judged_by_the_policy() {
    let place = place();
    place.file("cases/root/Dockerfile", "FROM scratch\nCOPY a /a\n");
    place.file(
        "cases/root/case.json",
        "{\"rule\": \"final-user-root\", \"context\": {\"a\": \"x\"}}",
    );
    place.file(
        "cases/root/expected.json",
        "{\"findings\": [{\"rule\": \"final-user-root\", \"line\": 1}]}",
    );
    place.file(
        "cases/more.toml",
        "[[case]]\nname = \"tags\"\nrule = \"DL3007\"\ndockerfile = \"FROM debian:latest\\n\"\n\
         expect = [{ rule = \"base-tag-latest\", line = 1 }]\n\
         [[case]]\nname = \"argument\"\nrule = \"base-tag-latest\"\nargs = [\"--build-arg\", \"V=12\"]\n\
         dockerfile = \"ARG V=latest\\nFROM debian:$V\\n\"\nexpect = []\n",
    );
    check(&place, &["policy", "test", "cases"], 0, &["3 of 3 cases as expected"], &[]);
    check(
        &place,
        &["policy", "test", "cases", "-k", "tags", "-v"],
        0,
        &["ok      tags", "1 of 1 case "],
        &[],
    );
    // The policy that is in force decides.
    place.file(
        "mine.toml",
        "[rules]\nbase-tag-latest = \"off\"\n[rules.final-user-root]\nabsent = \"off\"\n",
    );
    let text = check(
        &place,
        &["policy", "test", "cases", "--policy", "mine.toml"],
        1,
        &["wrong   root", "missing: final-user-root in line 1", "2 of 3 cases"],
        &[],
    );
    assert!(!text.contains("wrong   tags"), "`rule` looks at a rule that is off, too: {text}");
    check(&place, &["policy", "test", "cases", "--format", "json"], 0, &["\"right\": 3"], &[]);
    place.file("bad.toml", "[[case]]\nname = \"x\"\ndockerfle = \"\"\nexpect = []\n");
    check(&place, &["policy", "test", "bad.toml"], 2, &["dockerfle", "dockerfile"], &[]);
    check(&place, &["policy", "test", "app"], 2, &[], &[]);
}

const SUID: &str = r#"{"path": "/bin/a", "type": "file", "mode": "4755", "content": "x"}"#;

#[test]
fn cases_about_images_are_audited() {
    let place = place();
    let image = format!(
        "{{\"config\": {{\"User\": \"10001\"}}, \
         \"layers\": [{{\"created_by\": \"RUN x\", \"entries\": [{SUID}]}}]}}"
    );
    place.file("cases/suid/image.json", image);
    place.file("cases/suid/case.json", "{\"rule\": \"setuid-file\"}");
    let expected =
        "{\"findings\": [{\"rule\": \"setuid-file\", \"path\": \"/bin/a\", \"layer\": 0}]}";
    place.file("cases/suid/expected.json", expected);
    place.file(
        "cases/more.toml",
        "[[case]]\nname = \"changed\"\nrule = \"digest-mismatch\"\n\
         expect = [{ rule = \"digest-mismatch\", layer = 0 }]\n\
         [case.image]\ntamper = { layer = 0 }\n\
         [[case.image.layers]]\nentries = [{ path = \"a\", type = \"file\", content = \"x\" }]\n\
         [[case]]\nname = \"secret\"\nrule = \"build-secret-leaked\"\n\
         expect = [{ rule = \"build-secret-leaked\", path = \"/etc/a\" }]\n\
         [case.image]\nsecrets = { t = \"S3cr3t-Value-0123456789\" }\n\
         [[case.image.layers]]\nentries = [{ path = \"etc/a\", type = \"file\", \
         content = \"token=S3cr3t-Value-0123456789\" }]\n",
    );
    check(&place, &["policy", "test", "cases"], 0, &["3 of 3 cases as expected\n"], &["skipped"]);
    let json = check(&place, &["policy", "test", "cases", "--format", "json"], 0, &[], &[]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["right"], &json["skipped"]), (&3.into(), &0.into()), "{json}");
    assert!(json["cases"].as_array().unwrap().iter().all(|case| case["kind"] == "image"));
    // What is not as expected is told, and the policy in force decides.
    place.file("cases/suid/expected.json", "{\"findings\": []}");
    let wrong = ["wrong   suid", "unexpected: setuid-file at /bin/a of layer 0", "2 of 3"];
    check(&place, &["policy", "test", "cases"], 1, &wrong, &[]);
    let tap = check(&place, &["policy", "test", "cases", "--format", "tap"], 1, &[], &[]);
    assert!(tap.starts_with("TAP version 14\n1..3\n"), "{tap}");
    assert!(tap.contains(" - suid\n  ---\n") && tap.contains("ok 1 - changed\n"), "{tap}");
    place.file(
        "bad.toml",
        "[[case]]\nname = \"x\"\nexpect = []\nimage = { layers = [{ entris = [] }] }\n",
    );
    check(&place, &["policy", "test", "bad.toml"], 2, &["entris", "entries"], &[]);
}

#[test]
fn cases_about_steps_are_built_where_their_base_is_given() {
    let place = place();
    let Some(busybox) = busybox(&place.at("busybox")) else { return };
    let case = |name: &str, run: &str, expect: &str| {
        format!(
            "[[case]]\nname = \"{name}\"\nbuild = true\nrule = \"exec-from-scratch-dir\"\n\
             policy = \"[rules]\\nexec-from-scratch-dir = \\\"warn\\\"\"\n\
             dockerfile = \"FROM busybox\\nRUN {run}\\n\"\nexpect = [{expect}]\n"
        )
    };
    let found = "{ rule = \"exec-from-scratch-dir\", line = 2 }";
    let bad = "echo true > /tmp/x && chmod +x /tmp/x && /tmp/x";
    place.file("steps.toml", case("runs", bad, found) + &case("does not", "/bin/true", ""));
    let test = ["policy", "test", "steps.toml", "--root", "store"];
    let skipped = [
        "skipped runs: its base `busybox` is not given: --build-context busybox=SOURCE",
        "0 of 0 cases as expected, 2 skipped",
        "no case could be judged here",
    ];
    check(&place, &test, 2, &skipped, &[]);
    let strict = [&test[..], &["--no-skip"]].concat();
    check(&place, &strict, 1, &skipped[..2], &[]);
    let base = format!("busybox=oci-layout://{}:latest", busybox.display());
    let built = [&strict[..], &["--build-context", &base]].concat();
    check(&place, &built, 0, &["2 of 2 cases as expected\n"], &[]);
    // A case that does not come out is told, and so is a build that fails.
    place.file("steps.toml", case("wrong", "/bin/true", found) + &case("ends", "exit 3", ""));
    let said = ["missing: exec-from-scratch-dir in line 2", "failed  ends", "exit code 4"];
    check(&place, &built, 1, &said, &[]);
}

#[test]
fn an_exception_covers_so_many_in_one_run() {
    let place = place();
    let exception = |scope: &str, rule: &str| {
        format!(
            "[[exceptions]]\nrules = [\"{rule}\"]\n{scope}\nreason = \"r\"\nowner = \"o\"\n\
             expires = 9999-12-31\n"
        )
    };
    place.file("org.toml", exception("files = [\"**\"]\nmax = 1", "base-tag-latest"));
    for name in ["a/Dockerfile", "b/Dockerfile"] {
        place.file(name, "FROM debian:latest\n");
    }
    let lint = ["lint", "--only", "base-tag-latest", "--policy", "org.toml", "a/Dockerfile"];
    check(&place, &lint, 0, &["1 suppressed"], &["error["]);
    let told = ["covers at most 1 of these, and there are 2"];
    check(&place, &[&lint[..], &["b/Dockerfile"]].concat(), 1, &told, &[]);
    // An image has the names that whoever asks gives it, not those that stand in it.
    let Some(layout) = busybox(&place.at("layout")) else { return };
    place.file("org.toml", exception("images = [\"**/init:*\"]", "final-user-root"));
    let layout = format!("oci:{}:latest", layout.display());
    let audit = ["audit", "--only", "final-user-root", "--policy", "org.toml", &layout];
    check(&place, &audit, 1, &["error[final-user-root]"], &[]);
    let named = |name| [&audit[..], &["--tag", name]].concat();
    check(&place, &named("registry.corp.example/init:1"), 0, &["1 suppressed"], &["error["]);
    check(&place, &named("registry.corp.example/app:1"), 1, &["error[final-user-root]"], &[]);
    let two = [&named("a")[..], &[&layout]].concat();
    check(&place, &two, 2, &["--tag names one image"], &[]);
}

#[test]
fn a_policy_is_extended_from_a_registry() {
    if !have(&["docker-registry"]) {
        return;
    }
    let (place, registry) = (place(), Registry::start());
    let text = b"extends = \"none\"\n[rules]\nbase-tag-latest = \"error\"\n";
    let (digest, file) = registry.hold("corp/policy", "application/toml", text);
    let name = format!("oci:{}/corp/policy", registry.host());
    let extends = |what: &str| place.file("org.toml", format!("extends = \"{what}\"\n"));
    extends(&format!("{name}@{digest}"));
    place.file("Dockerfile", "FROM debian:latest\n");
    let lint = |more: &[&'static str]| {
        [&["lint", "--policy", "org.toml", "Dockerfile"][..], more].concat()
    };
    check(&place, &lint(&["--offline", "--root", "s"]), 5, &["offline", "which it extends"], &[]);
    check(&place, &lint(&["--root", "s"]), 1, &["error[base-tag-latest]", "1 error"], &["user"]);
    // What the store has is not asked for again.
    let asked = registry.requests().len();
    check(&place, &lint(&["--root", "s", "--offline"]), 1, &["error[base-tag-latest]"], &[]);
    assert_eq!(registry.requests().len(), asked);
    // A build goes on to its namespaces after it.
    let steps = Build::text(&place, "FROM busybox\nRUN true\n").policy(Some("org.toml"));
    let outcome = steps.store(place.at("fresh")).run();
    assert_eq!(outcome.done.code(), 0, "{}", outcome.err());

    place.file("Dockerfile", "FROM debian:latest\n");
    registry.falsify(&file);
    check(&place, &lint(&["--root", "t"]), 6, &["which it extends"], &[]);
    extends(&format!("{name}@sha256:{}", "0".repeat(64)));
    check(&place, &lint(&["--root", "s"]), 5, &["which it extends"], &[]);
    extends(&format!("{name}:1"));
    let unpinned = ["it is not named by its digest", "oci:NAME@sha256:"];
    check(&place, &lint(&["--root", "s"]), 2, &unpinned, &[]);
    // What is large is no policy.
    let (large, _) = registry.hold("corp/large", "application/toml", &vec![b'#'; (1 << 20) + 1]);
    extends(&format!("oci:{}/corp/large@{large}", registry.host()));
    check(&place, &lint(&["--root", "s"]), 5, &["larger than 1048576 bytes"], &[]);
}

const GO: &str = "# METADATA\n# title: Go services need -trimpath\n# custom:\n#   id: corp/go-trimpath\n\
    #   severity: error\n#   help: Add -trimpath.\npackage corp.go_trimpath\nimport rego.v1\n\
    deny contains finding if {\n  some stage in input.dockerfile.stages\n  some ins in stage.instructions\n\
    \x20 ins.kind == \"run\"\n  some cmd in ins.commands\n  cmd.name == \"go\"\n  cmd.argv[1] == \"build\"\n\
    \x20 not \"-trimpath\" in cmd.argv\n  finding := {\"msg\": \"go build without -trimpath\", \"span\": cmd.span}\n}\n";

fn custom(place: &Place, rego: &str) {
    place.file(".rbuild/rules/a.rego", rego);
    place.file(".rbuild/policy.toml", "[custom]\nrego = [\"rules/*.rego\"]\n");
}

const FILE: &str =
    "FROM golang:1.24 AS build\nRUN cd /src && \\\n    go build -o /app .\nFROM scratch\n";

#[cfg(feature = "rego")]
#[test]
fn rules_in_rego_find_at_a_line() {
    let place = place();
    custom(&place, GO);
    place.file("Dockerfile", FILE);
    let only = ["lint", "--offline", "--only", "corp/go-trimpath", "Dockerfile"];
    check(
        &place,
        &only,
        1,
        &[
            "error[corp/go-trimpath]: go build without -trimpath",
            "Dockerfile:3:5",
            "Go services need",
            "Add -trimpath",
        ],
        &[],
    );
    let json = check(&place, &[&only[..], &["--format", "json"]].concat(), 1, &[], &[]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["findings"][0]["span"]["line"], 3);
    assert_eq!(json["findings"][0]["instruction"]["line"], 2);
    let sarif = check(&place, &[&only[..], &["--format", "sarif"]].concat(), 1, &[], &[]);
    let sarif: serde_json::Value = serde_json::from_str(&sarif).unwrap();
    let index = sarif["runs"][0]["results"][0]["ruleIndex"].as_u64().unwrap() as usize;
    assert_eq!(sarif["runs"][0]["tool"]["driver"]["rules"][index]["id"], "corp/go-trimpath");
    // It has a level, comments cover it, and so do exceptions, as with rules of ours.
    check(
        &place,
        &[&only[..], &["--set", "rules.corp/go-trimpath=warn"]].concat(),
        0,
        &["warning[corp/go"],
        &[],
    );
    place.file(
        "Dockerfile",
        FILE.replace("RUN", "# rbuild: allow corp/go-trimpath -- debug build\nRUN"),
    );
    check(&place, &only, 0, &["1 suppressed"], &["error["]);
    check(
        &place,
        &["policy", "explain", "corp/go-trimpath"],
        0,
        &["Go services need", "a.rego"],
        &[],
    );
    check(&place, &["lint", "--skip", "corp/go-trimpth", "Dockerfile"], 2, &["go-trimpth"], &[]);
}

#[cfg(feature = "rego")]
#[test]
fn rules_in_rego_have_limits() {
    let place = place();
    place.file("Dockerfile", "FROM scratch\n");
    let head = "# METADATA\n# custom:\n#   id: corp/a\npackage corp.a\nimport rego.v1\n";
    let only = ["lint", "--offline", "--only", "corp/a", "Dockerfile"];
    let ran = |rego: &str, said: &[&str]| {
        custom(&place, &format!("{head}{rego}"));
        check(&place, &only, 1, &[&["error[custom-rule-failed]"], said].concat(), &[]);
    };
    ran(
        "n := numbers.range(1, 3000)\ndeny contains x if { some a in n; some b in n; some c in n; a + b + c == -1; x := a }\n",
        &["more than 2 s of CPU"],
    );
    ran("deny contains count(x) if { x := numbers.range(1, 100000000) }\n", &["memory"]);
    ran("deny contains x if { x := http.send({}) }\n", &["http.send"]);
    // What cannot be read is wrong use. One that says nothing is no finding; one that is off does not
    // even run.
    custom(&place, &format!("{head}deny contains 1 if {{{{ true\n"));
    check(&place, &only, 2, &["custom rules: ", "a.rego:"], &[]);
    custom(&place, &format!("{head}deny contains \"x\" if false\n"));
    check(&place, &only, 0, &[], &["error["]);
    custom(&place, &format!("{head}deny contains 1 if {{{{ true\n"));
    check(
        &place,
        &["lint", "--offline", "--skip", "corp/a", "Dockerfile"],
        1,
        &[],
        &["custom-rule"],
    );
}

#[cfg(feature = "rego")]
#[test]
fn rules_of_conftest_and_trivy_run_as_they_are() {
    let place = place();
    place.file("Dockerfile", "FROM debian:12\nUSER root\nRUN apt-get update && curl x\n");
    // As conftest's documentation has it, in the older language.
    custom(
        &place,
        "package main\n\ndenylist = [\"debian\"]\n\ndeny[msg] {\n  input[i].Cmd == \"from\"\n  val := input[i].Value\n\
         \x20 contains(val[i], denylist[_])\n  msg = sprintf(\"unallowed image found %s\", [val])\n}\n\
         warn_curl[msg] {\n  input[i].Cmd == \"run\"\n  regex.match(\"curl\", input[i].Value[0])\n  msg = \"curl\"\n}\n",
    );
    let only =
        ["lint", "--offline", "--only", "custom/main", "--rego-input", "conftest", "Dockerfile"];
    check(
        &place,
        &only,
        1,
        &[
            "error[custom/main]: unallowed image found [\"debian:12\"]",
            "warning[custom/main]: curl",
        ],
        &[],
    );
    custom(
        &place,
        "# METADATA\n# title: \"Image user should not be 'root'\"\n# schemas:\n#   - input: schema[\"dockerfile\"]\n\
         # custom:\n#   id: DS002\n#   avd_id: AVD-DS-0002\n#   severity: HIGH\n#   input:\n#     selector:\n\
         #     - type: dockerfile\npackage builtin.dockerfile.DS002\nimport rego.v1\n\
         last_user := c if {\n  some s in input.Stages\n  users := [c | some c in s.Commands; c.Cmd == \"user\"]\n\
         \x20 c := users[count(users) - 1]\n}\n\
         deny contains res if {\n  last_user.Value[0] == \"root\"\n\
         \x20 res := result.new(sprintf(\"Last USER command is %s\", [last_user.Value[0]]), last_user)\n}\n",
    );
    let only = ["lint", "--offline", "--only", "trivy/DS002", "Dockerfile"];
    check(
        &place,
        &only,
        1,
        &["error[trivy/DS002]: Last USER command is root", "Dockerfile:2:1"],
        &[],
    );
    let input = check(&place, &["lint", "--dump-input", "Dockerfile"], 0, &[], &[]);
    let input: serde_json::Value = serde_json::from_str(&input).unwrap();
    assert_eq!(input["Stages"][0]["Commands"][1]["Value"][0], "root");
    assert_eq!(
        input["dockerfile"]["stages"][0]["instructions"][1]["commands"][0]["packages"][0],
        serde_json::Value::Null
    );
    assert_eq!(input["dockerfile"]["stages"][0]["base"]["tag"], "12");
}

#[test]
fn a_repository_names_no_files_of_others() {
    let place = place();
    place.file("Dockerfile", "FROM scratch\n");
    place.file("secret.json", "{\"token\": \"T\"}");
    for name in ["../secret.json", "link.json"] {
        place.file(".rbuild/policy.toml", format!("[custom]\ndata = [\"{name}\"]\n"));
        let _ = fs::remove_file(place.at(".rbuild/link.json"));
        std::os::unix::fs::symlink("../secret.json", place.at(".rbuild/link.json")).unwrap();
        check(&place, &["lint", "--offline", "Dockerfile"], 2, &["cannot read"], &[]);
    }
}
