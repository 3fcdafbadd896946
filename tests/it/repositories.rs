//! `ADD` of git repositories from a real `git daemon`, by every form of address.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Build, Place, Who, have, ok};

/// A daemon for the repositories in `git` of the place; gives its `HOST:PORT`. It runs as the owner
/// of the repositories: git serves nobody else's. Between it and the client stands a copier that
/// takes all that is sent: a daemon that ends with something unread would reset the connection, and
/// its last answer would be lost.
fn daemon(place: &Place) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    let (who, home) = (place.who(), place.at("home"));
    let base_path = format!("--base-path={}", place.folder("git").display());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut git = who.command("git", &home);
            git.args(["daemon", "--inetd", "--export-all"]).arg(&base_path);
            git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
            let Ok(mut child) = git.spawn() else { continue };
            let (mut to, mut from) =
                (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
            let mut asked = stream.try_clone().expect("a handle");
            std::thread::spawn(move || {
                pass(&mut asked, &mut to);
                drop(to);
                pass(&mut asked, &mut io::sink());
            });
            std::thread::spawn(move || {
                let mut answer = stream;
                pass(&mut from, &mut answer);
                let _ = answer.shutdown(Shutdown::Write);
                let _ = child.wait();
            });
        }
    });
    host
}

// Piece by piece as it comes, until either side ends.
fn pass(from: &mut impl Read, to: &mut impl Write) {
    let mut piece = [0; 8192];
    while let Ok(got) = from.read(&mut piece) {
        if got == 0 || to.write_all(&piece[..got]).is_err() {
            break;
        }
    }
}

fn git(place: &Place, folder: &Path, arguments: &[&str]) -> String {
    let mut git: Command = place.who().command("git", &place.at("home"));
    git.args(["-c", "user.name=t", "-c", "user.email=t@example.com"]);
    ok(git.args(arguments).current_dir(folder)).trim().to_owned()
}

#[test]
fn a_repository_by_every_form_of_its_address() {
    if !have(&["git"]) {
        return;
    }
    for who in Who::every() {
        let place = Place::new(who);
        let host = daemon(&place);
        let module = place.folder("git/m");
        git(&place, &module, &["init", "-q", "-b", "main", "."]);
        place.file("git/m/inside", "module");
        git(&place, &module, &["add", "-A"]);
        git(&place, &module, &["commit", "-q", "-m", "x"]);
        let folder = place.folder("git/r");
        git(&place, &folder, &["init", "-q", "-b", "main", "."]);
        place.file("git/r/top", "one");
        place.file("git/r/sub/deep", "one");
        git(&place, &folder, &["add", "-A"]);
        git(&place, &folder, &["commit", "-q", "-m", "x"]);
        git(&place, &folder, &["tag", "v1"]);
        let first = git(&place, &folder, &["rev-parse", "HEAD"]);
        place.file("git/r/top", "two");
        // Taken from the disk, and said to be at the daemon: only the build goes there.
        let (disk, address) = (module.display().to_string(), format!("git://{host}/m"));
        let add = ["submodule", "--quiet", "add", &disk, "mod"];
        git(&place, &folder, &[&["-c", "protocol.file.allow=always"], &add[..]].concat());
        git(&place, &folder, &["config", "-f", ".gitmodules", "submodule.mod.url", &address]);
        git(&place, &folder, &["commit", "-q", "-a", "-m", "y"]);
        git(&place, &folder, &["checkout", "-q", "-b", "next"]);
        place.file("git/r/sub/deep", "three");
        git(&place, &folder, &["commit", "-q", "-a", "-m", "z"]);
        let third = git(&place, &folder, &["rev-parse", "HEAD"]);
        git(&place, &folder, &["checkout", "-q", "main"]);

        let url = format!("git://{host}/r");
        let (_, image) = Build::text(
            &place,
            &format!(
                "FROM scratch\nADD {url} /default/\nADD {url}#next /branch/\nADD {url}#v1 /tag/\n\
                 ADD {url}#{first} /commit/\nADD {url}#next:sub /subdir/\n\
                 ADD {url}?branch=next&subdir=sub /query/\n\
                 ADD {url}?ref=main&submodules=false /alone/\n\
                 ADD --keep-git-dir {url}#v1 /kept/\n\
                 ADD --checksum={third} {url}#next /checked/\n\
                 ADD --chown=7:8 --chmod=0640 {url}?tag=v1 /owned/\n"
            ),
        )
        .image();
        for (path, want) in [
            ("default/top", "two"),
            ("default/sub/deep", "one"),
            ("default/mod/inside", "module"),
            ("branch/sub/deep", "three"),
            ("tag/top", "one"),
            ("commit/top", "one"),
            ("subdir/deep", "three"),
            ("query/deep", "three"),
            ("alone/top", "two"),
            ("kept/top", "one"),
            ("checked/sub/deep", "three"),
            ("owned/top", "one"),
        ] {
            assert_eq!(image.text(path), want, "{path}, {who:?}");
        }
        let has = |path: &str| image.tree.contains_key(path);
        assert!(has("kept/.git/HEAD") && !has("tag/.git") && !has("default/mod/.git"), "{who:?}");
        assert!(!has("alone/mod/inside") && !has("subdir/top") && !has("tag/mod"), "{who:?}");
        let owned = &image.tree["owned/top"];
        assert_eq!((owned.owner, owned.mode), ((7, 8), 0o640), "{who:?}");
        std::fs::remove_dir_all(place.at("image.oci")).expect("it was written");

        for (line, code, said) in [
            (format!("ADD --checksum={first} {url}#next /"), 6, third.as_str()),
            (format!("ADD {url}#mian /"), 4, "has no ref `mian`"),
            (format!("ADD {url}#v1:sub/none /"), 4, "has no folder `sub/none`"),
            (format!("ADD git://{host}/nowhere /"), 5, "not exported"),
        ] {
            Build::text(&place, &format!("FROM scratch\n{line}\n")).run().fails(code, &[said]);
        }
    }
}
