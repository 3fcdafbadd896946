FROM ruby:3.3-alpine3.22@sha256:8438b8dca743b357f0f91c10afd6ad891f8c8e3c69b8e1f647df3eac744ecaeb AS gems
RUN apk add --no-cache build-base postgresql-dev tzdata yaml-dev
WORKDIR /app
COPY .ruby-version Gemfile Gemfile.lock ./
RUN bundle config set --local deployment true \
 && bundle config set --local without 'development test' \
 && bundle install --jobs 4 --retry 3 \
 && find vendor/bundle -name '*.o' -delete -o -name '*.c' -delete

FROM ruby:3.3-alpine3.22@sha256:8438b8dca743b357f0f91c10afd6ad891f8c8e3c69b8e1f647df3eac744ecaeb
COPY --from=gems /usr/lib/libpq.so.5 /usr/lib/
COPY --from=gems /usr/share/zoneinfo /usr/share/zoneinfo
COPY --from=gems /app /app
COPY . /app
WORKDIR /app
RUN adduser -S -u 1200 -h /app jobs && install -d -o jobs /app/tmp
USER 1200
CMD ["bundle", "exec", "sidekiq", "-C", "config/sidekiq.yml"]
