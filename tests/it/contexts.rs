//! Contexts that are no folder of the host: tars, addresses, repositories; and what goes with them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::{Done, Image, Place, Who, have, ok, run};

const TEXT: &str = "FROM scratch\nCOPY . /\n";

/// Runs a build with these arguments, in the place; standard input is this file.
fn build(place: &Place, arguments: &[&str], stdin: Option<&Path>) -> Done {
    let mut command = place.who().command("sh", &place.at("home"));
    let stdin = stdin.map_or(PathBuf::from("/dev/null"), Path::to_owned);
    command.args(["-c", "in=$1; shift; exec \"$@\" < \"$in\"", "sh"]).arg(stdin);
    command.arg(place.program()).args(["build", "--progress=plain", "--policy=none", "--root"]);
    command.arg(place.at("store")).args(arguments).current_dir(place.path());
    run(&mut command, Duration::from_secs(60))
}

#[track_caller]
fn image(place: &Place, arguments: &[&str], stdin: Option<&Path>) -> Vec<String> {
    let done = build(place, arguments, stdin);
    assert_eq!(done.code(), 0, "{arguments:?}\n{}", done.err());
    let image = Image::read(&place.at("image.oci"));
    fs::remove_dir_all(place.at("image.oci")).expect("it was written");
    image.tree.keys().cloned().collect()
}

/// A place with a context's files in `src`.
fn place() -> Place {
    let place = Place::new(Who::usual());
    place.file("src/Dockerfile", TEXT);
    place.file("src/other/Dockerfile", "FROM scratch\nCOPY kept /kept\n");
    place.file("src/kept", "k");
    place.file("src/left.log", "l");
    place.file("src/.dockerignore", "*.log\nDockerfile\nother\n.dockerignore\n");
    place
}

fn tar(place: &Place, name: &str, how: &str) -> PathBuf {
    let mut command = place.who().command("tar", &place.at("home"));
    ok(command
        .arg("-c")
        .arg(how)
        .arg("-f")
        .arg(place.at(name))
        .args(["-C", "src", "."])
        .current_dir(place.path()));
    place.at(name)
}

#[test]
fn a_tar_brings_its_dockerfile_along() {
    let place = place();
    for (name, how) in
        [("plain.tar", "-v"), ("c.tar.gz", "-z"), ("c.tar.xz", "-J"), ("c.tar.bz2", "-j")]
    {
        let tar = tar(&place, name, how);
        assert_eq!(image(&place, &["-"], Some(&tar)), ["kept"], "{name} on standard input");
        assert_eq!(image(&place, &[name], None), ["kept"], "{name} as a file");
    }
    let tar = tar(&place, "again.tar.gz", "-z");
    let list = image(&place, &["-f", "other/Dockerfile", "-"], Some(&tar));
    assert_eq!(list, ["kept"]);
    let done = build(&place, &["-f", "nowhere", "-"], Some(&tar));
    assert_eq!(done.code(), 2, "{}", done.err());
    assert!(done.err().contains("no `nowhere` in the context"), "{}", done.err());
    // No link of it leads out.
    fs::remove_file(place.at("src/Dockerfile")).expect("it is there");
    std::os::unix::fs::symlink(place.file("outside", TEXT), place.at("src/Dockerfile"))
        .expect("ours");
    let tar = self::tar(&place, "link.tar", "-v");
    assert_eq!(build(&place, &["-"], Some(&tar)).code(), 2);
}

#[test]
fn a_dockerfile_on_standard_input() {
    let place = place();
    let text = place.file("text", "FROM scratch\nCOPY kept /here\n");
    assert_eq!(image(&place, &["-f", "-", "src"], Some(&text)), ["here"]);
    let alone = place.file("alone", "FROM scratch\nCOPY <<x /made\ntext\nx\n");
    assert_eq!(image(&place, &["-"], Some(&alone)), ["made"]);
    let done = build(&place, &["--call=targets", "-"], Some(&alone));
    assert!(done.code() == 0 && done.out().contains("(default)"), "{}{}", done.out(), done.err());
    assert_eq!(build(&place, &["-f", "src/Dockerfile", "-"], Some(&alone)).code(), 2);
}

/// Serves the files of a folder; notes the `Authorization` of each request.
fn serve(folder: PathBuf) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let notes = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (folder, notes) = (folder.clone(), Arc::clone(&notes));
            std::thread::spawn(move || answer(stream, &folder, &notes));
        }
    });
    (host, seen)
}

