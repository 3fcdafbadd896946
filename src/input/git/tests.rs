//! Checkouts from repositories that `git daemon` serves on the loopback.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use super::*;
use crate::base::skipped;

fn path() -> Option<OsString> {
    std::env::var_os("PATH")
}

fn tools(network: Network) -> Tools {
    Tools { time_limit: Duration::from_secs(60), ..Tools::new(path(), network) }
}

// A folder with repositories, served at `git://HOST/name`.
struct Served {
    folder: tempfile::TempDir,
    host: String,
    store: Store,
}

// Skips, and says so, on a host without git or without its daemon.
fn served() -> Option<Served> {
    let git = tools(Network::Online).find("git");
    let there = git.is_some_and(|git| {
        let run = Command::new(git).args(["daemon", "--nonsense"]).output();
        run.is_ok_and(|output| String::from_utf8_lossy(&output.stderr).contains("usage"))
    });
    if !there {
        skipped("ADD of git repositories", "this host has no `git daemon`");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let base = format!("--base-path={}", folder.path().display());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let input = OwnedFd::from(stream.unwrap());
            let output = input.try_clone().unwrap();
            let _ = Command::new("git")
                .args(["daemon", "--inetd", "--export-all", &base])
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .stdin(Stdio::from(input))
                .stdout(Stdio::from(output))
                .stderr(Stdio::null())
                .spawn();
        }
    });
    let store = Store::open(&folder.path().join("store")).unwrap();
    Some(Served { folder, host, store })
}

impl Served {
    fn git(&self, repository: &str, arguments: &[&str]) -> String {
        let folder = self.folder.path().join(repository);
        fs::create_dir_all(&folder).unwrap();
        let output = Command::new("git")
            .args(["-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always"])
            .args(arguments)
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_NAME", "a")
            .env("GIT_AUTHOR_EMAIL", "a@example.com")
            .env("GIT_COMMITTER_NAME", "a")
            .env("GIT_COMMITTER_EMAIL", "a@example.com")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    // Commits these files on top; returns the commit.
    fn commit(&self, repository: &str, files: &[(&str, &str)]) -> String {
        self.git(repository, &["init", "-q"]);
        for (name, text) in files {
            let file = self.folder.path().join(repository).join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        self.git(repository, &["add", "-A"]);
        self.git(repository, &["commit", "-q", "-m", "x"]);
        self.git(repository, &["rev-parse", "HEAD"])
    }

    fn remote(&self, rest: &str) -> Remote {
        Remote::parse(&format!("git://{}/{rest}", self.host)).unwrap()
    }

    fn checkout(&self, remote: &Remote) -> Result<Checkout, String> {
        let tools = tools(Network::Online);
        resolve(remote, &tools, &self.store)
            .and_then(|resolved| checkout(remote, &resolved, &tools, &self.store))
            .map_err(|error| error.to_string().replace(&self.host, "HOST"))
    }

    // Files by path: their text, `-> target` of links. Folders are not listed.
    fn check(&self, rest: &str) -> Result<BTreeMap<String, String>, String> {
        self.checkout(&self.remote(rest)).map(|checkout| files(checkout.folder()))
    }
}

fn files(top: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.strip_prefix(top).unwrap().display().to_string();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_symlink() {
                found.insert(name, format!("-> {}", fs::read_link(&path).unwrap().display()));
            } else {
                found.insert(name, String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned());
            }
        }
    }
    found
}

