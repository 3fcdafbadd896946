//! Rules by their examples, and the frame around them.

use std::collections::BTreeSet;

use expect_test::expect;

use super::*;
use crate::base::{Digest, Platform};
use crate::diag::Sources;
use crate::plan::Request;

/// A text to judge by one rule.
pub(super) struct Text<'a> {
    pub(super) rule: &'a str,
    pub(super) file: &'a str,
    pub(super) bases: &'a str,
    pub(super) set: &'a [&'a str],
    pub(super) policy: &'a str,
    pub(super) around: Around,
}

impl<'a> Text<'a> {
    pub(super) fn new(rule: &'a str, file: &'a str) -> Self {
        Text { rule, file, bases: "{}", set: &[], policy: "hardened", around: Around::NONE }
    }
}

pub(super) fn with<T>(text: &Text<'_>, run: impl FnOnce(Report, &Sources, &Policy) -> T) -> T {
    let mut sources = Sources::new();
    let id = sources.add("Dockerfile", text.file);
    let (file, mut errors) = crate::dockerfile::parse(id, text.file);
    let (instructions, more) = crate::instruction::parse_all(&file);
    errors.extend(more);
    let mut policy = Policy::builtin(text.policy).unwrap();
    let only = if text.rule.is_empty() { Vec::new() } else { vec![text.rule.to_owned()] };
    let set = text.set.iter().chain(text.around.set).map(|text| (*text).to_owned()).collect();
    policy.apply(&Overrides { only, set, ..Overrides::default() }).unwrap();
    let request = Request::new(Platform::new("linux", "amd64", None));
    let known = if text.bases == "{}" { text.around.bases } else { text.bases };
    let mut bases = Bases::from_json(known).unwrap();
    bases.read_triggers(&mut sources);
    let tags: Vec<String> = text.around.tags.iter().map(|tag| (*tag).to_owned()).collect();
    let ignored = text.around.ignored;
    let mut context = GivenFiles::new();
    for (path, text) in text.around.files {
        context.add(path, text, ignored.contains(path));
    }
    let input = TextInput {
        file: &file,
        instructions: &instructions,
        errors: &errors,
        sources: &sources,
        request: &request,
        bases: &bases,
        squash: false,
        today: Some("2026-11-21"),
        tags: (!tags.is_empty()).then_some(&tags),
        context: (!text.around.files.is_empty()).then_some(&context),
    };
    let report = check_text(input, &policy);
    run(report, &sources, &policy)
}

/// The lines of what counts.
pub(super) fn lines(text: &Text<'_>) -> Vec<usize> {
    with(text, |report, sources, _| {
        let found: BTreeSet<usize> = report
            .findings
            .iter()
            .filter(|finding| finding.counts())
            .map(|finding| {
                let span = finding.span.unwrap();
                sources.line_column(span.source, span.start).0
            })
            .collect();
        found.into_iter().collect()
    })
}

/// The text after all safe changes of one rule, at most five rounds.
pub(super) fn mend(text: &Text<'_>) -> String {
    let mut file = text.file.to_owned();
    for _ in 0..5 {
        let round = Text {
            rule: text.rule,
            file: &file,
            bases: text.bases,
            set: text.set,
            policy: text.policy,
            around: text.around,
        };
        let next = with(&round, |report, _, _| {
            report.mended(crate::base::SourceId(0), &file, false).map(|(text, _)| text)
        });
        match next {
            Some(next) => file = next,
            None => break,
        }
    }
    file
}

