//! What shell bodies come to: commands, constants, wrappers, spans.

use std::collections::BTreeMap;
use std::fmt::Write;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Body, Dialect, Start, analyse, analyse_exec};
use crate::base::{SourceId, Span};

fn body(text: &str) -> Body {
    let mut body = Body::new();
    body.push(text, |range| Span::new(SourceId(0), range.start, range.end));
    body
}

// One command per line: wrappers, words (what stands in the text under the command's span is
// shown when it differs), streams, installs.
fn check(text: &str, expect: Expect) {
    let values = BTreeMap::from([("PKG".to_owned(), "curl git".to_owned())]);
    let script = analyse(&body(text), &values, Start::plain(Dialect::Bash));
    let mut out = String::new();
    if !script.parsed {
        out.push_str("not parsed\n");
    }
    for command in &script.commands {
        for name in &command.wrapped_by {
            write!(out, "{name} > ").unwrap();
        }
        for (name, value) in &command.assignments {
            write!(out, "{name}={} ", value.shown()).unwrap();
        }
        out.push_str(&command.shown());
        for (sign, pipes) in [("<", &command.reads), (">", &command.feeds)] {
            for pipe in pipes {
                write!(out, " {sign}p{}", pipe.0).unwrap();
            }
        }
        for arg in &command.argv {
            for pipe in &arg.from {
                write!(out, " ${}", pipe.0).unwrap();
            }
        }
        if let Some(install) = command.install() {
            let packages: Vec<String> = install.packages.iter().map(|arg| arg.shown()).collect();
            write!(out, " [{} {}: {}]", install.manager, install.verb, packages.join(",")).unwrap();
        }
        let at = &text[command.span.range()];
        if at != command.shown() {
            write!(out, "   @ {at}").unwrap();
        }
        out.push('\n');
    }
    expect.assert_eq(&out);
}

