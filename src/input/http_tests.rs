//! What `http` fetches, from a server of one file.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::event::Events;
use crate::registry::{Credentials, Network, RegistryConfig, Retry};

// A server for one file `f.txt` with a time and a tag. Returns its address, and what it was asked:
// the request lines, with ` again` where the answer was "not changed".
fn serve(content: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let asked = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let mut request = lines.next().unwrap().unwrap();
            for line in lines {
                match line.unwrap().as_str() {
                    "" => break,
                    "if-none-match: \"tag\"" => request.push_str(" again"),
                    _ => {}
                }
            }
            let (status, body) = match request.as_str() {
                line if line.ends_with("again") => ("304 Not Modified", ""),
                line if line.starts_with("GET /f.txt") => ("200 OK", content),
                _ => ("404 Not Found", "no"),
            };
            asked.lock().unwrap().push(request.replace(" HTTP/1.1", ""));
            let head = format!(
                "HTTP/1.1 {status}\r\nETag: \"tag\"\r\nConnection: close\r\nContent-Length: {}\r\n\
                 Last-Modified: Thu, 02 Jan 2014 03:04:05 GMT\r\n\
                 Content-Disposition: attachment; filename=other\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
        }
    });
    (address, seen)
}

fn registry(network: Network) -> Registry {
    let mut config = RegistryConfig::default();
    config.retry =
        Retry { tries: 2, first_wait: Duration::from_millis(2), max_wait: Duration::from_secs(1) };
    Registry::new(config, Credentials::none(), Events::silent(), network).unwrap()
}

fn get(folder: &Path, url: &str, checksum: Option<Digest<Blob>>) -> Result<Fetched, String> {
    get_by(Network::Online, folder, url, checksum)
}

fn get_by(
    network: Network,
    folder: &Path,
    url: &str,
    checksum: Option<Digest<Blob>>,
) -> Result<Fetched, String> {
    let store = Store::open(&folder.join("store")).unwrap();
    fetch(url, checksum, 1000, &registry(network), &store).map_err(|error| error.to_string())
}

#[test]
fn a_file_has_name_time_and_digest() {
    let (address, _) = serve("hello");
    let folder = tempfile::tempdir().unwrap();
    let got = get(folder.path(), &format!("{address}/f.txt?v=1"), None).unwrap();
    let mut text = String::new();
    (&*got.file).read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), got.size), ("hello", 5));
    assert_eq!(got.name.as_deref(), Some("f.txt"));
    assert_eq!(got.mtime, 1_388_631_845);
    assert_eq!(got.digest, Digest::of(b"hello"));
}

#[test]
fn what_did_not_change_is_not_fetched_again() {
    let (address, seen) = serve("hello");
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{address}/f.txt");
    for _ in 0..2 {
        assert_eq!(get(folder.path(), &url, None).unwrap().digest, Digest::of(b"hello"));
    }
    assert_eq!(*seen.lock().unwrap(), ["GET /f.txt", "GET /f.txt again"]);
    // A copy that was damaged is none.
    let store = Store::open(&folder.path().join("store")).unwrap();
    std::fs::write(store.blob_path(Digest::of(b"hello")), "hullo").unwrap();
    get(folder.path(), &url, None).unwrap();
    assert_eq!(seen.lock().unwrap().last().unwrap(), "GET /f.txt");
}

#[test]
fn a_checksum_is_checked_and_saves_the_question() {
    let (address, seen) = serve("hello");
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{address}/f.txt");
    let (good, bad) = (Digest::of(b"hello"), Digest::of(b"other"));
    let error = get(folder.path(), &url, Some(bad)).unwrap_err();
    assert_eq!(error, format!("checksum mismatch of `{url}`: wanted {bad}, got {good}"));
    let store = Store::open(&folder.path().join("store")).unwrap();
    assert!(!store.has(good), "nothing is kept");
    for network in [Network::Online, Network::Offline] {
        get_by(network, folder.path(), &url, Some(good)).unwrap();
    }
    assert_eq!(*seen.lock().unwrap(), ["GET /f.txt", "GET /f.txt"]);
    // A known file does not stand in for another.
    assert!(get(folder.path(), &url, Some(bad)).is_err());
    let offline = get_by(Network::Offline, folder.path(), &url, None).unwrap_err();
    assert!(offline.contains(&url) && offline.contains("offline"), "{offline}");
}

#[test]
fn failures_hold_no_secrets() {
    let (address, _) = serve("hello");
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/nope?sig=hunter2", address.replace("//", "//me:hunter2@"));
    let error = get(folder.path(), &url, None).unwrap_err();
    assert!(error.contains("/nope") && error.contains("404"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    let error = get(folder.path(), "ftp://me:hunter2@h/x", None).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn times_of_http() {
    for (text, want) in [
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
        ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
        ("Thu, 02 Jan 2014 03:04:05 GMT", Some(1_388_631_845)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ("Wed, 31 Dec 1969 23:59:59 GMT", Some(-1)),
        ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
        ("Sun, 06 Nov 1994 08:49:37 PST", None),
        ("Sun, 06 Nov 1994 24:49:37 GMT", None),
        ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", None),
        ("yesterday", None),
        ("", None),
    ] {
        assert_eq!(seconds(text), want, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_time_is_read(text in "[A-Za-z0-9:, -]{0,40}") {
        let _ = seconds(&text);
    }
}
