//! `final-user-root`: the image runs as root.

use crate::instruction::Instruction;
use crate::policy::{
    Alias, BaseName, Found, Judged, Level, Outline, Param, ParamKind, Rule, variables,
};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "final-user-root",
    title: "UID 0 in the container is one kernel bug away from UID 0 on the host.",
    text: "Finds an image whose user is absent, `root`, `0`, or either with a group: the last USER \
           of the target and the stages it is built FROM, else the user of the base image. \
           Variables are expanded with the build arguments. Other stages do not count: build as \
           root, ship as somebody.\n\n\
           A number that is no user id (they go from 0 to 2147483647) counts as root: runtimes have \
           cut such numbers down to 0, or left the process as it was.\n\n\
           In a finished image, a user whose id in /etc/passwd is 0 is root by whatever name.\n\n\
           Where the base was not looked up and no USER is written, the image cannot be shown to be \
           without root: a finding as well.",
    aliases: &[Alias::of("DL3002"), Alias::of("CIS-DI-0001"), Alias::of("DS-0002")],
    standards: &["CIS 4.1", "NIST 800-190 4.1.2"],
    params: &[
        Param {
            name: "suggest",
            kind: ParamKind::Text,
            default: r#""10001:10001""#,
            help: "the user that the help names",
        },
        Param {
            name: "absent",
            kind: ParamKind::Word(&["off", "warn", "error"]),
            default: r#""error""#,
            help: "the most that an image is worth which names no user at all",
        },
    ],
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &[
        "FROM busybox\nUSER root\n",
        "FROM busybox\nCMD [\"true\"]\n",
        "FROM busybox\nUSER 0:1000\n",
        "FROM busybox\nARG U=root\nUSER ${U}\n",
        "FROM busybox AS a\nUSER 00\nFROM a\nRUN true\n",
        "FROM busybox\nUSER +0\n",
        "FROM busybox\nUSER -0:1\n",
        "FROM busybox\nUSER :0\n",
        "FROM busybox\nUSER \"root \"\n",
        "FROM busybox\nUSER 4294967296\n",
        "FROM busybox\nUSER 4294967295\n",
        "FROM busybox\nUSER -1\n",
        "FROM busybox\nARG U=18446744073709551616\nUSER $U\n",
        "FROM busybox\nUSER 10001\nUSER root\nRUN true\n",
        "FROM scratch\n",
    ],
    good: &[
        "FROM busybox AS build\nUSER root\nRUN true\nFROM busybox\nUSER 10001\n",
        "FROM busybox AS a\nUSER app\nFROM a\n",
    ],
    ..Rule::NEW
};

fn is_root(user: &str) -> bool {
    let name = user.split(':').next().unwrap_or("").trim();
    let digits = name.strip_prefix(['+', '-']).unwrap_or(name);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return !name.parse::<i64>().is_ok_and(|id| (1..=i64::from(i32::MAX)).contains(&id));
    }
    name.is_empty() || name == "root"
}

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let chain = outline.chain();
    let (Some(bottom), Some(target)) = (chain.first(), chain.last()) else { return };
    let help = format!(
        "end the stage with `USER {}`, and make what it must write its own: COPY --chown",
        found.text("suggest")
    );
    let last = chain.iter().rev().find_map(|stage| {
        stage.items.iter().rev().find_map(|item| match item.instruction {
            Instruction::User(user) => Some((stage, item, user)),
            _ => None,
        })
    });
    if let Some((stage, item, user)) = last {
        // A variable without a value leaves the user empty: root.
        let who = item.expand(&user.who.raw).unwrap_or_default();
        if is_root(&who) {
            let escape = outline.input.file.escape;
            let of_base = matches!(bottom.base, BaseName::Image(_) | BaseName::Unknown)
                && bottom.config.is_none()
                && variables(&user.who.raw, escape).iter().any(|(name, _)| !item.declares(name));
            let shown = if of_base {
                format!(
                    "the image cannot be shown to be without root: `USER {}` takes a variable of \
                     its base, which was not looked up",
                    user.who.raw
                )
            } else if who == user.who.raw {
                format!("the image runs as root: `USER {who}`")
            } else {
                format!("the image runs as root: `USER {}` is `{who}`", user.who.raw)
            };
            let finding = found
                .finding(shown)
                .at(user.span, format!("the last USER of stage `{}`", stage.shown()))
                .of(item.place)
                .evidence("user", who)
                .help(help);
            found.add(finding);
        }
        return;
    }
    let absent = Level::parse(found.text("absent")).unwrap_or(Level::Error);
    let (message, level) = match (&bottom.base, bottom.config) {
        (_, Some(config)) if !is_root(&config.user) => return,
        (_, Some(config)) if !config.user.is_empty() => (
            format!("the image runs as root: there is no USER, and its base has `{}`", config.user),
            Level::Error,
        ),
        (BaseName::Scratch | BaseName::Context, _) | (_, Some(_)) => {
            ("the image runs as root: there is no USER".to_owned(), absent)
        }
        (_, None) => (
            "the image cannot be shown to be without root: there is no USER, and its base was not \
             looked up"
                .to_owned(),
            absent,
        ),
    };
    if level > Level::Off {
        let finding = found
            .finding(message)
            .at(target.from.span, "the stage that ships")
            .of(target.place)
            .evidence("user", "")
            .help(help);
        found.add_at(level, finding);
    }
}

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let user = &judged.facts.config.config.user;
    let name = user.split(':').next().unwrap_or("");
    let alias = judged.accounts().iter().any(|account| account.name == name && account.uid == 0);
    if !is_root(user) && !alias {
        return;
    }
    let level = match user.as_str() {
        "" => Level::parse(found.text("absent")).unwrap_or(Level::Error),
        _ => Level::Error,
    };
    if level > Level::Off {
        let message = match user.as_str() {
            "" => "the image runs as root: its config names no user".to_owned(),
            user if alias => format!("the image runs as root: `{user}` has the id 0"),
            user => format!("the image runs as root: its user is `{user}`"),
        };
        let finding = found
            .finding(message)
            .in_image("config", None)
            .evidence("user", user.as_str())
            .help(format!("set another user: `USER {}`", found.text("suggest")));
        found.add_at(level, finding);
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::tests::{Text, lines};

    #[test]
    fn the_user_of_the_base_counts() {
        let bases = r#"{"base:1": {"config": {"User": "65532"}}, "r": {"config": {"User": "0"}}}"#;
        let text = |file| Text { bases, ..Text::new("final-user-root", file) };
        assert_eq!(lines(&text("FROM base:1\nCMD [\"true\"]\n")), [] as [usize; 0]);
        assert_eq!(lines(&text("FROM base:1 AS a\nFROM a\nUSER root\n")), [3]);
        assert_eq!(lines(&text("FROM r\n")), [1]);
    }
}