#[test]
fn examples_of_rules_hold() {
    let mut wrong = Vec::new();
    for rule in RULES {
        let found = |file| lines(&Text { around: rule.around, ..Text::new(rule.id, file) });
        for file in rule.bad {
            if found(file).is_empty() {
                wrong.push(format!("{} is silent:\n{file}", rule.id));
            }
        }
        for file in rule.good {
            let found = found(file);
            if !found.is_empty() {
                wrong.push(format!("{} finds lines {found:?}:\n{file}", rule.id));
            }
        }
        // With names of the image that are fixed, there may be no good example.
        let good = !rule.good.is_empty() || !rule.around.tags.is_empty();
        if rule.text_check.is_some() && (rule.bad.is_empty() || !good) {
            wrong.push(format!("{} has no examples", rule.id));
        }
        assert!(explain(rule).contains(rule.title));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_body_is_read_once_whatever_rules_there_are() {
    let file = |count: usize| {
        let run = "RUN curl -fsSLo /a https://example.org/a && sh /a || sudo sh -c \"$(cat /b)\"\n";
        let end = "HEALTHCHECK CMD curl localhost\nENTRYPOINT a && b\nCMD c; d\n";
        format!("FROM debian:12\n{}{end}", run.repeat(count))
    };
    for count in [1, 300] {
        for policy in ["hardened", "paranoid"] {
            let before = crate::facts::shell::READ.get();
            let text = file(count);
            let found = with(&Text { policy, ..Text::new("", &text) }, |report, _, _| {
                report.findings.iter().filter(|f| f.rule == "privilege-tool-used").count()
            });
            assert_eq!(found, count);
            assert_eq!(crate::facts::shell::READ.get() - before, count + 3, "{policy}");
        }
    }
}

#[test]
fn ids_and_aliases_are_unambiguous() {
    let mut seen = BTreeSet::new();
    for (_, rules) in CATEGORIES {
        for pair in rules.windows(2) {
            assert!(pair[0].id < pair[1].id, "`{}` is out of order", pair[1].id);
        }
    }
    for rule in RULES {
        assert!(seen.insert(rule.id), "{}", rule.id);
        for param in rule.params {
            let value = param.default.parse().unwrap();
            assert_eq!(param.kind.check(&value), Ok(()), "{} {}", rule.id, param.name);
        }
    }
    assert_eq!(find_rules("SecretsUsedInArgOrEnv", "").unwrap().len(), 2);
    assert_eq!(super::rule("AVD-DS-0002").unwrap().id, "final-user-root");
}

#[test]
fn comments_cover_findings() {
    let check = |policy: &str, comment: &str, want: usize| {
        let file = format!("{comment}\nFROM node:latest\nRUN true\nFROM node:latest\nUSER 1\n");
        let text = Text { policy, ..Text::new("base-tag-latest", &file) };
        assert_eq!(lines(&text).len(), want, "{policy}: {comment}");
    };
    check("hardened", "# rbuild: allow base-tag-latest -- a reason", 1);
    check("hardened", "# rbuild: allow base-tag-latest", 2);
    check("baseline", "# rbuild: allow base-tag-latest", 1);
    check("baseline", "# rbuild: allow DL3007, secret-in-env until=2026-11-21", 1);
    check("baseline", "# rbuild: allow DL3007 until=2026-11-20", 2);
    check("baseline", "# rbuild: allow DL3007 until=soon", 2);
    check("hardened", "# rbuild: allow-file base-tag-latest -- a reason", 0);
    check("hardened", "# rbuild: allow-stage base-tag-latest -- a reason", 1);
    check("hardened", "# hadolint ignore=DL3006,DL3007 # a reason", 1);
    check("hardened", "# hadolint global ignore=DL3007 - a reason", 0);
    check("hardened", "# hadolint ignore=DL3006", 2);
    check("paranoid", "# rbuild: allow base-tag-latest -- a reason", 2);
    check("baseline", "# check=skip=DL3007", 0);
    check("baseline", "# a word\n# check=skip=all", 1);
}

#[test]
fn comments_in_a_body_cover_one_line() {
    let file = "FROM a AS b\nRUN true && \\\n  # rbuild: allow pipe-to-interpreter -- known\n  \
                curl x | sh && \\\n  curl y | sh\n";
    assert_eq!(lines(&Text::new("pipe-to-interpreter", file)), [5]);
}

#[test]
fn what_cannot_be_waived_is_not() {
    let file = "# rbuild: allow-file parse-error -- please\nFROM scratch\nCOPPY a /a\n";
    assert_eq!(lines(&Text::new("parse-error", file)), [3]);
}

#[test]
fn a_refusal_tells_the_way_out() {
    let file = "FROM alpine:3.20@sha256:1111111111111111111111111111111111111111111111111111111111111111\n\
                COPY a /a\nRUN sh -c 'env X=1 apk add curl'\nUSER 10001\n";
    with(&Text::new("package-install-in-final", file), |report, sources, policy| {
        expect![[r#"
            error[package-install-in-final]: `apk add` installs packages in the stage that ships
             --> Dockerfile:3:12
              |
            1 | FROM alpine:3.20@sha256:1111111111111111111111111111111111111111111111111111111111111111
              | ---------------------------------------------------------------------------------------- the final stage starts here
            2 | COPY a /a
            3 | RUN sh -c 'env X=1 apk add curl'
              |            ^^^^^^^^^^^^^^^^^^^^ this command
              |
              = note: why: Build elsewhere, copy the artefact; every package is an attack surface.
              = note: also: CIS 4.3 · explain: rbuild policy explain package-install-in-final
              = help: move it to a build stage and COPY --from what is needed, or allow it: [rules.package-install-in-final] allow_packages = ["curl"]

            rbuild: 1 error, 0 warnings · policy hardened (sha256:DIGEST…)
              fix:    `rbuild policy explain package-install-in-final` tells what is wrong and how to mend it
              waive:  `# rbuild: allow package-install-in-final -- REASON` above the instruction
              choose: --policy baseline or --policy none judges by less"#]]
        .assert_eq(
            &report
                .human(sources, policy, false)
                .replace(&policy.digest().hex()[..12], "DIGEST"),
        );
        let json = report.json(sources, policy, "0");
        assert_eq!(json["findings"][0]["span"]["line"], 3);
        assert_eq!(json["findings"][0]["instruction"]["line"], 3);
        assert_eq!(json["summary"]["refused"], true);
    });
}

#[test]
fn exceptions_have_a_scope_and_an_end() {
    let read = |expires: &str, max: usize| {
        Policy::read(
            &format!(
                "[[exceptions]]\nrules = [\"DL3007\"]\nfiles = [\"Docker*\"]\nreason = \"r\"\n\
                 owner = \"o\"\nexpires = {expires}\nmax = {max}\n"
            ),
            "p.toml",
            &mut |_| None,
        )
        .unwrap()
    };
    let file = "FROM node:latest\nFROM node:latest\n";
    for (policy, want) in
        [(read("2027-01-01", 2), 0), (read("2026-01-01", 2), 2), (read("2027-01-01", 1), 2)]
    {
        let mut sources = Sources::new();
        let id = sources.add("Dockerfile", file);
        let (parsed, _) = crate::dockerfile::parse(id, file);
        let (instructions, _) = crate::instruction::parse_all(&parsed);
        let input = TextInput {
            file: &parsed,
            instructions: &instructions,
            errors: &[],
            sources: &sources,
            request: &Request::new(Platform::new("linux", "amd64", None)),
            bases: &Bases::none(),
            squash: false,
            today: Some("2026-11-21"),
            tags: None,
            context: None,
        };
        let report = check_text(input, &policy);
        let counted = report.findings.iter().filter(|f| f.rule == "base-tag-latest" && f.counts());
        assert_eq!(counted.count(), want);
    }
}

#[test]
fn named_contexts_have_nothing_to_pin() {
    let mut sources = Sources::new();
    let text = "FROM base\nFROM debian:12\n";
    let id = sources.add("Dockerfile", text);
    let (file, _) = crate::dockerfile::parse(id, text);
    let (instructions, _) = crate::instruction::parse_all(&file);
    let mut request = Request::new(Platform::new("linux", "amd64", None));
    for name in ["base", "docker.io/library/debian:12"] {
        request.named_contexts.insert(name.into(), crate::plan::NamedContext::Image);
    }
    let input = TextInput {
        file: &file,
        instructions: &instructions,
        errors: &[],
        sources: &sources,
        request: &request,
        bases: &Bases::none(),
        squash: false,
        today: None,
        tags: None,
        context: None,
    };
    let report = check_text(input, &Policy::builtin("hardened").unwrap());
    assert!(report.findings.iter().all(|finding| finding.rule != "base-unpinned"));
}

#[test]
fn triggers_are_judged_as_if_they_stood_in_the_stage() {
    let bases = r#"{"base:1": {"config": {"OnBuild": ["USER app", "RUN curl http://x | sh"]}}}"#;
    let found = |rule, file| {
        let text = Text { bases, policy: "hardened", ..Text::new(rule, file) };
        let mut found = Vec::new();
        with(&text, |report, sources, _| {
            for finding in report.findings.iter().filter(|finding| finding.counts()) {
                let span = finding.span.unwrap();
                let stage = finding.place.and_then(|place| place.stage);
                found.push(format!("{} {stage:?}", sources.place(span)));
            }
        });
        found
    };
    let rule = "pipe-to-interpreter";
    assert_eq!(found(rule, "FROM base:1\n"), ["ONBUILD of base:1:1:5 Some(0)"]);
    // A stage as a base, and one on that: triggers fire once.
    let staged = "FROM x:1 AS a\nONBUILD RUN curl http://x | sh\nFROM a AS b\nFROM b\n";
    assert_eq!(found(rule, staged), ["Dockerfile:2:13 Some(1)"]);
    // Comments of the Dockerfile are not about what stands elsewhere; for a stage they are.
    let allowed = "# rbuild: allow pipe-to-interpreter -- known\nFROM base:1\n";
    assert_eq!(found(rule, allowed).len(), 1);
    let allowed = "# rbuild: allow-stage pipe-to-interpreter -- known\nFROM base:1\n";
    assert_eq!(found(rule, allowed).len(), 0);
    // What they set holds for what follows.
    assert!(found("final-user-root", "FROM base:1\n").is_empty());
    assert_eq!(found("final-user-root", "FROM base:1\nUSER root\n").len(), 1);
}

#[test]
fn other_tools_are_told_the_same() {
    let file = "FROM node:latest\n# hadolint ignore=DL3025 # a reason\nCMD a\nUSER 1\n";
    let text = Text { policy: "baseline", ..Text::new("base-tag-latest", file) };
    with(&text, |report, sources, policy| {
        let of = |format| report.formatted(format, sources, policy, "0");
        let sarif: serde_json::Value = serde_json::from_str(&of(Format::Sarif)).unwrap();
        let run = &sarif["runs"][0];
        assert_eq!(sarif["version"], "2.1.0");
        assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), RULES.len());
        let result = &run["results"][0];
        let index = result["ruleIndex"].as_u64().unwrap() as usize;
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], "base-tag-latest");
        assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 1);
        assert_eq!(result["level"], "warning");
        let github = of(Format::Github);
        let start = "::warning file=Dockerfile,line=1,endLine=1,col=6,endColumn=17,\
                     title=rbuild(base-tag-latest)::";
        assert!(github.starts_with(start), "{github}");
        assert!(github.contains("%0A") && github.lines().count() == 1, "{github}");
        let gitlab: serde_json::Value = serde_json::from_str(&of(Format::Gitlab)).unwrap();
        assert_eq!(gitlab[0]["location"]["lines"]["begin"], 1);
        assert_eq!(gitlab[0]["severity"], "minor");
        let junit = of(Format::Junit);
        assert!(junit.contains("tests=\"1\" failures=\"1\""), "{junit}");
        let checkstyle = of(Format::Checkstyle);
        assert!(checkstyle.contains("source=\"rbuild.base-tag-latest\""), "{checkstyle}");
        assert!(checkstyle.lines().count() == 6, "{checkstyle}");
        let tap = of(Format::Tap);
        assert!(tap.starts_with("TAP version 14\n1..1\nnot ok 1 - "), "{tap}");
        assert!(tap.contains(": base-tag-latest\n  ---\n  at: [\""), "{tap}");
    });
}

