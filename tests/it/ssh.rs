//! `RUN --mount=type=ssh` with a real agent: the step lists and signs, and can do no more.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Build, Place, Server, Who, have, ok, wait_for};

/// An agent with one key, of the place's user.
struct Agent {
    _server: Server,
    socket: PathBuf,
    public: PathBuf,
}

impl Agent {
    fn start(place: &Place) -> Agent {
        let (who, home) = (place.who(), place.at("home"));
        let socket = place.at("agent");
        let mut command = vec!["ssh-agent".to_owned(), "-D".to_owned(), "-a".to_owned()];
        command.push(socket.display().to_string());
        if let Some((uid, gid)) = who.ids() {
            let user = ["setpriv".to_owned(), format!("--reuid={uid}"), format!("--regid={gid}")];
            let user = user.into_iter().chain(["--clear-groups".to_owned(), "--".to_owned()]);
            command = user.chain(command).collect();
        }
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let log = place.at("agent.log");
        let server = Server::start(&command, &log);
        wait_for(&server, &log, || socket.exists().then_some(()));
        let key = place.at("key");
        let mut keygen = who.command("ssh-keygen", &home);
        ok(keygen
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "key-of-the-tests", "-f"])
            .arg(&key));
        let agent = Agent { _server: server, socket, public: place.at("key.pub") };
        ok(agent.client(place).arg(&key));
        fs::remove_file(key).expect("a file of ours");
        agent
    }

    /// `ssh-add` of the place's user, at the agent itself.
    fn client(&self, place: &Place) -> Command {
        let mut client = place.who().command("ssh-add", &place.at("home"));
        client.env("SSH_AUTH_SOCK", &self.socket);
        client
    }

    fn argument(&self) -> String {
        format!("--ssh=default={}", self.socket.display())
    }
}

/// Puts a program of the host with its libraries into `ctx/tools`, for `/tools/ld /tools/PROGRAM`.
fn bring(place: &Place, programs: &[&str]) {
    let mut files = BTreeSet::new();
    for program in programs {
        let path = format!("/usr/bin/{program}");
        let listed = ok(Command::new("ldd").arg(&path));
        files.insert(path);
        let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
        files.extend(libraries.map(str::to_owned));
    }
    for file in files {
        let name = Path::new(&file).file_name().expect("a file").to_string_lossy().into_owned();
        let name = if name.starts_with("ld-linux") { "ld".to_owned() } else { name };
        let copy = place.at(format!("ctx/tools/{name}"));
        place.folder("ctx/tools");
        fs::copy(&file, copy).expect("copying a program of the host");
    }
}

#[test]
fn a_step_lists_and_signs_and_no_more() {
    if !have(&["ssh-agent", "ssh-add", "ssh-keygen", "ldd"]) {
        return;
    }
    for who in Who::every() {
        let place = Place::new(who);
        let agent = Agent::start(&place);
        bring(&place, &["ssh-add", "ssh-keygen"]);
        fs::copy(&agent.public, place.at("ctx/tools/key.pub")).expect("copying a public key");
        let text = "FROM busybox\n\
             RUN --mount=type=ssh --mount=target=/ctx <<END\n\
             set -eu; refused=0\n\
             tool() { program=$1; shift; /ctx/tools/ld --library-path /ctx/tools /ctx/tools/$program \"$@\"; }\n\
             echo \"socket $SSH_AUTH_SOCK\"; stat -c 'mode %a of %u:%g' $SSH_AUTH_SOCK\n\
             echo \"listed: $(tool ssh-add -L)\"\n\
             cp /ctx/tools/key.pub /tmp/key.pub; echo data > /tmp/data\n\
             tool ssh-keygen -q -Y sign -n file -f /tmp/key.pub /tmp/data\n\
             tool ssh-keygen -Y check-novalidate -n file -s /tmp/data.sig < /tmp/data\n\
             ! tool ssh-add -D 2>&1 && refused=$((refused+1))\n\
             ! tool ssh-add -d /tmp/key.pub 2>&1 && refused=$((refused+1))\n\
             tool ssh-keygen -q -t ed25519 -N '' -f /tmp/own\n\
             ! tool ssh-add /tmp/own 2>&1 && refused=$((refused+1))\n\
             ! printf 'p\\np\\n' | tool ssh-add -x 2>&1 && refused=$((refused+1))\n\
             ! chmod 777 $SSH_AUTH_SOCK 2>/dev/null && refused=$((refused+1))\n\
             rm -r /tmp/*; echo \"refused $refused of 5\"\n\
             END\n\
             RUN test ! -e /run/buildkit && test -z \"${SSH_AUTH_SOCK-}\" && echo gone\n";
        let before = ok(agent.client(&place).arg("-L"));
        assert!(before.contains("key-of-the-tests"), "{before}");
        let (outcome, image) = Build::text(&place, text).arg(agent.argument()).image();
        let said = outcome.says(&[
            "] | socket /run/buildkit/ssh_agent.0",
            "] | mode 600 of 0:0",
            &format!("] | listed: {}", before.trim()),
            "] | Good \"file\" signature",
            "] | refused 5 of 5",
            "] | gone",
        ]);
        assert!(!said.contains(&agent.socket.display().to_string()), "the host's path was shown");
        assert!(!image.tree.keys().any(|path| path.starts_with("run/")), "as {who:?}");
        assert_eq!(ok(agent.client(&place).arg("-L")), before, "as {who:?}");
    }
}

