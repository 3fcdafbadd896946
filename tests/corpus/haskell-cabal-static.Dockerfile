FROM benz0li/ghc-musl:9.8@sha256:2f0eb72ae5422acba52c1ebf93caee57dff9e29eba89a2ed01117a59b3fd855a AS build
WORKDIR /src
COPY cabal.project cabal.project.freeze *.cabal ./
RUN --mount=type=cache,target=/root/.cabal/packages cabal update && cabal build --only-dependencies --enable-executable-static
COPY app app
COPY src src
RUN cabal install exe:pandoc-serve --enable-executable-static --install-method=copy --installdir=/out

FROM scratch
COPY --from=build /out/pandoc-serve /bin/pandoc-serve
USER 99:99
ENTRYPOINT ["/bin/pandoc-serve"]