#[test]
fn several_files_make_one_document() {
    let (one, two) = ("FROM node:latest\n", "FROM node:latest\nFROM a AS b\nUSER 1\n");
    let policy = |name: &str| {
        let mut policy = Policy::builtin(name).unwrap();
        let only = vec!["base-tag-latest".to_owned(), "final-user-root".to_owned()];
        policy.apply(&Overrides { only, ..Overrides::default() }).unwrap();
        policy
    };
    let (first, second) = (policy("hardened"), policy("baseline"));
    let judged = |name: &str, text: &str, policy: &Policy| {
        let mut sources = Sources::new();
        let id = sources.add(name, text);
        let (file, _) = crate::dockerfile::parse(id, text);
        let (instructions, _) = crate::instruction::parse_all(&file);
        let input = TextInput {
            file: &file,
            instructions: &instructions,
            errors: &[],
            sources: &sources,
            request: &Request::new(Platform::new("linux", "amd64", None)),
            bases: &Bases::none(),
            squash: false,
            today: None,
            tags: None,
            context: None,
        };
        let report = check_text(input, policy);
        (report, sources)
    };
    let (a, b) = (judged("a/Dockerfile", one, &first), judged("b & c/Dockerfile", two, &second));
    let all = [
        Told { name: "a/Dockerfile", report: &a.0, sources: &a.1, policy: &first },
        Told { name: "b & c/Dockerfile", report: &b.0, sources: &b.1, policy: &second },
    ];
    let json = Told::json(&all, "0");
    let findings = json["findings"].as_array().unwrap();
    assert_eq!(findings.len(), a.0.findings.len() + b.0.findings.len());
    let prints: BTreeSet<&str> =
        findings.iter().map(|finding| finding["fingerprint"].as_str().unwrap()).collect();
    assert_eq!(prints.len(), findings.len(), "one mistake in two files is two: {json}");
    assert_eq!(json["subjects"][1]["name"], "b & c/Dockerfile");
    let sum = |key: &str| json["summary"][key].as_u64().unwrap() as usize;
    assert_eq!(sum("errors") + sum("warnings"), findings.len());
    assert_eq!(json["summary"]["refused"], true);
    let of = |format| Told::formatted(&all, format, "0");
    let sarif: serde_json::Value = serde_json::from_str(&of(Format::Sarif)).unwrap();
    assert_eq!(sarif["runs"].as_array().unwrap().len(), 1);
    let uri = |at: usize| {
        let location = &sarif["runs"][0]["results"][at]["locations"][0];
        location["physicalLocation"]["artifactLocation"]["uri"].clone()
    };
    assert_eq!(uri(0), "a/Dockerfile");
    assert_eq!(uri(findings.len() - 1), "b%20%26%20c/Dockerfile");
    let gitlab: serde_json::Value = serde_json::from_str(&of(Format::Gitlab)).unwrap();
    assert_eq!(gitlab.as_array().unwrap().len(), findings.len());
    let junit = of(Format::Junit);
    assert_eq!(junit.matches("<testsuite ").count(), 2, "{junit}");
    assert_eq!(junit.matches("<?xml").count(), 1);
    assert!(junit.contains("name=\"b &amp; c/Dockerfile\""), "{junit}");
    let checkstyle = of(Format::Checkstyle);
    assert_eq!(checkstyle.matches("<checkstyle").count(), 1);
    assert_eq!(checkstyle.matches("<file ").count(), 2, "{checkstyle}");
    assert_eq!(of(Format::Github).lines().count(), findings.len());
}