#[test]
fn keys_of_files_list_and_sign() {
    if !have(&["ssh-add", "ssh-keygen", "ldd"]) {
        return;
    }
    for who in Who::every() {
        let place = Place::new(who);
        bring(&place, &["ssh-add", "ssh-keygen"]);
        let mut files = Vec::new();
        for kind in ["ed25519", "ecdsa", "rsa"] {
            let key = place.at(kind);
            let mut keygen = who.command("ssh-keygen", &place.at("home"));
            ok(keygen.args(["-q", "-t", kind, "-N", "", "-C", kind, "-f"]).arg(&key));
            fs::copy(place.at(format!("{kind}.pub")), place.at(format!("ctx/tools/{kind}.pub")))
                .expect("copying a public key");
            files.push(key.display().to_string());
        }
        let text = "FROM busybox\n\
             RUN --mount=type=ssh --mount=target=/ctx <<END\n\
             set -eu\n\
             tool() { program=$1; shift; /ctx/tools/ld --library-path /ctx/tools /ctx/tools/$program \"$@\"; }\n\
             tool ssh-add -l\n\
             echo data > /tmp/data\n\
             for kind in ed25519 ecdsa rsa; do\n\
               cp /ctx/tools/$kind.pub /tmp/key.pub; rm -f /tmp/data.sig\n\
               tool ssh-keygen -q -Y sign -n file -f /tmp/key.pub /tmp/data\n\
               tool ssh-keygen -Y check-novalidate -n file -s /tmp/data.sig < /tmp/data\n\
             done\n\
             ! tool ssh-add -D 2>&1 && echo refused\n\
             rm -r /tmp/*\n\
             END\n";
        let argument = format!("--ssh=default={}", files.join(","));
        let (outcome, _) = Build::text(&place, text).arg(&argument).image();
        outcome.says(&[
            "ed25519 (ED25519)",
            "ecdsa (ECDSA)",
            "rsa (RSA)",
            "Good \"file\" signature with ED25519",
            "Good \"file\" signature with ECDSA",
            "Good \"file\" signature with RSA",
            "] | refused",
        ]);
        // One with a passphrase: nobody is asked for it.
        let locked = place.at("locked");
        let mut keygen = who.command("ssh-keygen", &place.at("home"));
        ok(keygen.args(["-q", "-t", "ed25519", "-N", "passphrase", "-f"]).arg(&locked));
        let outcome =
            Build::text(&place, text).arg(format!("--ssh=default={}", locked.display())).run();
        assert_eq!(outcome.done.code(), 2, "{}", outcome.story());
        outcome.says(&["the key is encrypted", "ssh-add"]);
    }
}

