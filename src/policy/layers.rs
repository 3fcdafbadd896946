//! Rules about the layers of an image, by small images.

use std::collections::BTreeMap;

use super::*;
use crate::base::{ImagePath, Sums};
use crate::facts::{ImageFacts, LayerFacts, Needles, Origin, TableObserver};
use crate::image::Config;
use crate::layer::{Entry, EntryKind, Observer};

/// One layer: `base` or the command that made it, and its entries:
/// `MODE UID PATH CONTENT`, `d MODE UID PATH`, `-PATH` (removed), `=PATH` (opaque), `>PATH TARGET`
/// (symlink), `&PATH TARGET` (hard link).
type Layer<'a> = (&'a str, &'a [&'a str]);

fn table(entries: &[&str]) -> crate::facts::LayerTable {
    let mut table = TableObserver::new();
    for text in entries {
        let path = |text: &str| ImagePath::from_entry(text.as_bytes()).unwrap();
        let (mut mode, mut uid, mut content) = (0o777, 0, "");
        let (name, kind) = match text.split_at(1) {
            ("-", name) => (name, EntryKind::Whiteout),
            ("=", name) => (name, EntryKind::Opaque),
            (link @ (">" | "&"), rest) => {
                let (name, to) = rest.split_once(' ').unwrap();
                (
                    name,
                    match link {
                        ">" => EntryKind::Symlink(to.as_bytes().to_vec()),
                        _ => EntryKind::Hardlink(path(to)),
                    },
                )
            }
            _ => {
                let folder = text.strip_prefix("d ");
                let mut parts = folder.unwrap_or(text).splitn(4, ' ');
                mode = u32::from_str_radix(parts.next().unwrap(), 8).unwrap();
                uid = parts.next().unwrap().parse().unwrap();
                let name = parts.next().unwrap();
                content = parts.next().unwrap_or("");
                let size = content.len() as u64;
                (name, if folder.is_some() { EntryKind::Dir } else { EntryKind::File { size } })
            }
        };
        let is_file = matches!(kind, EntryKind::File { .. });
        let mut entry = Entry::new(path(name), kind, mode);
        entry.uid = uid;
        table.entry(&entry);
        if is_file {
            table.content(content.as_bytes());
        }
        table.end();
    }
    table.finish()
}