fn answer(mut stream: TcpStream, folder: &Path, notes: &Mutex<Vec<String>>) {
    let mut lines =
        BufReader::new(stream.try_clone().expect("a handle")).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(login) = line.strip_prefix("Authorization: ") {
            notes.lock().unwrap().push(login.to_owned());
        }
    }
    let path = first.split(' ').nth(1).unwrap_or("/").split('?').next().unwrap_or("/");
    let (status, bytes) = match fs::read(folder.join(path.trim_start_matches('/'))) {
        Ok(bytes) => ("200 OK", bytes),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes));
}

#[test]
fn a_tar_by_its_address() {
    let place = place();
    place.folder("served");
    tar(&place, "served/c.tar.gz", "-z");
    let (host, _) = serve(place.at("served"));
    let url = format!("http://{host}/c.tar.gz");
    assert_eq!(image(&place, &[&url], None), ["kept"]);
    let done = build(&place, &[&format!("{url}#checksum=sha256:{}", "0".repeat(64))], None);
    assert_eq!(done.code(), 6, "{}", done.err());
    place.file("ctx/Dockerfile", "FROM scratch\nCOPY --from=more kept /named\n");
    assert_eq!(image(&place, &[&format!("--build-context=more={url}"), "ctx"], None), ["named"]);
}

#[test]
fn a_repository_with_a_token() {
    if !have(&["git"]) {
        return;
    }
    let place = place();
    fs::remove_file(place.at("src/left.log")).expect("it is there");
    let git = |arguments: &[&str]| {
        let mut git = place.who().command("git", &place.at("home"));
        git.args(["-c", "user.name=t", "-c", "user.email=t@example.com"]);
        ok(git.args(arguments).current_dir(place.at("src")));
    };
    git(&["init", "-q", "-b", "main", "."]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "x"]);
    place.folder("served");
    git(&["clone", "-q", "--bare", ".", "../served/x.git"]);
    git(&["--git-dir=../served/x.git", "update-server-info"]);
    let (host, seen) = serve(place.at("served"));
    let url = format!("http://{host}/x.git#main");
    let token = place.file("token", "hunter2-of-the-tests\n");
    let secret = format!("--secret=id=GIT_AUTH_TOKEN,src={}", token.display());
    assert_eq!(image(&place, &[&secret, &url], None), ["kept"]);
    // printf x-access-token:hunter2-of-the-tests | base64
    let want = "Basic eC1hY2Nlc3MtdG9rZW46aHVudGVyMi1vZi10aGUtdGVzdHM=";
    let logins = std::mem::take(&mut *seen.lock().unwrap());
    assert!(!logins.is_empty() && logins.iter().all(|login| login == want), "{logins:?}");

    place.file("ctx/Dockerfile", format!("FROM scratch\nADD {url} /r\n"));
    let done = build(&place, &[&secret, "ctx"], None);
    assert_eq!(done.code(), 0, "{}", done.err());
    assert!(!done.err().contains("hunter2"), "{}", done.err());
    assert!(seen.lock().unwrap().iter().all(|login| login == want));
    fs::remove_dir_all(place.at("image.oci")).expect("it was written");

    let sub = format!("http://{host}/x.git#main:other");
    let done = build(&place, &[&sub], None);
    assert!(done.code() == 4 && done.err().contains("kept"), "the folder alone: {}", done.err());
    let done = build(&place, &[&format!("http://{host}/x.git#mian")], None);
    assert!(done.err().contains("has no ref `mian`"), "{}", done.err());
}

#[test]
fn what_a_build_writes_is_no_part_of_a_named_context() {
    let place = place();
    place.file("more/file", "x");
    place.file("ctx/Dockerfile", "FROM scratch\nCOPY --from=more . /\n");
    let arguments = [
        "--build-context=more=more",
        "-o",
        "type=oci,dest=more/out.oci,tar=false",
        "--metadata-file=more/meta",
        "ctx",
    ];
    let mut digests = Vec::new();
    for _ in 0..2 {
        let done = build(&place, &arguments, None);
        assert_eq!(done.code(), 0, "{}", done.err());
        digests.push(done.out());
    }
    assert_eq!(digests[0], digests[1], "its own output is not copied");
    assert!(File::open(place.at("more/out.oci/index.json")).is_ok());
}
