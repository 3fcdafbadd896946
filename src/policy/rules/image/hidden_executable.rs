//! `hidden-executable`: a program that hides.

use crate::facts::{FileKind, Origin};
use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "hidden-executable",
    title: ".hidden_miner was in /usr/bin.",
    text: "Finds, in own layers, a file that may be run and whose name begins with a dot in a \
          folder of programs or libraries (/bin, /usr/bin, /usr/lib, /lib …), and one below a \
          folder named `...` or a dot with blanks, and one below /dev.",
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let tops = [
        "/bin",
        "/sbin",
        "/usr/bin",
        "/usr/sbin",
        "/usr/local/bin",
        "/usr/local/sbin",
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/local/lib",
        "/dev/shm",
        "/tmp",
        "/var/tmp",
        "/etc",
    ];
    for (index, layer) in judged.facts.layers.iter().enumerate() {
        if layer.origin == Origin::Base {
            continue;
        }
        for file in &layer.table.files {
            if file.kind != FileKind::File || file.mode & 0o111 == 0 {
                continue;
            }
            let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
            let hides = name.starts_with('.') && tops.contains(&folder);
            let odd = folder.split('/').any(|part| {
                part.len() > 2 && part.chars().all(|c| c == '.')
                    || (part.starts_with('.') && part.trim_end() != part)
            });
            // Devices are there, and what is mounted over it hides the file.
            let device = file.path.starts_with("/dev/");
            if !hides && !odd && !device {
                continue;
            }
            let finding = found
                .finding(format!("`{}` is a program that a listing does not show", file.path))
                .in_image(file.path.as_str(), Some(index))
                .evidence("sha256", file.sha256.as_str())
                .evidence("size", file.size)
                .help("find out where it comes from; programs do not hide");
            found.add(origin(finding, judged, index));
        }
    }
}
