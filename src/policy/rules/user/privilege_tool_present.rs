//! `privilege-tool-present`: sudo in the image.

use crate::policy::rules::present_of_names;
use crate::policy::{Found, Judged, Param, ParamKind, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "privilege-tool-present",
    title: "sudo, su, doas, pkexec in a running container serve only an attacker.",
    text: "Finds, in what is visible of the image, an executable in a `bin` or `sbin` folder \
          named as in `names`. A link of BusyBox counts where BusyBox is set-uid.",
    params: &[Param {
        name: "names",
        kind: ParamKind::Texts,
        default: r#"["sudo", "doas", "pkexec", "su", "runuser"]"#,
        help: "names of such tools",
    }],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    present_of_names(
        judged,
        found,
        |name, end| {
            // An applet of BusyBox has no power of its own.
            let applet = end.path.ends_with("/busybox") && end.mode & 0o4000 == 0;
            (!applet).then(|| format!("the image has `{name}`"))
        },
        "leave it out: nobody changes users in a container",
    );
}
