FROM ocaml/opam:debian-12-ocaml-5.2@sha256:ecf7b8ccfb26e1f065267e011ae8cc910c4d3ffedea142f3fb89d68e7a41b4fb AS build
RUN sudo apt-get update && sudo apt-get install -y --no-install-recommends libgmp-dev libssl-dev pkg-config && sudo rm -rf /var/lib/apt/lists/*
WORKDIR /home/opam/src
COPY --chown=opam *.opam dune-project ./
RUN opam install . --deps-only --locked -y
COPY --chown=opam . .
RUN opam exec -- dune build --profile=release bin/main.exe

FROM registry.example.com/distroless/cc-debian12@sha256:ed9695a7e6762e6d972deb95005714b379114d3469f8b7ce264c0086ccf7b725
COPY --from=build /usr/lib/x86_64-linux-gnu/libgmp.so.10 /usr/lib/x86_64-linux-gnu/libssl.so.3 /usr/lib/x86_64-linux-gnu/libcrypto.so.3 /usr/lib/x86_64-linux-gnu/
COPY --from=build /home/opam/src/_build/default/bin/main.exe /usr/bin/mirage
USER 65532
CMD ["/usr/bin/mirage"]
