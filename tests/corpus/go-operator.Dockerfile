# Build the manager binary
FROM golang:1.24@sha256:6a2ff0c7551a1c781de68bf9d283a5ab95d9e752cb665b9e93f2d7e35b0a1cce AS builder
ARG TARGETOS
ARG TARGETARCH

WORKDIR /workspace
# Copy the Go Modules manifests
COPY go.mod go.mod
COPY go.sum go.sum
# cache deps before building and copying source so that we don't need to re-download as much
RUN go mod download

# Copy the go source
COPY cmd/main.go cmd/main.go
COPY api/ api/
COPY internal/ internal/

# the GOARCH has no default value to allow the binary to be built according to the host
RUN CGO_ENABLED=0 GOOS=${TARGETOS:-linux} GOARCH=${TARGETARCH} go build -a -o manager cmd/main.go

# Use distroless as minimal base image to package the manager binary
FROM registry.example.com/distroless/static:nonroot@sha256:fc6d3f947f963768adf806ed244474ee4f9623b6b3ce6c88b738a83a898ad16d
WORKDIR /
COPY --from=builder /workspace/manager .
USER 65532:65532

ENTRYPOINT ["/manager"]