fn list(files: &[(&str, &str)]) -> Result<BTreeMap<String, String>, String> {
    Ok(files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}

#[test]
fn refs_are_found_as_buildkit_finds_them() {
    let Some(served) = served() else { return };
    let first = served.commit("r", &[("a", "1"), ("sub/dir/b", "1")]);
    served.git("r", &["tag", "light"]);
    served.git("r", &["tag", "-a", "-m", "x", "both"]);
    served.git("r", &["update-ref", "refs/pull/7/head", "HEAD"]);
    let second = served.commit("r", &[("a", "2")]);
    served.git("r", &["branch", "both"]);
    let last = served.commit("r", &[("a", "3")]);
    let all = |text| list(&[("a", text), ("sub/dir/b", "1")]);
    for (rest, want) in [
        ("r", "3"),
        ("r#main", "3"),
        ("r#refs/heads/main", "3"),
        ("r#light", "1"),
        ("r#tags/both", "1"),
        ("r?tag=both", "1"),
        ("r#both", "2"),
        ("r#pull/7/head", "1"),
        (&format!("r#{second}"), "2"),
        (&format!("r#{first}"), "1"),
        (&format!("r?tag=both&checksum={first}"), "1"),
    ] {
        assert_eq!(served.check(rest), all(want), "{rest}");
    }
    assert_eq!(served.check("r#:sub"), list(&[("dir/b", "1")]));
    assert_eq!(served.check("r#nope"), Err("`git://HOST/r` has no ref `nope`".to_owned()));
    let short = &first[..8];
    assert_eq!(
        served.check(&format!("r#{short}")),
        Err(format!("`git://HOST/r` has no ref `{short}`"))
    );
    for (rest, found) in [("r?", last), ("r?tag=both&", first)] {
        let want =
            format!("checksum mismatch of `git://HOST/r`: wanted commit {second}, got {found}");
        assert_eq!(served.check(&format!("{rest}checksum={second}")), Err(want));
    }
    let nope = "1".repeat(40);
    let error = served.check(&format!("r#{nope}")).unwrap_err();
    assert!(error.starts_with("cannot "), "{error}");
    let error = served.check("nope").unwrap_err();
    assert!(error.starts_with("cannot ask `git://HOST/nope`: "), "{error}");
}

#[test]
fn modes_are_usual_and_git_is_left_out() {
    let Some(served) = served() else { return };
    served.commit("r", &[("run", "#!"), ("plain", "")]);
    let run = served.folder.path().join("r/run");
    fs::set_permissions(&run, fs::Permissions::from_mode(0o700)).unwrap();
    served.commit("r", &[("dir/x", "")]);
    let checkout = served.checkout(&served.remote("r")).unwrap();
    let mode =
        |name| fs::metadata(checkout.folder().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(["run", "plain", "dir"].map(mode), [0o755, 0o644, 0o755]);
    assert!(!checkout.folder().join(".git").exists());
    let folder = checkout.folder().to_owned();
    drop(checkout);
    assert!(!folder.exists());
}

#[test]
fn a_kept_git_folder_works_and_has_the_tag() {
    let Some(served) = served() else { return };
    served.commit("r", &[("a", "1")]);
    served.git("r", &["tag", "-a", "-m", "x", "v1"]);
    let checkout = served.checkout(&served.remote("r?tag=v1&keep-git-dir=1")).unwrap();
    let describe = Command::new("git")
        .args(["-C", checkout.folder().to_str().unwrap(), "describe", "--dirty"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&describe.stdout), "v1\n", "{describe:?}");
    assert!(!checkout.folder().join(".git/hooks").exists());
}

#[test]
fn submodules_come_along_unless_declined() {
    let Some(served) = served() else { return };
    served.commit("deep", &[("d", "1")]);
    served.commit("inner", &[("i", "1")]);
    let url = |name: &str| format!("git://{}/{name}", served.host);
    served.git("inner", &["submodule", "--quiet", "add", &url("deep"), "deep"]);
    served.commit("inner", &[]);
    served.commit("r", &[("a", "1")]);
    served.git("r", &["submodule", "--quiet", "add", &url("inner"), "lib"]);
    // Relative to the repository itself.
    served.git("r", &["config", "-f", ".gitmodules", "submodule.lib.url", "../inner"]);
    served.commit("r", &[]);
    let mut all = served.check("r").unwrap();
    assert!(all.remove(".gitmodules").is_some() && all.remove("lib/.gitmodules").is_some());
    assert_eq!(Ok(all), list(&[("a", "1"), ("lib/i", "1"), ("lib/deep/d", "1")]));
    let mut top = served.check("r?submodules=false").unwrap();
    top.remove(".gitmodules");
    assert_eq!(Ok(top), list(&[("a", "1")]));
}

#[test]
fn attack_56_submodules_reach_no_file_of_this_host() {
    let Some(served) = served() else { return };
    served.commit("secret", &[("s", "hunter2")]);
    served.commit("r", &[("a", "1")]);
    let local = served.folder.path().join("secret").display().to_string();
    for url in [local.clone(), format!("file://{local}"), "ext::sh -c id% >&2".to_owned()] {
        if !served.folder.path().join("r/lib").exists() {
            served.git("r", &["submodule", "--quiet", "add", &local, "lib"]);
        }
        served.git("r", &["config", "-f", ".gitmodules", "submodule.lib.url", &url]);
        served.commit("r", &[("change", &url)]);
        let error = served.check("r").unwrap_err();
        assert!(error.contains("fetch submodules of") && error.contains("not allowed"), "{error}");
    }
}

#[test]
fn attack_56_links_and_odd_subdirectories_do_not_lead_out() {
    let Some(served) = served() else { return };
    served.commit("r", &[("dir/a", "1"), ("file", "")]);
    let top = served.folder.path().join("r");
    std::os::unix::fs::symlink("/etc", top.join("etc")).unwrap();
    std::os::unix::fs::symlink("dir", top.join("inside")).unwrap();
    served.commit("r", &[]);
    assert_eq!(served.check("r").unwrap()["etc"], "-> /etc");
    for subdir in ["etc", "inside", "etc/passwd", "file", "nope"] {
        let error = served.check(&format!("r#:{subdir}")).unwrap_err();
        assert!(error.contains(&format!("has no folder `{subdir}`")), "{error}");
    }
}

#[test]
fn attack_56_nothing_of_the_repository_or_the_host_is_run() {
    let Some(served) = served() else { return };
    let mark = served.folder.path().join("mark");
    let touch = format!("touch {}", mark.display());
    served.commit(
        "r",
        &[
            (".gitattributes", "* filter=evil diff=evil merge=evil\n"),
            (
                ".gitconfig",
                &format!("[filter \"evil\"]\nsmudge = {touch}\n[core]\nfsmonitor = {touch}\n"),
            ),
            ("a", "1"),
            ("sub/HEAD", "ref: refs/heads/main\n"),
            ("sub/config", &format!("[core]\nfsmonitor = {touch}\nbare = false\nworktree = .\n")),
            ("sub/hooks/post-checkout", &format!("#!/bin/sh\n{touch}\n")),
        ],
    );
    assert_eq!(served.check("r").unwrap()["a"], "1");
    assert!(!mark.exists());
}

#[test]
fn offline_and_missing_programs_are_told() {
    let Some(served) = served() else { return };
    let remote = served.remote("r");
    let error = resolve(&remote, &tools(Network::Offline), &served.store).unwrap_err();
    assert!(error.to_string().contains("is needed for `git://"), "{error}");
    let nothing = Tools::new(Some("bin:".into()), Network::Online);
    let error = resolve(&remote, &nothing, &served.store).unwrap_err();
    assert!(matches!(error, Error::NoProgram { program: "git" }), "{error}");
    let ssh = Remote::parse("git@h:x").unwrap();
    let error = resolve(&ssh, &tools(Network::Online), &served.store).unwrap_err();
    assert!(matches!(error, Error::NoAgent { .. }), "{error}");
}

#[test]
fn a_repository_that_takes_too_long_is_given_up() {
    let Some(served) = served() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let remote = Remote::parse(&format!("git://{}/x", listener.local_addr().unwrap())).unwrap();
    let tools = Tools { time_limit: Duration::from_millis(300), ..tools(Network::Online) };
    let error = resolve(&remote, &tools, &served.store).unwrap_err();
    assert!(error.to_string().ends_with("it takes too long"), "{error}");
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let Some(served) = served() else { return };
    // It takes connections, and that is all.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = dead.local_addr().unwrap().to_string();
    let idle_limit = Duration::from_millis(200);
    let tools = Tools { idle_limit, ..tools(Network::Online) };
    let remote = Remote::parse(&format!("git://{host}/r")).unwrap();
    let started = std::time::Instant::now();
    let error = resolve(&remote, &tools, &served.store).unwrap_err();
    assert!(error.to_string().contains("nothing comes from its server"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(error.help().is_some());
}

// A web server that wants a login and has nothing. The login is in no argument and no message.
#[test]
fn attack_56_a_login_is_used_and_not_shown() {
    let Some(served) = served() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap();
    let logins = Arc::<Mutex<Vec<String>>>::default();
    let seen = logins.clone();
    let arguments = Arc::<Mutex<String>>::default();
    let noted = arguments.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let mut login = None;
            for line in lines.map(Result::unwrap).take_while(|line| !line.is_empty()) {
                if let Some(value) = line.strip_prefix("Authorization: ") {
                    login = Some(value.to_owned());
                }
            }
            noted.lock().unwrap().push_str(&all_arguments());
            let status = if login.is_some() { "403 Forbidden" } else { "401 Unauthorized" };
            seen.lock().unwrap().extend(login);
            let answer = format!(
                "HTTP/1.1 {status}\r\nWWW-Authenticate: Basic realm=\"x\"\r\nConnection: close\r\n\
                 Content-Length: 0\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let remote = Remote::parse(&format!("http://me:swordfish%21@{host}/x.git")).unwrap();
    let error = resolve(&remote, &tools(Network::Online), &served.store).unwrap_err();
    assert_eq!(*logins.lock().unwrap(), ["Basic bWU6c3dvcmRmaXNoIQ=="]);
    assert!(error.to_string().contains("403"), "{error}");
    assert!(!format!("{error} {error:?} {remote:?}").contains("swordfish"), "{error:?}");
    let arguments = arguments.lock().unwrap();
    assert!(arguments.contains("ls-remote") && !arguments.contains("swordfish"));
}

// The command lines of all processes.
fn all_arguments() -> String {
    let mut all = String::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        if let Ok(line) = fs::read(entry.path().join("cmdline")) {
            all.push_str(&String::from_utf8_lossy(&line));
        }
    }
    all
}

// A plain web server can give no part of a history: then all of it is fetched.
#[test]
fn a_repository_of_plain_files_is_taken_whole() {
    let Some(served) = served() else { return };
    let first = served.commit("r", &[("a", "1")]);
    served.commit("r", &[("a", "2")]);
    served.git("r", &["update-server-info"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap();
    let top = served.folder.path().join("r/.git");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let request = lines.next().unwrap();
            lines.find(|line| line.is_empty()).unwrap();
            let path = request.split([' ', '?']).nth(1).unwrap().replace("/x.git/", "");
            let (status, body) = match fs::read(top.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
        }
    });
    for (rest, want) in [("", "2"), (&format!("#{first}"), "1")] {
        let remote = Remote::parse(&format!("http://{host}/x.git{rest}")).unwrap();
        assert_eq!(files(served.checkout(&remote).unwrap().folder())["a"], want);
    }
}
