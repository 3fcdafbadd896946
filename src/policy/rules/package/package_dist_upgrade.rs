//! `package-dist-upgrade`: another release than the base says.

use crate::policy::{Alias, Found, Head, Inline, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "package-dist-upgrade",
    title: "Upgrading a release inside an image makes the base tag a lie.",
    text: "Finds `apt-get dist-upgrade` and `full-upgrade`, `zypper dup`, `do-release-upgrade` \
          and `dnf system-upgrade`; in `paranoid`, plain `upgrade` too.",
    aliases: &[Alias::of("DL3035"), Alias::of("DKL-DI-0003"), Alias::of("DS-0024")],
    text_check: Some(check),
    bad: &[
        "FROM opensuse/leap:15.6\nRUN zypper --non-interactive dist-upgrade\n",
        "FROM opensuse/leap:15.6\nRUN zypper -n dup\n",
        "FROM debian:12\nRUN apt-get update && apt-get -y dist-upgrade\n",
    ],
    good: &["FROM debian:12\nRUN apt-get update && apt-get -y upgrade\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let paranoid = found.policy().inline == Inline::Deny;
    let such = |head: Head<'_>| head.manages || head.is("do-release-upgrade");
    for (item, command) in outline.calls(such) {
        let verb = command.manager().map(|manager| (manager, command.verb().unwrap_or("")));
        let whole = match verb {
            Some(("apt", verb)) => matches!(verb, "dist-upgrade" | "full-upgrade"),
            Some(("zypper", verb)) => matches!(verb, "dist-upgrade" | "dup"),
            Some(("dnf", verb)) => matches!(verb, "system-upgrade" | "distro-sync"),
            _ => command.name() == Some("do-release-upgrade"),
        };
        let plain = matches!(verb, Some(("apt" | "apk" | "dnf", "upgrade")));
        if whole || (paranoid && plain) {
            let message = format!("`{}` makes another release of the base", command.shown());
            let help = "take a newer base instead";
            found.tell(item.place, command.span, message, "upgrades all of it", help);
        }
    }
}