#[test]
fn lists_pipes_and_quotes() {
    check(
        "set -e; curl -s 'http://x/$y' | tee \"/tmp/a b\" | sudo -E /bin/bash - && echo 'a|b'",
        expect![[r#"
            set -e
            curl -s http://x/$y >p1   @ curl -s 'http://x/$y'
            tee /tmp/a b <p1 >p2   @ tee "/tmp/a b"
            sudo > /bin/bash - <p2   @ sudo -E /bin/bash -
            echo a|b   @ echo 'a|b'
        "#]],
    );
}

#[test]
fn constants_are_folded() {
    check(
        "A=cu; B=${A}rl; $B x; apt-get install -y $PKG \"$PKG\" $NO; for i in 1 2; do x $i; done; c$'\\x75'rl",
        expect![[r#"
            A=cu    @ A=cu
            B=curl    @ B=${A}rl
            curl x   @ $B x
            apt-get install -y curl git curl git … [apt install: curl,git,curl git,…]   @ apt-get install -y $PKG "$PKG" $NO
            x …   @ x $i
            curl   @ c$'\x75'rl
        "#]],
    );
}

#[test]
fn texts_are_run() {
    check(
        "sh -ec 'env X=1 timeout 60 apk add curl' && bash -euo pipefail -c \"a; b\" ; eval \"a $PKG\"; find / -exec chmod u+s {} \\;",
        expect![[r#"
            sh -ec env X=1 timeout 60 apk add curl   @ sh -ec 'env X=1 timeout 60 apk add curl'
            sh > env > timeout > apk add curl [apk add: curl]   @ env X=1 timeout 60 apk add curl
            bash -euo pipefail -c a; b   @ bash -euo pipefail -c "a; b"
            bash > a
            bash > b
            eval a curl git   @ eval "a $PKG"
            eval > a curl git   @ a $PKG
            find / -exec chmod u+s {} ;   @ find / -exec chmod u+s {} \;
            find > chmod u+s {}
        "#]],
    );
}

#[test]
fn substitutions_are_streams() {
    check(
        "sh -c \"$(wget -qO- x)\"; bash <(curl -s y); X=`curl z`; eval $X; bash <<< $(curl w); while read l; do sh; done < <(curl v); curl u | { cd /; sh; }",
        expect![[r#"
            wget -qO- x >p1
            sh -c … $1   @ sh -c "$(wget -qO- x)"
            sh > …   @ $(wget -qO- x)
            curl -s y >p2
            bash … $2   @ bash <(curl -s y)
            curl z >p3
            X=…    @ X=`curl z`
            eval … $3   @ eval $X
            eval > …   @ $X
            curl w >p4
            bash <p4
            bash > … <p4   @ $(curl w)
            curl v >p5
            read l <p5
            sh <p5
            curl u >p6
            cd / <p6
            sh <p6
        "#]],
    );
}

#[test]
fn here_documents_and_functions() {
    check(
        "f() { apt-get -qq -o A=1 install -y \"$1\" b; }\nf c\nbash <<EOF\nyum -y install $PKG\nEOF\ncat <<'E' > /x\napk add no\nE",
        expect![[r#"
            f c
            apt-get -qq -o A=1 install -y … b [apt install: …,b]   @ apt-get -qq -o A=1 install -y "$1" b
            bash
            bash > yum -y install curl git [dnf install: curl,git]   @ yum -y install $PKG
            cat
        "#]],
    );
}

#[test]
fn installs() {
    for (text, want) in [
        ("apt-get update", None),
        ("apt-get -qq -o Foo=1 --yes install -t x pkg=1", Some("pkg=1")),
        ("apt-get install -s x", None),
        ("python3.12 -m pip install --no-cache-dir -r r.txt flask", Some("flask")),
        ("pip3.11 install -t /x a", Some("a")),
        ("rpm -qi x", None),
        ("rpm -Uvh http://x/y.rpm", Some("http://x/y.rpm")),
        ("pacman -Syu --noconfirm git", Some("git")),
        ("pacman -Ss git", None),
        ("npm run install", None),
        ("npm ci", Some("")),
        ("yarn", Some("")),
        ("yarn run build", None),
        ("dnf --installroot=/r install -y a", Some("a")),
        ("dnf group install dev", Some("dev")),
        ("uv pip install x", Some("x")),
        ("cargo build", None),
        ("go build ./...", None),
        ("dpkg -l", None),
        ("dpkg -i a.deb", Some("a.deb")),
        ("command -v apk add", None),
        ("echo apt-get install curl", None),
    ] {
        let script = analyse(&body(text), &BTreeMap::new(), Start::plain(Dialect::Posix));
        let found = script.commands.iter().find_map(|command| command.install()).map(|install| {
            let packages: Vec<String> = install.packages.iter().map(|arg| arg.shown()).collect();
            packages.join(",")
        });
        assert_eq!(found.as_deref(), want, "{text}");
    }
}

#[test]
fn exec_form() {
    let span = |start, end| Span::new(SourceId(0), start, end);
    let words =
        [("sh".into(), span(1, 5)), ("-c".into(), span(6, 10)), ("a | sh".into(), span(11, 19))];
    let script = analyse_exec(&words, &BTreeMap::new(), Dialect::Posix);
    let names: Vec<_> = script.commands.iter().map(|command| command.name().unwrap()).collect();
    assert_eq!(names, ["sh", "a", "sh"]);
    assert_eq!(script.commands[2].span, span(16, 18));
}

#[test]
fn hostile_texts_take_bounded_time() {
    let start = std::time::Instant::now();
    for text in [
        "(".repeat(100_000),
        "((".repeat(1_500),
        "$(".repeat(3_000),
        "\"$(".repeat(1_000),
        "${a:-".repeat(3_000),
        "`".repeat(3_000),
        "if x; then ".repeat(900),
        "{ ".repeat(3_000),
        "a|".repeat(50_000),
        "f() { f; f; f; f; f; f; f; f; f; f; f; f; }; f".to_owned(),
        format!("X=aaaaaaaa; {} echo $X", "X=$X$X;".repeat(60)),
        "sh -c '".repeat(2_000),
        "eval ".repeat(20_000),
        "sudo ".repeat(20_000),
        "a <<E\n".repeat(2_000),
        "[[ ! ".repeat(900),
        "case a in a) ".repeat(600),
        "case a in a) ".repeat(10),
        "((".repeat(5) + &"case a in a) ".repeat(10),
        "(( (".repeat(10),
        "a $'\\".repeat(500),
        "é(".repeat(100),
        "a\u{e000}$(\u{e000})".to_owned(),
        "x".repeat(super::LIMIT + 1),
    ] {
        let one = std::time::Instant::now();
        analyse(&body(&text), &BTreeMap::new(), Start::plain(Dialect::Bash));
        let took = one.elapsed();
        assert!(took.as_secs() < 10, "{took:?} for {}", text.chars().take(20).collect::<String>());
    }
    assert!(start.elapsed().as_secs() < 60);
}

proptest! {
    #[test]
    fn no_text_breaks_it(text in "([a-z$(){}`'\"|;&<> \\\\\n=#!é]|\\$\\(|<<E\n|sh -c '|eval |for i in |if |fi;|do |done;){0,40}") {
        analyse(&body(&text), &BTreeMap::new(), Start::plain(Dialect::Bash));
    }
}