#[test]
fn values_that_are_too_many_to_keep_are_told() {
    let double = "ARG a=$a$a\n".repeat(19);
    let heavy = format!("FROM scratch\nARG a=xx\n{double}{}", "ENV b=$a\n".repeat(200));
    assert_eq!(lines(&Text::new("parse-error", &heavy)).len(), 1);
    let light = format!("FROM scratch\nARG a=xx\n{double}ENV b=$a\n");
    assert!(lines(&Text::new("parse-error", &light)).is_empty());
}

// What took quadratic time: variables known at each of many instructions, comments that each look
// for the next line.
#[test]
fn attack_85_many_instructions_and_comments_take_little_time() {
    let start = std::time::Instant::now();
    let names: String = (0..9_000).map(|at| format!("ENV a{at}=$a{}\n", at / 2)).collect();
    with(&Text::new("", &format!("FROM scratch\n{names}")), |_, _, _| {});
    let comments = "# rbuild: allow secret-in-env -- no\n".repeat(100_000);
    let inside = format!("FROM scratch\nENV x=1 \\\n{comments} TOKEN=abc\n");
    with(&Text::new("secret-in-env", &inside), |report, _, _| {
        assert_eq!(report.findings.len(), 1);
        assert!(report.findings[0].suppressed.is_some(), "the line after the comments");
    });
    assert!(start.elapsed() < std::time::Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn comments_of_other_tools_are_read() {
    // The shell of a base whose config nobody knows, to the end of the stage.
    let check = |comment: &str, want: &[usize]| {
        let file = format!(
            "FROM a AS b\n{comment}\nRUN [[ -n \"$A\" ]] && echo yes\nFROM b\nRUN [[ -n \"$A\" ]] && echo yes\n"
        );
        assert_eq!(lines(&Text::new("shell-bashism", &file)), want, "{comment}");
    };
    check("# a comment", &[3, 5]);
    check("# hadolint shell=/bin/bash", &[5]);
    check("# hadolint shell = bash", &[3, 5]);
    // One comment, two ids, of which one has ended.
    let check = |comment: &str, want: usize| {
        let file = format!("{comment}\nFROM node:latest\nUSER root\n");
        let text = Text { policy: "baseline", ..Text::new("base-tag-latest", &file) };
        assert_eq!(lines(&text).len(), want, "{comment}");
    };
    check("#trivy:ignore:DS-0001 trivy:ignore:AVD-DS-0002", 0);
    check("#trivy:ignore:DS001 exp:2026-11-20", 1);
    check("#trivy:ignore:DS001 exp:2026-11-21", 0);
    // What is not read is told where nothing may be left unexplained.
    let file =
        "FROM a\n# nosemgrep: x\n# checkov:skip=CKV_DOCKER_2:reason\n#tfsec:ignore:y\nRUN true\n";
    let found = |policy| lines(&Text { policy, ..Text::new("suppression-unknown", file) });
    assert_eq!(found("paranoid"), [2, 3, 4]);
    assert!(found("hardened").is_empty());
}

#[test]
fn nothing_is_covered_that_may_not_be() {
    for rule in RULES.iter().filter(|rule| rule.cover_check.is_some()) {
        assert!(!rule.inline, "{}", rule.id);
    }
    for id in ["build-secret-leaked", "digest-mismatch", "parse-error"] {
        assert!(super::rule(id).is_none_or(|rule| !rule.inline), "{id}");
    }
}

#[test]
fn bases_that_were_not_looked_up_are_findings_where_the_policy_says_so() {
    let of = |set: &[&str], bases: &str| {
        let text = Text { set, bases, ..Text::new("base-platform-mismatch", "FROM debian:13\n") };
        with(&text, |report, _, policy| {
            (report.verdict(policy.fail_on).refused, report.skipped.len())
        })
    };
    assert_eq!(of(&[], "{}"), (false, 1));
    assert_eq!(of(&["offline=error"], "{}"), (true, 1));
}

#[test]
fn what_is_locked_is_not_weakened() {
    let organisation = |lock: &str| {
        let text = format!("fail_on = \"warn\"\noffline = \"error\"\nlock = [\"{lock}\"]\n");
        Policy::read(&text, "org.toml", &mut |_| None).unwrap()
    };
    for (lock, later) in [
        ("rules.DL3002", "[rules]\nfinal-user-root = \"warn\"\n"),
        ("rules.DL3002", "[rules.final-user-root]\nabsent = \"off\"\n"),
        ("rules.secret-in-env", "[rules]\nsecret-in-env = { severity = \"warn\" }\n"),
        (
            "rules.DL3002",
            "[[exceptions]]\nrules = [\"DL3002\"]\nfiles = [\"a\"]\nreason = \"r\"\nowner = \"o\"\n\
             expires = 2027-01-01\n",
        ),
        (
            "exceptions",
            "[[exceptions]]\nrules = [\"DL3002\"]\nfiles = [\"a\"]\nreason = \"r\"\nowner = \"o\"\n\
             expires = 2027-01-01\n",
        ),
        ("inline", "inline = \"allow\"\n"),
        ("offline", "offline = \"skip\"\n"),
        ("fail_on", "fail_on = \"error\"\n"),
        ("behaviour", "behaviour = \"off\"\n"),
        ("chroot", "chroot = \"allow\"\n"),
        ("secrets", "[secrets]\naccept_keys_add = [\"A\"]\n"),
        ("custom", "[custom]\nrego = []\n"),
    ] {
        let mut policy = organisation(lock);
        let error = policy.merge(later, "repo.toml").err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("is locked")), "{lock}: {later}");
        // What is not locked may be said, and what is may be said again.
        organisation("network").merge(later, "repo.toml").unwrap();
    }
    let with = |overrides: Overrides| {
        let mut policy = organisation("rules.DL3002\", \"fail_on");
        policy.apply(&overrides).map(|()| policy.setting("final-user-root").level)
    };
    assert_eq!(
        with(Overrides { only: vec!["DL3007".into()], ..Overrides::default() }),
        Ok(Level::Error)
    );
    assert!(with(Overrides { skip: vec!["DL3002".into()], ..Overrides::default() }).is_err());
    assert!(with(Overrides { fail_on: Some(FailOn::Never), ..Overrides::default() }).is_err());
    let set = vec!["rules.DS002=off".to_owned()];
    assert!(with(Overrides { set, ..Overrides::default() }).is_err());
    // A list of facets makes them worth what the rule is: here nothing.
    let facets = |later: &str| {
        let text = "lock = [\"rules.identity-file-changed\"]\n\
                    [rules.identity-file-changed]\nseverity = \"off\"\nfacets = { ca = \"warn\" }\n";
        let mut policy = Policy::read(text, "org.toml", &mut |_| None).unwrap();
        policy.merge(&format!("[rules.identity-file-changed]\n{later}\n"), "repo.toml")
    };
    assert!(facets("facets = [\"ca\"]").unwrap_err().to_string().contains("is locked"));
    assert!(facets("facets = { ca = \"off\" }").is_err());
    assert!(facets("facets = { ca = \"error\" }").is_ok());
    assert!(facets("facets = [\"ca\"]\nseverity = \"warn\"").is_ok());
}

