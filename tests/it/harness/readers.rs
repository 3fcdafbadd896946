//! Other programs that read what rbuild wrote. Each fails the test when it does not like it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::folder::Folder;
use super::host::Who;
use super::place::Place;
use super::process::ok;

/// `skopeo inspect`; gives its answer.
pub(crate) fn skopeo_inspect(image: &str) -> Value {
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["--insecure-policy", "inspect", image]);
    serde_json::from_str(&ok(&mut skopeo)).expect("skopeo writes JSON")
}

/// `skopeo copy`.
pub(crate) fn skopeo_copy(flags: &[&str], from: &str, to: &str) {
    let mut skopeo = Command::new("skopeo");
    ok(skopeo.args(["--insecure-policy", "copy", "--quiet"]).args(flags).args([from, to]));
}

/// `umoci unpack`, rootless; gives the place that holds `bundle/rootfs`. `umoci` wants a tag, which a layout of
/// rbuild's has no need of: it reads a copy that got one.
pub(crate) fn umoci_unpack(layout: &Path) -> Place {
    let place = Place::new(Who::usual());
    let tagged = place.folder("tagged");
    skopeo_copy(&[], &format!("oci:{}", layout.display()), &format!("oci:{}:it", tagged.display()));
    give(place.who(), &tagged);
    let mut umoci = place.who().command("umoci", &place.at("home"));
    umoci.args(["unpack", "--rootless", "--image"]).arg(format!("{}:it", tagged.display()));
    ok(umoci.arg(place.at("bundle")));
    place
}

/// `podman pull oci:NAME` into a storage of its own; gives the image's id as podman sees it. It
/// makes the image's name from what it was told, so it is told the last part of the path.
pub(crate) fn podman(layout: &Path) -> String {
    let folder = Folder::new();
    let at = |name: &str| folder.path().join(name);
    let name = layout.file_name().expect("a path with a name").display();
    let mut podman = Command::new("podman");
    podman.arg("--root").arg(at("root")).arg("--runroot").arg(at("run"));
    podman.arg("--tmpdir").arg(at("tmp")).args(["--storage-driver=vfs", "pull", "--quiet"]);
    podman.arg(format!("oci:{name}")).current_dir(layout.parent().expect("a path with a parent"));
    ok(&mut podman).trim().to_owned()
}

fn give(who: Who, path: &Path) {
    if let Some((uid, gid)) = who.ids() {
        ok(Command::new("chown").arg("-R").arg(format!("{uid}:{gid}")).arg(path));
    }
}
