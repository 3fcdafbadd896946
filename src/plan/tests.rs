//! Plans of hostile and of ordinary files.

use expect_test::{Expect, expect};

use super::*;
use crate::base::Platform;
use crate::dockerfile::parse;
use crate::instruction::parse_all;

fn planned(text: &str, request: &Request) -> Result<Plan, Vec<Diagnostic>> {
    let mut sources = Sources::new();
    let source = sources.add("Dockerfile", text);
    let (file, mut errors) = parse(source, text);
    let (instructions, more) = parse_all(&file);
    errors.extend(more);
    if !errors.is_empty() {
        return Err(errors);
    }
    let unread = |_: &Wanted| Ok(Found::Unread);
    super::plan(&file, &instructions, request, &unread, &mut sources)
}

fn request() -> Request {
    Request::new(Platform::new("linux", "amd64", None))
}

// Stages with bases, steps and history; or the errors.
fn check(text: &str, want: Expect) {
    let mut out = String::new();
    match planned(text, &request()) {
        Ok(plan) => {
            for (_, stage) in plan.stages.iter() {
                out.push_str(&format!("{} {:?}\n", stage.index, stage.base));
                for entry in &stage.history {
                    let layer = if entry.step.is_some() { "L" } else { "e" };
                    out.push_str(&format!("  {layer} {}\n", entry.created_by));
                }
            }
        }
        Err(errors) => {
            for error in errors {
                out.push_str(&format!("{}: {}\n", error.code, error.message));
            }
        }
    }
    want.assert_eq(&out);
}