#[test]
fn lists_are_added_to_and_tables_merged() {
    let mut policy = Policy::read(
        "[rules.secret-in-env]\naccept = [\"A\"]\n[labels.schema]\na = \"text\"\n",
        "org.toml",
        &mut |_| None,
    )
    .unwrap();
    policy
        .merge(
            "[rules.secret-in-env]\naccept_add = [\"B\"]\n[labels.schema]\nb = \"url\"\n",
            "repo.toml",
        )
        .unwrap();
    let accept = policy.setting("secret-in-env").params["accept"].as_array().unwrap();
    assert_eq!(accept.len(), 2);
    let schema = policy.section("labels", "schema").unwrap().as_table().unwrap();
    assert_eq!(schema.keys().collect::<Vec<_>>(), ["a", "b"]);
    policy.merge("[rules.secret-in-env]\naccept = [\"C\"]\n", "late.toml").unwrap();
    assert_eq!(policy.setting("secret-in-env").params["accept"].as_array().unwrap().len(), 1);
}

#[test]
fn lesser_findings_never_hide_others() {
    let policy = Policy::builtin("hardened").unwrap();
    let rule = rule("final-user-root").unwrap();
    let setting = policy.setting(rule.id);
    let mut report = Report::default();
    let (moment, out) = (Moment::Static, &mut report);
    let mut found =
        Found { rule, setting, policy: &policy, moment, report: out, count: Count::default() };
    for _ in 0..1500 {
        let finding = found.finding("lesser");
        found.add_at(Level::Warn, finding);
    }
    let finding = found.finding("real");
    found.add(finding);
    let verdict = report.verdict(FailOn::Error);
    assert_eq!((verdict.errors, verdict.warnings), (1, 1001));
    let of = |finding: &&Finding| finding.message.starts_with("more than 1000 findings");
    assert_eq!(report.findings.iter().filter(of).count(), 1);
}

