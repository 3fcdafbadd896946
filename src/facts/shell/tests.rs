//! What shell bodies come to: commands, constants, wrappers, spans.

use std::collections::BTreeMap;
use std::fmt::Write;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Body, Dialect, Start, analyse, analyse_exec};
use crate::base::{SourceId, Span};

fn body(text: &str) -> Body {
    let mut body = Body::new();
    body.push(text, SourceId(0), 0);
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

// The processor time of an analysis, the least of three: nothing but the work is in all of them.
fn cost(text: &str) -> std::time::Duration {
    let body = body(text);
    let one = || {
        let before = crate::sys::child::used_by_thread();
        analyse(&body, &BTreeMap::new(), Start::plain(Dialect::Bash));
        crate::sys::child::used_by_thread() - before
    };
    (0..3).map(|_| one()).min().unwrap()
}

// Four times the text is four times the work, and sixteen times where work is quadratic; what is so
// short that this cannot be told apart may not take long either.
fn check_growth(name: &str, size: usize, text: &dyn Fn(usize) -> String) {
    let (one, four) = (cost(&text(size)), cost(&text(4 * size)));
    let most = one * 9 + std::time::Duration::from_millis(2);
    assert!(four <= most, "{name}: {size} take {one:?}, four times as many {four:?}");
}

#[test]
fn hostile_texts_take_time_by_their_length() {
    for (piece, size) in [
        ("(", 25_000),
        ("((", 375),
        ("$(", 750),
        ("\"$(", 250),
        ("${a:-", 750),
        ("`", 750),
        ("if x; then ", 225),
        ("{ ", 750),
        ("a|", 12_500),
        ("a;", 12_500),
        ("sh -c '", 500),
        ("eval ", 5_000),
        ("sudo ", 5_000),
        ("a <<E\n", 500),
        ("[[ ! ", 225),
        // From few to some: what tries all ways through these takes sixteen times as long soon.
        ("case a in a) ", 4),
        ("case a in a) ", 150),
        ("(( (", 4),
        ("a $'\\", 125),
        ("é(", 25),
        ("$a ", 5_000),
        ("a=$a", 5_000),
    ] {
        check_growth(piece, size, &|size| piece.repeat(size));
    }
    check_growth("nested", 3, &|size| "((".repeat(5) + &"case a in a) ".repeat(size));
    check_growth("calls", 10, &|size| format!("f() {{ {}}}; f", "f; ".repeat(size)));
    check_growth("growing", 15, &|size| format!("X=aaaaaaaa; {} echo $X", "X=$X$X;".repeat(size)));
}

#[test]
fn what_is_too_long_is_not_looked_at() {
    let text = "x ".repeat(super::LIMIT / 2 + 1);
    assert!(!analyse(&body(&text), &BTreeMap::new(), Start::plain(Dialect::Bash)).parsed);
    analyse(&body("a\u{e000}$(\u{e000})"), &BTreeMap::new(), Start::plain(Dialect::Bash));
}

proptest! {
    #[test]
    fn no_text_breaks_it(text in "([a-z$(){}`'\"|;&<> \\\\\n=#!é]|\\$\\(|<<E\n|sh -c '|eval |for i in |if |fi;|do |done;){0,40}") {
        analyse(&body(&text), &BTreeMap::new(), Start::plain(Dialect::Bash));
    }
}