#[test]
fn only_what_the_target_needs() {
    check(
        "FROM a AS dead\nRUN x\nFROM b AS used\nRUN y\nFROM scratch\nCOPY --from=USED /y /\nENV A=1\n",
        expect![[r#"
            1 Unread { name: "b" }
              L RUN /bin/sh -c y
            2 Scratch
              L COPY /y /
              e ENV A=1
        "#]],
    );
}

#[test]
fn attack_89_cycles_and_odd_names() {
    check(
        "FROM scratch AS scratch\nCOPY --from=scratch /a /b\n",
        expect![[r#"
            stage-order: stage `scratch` copies from itself: a circular dependency
        "#]],
    );
    check(
        "FROM b AS a\nCOPY --from=b /x /\nCOPY --from=1 /x /\nCOPY --from=0 /x /\nFROM a AS b\n",
        expect![[r#"
            stage-order: stage `b` must be defined before the stage that uses it
            stage-order: no earlier stage has the index 1
            stage-order: no earlier stage has the index 0
        "#]],
    );
    check(
        "FROM busybox AS busybox\nFROM busybox\nRUN x\n",
        expect![[r#"
            0 Unread { name: "busybox" }
            1 Stage(#0)
              L RUN /bin/sh -c x
        "#]],
    );
}

#[test]
fn named_contexts_come_first() {
    let mut request = request();
    request.named_contexts.insert("src".into(), NamedContext::Files);
    request.named_contexts.insert("docker.io/library/alpine".into(), NamedContext::Image);
    let text =
        "FROM x AS src\nFROM alpine:latest\nCOPY --from=src a b\nFROM src\nCOPY --from=1 a b\n";
    let plan = planned(text, &request).unwrap();
    let stages: Vec<usize> = plan.stages.iter().map(|(_, stage)| stage.index).collect();
    assert_eq!(stages, [1, 2]);
    let wanted = &plan.bases.iter().next().unwrap().1.wanted;
    assert_eq!(wanted.name, "docker.io/library/alpine");
    assert!(matches!(&plan.stages[plan.target].base, Base::Files(name) if name == "src"));
}

#[test]
fn proxies_and_values_of_arguments_are_not_told() {
    let mut request = request();
    request.build_args.insert("http_proxy".into(), Some("http://u:hunter2@p".into()));
    request.build_args.insert("TOKEN".into(), Some("hunter2".into()));
    let plan = planned("FROM scratch\nARG TOKEN=default\nRUN x $TOKEN\n", &request).unwrap();
    let stage = &plan.stages[plan.target];
    assert!(!format!("{:?} {:?}", stage.history, stage.config).contains("hunter2"));
    let Op::Run(run) = &plan.steps[stage.steps[0]].op else { panic!("a RUN") };
    assert_eq!(run.proxy.len(), 2);
    assert!(run.env.pairs().contains(&("TOKEN", "hunter2")));
}

#[test]
fn attack_85_and_86_end_soon() {
    let stages = "FROM scratch\n".repeat(STAGE_LIMIT + 1);
    assert_eq!(planned(&stages, &request()).unwrap_err()[0].code.0, "too-many-stages");
    let mut doubling = String::from("FROM scratch\nENV a=xxxxxxxx\n");
    for _ in 0..40 {
        doubling.push_str("ENV a=$a$a\n");
    }
    assert_eq!(planned(&doubling, &request()).unwrap_err()[0].code.0, "expansion");
    let mut many = String::from("FROM scratch\n");
    for index in 0..4_900 {
        many.push_str(&format!("ENV a{index}=b b{index}=b c{index}=b d{index}=b\nRUN x\n"));
    }
    assert_eq!(planned(&many, &request()).unwrap_err()[0].code.0, "too-much");
    let deep = format!("FROM scratch\nLABEL a={}\n", "${b:-".repeat(100_000));
    assert_eq!(planned(&deep, &request()).unwrap_err()[0].code.0, "expansion");
    let wrong = format!("FROM scratch\n{}", "ENV a=${\n".repeat(9_000));
    assert!(planned(&wrong, &request()).unwrap_err().len() <= crate::instruction::ERROR_LIMIT);
}

proptest::proptest! {
    #[test]
    fn any_file_is_planned_or_refused(
        lines in proptest::collection::vec(
            "(FROM|COPY|RUN|ENV|ARG|ADD|USER|WORKDIR|EXPOSE|VOLUME|LABEL|CMD|ONBUILD) \
             (--(from|mount|chmod|exclude|checksum)=)?[a-c0-2/$\\{\\}:,=\"'-]{1,12} ?[a-c0-2/$. -]{0,8}",
            0..12,
        ),
    ) {
        let _ = planned(&format!("FROM a AS b\n{}\n", lines.join("\n")), &request());
    }
}

// Moby's own Dockerfile has such a mount, and BuildKit takes it.
// The mounts of the only RUN.
fn mounts(flag: &str) -> Vec<MountKind> {
    let text = format!("FROM a AS s\nFROM b\nRUN {flag} true\n");
    let plan = planned(&text, &request()).expect("a plan");
    let run = plan.steps.iter().find_map(|(_, step)| match &step.op {
        Op::Run(run) => Some(run.mounts.iter().map(|mount| mount.kind.clone()).collect()),
        _ => None,
    });
    run.expect("a RUN")
}

#[test]
fn keys_of_mounts_in_every_spelling() {
    for same in [
        &[
            "source=a,target=/t",
            "src=a,dst=/t",
            "from=,source=/a,destination=/t",
            "type=bind,src=a,dst=/t,ro",
        ][..],
        &[
            "target=/t,rw",
            "dst=/t,readwrite",
            "dst=/t,readonly=false",
            "dst=/t,rw=true",
            "\"dst=/t\",ro=0",
        ],
        &[
            "target=/t",
            "target=/t,readonly",
            "target=/t,ro=true",
            "target=/t,rw=false",
            "target=/t,readwrite=f",
        ],
        &[
            "type=cache,target=/t,ro",
            "type=CACHE,target=/t,readonly,sharing=shared,id=/t,mode=0755,uid=0,gid=0",
        ],
        &[
            "type=secret,id=a",
            "type=secret,id=a,target=/run/secrets/a,required=false,mode=0400,uid=0,gid=0",
        ],
        &["type=secret,id=a,env=A,required", "type=secret,src=a,env=A,required=true"],
        &["type=ssh", "type=ssh,id=default,required=false,mode=0600,uid=0,gid=0"],
        &["type=tmpfs,target=/t,size=1m", "type=tmpfs,dst=/t,size=1048576"],
    ] {
        for spelling in &same[1..] {
            let [one, other] = [same[0], spelling].map(|text| mounts(&format!("--mount={text}")));
            assert_eq!(one, other, "{} and {spelling}", same[0]);
        }
    }
    // Not all is one.
    assert_ne!(mounts("--mount=dst=/t"), mounts("--mount=dst=/t,rw"));
    assert_ne!(mounts("--mount=dst=/t"), mounts("--mount=dst=/t,from=s"));
    assert_ne!(mounts("--mount=type=tmpfs,dst=/t,size=1m"), mounts("--mount=type=tmpfs,dst=/t"));
    assert_ne!(mounts("--mount=type=secret,id=a"), mounts("--mount=type=secret,id=a,required"));
}

#[test]
fn a_mount_without_a_target_covers_the_working_directory() {
    let text = "FROM a\nWORKDIR /src\nRUN --mount=rw true\n";
    let plan = planned(text, &request()).expect("a plan");
    let run = plan.steps.iter().find_map(|(_, step)| match &step.op {
        Op::Run(run) => Some(run),
        _ => None,
    });
    let mounts = &run.expect("a RUN").mounts;
    let [Mount { kind: MountKind::Bind { target, .. }, .. }] = mounts.as_slice() else {
        panic!("{mounts:?}");
    };
    assert_eq!(target.as_bytes(), b"/src");
    let errors = planned("FROM a\nRUN --mount=rw true\n", &request()).expect_err("the root");
    assert!(errors[0].message.contains("needs `target=PATH`"), "{errors:?}");
}

// The code of the first error.
fn code(text: &str) -> Option<&'static str> {
    planned(text, &request()).err().map(|errors| errors[0].code.0)
}

#[test]
fn attack_86_what_a_plan_holds_is_bounded() {
    // A value of half a MiB, from an ARG that doubles.
    let arg = format!("FROM scratch AS s\nARG a=x{}\n", "\nARG a=$a$a".repeat(19));
    let labels = format!("{arg}{}", "LABEL b=$a\n".repeat(400));
    assert_eq!(code(&labels), Some("too-much"));
    assert_eq!(code(&format!("{arg}LABEL b=$a\n")), None);
    let ports = "FROM scratch\nEXPOSE ".to_owned() + &"1-65535 ".repeat(50_000);
    assert_eq!(code(&ports), Some("too-much"));
}

#[test]
fn attack_86_a_heredoc_that_is_a_source_many_times() {
    let bomb = |times: usize, quote: &str| {
        let words = format!("<<{quote}A{quote} ").repeat(times);
        let content = "x".repeat(1_000_000);
        let last = format!("{content}\nA\n");
        format!("FROM scratch\nCOPY {words}/d/\n{}{last}", "A\n".repeat(times - 1))
    };
    assert_eq!(code(&bomb(3, "")), None);
    assert!(code(&bomb(10_000, "")).is_some());
    assert_eq!(code(&bomb(10_000, "'")), Some("too-much"));
}

#[test]
fn attack_89_a_thousand_stages_on_a_heavy_one() {
    let first = format!("FROM scratch AS s0\n{}", "LABEL a=1\n".repeat(8_000));
    let stages: String = (1..900).map(|at| format!("FROM s{} AS s{at}\n", at - 1)).collect();
    assert_eq!(code(&format!("{first}{stages}")), Some("too-much"));
    let first = format!("FROM scratch AS s0\n{}", "ONBUILD CMD x\n".repeat(500));
    assert_eq!(code(&format!("{first}FROM s0\n")), None);
    let more: String = (1..4).map(|at| format!("FROM s0 AS s{at}\n")).collect();
    let all = "FROM s1\nCOPY --from=s2 / /\nCOPY --from=s3 / /\n";
    assert_eq!(code(&format!("{first}{more}{all}")), Some("too-many-triggers"));
}

#[test]
fn errors_of_sources_are_as_many_as_help() {
    let bad = "FROM scratch\n".to_owned() + &"COPY --from=B!D a b\n".repeat(5_000);
    let errors = planned(&bad, &request()).unwrap_err();
    assert!(errors.len() <= crate::instruction::ERROR_LIMIT + 1, "{}", errors.len());
}

#[test]
fn files_come_before_heredocs_and_the_last_of_a_name_counts() {
    let text = "FROM scratch\nCOPY <<-A b <<'A' /d/\n\tone\nA\n\t$two\nA\n";
    let plan = planned(text, &request()).unwrap();
    let Op::Copy(copy) = &plan.steps.iter().next().unwrap().1.op else { panic!("a copy") };
    let shown: Vec<String> = copy
        .sources
        .iter()
        .map(|source| match source {
            Source::Path { path, .. } => path.clone(),
            Source::Inline(file) => format!("{}: {:?}", file.name, file.content),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(shown, ["b", "A: \"\\n\"", "A: \"\\t$two\\n\""]);
}
