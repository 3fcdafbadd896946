FROM ruby:3.3-slim@sha256:a6dbc9f0ed1a913d238fcb8c2fa028129e238ea7a7c1ed443786047ba41b6fa0 AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
ENV BUNDLE_FROZEN=true JEKYLL_ENV=production LANG=C.UTF-8
WORKDIR /site
COPY Gemfile Gemfile.lock ./
RUN bundle install
COPY . .
RUN bundle exec jekyll build --strict_front_matter

FROM busybox:1.37-musl@sha256:7a47634a5c554646ff2541136e6be03862e08e26f00d691d8a710b6e68454644
COPY --from=build /site/_site /www
USER 1000
EXPOSE 8080
CMD ["httpd", "-f", "-v", "-p", "8080", "-h", "/www"]
