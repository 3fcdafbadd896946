//! `loader-hook-written`: a step that plants code in other programs.

use crate::facts::hooks::{Hook, HookKind};
use crate::policy::{Acts, Found, Level, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "loader-hook-written",
    title: "The library that hid the miner was planted during a step.",
    text: "Finds a step that made or changed a file through which other programs take code: \
           /etc/ld.so.preload, a list of library folders that names one outside /lib, /usr/lib and \
           /usr/local/lib, the loader, the C library, PAM and name service modules, \
           sitecustomize.py, usercustomize.py and *.pth with code, and, as a warning, what shells \
           read at their start (/etc/profile.d, bashrc).\n\n\
           Not found: what a package brought that the same step installed (dpkg, apk, rpm, pacman, \
           pip). That a package's file has the package's content is for `package-file-modified`.",
    behaviour_check: Some(check),
    watched: false,
    ..Rule::NEW
};

fn check(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for act in &acts.steps {
        let Some(hooks) = &act.conduct.hooks else {
            found.skip("its result was in the store, made by an older version");
            continue;
        };
        for hook in hooks.iter().filter(|hook| !hook.packaged && is_live(hook)) {
            let what = match hook.kind {
                HookKind::Preload | HookKind::Folders | HookKind::Loader | HookKind::Libc => {
                    "from which every program takes code"
                }
                HookKind::Pam => "to which passwords are shown",
                HookKind::Names => "which looks up users and hosts",
                HookKind::Python => "which Python runs at each start",
                HookKind::Shell => "which shells run at their start",
            };
            let finding = found
                .finding(format!("the step writes `{}`, {what}", hook.path))
                .at(act.span, "this step")
                .evidence("path", hook.path.as_str())
                .help("leave such files to packages; set LD_LIBRARY_PATH or PYTHONPATH for one program");
            let most = if hook.kind == HookKind::Shell { Level::Warn } else { Level::Error };
            found.add_at(most, act.placed(finding));
        }
    }
}

// Some are harmless by what they say.
fn is_live(hook: &Hook) -> bool {
    let text = hook.text.as_deref().unwrap_or("");
    let mut lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or("").trim())
        .filter(|line| !line.is_empty());
    match hook.kind {
        HookKind::Preload => lines.next().is_some(),
        HookKind::Folders => lines.flat_map(|line| line.split(':')).any(|line| {
            let folder = line.split('=').next().unwrap_or(line).trim();
            let folder = folder.strip_prefix("include ").map_or(folder, str::trim);
            let known = ["/lib", "/usr/lib", "/usr/local/lib", "/etc/ld.so.conf.d", "ld.so.conf.d"];
            let system = known.iter().any(|known| {
                folder.strip_prefix(known).is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with('/') || rest.starts_with(['3', '6', 'x'])
                })
            });
            !folder.is_empty() && !system
        }),
        // Of a *.pth, only lines with code are run (site.py); of the others all.
        HookKind::Python if hook.path.ends_with(".pth") => {
            text.lines().any(|line| line.starts_with("import ") || line.starts_with("import\t"))
        }
        HookKind::Python => lines.next().is_some(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_decides_where_it_does() {
        let live = |path: &str, text: &str| {
            let kind = HookKind::of(path).unwrap();
            is_live(&Hook { path: path.into(), kind, text: Some(text.into()), packaged: false })
        };
        for (path, text, want) in [
            ("/etc/ld.so.preload", "/lib/x.so\n", true),
            ("/etc/ld.so.preload", "# none\n\n", false),
            ("/etc/ld.so.conf.d/x.conf", "/usr/local/lib\n/usr/lib/x86_64-linux-gnu\n", false),
            ("/etc/ld.so.conf.d/x.conf", "/opt/x/lib\n", true),
            ("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n", false),
            ("/etc/ld-musl-x86_64.path", "/lib:/usr/local/lib:/tmp\n", true),
            ("/usr/lib/python3/dist-packages/a.pth", "../other\n", false),
            ("/usr/lib/python3/dist-packages/a.pth", "import os; os.x\n", true),
            ("/opt/sitecustomize.py", "import x\n", true),
            ("/usr/lib/libc.so.6", "", true),
        ] {
            assert_eq!(live(path, text), want, "{path} {text}");
        }
    }
}