#[test]
fn agents_have_names_targets_and_owners() {
    if !have(&["ssh-agent", "ssh-add", "ssh-keygen"]) {
        return;
    }
    for who in Who::every().into_iter().filter(|who| *who != Who::Single) {
        let place = Place::new(who);
        let agent = Agent::start(&place);
        let text = "FROM busybox\n\
             RUN --mount=type=ssh,id=absent --mount=type=ssh,id=work,target=/s/agent,uid=12,gid=34,mode=0640,required=true \
                 test -S /s/agent && stat -c 'mode %a of %u:%g' /s/agent && echo \"socket $SSH_AUTH_SOCK\"\n";
        let argument = format!("--ssh=work={}", agent.socket.display());
        let (outcome, image) = Build::text(&place, text).arg(argument).image();
        outcome.says(&["] | mode 640 of 12:34", "] | socket /s/agent"]);
        assert!(!image.tree.contains_key("s"), "as {who:?}");
    }
}

#[test]
fn the_agent_is_no_part_of_the_key() {
    if !have(&["ssh-agent", "ssh-add", "ssh-keygen"]) {
        return;
    }
    let place = Place::new(Who::usual());
    let agent = Agent::start(&place);
    let text = "FROM busybox\nRUN --mount=type=ssh echo once\n";
    Build::text(&place, text).arg(agent.argument()).image().0.says(&["] | once"]);
    let (outcome, _) = Build::text(&place, text).image();
    assert!(!outcome.err().contains("] | once"), "{}", outcome.story());
}

#[test]
fn what_is_no_agent_is_told() {
    let place = Place::new(Who::usual());
    let key = place.file("key", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    let text = "FROM busybox\nRUN --mount=type=ssh,required=true true\n";
    let build = || Build::text(&place, text);
    build().run().fails(4, &["ssh agent `default`", "--ssh default"]);
    build().arg("--ssh=default").run().fails(2, &["SSH_AUTH_SOCK is not set", "ssh-agent"]);
    let argument = format!("--ssh=default={}", key.display());
    build().arg(argument).run().fails(2, &["there is no private key", "ssh-add"]);
    let argument = format!("--ssh=default={}", place.folder("folder").display());
    build().arg(argument).run().fails(2, &["neither an agent's socket nor a key"]);
    build().arg("--ssh=default=/nowhere/at/all").run().fails(2, &["/nowhere/at/all"]);
}

#[test]
fn a_repository_over_ssh_uses_the_agent() {
    if !have(&["ssh-agent", "ssh-add", "ssh-keygen", "git"]) {
        return;
    }
    for who in Who::every() {
        let place = Place::new(who);
        let agent = Agent::start(&place);
        let log = place.at("listed");
        // Instead of a host on the network: tells what the agent has, and serves from here.
        let script = format!(
            "#!/bin/sh\nssh-add -L > '{}'\nfor last; do :; done\nexec sh -c \"$last\"\n",
            log.display()
        );
        let program = place.file("bin/ssh", script);
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", place.at("bin").display());
        place.file("work/file", "of the repository\n");
        for line in [
            &["init", "-q", "-b", "main", "."][..],
            &["add", "file"],
            &["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "x"],
        ] {
            let mut git = who.command("git", &place.at("home"));
            ok(git.args(line).current_dir(place.at("work")));
        }
        let address = format!("git@example.com:{}/.git#main", place.at("work").display());
        let text = format!("FROM scratch\nADD {address} /repo\n");
        let build = || Build::text(&place, &text).env("PATH", &path);
        build().run().fails(2, &["there is no ssh agent", "--ssh default"]);
        let (_, image) = build().arg("--ssh=default").env("SSH_AUTH_SOCK", &agent.socket).image();
        assert!(image.tree.contains_key("repo/file"), "as {who:?}");
        let listed = fs::read_to_string(&log).expect("the stand-in for ssh was used");
        assert!(listed.contains("key-of-the-tests"), "{listed}");
        // A key of a file has a socket for git, too; nothing of it is left.
        let key = place.at("file-key");
        let mut keygen = who.command("ssh-keygen", &place.at("home"));
        ok(keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "key-of-a-file", "-f"]).arg(&key));
        let argument = format!("--ssh=default={}", key.display());
        build().arg("--no-cache").arg(argument).image();
        let listed = fs::read_to_string(&log).expect("the stand-in for ssh was used");
        assert!(listed.contains("key-of-a-file"), "{listed}");
    }
}
