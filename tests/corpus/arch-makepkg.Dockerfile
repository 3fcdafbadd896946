FROM archlinux:base-devel@sha256:d17b8a5c9b0fd5e338684ba06411afd4c3f558d68fc71fe7c2fb4d8ea6443b5f AS build
RUN pacman -Syu --noconfirm --needed git go && pacman -Scc --noconfirm
RUN useradd -m build
USER build
WORKDIR /home/build
COPY --chown=build PKGBUILD .
RUN makepkg --noconfirm --clean

FROM archlinux:base@sha256:875304602f7fb6ab4d82d252c2c334c50b2524f283d2f4ca66e3e677a1d7a8c2
RUN --mount=type=bind,from=build,source=/home/build,target=/pkg pacman -U --noconfirm /pkg/*.pkg.tar.zst
USER 1000
ENTRYPOINT ["/usr/bin/yay"]