#[test]
fn what_is_not_told_for_its_number_is_covered_by_nothing() {
    let step = "RUN sudo true\n";
    let file = |count: usize| {
        format!("# rbuild: allow-file privilege-tool-used -- x\nFROM a\n{}", step.repeat(count))
    };
    let errors = |count: usize| {
        let set = &["rules.privilege-tool-used=error"][..];
        let text = file(count);
        with(&Text { set, ..Text::new("privilege-tool-used", &text) }, |report, sources, policy| {
            let told = report.human(sources, policy, false);
            (report.verdict(policy.fail_on).errors, told.contains("the rest are not told"))
        })
    };
    assert_eq!(errors(1000), (0, false));
    assert_eq!(errors(1001), (1, true));
}

#[test]
fn what_is_of_no_place_is_of_its_subject() {
    let policy = Policy::builtin("hardened").unwrap();
    let mut finding = Finding::new(Moment::Image, "x");
    (finding.rule, finding.level) = ("final-user-root", Level::Error);
    let report = Report { findings: vec![finding], ..Report::default() };
    let sources = Sources::new();
    let told = |name| Told { name, report: &report, sources: &sources, policy: &policy };
    for (all, names) in
        [(vec![told("one.tar")], &["one.tar"][..]), (vec![told("a"), told("b")], &["a", "b"])]
    {
        let of = |format| Told::formatted(&all, format, "0");
        for name in names {
            assert!(of(Format::Github).contains(&format!("file={name},line=1")));
            assert!(of(Format::Checkstyle).contains(&format!("<file name=\"{name}\">")));
            assert!(of(Format::Gitlab).contains(&format!("\"path\": \"{name}\"")));
            assert!(of(Format::Sarif).contains(&format!("\"uri\": \"{name}\"")));
            assert!(of(Format::Junit).contains(&format!(">{name}:1: x<")));
        }
    }
}

