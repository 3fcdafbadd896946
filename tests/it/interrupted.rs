//! Ctrl-C while the network is waited for ends the build at once, with nothing half-written.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{Build, Place, Who};

/// Builds a text in which `HOST` is a server that listens and never answers; interrupts it there.
fn check(text: &str, arguments: &[&str], signal: Signal, code: i32) {
    let place = Place::new(Who::usual());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    let (to, from) = mpsc::channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 64]);
            let _ = to.send(());
            held.push(stream);
        }
    });
    let text = text.replace("HOST", &host);
    let mut build = Build::text(&place, &text).arg("--metadata-file=meta.json");
    for argument in arguments {
        build = build.arg(argument.replace("HOST", &host));
    }
    let mut command = build.command();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().expect("the program");
    from.recv_timeout(Duration::from_secs(30)).expect("the server is asked");
    let since = Instant::now();
    kill_process(Pid::from_child(&child), signal).expect("it runs");
    let status = child.wait().expect("a child");
    assert_eq!(status.code(), Some(code), "{text}");
    assert!(since.elapsed() < Duration::from_secs(5), "{text}: {:?}", since.elapsed());
    assert!(!place.at("image.oci").exists());
    let meta = std::fs::read(place.at("meta.json")).expect("it is written on failure too");
    let meta: Value = serde_json::from_slice(&meta).expect("JSON");
    assert_eq!(meta["rbuild"]["error"]["exit"], code, "{meta}");
    let left: Vec<_> = std::fs::read_dir(place.at("store/blobs/sha256"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().len() != 64)
        .collect();
    assert!(left.is_empty(), "half a blob: {left:?}");
    // The same store serves the next build.
    Build::text(&place, "FROM scratch\nCOPY <<x /x\ny\nx\n").image();
}

#[test]
fn while_a_base_is_resolved() {
    check("FROM HOST/x:1\n", &[], Signal::INT, 130);
    check("FROM HOST/x:1\n", &[], Signal::TERM, 143);
}

#[test]
fn while_a_file_or_a_repository_is_fetched() {
    check("FROM scratch\nADD http://HOST/file /\n", &[], Signal::INT, 130);
    check("FROM scratch\nADD http://HOST/x.git /\n", &[], Signal::INT, 130);
}

#[test]
fn while_an_image_is_pushed() {
    check("FROM scratch\nCOPY <<x /x\ny\nx\n", &["--push", "--tag=HOST/x:1"], Signal::INT, 130);
}
