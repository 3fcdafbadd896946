FROM golang:1.24-alpine@sha256:cde35d09c0c0a3a9ba412f55dec84c16f8c4291185ca8b8946ce4e5a10809896 AS build
WORKDIR /fn
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN GOOS=linux CGO_ENABLED=0 go build -tags lambda.norpc -o bootstrap

FROM registry.example.com/lambda/provided:al2023@sha256:e860b1ada6e653dfe85d25e80cbb9d0e697c52a3a2733e22d6db0904b6af073c
COPY --from=build /fn/bootstrap ${LAMBDA_RUNTIME_DIR}/bootstrap
USER 993
CMD ["fn"]
