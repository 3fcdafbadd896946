//! What goes wrong or special on the way to a real registry: an upload that is cut, a base that need
//! not be sent, certificates that nobody knows.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::harness::{Build, Place, Registry, Who, busybox, have};

/// The layer that is sent, in bytes: it cannot be compressed.
const SIZE: usize = 12 << 20;

/// Passes bytes on to `to`; the first connection whose bytes from the client exceed `limit` is cut.
/// Gives its address, and counts what clients sent.
fn cutter(to: &str, limit: u64) -> (String, Arc<AtomicU64>, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    let (sent, cut) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
    let (to, count, has_cut) = (to.to_owned(), Arc::clone(&sent), Arc::clone(&cut));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&to).expect("the registry");
            let twin = |stream: &TcpStream| stream.try_clone().expect("a handle");
            let (mut from_server, mut to_client) = (twin(&server), twin(&client));
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from_server, &mut to_client);
                let _ = to_client.shutdown(Shutdown::Write);
            });
            let (count, has_cut) = (Arc::clone(&count), Arc::clone(&has_cut));
            std::thread::spawn(move || {
                let (mut client, mut server) = (client, server);
                let (mut buffer, mut own) = (vec![0; 64 << 10], 0);
                while let Ok(read @ 1..) = client.read(&mut buffer) {
                    own += read as u64;
                    count.fetch_add(read as u64, Ordering::SeqCst);
                    if own > limit && !has_cut.swap(true, Ordering::SeqCst) {
                        // The registry sees an end in the middle of a body, the client a reset.
                        let _ = client.shutdown(Shutdown::Both);
                        break;
                    }
                    if server.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
                let _ = server.shutdown(Shutdown::Write);
            });
        }
    });
    (host, sent, cut)
}

/// Bytes that do not compress: a generator of Marsaglia's (xorshift64).
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

#[test]
fn an_upload_that_is_cut_begins_anew() {
    if !have(&["docker-registry", "skopeo"]) {
        return;
    }
    let registry = Registry::start();
    let (host, sent, cut) = cutter(registry.host(), SIZE as u64 * 2 / 3);
    let place = Place::new(Who::usual());
    place.file("ctx/noise", noise(SIZE));
    let build = Build::text(&place, "FROM scratch\nCOPY noise /\n").arg("--push");
    let outcome = build.arg(format!("--tag={host}/app:1")).run();
    let digest = outcome.digest();
    assert!(cut.load(Ordering::SeqCst), "nothing was cut");
    assert_eq!(registry.digest("app:1"), digest);
    outcome.says(&["goes on in"]);
    // This registry (2.8) signs how far it got into the address of a session, so that after a cut
    // no address fits any more: it says 404 to whoever asks. Others go on (`registry::push_tests`).
    let requests = registry.requests();
    let at = |what: &dyn Fn(&str) -> bool| requests.iter().position(|one| what(one));
    let is = |method: &'static str, end: &'static str| {
        move |one: &str| {
            one.starts_with(method) && one.contains("/blobs/uploads/") && one.ends_with(end)
        }
    };
    let broken = at(&|one| one.starts_with("PUT ") && !one.ends_with(" 201"));
    let asked = at(&is("GET ", " 404"));
    assert!(broken.is_some() && broken < asked, "it asks how far it got: {requests:#?}");
    let again = requests[asked.unwrap_or(0)..].iter();
    let again = again.filter(|one| is("POST ", " 202")(one) || is("PUT ", " 201")(one)).count();
    assert!(again >= 2, "a new session, and the whole blob: {requests:#?}");
    let sent = sent.load(Ordering::SeqCst);
    assert!(sent < SIZE as u64 * 2, "{sent} bytes were sent for {SIZE}");
    // What arrived is what was sent.
    let text = format!("FROM {}/app:1\nCOPY small /\n", registry.host());
    place.file("ctx/small", "s");
    Build::text(&place, &text).store(place.folder("other")).arg("-o=type=cacheonly").run().digest();
}

#[test]
fn a_base_is_mounted_from_its_repository() {
    if !have(&["docker-registry", "skopeo"]) {
        return;
    }
    let registry = Registry::start();
    let place = Place::new(Who::usual());
    let layout = place.at("base");
    if busybox(&layout).is_none() {
        return;
    }
    registry.push(&layout, "bases/busy:1");
    let host = registry.host();
    let before = registry.requests().len();
    let text = format!("FROM {host}/bases/busy:1\nCOPY <<x /x\ny\nx\n");
    let build = Build::text(&place, &text).arg("--push").arg(format!("--tag={host}/app:1"));
    build.run().digest();
    let requests = &registry.requests()[before..];
    let mounts = requests.iter().filter(|one| one.starts_with("POST ") && one.contains("?mount="));
    let mounts: Vec<_> = mounts.filter(|one| one.contains("from=bases%2Fbusy")).collect();
    assert_eq!(mounts.len(), 1, "the base has one layer: {requests:#?}");
    assert!(mounts[0].ends_with(" 201"), "{mounts:?}");
    let sent = requests.iter().filter(|one| one.starts_with("PUT ") && one.contains("/uploads/"));
    assert_eq!(sent.count(), 2, "the new layer and the config: {requests:#?}");
    assert!(!requests.iter().any(|one| one.starts_with("PATCH ")), "{requests:#?}");
}

#[test]
fn certificates_that_nobody_knows() {
    if !have(&["docker-registry", "openssl"]) {
        return;
    }
    let registry = Registry::with_tls();
    let host = registry.host();
    let place = Place::new(Who::usual());
    let ca = format!(
        "--ca-file={}",
        place.file("ca.pem", std::fs::read(registry.ca()).expect("PEM")).display()
    );
    let name = format!("{host}/app:1");
    let push = |arguments: &[&str]| {
        let mut build = Build::text(&place, "FROM scratch\nCOPY <<x /x\ny\nx\n");
        for argument in arguments {
            build = build.arg(argument);
        }
        build.run()
    };
    let tag = format!("--tag={name}");
    push(&["--push", &tag]).fails(5, &[host, "certificate"]);
    push(&["-o=type=registry", &tag]).fails(5, &["certificate"]);
    let digest = push(&["-o=type=registry,insecure=true", &tag]).digest();
    let named = format!("-o=type=registry,insecure=true,name={host}/named:1");
    assert_eq!(push(&[&named]).digest(), digest);
    assert_eq!(push(&["--push", &tag, &ca]).digest(), digest);

    // Pulls, and files by their address.
    let text = format!("FROM {name}\nADD https://{host}/v2/ /answer\n");
    let fetch = |argument: &str| {
        let store = place.folder(format!("fresh-{}", argument.len()));
        Build::text(&place, &text).store(store).arg(argument).run()
    };
    fetch("--label=a=b").fails(5, &["certificate"]);
    let outcome = fetch(&ca);
    let image = outcome.image();
    assert_eq!(image.text("answer"), "{}");
    assert_eq!(image.text("x"), "y\n");
}

#[test]
fn insecure_is_plain_http_where_there_is_no_tls() {
    if !have(&["docker-registry", "skopeo"]) {
        return;
    }
    let registry = Registry::start();
    let place = Place::new(Who::usual());
    let name = format!("{}/plain:1", registry.host());
    let output = format!("-o=type=registry,insecure=true,name={name}");
    let build = Build::text(&place, "FROM scratch\nCOPY <<x /x\ny\nx\n").arg(output);
    assert_eq!(build.run().digest(), registry.digest("plain:1"));
}