fn judge(policy: &Policy, config: &str, layers: &[Layer<'_>]) -> Report {
    let layers = layers
        .iter()
        .map(|(made, entries)| LayerFacts {
            table: table(entries).into(),
            origin: match *made {
                "base" => Origin::Base,
                made => Origin::Foreign(made.to_owned()),
            },
            leaks: Default::default(),
            steps: BTreeMap::new(),
        })
        .collect();
    let document = format!(
        r#"{{"os": "linux", "architecture": "amd64", "config": {config}, "rootfs": {{"type": "layers", "diff_ids": []}}}}"#
    );
    let config = Config::parse(document.as_bytes()).unwrap();
    let facts = ImageFacts::new(config, layers, &BTreeMap::new(), &Needles::default());
    check_image(ImageInput { facts: &facts, text: None }, policy)
}

/// Each finding of the rule in a profile as `LEVEL LAYER PATH`.
fn check(rule: &str, profile: &str, config: &str, layers: &[Layer<'_>], want: &[&str]) {
    let policy = Policy::builtin(profile).unwrap();
    let report = judge(&policy, config, layers);
    let found: Vec<String> = report
        .findings
        .iter()
        .filter(|finding| finding.rule == rule)
        .map(|finding| {
            let image = finding.image.as_ref().unwrap();
            let layer = image.layer.map_or("-".to_owned(), |layer| layer.to_string());
            format!("{} {layer} {}", finding.level.word(), image.path)
        })
        .collect();
    assert_eq!(found, want, "{rule} in {profile}: {layers:?}");
}

fn sums(content: &str) -> (String, String) {
    let mut sums = Sums::new();
    sums.update(content.as_bytes());
    sums.finish()
}

const NONE: &str = "{}";
const PEM: &str =
    "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY\n";

#[test]
fn packages_know_their_files() {
    let of = |file: &str, content: &str| format!("{}  {file}\n", sums(content).0);
    let before = format!("0644 0 /var/lib/dpkg/info/libc6.md5sums {}", of("lib/libc.so.6", "one"));
    let after = format!("0644 0 /var/lib/dpkg/info/libc6.md5sums {}", of("lib/libc.so.6", "two"));
    let base: &[&str] =
        &[&before, "d 0755 0 /usr/lib", ">/lib usr/lib", "0755 0 /usr/lib/libc.so.6 one"];
    // An upgrade changes both; who changes the file alone is found, and who fakes the database is not
    // believed about the other content.
    let modified = "package-file-modified";
    let replaced = "system-file-replaced";
    let upgrade: Layer<'_> = ("RUN apt", &[&after, "0755 0 /usr/lib/libc.so.6 two"]);
    let evil: Layer<'_> = ("RUN x", &["0755 0 /usr/lib/libc.so.6 evil"]);
    check(modified, "hardened", NONE, &[("base", base), upgrade], &[]);
    check(replaced, "hardened", NONE, &[("base", base), upgrade], &[]);
    let found = ["error 1 /usr/lib/libc.so.6"];
    check(modified, "hardened", NONE, &[("base", base), evil], &found);
    check(replaced, "hardened", NONE, &[("base", base), evil], &found);
    check(replaced, "baseline", NONE, &[("base", base), evil], &["warn 1 /usr/lib/libc.so.6"]);
    let fake: Layer<'_> = ("RUN x", &[&after, "0755 0 /usr/lib/libc.so.6 evil"]);
    check(replaced, "hardened", NONE, &[("base", base), fake], &found);
    // Removed, and something else there later; a link to another file.
    let gone: Layer<'_> = ("RUN rm", &["-/usr/lib/libc.so.6"]);
    let late = ["error 2 /usr/lib/libc.so.6"];
    check(replaced, "hardened", NONE, &[("base", base), gone, evil], &late);
    let link: Layer<'_> = ("RUN ln", &[">/usr/lib/libc.so.6 /tmp/x"]);
    check(replaced, "hardened", NONE, &[("base", base), link], &found);
    // The same content again is no change; what is missing is a warning.
    let same: Layer<'_> = ("RUN chmod", &["0644 0 /usr/lib/libc.so.6 one"]);
    check(replaced, "hardened", NONE, &[("base", base), same], &[]);
    check(modified, "hardened", NONE, &[("base", base), gone], &["warn - /usr/lib/libc.so.6"]);
    // In the base as well.
    check(replaced, "hardened", NONE, &[("base", base), ("base", evil.1)], &found);
}

#[test]
fn databases_that_are_not_read_are_told() {
    let policy = Policy::builtin("hardened").unwrap();
    let layers: &[Layer<'_>] = &[
        ("base", &["0755 0 /usr/lib64/libc.so.6 one", "0644 0 /var/lib/rpm/rpmdb.sqlite x"]),
        ("RUN dnf", &["0755 0 /usr/lib64/libc.so.6 two", "0644 0 /var/lib/rpm/rpmdb.sqlite y"]),
    ];
    let report = judge(&policy, NONE, layers);
    let skipped = |rule| report.skipped.iter().any(|skipped| skipped.rule == rule);
    assert!(skipped("package-file-modified") && skipped("system-file-replaced"));
    assert!(report.findings.iter().all(|finding| finding.rule != "system-file-replaced"));
}

#[test]
fn what_layers_have_and_the_image_does_not_show() {
    let hidden = "hidden-layer-executable";
    let script = "0755 0 /opt/x #!/bin/sh";
    let remove: Layer<'_> = ("RUN rm", &["-/opt"]);
    let found = ["error 0 /opt/x"];
    check(hidden, "hardened", NONE, &[("RUN", &[script]), remove], &found);
    check(hidden, "hardened", NONE, &[("base", &[script]), remove], &found);
    check(hidden, "baseline", NONE, &[("RUN", &[script]), remove], &["warn 0 /opt/x"]);
    let setuid = "4755 0 /opt/x #!/bin/sh";
    check(hidden, "baseline", NONE, &[("COPY", &[setuid]), remove], &found);
    // Another name of the same content shows it; text is no program.
    check(hidden, "hardened", NONE, &[("RUN", &[script, "0755 0 /y #!/bin/sh"]), remove], &[]);
    check(hidden, "hardened", NONE, &[("RUN", &["0644 0 /opt/x #!/bin/sh"]), remove], &[]);
    let replaced: Layer<'_> = ("RUN", &["0755 0 /opt/x #!/bin/bash"]);
    check(hidden, "hardened", NONE, &[("RUN", &[script]), replaced], &found);
    // What a package had is no secret.
    let list = format!("0644 0 /var/lib/dpkg/info/x.md5sums {}  opt/x\n", sums("#!/bin/sh").0);
    check(hidden, "hardened", NONE, &[("base", &[&list, script]), remove], &[]);

    let big = format!("0644 0 /var/big/f {}", "x".repeat(1 << 20));
    let small = "0644 0 /var/big/s x";
    let remove: Layer<'_> = ("RUN rm", &["-/var/big"]);
    let own: Layer<'_> = ("RUN", &[&big, small]);
    let shipped = "deleted-file-shipped";
    check(shipped, "hardened", NONE, &[own, remove], &["warn 0 /var/big"]);
    check(shipped, "hardened", NONE, &[("RUN", &[small]), remove], &[]);
    check(shipped, "paranoid", NONE, &[("RUN", &[small]), remove], &["error 0 /var/big/s"]);
    check(shipped, "hardened", NONE, &[("base", own.1), remove], &[]);
    check("base-file-hidden", "paranoid", NONE, &[("base", own.1), remove], &["warn 0 /var/big/f"]);
    check("base-file-hidden", "paranoid", NONE, &[own, remove], &[]);
    check("base-file-hidden", "hardened", NONE, &[("base", own.1), remove], &[]);
}

#[test]
fn secrets_in_files() {
    let file = "secret-file-in-layer";
    let key = |path: &str| format!("0600 0 {path} {PEM}");
    let in_layer = |made: &str, path: &str, want: &[&str]| {
        check(file, "hardened", NONE, &[(made, &[&key(path)])], want);
    };
    in_layer("COPY", "/k", &["error 0 /k"]);
    in_layer("base", "/etc/ssh/ssh_host_rsa_key", &["error 0 /etc/ssh/ssh_host_rsa_key"]);
    in_layer("base", "/etc/ssl/private/ssl-cert-snakeoil.key", &[]);
    let tested = "/app/node_modules/tls/test/k.pem";
    in_layer("COPY", tested, &[&format!("warn 0 {tested}")]);
    let named = "0600 0 /app/.env A=b";
    check(file, "hardened", NONE, &[("COPY", &[named])], &["warn 0 /app/.env"]);
    check(file, "hardened", NONE, &[("COPY", &["0600 0 /app/.env.example A=b"])], &[]);
    // Nothing counts where the rule itself is a warning: the lower level is a note.
    check(file, "baseline", NONE, &[("COPY", &[named])], &["note 0 /app/.env"]);
    let list = format!("0644 0 /var/lib/dpkg/info/x.md5sums {}  usr/k\n", sums(PEM).0);
    let packaged: &[&str] = &[&list, &key("/usr/k")];
    check(file, "hardened", NONE, &[("base", packaged)], &[]);
    check(file, "hardened", NONE, &[("RUN apt", packaged)], &["warn 0 /usr/k"]);

    let token = "secret-token-in-layer";
    let aws = ["AKIA", "Q3EGRT7ZUWLKBHXA"].concat();
    let history = format!("0600 0 /root/.bash_history export K={aws}");
    let found = ["error 0 /root/.bash_history"];
    check(token, "hardened", NONE, &[("RUN", &[&history])], &found);
    check(token, "hardened", NONE, &[("base", &[&history])], &[]);
    check(token, "paranoid", NONE, &[("base", &[&history])], &found);
    let url = |path: &str| format!("0644 0 {path} db=postgres://app:v3ryS3cr3t@db/x");
    check(
        token,
        "hardened",
        NONE,
        &[("COPY", &[&url("/etc/app.conf")])],
        &["error 0 /etc/app.conf"],
    );
    check(
        token,
        "hardened",
        NONE,
        &[("COPY", &[&url("/app/README.md")])],
        &["warn 0 /app/README.md"],
    );
    let large = format!("0644 0 /log {aws} {}", "x".repeat(1 << 20));
    check(token, "hardened", NONE, &[("RUN", &[&large])], &[]);
}

#[test]
fn accounts_and_what_they_may_write() {
    let shadow = "0640 0 /etc/shadow root:*:1:\nx::1:\ny:$6$abcd$efgh:1:\n";
    let locked: Layer<'_> = ("RUN passwd", &["0640 0 /etc/shadow root:*:1:\nx:!:1:\ny:!:1:\n"]);
    let empty = "account-empty-password";
    check(empty, "baseline", NONE, &[("RUN", &[shadow])], &["error 0 /etc/shadow"]);
    check(empty, "baseline", NONE, &[("RUN", &[shadow]), locked], &[]);
    let set = "account-password-set";
    check(set, "hardened", NONE, &[("RUN", &[shadow]), locked], &["warn 0 /etc/shadow"]);
    check(
        empty,
        "baseline",
        NONE,
        &[("RUN", &["0644 0 /etc/passwd x::5:5::/:/bin/sh\n"])],
        &["error 0 /etc/passwd"],
    );

    let config = r#"{"User": "5:5", "Entrypoint": ["/bin/sh", "-c", "run /app/main.py"]}"#;
    let files: &[&str] = &[
        "d 0755 5 /app",
        "0644 0 /app/main.py #!/usr/bin/python3",
        "0755 0 /bin/sh x",
        "d 0755 5 /opt/bin",
        "0755 5 /usr/bin/python3 x",
        "0755 5 /usr/bin/run x",
        "0644 5 /usr/lib/libx.so.1 x",
        "0644 5 /srv/data x",
    ];
    let owns = "user-owns-application";
    let want = [
        "warn 0 /app/main.py",
        "warn 0 /usr/bin/python3",
        "warn 0 /usr/bin/run",
        "warn 0 /usr/lib/libx.so.1",
    ];
    check(owns, "paranoid", config, &[("RUN", files)], &want);
    check(owns, "paranoid", &config.replace("5:5", "0"), &[("RUN", files)], &[]);
    let path = r#"{"User": "5", "Env": ["PATH=/bin:/opt/bin"]}"#;
    check(
        owns,
        "paranoid",
        path,
        &[("RUN", files)],
        &["warn 0 /opt/bin", "warn 0 /usr/lib/libx.so.1"],
    );

    let undeclared = "writable-path-undeclared";
    let folders: &[&str] = &[
        "0644 0 /etc/passwd app:x:5:5::/home/app:/bin/false\n",
        "d 0755 5 /home/app",
        "d 1777 0 /tmp",
        "d 0755 5 /var/lib/app",
        "d 0755 5 /var/lib/app/below",
        "d 0755 0 /srv",
        "d 0777 0 /srv/all",
    ];
    let config = r#"{"User": "app"}"#;
    let want = ["warn 0 /srv/all", "warn 0 /var/lib/app"];
    check(undeclared, "paranoid", config, &[("RUN", folders)], &want);
    let config = r#"{"User": "app", "Volumes": {"/var/lib/app/": {}, "/srv": {}}}"#;
    check(undeclared, "paranoid", config, &[("RUN", folders)], &[]);
}

#[test]
fn the_identity_of_the_system() {
    let rule = "identity-file-changed";
    let base: &[&str] = &[
        "0644 0 /etc/passwd root:x:0:0::/root:/bin/sh\n",
        "0644 0 /etc/ssl/certs/ca-certificates.crt x",
    ];
    let with = |entry: &str, want: &[&str]| {
        check(rule, "paranoid", NONE, &[("base", base), ("RUN", &[entry])], want);
    };
    let added =
        "0644 0 /etc/passwd root:x:0:0::/root:/bin/sh\napp:x:10001:10001::/:/sbin/nologin\n";
    with(added, &[]);
    with(&added.replace("10001:10001", "0:0"), &["warn 1 /etc/passwd"]);
    with(&added.replace("nologin", "bash"), &["warn 1 /etc/passwd"]);
    with("0644 0 /etc/cron.d/x * * * * * root x", &["warn 1 /etc/cron.d/x"]);
    with("0644 0 /etc/hosts 127.0.0.1 localhost", &[]);
    with("0644 0 /etc/ssl/certs/evil.pem x", &["warn 1 /etc/ssl/certs/evil.pem"]);
    let trust: Layer<'_> = ("COPY", &["0644 0 /etc/ssl/certs/evil.pem x"]);
    check(rule, "hardened", NONE, &[("base", base), trust], &["warn 1 /etc/ssl/certs/evil.pem"]);
    check(rule, "hardened", NONE, &[("base", base), ("RUN", &["0644 0 /etc/cron.d/x x"])], &[]);
    // The first certificates have to come from somewhere.
    check(rule, "hardened", NONE, &[("base", &base[..1]), trust], &[]);
}

#[test]
fn programs_that_nobody_brought() {
    let rule = "unattributed-executable";
    let tool = "0755 0 /usr/local/bin/tool #!/bin/sh\ntrue";
    let other = "0755 0 /opt/a/b \x7fELF";
    let found = ["warn 0 /opt/a/b"];
    check(rule, "hardened", NONE, &[("RUN make", &[tool, other])], &found);
    check(rule, "hardened", NONE, &[("COPY tool", &[tool])], &[]);
    check(rule, "hardened", NONE, &[("/bin/sh -c #(nop) ADD file:1 in /", &[tool])], &[]);
    check(rule, "hardened", NONE, &[("base", &[tool])], &[]);
    check(rule, "hardened", NONE, &[("bazel build ...", &[tool])], &[]);
    let checked = "RUN /bin/sh -c wget x && echo 1  tool | sha256sum -c # buildkit";
    check(rule, "hardened", NONE, &[(checked, &[tool])], &[]);
    check(
        rule,
        "hardened",
        NONE,
        &[("COPY x", &["0755 0 /x #!/bin/sh\ntrue"]), ("RUN cp", &[tool])],
        &[],
    );
    check(rule, "hardened", NONE, &[("RUN", &["0755 0 /srv/x #!/bin/sh"])], &[]);
    let owned = "0644 0 /var/lib/dpkg/info/t.list /usr/local/bin/tool\n";
    check(rule, "hardened", NONE, &[("RUN apt", &[tool, owned])], &[]);
}

#[test]
fn miners_and_copies_of_tools() {
    let miner = "miner-indicator";
    let words = "xmrig -o stratum+tcp://p:1";
    let file = |path: &str, mode: &str| format!("{mode} 0 {path} {words}");
    let with = |path: &str, mode: &str, want: &[&str]| {
        check(miner, "hardened", NONE, &[("base", &[&file(path, mode)])], want);
    };
    with("/x", "0755", &["error 0 /x"]);
    with("/x.py", "0644", &["error 0 /x.py"]);
    with("/x.txt", "0644", &[]);
    with("/usr/share/doc/x.sh", "0644", &[]);
    with("/usr/share/rules.yar", "0755", &[]);
    check(miner, "hardened", NONE, &[("base", &["0755 0 /x #!/bin/sh xmrig XMRig"])], &[]);
    let mut policy = Policy::builtin("hardened").unwrap();
    let sha: crate::base::Digest<crate::base::Blob> = crate::base::Digest::of(b"bad");
    let set = vec![format!("rules.miner-indicator.deny_sha256=[\"{}\"]", sha.hex())];
    policy.apply(&Overrides { set, ..Overrides::default() }).unwrap();
    let report = judge(&policy, NONE, &[("COPY", &["0644 0 /x bad"])]);
    assert!(report.findings.iter().any(|finding| finding.rule == miner), "{report:?}");

    let tool = "network-tool-present";
    let curl = "0755 0 /usr/bin/curl #!/bin/sh curl";
    let copy = "0755 0 /opt/c #!/bin/sh curl";
    let want = ["warn 1 /opt/c"];
    check(
        tool,
        "hardened",
        NONE,
        &[("base", &[curl]), ("RUN mv", &["-/usr/bin/curl", copy])],
        &want,
    );
    let list = format!(
        "0644 0 /var/lib/dpkg/info/curl.md5sums {}  usr/bin/curl\n",
        sums("#!/bin/sh curl").0
    );
    let opt: &[&str] = &[&list, copy];
    check(tool, "hardened", NONE, &[("base", opt)], &["warn 0 /opt/c"]);
    // One program for all names is none of them.
    let busybox: &[&str] =
        &["0755 0 /bin/nc #!/bin/sh box", "&/bin/ls /bin/nc", "&/bin/cat /bin/nc"];
    check(tool, "hardened", NONE, &[("base", busybox)], &["warn 0 /bin/nc"]);
    check(
        "hidden-executable",
        "hardened",
        NONE,
        &[("COPY", &["0755 0 /dev/x #!/bin/sh"])],
        &["error 0 /dev/x"],
    );
}

#[test]
fn streams_that_may_be_read_in_two_ways() {
    let rule = "layer-anomaly";
    let with = |layers: &[Layer<'_>], want: &[&str]| check(rule, "hardened", NONE, layers, want);
    with(&[("RUN", &["d 0755 0 /a", "d 0755 0 /a", "0644 0 /a/x y"])], &[]);
    with(&[("RUN", &["d 0755 0 /a", "d 0700 0 /a"])], &["error 0 /a"]);
    with(&[("RUN", &["-/x"])], &["error 0 /x"]);
    with(&[("base", &["-/x"])], &["warn 0 /x"]);
    with(&[("RUN", &["0644 0 /a/b x"]), ("RUN", &["-/a"])], &[]);
    with(&[("RUN", &["0644 0 /a x"]), ("RUN", &["-/a", "0644 0 /a y"])], &["error 1 /a"]);
    with(&[("RUN", &["d 0755 0 /a"]), ("RUN", &["=/a"])], &[]);
    with(&[("RUN", &[">/a b", "0644 0 /a/x y"])], &["error 0 /a/x"]);
    with(&[("RUN", &[">/a b"]), ("RUN", &["0644 0 /a/x y"])], &[]);
    with(&[("RUN", &[">/a ../../b"]), ("RUN", &["0644 0 /a/x y"])], &["error 1 /a/x"]);
    with(&[("RUN", &["0644 0 /a x"]), ("RUN", &["0644 0 /a/x y"])], &["error 1 /a/x"]);
    with(&[("RUN", &["&/a /b"])], &["error 0 /a"]);
    with(&[("RUN", &["0644 0 /b x", "&/a /b"])], &[]);
    with(&[("RUN", &["0644 4000000000 /b x"])], &["error 0 /b"]);
    with(&[("RUN", &["0644 0 /b x"]), ("RUN", &["-/b"]), ("RUN", &["-/b"])], &["error 2 /b"]);
}