#[test]
fn the_digest_is_of_the_policy_without_its_origins() {
    let files = [
        "extends = \"hardened\"\nlock = [\"inline\"]\n[rules]\nlabel-missing = \"warn\"\n",
        "extends = \"none\"\n[registries]\ntrusted = [\"a\", \"b\"]\n[budget]\nmax_growth = 0.1\n",
        "[[exceptions]]\nrules = [\"DL3007\"]\nfiles = [\"a\"]\nreason = \"r\"\nowner = \"o\"\n\
         expires = 2027-01-01\n",
    ];
    let read = files.map(|text| Policy::read(text, "p.toml", &mut |_| None).unwrap());
    let built = PROFILES.iter().map(|(name, _)| Policy::builtin(name).unwrap());
    let digests: Vec<_> = built
        .chain(read)
        .map(|policy| {
            let mut json = policy.to_json();
            for rule in json["rules"].as_object_mut().unwrap().values_mut() {
                assert!(rule.as_object_mut().unwrap().remove("origin").is_some());
            }
            assert_eq!(policy.digest(), Digest::of(json.to_string().as_bytes()), "{}", policy.name);
            policy.digest().hex()
        })
        .collect();
    let different: BTreeSet<_> = digests.iter().collect();
    assert_eq!(different.len(), digests.len());
}
